-- Run as the body of one DO block: plain statements, each ended by a semicolon.
-- Locks are always taken in the order session, stream, lane, position, letter.
-- SQLSTATEs of our own: SL001 the session is fenced, SL002 invalid, SL003 not found.

CREATE TABLE sluice.session (
	id      uuid PRIMARY KEY,
	serial  bigint GENERATED ALWAYS AS IDENTITY,
	worker  text NOT NULL,
	address text NOT NULL,
	beat    bigint NOT NULL DEFAULT 0,
	saves   bigint NOT NULL DEFAULT 0, -- number of the last save
	state   text NOT NULL DEFAULT 'live' CHECK (state IN ('live', 'dead', 'buried')),
	began   timestamptz NOT NULL DEFAULT now() -- for people: nothing is decided by it
) WITH (fillfactor = 50);
CREATE INDEX session_unburied ON sluice.session (serial) WHERE state <> 'buried';

CREATE TABLE sluice.stream (
	id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	name       text NOT NULL,
	arn        text NOT NULL,
	generation bigint NOT NULL DEFAULT 1,
	start_ms   bigint NOT NULL,
	rooted     boolean NOT NULL DEFAULT false,
	UNIQUE (name, arn)
);

CREATE TABLE sluice.sink (
	id   integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	name text NOT NULL UNIQUE
);

CREATE TABLE sluice.lane (
	id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	stream     bigint NOT NULL REFERENCES sluice.stream,
	shard      text NOT NULL,
	parent     text NOT NULL,
	starting   numeric(40),
	root       boolean NOT NULL,
	owner      uuid, -- a session's id; NULL: free
	read_at_ms bigint NOT NULL DEFAULT 0,
	UNIQUE (stream, shard)
) WITH (fillfactor = 70);
CREATE INDEX lane_owner ON sluice.lane (owner);

-- The hot table: half-empty pages keep its updates on their page.
CREATE TABLE sluice.position (
	lane     bigint NOT NULL REFERENCES sluice.lane ON DELETE CASCADE,
	sink     integer NOT NULL,
	sequence numeric(40), -- NULL: before the first record
	event_ms bigint NOT NULL DEFAULT 0,
	done     boolean NOT NULL DEFAULT false,
	PRIMARY KEY (lane, sink)
) WITH (fillfactor = 50);

CREATE TABLE sluice.roll (
	session uuid NOT NULL,
	sink    integer NOT NULL,
	number  bigint NOT NULL,
	blob    bytea NOT NULL,
	PRIMARY KEY (session, sink, number)
);

CREATE TABLE sluice.letter (
	id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	stream   text NOT NULL,
	sink     text NOT NULL,
	shard    text NOT NULL,
	sequence text NOT NULL,
	reason   text NOT NULL,
	json     text NOT NULL,
	UNIQUE (stream, sink, shard, sequence)
);
-- One row: the sum of the letters' bytes, so that the limit costs no scan.
CREATE TABLE sluice.letter_total (bytes bigint NOT NULL);
INSERT INTO sluice.letter_total (bytes) VALUES (0);

-- Holds the session live until the transaction ends: a kill or a burial waits.
CREATE FUNCTION sluice.session_hold(p_session uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM FROM sluice.session WHERE id = p_session AND state = 'live' FOR SHARE;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'session % is not live', p_session USING ERRCODE = 'SL001';
	END IF;
END $$;

CREATE FUNCTION sluice.session_begin(p_session uuid, p_worker text, p_address text)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO sluice.session (id, worker, address) VALUES (p_session, p_worker, p_address)
	ON CONFLICT (id) DO NOTHING;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'session % was begun before: begin one with another id', p_session
		USING ERRCODE = 'SL001';
	END IF;
END $$;

CREATE FUNCTION sluice.session_beat(p_session uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	UPDATE sluice.session SET beat = beat + 1 WHERE id = p_session AND state = 'live';
	IF NOT FOUND THEN
		RAISE EXCEPTION 'session % is not live', p_session USING ERRCODE = 'SL001';
	END IF;
END $$;

CREATE FUNCTION sluice.session_kill(p_session uuid, p_beat bigint)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	UPDATE sluice.session SET state = 'dead'
	WHERE id = p_session AND state = 'live' AND beat = p_beat;
	RETURN FOUND;
END $$;

CREATE FUNCTION sluice.session_bury(p_session uuid) RETURNS void LANGUAGE plpgsql AS $$
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
	UPDATE sluice.session SET state = 'buried' WHERE id = p_session;
END $$;

CREATE FUNCTION sluice.sink_id(p_name text) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
	found_id integer;
BEGIN
	SELECT id INTO found_id FROM sluice.sink WHERE name = p_name;
	IF NOT FOUND THEN
		INSERT INTO sluice.sink (name) VALUES (p_name) ON CONFLICT (name) DO NOTHING;
		SELECT id INTO found_id FROM sluice.sink WHERE name = p_name;
	END IF;
	RETURN found_id;
END $$;

CREATE FUNCTION sluice.stream_find(p_name text, p_arn text, p_start_ms bigint,
	OUT id bigint, OUT generation bigint, OUT start_ms bigint, OUT rooted boolean,
	OUT created boolean) LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO sluice.stream (name, arn, start_ms)
	SELECT p_name, p_arn, p_start_ms
	WHERE NOT EXISTS (SELECT FROM sluice.stream s WHERE s.name = p_name AND s.arn = p_arn)
	ON CONFLICT DO NOTHING;
	created := FOUND;
	SELECT s.id, s.generation, s.start_ms, s.rooted INTO id, generation, start_ms, rooted
	FROM sluice.stream s WHERE s.name = p_name AND s.arn = p_arn;
END $$;

CREATE FUNCTION sluice.stream_hold(p_stream bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM FROM sluice.stream WHERE id = p_stream FOR NO KEY UPDATE;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'stream % is not known', p_stream USING ERRCODE = 'SL003';
	END IF;
END $$;

CREATE FUNCTION sluice.lanes_add(p_session uuid, p_stream bigint, p_shards text[],
	p_parents text[], p_startings numeric[], p_roots boolean[], p_done boolean[],
	p_sinks integer[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM sluice.session_hold(p_session);
	PERFORM sluice.stream_hold(p_stream);
	WITH wanted AS (
		SELECT * FROM unnest(p_shards, p_parents, p_startings, p_roots, p_done)
			AS w (shard, parent, starting, root, done)
	), added AS (
		INSERT INTO sluice.lane (stream, shard, parent, starting, root, owner)
		SELECT p_stream, shard, parent, starting, root, p_session FROM wanted
		ON CONFLICT (stream, shard) DO NOTHING
		RETURNING id, shard
	)
	INSERT INTO sluice.position (lane, sink, done)
	SELECT a.id, s.sink, w.done
	FROM added a JOIN wanted w USING (shard) CROSS JOIN unnest(p_sinks) AS s (sink);
	UPDATE sluice.stream SET rooted = true WHERE id = p_stream AND NOT rooted;
END $$;

-- Its reply is small on purpose: a client that stops reading must not hold the session's lock.
CREATE FUNCTION sluice.lanes_claim(p_session uuid, p_stream bigint, p_sinks integer[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM sluice.session_hold(p_session);
	PERFORM sluice.stream_hold(p_stream);
	UPDATE sluice.lane SET owner = p_session WHERE stream = p_stream AND owner IS NULL;
	INSERT INTO sluice.position (lane, sink, sequence, event_ms, done)
	SELECT l.id, s.sink, f.sequence, coalesce(f.event_ms, 0), coalesce(f.done, false)
	FROM sluice.lane l CROSS JOIN unnest(p_sinks) AS s (sink)
	LEFT JOIN LATERAL (
		SELECT p.sequence, p.event_ms, p.done FROM sluice.position p WHERE p.lane = l.id
		ORDER BY p.done DESC, p.sequence DESC NULLS LAST LIMIT 1
	) f ON true
	WHERE l.stream = p_stream AND l.owner = p_session AND NOT EXISTS (
		SELECT FROM sluice.position p WHERE p.lane = l.id AND p.sink = s.sink);
END $$;

CREATE FUNCTION sluice.lanes_forget(p_session uuid, p_lanes bigint[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM sluice.session_hold(p_session);
	DELETE FROM sluice.lane l
	WHERE l.id = ANY (p_lanes) AND l.owner = p_session AND NOT EXISTS (
		SELECT FROM sluice.position p WHERE p.lane = l.id AND NOT p.done);
END $$;

-- All or nothing: an exception takes everything back.
CREATE FUNCTION sluice.save(p_session uuid, p_number bigint, p_lanes bigint[], p_sinks integer[],
	p_from numeric[], p_to numeric[], p_event_ms bigint[], p_done boolean[],
	p_roll_sinks integer[], p_roll_numbers bigint[], p_roll_blobs bytea[],
	p_finished_sinks integer[], p_finished_numbers bigint[], p_read bigint[],
	p_read_at_ms bigint) RETURNS void LANGUAGE plpgsql AS $$
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
END $$;

CREATE FUNCTION sluice.letter_put(p_stream text, p_sink text, p_shard text, p_sequence text,
	p_reason text, p_json text, p_bytes_max bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO sluice.letter (stream, sink, shard, sequence, reason, json)
	VALUES (p_stream, p_sink, p_shard, p_sequence, p_reason, p_json)
	ON CONFLICT (stream, sink, shard, sequence) DO NOTHING;
	IF NOT FOUND THEN
		RETURN;
	END IF;
	UPDATE sluice.letter_total SET bytes = bytes + octet_length(p_json)
	WHERE bytes + octet_length(p_json) <= p_bytes_max;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'the dead letters would pass % bytes: retry or drop some', p_bytes_max
		USING ERRCODE = 'SL002';
	END IF;
END $$;

CREATE FUNCTION sluice.letter_drop(p_id bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	freed bigint;
BEGIN
	DELETE FROM sluice.letter WHERE id = p_id RETURNING octet_length(json) INTO freed;
	IF FOUND THEN
		UPDATE sluice.letter_total SET bytes = bytes - freed;
	END IF;
END $$;
