-- Exports of tables and their data files. A minor step: what 2.1 knows stays as it is.
--
-- A data file is a lane: a row of sluice.lane under a row of sluice.stream that the export has for
-- itself, and its bookkeeping in export_file. So saves, positions and rolls are those of a shard,
-- and a burial frees a dead session's files without knowing what they are. Nobody joins such a
-- stream: rounds, balance and wishes do not see it. Whether a file is pending, in progress or
-- completed is what its lane says; only what a lane does not know (failed, not before) is stored.
-- Locks are taken in the order session, chain (advisory), stream, lane, position, file, export.

CREATE TABLE sluice.export (
	id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	stream       bigint REFERENCES sluice.stream, -- whose baseline or repair it is
	table_arn    text NOT NULL,
	name         text NOT NULL, -- in the configuration
	kind         text NOT NULL CHECK (kind IN ('full', 'incremental', 'baseline', 'repair', 'load')),
	from_ms      bigint NOT NULL, -- 0: a full export of to_ms
	to_ms        bigint NOT NULL, -- AWS time, as all times here
	generation   bigint NOT NULL,
	number       bigint NOT NULL, -- of the window within the generation; 0: the full export
	view         text NOT NULL CHECK (view IN ('', 'NEW_IMAGE', 'NEW_AND_OLD_IMAGES')),
	status       text NOT NULL CHECK (status IN ('waiting', 'running', 'exported', 'loading',
		'complete', 'failed', 'abandoned')),
	attempt      bigint NOT NULL DEFAULT 0,
	token        text NOT NULL DEFAULT '', -- of the attempt: saved before AWS is asked
	arn          text NOT NULL DEFAULT '',
	manifest     text NOT NULL DEFAULT '',
	retry_at_ms  bigint NOT NULL DEFAULT 0, -- no attempt before this
	error        text NOT NULL DEFAULT '',
	driver       uuid, -- a session's id; one that is not live does not count
	begun_ms     bigint NOT NULL,
	submitted_ms bigint NOT NULL DEFAULT 0,
	exported_ms  bigint NOT NULL DEFAULT 0,
	finished_ms  bigint NOT NULL DEFAULT 0,
	published_ms bigint NOT NULL DEFAULT 0,
	items        bigint NOT NULL DEFAULT 0, -- as the manifest has it
	billed_bytes bigint NOT NULL DEFAULT 0,
	files        bigint NOT NULL DEFAULT 0,
	lanes        bigint REFERENCES sluice.stream, -- the stream of its files; NULL: none yet
	files_done   bigint NOT NULL DEFAULT 0,
	files_failed bigint NOT NULL DEFAULT 0,
	records      bigint NOT NULL DEFAULT 0, -- of the files that are done
	bytes        bigint NOT NULL DEFAULT 0,
	-- The last window of the batch that it is loaded in, which has the batch's files; itself of
	-- that one. NULL: it is loaded alone, or not yet. No reference: rows go one by one.
	batch        bigint,
	ends_batch   boolean NOT NULL DEFAULT false -- a person began it: no window behind it is waited for
) WITH (fillfactor = 50);
CREATE UNIQUE INDEX export_window ON sluice.export ((coalesce(stream, 0)), table_arn, name, kind,
	from_ms, to_ms, generation);
CREATE UNIQUE INDEX export_lanes ON sluice.export (lanes) WHERE lanes IS NOT NULL;
CREATE INDEX export_loading ON sluice.export (id) WHERE status IN ('loading', 'failed');
CREATE INDEX export_batch ON sluice.export (batch) WHERE batch IS NOT NULL;

CREATE TABLE sluice.export_file (
	lane        bigint PRIMARY KEY REFERENCES sluice.lane ON DELETE CASCADE,
	export      bigint NOT NULL REFERENCES sluice.export ON DELETE CASCADE,
	location    text NOT NULL,
	checksum    text NOT NULL,
	items       bigint NOT NULL, -- as the manifest has it
	completed   boolean NOT NULL DEFAULT false, -- for good, and counted
	failed      boolean NOT NULL DEFAULT false, -- until a person says: again
	retry_at_ms bigint NOT NULL DEFAULT 0,
	retries     bigint NOT NULL DEFAULT 0,
	attempts    bigint NOT NULL DEFAULT 0,
	error       text NOT NULL DEFAULT '',
	records     bigint NOT NULL DEFAULT 0,
	bytes       bigint NOT NULL DEFAULT 0,
	started_ms  bigint NOT NULL DEFAULT 0,
	ended_ms    bigint NOT NULL DEFAULT 0,
	updated_ms  bigint NOT NULL DEFAULT 0,
	session     uuid, -- that had it last
	worker      text NOT NULL DEFAULT '',
	tried_ms    bigint NOT NULL DEFAULT 0 -- the last attempt's begin; 0: it failed, or there was none
) WITH (fillfactor = 50);
CREATE INDEX export_file_of ON sluice.export_file (export, lane);

-- Who tried what and how it ended: an export at AWS (lane NULL), or the load of a file. A file's
-- attempt that is under way or went well is in the file's own row: most have no other.
CREATE TABLE sluice.export_attempt (
	id       bigint GENERATED ALWAYS AS IDENTITY,
	-- It goes with them (exports_tidy).
	export   bigint NOT NULL,
	lane     bigint,
	number   bigint NOT NULL,
	session  uuid NOT NULL,
	worker   text NOT NULL,
	token    text NOT NULL DEFAULT '',
	arn      text NOT NULL DEFAULT '',
	began_ms bigint NOT NULL,
	ended_ms bigint NOT NULL DEFAULT 0,
	how      text NOT NULL DEFAULT '' CHECK (how IN ('', 'done', 'failed', 'lost')),
	error    text NOT NULL DEFAULT '',
	PRIMARY KEY (export, id)
) WITH (fillfactor = 50);
CREATE INDEX export_attempt_lane ON sluice.export_attempt (lane) WHERE lane IS NOT NULL;
CREATE VIEW sluice.export_attempts AS
	SELECT export, lane, number, session, worker, token, arn, began_ms, ended_ms, how, error
	FROM sluice.export_attempt
	UNION ALL
	SELECT export, lane, attempts, session, worker, '', '', tried_ms, ended_ms,
		CASE WHEN completed THEN 'done' ELSE '' END, ''
	FROM sluice.export_file WHERE tried_ms > 0;

-- As before, but a table's next stream goes on with the generation of those before it: readers keep
-- the highest of a key.
CREATE OR REPLACE FUNCTION sluice.stream_find(p_name text, p_arn text, p_start_ms bigint,
	OUT id bigint, OUT generation bigint, OUT start_ms bigint, OUT rooted boolean,
	OUT created boolean) LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO sluice.stream (name, arn, start_ms, generation)
	SELECT p_name, p_arn, p_start_ms, coalesce((
		SELECT max(s.generation) FROM sluice.stream s WHERE s.name = p_name
		AND NOT EXISTS (SELECT FROM sluice.export e WHERE e.lanes = s.id)), 1)
	WHERE NOT EXISTS (SELECT FROM sluice.stream s WHERE s.name = p_name AND s.arn = p_arn)
	ON CONFLICT DO NOTHING;
	created := FOUND;
	SELECT s.id, s.generation, s.start_ms, s.rooted INTO id, generation, start_ms, rooted
	FROM sluice.stream s WHERE s.name = p_name AND s.arn = p_arn;
END $$;

CREATE FUNCTION sluice.export_hold(p_export bigint) RETURNS sluice.export LANGUAGE plpgsql AS $$
DECLARE
	e sluice.export;
BEGIN
	SELECT * INTO e FROM sluice.export WHERE id = p_export FOR NO KEY UPDATE;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'export % is not known', p_export USING ERRCODE = 'SL003';
	END IF;
	RETURN e;
END $$;

-- --- one export ---

-- What moves one on says whether it is there now, by this call or by one that said the same: false
-- where another worker was quicker with something else, and the caller looks again.
CREATE FUNCTION sluice.export_begin(p_session uuid, p_stream bigint, p_table_arn text, p_name text,
	p_kind text, p_from bigint, p_to bigint, p_generation bigint, p_view text, p_manifest text,
	p_at_ms bigint)
RETURNS TABLE (id bigint, generation bigint, number bigint, status text, attempt bigint,
	created boolean)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
	whose bigint := nullif(p_stream, 0);
	gen bigint := p_generation;
	newest bigint;
	last_to bigint;
	last_number bigint;
	s sluice.stream;
	e sluice.export;
BEGIN
	IF p_session IS NOT NULL THEN -- else a person
		PERFORM sluice.session_hold(p_session);
	END IF;
	-- One at a time of a chain: two workers whose windows are not the same must see each other.
	PERFORM pg_advisory_xact_lock(hashtextextended(format('sluice export %s %s %s %s', p_stream,
		p_kind = 'load', p_table_arn, p_name), 0));
	SELECT x.* INTO e FROM sluice.export x
	WHERE coalesce(x.stream, 0) = p_stream AND x.table_arn = p_table_arn AND x.name = p_name
	AND x.kind = p_kind AND x.from_ms = p_from AND x.to_ms = p_to
	AND (p_generation = 0 OR x.generation = p_generation)
	ORDER BY x.id DESC LIMIT 1;
	IF FOUND THEN
		UPDATE sluice.export x SET ends_batch = true
		WHERE x.id = e.id AND p_session IS NULL AND NOT x.ends_batch;
		-- Said again where the reply was lost.
		RETURN QUERY SELECT e.id, e.generation, e.number, e.status, e.attempt,
			e.begun_ms = p_at_ms AND e.driver IS NOT DISTINCT FROM p_session;
		RETURN;
	END IF;
	IF whose IS NOT NULL THEN
		PERFORM sluice.stream_hold(whose);
		SELECT * INTO s FROM sluice.stream x WHERE x.id = whose;
		-- Nothing is mixed with what the stream brings, and of two who begin it one is late.
		IF s.hold IS NULL OR gen NOT IN (0, s.generation, s.generation + 1)
		OR p_from = 0 AND EXISTS (
			SELECT FROM sluice.export x WHERE x.stream = whose AND x.generation = gen) THEN
			RETURN;
		END IF;
	END IF;
	SELECT coalesce(max(x.generation), 0) INTO newest FROM sluice.export x
	WHERE coalesce(x.stream, 0) = p_stream AND x.table_arn = p_table_arn AND x.name = p_name
	AND (x.kind = 'load') = (p_kind = 'load');
	IF whose IS NOT NULL AND gen IN (0, s.generation + 1) THEN
		gen := s.generation + 1;
		UPDATE sluice.stream x SET generation = gen WHERE x.id = whose;
	ELSIF gen = 0 THEN
		gen := CASE WHEN p_kind = 'incremental' THEN greatest(newest, 1) ELSE newest + 1 END;
	END IF;
	-- Windows of a generation are contiguous, whoever plans them.
	SELECT x.to_ms, x.number INTO last_to, last_number FROM sluice.export x
	WHERE coalesce(x.stream, 0) = p_stream AND x.table_arn = p_table_arn AND x.name = p_name
	AND (x.kind = 'load') = (p_kind = 'load') AND x.generation = gen AND x.from_ms > 0
	ORDER BY x.number DESC LIMIT 1;
	IF p_from > 0 AND last_to <> p_from THEN
		RETURN;
	END IF;
	INSERT INTO sluice.export (stream, table_arn, name, kind, from_ms, to_ms, generation, number,
		view, status, manifest, driver, begun_ms, ends_batch)
	VALUES (whose, p_table_arn, p_name, p_kind, p_from, p_to, gen,
		CASE WHEN p_from = 0 THEN 0 ELSE coalesce(last_number, 0) + 1 END,
		p_view, CASE WHEN p_manifest = '' THEN 'waiting' ELSE 'running' END, p_manifest, p_session,
		p_at_ms, p_session IS NULL)
	RETURNING * INTO e;
	RETURN QUERY SELECT e.id, e.generation, e.number, e.status, e.attempt, true;
END $$;

CREATE FUNCTION sluice.export_take(p_session uuid, p_export bigint) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
	live uuid[];
BEGIN
	PERFORM sluice.session_hold(p_session);
	PERFORM sluice.export_hold(p_export);
	live := sluice.live();
	UPDATE sluice.export e SET driver = p_session
	WHERE e.id = p_export AND (e.driver IS NULL OR e.driver <> ALL (live));
	RETURN EXISTS (SELECT FROM sluice.export e WHERE e.id = p_export AND e.driver = p_session);
END $$;

CREATE FUNCTION sluice.export_attempt_end(p_export bigint, p_how text, p_error text,
	p_at_ms bigint) RETURNS void LANGUAGE sql AS $$
	UPDATE sluice.export_attempt SET how = p_how, error = p_error, ended_ms = p_at_ms
	WHERE export = p_export AND lane IS NULL AND how = ''
$$;

CREATE FUNCTION sluice.export_try(p_session uuid, p_export bigint, p_attempt bigint,
	p_token text, p_at_ms bigint) RETURNS TABLE (attempt bigint, token text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
	e sluice.export;
BEGIN
	PERFORM sluice.session_hold(p_session);
	e := sluice.export_hold(p_export);
	IF e.status = 'waiting' AND e.attempt = p_attempt - 1 THEN
		PERFORM sluice.export_attempt_end(p_export, 'lost', '', p_at_ms);
		UPDATE sluice.export x SET attempt = p_attempt, token = p_token, arn = '', retry_at_ms = 0,
			submitted_ms = 0
		WHERE x.id = p_export RETURNING x.* INTO e;
		INSERT INTO sluice.export_attempt (export, number, session, worker, token, began_ms)
		SELECT p_export, p_attempt, s.id, s.worker, p_token, p_at_ms
		FROM sluice.session s WHERE s.id = p_session;
	ELSIF e.status NOT IN ('waiting', 'running') OR e.attempt < p_attempt THEN
		RETURN;
	END IF;
	RETURN QUERY SELECT e.attempt, e.token;
END $$;

CREATE FUNCTION sluice.export_submitted(p_session uuid, p_export bigint, p_attempt bigint,
	p_arn text, p_at_ms bigint) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	e sluice.export;
BEGIN
	PERFORM sluice.session_hold(p_session);
	e := sluice.export_hold(p_export);
	IF e.attempt = p_attempt AND e.arn = p_arn AND e.status <> 'waiting' THEN
		RETURN true;
	END IF;
	IF e.status <> 'waiting' OR e.attempt <> p_attempt THEN
		RETURN false;
	END IF;
	UPDATE sluice.export SET status = 'running', arn = p_arn, submitted_ms = p_at_ms
	WHERE id = p_export;
	UPDATE sluice.export_attempt SET arn = p_arn
	WHERE export = p_export AND lane IS NULL AND how = '';
	RETURN true;
END $$;

CREATE FUNCTION sluice.export_exported(p_session uuid, p_export bigint, p_attempt bigint,
	p_manifest text, p_files bigint, p_items bigint, p_billed_bytes bigint, p_at_ms bigint)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	e sluice.export;
BEGIN
	PERFORM sluice.session_hold(p_session);
	e := sluice.export_hold(p_export);
	IF e.attempt = p_attempt AND e.status IN ('exported', 'loading', 'complete', 'failed')
	AND e.exported_ms > 0 THEN
		RETURN true;
	END IF;
	IF e.status <> 'running' OR e.attempt <> p_attempt THEN
		RETURN false;
	END IF;
	UPDATE sluice.export SET status = 'exported', manifest = p_manifest, files = p_files,
		items = p_items, billed_bytes = p_billed_bytes, exported_ms = p_at_ms, error = ''
	WHERE id = p_export;
	PERFORM sluice.export_attempt_end(p_export, 'done', '', p_at_ms);
	RETURN true;
END $$;

CREATE FUNCTION sluice.export_failed(p_session uuid, p_export bigint, p_attempt bigint,
	p_error text, p_retry_at_ms bigint, p_at_ms bigint) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	e sluice.export;
BEGIN
	PERFORM sluice.session_hold(p_session);
	e := sluice.export_hold(p_export);
	-- Said again where the reply was lost; not what an earlier attempt failed with.
	IF e.attempt = p_attempt AND e.exported_ms = 0 AND e.error = p_error
	AND e.retry_at_ms = p_retry_at_ms AND (e.status = 'failed') = (p_retry_at_ms = 0)
	AND e.status IN ('waiting', 'running', 'failed') THEN
		RETURN true;
	END IF;
	IF e.status NOT IN ('waiting', 'running', 'exported') OR e.attempt <> p_attempt
	OR e.batch IS NOT NULL THEN
		RETURN false;
	END IF;
	-- The next attempt has other files. Nobody has one of these: it was not loaded yet.
	DELETE FROM sluice.lane WHERE stream = e.lanes;
	UPDATE sluice.export SET error = p_error, retry_at_ms = p_retry_at_ms, exported_ms = 0,
		files = 0, items = 0, billed_bytes = 0,
		status = CASE WHEN p_retry_at_ms = 0 THEN 'failed' WHEN kind = 'load' THEN 'running'
			ELSE 'waiting' END
	WHERE id = p_export;
	PERFORM sluice.export_attempt_end(p_export, 'failed', p_error, p_at_ms);
	RETURN true;
END $$;

CREATE FUNCTION sluice.export_abandon(p_export bigint, p_error text, p_at_ms bigint)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	e sluice.export;
BEGIN
	-- The stream first: a claim that is under way comes before it or finds it abandoned.
	SELECT * INTO e FROM sluice.export WHERE id = p_export;
	IF e.lanes IS NOT NULL THEN
		PERFORM sluice.stream_hold(e.lanes);
	END IF;
	e := sluice.export_hold(p_export);
	IF e.status = 'complete' THEN
		RETURN false;
	END IF;
	UPDATE sluice.export SET status = 'abandoned', error = p_error, finished_ms = p_at_ms
	WHERE id = p_export AND status <> 'abandoned';
	PERFORM sluice.export_attempt_end(p_export, 'lost', p_error, p_at_ms);
	RETURN true;
END $$;

CREATE FUNCTION sluice.export_finish(p_session uuid, p_export bigint, p_at_ms bigint)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	e sluice.export;
BEGIN
	PERFORM sluice.session_hold(p_session);
	e := sluice.export_hold(p_export);
	IF e.status = 'complete' THEN
		RETURN true;
	END IF;
	IF e.status <> 'exported' OR e.batch IS NOT NULL THEN
		RETURN false;
	END IF;
	UPDATE sluice.export SET status = 'complete', finished_ms = p_at_ms WHERE id = p_export;
	RETURN true;
END $$;

CREATE FUNCTION sluice.export_published(p_session uuid, p_export bigint, p_at_ms bigint)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	PERFORM sluice.session_hold(p_session);
	PERFORM sluice.export_hold(p_export);
	UPDATE sluice.export SET published_ms = p_at_ms
	WHERE id = p_export AND status = 'complete' AND published_ms = 0;
	RETURN EXISTS (SELECT FROM sluice.export WHERE id = p_export AND published_ms = p_at_ms);
END $$;

-- --- its files ---

-- The files that are done or failed, and with the last one the export: always in one call with it.
CREATE FUNCTION sluice.export_count(p_export bigint, p_done bigint, p_failed bigint,
	p_records bigint, p_bytes bigint, p_at_ms bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	UPDATE sluice.export SET files_done = files_done + p_done,
		files_failed = files_failed + p_failed, records = records + p_records,
		bytes = bytes + p_bytes,
		status = CASE
			WHEN status NOT IN ('loading', 'failed') THEN status
			WHEN files_done + p_done = files THEN 'complete'
			WHEN files_done + p_done + files_failed + p_failed = files THEN 'failed'
			ELSE 'loading' END,
		finished_ms = CASE
			WHEN status IN ('loading', 'failed') AND files_done + p_done = files THEN p_at_ms
			ELSE finished_ms END
	WHERE id = p_export;
END $$;

-- Of these lanes, which are done now, those that are files: completed, and counted once whatever the
-- number, as a row that changes again and again in one transaction costs more each time. Those of
-- p_files come to p_records and p_bytes.
CREATE FUNCTION sluice.files_done(p_lanes bigint[], p_files bigint[], p_records bigint[],
	p_bytes bigint[], p_at_ms bigint) RETURNS void
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan
SET enable_seqscan = off SET enable_hashjoin = on SET enable_mergejoin = off SET jit = off AS $$
DECLARE
	x record;
BEGIN
	FOR x IN
		WITH again AS (
			UPDATE sluice.export_file SET failed = false WHERE lane = ANY (p_lanes) AND failed
			RETURNING export
		)
		SELECT a.export, count(*) AS failed FROM again a GROUP BY a.export ORDER BY a.export
	LOOP
		PERFORM sluice.export_count(x.export, 0, -x.failed, 0, 0, p_at_ms);
	END LOOP;
	FOR x IN
		WITH completed AS (
			UPDATE sluice.export_file f SET completed = true, error = '', ended_ms = p_at_ms,
				records = coalesce(d.records, f.records), bytes = coalesce(d.bytes, f.bytes),
				updated_ms = greatest(f.updated_ms, p_at_ms)
			FROM (
				SELECT lane, w.records, w.bytes FROM unnest(p_lanes) AS l (lane)
				LEFT JOIN unnest(p_files, p_records, p_bytes) AS w (lane, records, bytes)
					USING (lane)
			) d
			WHERE f.lane = d.lane AND NOT f.completed
			RETURNING f.export, f.records, f.bytes
		)
		SELECT c.export, count(*) AS files, sum(c.records)::bigint AS records,
			sum(c.bytes)::bigint AS bytes
		FROM completed c GROUP BY c.export ORDER BY c.export
	LOOP
		PERFORM sluice.export_count(x.export, x.files, 0, x.records, x.bytes, p_at_ms);
	END LOOP;
END $$;

CREATE FUNCTION sluice.files_add(p_session uuid, p_export bigint, p_names text[],
	p_locations text[], p_checksums text[], p_items bigint[]) RETURNS boolean
LANGUAGE plpgsql SET enable_nestloop = off SET jit = off AS $$
DECLARE
	e sluice.export;
BEGIN
	PERFORM sluice.session_hold(p_session);
	e := sluice.export_hold(p_export);
	IF e.batch IS NOT NULL THEN
		RETURN false;
	END IF;
	IF e.status <> 'exported' THEN
		-- Another worker was first, or the reply was lost.
		RETURN e.status IN ('loading', 'complete', 'failed') AND e.exported_ms > 0;
	END IF;
	IF e.lanes IS NULL THEN
		INSERT INTO sluice.stream (name, arn, generation, start_ms, rooted)
		VALUES (e.name, 'export ' || p_export, e.generation, 0, true) RETURNING id INTO e.lanes;
		UPDATE sluice.export SET lanes = e.lanes WHERE id = p_export;
	END IF;
	WITH added AS (
		INSERT INTO sluice.lane (stream, shard, parent, root)
		SELECT e.lanes, w.name, '', true
		FROM unnest(p_names) WITH ORDINALITY AS w (name, place) ORDER BY w.place
		ON CONFLICT (stream, shard) DO NOTHING
		RETURNING id, shard
	)
	INSERT INTO sluice.export_file (lane, export, location, checksum, items)
	SELECT a.id, p_export, w.location, w.checksum, w.items
	FROM added a
	JOIN unnest(p_names, p_locations, p_checksums, p_items) AS w (name, location, checksum, items)
		ON w.name = a.shard;
	RETURN true;
END $$;

CREATE FUNCTION sluice.export_load(p_session uuid, p_export bigint, p_at_ms bigint) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
	e sluice.export;
	there bigint;
BEGIN
	PERFORM sluice.session_hold(p_session);
	e := sluice.export_hold(p_export);
	IF e.batch IS NOT NULL THEN
		RETURN false;
	END IF;
	IF e.status <> 'exported' THEN
		RETURN e.status IN ('loading', 'complete', 'failed') AND e.exported_ms > 0;
	END IF;
	SELECT count(*) INTO there FROM sluice.export_file WHERE export = p_export;
	IF there <> e.files THEN
		RAISE EXCEPTION 'export % has % files of %', p_export, there, e.files
		USING ERRCODE = 'SL002';
	END IF;
	UPDATE sluice.export SET status = 'loading' WHERE id = p_export;
	PERFORM sluice.export_count(p_export, 0, 0, 0, 0, p_at_ms); -- one without files is complete
	RETURN true;
END $$;

-- Returns its number, 0 where the session did not hold p_known of them before. Its reply is small on
-- purpose: what the session holds is read afterwards. Its plans are kept, unlike others: to make
-- them costs more than to claim some files, and those of references would be made anew for each row.
CREATE FUNCTION sluice.files_claim(p_session uuid, p_export bigint, p_sinks integer[],
	p_max bigint, p_at_ms bigint, p_known bigint) RETURNS bigint
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
DECLARE
	e sluice.export;
	own integer[] := ARRAY(SELECT DISTINCT s FROM unnest(p_sinks) AS s ORDER BY s);
	held bigint;
	over bigint[];
	this_claim bigint;
	as_worker text;
BEGIN
	UPDATE sluice.session SET claims = claims + 1 WHERE id = p_session AND state = 'live'
	RETURNING claims, worker INTO this_claim, as_worker;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'session % is not live', p_session USING ERRCODE = 'SL001';
	END IF;
	SELECT * INTO e FROM sluice.export WHERE id = p_export;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'export % is not known', p_export USING ERRCODE = 'SL003';
	END IF;
	IF e.lanes IS NULL THEN
		RETURN 0;
	END IF;
	PERFORM sluice.stream_hold(e.lanes);
	SELECT * INTO e FROM sluice.export WHERE id = p_export;
	IF e.status <> 'loading' OR p_max = 0 THEN
		RETURN 0;
	END IF;
	IF EXISTS (SELECT FROM sluice.stream s WHERE s.id = e.lanes AND s.sinks IS DISTINCT FROM own)
	THEN
		IF EXISTS (SELECT FROM sluice.lane l WHERE l.stream = e.lanes AND l.owner IS NOT NULL) THEN
			RETURN 0; -- workers with the stored set are at it
		END IF;
		UPDATE sluice.stream SET sinks = own WHERE id = e.lanes;
		-- As in stream_settle; what is completed stays so.
		WITH ended AS (
			UPDATE sluice.lane l SET done = true, read_at_ms = greatest(l.read_at_ms, p_at_ms)
			WHERE l.stream = e.lanes AND NOT l.done
			AND EXISTS (SELECT FROM sluice.position p WHERE p.lane = l.id AND p.done)
			AND NOT EXISTS (
				SELECT FROM sluice.position p
				WHERE p.lane = l.id AND NOT p.done AND p.sink = ANY (own))
			RETURNING l.id
		)
		SELECT array_agg(id) INTO over FROM ended;
		IF over IS NOT NULL THEN
			PERFORM sluice.files_done(over, '{}', '{}', '{}', p_at_ms);
		END IF;
	END IF;
	SELECT count(*) INTO held FROM sluice.lane WHERE owner = p_session AND stream = e.lanes;
	WITH chosen AS MATERIALIZED (
		SELECT l.id, f.tried_ms FROM sluice.lane l JOIN sluice.export_file f ON f.lane = l.id
		WHERE l.stream = e.lanes AND l.owner IS NULL AND NOT l.done
		AND NOT f.completed AND NOT f.failed AND f.retry_at_ms <= p_at_ms
		-- What ended since the caller counted is not made up for: it would be too much at once.
		ORDER BY l.id LIMIT greatest(p_max - greatest(held, p_known), 0)
	), claimed AS (
		UPDATE sluice.lane l SET owner = p_session, claim = this_claim
		FROM chosen c WHERE l.id = c.id RETURNING l.id
	), given AS (
		INSERT INTO sluice.position (lane, sink, sequence, event_ms, done)
		SELECT c.id, s.sink, f.sequence, coalesce(f.event_ms, 0), coalesce(f.done, false)
		FROM claimed c CROSS JOIN unnest(own) AS s (sink)
		LEFT JOIN LATERAL (
			SELECT p.sequence, p.event_ms, p.done FROM sluice.position p WHERE p.lane = c.id
			ORDER BY p.done DESC, p.sequence DESC NULLS LAST LIMIT 1
		) f ON true
		WHERE NOT EXISTS (
			SELECT FROM sluice.position p WHERE p.lane = c.id AND p.sink = s.sink)
	), lost AS (
		INSERT INTO sluice.export_attempt (export, lane, number, session, worker, began_ms,
			ended_ms, how)
		SELECT f.export, f.lane, f.attempts, f.session, f.worker, f.tried_ms, p_at_ms, 'lost'
		FROM chosen c JOIN sluice.export_file f ON f.lane = c.id WHERE c.tried_ms > 0
	)
	UPDATE sluice.export_file f SET attempts = f.attempts + 1, retry_at_ms = 0,
		started_ms = CASE WHEN f.started_ms = 0 THEN p_at_ms ELSE f.started_ms END,
		updated_ms = p_at_ms, session = p_session, worker = as_worker, tried_ms = p_at_ms
	FROM claimed c WHERE f.lane = c.id;
	RETURN CASE WHEN held = p_known THEN this_claim ELSE 0 END;
END $$;

-- With their positions, joined, so that they are of one moment.
CREATE FUNCTION sluice.files_held(p_session uuid, p_export bigint, p_claim bigint)
RETURNS TABLE (lane bigint, export bigint, name text, location text, checksum text, items bigint,
	completed boolean, failed boolean, retry_at_ms bigint, retries bigint, attempts bigint,
	error text, records bigint, bytes bigint, started_ms bigint, ended_ms bigint,
	updated_ms bigint, owner uuid, worker text, sink integer, sequence numeric, event_ms bigint,
	done boolean) LANGUAGE plpgsql STABLE
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
#variable_conflict use_column
BEGIN
	RETURN QUERY
	SELECT f.lane, f.export, l.shard, f.location, f.checksum, f.items, f.completed, f.failed,
		f.retry_at_ms, f.retries, f.attempts, f.error, f.records, f.bytes, f.started_ms,
		f.ended_ms, f.updated_ms, l.owner, f.worker, p.sink, p.sequence, p.event_ms, p.done
	FROM sluice.lane l JOIN sluice.export_file f ON f.lane = l.id
	LEFT JOIN sluice.position p ON p.lane = l.id
	WHERE l.owner = p_session AND l.claim >= p_claim
	AND l.stream = (SELECT e.lanes FROM sluice.export e WHERE e.id = p_export)
	ORDER BY l.id, p.sink;
END $$;

CREATE FUNCTION sluice.file_failed(p_session uuid, p_lane bigint, p_error text,
	p_retry_at_ms bigint, p_at_ms bigint, p_anew boolean) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	f sluice.export_file;
BEGIN
	PERFORM sluice.session_hold(p_session);
	UPDATE sluice.lane SET owner = NULL WHERE id = p_lane AND owner = p_session;
	IF NOT FOUND THEN
		-- Its reply was lost, or the file is not the session's.
		PERFORM FROM sluice.export_file x
		WHERE x.lane = p_lane AND x.session = p_session AND x.error = p_error
		AND x.updated_ms = p_at_ms;
		IF NOT FOUND THEN
			RAISE EXCEPTION 'file % is not one of session %', p_lane, p_session
			USING ERRCODE = 'SL001';
		END IF;
		RETURN;
	END IF;
	IF p_anew THEN
		UPDATE sluice.position SET sequence = NULL, event_ms = 0, done = false
		WHERE lane = p_lane;
		UPDATE sluice.export_file SET records = 0, bytes = 0 WHERE lane = p_lane;
	END IF;
	INSERT INTO sluice.export_attempt (export, lane, number, session, worker, began_ms, ended_ms,
		how, error)
	SELECT x.export, x.lane, x.attempts, x.session, x.worker, x.tried_ms, p_at_ms, 'failed', p_error
	FROM sluice.export_file x WHERE x.lane = p_lane AND x.tried_ms > 0;
	UPDATE sluice.export_file SET failed = p_retry_at_ms = 0, retry_at_ms = p_retry_at_ms,
		retries = retries + 1, error = p_error, updated_ms = p_at_ms, tried_ms = 0
	WHERE lane = p_lane RETURNING * INTO f;
	IF f.failed THEN
		PERFORM sluice.export_count(f.export, 0, 1, 0, 0, p_at_ms);
	END IF;
END $$;

-- p_lane 0: all that failed, or the export itself where it never came to files.
CREATE FUNCTION sluice.export_retry(p_export bigint, p_lane bigint, p_at_ms bigint)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	e sluice.export;
	waiting bigint;
	retried bigint;
BEGIN
	PERFORM FROM sluice.export_file f
	WHERE f.export = p_export AND (p_lane = 0 OR f.lane = p_lane)
	AND (f.failed OR f.retry_at_ms > 0) ORDER BY f.lane FOR NO KEY UPDATE;
	e := sluice.export_hold(p_export);
	IF p_lane = 0 AND e.exported_ms = 0 AND (e.status = 'failed'
		OR e.status IN ('waiting', 'running') AND e.retry_at_ms > p_at_ms)
	THEN
		UPDATE sluice.export SET status = CASE WHEN kind = 'load' THEN 'running' ELSE 'waiting' END,
			retry_at_ms = p_at_ms
		WHERE id = p_export;
		RETURN 1;
	END IF;
	IF e.status NOT IN ('loading', 'failed') THEN
		RETURN 0;
	END IF;
	-- One that waits for its next attempt need not wait any longer.
	UPDATE sluice.export_file SET retry_at_ms = 0
	WHERE export = p_export AND (p_lane = 0 OR lane = p_lane) AND retry_at_ms > 0;
	GET DIAGNOSTICS waiting = ROW_COUNT;
	UPDATE sluice.export_file SET failed = false, retries = 0, updated_ms = p_at_ms
	WHERE export = p_export AND (p_lane = 0 OR lane = p_lane) AND failed;
	GET DIAGNOSTICS retried = ROW_COUNT;
	PERFORM sluice.export_count(p_export, 0, -retried, 0, 0, p_at_ms);
	RETURN waiting + retried;
END $$;

-- A save that also says how far files are. As in 2.0 otherwise, but that what is done is not marked
-- as read before that: one change of a row, not two. All or nothing: an exception takes everything
-- back.
CREATE FUNCTION sluice.save_files(p_session uuid, p_number bigint, p_lanes bigint[],
	p_sinks integer[], p_from numeric[], p_to numeric[], p_event_ms bigint[], p_done boolean[],
	p_roll_sinks integer[], p_roll_numbers bigint[], p_roll_blobs bytea[],
	p_finished_sinks integer[], p_finished_numbers bigint[], p_read bigint[],
	p_read_at_ms bigint, p_files bigint[], p_records bigint[], p_bytes bigint[]) RETURNS void
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
DECLARE
	saved bigint;
	moved bigint;
	over bigint[];
BEGIN
	-- The lock keeps the session live and its lanes its own until the end.
	SELECT saves INTO saved FROM sluice.session WHERE id = p_session AND state = 'live'
	FOR NO KEY UPDATE;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'session % is not live', p_session USING ERRCODE = 'SL001';
	END IF;
	IF saved = p_number THEN
		RETURN; -- its reply was lost
	END IF;
	IF saved + 1 <> p_number THEN
		RAISE EXCEPTION 'save % of session %: its last one was %', p_number, p_session, saved
		USING ERRCODE = 'SL001';
	END IF;
	UPDATE sluice.session SET saves = p_number WHERE id = p_session;

	UPDATE sluice.position p SET sequence = m.target, event_ms = m.event_ms, done = m.done
	FROM unnest(p_lanes, p_sinks, p_from, p_to, p_event_ms, p_done)
		AS m (lane, sink, origin, target, event_ms, done)
	WHERE p.lane = m.lane AND p.sink = m.sink AND p.sequence IS NOT DISTINCT FROM m.origin
	-- Not a join: where the session's lanes come first, each of them looks at all of these.
	AND (SELECT l.owner FROM sluice.lane l WHERE l.id = m.lane) = p_session;
	GET DIAGNOSTICS moved = ROW_COUNT;
	IF moved <> cardinality(p_lanes) THEN
		RAISE EXCEPTION 'save % of session %: % of % positions are not its own or not where it '
			'left them', p_number, p_session, cardinality(p_lanes) - moved,
			cardinality(p_lanes) USING ERRCODE = 'SL001';
	END IF;

	IF cardinality(p_finished_sinks) > 0 THEN
		DELETE FROM sluice.roll r
		USING unnest(p_finished_sinks, p_finished_numbers) AS f (sink, number)
		WHERE r.session = p_session AND r.sink = f.sink AND r.number = f.number;
	END IF;
	IF cardinality(p_roll_sinks) > 0 THEN
		INSERT INTO sluice.roll (session, sink, number, blob)
		SELECT p_session, n.sink, n.number, n.blob
		FROM unnest(p_roll_sinks, p_roll_numbers, p_roll_blobs) AS n (sink, number, blob);
	END IF;
	IF true = ANY (p_done) THEN
		-- A sink that the stream has no longer does not hold up a lane.
		WITH ended AS (
			UPDATE sluice.lane l SET done = true, owner = NULL, wanted_by = NULL,
				read_at_ms = greatest(l.read_at_ms, p_read_at_ms)
			FROM sluice.stream s
			WHERE l.id IN (
				SELECT m.lane FROM unnest(p_lanes, p_done) AS m (lane, done) WHERE m.done)
			AND s.id = l.stream AND NOT EXISTS (
				SELECT FROM sluice.position p WHERE p.lane = l.id AND NOT p.done
				AND (s.sinks IS NULL OR p.sink = ANY (s.sinks)))
			RETURNING l.id
		)
		SELECT array_agg(id) INTO over FROM ended;
	END IF;
	IF cardinality(p_read) > 0 THEN
		UPDATE sluice.lane SET read_at_ms = greatest(read_at_ms, p_read_at_ms)
		WHERE id = ANY (p_read) AND owner = p_session;
	END IF;
	-- What is done is nobody's now.
	IF cardinality(p_files) > 0 THEN
		UPDATE sluice.export_file f SET records = w.records, bytes = w.bytes,
			updated_ms = p_read_at_ms
		FROM unnest(p_files, p_records, p_bytes) AS w (lane, records, bytes)
		WHERE f.lane = w.lane
		AND (SELECT l.owner FROM sluice.lane l WHERE l.id = w.lane) = p_session;
	END IF;
	IF over IS NOT NULL THEN
		PERFORM sluice.files_done(over, p_files, p_records, p_bytes, p_read_at_ms);
	END IF;
END $$;

-- One that says nothing of files, which it may finish: also of an older worker.
CREATE OR REPLACE FUNCTION sluice.save(p_session uuid, p_number bigint, p_lanes bigint[],
	p_sinks integer[], p_from numeric[], p_to numeric[], p_event_ms bigint[], p_done boolean[],
	p_roll_sinks integer[], p_roll_numbers bigint[], p_roll_blobs bytea[],
	p_finished_sinks integer[], p_finished_numbers bigint[], p_read bigint[],
	p_read_at_ms bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM sluice.save_files(p_session, p_number, p_lanes, p_sinks, p_from, p_to, p_event_ms,
		p_done, p_roll_sinks, p_roll_numbers, p_roll_blobs, p_finished_sinks, p_finished_numbers,
		p_read, p_read_at_ms, '{}', '{}', '{}');
END $$;

-- --- batches ---

-- The windows of the export's generation from number p_first on to the export itself, which are all
-- exported, are loaded as one: the export has the batch's files, which are ranges of keys.
CREATE FUNCTION sluice.export_batch(p_session uuid, p_export bigint, p_first bigint,
	p_ranges bigint) RETURNS boolean
LANGUAGE plpgsql SET jit = off AS $$
DECLARE
	e sluice.export;
	ready bigint;
BEGIN
	PERFORM sluice.session_hold(p_session);
	SELECT * INTO e FROM sluice.export WHERE id = p_export;
	PERFORM FROM sluice.export x
	WHERE coalesce(x.stream, 0) = coalesce(e.stream, 0) AND x.table_arn = e.table_arn
	AND x.name = e.name AND x.kind = e.kind AND x.generation = e.generation
	AND x.number BETWEEN p_first AND e.number ORDER BY x.id FOR NO KEY UPDATE;
	e := sluice.export_hold(p_export);
	IF e.batch IS NOT NULL THEN
		-- Another worker was first, or the reply was lost.
		RETURN e.batch = p_export AND e.status IN ('loading', 'complete', 'failed');
	END IF;
	SELECT count(*) INTO ready FROM sluice.export x
	WHERE coalesce(x.stream, 0) = coalesce(e.stream, 0) AND x.table_arn = e.table_arn
	AND x.name = e.name AND x.kind = e.kind AND x.generation = e.generation
	AND x.number BETWEEN p_first AND e.number AND x.from_ms > 0 AND x.view = e.view
	AND x.status = 'exported' AND x.batch IS NULL;
	IF p_first = 0 OR ready <> e.number - p_first + 1 OR EXISTS (
		SELECT FROM sluice.export x
		WHERE coalesce(x.stream, 0) = coalesce(e.stream, 0) AND x.table_arn = e.table_arn
		AND x.name = e.name AND (x.kind = 'load') = (e.kind = 'load')
		AND x.generation = e.generation AND x.number < p_first
		AND x.status NOT IN ('complete', 'abandoned')) THEN
		RETURN false;
	END IF;
	-- Files of windows that were to be loaded alone before: nobody has one.
	DELETE FROM sluice.lane l USING sluice.export x
	WHERE l.stream = x.lanes AND coalesce(x.stream, 0) = coalesce(e.stream, 0)
	AND x.table_arn = e.table_arn AND x.name = e.name AND x.kind = e.kind
	AND x.generation = e.generation AND x.number BETWEEN p_first AND e.number;
	IF e.lanes IS NULL THEN
		INSERT INTO sluice.stream (name, arn, generation, start_ms, rooted)
		VALUES (e.name, 'export ' || p_export, e.generation, 0, true) RETURNING id INTO e.lanes;
	END IF;
	WITH added AS (
		INSERT INTO sluice.lane (stream, shard, parent, root)
		SELECT e.lanes, format('batch-%s-range-%s-of-%s', p_export, i, p_ranges), '', true
		FROM generate_series(1, p_ranges) i ORDER BY i RETURNING id
	)
	INSERT INTO sluice.export_file (lane, export, location, checksum, items)
	SELECT a.id, p_export, '', '', 0 FROM added a;
	UPDATE sluice.export x SET batch = p_export
	WHERE coalesce(x.stream, 0) = coalesce(e.stream, 0) AND x.table_arn = e.table_arn
	AND x.name = e.name AND x.kind = e.kind AND x.generation = e.generation
	AND x.number BETWEEN p_first AND e.number;
	UPDATE sluice.export SET lanes = e.lanes, files = p_ranges, status = 'loading'
	WHERE id = p_export;
	RETURN true;
END $$;

-- The windows of a batch end with it, in the same call.
CREATE FUNCTION sluice.batch_over() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE sluice.export SET status = NEW.status, error = NEW.error, finished_ms = NEW.finished_ms
	WHERE batch = NEW.id AND id <> NEW.id AND status = 'exported';
	RETURN NULL;
END $$;
CREATE TRIGGER batch_over AFTER UPDATE OF status ON sluice.export FOR EACH ROW
	WHEN (NEW.batch = NEW.id AND NEW.status IN ('complete', 'abandoned')
		AND OLD.status <> NEW.status) EXECUTE FUNCTION sluice.batch_over();

-- Finished before p_before_ms: the files first, then the export, but for the last of its kind.
CREATE FUNCTION sluice.exports_tidy(p_before_ms bigint, p_lanes_max bigint) RETURNS bigint
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan SET jit = off AS $$
DECLARE
	removed bigint;
BEGIN
	WITH old AS MATERIALIZED (
		SELECT f.lane FROM sluice.export e JOIN sluice.export_file f ON f.export = e.id
		JOIN sluice.lane l ON l.id = f.lane
		WHERE e.status IN ('complete', 'abandoned') AND e.finished_ms < p_before_ms
		AND l.owner IS NULL
		ORDER BY f.lane LIMIT p_lanes_max
	), tried AS (
		DELETE FROM sluice.export_attempt a USING old o WHERE a.lane = o.lane
	)
	DELETE FROM sluice.lane l USING old o WHERE l.id = o.lane;
	GET DIAGNOSTICS removed = ROW_COUNT;
	WITH gone AS (
		DELETE FROM sluice.export e
		WHERE e.status IN ('complete', 'abandoned') AND e.finished_ms < p_before_ms
		AND NOT EXISTS (SELECT FROM sluice.export_file f WHERE f.export = e.id)
		AND EXISTS (
			SELECT FROM sluice.export n WHERE n.table_arn = e.table_arn AND n.name = e.name
			AND n.kind = e.kind AND n.stream IS NOT DISTINCT FROM e.stream AND n.id > e.id
			AND n.status = 'complete')
		RETURNING e.id, e.lanes
	), tried AS (
		DELETE FROM sluice.export_attempt a USING gone g WHERE a.export = g.id
	)
	DELETE FROM sluice.stream s USING gone g WHERE s.id = g.lanes;
	RETURN removed;
END $$;
