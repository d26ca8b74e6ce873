-- Control events, kept until they were told; as in Postgres.
CREATE TABLE control (
	id         INTEGER PRIMARY KEY AUTOINCREMENT,
	stream     INTEGER NOT NULL REFERENCES stream,
	name       TEXT NOT NULL, -- the stream's: events of one name are told one after the other
	kind       TEXT NOT NULL CHECK (kind IN ('baseline', 'repair', 'rewind', 'gap', 'reenabled',
		'partitions')),
	phase      TEXT NOT NULL CHECK (phase IN ('begin', 'end')),
	generation INTEGER NOT NULL,
	time_ms    INTEGER NOT NULL, -- AWS time, as all times here
	key        TEXT NOT NULL, -- what it tells of: said twice it is one event
	sink       INTEGER, -- the only one that it is for; NULL: all of the stream's
	detail     TEXT NOT NULL, -- a JSON object; '': there is none
	handed_out INTEGER NOT NULL DEFAULT 0, -- to the sinks, as rows of control_delivery
	UNIQUE (stream, key)
);
CREATE INDEX control_new ON control (name) WHERE NOT handed_out;
CREATE INDEX control_age ON control (time_ms);

CREATE TABLE control_delivery (
	event   INTEGER NOT NULL REFERENCES control ON DELETE CASCADE,
	sink    INTEGER NOT NULL,
	owner   TEXT, -- a session's id: it is about to tell; one that is not live does not count
	told_ms INTEGER NOT NULL DEFAULT 0, -- 0: not yet
	PRIMARY KEY (event, sink)
) WITHOUT ROWID;
CREATE INDEX control_untold ON control_delivery (sink, event) WHERE told_ms = 0;

-- The last roll of each session, whatever became of it.
CREATE TABLE roll_last (
	session TEXT NOT NULL REFERENCES session (id) ON DELETE CASCADE,
	sink    INTEGER NOT NULL,
	number  INTEGER NOT NULL,
	PRIMARY KEY (session, sink)
) WITHOUT ROWID;
INSERT INTO roll_last (session, sink, number)
SELECT session, sink, max(number) FROM roll
WHERE session IN (SELECT id FROM session) GROUP BY session, sink;

-- The same as an end found it: all before the end is in these rolls or in earlier ones.
CREATE TABLE control_roll (
	event   INTEGER NOT NULL REFERENCES control ON DELETE CASCADE,
	sink    INTEGER NOT NULL,
	session TEXT NOT NULL,
	number  INTEGER NOT NULL,
	PRIMARY KEY (event, sink, session)
) WITHOUT ROWID;

-- How many partitions a topic had when a stream's records last went there.
CREATE TABLE topic (
	name       TEXT NOT NULL, -- the stream's
	sink       INTEGER NOT NULL,
	topic      TEXT NOT NULL,
	partitions INTEGER NOT NULL,
	before     INTEGER NOT NULL, -- it had so many until session said otherwise at seen_ms
	session    TEXT NOT NULL,
	seen_ms    INTEGER NOT NULL,
	PRIMARY KEY (name, sink, topic)
) WITHOUT ROWID;

CREATE TRIGGER roll_noted AFTER INSERT ON roll
BEGIN
	INSERT INTO roll_last (session, sink, number) VALUES (NEW.session, NEW.sink, NEW.number)
	ON CONFLICT (session, sink) DO UPDATE SET number = excluded.number
	WHERE roll_last.number < excluded.number;
END;

CREATE TRIGGER control_ended AFTER INSERT ON control
WHEN NEW.phase = 'end' AND NEW.kind IN ('baseline', 'repair', 'rewind')
BEGIN
	INSERT INTO control_roll (event, sink, session, number)
	SELECT NEW.id, sink, session, number FROM roll_last;
END;

-- What gaps say.
CREATE VIEW gap_says AS
SELECT g.id AS gap, g.stream, s.name,
	CASE WHEN g.kind = 'reenabled' THEN 'reenabled' ELSE 'gap' END AS kind, s.generation,
	g.found_ms, g.closed_ms,
	json_object('id', g.id, 'reason', g.kind, 'shard', nullif(g.shard, ''),
		'from', g.from_sequence, 'from_ms', nullif(g.from_ms, 0), 'to', g.to_sequence,
		'to_ms', nullif(g.to_ms, 0), 'how', nullif(g.how, '')) AS detail
FROM gap g JOIN stream s ON s.id = g.stream;
CREATE TRIGGER gap_begun AFTER INSERT ON gap
BEGIN
	INSERT INTO control (stream, name, kind, phase, generation, time_ms, key, detail)
	SELECT stream, name, kind, 'begin', generation, found_ms, 'gap ' || gap || ' begin', detail
	FROM gap_says WHERE gap = NEW.id ON CONFLICT DO NOTHING;
END;
-- One of a shard ends where reading goes on behind it; one of a whole stream stays accepted.
CREATE TRIGGER gap_ended AFTER UPDATE OF state ON gap
WHEN NEW.state <> OLD.state AND (NEW.state = 'closed' OR NEW.state = 'accepted' AND NEW.shard = '')
BEGIN
	INSERT INTO control (stream, name, kind, phase, generation, time_ms, key, detail)
	SELECT stream, name, kind, 'end', generation, closed_ms, 'gap ' || gap || ' end', detail
	FROM gap_says WHERE gap = NEW.id ON CONFLICT DO NOTHING;
END;
-- Nobody came to close it.
CREATE TRIGGER gap_forgotten BEFORE DELETE ON gap
WHEN OLD.state = 'accepted' AND OLD.shard <> ''
BEGIN
	INSERT INTO control (stream, name, kind, phase, generation, time_ms, key, detail)
	SELECT stream, name, kind, 'end', generation, closed_ms, 'gap ' || gap || ' end', detail
	FROM gap_says WHERE gap = OLD.id ON CONFLICT DO NOTHING;
END;
