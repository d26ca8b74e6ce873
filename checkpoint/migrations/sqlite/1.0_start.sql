-- Sequences are text without leading zeros: they sort by (length, text).
CREATE TABLE session (
	serial  INTEGER PRIMARY KEY AUTOINCREMENT,
	id      TEXT NOT NULL UNIQUE,
	worker  TEXT NOT NULL,
	address TEXT NOT NULL,
	beat    INTEGER NOT NULL DEFAULT 0,
	saves   INTEGER NOT NULL DEFAULT 0, -- number of the last save
	state   TEXT NOT NULL DEFAULT 'live' CHECK (state IN ('live', 'dead', 'buried'))
);

CREATE TABLE stream (
	id         INTEGER PRIMARY KEY AUTOINCREMENT,
	name       TEXT NOT NULL,
	arn        TEXT NOT NULL,
	generation INTEGER NOT NULL DEFAULT 1,
	start_ms   INTEGER NOT NULL,
	rooted     INTEGER NOT NULL DEFAULT 0,
	UNIQUE (name, arn)
);

CREATE TABLE sink (
	id   INTEGER PRIMARY KEY AUTOINCREMENT,
	name TEXT NOT NULL UNIQUE
);

CREATE TABLE lane (
	id         INTEGER PRIMARY KEY AUTOINCREMENT,
	stream     INTEGER NOT NULL REFERENCES stream,
	shard      TEXT NOT NULL,
	parent     TEXT NOT NULL,
	starting   TEXT,
	root       INTEGER NOT NULL,
	owner      TEXT, -- a session's id; NULL: free
	read_at_ms INTEGER NOT NULL DEFAULT 0,
	UNIQUE (stream, shard)
);
CREATE INDEX lane_owner ON lane (owner);

CREATE TABLE position (
	lane     INTEGER NOT NULL REFERENCES lane ON DELETE CASCADE,
	sink     INTEGER NOT NULL,
	sequence TEXT, -- NULL: before the first record
	event_ms INTEGER NOT NULL DEFAULT 0,
	done     INTEGER NOT NULL DEFAULT 0,
	PRIMARY KEY (lane, sink)
) WITHOUT ROWID;

CREATE TABLE roll (
	session TEXT NOT NULL,
	sink    INTEGER NOT NULL,
	number  INTEGER NOT NULL,
	blob    BLOB NOT NULL,
	PRIMARY KEY (session, sink, number)
);

CREATE TABLE letter (
	id       INTEGER PRIMARY KEY AUTOINCREMENT,
	stream   TEXT NOT NULL,
	sink     TEXT NOT NULL,
	shard    TEXT NOT NULL,
	sequence TEXT NOT NULL,
	reason   TEXT NOT NULL,
	json     TEXT NOT NULL,
	UNIQUE (stream, sink, shard, sequence)
);
-- One row: the sum of the letters' bytes, so that the limit costs no scan.
CREATE TABLE letter_total (bytes INTEGER NOT NULL);
INSERT INTO letter_total (bytes) VALUES (0);
