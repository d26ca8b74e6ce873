-- Where sinks begin that are added to a stream which is read already; as in Postgres.
CREATE TABLE sink_start (
	stream   INTEGER NOT NULL REFERENCES stream ON DELETE CASCADE,
	sink     INTEGER NOT NULL,
	start_ms INTEGER NOT NULL, -- what is older is not wanted; 0: all that is left is
	at_ms    INTEGER NOT NULL, -- when that was said; both are AWS time
	PRIMARY KEY (stream, sink)
) WITHOUT ROWID;

-- After a reset all sinks begin where the stream does.
CREATE TRIGGER starts_over AFTER UPDATE OF rooted ON stream WHEN NOT NEW.rooted
BEGIN
	DELETE FROM sink_start WHERE stream = NEW.id;
END;
