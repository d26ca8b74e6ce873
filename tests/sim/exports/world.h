#pragma once
#include "base/rng.h"
#include "consumer/drive.h"

/* One table that is exported, in virtual time: AWS with point-in-time recovery that may be off for
 * a while, a store that keeps what checkpoint/exports.h promises, and workers that do one thing
 * after another, each of which may be late, done twice, cut off by a crash, or answered by nobody.
 */

#define ROWS_MAX  4000
#define WORKERS   2
#define MINUTE_MS WINDOW_MINUTE_MS
#define HOUR_MS   WINDOW_HOUR_MS
#define DAY_MS    (24 * HOUR_MS)
#define RETRIES   3
#define POLL_MS   30000

struct aws_export {
	struct window window;
	uint32_t attempt;
	uint64_t generation;
	int64_t due_ms;
	bool fails, bad; /* bad: its manifest is no good */
	bool given_up;   /* a worker was told so */
};

struct row {
	struct store_export e;
	char driver[STORE_ID_SIZE];
	int aws;            /* the attempt's export; −1: not submitted */
	int64_t decided_ms; /* of its attempt: when its worker had looked */
	unsigned retried;
	bool lost;
};

/* One thing that a worker does: first at AWS, then in the store. */
struct doing {
	enum {
		NOTHING,
		BEGIN,
		TAKE,
		STEP,
		FAIL,
		SUBMITTED,
		EXPORTED,
		PUBLISHED,
	} what;
	enum drive_what step;
	int64_t id, retry_at_ms;
	uint32_t attempt;
	uint64_t generation, first; /* of a batch */
	struct window window;
	int aws;
	bool lost;
};

struct worker {
	char session[STORE_ID_SIZE];
	/* Its last look. */
	bool looked;
	int64_t looked_ms;
	struct store_export rows[ROWS_MAX];
	size_t count;
	struct store_export full, window;
	uint64_t newest;
	/* What it knows beyond. */
	struct drive_known known[ROWS_MAX];
	struct {
		enum store_export_status status;
		uint32_t attempt;
		int64_t retry_at_ms;
	} known_of[ROWS_MAX];
	struct recovery pitr;
	struct doing doing;
};

struct world {
	struct rng rng;
	int64_t now_ms;
	bool quiet; /* nothing goes wrong any more */
	bool load, full_scheduled;
	int64_t pitr_since_ms; /* 0: off */
	struct schedule schedule;
	struct zone *zone;
	struct chain_rules rules;
	struct drive_rules drive;
	struct row rows[ROWS_MAX]; /* id − 1 */
	size_t count;
	struct aws_export exports[ROWS_MAX];
	size_t export_count;
	struct worker workers[WORKERS];
	unsigned lives;
	struct {
		unsigned crashes, failures, lost, abandoned, repeated, windows, fulls, batches,
			shorter;
	} seen;
};

bool chance(struct world *w, unsigned in);
bool is_live(const struct world *w, const char *session);

/* --- the store --- */
int64_t store_begin(struct world *w, const char *session, struct window window,
		    uint64_t generation);
void store_take(struct world *w, const char *session, int64_t id);
void store_attempt(struct world *w, int64_t id, uint32_t attempt, int64_t looked_ms);
void store_submitted(struct world *w, int64_t id, uint32_t attempt, int aws);
void store_exported(struct world *w, int64_t id, uint32_t attempt);
void store_failed(struct world *w, int64_t id, uint32_t attempt, int64_t retry_at_ms, bool lost);
void store_finish(struct world *w, int64_t id);
void store_load(struct world *w, int64_t id);
void store_batch(struct world *w, int64_t id, uint64_t first);
/* Its files are done. */
void store_loaded(struct world *w, int64_t id);
void store_published(struct world *w, int64_t id);
void store_abandon(struct world *w, int64_t id);
void store_retry(struct world *w, int64_t id);
void store_check(const struct world *w);

/* --- AWS --- */
int64_t aws_latest_ms(const struct world *w);
/* −1: it says that this cannot be exported. */
int aws_start(struct world *w, const struct row *row);

/* --- workers --- */
void worker_begin(struct world *w, struct worker *k);
void worker_turn(struct world *w, struct worker *k);
