#pragma once
/* A table, its stream, AWS's exports and the readers of what is delivered, in virtual time: what
 * joins of the stream with exports (consumer/joining.h) have to get right. */
#include <assert.h>

#include "base/rng.h"
#include "consumer/joining.h"

#define SECOND_MS    ((int64_t)1000)
#define MIN_MS       WINDOW_MINUTE_MS
#define HOUR_MS      WINDOW_HOUR_MS
#define DAY_MS       (24 * HOUR_MS)
#define KEYS         2000
#define LASTING      10 /* keys that live for days; of the others each burst of writes has its own */
#define LANES_MAX    4
#define WORKERS_MAX  3
#define CHANGES_MAX  16000
#define EXPORTS_MAX  400
#define JOINS_MAX    40
#define OPS_MAX      300
#define FUZZ_MS      MIN_MS /* of an export's cut */
#define RETENTION_MS DAY_MS /* of the stream */
#define NEVER        INT64_MAX

enum fault {
	FAULT_BASELINE,
	FAULT_WINDOWS, /* of a baseline */
	FAULT_LONG,    /* an export that took longer than a day */
	FAULT_REPAIR,
	FAULT_ROUNDS, /* a repair that needed another round */
	FAULT_CRASH,  /* of a worker between two calls to the store */
	FAULT_STALE,  /* two workers with steps to take at once */
	FAULT_ATTEMPT,
	FAULT_RETRY, /* an export was out of attempts, and a person said: again */
	FAULT_TOO_MANY,
	FAULT_BEYOND, /* the gap was out of PITR's reach */
	FAULT_ANEW,   /* a baseline of a stream that was read before */
	FAULT_OUTAGE,
	FAULT_STUCK,   /* one shard alone */
	FAULT_GHOST,   /* a delete that exports cannot give back */
	FAULT_ABANDON, /* a join was given up by a person */
	FAULT_ACCEPT,  /* a loss was accepted while it was to be repaired */
	FAULTS,
};
extern const char *const fault_texts[FAULTS];

struct change {
	int64_t at_ms;
	int key, value; /* 0: deleted */
	int before;     /* of the same key; -1: none */
};
struct lane {
	int records[CHANGES_MAX]; /* changes that the stream has */
	int count;
	/* The store's row. */
	int saved;          /* records that are known to be delivered */
	int64_t event_ms;   /* of the last of them; 0: none yet */
	int64_t read_at_ms; /* 0: never */
	bool gap;           /* it stands at one that is open */
	int owner;          /* worker; -1: free */
	/* The owner's. */
	int next;
	uint64_t generation;
	int64_t stuck_until_ms;
	int64_t delivered_ms; /* the newest record that ever was */
};
/* What a reader downstream has of a key. */
struct known {
	uint64_t generation, sequence;
	int value;
};
struct join {
	uint64_t generation;
	int64_t hold;
	bool full;
	int64_t t_ms;
	int64_t places_ms[LANES_MAX], delivered_ms[LANES_MAX];
	int64_t oldest_ms;
	/* What was loaded before it, that lanes had not come to. */
	int64_t loaded_ms[EXPORTS_MAX];
	int loaded_count;
};
enum op_type { OP_HOLD, OP_ENABLE, OP_BEGIN, OP_RESET, OP_PUBLISH, OP_GO_ON, OP_ABANDON };
struct op {
	enum op_type type;
	int64_t hold;
	uint64_t generation;
	struct window window;
	int64_t at_ms, start_ms;
	int export;
	enum joining_kind kind;
};
struct worker {
	bool up, buried;
	int64_t read_ms, drive_ms, op_ms, boot_ms; /* when it does so next */
	struct op ops[OPS_MAX];
	int op_count, op_next;
};
struct hold {
	int64_t id;
	enum joining_kind why;
	uint64_t generation;
};

struct world {
	struct rng rng;
	int64_t begin_ms, now_ms, chaos_ms, calm_ms;
	uint64_t salt;
	bool exact; /* exports' cuts are */
	int counted[FAULTS];
	/* The table. */
	struct change changes[CHANGES_MAX];
	int change_count, newest[KEYS], lanes_count;
	int64_t write_ms;
	int burst, bursts;
	/* Its stream, and the store's row of it. */
	struct lane lanes[LANES_MAX];
	int64_t enabled_ms, start_ms, last_hold;
	bool listed;
	uint64_t generation;
	struct hold hold;
	/* Point-in-time recovery. */
	bool pitr, may_enable, pitr_was_off;
	int64_t earliest_ms, pitr_off_ms, pitr_on_ms;
	/* Exports. */
	struct store_export exports[EXPORTS_MAX];
	int64_t due_ms[EXPORTS_MAX], zombie_ms[EXPORTS_MAX];
	int export_count;
	double slowness; /* of loading: ms for a ms of history */
	int aws;         /* how long its exports take */
	bool aws_fails;
	struct join joins[JOINS_MAX];
	int join_count;
	/* Workers and people. */
	struct worker workers[WORKERS_MAX];
	int worker_count;
	int64_t outage_ms, person_ms;
	bool lossy;              /* a person said so */
	enum error_kind stopped; /* what the last step said to people */
	/* Downstream: one keeps the highest (generation, sequence) of a key, one what came last. */
	struct known best[KEYS], last[KEYS];
};

uint64_t roll(struct world *w, uint64_t n);
bool one_in(struct world *w, uint64_t n);
int64_t between(struct world *w, int64_t least_ms, int64_t most_ms);

/* world.c: the table, the stream, downstream. */
void world_make(struct world *w, uint64_t seed);
void table_write(struct world *w);
/* What the key is strictly before t_ms. */
int table_state(const struct world *w, int key, int64_t t_ms);
void deliver(struct world *w, uint64_t generation, uint64_t sequence, int key, int value,
	     bool zombie);
void world_check_end(struct world *w);

/* aws.c: exports, from waiting to complete. */
int64_t export_next_ms(const struct world *w, int at);
void export_happen(struct world *w, int at);
int64_t latest_ms(const struct world *w);
/* One of the generation, `number` its windows before it. */
bool export_begin(struct world *w, const struct op *op);
void pitr_happen(struct world *w);

/* workers.c: lanes are read, by whoever has them; steps are taken. */
void worker_read(struct world *w, int worker);
void worker_drive(struct world *w, int worker);
void worker_op(struct world *w, int worker);
void worker_crash(struct world *w, int worker);
void worker_boot(struct world *w, int worker);
void worker_facts(const struct world *w, struct joining_facts *f, int64_t places_ms[LANES_MAX]);
void person_happen(struct world *w);
