-- Records that a stream lost before they were read; as in Postgres.
CREATE TABLE gap (
	id            INTEGER PRIMARY KEY AUTOINCREMENT,
	stream        INTEGER NOT NULL REFERENCES stream,
	shard         TEXT NOT NULL, -- '': the whole stream
	kind          TEXT NOT NULL CHECK (kind IN ('trimmed', 'vanished', 'orphan', 'reenabled')),
	from_sequence TEXT, -- the last record before it; NULL: none
	from_ms       INTEGER NOT NULL,
	to_sequence   TEXT, -- the first record after it; NULL: not known yet
	to_ms         INTEGER NOT NULL,
	found_ms      INTEGER NOT NULL, -- AWS time, as all times here
	session       TEXT NOT NULL,
	worker        TEXT NOT NULL,
	state         TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'accepted', 'closed')),
	how           TEXT NOT NULL DEFAULT '' CHECK (how IN ('', 'oldest', 'resume', 'repair')),
	closed_ms     INTEGER NOT NULL DEFAULT 0 -- accepted or closed
);
-- What a gap is: a place in a shard, whatever it was found by.
CREATE UNIQUE INDEX gap_place ON gap (stream, shard,
	CASE WHEN shard = '' THEN kind ELSE '' END, coalesce(from_sequence, ''));
CREATE INDEX gap_accepted ON gap (stream, id) WHERE state = 'accepted';
