-- Rolls that are transactions: what their commit will move is kept beside them. A minor step: what
-- earlier minors know stays as it is, and they write none of these.

-- One row a transaction, however many lanes it has: there are several a second.
ALTER TABLE sluice.roll
	ADD COLUMN pending_lanes bigint[], -- NULL: its positions moved with it
	ADD COLUMN pending_to numeric[],
	ADD COLUMN pending_ms bigint[];

-- A save whose rolls have pending places.
CREATE FUNCTION sluice.save_pending(p_session uuid, p_number bigint, p_lanes bigint[],
	p_sinks integer[], p_from numeric[], p_to numeric[], p_event_ms bigint[], p_done boolean[],
	p_roll_sinks integer[], p_roll_numbers bigint[], p_roll_blobs bytea[],
	p_finished_sinks integer[], p_finished_numbers bigint[], p_read bigint[],
	p_read_at_ms bigint, p_files bigint[], p_records bigint[], p_bytes bigint[],
	p_pending_lanes bigint[], p_pending_sinks integer[], p_pending_to numeric[],
	p_pending_ms bigint[]) RETURNS void LANGUAGE plpgsql SET jit = off AS $$
BEGIN
	PERFORM sluice.save_files(p_session, p_number, p_lanes, p_sinks, p_from, p_to, p_event_ms,
		p_done, p_roll_sinks, p_roll_numbers, p_roll_blobs, p_finished_sinks, p_finished_numbers,
		p_read, p_read_at_ms, p_files, p_records, p_bytes);
	-- Again where the reply was lost: to the same.
	UPDATE sluice.roll r SET pending_lanes = t.lanes, pending_to = t.targets, pending_ms = t.ms
	FROM unnest(p_roll_sinks, p_roll_numbers) AS n (sink, number)
	JOIN (
		SELECT p.sink, array_agg(p.lane) AS lanes, array_agg(p.target) AS targets,
			array_agg(p.event_ms) AS ms
		FROM unnest(p_pending_lanes, p_pending_sinks, p_pending_to, p_pending_ms)
			AS p (lane, sink, target, event_ms)
		GROUP BY p.sink
	) t ON t.sink = n.sink
	WHERE r.session = p_session AND r.sink = n.sink AND r.number = n.number;
END $$;

-- Burial has finished the roll: what was pending moves where it was committed, and the row goes.
CREATE FUNCTION sluice.roll_finished(p_session uuid, p_sink text, p_number bigint,
	p_committed boolean) RETURNS void
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
DECLARE
	of_sink integer;
	lanes bigint[];
	targets numeric[];
	ms bigint[];
BEGIN
	PERFORM FROM sluice.session WHERE id = p_session FOR NO KEY UPDATE;
	DELETE FROM sluice.roll d USING sluice.sink k
	WHERE k.name = p_sink AND d.session = p_session AND d.sink = k.id AND d.number = p_number
	RETURNING d.sink, d.pending_lanes, d.pending_to, d.pending_ms
	INTO of_sink, lanes, targets, ms;
	IF NOT FOUND OR NOT p_committed OR lanes IS NULL THEN
		RETURN;
	END IF;
	UPDATE sluice.position p SET sequence = m.target, event_ms = m.event_ms
	FROM unnest(lanes, targets, ms) AS m (lane, target, event_ms)
	WHERE p.lane = m.lane AND p.sink = of_sink AND (p.sequence IS NULL OR p.sequence < m.target)
	-- Not a join: where the session's lanes come first, each of them looks at all of these.
	AND (SELECT l.owner FROM sluice.lane l WHERE l.id = m.lane) = p_session;
END $$;
