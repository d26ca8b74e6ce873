-- Holds of streams, what is done under them, and the audit of both; savepoints. As in Postgres.
CREATE TABLE audit (
	id              INTEGER PRIMARY KEY AUTOINCREMENT,
	stream          INTEGER NOT NULL REFERENCES stream,
	at_ms           INTEGER NOT NULL, -- AWS time, as all times here
	what            TEXT NOT NULL CHECK (what IN ('hold', 'reset', 'rewind', 'go on')),
	hold            INTEGER REFERENCES audit, -- that it is about; NULL: itself
	why             TEXT NOT NULL CHECK (why IN ('pause', 'baseline', 'repair', 'rewind')),
	who             TEXT NOT NULL,
	said            TEXT NOT NULL,
	from_generation INTEGER NOT NULL, -- of a hold: the stream's before it; 0: it was made held
	to_generation   INTEGER NOT NULL,
	from_ms         INTEGER NOT NULL DEFAULT 0, -- of a reset or rewind: how far its lanes were
	to_ms           INTEGER NOT NULL DEFAULT 0, -- the same: the stream's start, the oldest place
	lanes           INTEGER NOT NULL DEFAULT 0  -- the same: that went, that were set
);
CREATE INDEX audit_of ON audit (stream, id);
CREATE INDEX audit_hold ON audit (hold) WHERE hold IS NOT NULL;

ALTER TABLE stream ADD COLUMN hold INTEGER REFERENCES audit; -- NULL: it is not held
ALTER TABLE stream ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0; -- its last hold
-- That it joined; -1: none, the stream was held, or has been since.
ALTER TABLE member ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0;

-- Where lanes stood that are read again: once all of it is reached, the rewind is over.
CREATE TABLE rewind_goal (
	stream   INTEGER NOT NULL REFERENCES stream,
	shard    TEXT NOT NULL,
	sink     INTEGER NOT NULL,
	sequence TEXT, -- NULL: it was done
	PRIMARY KEY (stream, shard, sink)
) WITHOUT ROWID;

CREATE TABLE savepoint (
	id         INTEGER PRIMARY KEY AUTOINCREMENT,
	name       TEXT NOT NULL,
	stream     INTEGER NOT NULL REFERENCES stream,
	generation INTEGER NOT NULL, -- the stream's at that time
	who        TEXT NOT NULL,
	at_ms      INTEGER NOT NULL,
	UNIQUE (name, stream)
);
CREATE TABLE savepoint_place (
	savepoint INTEGER NOT NULL REFERENCES savepoint ON DELETE CASCADE,
	shard     TEXT NOT NULL,
	sink      INTEGER NOT NULL,
	sequence  TEXT, -- NULL: before the first record
	event_ms  INTEGER NOT NULL,
	done      INTEGER NOT NULL,
	PRIMARY KEY (savepoint, shard, sink)
) WITHOUT ROWID;
