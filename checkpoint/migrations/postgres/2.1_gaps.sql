-- Records that a stream lost before they were read. A minor step: what 2.0 knows stays as it is.
-- Locks are taken in the order session, stream, gap.

CREATE TABLE sluice.gap (
	id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	stream        bigint NOT NULL REFERENCES sluice.stream,
	shard         text NOT NULL, -- '': the whole stream
	kind          text NOT NULL CHECK (kind IN ('trimmed', 'vanished', 'orphan', 'reenabled')),
	from_sequence numeric(40), -- the last record before it; NULL: none
	from_ms       bigint NOT NULL,
	to_sequence   numeric(40), -- the first record after it; NULL: not known yet
	to_ms         bigint NOT NULL,
	found_ms      bigint NOT NULL, -- AWS time, as all times here
	session       uuid NOT NULL,
	worker        text NOT NULL,
	state         text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'accepted', 'closed')),
	how           text NOT NULL DEFAULT '' CHECK (how IN ('', 'oldest', 'resume', 'repair')),
	closed_ms     bigint NOT NULL DEFAULT 0 -- accepted or closed
);
-- What a gap is: a place in a shard, whatever it was found by.
CREATE UNIQUE INDEX gap_place ON sluice.gap (stream, shard,
	(CASE WHEN shard = '' THEN kind ELSE '' END), (coalesce(from_sequence, -1)));
CREATE INDEX gap_accepted ON sluice.gap (stream, id) WHERE state = 'accepted';

CREATE FUNCTION sluice.gap_put(p_session uuid, p_stream bigint, p_shard text, p_kind text,
	p_from numeric, p_from_ms bigint, p_to numeric, p_to_ms bigint, p_found_ms bigint,
	p_accept boolean, p_again_ms bigint, p_kept_ms bigint)
RETURNS TABLE (id bigint, state text, how text, added boolean) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
	was sluice.gap;
BEGIN
	PERFORM sluice.session_hold(p_session);
	PERFORM sluice.stream_hold(p_stream);
	SELECT g.* INTO was FROM sluice.gap g
	WHERE g.stream = p_stream AND g.shard = p_shard
	AND CASE WHEN g.shard = '' THEN g.kind ELSE '' END
		= CASE WHEN p_shard = '' THEN p_kind ELSE '' END
	AND coalesce(g.from_sequence, -1) = coalesce(p_from, -1);
	-- What was lost a day after it was accepted is another loss.
	IF was.state <> 'open' AND p_found_ms - was.closed_ms > p_again_ms THEN
		DELETE FROM sluice.gap g WHERE g.id = was.id;
		was.id := NULL;
	END IF;
	IF was.id IS NULL THEN
		DELETE FROM sluice.gap g WHERE g.stream = p_stream AND g.state <> 'open'
		AND g.closed_ms < p_found_ms - p_kept_ms;
		INSERT INTO sluice.gap (stream, shard, kind, from_sequence, from_ms, to_sequence, to_ms,
			found_ms, session, worker)
		SELECT p_stream, p_shard, p_kind, p_from, p_from_ms, p_to, p_to_ms, p_found_ms, s.id,
			s.worker
		FROM sluice.session s WHERE s.id = p_session
		RETURNING * INTO was;
	END IF;
	IF p_accept AND was.state = 'open' THEN
		UPDATE sluice.gap g SET state = 'accepted', how = 'oldest', closed_ms = p_found_ms
		WHERE g.id = was.id RETURNING * INTO was;
	END IF;
	-- Said again where the reply was lost.
	RETURN QUERY SELECT was.id, was.state, was.how,
		was.session = p_session AND was.found_ms = p_found_ms;
END $$;

CREATE FUNCTION sluice.gaps_accept(p_stream bigint, p_newest bigint, p_at_ms bigint)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	accepted bigint;
BEGIN
	PERFORM sluice.stream_hold(p_stream);
	UPDATE sluice.gap SET state = 'accepted', how = 'resume', closed_ms = p_at_ms
	WHERE stream = p_stream AND state = 'open' AND id <= p_newest;
	GET DIAGNOSTICS accepted = ROW_COUNT;
	RETURN accepted;
END $$;

CREATE FUNCTION sluice.gap_close(p_gap bigint, p_how text, p_to numeric, p_to_ms bigint,
	p_at_ms bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	UPDATE sluice.gap SET state = 'closed', closed_ms = p_at_ms,
		how = CASE WHEN p_how = '' THEN how ELSE p_how END,
		to_sequence = coalesce(p_to, to_sequence),
		to_ms = CASE WHEN p_to_ms > 0 THEN p_to_ms ELSE to_ms END
	WHERE id = p_gap AND state <> 'closed';
END $$;
