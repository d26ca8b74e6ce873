-- Several letters are locked in one order: by their number; one that becomes several keeps to the
-- limit; none is tried whose record may be read again; and those that a sink of letters had come back
-- to be tried. A minor step: what 2.9 knows stays as it
-- is.
-- Locks are taken in the order session, stream, letter_batch or letter_chain, letter, letter_total.

ALTER TABLE sluice.letter
	-- It came back from a sink of letters, and goes to none.
	ADD loaded boolean NOT NULL DEFAULT false;

CREATE OR REPLACE FUNCTION sluice.letter_waits(l sluice.letter) RETURNS boolean
LANGUAGE sql STABLE AS $$
	SELECT l.json <> '' AND NOT l.loaded AND (l.kept IS NULL OR NOT EXISTS (
		SELECT FROM sluice.session s WHERE s.id = l.kept AND s.state = 'live'))
$$;

-- True: it was none until now.
CREATE FUNCTION sluice.letter_load(p_stream text, p_sink text, p_shard text, p_sequence text,
	p_reason text, p_json text, p_generation bigint, p_bytes_max bigint) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO sluice.letter AS k (stream, sink, shard, sequence, reason, json, generation, loaded)
	VALUES (p_stream, p_sink, p_shard, p_sequence, p_reason, p_json, p_generation, true)
	-- It is in none of the batches that it was in: one may be in its sink, without it.
	ON CONFLICT (stream, sink, shard, sequence) DO UPDATE SET reason = EXCLUDED.reason,
		json = EXCLUDED.json, sent_ms = 0, batch = 0, batch_sink = 0, retry = 0, retry_sink = 0,
		loaded = true, generation = greatest(k.generation, EXCLUDED.generation)
	WHERE k.json = '';
	IF NOT FOUND THEN
		RETURN false;
	END IF;
	UPDATE sluice.letter_total SET bytes = bytes + octet_length(p_json)
	WHERE bytes + octet_length(p_json) <= p_bytes_max;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'the dead letters would pass % bytes: retry or drop some', p_bytes_max
		USING ERRCODE = 'SL002';
	END IF;
	RETURN true;
END $$;

CREATE OR REPLACE FUNCTION sluice.letters_claim(p_session uuid, p_sink bigint, p_streams text[],
	p_streams_max bigint, p_max bigint, p_bytes_max bigint, p_at_ms bigint)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	b sluice.letter_batch;
	name text;
	found_some boolean := false;
BEGIN
	IF NOT EXISTS (SELECT FROM sluice.letter l WHERE l.json <> ''
		AND l.stream = ANY (p_streams)) THEN
		RETURN false;
	END IF;
	PERFORM sluice.session_hold(p_session);
	FOR name IN SELECT l.stream FROM sluice.letter l
		WHERE l.json <> '' AND l.stream = ANY (p_streams) AND sluice.letter_waits(l)
		AND NOT EXISTS (SELECT FROM sluice.letter_batch k JOIN sluice.session s ON s.id = k.owner
			WHERE k.stream = l.stream AND k.sink = p_sink AND k.number = l.batch
			AND l.batch_sink = p_sink AND k.owner <> p_session AND s.state = 'live')
		GROUP BY l.stream ORDER BY min(l.id) LIMIT p_streams_max
	LOOP
		INSERT INTO sluice.letter_batch (stream, sink, number, chain)
		VALUES (name, p_sink, 0, p_session) ON CONFLICT (stream, sink) DO NOTHING;
		SELECT * INTO b FROM sluice.letter_batch k WHERE k.stream = name AND k.sink = p_sink
		FOR UPDATE;
		IF NOT EXISTS (SELECT FROM sluice.letter l WHERE l.stream = name
			AND l.batch_sink = p_sink AND l.batch = b.number AND sluice.letter_waits(l)) THEN
			b.number := greatest(b.number + 1, p_at_ms);
			WITH chosen AS (
				SELECT f.id, sum(f.bytes) OVER (ORDER BY f.id) - f.bytes AS before
				FROM (SELECT w.id, octet_length(w.json) AS bytes FROM sluice.letter w
					WHERE w.stream = name AND sluice.letter_waits(w)
					ORDER BY w.id LIMIT p_max) f
			), held AS (
				SELECT l.id FROM sluice.letter l WHERE l.id IN (
					SELECT t.id FROM chosen t WHERE t.before < p_bytes_max)
				ORDER BY l.id FOR UPDATE
			)
			UPDATE sluice.letter l SET batch = b.number, batch_sink = p_sink FROM held
			WHERE l.id = held.id;
		ELSIF b.owner <> p_session AND EXISTS (
			SELECT FROM sluice.session s WHERE s.id = b.owner AND s.state = 'live') THEN
			CONTINUE;
		END IF;
		UPDATE sluice.letter_batch SET number = b.number, owner = p_session
		WHERE stream = name AND sink = p_sink;
		found_some := true;
	END LOOP;
	RETURN found_some;
END $$;

CREATE OR REPLACE FUNCTION sluice.letters_sent(p_session uuid, p_letters bigint[], p_at_ms bigint,
	p_kept_ms bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	freed bigint;
BEGIN
	PERFORM sluice.session_hold(p_session);
	-- One that came back meanwhile is not meant, where this call comes a second time.
	WITH was AS (
		SELECT l.id, octet_length(l.json) AS bytes FROM sluice.letter l
		WHERE l.id = ANY (p_letters) AND NOT l.loaded ORDER BY l.id FOR UPDATE
	), sent AS (
		UPDATE sluice.letter l SET json = '', sent_ms = p_at_ms FROM was
		WHERE l.id = was.id AND was.bytes > 0 RETURNING was.bytes
	)
	SELECT coalesce(sum(bytes), 0) INTO freed FROM sent;
	-- Not waited for: it holds letters already that come after these.
	WITH old AS (
		SELECT l.id FROM sluice.letter l WHERE l.json = '' AND l.sent_ms < p_at_ms - p_kept_ms
		FOR UPDATE SKIP LOCKED
	)
	DELETE FROM sluice.letter l USING old WHERE l.id = old.id;
	UPDATE sluice.letter_total SET bytes = bytes - freed;
END $$;

-- Its record is not behind the saved place of its shard: it will be read again where its worker dies
-- now, and then come to the sink.
CREATE FUNCTION sluice.letter_is_early(l sluice.letter, p_sink bigint) RETURNS boolean
LANGUAGE sql STABLE AS $$
	SELECT EXISTS (
		SELECT FROM sluice.lane n JOIN sluice.position p ON p.lane = n.id AND p.sink = p_sink
		WHERE n.stream = (SELECT max(s.id) FROM sluice.stream s WHERE s.name = l.stream)
		AND n.shard = l.shard AND NOT p.done AND (p.sequence IS NULL OR p.sequence <
			CASE WHEN l.sequence ~ '^[0-9]{1,40}$' THEN l.sequence::numeric END))
$$;

-- The batch that is to be tried now. Of those that it is made of: which are not tried yet.
CREATE FUNCTION sluice.letters_try(p_owner uuid, p_first boolean, p_stream text, p_sink bigint,
	p_letters bigint[], p_max bigint, p_bytes_max bigint, p_at_ms bigint)
RETURNS SETOF bigint LANGUAGE plpgsql AS $$
DECLARE
	c sluice.letter_chain;
	early bigint[];
BEGIN
	INSERT INTO sluice.letter_chain (stream, sink, number, id, owner)
	VALUES (p_stream, p_sink, 0, p_owner, p_owner) ON CONFLICT (stream, sink) DO NOTHING;
	SELECT * INTO c FROM sluice.letter_chain k WHERE k.stream = p_stream AND k.sink = p_sink
	FOR UPDATE;
	IF c.owner <> p_owner AND NOT p_first THEN
		RAISE EXCEPTION 'another command tries the letters of % by now', p_stream
		USING ERRCODE = 'SL001';
	END IF;
	IF cardinality(p_letters) > 0 AND (c.number = 0 OR NOT EXISTS (
		SELECT FROM sluice.letter l WHERE l.stream = p_stream
		AND l.retry_sink = p_sink AND l.retry = c.number AND l.json <> '')) THEN
		c.number := greatest(c.number + 1, p_at_ms);
		SELECT coalesce(array_agg(l.id ORDER BY l.id), '{}') INTO early FROM sluice.letter l
		WHERE l.id = ANY (p_letters) AND l.stream = p_stream AND l.json <> ''
		AND sluice.letter_is_early(l, p_sink);
		WITH chosen AS (
			SELECT f.id, sum(f.bytes) OVER (ORDER BY f.id) - f.bytes AS before
			FROM (SELECT w.id, octet_length(w.json) AS bytes FROM sluice.letter w
				WHERE w.id = ANY (p_letters) AND w.stream = p_stream AND w.json <> ''
				AND w.id <> ALL (early)
				ORDER BY w.id LIMIT p_max) f
		), held AS (
			SELECT l.id FROM sluice.letter l WHERE l.id IN (
				SELECT t.id FROM chosen t WHERE t.before < p_bytes_max)
			ORDER BY l.id FOR UPDATE
		)
		UPDATE sluice.letter l SET retry = c.number, retry_sink = p_sink FROM held
		WHERE l.id = held.id;
	END IF;
	UPDATE sluice.letter_chain SET number = c.number, owner = p_owner
	WHERE stream = p_stream AND sink = p_sink;
	RETURN QUERY SELECT unnest(early);
END $$;

CREATE OR REPLACE FUNCTION sluice.letters_retry(p_owner uuid, p_first boolean, p_stream text,
	p_sink bigint, p_letters bigint[], p_max bigint, p_bytes_max bigint, p_at_ms bigint)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM sluice.letters_try(p_owner, p_first, p_stream, p_sink, p_letters, p_max, p_bytes_max,
		p_at_ms);
END $$;

CREATE OR REPLACE FUNCTION sluice.letters_gone(p_letters bigint[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
	freed bigint;
BEGIN
	WITH held AS (
		SELECT l.id FROM sluice.letter l WHERE l.id = ANY (p_letters) ORDER BY l.id FOR UPDATE
	), gone AS (
		DELETE FROM sluice.letter l USING held WHERE l.id = held.id
		RETURNING octet_length(l.json) AS bytes
	)
	SELECT coalesce(sum(bytes), 0) INTO freed FROM gone;
	UPDATE sluice.letter_total SET bytes = bytes - freed;
END $$;

-- One that is bad for every sink becomes one for each of these.
CREATE FUNCTION sluice.letter_split(p_letter bigint, p_sinks text[], p_jsons text[],
	p_bytes_max bigint) RETURNS TABLE (letter bigint, name text) LANGUAGE plpgsql AS $$
DECLARE
	l sluice.letter;
	was bigint;
	added bigint;
BEGIN
	-- What a letter is of never changes: this needs no lock.
	SELECT * INTO l FROM sluice.letter k WHERE k.id = p_letter;
	PERFORM FROM sluice.letter k WHERE k.stream = l.stream AND k.shard = l.shard
	AND k.sequence = l.sequence ORDER BY k.id FOR UPDATE;
	SELECT * INTO l FROM sluice.letter k WHERE k.id = p_letter AND k.json <> '';
	IF NOT FOUND THEN
		RETURN;
	END IF;
	SELECT coalesce(sum(octet_length(k.json)), 0) INTO was FROM sluice.letter k
	WHERE k.stream = l.stream AND k.shard = l.shard AND k.sequence = l.sequence;
	INSERT INTO sluice.letter AS k (stream, sink, shard, sequence, reason, json, generation, loaded)
	SELECT l.stream, p.sink, l.shard, l.sequence, l.reason, p.json, l.generation, l.loaded
	FROM unnest(p_sinks, p_jsons) AS p (sink, json)
	-- What was sent to a sink of letters is one again, in no batch; what is one stays as it is.
	ON CONFLICT (stream, sink, shard, sequence) DO UPDATE SET reason = EXCLUDED.reason,
		json = EXCLUDED.json, sent_ms = 0, batch = 0, batch_sink = 0, retry = 0, retry_sink = 0,
		loaded = EXCLUDED.loaded, generation = greatest(k.generation, EXCLUDED.generation)
	WHERE k.json = '';
	DELETE FROM sluice.letter k WHERE k.id = p_letter;
	SELECT coalesce(sum(octet_length(k.json)), 0) INTO added FROM sluice.letter k
	WHERE k.stream = l.stream AND k.shard = l.shard AND k.sequence = l.sequence;
	UPDATE sluice.letter_total SET bytes = bytes + added - was
	WHERE added <= was OR bytes + added - was <= p_bytes_max;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'the dead letters would pass % bytes: retry or drop some', p_bytes_max
		USING ERRCODE = 'SL002';
	END IF;
	RETURN QUERY SELECT k.id, k.sink FROM sluice.letter k WHERE k.stream = l.stream
		AND k.shard = l.shard AND k.sequence = l.sequence AND k.sink = ANY (p_sinks);
END $$;

CREATE OR REPLACE FUNCTION sluice.letter_split(p_letter bigint, p_sinks text[], p_jsons text[])
RETURNS TABLE (letter bigint, name text) LANGUAGE sql AS $$
	SELECT * FROM sluice.letter_split(p_letter, p_sinks, p_jsons, 9223372036854775807)
$$;
