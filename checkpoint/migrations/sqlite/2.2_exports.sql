-- Exports of tables and their data files; as in Postgres.
CREATE TABLE export (
	id           INTEGER PRIMARY KEY AUTOINCREMENT,
	stream       INTEGER REFERENCES stream, -- whose baseline or repair it is
	table_arn    TEXT NOT NULL,
	name         TEXT NOT NULL, -- in the configuration
	kind         TEXT NOT NULL CHECK (kind IN ('full', 'incremental', 'baseline', 'repair', 'load')),
	from_ms      INTEGER NOT NULL, -- 0: a full export of to_ms
	to_ms        INTEGER NOT NULL, -- AWS time, as all times here
	generation   INTEGER NOT NULL,
	number       INTEGER NOT NULL, -- of the window within the generation; 0: the full export
	view         TEXT NOT NULL CHECK (view IN ('', 'NEW_IMAGE', 'NEW_AND_OLD_IMAGES')),
	status       TEXT NOT NULL CHECK (status IN ('waiting', 'running', 'exported', 'loading',
		'complete', 'failed', 'abandoned')),
	attempt      INTEGER NOT NULL DEFAULT 0,
	token        TEXT NOT NULL DEFAULT '', -- of the attempt: saved before AWS is asked
	arn          TEXT NOT NULL DEFAULT '',
	manifest     TEXT NOT NULL DEFAULT '',
	retry_at_ms  INTEGER NOT NULL DEFAULT 0, -- no attempt before this
	error        TEXT NOT NULL DEFAULT '',
	driver       TEXT, -- a session's id; one that is not live does not count
	begun_ms     INTEGER NOT NULL,
	submitted_ms INTEGER NOT NULL DEFAULT 0,
	exported_ms  INTEGER NOT NULL DEFAULT 0,
	finished_ms  INTEGER NOT NULL DEFAULT 0,
	published_ms INTEGER NOT NULL DEFAULT 0,
	items        INTEGER NOT NULL DEFAULT 0, -- as the manifest has it
	billed_bytes INTEGER NOT NULL DEFAULT 0,
	files        INTEGER NOT NULL DEFAULT 0,
	lanes        INTEGER REFERENCES stream, -- the stream of its files; NULL: none yet
	files_done   INTEGER NOT NULL DEFAULT 0,
	files_failed INTEGER NOT NULL DEFAULT 0,
	records      INTEGER NOT NULL DEFAULT 0, -- of the files that are done
	bytes        INTEGER NOT NULL DEFAULT 0,
	-- The last window of the batch that it is loaded in, which has the batch's files; itself of
	-- that one. NULL: it is loaded alone, or not yet. No reference: rows go one by one.
	batch        INTEGER,
	ends_batch   INTEGER NOT NULL DEFAULT 0 -- a person began it: no window behind it is waited for
);
CREATE UNIQUE INDEX export_window ON export (coalesce(stream, 0), table_arn, name, kind, from_ms,
	to_ms, generation);
CREATE UNIQUE INDEX export_lanes ON export (lanes) WHERE lanes IS NOT NULL;
CREATE INDEX export_loading ON export (id) WHERE status IN ('loading', 'failed');
CREATE INDEX export_batch ON export (batch) WHERE batch IS NOT NULL;

CREATE TABLE export_file (
	lane        INTEGER PRIMARY KEY REFERENCES lane ON DELETE CASCADE,
	export      INTEGER NOT NULL REFERENCES export ON DELETE CASCADE,
	location    TEXT NOT NULL,
	checksum    TEXT NOT NULL,
	items       INTEGER NOT NULL, -- as the manifest has it
	completed   INTEGER NOT NULL DEFAULT 0, -- for good, and counted
	failed      INTEGER NOT NULL DEFAULT 0, -- until a person says: again
	retry_at_ms INTEGER NOT NULL DEFAULT 0,
	retries     INTEGER NOT NULL DEFAULT 0,
	attempts    INTEGER NOT NULL DEFAULT 0,
	error       TEXT NOT NULL DEFAULT '',
	records     INTEGER NOT NULL DEFAULT 0,
	bytes       INTEGER NOT NULL DEFAULT 0,
	started_ms  INTEGER NOT NULL DEFAULT 0,
	ended_ms    INTEGER NOT NULL DEFAULT 0,
	updated_ms  INTEGER NOT NULL DEFAULT 0,
	session     TEXT, -- that had it last
	worker      TEXT NOT NULL DEFAULT '',
	tried_ms    INTEGER NOT NULL DEFAULT 0 -- the last attempt's begin; 0: it failed, or there was none
);
CREATE INDEX export_file_of ON export_file (export, lane);

-- Who tried what and how it ended: an export at AWS (lane NULL), or the load of a file. A file's
-- attempt that is under way or went well is in the file's own row.
CREATE TABLE export_attempt (
	id       INTEGER PRIMARY KEY AUTOINCREMENT,
	export   INTEGER NOT NULL REFERENCES export ON DELETE CASCADE,
	lane     INTEGER REFERENCES lane ON DELETE CASCADE,
	number   INTEGER NOT NULL,
	session  TEXT NOT NULL,
	worker   TEXT NOT NULL,
	token    TEXT NOT NULL DEFAULT '',
	arn      TEXT NOT NULL DEFAULT '',
	began_ms INTEGER NOT NULL,
	ended_ms INTEGER NOT NULL DEFAULT 0,
	how      TEXT NOT NULL DEFAULT '' CHECK (how IN ('', 'done', 'failed', 'lost')),
	error    TEXT NOT NULL DEFAULT ''
);
CREATE INDEX export_attempt_of ON export_attempt (export, id);
CREATE INDEX export_attempt_lane ON export_attempt (lane) WHERE lane IS NOT NULL;
CREATE VIEW export_attempts AS
	SELECT export, lane, number, session, worker, token, arn, began_ms, ended_ms, how, error
	FROM export_attempt
	UNION ALL
	SELECT export, lane, attempts, session, worker, '', '', tried_ms, ended_ms,
		CASE WHEN completed THEN 'done' ELSE '' END, ''
	FROM export_file WHERE tried_ms > 0;

-- Files that are done or failed, and with the last one the export: whatever changed their counts.
CREATE TRIGGER export_counted AFTER UPDATE OF files_done, files_failed ON export
WHEN NEW.status IN ('loading', 'failed')
BEGIN
	UPDATE export SET status = CASE
		WHEN files_done = files THEN 'complete'
		WHEN files_done + files_failed = files THEN 'failed'
		ELSE 'loading' END
	WHERE id = NEW.id;
END;

-- Whatever finished its lane: a save, another set of sinks.
CREATE TRIGGER file_done AFTER UPDATE OF done ON lane
WHEN NEW.done AND NOT OLD.done
	AND EXISTS (SELECT 1 FROM export_file WHERE lane = NEW.id AND NOT completed)
BEGIN
	UPDATE export SET files_done = files_done + 1, files_failed = files_failed - f.failed,
		records = export.records + f.records, bytes = export.bytes + f.bytes,
		finished_ms = CASE WHEN status IN ('loading', 'failed') AND files_done + 1 = files
			THEN NEW.read_at_ms ELSE finished_ms END
	FROM export_file f WHERE f.lane = NEW.id AND export.id = f.export;
	UPDATE export_file SET completed = 1, failed = 0, error = '', ended_ms = NEW.read_at_ms,
		updated_ms = max(updated_ms, NEW.read_at_ms)
	WHERE lane = NEW.id;
END;

-- The windows of a batch end with it.
CREATE TRIGGER batch_over AFTER UPDATE OF status ON export
WHEN NEW.batch = NEW.id AND NEW.status IN ('complete', 'abandoned') AND OLD.status <> NEW.status
BEGIN
	UPDATE export SET status = NEW.status, error = NEW.error, finished_ms = NEW.finished_ms
	WHERE batch = NEW.id AND id <> NEW.id AND status = 'exported';
END;
