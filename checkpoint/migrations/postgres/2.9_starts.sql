-- A sink that is added to a stream which is read already may begin before where the others are. A
-- minor step: of the sinks of an older worker nothing is said, and they begin where those are.

CREATE TABLE sluice.sink_start (
	stream   bigint NOT NULL REFERENCES sluice.stream ON DELETE CASCADE,
	sink     integer NOT NULL,
	start_ms bigint NOT NULL, -- what is older is not wanted; 0: all that is left is
	at_ms    bigint NOT NULL, -- when that was said; both are AWS time
	PRIMARY KEY (stream, sink)
);

-- It is of the stream's stored set, or has a place in one of its lanes.
CREATE FUNCTION sluice.sink_is_known(p_stream bigint, p_sink integer) RETURNS boolean
LANGUAGE sql STABLE AS $$
	SELECT EXISTS (SELECT FROM sluice.stream s WHERE s.id = p_stream AND p_sink = ANY (s.sinks))
	OR EXISTS (SELECT FROM sluice.lane l JOIN sluice.position p ON p.lane = l.id
		WHERE l.stream = p_stream AND p.sink = p_sink)
$$;

-- p_starts: below 0, where the others are. What is said again within the day that a stream keeps is
-- another worker of the same deployment.
CREATE FUNCTION sluice.sinks_start(p_stream bigint, p_sinks integer[], p_starts bigint[],
	p_at_ms bigint, p_kept_ms bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM sluice.stream_hold(p_stream);
	DELETE FROM sluice.sink_start k USING unnest(p_sinks, p_starts) AS w (sink, start_ms)
	WHERE k.stream = p_stream AND k.sink = w.sink AND w.start_ms < 0
	AND NOT sluice.sink_is_known(p_stream, w.sink);
	INSERT INTO sluice.sink_start AS k (stream, sink, start_ms, at_ms)
	SELECT s.id, w.sink, w.start_ms, p_at_ms
	FROM unnest(p_sinks, p_starts) AS w (sink, start_ms)
	JOIN sluice.stream s ON s.id = p_stream AND s.rooted
	WHERE w.start_ms >= 0 AND NOT sluice.sink_is_known(p_stream, w.sink)
	ON CONFLICT (stream, sink) DO UPDATE
	SET start_ms = excluded.start_ms, at_ms = excluded.at_ms
	WHERE k.at_ms < excluded.at_ms - p_kept_ms;
END $$;

-- As before, but that a sink which is new and said where it begins has its places from now on. Of a
-- lane that was read to its end more than a day before that, nothing is left.
CREATE OR REPLACE FUNCTION sluice.stream_settle(p_session uuid, p_stream bigint) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
	live uuid[] := sluice.live();
	own integer[];
	was integer[];
BEGIN
	SELECT m.sinks INTO own FROM sluice.member m
	WHERE m.stream = p_stream AND m.session = p_session;
	SELECT s.sinks INTO was FROM sluice.stream s WHERE s.id = p_stream;
	UPDATE sluice.stream s SET sinks = own
	WHERE s.id = p_stream AND s.sinks IS DISTINCT FROM own AND NOT EXISTS (
		SELECT FROM sluice.member m
		WHERE m.stream = p_stream AND m.session = ANY (live) AND m.sinks = s.sinks);
	IF FOUND THEN
		INSERT INTO sluice.position (lane, sink)
		SELECT l.id, k.sink FROM sluice.sink_start k JOIN sluice.lane l ON l.stream = k.stream
		WHERE k.stream = p_stream AND k.sink = ANY (own)
		AND k.sink <> ALL (coalesce(was, '{}'))
		AND NOT (l.done AND l.read_at_ms > 0 AND l.read_at_ms < k.at_ms - 86400000)
		ON CONFLICT (lane, sink) DO NOTHING;
		-- Another sink that a lane does not have yet will start where its furthest position is.
		UPDATE sluice.lane l SET done = t.done, owner = CASE WHEN NOT t.done THEN l.owner END,
			wanted_by = NULL
		FROM (
			SELECT x.id, NOT EXISTS (
				SELECT FROM unnest(own) AS s (sink)
				LEFT JOIN sluice.position p ON p.lane = x.id AND p.sink = s.sink
				WHERE NOT coalesce(p.done, EXISTS (
					SELECT FROM sluice.position o WHERE o.lane = x.id AND o.done))
			) AS done
			FROM sluice.lane x WHERE x.stream = p_stream
		) t
		WHERE l.id = t.id AND l.done <> t.done;
	END IF;
	UPDATE sluice.stream s SET lister = p_session
	WHERE s.id = p_stream AND s.sinks = own
	AND (s.lister IS NULL OR s.lister <> ALL (live));
END $$;

-- After a reset all sinks begin where the stream does.
CREATE FUNCTION sluice.starts_over() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM sluice.sink_start k WHERE k.stream = NEW.id;
	RETURN NULL;
END $$;
CREATE TRIGGER starts_over AFTER UPDATE OF rooted ON sluice.stream FOR EACH ROW
	WHEN (NOT NEW.rooted) EXECUTE FUNCTION sluice.starts_over();
