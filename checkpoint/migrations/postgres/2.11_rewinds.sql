-- A lane that goes back counts as unread from then on: what it has to read again leaves the stream
-- earlier than what is written now. A minor step: who calls it as 2.10 does leaves read_at_ms alone.

CREATE FUNCTION sluice.hold_rewind(p_stream bigint, p_hold bigint, p_generation bigint,
	p_shards text[], p_sinks integer[], p_sequences numeric[], p_events_ms bigint[],
	p_done boolean[], p_who text, p_said text, p_at_ms bigint, p_read_at_ms bigint)
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
	UPDATE sluice.lane l SET read_at_ms = p_read_at_ms
	FROM unnest(p_shards, p_done) AS w (shard, done)
	WHERE l.stream = p_stream AND l.shard = w.shard AND NOT w.done
	AND p_read_at_ms > 0 AND l.read_at_ms > p_read_at_ms;
	RETURN QUERY SELECT true, sluice.hold_did(p_stream, p_hold, 'rewind', p_generation, place,
		(SELECT coalesce(min(m), 0) FROM unnest(p_events_ms, p_done) AS e (m, d) WHERE NOT d),
		lanes, p_who, p_said, p_at_ms), 0::bigint;
END $$;

CREATE OR REPLACE FUNCTION sluice.hold_rewind(p_stream bigint, p_hold bigint, p_generation bigint,
	p_shards text[], p_sinks integer[], p_sequences numeric[], p_events_ms bigint[],
	p_done boolean[], p_who text, p_said text, p_at_ms bigint)
RETURNS TABLE (done boolean, generation bigint, owned bigint)
LANGUAGE sql AS $$
	SELECT * FROM sluice.hold_rewind(p_stream, p_hold, p_generation, p_shards, p_sinks,
		p_sequences, p_events_ms, p_done, p_who, p_said, p_at_ms, 0)
$$;
