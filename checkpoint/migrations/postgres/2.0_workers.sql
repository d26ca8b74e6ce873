-- Several sessions share the lanes of a stream. A worker of 1.x would claim all of them: stop those
-- first.
-- Ten thousand lanes can come in one call, minutes before the server has statistics of them, and a
-- plan that was good for the empty table takes seconds then: the functions below that touch many
-- lanes are planned at each call, and those that find them one by one are held to the indexes.

CREATE TABLE sluice.member (
	stream  bigint NOT NULL REFERENCES sluice.stream,
	session uuid NOT NULL,
	sinks   integer[] NOT NULL, -- sorted
	PRIMARY KEY (stream, session)
);
CREATE INDEX member_session ON sluice.member (session);

ALTER TABLE sluice.session
	ADD claims   bigint NOT NULL DEFAULT 0, -- number of the last claim
	ADD lease_ms bigint NOT NULL DEFAULT 0; -- its own
ALTER TABLE sluice.stream
	ADD sinks  integer[], -- the stored set, sorted; NULL: nobody joined yet
	ADD lister uuid; -- a session's id; one that is not live does not count
ALTER TABLE sluice.lane
	ADD done      boolean NOT NULL DEFAULT false, -- in all of the stream's sinks
	ADD wanted_by uuid, -- a session's id; one that is not live does not count
	ADD claim     bigint NOT NULL DEFAULT 0; -- the number of the owner's claim that took it

-- read_at_ms moves all the time and stands in no index.
DROP INDEX sluice.lane_owner;
CREATE INDEX lane_owner ON sluice.lane (owner, stream, claim) WHERE owner IS NOT NULL;
CREATE INDEX lane_free ON sluice.lane (stream, id) WHERE owner IS NULL AND NOT done;
CREATE INDEX lane_wanted ON sluice.lane (wanted_by) WHERE wanted_by IS NOT NULL;
CREATE INDEX lane_child ON sluice.lane (stream, parent);

UPDATE sluice.lane l SET done = true, owner = NULL
WHERE EXISTS (SELECT FROM sluice.position p WHERE p.lane = l.id)
AND NOT EXISTS (SELECT FROM sluice.position p WHERE p.lane = l.id AND NOT p.done);
ALTER TABLE sluice.lane ADD CONSTRAINT done_is_nobodys CHECK (NOT done OR owner IS NULL);

DROP FUNCTION sluice.lanes_add(uuid, bigint, text[], text[], numeric[], boolean[], boolean[],
	integer[]);
DROP FUNCTION sluice.lanes_claim(uuid, bigint, integer[]);
DROP FUNCTION sluice.lanes_forget(uuid, bigint[]);

CREATE FUNCTION sluice.live() RETURNS uuid[] LANGUAGE sql STABLE AS $$
	SELECT coalesce(array_agg(id), '{}') FROM sluice.session WHERE state = 'live'
$$;

DROP FUNCTION sluice.session_begin(uuid, text, text);
CREATE FUNCTION sluice.session_begin(p_session uuid, p_worker text, p_address text,
	p_lease_ms bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO sluice.session (id, worker, address, lease_ms)
	VALUES (p_session, p_worker, p_address, p_lease_ms) ON CONFLICT (id) DO NOTHING;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'session % was begun before: begin one with another id', p_session
		USING ERRCODE = 'SL001';
	END IF;
END $$;

CREATE OR REPLACE FUNCTION sluice.session_bury(p_session uuid) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	was text;
	rolls bigint;
BEGIN
	SELECT state INTO was FROM sluice.session WHERE id = p_session FOR UPDATE;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'session % is not known', p_session USING ERRCODE = 'SL003';
	END IF;
	IF was = 'buried' THEN
		RETURN;
	END IF;
	SELECT count(*) INTO rolls FROM sluice.roll WHERE session = p_session;
	IF rolls > 0 THEN
		RAISE EXCEPTION 'session % has % unfinished rolls: finish them first', p_session, rolls
		USING ERRCODE = 'SL002';
	END IF;
	UPDATE sluice.lane SET owner = NULL WHERE owner = p_session;
	DELETE FROM sluice.member WHERE session = p_session;
	UPDATE sluice.session SET state = 'buried' WHERE id = p_session;
END $$;

CREATE FUNCTION sluice.served(p_session uuid, p_stream bigint) RETURNS boolean
LANGUAGE sql STABLE AS $$
	SELECT EXISTS (SELECT FROM sluice.member m JOIN sluice.stream s ON s.id = m.stream
		WHERE m.stream = p_stream AND m.session = p_session AND m.sinks = s.sinks)
$$;

-- The member takes what is empty: the stream's set of sinks, its lister's place. Session and stream
-- are locked by the caller.
CREATE FUNCTION sluice.stream_settle(p_session uuid, p_stream bigint) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
	live uuid[] := sluice.live();
	own integer[];
BEGIN
	SELECT m.sinks INTO own FROM sluice.member m
	WHERE m.stream = p_stream AND m.session = p_session;
	UPDATE sluice.stream s SET sinks = own
	WHERE s.id = p_stream AND s.sinks IS DISTINCT FROM own AND NOT EXISTS (
		SELECT FROM sluice.member m
		WHERE m.stream = p_stream AND m.session = ANY (live) AND m.sinks = s.sinks);
	IF FOUND THEN
		-- A sink that a lane does not have yet will start where its furthest position is.
		UPDATE sluice.lane l SET done = t.done, owner = CASE WHEN NOT t.done THEN l.owner END,
			wanted_by = NULL
		FROM (
			SELECT x.id, NOT EXISTS (
				SELECT FROM unnest(own) AS s (sink)
				LEFT JOIN sluice.position p ON p.lane = x.id AND p.sink = s.sink
				WHERE NOT coalesce(p.done, EXISTS (
					SELECT FROM sluice.position o WHERE o.lane = x.id AND o.done))
			) AS done
			FROM sluice.lane x WHERE x.stream = p_stream
		) t
		WHERE l.id = t.id AND l.done <> t.done;
	END IF;
	UPDATE sluice.stream s SET lister = p_session
	WHERE s.id = p_stream AND s.sinks = own
	AND (s.lister IS NULL OR s.lister <> ALL (live));
END $$;

CREATE FUNCTION sluice.stream_join(p_session uuid, p_stream bigint, p_sinks integer[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM sluice.session_hold(p_session);
	PERFORM sluice.stream_hold(p_stream);
	INSERT INTO sluice.member (stream, session, sinks)
	SELECT p_stream, p_session, ARRAY(SELECT DISTINCT s FROM unnest(p_sinks) AS s ORDER BY s)
	ON CONFLICT (stream, session) DO UPDATE SET sinks = excluded.sinks;
	PERFORM sluice.stream_settle(p_session, p_stream);
END $$;

-- What a claim of the session may begin with.
CREATE FUNCTION sluice.heads(p_session uuid, p_stream bigint, p_live uuid[])
RETURNS TABLE (id bigint, shard text, wanted_by uuid) LANGUAGE sql STABLE AS $$
	SELECT l.id, l.shard, l.wanted_by
	FROM sluice.lane l
	WHERE l.stream = p_stream AND l.owner IS NULL AND NOT l.done
	AND (l.wanted_by IS NULL OR l.wanted_by = p_session OR l.wanted_by <> ALL (p_live))
	AND NOT EXISTS (
		SELECT FROM sluice.lane p WHERE p.stream = l.stream AND p.shard = l.parent
		AND NOT p.done AND p.owner IS DISTINCT FROM p_session)
$$;

-- Everything that the session serves, in one moment: rows of kind s (streams), m (members), w
-- (wanted). It takes no lock, since its reply may be long; vacant: round_take has to be called.
CREATE FUNCTION sluice.round(p_session uuid, p_wanted_max bigint)
RETURNS TABLE (kind text, stream bigint, session uuid, lane bigint, held bigint, held_sum numeric,
	leaving bigint, coming bigint, claimable bigint, rooted boolean, served boolean,
	lister boolean, vacant boolean)
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_custom_plan
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
	live uuid[] := sluice.live();
	streams bigint[];
BEGIN
	IF p_session <> ALL (live) THEN
		RAISE EXCEPTION 'session % is not live', p_session USING ERRCODE = 'SL001';
	END IF;
	streams := ARRAY(SELECT m.stream FROM sluice.member m WHERE m.session = p_session);
	RETURN QUERY
	WITH serving AS (
		SELECT m.stream, m.session, m.sinks = s.sinks AS served
		FROM sluice.member m JOIN sluice.stream s ON s.id = m.stream
		WHERE m.stream = ANY (streams) AND m.session = ANY (live)
	), held AS (
		SELECT l.stream, l.owner, count(*) AS lanes, sum(l.id) AS total,
			count(*) FILTER (WHERE l.wanted_by = ANY (live)) AS leaving
		FROM sluice.lane l WHERE l.owner = ANY (live) AND l.stream = ANY (streams)
		GROUP BY l.stream, l.owner
	), coming AS (
		SELECT l.stream, l.wanted_by, count(*) AS lanes
		FROM sluice.lane l WHERE l.wanted_by = ANY (live) AND l.stream = ANY (streams)
		GROUP BY l.stream, l.wanted_by
	)
	SELECT 's', s.id, p_session, NULL::bigint, coalesce(h.lanes, 0),
		mod(coalesce(h.total, 0), 18446744073709551616), NULL::bigint, NULL::bigint,
		CASE WHEN g.served THEN (
			SELECT count(*) FROM sluice.heads(p_session, s.id, live)) ELSE 0 END,
		s.rooted, coalesce(g.served, false), s.lister IS NOT DISTINCT FROM p_session,
		CASE WHEN g.served THEN s.lister IS NULL OR s.lister <> ALL (live)
		ELSE NOT EXISTS (SELECT FROM serving o WHERE o.stream = s.id AND o.served) END
	FROM sluice.stream s
	JOIN serving g ON g.stream = s.id AND g.session = p_session
	LEFT JOIN held h ON h.stream = s.id AND h.owner = p_session
	UNION ALL
	SELECT 'm', g.stream, g.session, NULL, coalesce(h.lanes, 0), NULL, coalesce(h.leaving, 0),
		coalesce(c.lanes, 0), NULL, NULL, coalesce(g.served, false), NULL, false
	FROM serving g
	LEFT JOIN held h ON h.stream = g.stream AND h.owner = g.session
	LEFT JOIN coming c ON c.stream = g.stream AND c.wanted_by = g.session
	ORDER BY 1 DESC, 2, 3;
	RETURN QUERY
	SELECT 'w', l.stream, NULL::uuid, l.id, NULL::bigint, NULL::numeric, NULL::bigint, NULL::bigint,
		NULL::bigint, NULL::boolean, NULL::boolean, NULL::boolean, false
	FROM sluice.lane l
	WHERE l.wanted_by = ANY (live) AND l.owner = p_session AND l.stream = ANY (streams)
	ORDER BY l.id LIMIT p_wanted_max;
END $$;

-- All that is empty in the streams that the session serves.
CREATE FUNCTION sluice.round_take(p_session uuid) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	s bigint;
BEGIN
	PERFORM sluice.session_hold(p_session);
	FOR s IN SELECT m.stream FROM sluice.member m WHERE m.session = p_session ORDER BY m.stream
	LOOP
		PERFORM sluice.stream_hold(s);
		PERFORM sluice.stream_settle(p_session, s);
	END LOOP;
END $$;

CREATE FUNCTION sluice.lanes_add(p_session uuid, p_stream bigint, p_own boolean, p_shards text[],
	p_parents text[], p_startings numeric[], p_roots boolean[], p_done boolean[],
	p_sinks integer[]) RETURNS void
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan SET jit = off AS $$
BEGIN
	PERFORM sluice.session_hold(p_session);
	PERFORM sluice.stream_hold(p_stream);
	WITH RECURSIVE fresh AS MATERIALIZED (
		SELECT * FROM unnest(p_shards, p_parents, p_startings, p_roots, p_done)
			WITH ORDINALITY AS w (shard, parent, starting, root, done, place)
		WHERE NOT EXISTS (
			SELECT FROM sluice.lane l WHERE l.stream = p_stream AND l.shard = w.shard)
	), descended (shard) AS (
		SELECT f.shard FROM fresh f JOIN sluice.lane p
			ON p.stream = p_stream AND p.shard = f.parent AND p.owner = p_session
		UNION
		SELECT f.shard FROM descended d JOIN fresh f ON f.parent = d.shard
	), added AS (
		INSERT INTO sluice.lane (stream, shard, parent, starting, root, done, owner)
		SELECT p_stream, f.shard, f.parent, f.starting, f.root, f.done,
			CASE WHEN NOT f.done AND (p_own OR d.shard IS NOT NULL) THEN p_session END
		FROM fresh f LEFT JOIN descended d USING (shard) ORDER BY f.place
		ON CONFLICT (stream, shard) DO NOTHING
		RETURNING id, shard
	)
	INSERT INTO sluice.position (lane, sink, done)
	SELECT a.id, s.sink, f.done
	FROM added a JOIN fresh f USING (shard) CROSS JOIN unnest(p_sinks) AS s (sink);
	UPDATE sluice.stream SET rooted = true WHERE id = p_stream AND NOT rooted;
END $$;

-- Returns the claim's number. Its reply is small on purpose: a client that stops reading must not
-- hold the session's lock.
CREATE FUNCTION sluice.lanes_claim(p_session uuid, p_stream bigint, p_sinks integer[],
	p_max bigint) RETURNS bigint
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
DECLARE
	live uuid[];
	number bigint;
BEGIN
	UPDATE sluice.session SET claims = claims + 1 WHERE id = p_session AND state = 'live'
	RETURNING claims INTO number;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'session % is not live', p_session USING ERRCODE = 'SL001';
	END IF;
	PERFORM sluice.stream_hold(p_stream);
	IF NOT sluice.served(p_session, p_stream) THEN
		RETURN number;
	END IF;
	live := sluice.live();
	-- OFFSET 0: children are looked up by their parent, not among all that are free.
	WITH RECURSIVE head AS MATERIALIZED (
		(SELECT h.id, h.shard FROM sluice.heads(p_session, p_stream, live) h
			WHERE h.wanted_by = p_session ORDER BY h.id LIMIT p_max)
		UNION ALL
		(SELECT h.id, h.shard FROM sluice.heads(p_session, p_stream, live) h
			WHERE h.wanted_by IS DISTINCT FROM p_session ORDER BY h.id LIMIT p_max)
		LIMIT p_max
	), taken AS (
		SELECT h.id, h.shard FROM head h
		UNION
		SELECT c.id, c.shard FROM taken t, LATERAL (
			SELECT l.id, l.shard, l.owner, l.done FROM sluice.lane l
			WHERE l.stream = p_stream AND l.parent = t.shard OFFSET 0
		) c
		WHERE c.owner IS NULL AND NOT c.done
	), claimed AS (
		UPDATE sluice.lane l SET owner = p_session, wanted_by = NULL, claim = number
		FROM taken t WHERE l.id = t.id
		RETURNING l.id
	)
	INSERT INTO sluice.position (lane, sink, sequence, event_ms, done)
	SELECT c.id, s.sink, f.sequence, coalesce(f.event_ms, 0), coalesce(f.done, false)
	FROM claimed c CROSS JOIN unnest(p_sinks) AS s (sink)
	LEFT JOIN LATERAL (
		SELECT p.sequence, p.event_ms, p.done FROM sluice.position p WHERE p.lane = c.id
		ORDER BY p.done DESC, p.sequence DESC NULLS LAST LIMIT 1
	) f ON true
	WHERE NOT EXISTS (
		SELECT FROM sluice.position p WHERE p.lane = c.id AND p.sink = s.sink);
	RETURN number;
END $$;

-- It waits for no lane while it holds others: a save of their owner may be under way.
CREATE FUNCTION sluice.lanes_wish(p_session uuid, p_from uuid, p_stream bigint, p_max bigint)
RETURNS bigint
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
DECLARE
	live uuid[];
	wished bigint;
BEGIN
	PERFORM sluice.session_hold(p_session);
	PERFORM sluice.stream_hold(p_stream);
	live := sluice.live();
	IF p_from = p_session OR p_from <> ALL (live) OR NOT sluice.served(p_session, p_stream) THEN
		RETURN 0;
	END IF;
	WITH chosen AS MATERIALIZED (
		SELECT l.id FROM sluice.lane l
		WHERE l.owner = p_from AND l.stream = p_stream
		AND (l.wanted_by IS NULL OR l.wanted_by <> ALL (live))
		AND NOT EXISTS (
			SELECT FROM sluice.lane p
			WHERE p.stream = l.stream AND p.shard = l.parent AND NOT p.done)
		ORDER BY l.id DESC LIMIT p_max FOR UPDATE OF l SKIP LOCKED
	)
	UPDATE sluice.lane l SET wanted_by = p_session FROM chosen c WHERE l.id = c.id;
	GET DIAGNOSTICS wished = ROW_COUNT;
	RETURN wished;
END $$;

CREATE FUNCTION sluice.lanes_release(p_session uuid, p_lanes bigint[]) RETURNS void
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
BEGIN
	PERFORM sluice.session_hold(p_session);
	UPDATE sluice.lane SET owner = NULL WHERE id = ANY (p_lanes) AND owner = p_session;
END $$;

CREATE FUNCTION sluice.tidy(p_stream bigint, p_before_ms bigint, p_lanes_max bigint,
	p_buried_max bigint) RETURNS bigint
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan SET jit = off AS $$
DECLARE
	newest bigint;
	removed bigint;
BEGIN
	WITH old AS MATERIALIZED (
		SELECT s.id FROM sluice.session s WHERE s.state = 'buried'
		ORDER BY s.serial DESC OFFSET p_buried_max FOR UPDATE SKIP LOCKED
	)
	DELETE FROM sluice.session s USING old o WHERE s.id = o.id;
	PERFORM sluice.stream_hold(p_stream);
	SELECT max(read_at_ms) INTO newest FROM sluice.lane WHERE stream = p_stream;
	UPDATE sluice.lane SET read_at_ms = newest
	WHERE stream = p_stream AND done AND read_at_ms = 0 AND newest > 0;
	WITH old AS MATERIALIZED (
		SELECT l.id FROM sluice.lane l
		WHERE l.stream = p_stream AND l.done AND l.read_at_ms > 0 AND l.read_at_ms < p_before_ms
		AND EXISTS (SELECT FROM sluice.lane c WHERE c.stream = p_stream AND c.parent = l.shard)
		ORDER BY l.id LIMIT p_lanes_max
	)
	DELETE FROM sluice.lane l USING old o WHERE l.id = o.id;
	GET DIAGNOSTICS removed = ROW_COUNT;
	RETURN removed;
END $$;

-- All or nothing: an exception takes everything back.
CREATE OR REPLACE FUNCTION sluice.save(p_session uuid, p_number bigint, p_lanes bigint[],
	p_sinks integer[], p_from numeric[], p_to numeric[], p_event_ms bigint[], p_done boolean[],
	p_roll_sinks integer[], p_roll_numbers bigint[], p_roll_blobs bytea[],
	p_finished_sinks integer[], p_finished_numbers bigint[], p_read bigint[],
	p_read_at_ms bigint) RETURNS void
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
DECLARE
	saved bigint;
	moved bigint;
BEGIN
	-- The lock keeps the session live and its lanes its own until the end.
	SELECT saves INTO saved FROM sluice.session WHERE id = p_session AND state = 'live'
	FOR NO KEY UPDATE;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'session % is not live', p_session USING ERRCODE = 'SL001';
	END IF;
	IF saved = p_number THEN
		RETURN; -- its reply was lost
	END IF;
	IF saved + 1 <> p_number THEN
		RAISE EXCEPTION 'save % of session %: its last one was %', p_number, p_session, saved
		USING ERRCODE = 'SL001';
	END IF;
	UPDATE sluice.session SET saves = p_number WHERE id = p_session;

	UPDATE sluice.position p SET sequence = m.target, event_ms = m.event_ms, done = m.done
	FROM unnest(p_lanes, p_sinks, p_from, p_to, p_event_ms, p_done)
		AS m (lane, sink, origin, target, event_ms, done)
	JOIN sluice.lane l ON l.id = m.lane AND l.owner = p_session
	WHERE p.lane = m.lane AND p.sink = m.sink AND p.sequence IS NOT DISTINCT FROM m.origin;
	GET DIAGNOSTICS moved = ROW_COUNT;
	IF moved <> cardinality(p_lanes) THEN
		RAISE EXCEPTION 'save % of session %: % of % positions are not its own or not where it '
			'left them', p_number, p_session, cardinality(p_lanes) - moved,
			cardinality(p_lanes) USING ERRCODE = 'SL001';
	END IF;

	IF cardinality(p_finished_sinks) > 0 THEN
		DELETE FROM sluice.roll r
		USING unnest(p_finished_sinks, p_finished_numbers) AS f (sink, number)
		WHERE r.session = p_session AND r.sink = f.sink AND r.number = f.number;
	END IF;
	IF cardinality(p_roll_sinks) > 0 THEN
		INSERT INTO sluice.roll (session, sink, number, blob)
		SELECT p_session, n.sink, n.number, n.blob
		FROM unnest(p_roll_sinks, p_roll_numbers, p_roll_blobs) AS n (sink, number, blob);
	END IF;
	IF cardinality(p_read) > 0 THEN
		UPDATE sluice.lane SET read_at_ms = greatest(read_at_ms, p_read_at_ms)
		WHERE id = ANY (p_read) AND owner = p_session;
	END IF;
	IF true = ANY (p_done) THEN
		-- A sink that the stream has no longer does not hold up a lane.
		UPDATE sluice.lane l SET done = true, owner = NULL, wanted_by = NULL,
			read_at_ms = greatest(l.read_at_ms, p_read_at_ms)
		FROM sluice.stream s
		WHERE l.id IN (SELECT m.lane FROM unnest(p_lanes, p_done) AS m (lane, done) WHERE m.done)
		AND s.id = l.stream AND NOT EXISTS (
			SELECT FROM sluice.position p WHERE p.lane = l.id AND NOT p.done
			AND (s.sinks IS NULL OR p.sink = ANY (s.sinks)));
	END IF;
END $$;
