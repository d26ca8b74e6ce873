-- Dead letters on their way into a sink, and records that a person sends to them. A minor step:
-- what 2.4 knows stays as it is; an older worker leaves the letters where they are.
-- Locks are taken in the order session, stream, letter_batch, letter, letter_total.

ALTER TABLE sluice.letter
	ADD batch      bigint NOT NULL DEFAULT 0,  -- that it goes with; 0: none yet
	ADD batch_sink integer NOT NULL DEFAULT 0, -- whose batch that is
	ADD kept       uuid, -- this session's sink can never take it: not tried while that lives
	-- It is in a sink, json is '' then. The row stays for a while: the record may be read again.
	ADD sent_ms    bigint NOT NULL DEFAULT 0;
CREATE INDEX letter_waiting ON sluice.letter (stream, id) WHERE json <> '';
CREATE INDEX letter_sent ON sluice.letter (sent_ms) WHERE json = '';

-- The last batch of a stream's letters to a sink.
CREATE TABLE sluice.letter_batch (
	stream text NOT NULL,
	sink   integer NOT NULL,
	number bigint NOT NULL,
	chain  uuid NOT NULL, -- of all batches of these two: the session that made the first one
	owner  uuid, -- a session's id: it is about to send; one that is not live does not count
	PRIMARY KEY (stream, sink)
);

CREATE FUNCTION sluice.letter_waits(l sluice.letter) RETURNS boolean LANGUAGE sql STABLE AS $$
	SELECT l.json <> '' AND (l.kept IS NULL OR NOT EXISTS (
		SELECT FROM sluice.session s WHERE s.id = l.kept AND s.state = 'live'))
$$;

-- True: the session has some to send.
CREATE FUNCTION sluice.letters_claim(p_session uuid, p_sink bigint, p_streams text[],
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
			UPDATE sluice.letter l SET batch = b.number, batch_sink = p_sink
			FROM (SELECT f.id, sum(f.bytes) OVER (ORDER BY f.id) - f.bytes AS before
				FROM (SELECT w.id, octet_length(w.json) AS bytes FROM sluice.letter w
					WHERE w.stream = name AND sluice.letter_waits(w)
					ORDER BY w.id LIMIT p_max) f) t
			WHERE l.id = t.id AND t.before < p_bytes_max;
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

CREATE FUNCTION sluice.letters_sent(p_session uuid, p_letters bigint[], p_at_ms bigint,
	p_kept_ms bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	freed bigint;
BEGIN
	PERFORM sluice.session_hold(p_session);
	WITH was AS (
		SELECT l.id, octet_length(l.json) AS bytes FROM sluice.letter l
		WHERE l.id = ANY (p_letters) ORDER BY l.id FOR UPDATE
	), sent AS (
		UPDATE sluice.letter l SET json = '', sent_ms = p_at_ms FROM was
		WHERE l.id = was.id AND was.bytes > 0 RETURNING was.bytes
	)
	SELECT coalesce(sum(bytes), 0) INTO freed FROM sent;
	DELETE FROM sluice.letter WHERE json = '' AND sent_ms < p_at_ms - p_kept_ms;
	UPDATE sluice.letter_total SET bytes = bytes - freed;
END $$;

CREATE FUNCTION sluice.letter_keep(p_session uuid, p_letter bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
	PERFORM sluice.session_hold(p_session);
	-- What is known of the batch, that it is in, must not be taken for this one.
	UPDATE sluice.letter SET kept = p_session, batch = 0, batch_sink = 0 WHERE id = p_letter;
END $$;

-- Records that go to the dead letters instead of to the sinks, as a person said.
CREATE TABLE sluice.skip (
	stream   bigint NOT NULL REFERENCES sluice.stream,
	shard    text NOT NULL,
	sequence numeric(40) NOT NULL,
	who      text NOT NULL,
	at_ms    bigint NOT NULL, -- AWS time
	PRIMARY KEY (stream, shard, sequence)
);

CREATE FUNCTION sluice.skip_put(p_stream bigint, p_shard text, p_sequence numeric, p_who text,
	p_at_ms bigint, p_kept_ms bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM sluice.stream_hold(p_stream);
	DELETE FROM sluice.skip WHERE at_ms < p_at_ms - p_kept_ms;
	INSERT INTO sluice.skip (stream, shard, sequence, who, at_ms)
	VALUES (p_stream, p_shard, p_sequence, p_who, p_at_ms)
	ON CONFLICT (stream, shard, sequence) DO NOTHING;
END $$;
