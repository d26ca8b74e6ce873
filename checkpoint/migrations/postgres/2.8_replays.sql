-- Side runs: a stream is read a second time, into a sink that it does not have, as a stream of its
-- own. And repairs that a person asks for. A minor step: an older worker tells of a stream with two
-- names while a side run is under way, and ends such a repair unmade.

CREATE TABLE sluice.side (
	stream   bigint PRIMARY KEY REFERENCES sluice.stream, -- that it is read as
	source   bigint NOT NULL REFERENCES sluice.stream,
	sink     integer NOT NULL,
	said     text NOT NULL, -- what was asked for
	who      text NOT NULL,
	until_ms bigint NOT NULL, -- AWS time, as all times here
	begun_ms bigint NOT NULL,
	UNIQUE (source, sink)
);
-- How far the source was read when it began: to there it has to come.
CREATE TABLE sluice.side_goal (
	stream   bigint NOT NULL REFERENCES sluice.side ON DELETE CASCADE,
	shard    text NOT NULL,
	sequence numeric(40), -- NULL: to the shard's end
	PRIMARY KEY (stream, shard)
);

-- NULL: another one reads the source into the sink. In the audit it is a rewind without a hold.
CREATE FUNCTION sluice.side_begin(p_source bigint, p_sink bigint, p_name text, p_said text,
	p_who text, p_start_ms bigint, p_until_ms bigint, p_at_ms bigint, p_placed boolean,
	p_shards text[], p_sequences numeric[], p_events_ms bigint[], p_done boolean[],
	p_read_at_ms bigint) RETURNS bigint
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan SET jit = off AS $$
DECLARE
	other sluice.side;
	made bigint;
	lanes bigint := 0;
BEGIN
	PERFORM sluice.stream_hold(p_source);
	SELECT * INTO other FROM sluice.side d WHERE d.source = p_source AND d.sink = p_sink;
	IF FOUND THEN
		-- Said again where the reply was lost.
		RETURN CASE WHEN other.who = p_who AND other.begun_ms = p_at_ms THEN other.stream END;
	END IF;
	INSERT INTO sluice.stream (name, arn, generation, start_ms, rooted)
	SELECT p_name, s.arn, s.generation, p_start_ms, p_placed
	FROM sluice.stream s WHERE s.id = p_source RETURNING id INTO made;
	INSERT INTO sluice.side (stream, source, sink, said, who, until_ms, begun_ms)
	VALUES (made, p_source, p_sink, p_said, p_who, p_until_ms, p_at_ms);
	IF p_placed THEN
		INSERT INTO sluice.lane (stream, shard, parent, starting, root, done, read_at_ms)
		SELECT made, l.shard, l.parent, l.starting, l.root, w.done,
			CASE WHEN w.sequence IS NULL THEN 0 ELSE p_read_at_ms END
		FROM sluice.lane l JOIN unnest(p_shards, p_sequences, p_done)
			AS w (shard, sequence, done) ON w.shard = l.shard
		WHERE l.stream = p_source ORDER BY l.id;
		GET DIAGNOSTICS lanes = ROW_COUNT;
		INSERT INTO sluice.position (lane, sink, sequence, event_ms, done)
		SELECT l.id, p_sink, w.sequence, w.event_ms, w.done
		FROM sluice.lane l JOIN unnest(p_shards, p_sequences, p_events_ms, p_done)
			AS w (shard, sequence, event_ms, done) ON w.shard = l.shard
		WHERE l.stream = made;
	END IF;
	INSERT INTO sluice.side_goal (stream, shard, sequence)
	SELECT made, l.shard, CASE WHEN NOT bool_or(p.done) THEN max(p.sequence) END
	FROM sluice.lane l JOIN sluice.position p ON p.lane = l.id
	WHERE l.stream = p_source AND (p.done OR p.sequence IS NOT NULL) GROUP BY l.shard;
	INSERT INTO sluice.skip (stream, shard, sequence, who, at_ms)
	SELECT made, k.shard, k.sequence, k.who, k.at_ms FROM sluice.skip k WHERE k.stream = p_source;
	INSERT INTO sluice.audit (stream, at_ms, what, why, who, said, from_generation,
		to_generation, to_ms, lanes)
	SELECT p_source, p_at_ms, 'rewind', 'rewind', p_who, p_said, s.generation, s.generation,
		p_start_ms, lanes
	FROM sluice.stream s WHERE s.id = p_source;
	RETURN made;
END $$;

CREATE FUNCTION sluice.side_over(p_stream bigint) RETURNS boolean LANGUAGE sql STABLE AS $$
	SELECT s.rooted AND s.hold IS NULL AND NOT EXISTS (
		SELECT FROM sluice.side_goal g JOIN sluice.lane l ON l.stream = s.id
			AND l.shard = g.shard JOIN sluice.position p ON p.lane = l.id AND p.sink = d.sink
		WHERE g.stream = s.id AND NOT p.done
		AND (p.sequence IS NULL OR g.sequence IS NULL OR p.sequence < g.sequence))
	FROM sluice.stream s JOIN sluice.side d ON d.stream = s.id WHERE s.id = p_stream
$$;

-- Nothing is left of it but the audit.
CREATE FUNCTION sluice.side_end(p_stream bigint, p_who text, p_said text, p_at_ms bigint)
RETURNS void LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan SET jit = off AS $$
DECLARE
	d sluice.side;
BEGIN
	SELECT * INTO d FROM sluice.side x WHERE x.stream = p_stream;
	IF NOT FOUND THEN
		RETURN;
	END IF;
	PERFORM sluice.stream_hold(least(p_stream, d.source));
	PERFORM sluice.stream_hold(greatest(p_stream, d.source));
	INSERT INTO sluice.audit (stream, at_ms, what, why, who, said, from_generation,
		to_generation, to_ms, lanes)
	SELECT d.source, p_at_ms, 'go on', 'rewind', p_who, p_said, s.generation, s.generation,
		d.until_ms, (SELECT count(*) FROM sluice.lane l WHERE l.stream = p_stream)
	FROM sluice.stream s WHERE s.id = p_stream;
	DELETE FROM sluice.lane WHERE stream = p_stream;
	DELETE FROM sluice.gap WHERE stream = p_stream;
	DELETE FROM sluice.control WHERE stream = p_stream;
	DELETE FROM sluice.rewind_goal WHERE stream = p_stream;
	DELETE FROM sluice.savepoint WHERE stream = p_stream;
	DELETE FROM sluice.member WHERE stream = p_stream;
	DELETE FROM sluice.skip WHERE stream = p_stream;
	DELETE FROM sluice.topic t USING sluice.stream s WHERE s.id = p_stream AND t.name = s.name;
	UPDATE sluice.stream SET hold = NULL WHERE id = p_stream;
	DELETE FROM sluice.audit WHERE stream = p_stream;
	DELETE FROM sluice.side WHERE stream = p_stream;
	DELETE FROM sluice.stream WHERE id = p_stream;
END $$;

-- --- repairs that a person asks for ---

-- As hold_begin; the hold's to_ms says what a repair goes back to, 0: to what gaps lost.
CREATE FUNCTION sluice.hold_begin_at(p_stream bigint, p_generation bigint, p_why text, p_who text,
	p_said text, p_at_ms bigint, p_kept_ms bigint, p_back_ms bigint)
RETURNS TABLE (id bigint, why text, who text, said text, since_ms bigint, generation bigint,
	back_ms bigint, done boolean)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
	h record;
BEGIN
	SELECT * INTO h FROM sluice.hold_begin(p_stream, p_generation, p_why, p_who, p_said, p_at_ms,
		p_kept_ms);
	IF h.done THEN
		UPDATE sluice.audit a SET to_ms = p_back_ms WHERE a.id = h.id;
	END IF;
	RETURN QUERY SELECT h.id, h.why, h.who, h.said, h.since_ms, h.generation,
		(SELECT a.to_ms FROM sluice.audit a WHERE a.id = h.id), h.done;
END $$;
