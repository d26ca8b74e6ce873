-- A lane that goes back counts as unread from then on: what it has to read again leaves the stream
-- earlier than what is written now. A minor step: who calls it as 2.10 does leaves read_at_ms alone.

CREATE FUNCTION sluice.hold_rewind(p_stream bigint, p_hold bigint, p_generation bigint,
	p_shards text[], p_sinks integer[], p_sequences numeric[], p_events_ms bigint[],
	p_done boolean[], p_who text, p_said text, p_at_ms bigint, p_read_at_ms bigint)
RETURNS TABLE (done boolean, generation bigint, owned bigint)
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan SET jit = off AS $$
#variable_conflict use_column
DECLARE
	r record;
BEGIN
	SELECT * INTO r FROM sluice.hold_rewind(p_stream, p_hold, p_generation, p_shards, p_sinks,
		p_sequences, p_events_ms, p_done, p_who, p_said, p_at_ms);
	UPDATE sluice.lane l SET read_at_ms = p_read_at_ms
	FROM unnest(p_shards, p_done) AS w (shard, done)
	WHERE r.done AND l.stream = p_stream AND l.shard = w.shard AND NOT w.done
	AND p_read_at_ms > 0 AND l.read_at_ms > p_read_at_ms;
	RETURN QUERY SELECT r.done, r.generation, r.owned;
END $$;
