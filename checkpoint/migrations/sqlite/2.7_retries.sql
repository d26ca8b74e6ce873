-- Dead letters that are tried once more; as in Postgres.
-- Of the stream, as the record was read last; of letters older than this step the first.
ALTER TABLE letter ADD COLUMN generation INTEGER NOT NULL DEFAULT 1;
ALTER TABLE letter ADD COLUMN retry INTEGER NOT NULL DEFAULT 0; -- the batch that it is tried with
ALTER TABLE letter ADD COLUMN retry_sink INTEGER NOT NULL DEFAULT 0; -- whose batch that is
CREATE INDEX letter_retry ON letter (stream, retry_sink, retry) WHERE retry <> 0;

-- The last batch of a stream's letters that was tried for a sink.
CREATE TABLE letter_chain (
	stream TEXT NOT NULL,
	sink   INTEGER NOT NULL,
	number INTEGER NOT NULL,
	id     TEXT NOT NULL, -- of all batches of these two: of who made the first one
	owner  TEXT NOT NULL, -- who came last
	PRIMARY KEY (stream, sink)
) WITHOUT ROWID;

-- Who had what tried.
CREATE TABLE letter_audit (
	id      INTEGER PRIMARY KEY AUTOINCREMENT,
	stream  TEXT NOT NULL,
	at_ms   INTEGER NOT NULL, -- AWS time
	who     TEXT NOT NULL,
	said    TEXT NOT NULL,
	letters INTEGER NOT NULL
);
CREATE INDEX letter_audit_of ON letter_audit (stream, id);
