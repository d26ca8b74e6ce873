-- Control events: what readers of a sink are told beside the data, kept here until it was told. A
-- minor step: what 2.3 knows stays as it is.
-- An event is put in the transaction of what it tells of: what gaps have to say, triggers say, so
-- that older workers do, too. Locks are taken in the order session, stream, gap, claims (advisory),
-- control.

CREATE TABLE sluice.control (
	id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	stream     bigint NOT NULL REFERENCES sluice.stream,
	name       text NOT NULL, -- the stream's: events of one name are told one after the other
	kind       text NOT NULL CHECK (kind IN ('baseline', 'repair', 'rewind', 'gap', 'reenabled',
		'partitions')),
	phase      text NOT NULL CHECK (phase IN ('begin', 'end')),
	generation bigint NOT NULL,
	time_ms    bigint NOT NULL, -- AWS time, as all times here
	key        text NOT NULL, -- what it tells of: said twice it is one event
	sink       integer, -- the only one that it is for; NULL: all of the stream's
	detail     text NOT NULL, -- a JSON object; '': there is none
	handed_out boolean NOT NULL DEFAULT false, -- to the sinks, as rows of control_delivery
	UNIQUE (stream, key)
);
CREATE INDEX control_new ON sluice.control (name) WHERE NOT handed_out;
CREATE INDEX control_age ON sluice.control (time_ms);

CREATE TABLE sluice.control_delivery (
	event   bigint NOT NULL REFERENCES sluice.control ON DELETE CASCADE,
	sink    integer NOT NULL,
	owner   uuid, -- a session's id: it is about to tell; one that is not live does not count
	told_ms bigint NOT NULL DEFAULT 0, -- 0: not yet
	PRIMARY KEY (event, sink)
);
CREATE INDEX control_untold ON sluice.control_delivery (sink, event) WHERE told_ms = 0;

-- The last roll of each session, whatever became of it.
CREATE TABLE sluice.roll_last (
	session uuid NOT NULL REFERENCES sluice.session ON DELETE CASCADE,
	sink    integer NOT NULL,
	number  bigint NOT NULL,
	PRIMARY KEY (session, sink)
) WITH (fillfactor = 50);
INSERT INTO sluice.roll_last (session, sink, number)
SELECT r.session, r.sink, max(r.number) FROM sluice.roll r
WHERE EXISTS (SELECT FROM sluice.session s WHERE s.id = r.session) GROUP BY 1, 2;

-- The same as an end found it: all before the end is in these rolls or in earlier ones.
CREATE TABLE sluice.control_roll (
	event   bigint NOT NULL REFERENCES sluice.control ON DELETE CASCADE,
	sink    integer NOT NULL,
	session uuid NOT NULL,
	number  bigint NOT NULL,
	PRIMARY KEY (event, sink, session)
);

-- How many partitions a topic had when a stream's records last went there.
CREATE TABLE sluice.topic (
	name       text NOT NULL, -- the stream's
	sink       integer NOT NULL,
	topic      text NOT NULL,
	partitions bigint NOT NULL,
	before     bigint NOT NULL, -- it had so many until session said otherwise at seen_ms
	session    uuid NOT NULL,
	seen_ms    bigint NOT NULL,
	PRIMARY KEY (name, sink, topic)
);

CREATE FUNCTION sluice.roll_noted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO sluice.roll_last (session, sink, number)
	VALUES (NEW.session, NEW.sink, NEW.number)
	ON CONFLICT (session, sink) DO UPDATE SET number = excluded.number
	WHERE roll_last.number < excluded.number;
	RETURN NULL;
END $$;
CREATE TRIGGER roll_noted AFTER INSERT ON sluice.roll FOR EACH ROW
	EXECUTE FUNCTION sluice.roll_noted();

-- The stream is locked by the caller, so that events of a stream get their ids in order. True: it
-- was not there.
CREATE FUNCTION sluice.control_add(p_stream bigint, p_kind text, p_phase text,
	p_generation bigint, p_time_ms bigint, p_key text, p_sink integer, p_detail text)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	event bigint;
BEGIN
	INSERT INTO sluice.control (stream, name, kind, phase, generation, time_ms, key, sink, detail)
	SELECT s.id, s.name, p_kind, p_phase, coalesce(nullif(p_generation, 0), s.generation),
		p_time_ms, p_key, p_sink, p_detail
	FROM sluice.stream s WHERE s.id = p_stream
	ON CONFLICT (stream, key) DO NOTHING
	RETURNING id INTO event;
	IF event IS NULL THEN
		RETURN false;
	END IF;
	IF p_phase = 'end' AND p_kind IN ('baseline', 'repair', 'rewind') THEN
		INSERT INTO sluice.control_roll (event, sink, session, number)
		SELECT event, r.sink, r.session, r.number FROM sluice.roll_last r;
	END IF;
	RETURN true;
END $$;

-- p_session NULL: a person's command.
CREATE FUNCTION sluice.control_put(p_session uuid, p_stream bigint, p_kind text, p_phase text,
	p_generation bigint, p_time_ms bigint, p_key text, p_sink bigint, p_detail text)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	IF p_session IS NOT NULL THEN
		PERFORM sluice.session_hold(p_session);
	END IF;
	PERFORM sluice.stream_hold(p_stream);
	RETURN sluice.control_add(p_stream, p_kind, p_phase, p_generation, p_time_ms, p_key,
		nullif(p_sink, 0)::integer, p_detail);
END $$;

-- --- what gaps say ---

CREATE FUNCTION sluice.gap_says(g sluice.gap, p_phase text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM sluice.control_add(g.stream,
		CASE WHEN g.kind = 'reenabled' THEN 'reenabled' ELSE 'gap' END, p_phase, 0,
		CASE WHEN p_phase = 'begin' THEN g.found_ms ELSE g.closed_ms END,
		format('gap %s %s', g.id, p_phase), NULL,
		format('{"id":%s,"reason":"%s","shard":%s,"from":%s,"from_ms":%s,"to":%s,"to_ms":%s,'
			'"how":%s}', g.id, g.kind,
			coalesce(to_json(nullif(g.shard, ''))::text, 'null'),
			coalesce(to_json(g.from_sequence::text)::text, 'null'),
			coalesce(nullif(g.from_ms, 0)::text, 'null'),
			coalesce(to_json(g.to_sequence::text)::text, 'null'),
			coalesce(nullif(g.to_ms, 0)::text, 'null'),
			coalesce(to_json(nullif(g.how, ''))::text, 'null')));
END $$;
CREATE FUNCTION sluice.gap_begun() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM sluice.gap_says(NEW, 'begin');
	RETURN NULL;
END $$;
CREATE FUNCTION sluice.gap_ended() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM sluice.gap_says(NEW, 'end');
	RETURN NULL;
END $$;
CREATE FUNCTION sluice.gap_forgotten() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM sluice.gap_says(OLD, 'end');
	RETURN NULL;
END $$;
CREATE TRIGGER gap_begun AFTER INSERT ON sluice.gap FOR EACH ROW
	EXECUTE FUNCTION sluice.gap_begun();
-- One of a shard ends where reading goes on behind it; one of a whole stream stays accepted.
CREATE TRIGGER gap_ended AFTER UPDATE OF state ON sluice.gap FOR EACH ROW
	WHEN (NEW.state <> OLD.state AND (NEW.state = 'closed'
		OR NEW.state = 'accepted' AND NEW.shard = ''))
	EXECUTE FUNCTION sluice.gap_ended();
-- Nobody came to close it.
CREATE TRIGGER gap_forgotten AFTER DELETE ON sluice.gap FOR EACH ROW
	WHEN (OLD.state = 'accepted' AND OLD.shard <> '') EXECUTE FUNCTION sluice.gap_forgotten();

-- As before, but that the stream is locked, for the event.
CREATE OR REPLACE FUNCTION sluice.gap_close(p_gap bigint, p_how text, p_to numeric, p_to_ms bigint,
	p_at_ms bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	whose bigint;
BEGIN
	SELECT stream INTO whose FROM sluice.gap WHERE id = p_gap AND state <> 'closed';
	IF NOT FOUND THEN
		RETURN;
	END IF;
	PERFORM sluice.stream_hold(whose);
	UPDATE sluice.gap SET state = 'closed', closed_ms = p_at_ms,
		how = CASE WHEN p_how = '' THEN how ELSE p_how END,
		to_sequence = coalesce(p_to, to_sequence),
		to_ms = CASE WHEN p_to_ms > 0 THEN p_to_ms ELSE to_ms END
	WHERE id = p_gap AND state <> 'closed';
END $$;

-- --- the end of rewinds ---

-- Goals of shards that are not there any more are nobody's, and so are those of sinks that the
-- stream has no more.
CREATE FUNCTION sluice.rewind_over(p_stream bigint) RETURNS boolean
LANGUAGE sql STABLE AS $$
	SELECT s.hold IS NULL AND s.rooted AND NOT EXISTS (
		SELECT FROM sluice.rewind_goal g JOIN sluice.lane l ON l.stream = s.id
			AND l.shard = g.shard JOIN sluice.position p ON p.lane = l.id AND p.sink = g.sink
		WHERE g.stream = s.id AND (s.sinks IS NULL OR g.sink = ANY (s.sinks)) AND NOT p.done
		AND (p.sequence IS NULL OR g.sequence IS NULL OR p.sequence < g.sequence))
	FROM sluice.stream s WHERE s.id = p_stream
$$;

-- Of the streams with these names. None is locked before there is something to end.
CREATE FUNCTION sluice.rewinds_end(p_names text[], p_at_ms bigint) RETURNS void
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan SET jit = off AS $$
DECLARE
	s bigint;
BEGIN
	FOR s IN SELECT x.id FROM sluice.stream x WHERE x.name = ANY (p_names)
		AND EXISTS (SELECT FROM sluice.rewind_goal g WHERE g.stream = x.id) ORDER BY x.id
	LOOP
		CONTINUE WHEN NOT sluice.rewind_over(s);
		PERFORM sluice.stream_hold(s);
		CONTINUE WHEN NOT sluice.rewind_over(s);
		DELETE FROM sluice.rewind_goal g WHERE g.stream = s;
		IF FOUND THEN
			PERFORM sluice.control_add(s, 'rewind', 'end', 0, p_at_ms,
				format('rewind %s end', x.generation), NULL, '')
			FROM sluice.stream x WHERE x.id = s;
		END IF;
	END LOOP;
END $$;

-- --- telling ---

-- Something that a delivery comes after is not visible yet.
CREATE FUNCTION sluice.control_waits(p_event bigint, p_sink integer) RETURNS boolean
LANGUAGE sql STABLE AS $$
	SELECT EXISTS (
		SELECT FROM sluice.control_roll e JOIN sluice.roll r
			ON r.session = e.session AND r.sink = e.sink AND r.number <= e.number
		WHERE e.event = p_event AND e.sink = p_sink)
$$;

-- Its reply is small on purpose: a client that stops reading must not hold the locks. How many
-- deliveries the session has now, and whether an end waits for rolls.
CREATE FUNCTION sluice.control_claim(p_session uuid, p_names text[], p_sinks integer[],
	p_max bigint, p_at_ms bigint, p_kept_ms bigint, p_late_ms bigint)
RETURNS TABLE (claimed bigint, waits boolean)
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan SET jit = off AS $$
#variable_conflict use_column
DECLARE
	live uuid[];
BEGIN
	IF EXISTS (SELECT FROM sluice.rewind_goal) THEN
		PERFORM sluice.session_hold(p_session);
		PERFORM sluice.rewinds_end(p_names, p_at_ms);
	END IF;
	IF NOT EXISTS (SELECT FROM sluice.control c WHERE NOT c.handed_out AND c.name = ANY (p_names))
	AND NOT EXISTS (
		SELECT FROM sluice.control_delivery d WHERE d.told_ms = 0 AND d.sink = ANY (p_sinks)) THEN
		RETURN QUERY SELECT 0::bigint, false;
		RETURN;
	END IF;
	PERFORM sluice.session_hold(p_session);
	PERFORM pg_advisory_xact_lock(hashtextextended('sluice control', 0));
	live := sluice.live();
	-- Where others serve the stream with the stored sinks and this session does not, it is theirs.
	WITH fresh AS (
		UPDATE sluice.control c SET handed_out = true
		WHERE NOT c.handed_out AND c.name = ANY (p_names) AND (NOT EXISTS (
			SELECT FROM sluice.stream s JOIN sluice.member m ON m.stream = s.id
			WHERE s.name = c.name AND m.session = ANY (live) AND m.sinks = s.sinks)
		OR EXISTS (
			SELECT FROM sluice.stream s JOIN sluice.member m ON m.stream = s.id
			WHERE s.name = c.name AND m.session = p_session AND m.sinks = s.sinks))
		RETURNING c.id, c.name, c.sink
	)
	INSERT INTO sluice.control_delivery (event, sink)
	SELECT DISTINCT f.id, k.sink
	FROM fresh f JOIN unnest(p_names, p_sinks) AS k (name, sink) ON k.name = f.name
	WHERE k.sink > 0 AND (f.sink IS NULL OR f.sink = k.sink);
	DELETE FROM sluice.control c WHERE c.time_ms < p_at_ms - p_kept_ms AND c.handed_out
	AND NOT EXISTS (
		SELECT FROM sluice.control_delivery d WHERE d.event = c.id AND d.told_ms = 0);
	DELETE FROM sluice.control c WHERE c.time_ms < p_at_ms - p_late_ms;
	-- The oldest of each stream and sink, up to one of which something is not visible yet; none
	-- while another session is about to tell some.
	WITH untold AS (
		SELECT d.event, d.sink,
			row_number() OVER (PARTITION BY c.name, d.sink ORDER BY d.event) AS place,
			bool_or(d.owner <> p_session AND d.owner = ANY (live))
				OVER (PARTITION BY c.name, d.sink) AS others,
			bool_or(sluice.control_waits(d.event, d.sink))
				OVER (PARTITION BY c.name, d.sink ORDER BY d.event) AS behind
		FROM sluice.control_delivery d
		JOIN sluice.control c ON c.id = d.event
		WHERE d.told_ms = 0 AND EXISTS (SELECT FROM unnest(p_names, p_sinks) AS k (name, sink)
			WHERE k.name = c.name AND k.sink = d.sink)
	)
	UPDATE sluice.control_delivery d SET owner = p_session FROM untold u
	WHERE d.event = u.event AND d.sink = u.sink AND u.place <= p_max
	AND d.owner IS DISTINCT FROM p_session AND NOT coalesce(u.others, false) AND NOT u.behind;
	RETURN QUERY SELECT count(*) FILTER (WHERE d.owner = p_session),
		coalesce(bool_or(d.sink = ANY (p_sinks) AND sluice.control_waits(d.event, d.sink)), false)
	FROM sluice.control_delivery d WHERE d.told_ms = 0;
END $$;

CREATE FUNCTION sluice.control_told(p_session uuid, p_sink bigint, p_events bigint[],
	p_at_ms bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM sluice.session_hold(p_session);
	PERFORM pg_advisory_xact_lock(hashtextextended('sluice control', 0));
	UPDATE sluice.control_delivery SET told_ms = p_at_ms
	WHERE event = ANY (p_events) AND sink = p_sink AND told_ms = 0 AND owner = p_session;
END $$;

-- How many partitions it had before; 0: as many, or nothing was known.
CREATE FUNCTION sluice.topic_seen(p_session uuid, p_stream bigint, p_sink bigint, p_topic text,
	p_partitions bigint, p_at_ms bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	whose text;
	was sluice.topic;
BEGIN
	PERFORM sluice.session_hold(p_session);
	PERFORM sluice.stream_hold(p_stream);
	SELECT s.name INTO whose FROM sluice.stream s WHERE s.id = p_stream;
	INSERT INTO sluice.topic AS t (name, sink, topic, partitions, before, session, seen_ms)
	VALUES (whose, p_sink, p_topic, p_partitions, 0, p_session, p_at_ms)
	ON CONFLICT (name, sink, topic) DO NOTHING;
	SELECT t.* INTO was FROM sluice.topic t
	WHERE t.name = whose AND t.sink = p_sink AND t.topic = p_topic FOR NO KEY UPDATE;
	IF was.partitions = p_partitions THEN
		-- Said again where the reply was lost.
		RETURN CASE WHEN was.session = p_session AND was.seen_ms = p_at_ms THEN was.before
			ELSE 0 END;
	END IF;
	UPDATE sluice.topic t SET partitions = p_partitions, before = was.partitions,
		session = p_session, seen_ms = p_at_ms
	WHERE t.name = whose AND t.sink = p_sink AND t.topic = p_topic;
	PERFORM sluice.control_add(p_stream, 'partitions', 'begin', 0, p_at_ms,
		format('topic %s %s %s', p_sink, p_topic, p_at_ms), p_sink::integer,
		format('{"topic":%s,"from":%s,"to":%s}', to_json(p_topic), was.partitions, p_partitions));
	RETURN was.partitions;
END $$;
