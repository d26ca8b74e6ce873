#pragma once
#include "checkpoint/store.h"

/* Exports of tables and their data files, in the same store and under the same rules as store.h: a
 * call is one transaction, may be sent again after RETRY, and FENCED ends the session. All times
 * are AWS time in epoch ms, given by the caller: the store has no clock.
 *
 * An export is a window of a table under a name of the configuration; whoever begins it, and how
 * often, it is one row. A worker drives it: it asks AWS, polls, reads the manifest, publishes. What
 * moves an export on says in *done whether it is there now, by this call or by one that said the
 * same. False: another worker was quicker with something else; look at it again.
 *
 *     waiting ─ running ─ exported ─ loading ─ complete          abandoned: nobody goes on with it
 *        └─────────┴─────────┴─ failed ─┘  (failed: until store_export_retry)
 *
 * Windows may be loaded as a batch: then the last one of them is loading, and its files are ranges
 * of keys of all of them; the others stay exported, and end with it.
 *
 * A data file is a lane: of a stream that the export has for itself, which nobody joins. Its
 * positions are saved as those of a shard; the sequence of a position is the place in the file. A
 * save that ends its last position completes the file, and with the last file the export, in the
 * same call, once. Files are claimed by sessions, and a burial frees them. */
enum store_export_kind {
	STORE_EXPORT_FULL,
	STORE_EXPORT_INCREMENTAL,
	STORE_EXPORT_BASELINE, /* of a stream: its full export and the windows behind it */
	STORE_EXPORT_REPAIR,   /* of a stream: windows */
	STORE_EXPORT_LOAD,     /* one that is there already */
};
enum store_export_status {
	/* To be submitted, not before retry_at_ms. 0: no attempt was made, or the last one is under
	 * way; its token is sent until AWS has answered. */
	STORE_EXPORT_WAITING,
	STORE_EXPORT_RUNNING,  /* AWS is at it; a load: its manifest is to be read */
	STORE_EXPORT_EXPORTED, /* waits to be loaded, or for store_export_finish */
	STORE_EXPORT_LOADING,
	STORE_EXPORT_COMPLETE,
	STORE_EXPORT_FAILED, /* out of attempts, or all files are done but for some that failed */
	STORE_EXPORT_ABANDONED,
};
const char *store_export_kind_name(enum store_export_kind kind);
const char *store_export_status_name(enum store_export_status status);

#define STORE_TOKEN_SIZE 65
#define STORE_FILES_MAX  1000 /* of one export that a session holds */

struct store_export {
	const char *table_arn;
	const char *name; /* in the configuration: of a stream, or of an entry of exports */
	enum store_export_kind kind;
	int64_t stream;         /* whose baseline or repair it is; 0: none */
	int64_t from_ms, to_ms; /* from_ms 0: a full export of to_ms */
	uint64_t generation;    /* 0: given by the store, see store_export_begin */
	const char *view;       /* of a window: NEW_IMAGE, NEW_AND_OLD_IMAGES; a full export: "" */
	const char *manifest;   /* s3://BUCKET/KEY; of a load when it begins, else once exported */

	/* Given by the store. */
	int64_t id;
	uint64_t number; /* of the window in its generation, from 1; 0: a full export */
	enum store_export_status status;
	uint32_t attempt; /* 0: none was made */
	const char *token, *arn;
	int64_t retry_at_ms;
	const char *error; /* the last one */
	char driver[STORE_ID_SIZE];
	int64_t begun_ms, submitted_ms, exported_ms, finished_ms, published_ms; /* 0: not yet */
	uint64_t items, billed_bytes;                                           /* AWS's counts */
	uint64_t files, files_done, files_failed, files_held;
	uint64_t records, bytes; /* loaded, also of files in progress; bytes: inflated */
	int64_t lanes;           /* the stream of its files; 0: none yet */
	/* The last window of the batch that it is loaded in, maybe itself; 0: none, or none yet. */
	int64_t batch;
	bool ends_batch; /* a person began it: it is not loaded with what comes behind it */
};

/* Begins it, or finds it, whatever the view: *created says which (a call sent again says the same);
 * gives back id, generation, number, status and attempt. The session drives it first; NULL: a
 * person begins it, nobody drives it yet, and it ends its batch. NULL for view or manifest: "". The
 * same window of another generation is another export. A generation of 0 finds it in any; else it
 * is: for `stream`, that stream's, raised by one; else of exports of the same table and name, for
 * windows the newest, for a full export the one after it. Windows of a generation are contiguous:
 * where the last one does not end at from_ms, id is 0, and the caller looks at the chain again. For
 * `stream` the same where it is not held, where the generation is neither the stream's nor the one
 * above it, which raises the stream's, and where a full export is not the first of its generation:
 * of two who begin it, one is late. */
bool store_export_begin(struct store *s, const char *session, struct store_export *e, int64_t at_ms,
			bool *created, struct error *err) MUST_CHECK;
/* *mine: the session drives it, now or already; else a live session does. */
bool store_export_take(struct store *s, const char *session, int64_t export, bool *mine,
		       struct error *err) MUST_CHECK;

/* Before AWS is asked: the export is waiting and its last attempt was `attempt` − 1. Where another
 * worker has made one meanwhile, gives back that attempt and its token, which is the one to send.
 * *done false: it is not to be submitted any more. */
struct store_attempt_made {
	uint32_t attempt;
	char token[STORE_TOKEN_SIZE];
};
bool store_export_attempt(struct store *s, const char *session, int64_t export,
			  struct store_attempt_made *made, int64_t at_ms, bool *done,
			  struct error *err) MUST_CHECK;
/* AWS has taken it. */
bool store_export_submitted(struct store *s, const char *session, int64_t export, uint32_t attempt,
			    const char *arn, int64_t at_ms, bool *done,
			    struct error *err) MUST_CHECK;
struct store_exported {
	const char *manifest;
	uint64_t files, items, billed_bytes;
};
/* AWS has finished it, and this is in its manifest. */
bool store_export_exported(struct store *s, const char *session, int64_t export, uint32_t attempt,
			   const struct store_exported *what, int64_t at_ms, bool *done,
			   struct error *err) MUST_CHECK;
/* The attempt failed; what was exported is no use either, its files go. retry_at_ms 0: no more
 * attempts. */
bool store_export_failed(struct store *s, const char *session, int64_t export, uint32_t attempt,
			 const char *error, int64_t retry_at_ms, int64_t at_ms, bool *done,
			 struct error *err) MUST_CHECK;
/* The windows of its generation from number `first` on to this one, all exported and of one view,
 * are loaded as one batch, of which this is the last: its files are so many ranges (STORE_FILES_MAX
 * at most), named "batch-ID-range-1-of-4" and so on, to be claimed from now on. *done false: they
 * are not all exported, or one before them is not over. */
bool store_export_batch(struct store *s, const char *session, int64_t export, uint64_t first,
			uint32_t ranges, bool *done, struct error *err) MUST_CHECK;
/* Exported and not to be loaded: complete. */
bool store_export_finish(struct store *s, const char *session, int64_t export, int64_t at_ms,
			 bool *done, struct error *err) MUST_CHECK;
/* Complete, and now everybody knows (_SUCCESS is written, the end was told). *first: by this call.
 */
bool store_export_published(struct store *s, const char *session, int64_t export, int64_t at_ms,
			    bool *first, struct error *err) MUST_CHECK;
/* Nobody goes on with it: no file is claimed any more, those that are held (files_held) may end.
 * *done false: it is complete. */
bool store_export_abandon(struct store *s, int64_t export, const char *error, int64_t at_ms,
			  bool *done, struct error *err) MUST_CHECK;

/* NULL and 0: any. The newest first, at most `max`. */
struct store_exports_of {
	int64_t id;
	const char *table_arn, *name;
	int64_t stream;
	int64_t batch;    /* 0: any */
	const char *kind; /* its name */
	bool open; /* those that want something done: not abandoned, not complete and published */
	bool loading; /* those whose files are being loaded, or that failed at some of them */
	/* Without files_held, and without records and bytes of files in progress, which are summed
	 * over all files: for asking again and again. */
	bool unsummed;
	uint32_t max;
};
typedef void store_export_fn(void *arg, const struct store_export *e);
bool store_exports(struct store *s, const struct store_exports_of *of, store_export_fn *fn,
		   void *arg, struct error *err) MUST_CHECK;

/* --- files --- */
enum store_file_status {
	STORE_FILE_PENDING,
	STORE_FILE_IN_PROGRESS, /* a session has it */
	STORE_FILE_COMPLETED,
	STORE_FILE_FAILED, /* until store_export_retry */
};
const char *store_file_status_name(enum store_file_status status); /* in upper case */

struct store_file {
	char name[STORE_SHARD_SIZE]; /* the lane's shard: one of the export's */
	const char *location;        /* s3://BUCKET/KEY */
	const char *checksum;        /* as the manifest has it; "": none */
	uint64_t items;              /* the same */

	/* Given by the store. */
	int64_t lane, export;
	enum store_file_status status;
	int64_t retry_at_ms;        /* it is not claimed before */
	uint32_t retries, attempts; /* failures since a person said again; claims */
	const char *error;          /* of the last failure; completed: "" */
	uint64_t records, bytes;    /* as last saved */
	int64_t started_ms, ended_ms, updated_ms;
	char owner[STORE_ID_SIZE]; /* "": free */
	const char *worker;        /* that had it last */
};
typedef void store_file_fn(void *arg, const struct store_file *file);

/* Adds files of an export that is exported, in as many calls as one likes; a name that is there is
 * left alone. *done as above; the files may be loading already. */
bool store_files_add(struct store *s, const char *session, int64_t export,
		     const struct store_file *files, size_t count, bool *done,
		     struct error *err) MUST_CHECK;
/* All are there: from now on they may be claimed. One without files is complete. INVALID where they
 * are not as many as store_export_exported said. */
bool store_export_load(struct store *s, const char *session, int64_t export, int64_t at_ms,
		       bool *done, struct error *err) MUST_CHECK;
struct store_files_wanted {
	uint32_t max;   /* so many of the export it shall hold; at most STORE_FILES_MAX */
	uint32_t known; /* so many of it it held before, as far as it knows: no more than max -
			   known are taken, though it may hold less by now */
};
/* The session's until it holds `max` of this export: pending ones whose time has come, oldest
 * first. Calls back for those that this call took, or where it held others than it knows of, as
 * after a reply that was lost, for all that it holds: so it may be sent again. In the order of
 * lanes, then for their positions. Takes nothing while workers with another set of sinks hold
 * files; after that the set is this one, and a sink that is new to a file starts where its furthest
 * position is. `max` 0 only lists all. */
bool store_files_claim(struct store *s, const char *session, int64_t export, const int32_t *sinks,
		       size_t sink_count, const struct store_files_wanted *wanted, int64_t at_ms,
		       store_file_fn *file, store_position_fn *position, void *arg,
		       struct error *err) MUST_CHECK;
/* The session gives it up: it is pending again, not before retry_at_ms; 0: failed. All that was
 * delivered of it is saved, as for store_lanes_release, which gives a file back without a failure.
 * `anew`: what was delivered is not to be believed, and its positions are none. FENCED where it is
 * not the session's. */
bool store_file_failed(struct store *s, const char *session, int64_t lane, const char *error,
		       int64_t retry_at_ms, bool anew, int64_t at_ms, struct error *err) MUST_CHECK;
/* A person says: again, at once. The file, or with lane 0 all that failed or wait for their time,
 * or an export that is out of attempts or waits for its next one, which then has a retry_at_ms that
 * is over; *retried: how many. */
bool store_export_retry(struct store *s, int64_t export, int64_t lane, int64_t at_ms,
			uint32_t *retried, struct error *err) MUST_CHECK;
/* All files of an export, oldest first. */
bool store_files(struct store *s, int64_t export, store_file_fn *fn, void *arg,
		 struct error *err) MUST_CHECK;

/* --- the audit: who tried what, and how it ended --- */
struct store_attempt {
	int64_t export, lane; /* lane 0: the export itself, at AWS; else the load of a file */
	uint32_t number;
	char session[STORE_ID_SIZE];
	const char *worker;
	const char *token, *arn; /* of the export itself */
	int64_t began_ms, ended_ms;
	const char *how; /* "": under way; done, failed, lost (its session went away) */
	const char *error;
};
typedef void store_attempt_fn(void *arg, const struct store_attempt *a);
/* In the order in which they began. */
bool store_attempts(struct store *s, int64_t export, store_attempt_fn *fn, void *arg,
		    struct error *err) MUST_CHECK;

/* Files of exports that ended before before_ms go, the oldest STORE_TIDY_MAX first, then the
 * exports, but for those with no newer complete one of their kind; *removed: how many files. */
bool store_exports_tidy(struct store *s, int64_t before_ms, uint32_t *removed,
			struct error *err) MUST_CHECK;
