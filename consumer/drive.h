#pragma once
#include "base/rng.h"
#include "checkpoint/exports.h"
#include "export/chain.h"

/* What is to be done next with an export that was begun: from its row in the store, from what this
 * session heard of AWS, and from AWS's time. Pure. Each step may be done twice, or by two workers,
 * and be cut off at any point: what counts is in the row. */
enum drive_what {
	DRIVE_WAIT,     /* nothing before at_ms, unless the row changes */
	DRIVE_ASK,      /* how far point-in-time recovery reaches; or that it is off */
	DRIVE_ATTEMPT,  /* the next attempt is written down: number and token … */
	DRIVE_SUBMIT,   /* … and sent, as often as it takes */
	DRIVE_POLL,     /* AWS is asked how far it is */
	DRIVE_MANIFEST, /* its manifest is read, and what it says written down */
	DRIVE_FILES,    /* its data files become rows, and are loaded */
	DRIVE_BATCH,    /* it is loaded together with the windows before it, from place.first on */
	DRIVE_FINISH,   /* nothing of it is to be loaded: it is complete */
	DRIVE_PUBLISH,
	DRIVE_LOST,    /* PITR does not reach back to its beginning: it can never be exported */
	DRIVE_ABANDON, /* a newer full export has made it useless */
};

struct drive_rules {
	bool load;      /* its files are loaded; false: it ends with the manifest */
	bool publishes; /* its end is told by us */
	int64_t poll_ms;
	uint32_t retries;    /* attempts after the first */
	uint32_t load_every; /* windows that are loaded as one; 0 as 1 */
};

/* What this session knows beyond the row. All zero at first; again when the row has another status
 * or attempt. */
struct drive_known {
	int64_t again_ms; /* what was tried is not tried again before */
	bool exported;    /* AWS has finished it */
};

/* Where it stands among others. Periodic exports of a table are made one at a time, and so are
 * loads into a sink; those of a stream's baseline or repair are submitted at once and loaded in
 * their order. */
struct drive_place {
	bool held;      /* it is not submitted: another one comes first */
	bool held_load; /* it is not loaded, likewise */
	bool useless;   /* a newer generation was begun */
	/* Of a window that is exported: the number of the first one of its batch; 0: it is loaded
	 * alone. It waits for so many more; 0: for the last one of the batch, if that is not
	 * itself. */
	uint64_t first;
	uint32_t lacks;
	bool leads; /* it is the last one of its batch, which has all that it needs */
};

struct drive_next {
	enum drive_what what;
	int64_t at_ms; /* WAIT; INT64_MAX: for the row to change */
};

/* The chain of a table's periodic exports, by its newest full export and its newest window; id 0:
 * there is none. Windows of an older generation are no part of it. The next one is begun while the
 * newest waits for its batch. */
struct chain drive_chain(const struct store_export *full, const struct store_export *window,
			 const struct drive_rules *rules);

/* The generation of its next window: never the store's newest, as a full export may be begun in the
 * same moment. A full export that a person begins before anything else takes DRIVE_BESIDE_WINDOWS
 * where windows begin by themselves, for the same reason. */
uint64_t drive_generation(const struct store_export *full, const struct store_export *window);
#define DRIVE_BESIDE_WINDOWS 2

/* Its attempt is written down and may have reached AWS: the same token is sent until AWS answers.
 */
bool drive_in_flight(const struct store_export *e);
/* `others` in any order, with itself; newest: the generation of the newest full export of the
 * same chain.
 *
 * A batch are the first load_every windows of a generation that are exported and not loaded,
 * without a gap. It is shorter where a person began one of them, where the next one has another
 * view, and where no other one comes: a newer full export was begun, and nothing of this generation
 * is under way. */
struct drive_place drive_place(const struct store_export *e,
			       const struct store_export *const *others, size_t count,
			       uint64_t newest, const struct drive_rules *rules);
struct drive_next drive_next(const struct store_export *e, const struct drive_place *place,
			     const struct drive_known *known, const struct recovery *pitr,
			     const struct drive_rules *rules, int64_t now_ms);
/* For the attempt that has failed: when the next one may be made; 0: there is none. */
int64_t drive_retry_at(uint32_t attempt, uint32_t retries, int64_t now_ms, struct rng *rng);
/* About poll_ms later. */
int64_t drive_poll_at(int64_t poll_ms, int64_t now_ms, struct rng *rng);
/* It should be complete by now; one that waits for its batch need not. */
bool drive_is_late(const struct store_export *e, const struct drive_rules *rules,
		   int64_t deadline_ms, int64_t now_ms);
/* It waits for other windows: nothing is done about it, whoever is told. */
bool drive_waits_for_batch(const struct store_export *e, const struct drive_place *place);
/* "full at 2026-11-25T04:00:00.000Z", "2026-… to 2026-…", for people. Returns out. */
#define DRIVE_WINDOW_SIZE 80
char *drive_window(const struct store_export *e, char out[DRIVE_WINDOW_SIZE]);
