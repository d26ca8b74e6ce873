-- Holds of streams, what is done under them, and the audit of both; savepoints. A minor step: a
-- worker of an older minor does not let a held stream's lanes go until it is stopped, and reads
-- nothing of one that was reset.

CREATE TABLE sluice.audit (
	id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	stream          bigint NOT NULL REFERENCES sluice.stream,
	at_ms           bigint NOT NULL, -- AWS time, as all times here
	what            text NOT NULL CHECK (what IN ('hold', 'reset', 'rewind', 'go on')),
	hold            bigint REFERENCES sluice.audit, -- that it is about; NULL: itself
	why             text NOT NULL CHECK (why IN ('pause', 'baseline', 'repair', 'rewind')),
	who             text NOT NULL,
	said            text NOT NULL,
	from_generation bigint NOT NULL, -- of a hold: the stream's before it; 0: it was made held
	to_generation   bigint NOT NULL,
	from_ms         bigint NOT NULL DEFAULT 0, -- of a reset or rewind: how far its lanes were
	to_ms           bigint NOT NULL DEFAULT 0, -- the same: the stream's start, the oldest place
	lanes           bigint NOT NULL DEFAULT 0  -- the same: that went, that were set
);
CREATE INDEX audit_of ON sluice.audit (stream, id);
CREATE INDEX audit_hold ON sluice.audit (hold) WHERE hold IS NOT NULL;

ALTER TABLE sluice.stream
	ADD hold  bigint REFERENCES sluice.audit, -- NULL: it is not held
	ADD epoch bigint NOT NULL DEFAULT 0;      -- its last hold
-- That it joined; -1: none, the stream was held, or has been since.
ALTER TABLE sluice.member ADD epoch bigint NOT NULL DEFAULT 0;

-- Where lanes stood that are read again: once all of it is reached, the rewind is over.
CREATE TABLE sluice.rewind_goal (
	stream   bigint NOT NULL REFERENCES sluice.stream,
	shard    text NOT NULL,
	sink     integer NOT NULL,
	sequence numeric(40), -- NULL: it was done
	PRIMARY KEY (stream, shard, sink)
);

CREATE TABLE sluice.savepoint (
	id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	name       text NOT NULL,
	stream     bigint NOT NULL REFERENCES sluice.stream,
	generation bigint NOT NULL, -- the stream's at that time
	who        text NOT NULL,
	at_ms      bigint NOT NULL,
	UNIQUE (name, stream)
);
CREATE TABLE sluice.savepoint_place (
	savepoint bigint NOT NULL REFERENCES sluice.savepoint ON DELETE CASCADE,
	shard     text NOT NULL,
	sink      integer NOT NULL,
	sequence  numeric(40), -- NULL: before the first record
	event_ms  bigint NOT NULL,
	done      boolean NOT NULL,
	PRIMARY KEY (savepoint, shard, sink)
);

-- --- who may read ---

CREATE OR REPLACE FUNCTION sluice.served(p_session uuid, p_stream bigint) RETURNS boolean
LANGUAGE sql STABLE AS $$
	SELECT EXISTS (SELECT FROM sluice.member m JOIN sluice.stream s ON s.id = m.stream
		WHERE m.stream = p_stream AND m.session = p_session AND m.sinks = s.sinks
		AND s.hold IS NULL AND m.epoch = s.epoch)
$$;

-- A call that comes late, when the stream was held meanwhile, joins nothing.
CREATE FUNCTION sluice.stream_join_at(p_session uuid, p_stream bigint, p_epoch bigint,
	p_sinks integer[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM sluice.session_hold(p_session);
	PERFORM sluice.stream_hold(p_stream);
	INSERT INTO sluice.member (stream, session, sinks, epoch)
	SELECT s.id, p_session, ARRAY(SELECT DISTINCT k FROM unnest(p_sinks) AS k ORDER BY k),
		CASE WHEN s.hold IS NULL AND s.epoch = p_epoch THEN p_epoch ELSE -1 END
	FROM sluice.stream s WHERE s.id = p_stream
	ON CONFLICT (stream, session) DO UPDATE SET sinks = excluded.sinks,
		epoch = excluded.epoch;
	PERFORM sluice.stream_settle(p_session, p_stream);
END $$;

-- Of an older worker, which looks at the stream just before.
CREATE OR REPLACE FUNCTION sluice.stream_join(p_session uuid, p_stream bigint, p_sinks integer[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM sluice.session_hold(p_session);
	PERFORM sluice.stream_hold(p_stream);
	PERFORM sluice.stream_join_at(p_session, p_stream, s.epoch, p_sinks)
	FROM sluice.stream s WHERE s.id = p_stream;
END $$;

-- As lanes_add was, but says whether it may add anything.
CREATE FUNCTION sluice.lanes_put(p_session uuid, p_stream bigint, p_epoch bigint,
	p_own boolean, p_shards text[], p_parents text[], p_startings numeric[], p_roots boolean[],
	p_done boolean[], p_sinks integer[]) RETURNS boolean
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan SET jit = off AS $$
BEGIN
	PERFORM sluice.session_hold(p_session);
	PERFORM sluice.stream_hold(p_stream);
	IF NOT EXISTS (SELECT FROM sluice.stream s WHERE s.id = p_stream AND s.hold IS NULL
		AND s.epoch = p_epoch) THEN
		RETURN false;
	END IF;
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
	RETURN true;
END $$;

-- Of an older worker: to it, lanes that are not added have gone away.
CREATE OR REPLACE FUNCTION sluice.lanes_add(p_session uuid, p_stream bigint, p_own boolean,
	p_shards text[], p_parents text[], p_startings numeric[], p_roots boolean[], p_done boolean[],
	p_sinks integer[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM sluice.lanes_put(p_session, p_stream, m.epoch, p_own, p_shards, p_parents,
		p_startings, p_roots, p_done, p_sinks)
	FROM sluice.member m WHERE m.stream = p_stream AND m.session = p_session;
END $$;

-- --- holds ---

-- One at a time: the stream is locked by the caller.
CREATE FUNCTION sluice.hold_put(p_stream bigint, p_why text, p_who text, p_said text,
	p_at_ms bigint, p_from bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	made bigint;
BEGIN
	INSERT INTO sluice.audit (stream, at_ms, what, why, who, said, from_generation, to_generation)
	SELECT s.id, p_at_ms, 'hold', p_why, p_who, p_said, p_from, s.generation
	FROM sluice.stream s WHERE s.id = p_stream RETURNING id INTO made;
	UPDATE sluice.stream SET hold = made, epoch = made WHERE id = p_stream;
END $$;

CREATE FUNCTION sluice.hold_begin(p_stream bigint, p_generation bigint, p_why text, p_who text,
	p_said text, p_at_ms bigint, p_kept_ms bigint)
RETURNS TABLE (id bigint, why text, who text, said text, since_ms bigint, generation bigint,
	done boolean)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
	made bigint;
BEGIN
	PERFORM sluice.stream_hold(p_stream);
	SELECT a.id INTO made FROM sluice.audit a
	WHERE a.stream = p_stream AND a.what = 'hold' AND a.why = p_why AND a.who = p_who
	AND a.at_ms = p_at_ms;
	IF made IS NULL THEN
		DELETE FROM sluice.audit a WHERE a.stream = p_stream AND a.at_ms < p_at_ms - p_kept_ms
		AND NOT EXISTS (
			SELECT FROM sluice.stream s WHERE s.hold IN (a.id, a.hold))
		AND NOT EXISTS (
			SELECT FROM sluice.audit o WHERE o.hold = a.id AND o.at_ms >= p_at_ms - p_kept_ms);
		PERFORM sluice.hold_put(p_stream, p_why, p_who, p_said, p_at_ms, s.generation)
		FROM sluice.stream s WHERE s.id = p_stream AND s.hold IS NULL
		AND p_generation IN (0, s.generation);
	END IF;
	RETURN QUERY
	SELECT a.id, a.why, a.who, a.said, a.at_ms, a.from_generation,
		a.id IS NOT NULL AND a.why = p_why AND a.who = p_who AND a.at_ms = p_at_ms
	FROM sluice.stream s LEFT JOIN sluice.audit a ON a.id = s.hold WHERE s.id = p_stream;
END $$;

CREATE FUNCTION sluice.stream_find_held(p_name text, p_arn text, p_why text, p_who text,
	p_said text, p_at_ms bigint) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	found_stream record;
BEGIN
	SELECT * INTO found_stream FROM sluice.stream_find(p_name, p_arn, 0);
	IF found_stream.created THEN
		PERFORM sluice.hold_put(found_stream.id, p_why, p_who, p_said, p_at_ms, 0);
	END IF;
	RETURN found_stream.created;
END $$;

CREATE FUNCTION sluice.stream_owned(p_stream bigint) RETURNS bigint LANGUAGE sql STABLE AS $$
	SELECT count(*) FROM sluice.lane WHERE stream = p_stream AND owner IS NOT NULL
$$;

-- The stream may be changed by who has this hold: NULL, else how many lanes are owned (0: it is not
-- held by it, or of another generation). It is locked by the caller.
CREATE FUNCTION sluice.hold_forbids(p_stream bigint, p_hold bigint, p_generation bigint)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	still bigint;
BEGIN
	IF NOT EXISTS (SELECT FROM sluice.stream s WHERE s.id = p_stream AND s.hold = p_hold
		AND s.generation = p_generation) THEN
		RETURN 0;
	END IF;
	still := sluice.stream_owned(p_stream);
	RETURN nullif(still, 0);
END $$;

-- How far the lanes are: the oldest of their places.
CREATE FUNCTION sluice.stream_place(p_stream bigint) RETURNS bigint LANGUAGE sql STABLE AS $$
	SELECT coalesce(min(p.event_ms), 0)
	FROM sluice.lane l JOIN sluice.position p ON p.lane = l.id
	WHERE l.stream = p_stream AND NOT l.done AND NOT p.done AND p.event_ms > 0
$$;

-- The audit of what was done under a hold; returns the stream's generation from now on.
CREATE FUNCTION sluice.hold_did(p_stream bigint, p_hold bigint, p_what text, p_generation bigint,
	p_from_ms bigint, p_to_ms bigint, p_lanes bigint, p_who text, p_said text, p_at_ms bigint)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	now_generation bigint;
BEGIN
	UPDATE sluice.stream s SET generation = greatest(s.generation, a.from_generation + 1)
	FROM sluice.audit a WHERE s.id = p_stream AND a.id = p_hold
	RETURNING s.generation INTO now_generation;
	INSERT INTO sluice.audit (stream, at_ms, what, hold, why, who, said, from_generation,
		to_generation, from_ms, to_ms, lanes)
	SELECT p_stream, p_at_ms, p_what, a.id, a.why, p_who, p_said, p_generation, now_generation,
		p_from_ms, p_to_ms, p_lanes
	FROM sluice.audit a WHERE a.id = p_hold;
	RETURN now_generation;
END $$;

CREATE FUNCTION sluice.hold_reset(p_stream bigint, p_hold bigint, p_generation bigint,
	p_start_ms bigint, p_gaps text, p_who text, p_said text, p_at_ms bigint)
RETURNS TABLE (done boolean, generation bigint, owned bigint)
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan SET jit = off AS $$
#variable_conflict use_column
DECLARE
	h sluice.audit;
	forbids bigint;
	place bigint;
	gone bigint;
BEGIN
	PERFORM sluice.stream_hold(p_stream);
	SELECT * INTO h FROM sluice.audit a
	WHERE a.hold = p_hold AND a.what = 'reset' AND a.stream = p_stream
	AND a.from_generation = p_generation AND a.to_ms = p_start_ms AND a.at_ms = p_at_ms;
	IF FOUND THEN
		-- Said again where the reply was lost.
		RETURN QUERY SELECT true, h.to_generation, 0::bigint;
		RETURN;
	END IF;
	forbids := sluice.hold_forbids(p_stream, p_hold, p_generation);
	IF forbids IS NOT NULL THEN
		RETURN QUERY SELECT false, p_generation, forbids;
		RETURN;
	END IF;
	place := sluice.stream_place(p_stream);
	IF EXISTS (SELECT FROM sluice.audit a WHERE a.id = p_hold AND a.why = 'rewind') THEN
		INSERT INTO sluice.rewind_goal AS g (stream, shard, sink, sequence)
		SELECT p_stream, l.shard, p.sink, CASE WHEN NOT p.done THEN p.sequence END
		FROM sluice.lane l JOIN sluice.position p ON p.lane = l.id
		WHERE l.stream = p_stream AND (p.done OR p.sequence IS NOT NULL)
		ON CONFLICT (stream, shard, sink) DO UPDATE
		SET sequence = CASE WHEN g.sequence IS NOT NULL AND excluded.sequence IS NOT NULL
			THEN greatest(g.sequence, excluded.sequence) END;
	END IF;
	DELETE FROM sluice.lane l WHERE l.stream = p_stream;
	GET DIAGNOSTICS gone = ROW_COUNT;
	UPDATE sluice.gap g SET state = 'closed', closed_ms = p_at_ms,
		how = CASE WHEN p_gaps = '' THEN g.how ELSE p_gaps END
	WHERE g.stream = p_stream AND g.state <> 'closed';
	UPDATE sluice.stream x SET rooted = false, start_ms = p_start_ms WHERE x.id = p_stream;
	RETURN QUERY SELECT true, sluice.hold_did(p_stream, p_hold, 'reset', p_generation, place,
		p_start_ms, gone, p_who, p_said, p_at_ms), 0::bigint;
END $$;

CREATE FUNCTION sluice.hold_rewind(p_stream bigint, p_hold bigint, p_generation bigint,
	p_shards text[], p_sinks integer[], p_sequences numeric[], p_events_ms bigint[],
	p_done boolean[], p_who text, p_said text, p_at_ms bigint)
RETURNS TABLE (done boolean, generation bigint, owned bigint)
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan SET jit = off AS $$
#variable_conflict use_column
DECLARE
	h sluice.audit;
	forbids bigint;
	place bigint;
	lanes bigint;
BEGIN
	PERFORM sluice.stream_hold(p_stream);
	SELECT * INTO h FROM sluice.audit a
	WHERE a.hold = p_hold AND a.what = 'rewind' AND a.stream = p_stream
	AND a.from_generation = p_generation AND a.at_ms = p_at_ms;
	IF FOUND THEN
		RETURN QUERY SELECT true, h.to_generation, 0::bigint;
		RETURN;
	END IF;
	forbids := sluice.hold_forbids(p_stream, p_hold, p_generation);
	IF forbids IS NOT NULL THEN
		RETURN QUERY SELECT false, p_generation, forbids;
		RETURN;
	END IF;
	place := sluice.stream_place(p_stream);
	WITH wanted AS MATERIALIZED (
		SELECT l.id AS lane, w.* FROM unnest(p_shards, p_sinks, p_sequences, p_events_ms, p_done)
			AS w (shard, sink, sequence, event_ms, done)
		JOIN sluice.lane l ON l.stream = p_stream AND l.shard = w.shard
	), goals AS (
		INSERT INTO sluice.rewind_goal AS g (stream, shard, sink, sequence)
		SELECT p_stream, w.shard, w.sink, CASE WHEN NOT p.done THEN p.sequence END
		FROM wanted w JOIN sluice.position p ON p.lane = w.lane AND p.sink = w.sink
		WHERE NOT w.done AND (p.done OR p.sequence > coalesce(w.sequence, 0))
		ON CONFLICT (stream, shard, sink) DO UPDATE
		SET sequence = CASE WHEN g.sequence IS NOT NULL AND excluded.sequence IS NOT NULL
			THEN greatest(g.sequence, excluded.sequence) END
	), placed AS (
		UPDATE sluice.position p SET sequence = w.sequence, event_ms = w.event_ms, done = w.done
		FROM wanted w WHERE p.lane = w.lane AND p.sink = w.sink
		RETURNING p.lane
	)
	SELECT count(DISTINCT lane) INTO lanes FROM placed;
	UPDATE sluice.lane l SET done = d.done, wanted_by = NULL FROM (
		SELECT x.id, NOT EXISTS (
			SELECT FROM sluice.position p WHERE p.lane = x.id AND NOT p.done
			AND (s.sinks IS NULL OR p.sink = ANY (s.sinks))) AS done
		FROM sluice.lane x JOIN sluice.stream s ON s.id = x.stream WHERE x.stream = p_stream
	) d WHERE l.id = d.id AND l.done <> d.done;
	RETURN QUERY SELECT true, sluice.hold_did(p_stream, p_hold, 'rewind', p_generation, place,
		(SELECT coalesce(min(m), 0) FROM unnest(p_events_ms, p_done) AS e (m, d) WHERE NOT d),
		lanes, p_who, p_said, p_at_ms), 0::bigint;
END $$;

CREATE FUNCTION sluice.hold_end(p_stream bigint, p_hold bigint, p_who text, p_at_ms bigint)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	PERFORM sluice.stream_hold(p_stream);
	UPDATE sluice.stream SET hold = NULL WHERE id = p_stream AND hold = p_hold;
	IF FOUND THEN
		INSERT INTO sluice.audit (stream, at_ms, what, hold, why, who, said, from_generation,
			to_generation)
		SELECT p_stream, p_at_ms, 'go on', a.id, a.why, p_who, '', a.from_generation, s.generation
		FROM sluice.stream s JOIN sluice.audit a ON a.id = p_hold WHERE s.id = p_stream;
	END IF;
	RETURN EXISTS (
		SELECT FROM sluice.audit a WHERE a.hold = p_hold AND a.what = 'go on' AND a.who = p_who
		AND a.at_ms = p_at_ms);
END $$;

-- --- savepoints ---

CREATE FUNCTION sluice.savepoint_put(p_name text, p_streams bigint[], p_who text, p_at_ms bigint)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_advisory_xact_lock(hashtextextended('sluice savepoint', 0));
	IF EXISTS (SELECT FROM sluice.savepoint v WHERE v.name = p_name) THEN
		-- Said again where the reply was lost.
		RETURN EXISTS (SELECT FROM sluice.savepoint v WHERE v.name = p_name AND v.who = p_who
			AND v.at_ms = p_at_ms);
	END IF;
	-- One statement, so that it is of one moment.
	WITH made AS (
		INSERT INTO sluice.savepoint (name, stream, generation, who, at_ms)
		SELECT p_name, s.id, s.generation, p_who, p_at_ms
		FROM sluice.stream s WHERE s.id = ANY (p_streams) RETURNING id, stream
	)
	INSERT INTO sluice.savepoint_place (savepoint, shard, sink, sequence, event_ms, done)
	SELECT m.id, l.shard, p.sink, p.sequence, p.event_ms, p.done
	FROM made m JOIN sluice.lane l ON l.stream = m.stream JOIN sluice.position p ON p.lane = l.id;
	RETURN true;
END $$;
