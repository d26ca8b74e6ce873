#pragma once
#include "aws/exports.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/metrics.h"
#include "config/config.h"
#include "consumer/drive.h"
#include "export/listing.h"
#include "export/path.h"

/* Exports on a worker's thread, between worker_exports.c (what the store has, and whose it is),
 * worker_targets.c (tables and what is begun of them), worker_export_steps.c (an export at AWS) and
 * worker_export_files.c (its manifest). Everybody looks at all of them every few seconds; one live
 * session drives an export, and any other can go on where it stopped. */
struct worker;

/* How rows of a name are exported: an entry of `exports`, the baseline block of a stream, or the
 * load of foreign exports into a sink. Lives as long as the session. */
struct worker_target {
	struct worker_target *next;
	struct worker *worker;
	const struct config_export *entry; /* NULL: it has no schedule */
	const char *table;                 /* of the entry */
	char name[STORE_NAME_MAX + 1];
	enum store_export_kind
		kind; /* FULL stands for both kinds of an entry, BASELINE for REPAIR */
	const char *bucket, *bucket_owner, *prefix;
	const char *view; /* of an entry's windows */
	bool enable_pitr;
	int64_t deadline_ms; /* 0: none */
	struct drive_rules drive;
	struct schedule schedule;
	struct zone *zone; /* of the schedule */
	struct chain_rules rules;

	char arn[1025]; /* of the table; "" until it is known */
	bool looking;   /* the table is looked up */
	int64_t look_at_ms;
	unsigned failures;

	struct recovery pitr;
	bool asking;
	int64_t ask_at_ms; /* boot time before which it is not asked again */
	unsigned asked_in_vain;

	bool chain_known; /* by a look later than … */
	unsigned after;
	struct chain chain;
	uint64_t newest;     /* generation of the newest full export */
	uint64_t generation; /* of its next window */
	int64_t due_ms;      /* what is due and was not begun: since when */
	bool beginning;
	int64_t left_out_ms;    /* told of */
	int64_t complete_to_ms; /* all up to here is exported and loaded; 0: not known */
	const char *trouble;    /* what the health says; a literal, NULL: nothing */
	struct metric_cell *behind, *age, *late, *completed, *failed, *gaps, *billed;
};

/* An export that is not over. */
struct worker_export {
	struct worker_export *next;
	struct worker *worker;
	struct worker_target *target; /* NULL: this worker knows nothing of it */
	struct store_export row;
	struct arena texts; /* of `row` */
	bool seen;          /* in the last look */
	bool busy;          /* a call is out */
	bool stale;         /* until a look later than `after` */
	unsigned after;
	struct drive_known known;
	int64_t due_ms;      /* AWS time: nothing is to be done before */
	struct buf manifest; /* s3://BUCKET/KEY, once AWS has finished it */
	int64_t missing_ms;  /* since when its manifest is not there; 0: it is not looked for */
	struct listing *listing;
	uint64_t files; /* of the listing so far */
	unsigned failures;
	bool late_told;
	bool waits; /* for windows of its batch */
};

struct worker_look {
	struct arena memory;
	struct store_export *rows;
	size_t count;
	struct store_session *sessions;
	size_t session_count;
	struct worker_chain {
		struct worker_target *target;
		char arn[1025];
		struct store_export full, window; /* the newest; id 0: none */
	} * chains;
	size_t chain_count;
};

struct worker_exports {
	struct worker_target *targets;
	struct worker_export *exports; /* newest first */
	struct loop_timer *timer;
	struct rng rng;
	struct worker_look look; /* the saver's while `looking` */
	bool looking, look_again;
	unsigned looks; /* begun */
	bool looked;    /* once, at least */
	int64_t look_at_ms;
	unsigned answers; /* of AWS, to these calls */
	struct log_limit log;
};

/* From serving on; until the loop ends. */
void worker_exports_start(struct worker *w);
void worker_exports_stop(struct worker *w);
void worker_exports_release(struct worker *w);
/* How many are under way, for --until-idle. */
uint32_t worker_exports_expected(const struct worker *w);

/* --- between these files --- */
/* The store may have something new. */
void worker_exports_look(struct worker *w);
/* The same: it has, and until it was looked at nothing more is done about the export. */
void worker_export_changed(struct worker_export *x);
/* AWS's time is known. */
bool worker_exports_timed(const struct worker *w);
/* What a person may have to do, in /readyz; NULL: nothing. */
void worker_target_health(struct worker_target *t, const char *trouble, const char *detail);

void worker_targets_init(struct worker *w);
void worker_targets_release(struct worker *w);
struct worker_target *worker_target_of(struct worker *w, const struct store_export *e);
void worker_target_step(struct worker_target *t);
/* How far its point-in-time recovery reaches; not more often than makes sense. */
void worker_target_ask(struct worker_target *t);
void worker_target_metrics(struct worker_target *t);

void worker_export_step(struct worker_export *x, const struct drive_next *next,
			const struct drive_place *place);
/* Its driver may be gone: asks the store to have it. */
void worker_export_take(struct worker_export *x);
/* Tried again later, without counting as an attempt. */
void worker_export_trouble(struct worker_export *x, const struct error *err);
/* The attempt failed; `lost`: and no other can be made. */
void worker_export_fail(struct worker_export *x, const char *error, bool lost);

/* A step of an export in the store. One allocation, as tasks may be freed by others. */
enum export_step {
	STEP_TAKE,
	STEP_ATTEMPT,
	STEP_SUBMITTED,
	STEP_EXPORTED,
	STEP_FAILED,
	STEP_FILES,
	STEP_LOAD,
	STEP_BATCH,
	STEP_FINISH,
	STEP_PUBLISHED,
	STEP_ABANDON,
};
void worker_export_do(struct worker_export *x, enum export_step step);
void worker_export_exported(struct worker_export *x, const struct store_exported *what);
void worker_export_add(struct worker_export *x, const struct listing_part *part);

void worker_export_read(struct worker_export *x);
void worker_export_load(struct worker_export *x);
/* The files that were added are in the store. */
void worker_export_added(struct worker_export *x, bool end);
