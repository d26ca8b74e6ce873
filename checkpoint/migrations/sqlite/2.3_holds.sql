-- Holds and resets of streams, and the audit of both; as in Postgres.
CREATE TABLE audit (
	id              INTEGER PRIMARY KEY AUTOINCREMENT,
	stream          INTEGER NOT NULL REFERENCES stream,
	at_ms           INTEGER NOT NULL, -- AWS time, as all times here
	what            TEXT NOT NULL CHECK (what IN ('hold', 'reset', 'go on')),
	hold            INTEGER REFERENCES audit, -- that it is about; NULL: itself
	why             TEXT NOT NULL CHECK (why IN ('pause', 'baseline', 'repair', 'rewind')),
	who             TEXT NOT NULL,
	said            TEXT NOT NULL,
	from_generation INTEGER NOT NULL, -- of a hold: the stream's before it; 0: it was made held
	to_generation   INTEGER NOT NULL,
	from_ms         INTEGER NOT NULL DEFAULT 0, -- of a reset: how far its lanes were
	to_ms           INTEGER NOT NULL DEFAULT 0, -- the same: the stream's start
	lanes           INTEGER NOT NULL DEFAULT 0  -- the same: that went
);
CREATE INDEX audit_of ON audit (stream, id);
CREATE INDEX audit_hold ON audit (hold) WHERE hold IS NOT NULL;

ALTER TABLE stream ADD COLUMN hold INTEGER REFERENCES audit; -- NULL: it is not held
ALTER TABLE stream ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0; -- its last hold
-- That it joined; -1: none, the stream was held, or has been since.
ALTER TABLE member ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0;
