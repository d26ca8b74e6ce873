-- Dead letters that are tried once more. A minor step: what 2.6 knows stays as it is.
-- Locks are taken in the order letter_chain, letter, letter_total.

ALTER TABLE sluice.letter
	-- Of the stream, as the record was read last; of letters older than this step the first.
	ADD generation bigint NOT NULL DEFAULT 1,
	ADD retry      bigint NOT NULL DEFAULT 0, -- the batch that it is tried with; 0: none
	ADD retry_sink integer NOT NULL DEFAULT 0; -- whose batch that is
CREATE INDEX letter_retry ON sluice.letter (stream, retry_sink, retry) WHERE retry <> 0;

-- The last batch of a stream's letters that was tried for a sink.
CREATE TABLE sluice.letter_chain (
	stream text NOT NULL,
	sink   integer NOT NULL,
	number bigint NOT NULL,
	id     uuid NOT NULL, -- of all batches of these two: of who made the first one
	owner  uuid NOT NULL, -- who came last
	PRIMARY KEY (stream, sink)
);

-- Who had what tried.
CREATE TABLE sluice.letter_audit (
	id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	stream  text NOT NULL,
	at_ms   bigint NOT NULL, -- AWS time
	who     text NOT NULL,
	said    text NOT NULL,
	letters bigint NOT NULL
);
CREATE INDEX letter_audit_of ON sluice.letter_audit (stream, id);

-- As before; and which generation it was read in, which a rewind may have raised since.
CREATE OR REPLACE FUNCTION sluice.letter_put(p_stream text, p_sink text, p_shard text,
	p_sequence text, p_reason text, p_json text, p_bytes_max bigint) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
	now_in bigint := coalesce((SELECT max(s.generation) FROM sluice.stream s
		WHERE s.name = p_stream), 1);
BEGIN
	INSERT INTO sluice.letter (stream, sink, shard, sequence, reason, json, generation)
	VALUES (p_stream, p_sink, p_shard, p_sequence, p_reason, p_json, now_in)
	ON CONFLICT (stream, sink, shard, sequence) DO NOTHING;
	IF NOT FOUND THEN
		UPDATE sluice.letter l SET generation = now_in WHERE l.stream = p_stream
		AND l.sink = p_sink AND l.shard = p_shard AND l.sequence = p_sequence
		AND l.generation < now_in;
		RETURN;
	END IF;
	UPDATE sluice.letter_total SET bytes = bytes + octet_length(p_json)
	WHERE bytes + octet_length(p_json) <= p_bytes_max;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'the dead letters would pass % bytes: retry or drop some', p_bytes_max
		USING ERRCODE = 'SL002';
	END IF;
END $$;

-- The batch that is to be tried now.
CREATE FUNCTION sluice.letters_retry(p_owner uuid, p_first boolean, p_stream text, p_sink bigint,
	p_letters bigint[], p_max bigint, p_bytes_max bigint, p_at_ms bigint) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
	c sluice.letter_chain;
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
		UPDATE sluice.letter l SET retry = c.number, retry_sink = p_sink
		FROM (SELECT f.id, sum(f.bytes) OVER (ORDER BY f.id) - f.bytes AS before
			FROM (SELECT w.id, octet_length(w.json) AS bytes FROM sluice.letter w
				WHERE w.id = ANY (p_letters) AND w.stream = p_stream AND w.json <> ''
				ORDER BY w.id LIMIT p_max) f) t
		WHERE l.id = t.id AND t.before < p_bytes_max;
	END IF;
	UPDATE sluice.letter_chain SET number = c.number, owner = p_owner
	WHERE stream = p_stream AND sink = p_sink;
END $$;

CREATE FUNCTION sluice.letters_gone(p_letters bigint[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	freed bigint;
BEGIN
	WITH gone AS (
		DELETE FROM sluice.letter WHERE id = ANY (p_letters) RETURNING octet_length(json) AS bytes
	)
	SELECT coalesce(sum(bytes), 0) INTO freed FROM gone;
	UPDATE sluice.letter_total SET bytes = bytes - freed;
END $$;

CREATE FUNCTION sluice.letter_again(p_letter bigint, p_reason text, p_json text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
	was bigint;
BEGIN
	SELECT octet_length(json) INTO was FROM sluice.letter WHERE id = p_letter AND json <> ''
	FOR UPDATE;
	IF FOUND THEN
		UPDATE sluice.letter SET reason = p_reason, json = p_json, retry = 0, retry_sink = 0
		WHERE id = p_letter;
		UPDATE sluice.letter_total SET bytes = bytes + octet_length(p_json) - was;
	END IF;
END $$;

-- One that is bad for every sink becomes one for each of these.
CREATE FUNCTION sluice.letter_split(p_letter bigint, p_sinks text[], p_jsons text[])
RETURNS TABLE (letter bigint, name text) LANGUAGE plpgsql AS $$
DECLARE
	l sluice.letter;
	was bigint;
	added bigint;
BEGIN
	SELECT * INTO l FROM sluice.letter k WHERE k.id = p_letter AND k.json <> '' FOR UPDATE;
	IF NOT FOUND THEN
		RETURN;
	END IF;
	SELECT coalesce(sum(octet_length(k.json)), 0) INTO was FROM sluice.letter k
	WHERE k.stream = l.stream AND k.shard = l.shard AND k.sequence = l.sequence;
	INSERT INTO sluice.letter AS k (stream, sink, shard, sequence, reason, json, generation)
	SELECT l.stream, p.sink, l.shard, l.sequence, l.reason, p.json, l.generation
	FROM unnest(p_sinks, p_jsons) AS p (sink, json)
	-- What was sent to a sink of letters is one again; what is one stays as it is.
	ON CONFLICT (stream, sink, shard, sequence) DO UPDATE SET reason = EXCLUDED.reason,
		json = EXCLUDED.json, sent_ms = 0, batch = 0, batch_sink = 0,
		generation = greatest(k.generation, EXCLUDED.generation)
	WHERE k.json = '';
	DELETE FROM sluice.letter k WHERE k.id = p_letter;
	SELECT coalesce(sum(octet_length(k.json)), 0) INTO added FROM sluice.letter k
	WHERE k.stream = l.stream AND k.shard = l.shard AND k.sequence = l.sequence;
	UPDATE sluice.letter_total SET bytes = bytes + added - was;
	RETURN QUERY SELECT k.id, k.sink FROM sluice.letter k WHERE k.stream = l.stream
		AND k.shard = l.shard AND k.sequence = l.sequence AND k.sink = ANY (p_sinks);
END $$;

CREATE FUNCTION sluice.letter_audit_put(p_stream text, p_at_ms bigint, p_who text, p_said text,
	p_letters bigint, p_kept_ms bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM sluice.letter_audit WHERE at_ms < p_at_ms - p_kept_ms;
	INSERT INTO sluice.letter_audit (stream, at_ms, who, said, letters)
	VALUES (p_stream, p_at_ms, p_who, p_said, p_letters);
END $$;
