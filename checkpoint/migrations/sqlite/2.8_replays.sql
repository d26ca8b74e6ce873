-- Side runs; as in Postgres.
CREATE TABLE side (
	stream   INTEGER PRIMARY KEY REFERENCES stream, -- that it is read as
	source   INTEGER NOT NULL REFERENCES stream,
	sink     INTEGER NOT NULL,
	said     TEXT NOT NULL, -- what was asked for
	who      TEXT NOT NULL,
	until_ms INTEGER NOT NULL, -- AWS time, as all times here
	begun_ms INTEGER NOT NULL,
	UNIQUE (source, sink)
);
-- How far the source was read when it began: to there it has to come.
CREATE TABLE side_goal (
	stream   INTEGER NOT NULL REFERENCES side ON DELETE CASCADE,
	shard    TEXT NOT NULL,
	sequence TEXT, -- NULL: to the shard's end
	PRIMARY KEY (stream, shard)
) WITHOUT ROWID;
