-- Dead letters on their way into a sink, and records that a person sends to them; as in Postgres.
ALTER TABLE letter ADD COLUMN batch INTEGER NOT NULL DEFAULT 0;      -- that it goes with; 0: none yet
ALTER TABLE letter ADD COLUMN batch_sink INTEGER NOT NULL DEFAULT 0; -- whose batch that is
-- This session's sink can never take it: not tried while that lives.
ALTER TABLE letter ADD COLUMN kept TEXT;
-- It is in a sink, json is '' then. The row stays for a while: the record may be read again.
ALTER TABLE letter ADD COLUMN sent_ms INTEGER NOT NULL DEFAULT 0;
CREATE INDEX letter_waiting ON letter (stream, id) WHERE json <> '';
CREATE INDEX letter_sent ON letter (sent_ms) WHERE json = '';

-- The last batch of a stream's letters to a sink.
CREATE TABLE letter_batch (
	stream TEXT NOT NULL,
	sink   INTEGER NOT NULL,
	number INTEGER NOT NULL,
	chain  TEXT NOT NULL, -- of all batches of these two: the session that made the first one
	owner  TEXT, -- a session's id: it is about to send; one that is not live does not count
	PRIMARY KEY (stream, sink)
) WITHOUT ROWID;

-- Records that go to the dead letters instead of to the sinks, as a person said.
CREATE TABLE skip (
	stream   INTEGER NOT NULL REFERENCES stream,
	shard    TEXT NOT NULL,
	sequence TEXT NOT NULL,
	who      TEXT NOT NULL,
	at_ms    INTEGER NOT NULL, -- AWS time
	PRIMARY KEY (stream, shard, sequence)
) WITHOUT ROWID;
