#pragma once
#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "aws/streams.h"
#include "base/rng.h"
#include "base/sequence.h"

/* A whole deployment in one thread and virtual time: several workers, their database, DynamoDB's
 * stream and the sinks. What is outside of the processes is the world, which knows the truth and
 * checks it; a process is the real core, lineage, pacing, frontiers, handovers, balance and watch
 * with the thinnest glue. A seed names a run for ever. */

#define WORKERS_MAX  5
#define SHARDS_MAX   28
#define RECORDS_MAX  40
#define SINKS_MAX    3
#define KEYS         5
#define ROLL_MAX     (SHARDS_MAX * RECORDS_MAX)
#define ROLLS_MAX    96
#define SESSIONS_MAX 500
#define LOG_MAX      32768
#define EVENTS_MAX   4096
#define REQUESTS_MAX 192
#define PLAN_MAX     24
#define RETENTION_MS (24LL * 60 * 60 * 1000)
#define HOUR_MS      (60LL * 60 * 1000)
#define AWS_EPOCH_MS 1700000000000 /* when the world begins */

/* What can go wrong, and what of it a seed may have as noise (a share of a thousand occasions). */
#define FAULTS(X)                                                                                  \
	X(CRASH, "a process crashes")                                                              \
	X(OUTAGE, "all processes are away for hours")                                              \
	X(STOP, "a process is stopped and comes back")                                             \
	X(PAUSE, "a process is stopped by a signal, and wakes")                                    \
	X(ZOMBIE, "a process finds that its session was declared dead")                            \
	X(HANG, "the core and the readers of a process hang")                                      \
	X(CUT, "a worker cannot reach the database")                                               \
	X(AWAY, "the database is away")                                                            \
	X(STORE_CLOCK, "the database's clock steps")                                               \
	X(AWS_CLOCK, "a worker's idea of AWS time steps")                                          \
	X(DEAD, "a session is declared dead")                                                      \
	X(LOST_REQUEST, "a request to the database is lost")                                       \
	X(LATE_REQUEST, "a request reaches the database late")                                     \
	X(LATE_REFUSED, "it reaches it after its session was declared dead")                       \
	X(LOST_REPLY, "a reply of the database is lost")                                           \
	X(REBALANCED, "a shard moves to the worker that wished for it")                            \
	X(RELEASED, "shards are asked to leave for no reason")                                     \
	X(REWIND, "a shard and its descendants are read again")                                    \
	X(HELD, "the stream is held, and goes on")                                                 \
	X(RESET, "it is reset meanwhile, and read again from some time on")                        \
	X(DEPLOYED, "a worker comes back with another set of sinks")                               \
	X(ADDED, "a sink is added, to begin at the oldest record")                                 \
	X(SPLIT, "a shard has two children")                                                       \
	X(ROTATED, "a shard has one child")                                                        \
	X(THROTTLED, "AWS throttles")                                                              \
	X(FETCH_FAILED, "AWS does not answer")                                                     \
	X(EXPIRED, "an iterator has expired")                                                      \
	X(TRIMMED, "records are trimmed before they were read")                                    \
	X(GONE, "a shard is gone before it was read to its end")                                   \
	X(ORPHAN, "a shard's parent was never seen")                                               \
	X(EMPTY_PAGE, "a page without records in the middle of data")                              \
	X(STALE, "a listing shows how it was a while ago")                                         \
	X(SHUFFLED, "a listing has a child before its parent, and shards twice")                   \
	X(EARLY, "a child is listed while its parent looks open")                                  \
	X(PARENT_MISSING, "a listing lacks a parent")                                              \
	X(LISTING_EMPTY, "a listing is empty")                                                     \
	X(LISTING_FAILED, "a listing fails")                                                       \
	X(NO_CHILDREN, "CHILD_SHARDS does not know a child yet")                                   \
	X(SINK_FAILED, "a sink fails")                                                             \
	X(SINK_REFUSED, "a sink refuses a record")                                                 \
	X(SINK_SLOW, "a sink takes as long as it may")                                             \
	X(SINK_FATAL, "a sink gives up, its session ends")                                         \
	X(ABORTED, "a transaction is aborted, and sent again")                                     \
	X(COMMIT_UNKNOWN, "whether a transaction was committed is not known")                      \
	X(COMMIT_FENCED, "a fenced producer commits")                                              \
	X(COMMIT_BURIED, "a burial finds a transaction committed")                                 \
	X(COMMIT_NEVER, "a burial finds that one will never be")                                   \
	X(LANDED_LATE, "what was sent lands after its session is dead")                            \
	X(BURY_FAILED, "a dead session's roll cannot be finished at once")                         \
	X(ROLL_BURIED, "a dead session's roll is finished by another worker")

enum fault {
#define X(name, text) FAULT_##name,
	FAULTS(X)
#undef X
		FAULT_COUNT
};
extern const char *const fault_texts[FAULT_COUNT];

/* One record: its shard and index say everything else. */
struct ref {
	uint8_t shard, index;
};

struct shard {
	char id[STREAMS_SHARD_MAX + 1];
	int parent; /* -1: none */
	int count;  /* records it will have */
	int64_t opens_ms, closes_ms;
	int64_t listed_ms; /* when listings begin to show it */
	struct sequence sequence[RECORDS_MAX];
	uint64_t first_sequence;
	uint8_t key[RECORDS_MAX];
	bool poison[RECORDS_MAX]; /* refused by sinks that answer record by record */
	bool told[RECORDS_MAX];   /* lost, and reported as a gap */
	bool gap;                 /* something of it is lost, and that was told */
	bool gap_stops;           /* it stands still behind its gap */
	bool first;               /* of the first listing: reading of it begins where it can */
	bool orphan;              /* its parent was never seen, and that was told */
	int64_t read_ms;          /* when anybody read of it last; 0: never */
};

/* What a sink holds for ever, and of the generation under way what it has. */
struct sink_world {
	bool rolls;        /* nothing is seen before all of a roll is */
	bool transactions; /* and what is stored may never be seen */
	bool given_up; /* it was taken out once: there may be holes in it, whatever comes later */
	bool oldest;   /* where it begins when it is added */
	int64_t added_ms; /* AWS time when it was, to begin there; 0: it was not */
	struct ref log[LOG_MAX];
	size_t log_count;
	bool filtered[SHARDS_MAX][RECORDS_MAX]; /* it has no use for it */
	bool lettered[SHARDS_MAX][RECORDS_MAX];
	bool seen[SHARDS_MAX][RECORDS_MAX];
	bool stored[SHARDS_MAX][RECORDS_MAX]; /* in a roll that the store has */
	int prefix[SHARDS_MAX];               /* so many records are covered */
	/* Of transactions, by session: its producer's id is another one's, and the group's offset.
	 */
	bool fenced[SESSIONS_MAX + 1];
	uint64_t counted[SESSIONS_MAX + 1];
};

enum roll_state {
	ROLL_NONE,
	ROLL_PREPARED,
	ROLL_ABORTED,
	ROLL_STORED,
	ROLL_NEVER, /* a transaction: its burial found that it will not be committed */
	ROLL_VISIBLE,
};
/* A roll that was prepared: in the bucket, and once it is stored in the database as well. */
struct roll {
	enum roll_state state;
	bool row; /* the database has it as unfinished */
	uint64_t session, number;
	uint32_t sink;
	struct ref refs[ROLL_MAX];
	size_t count;
	struct {
		int row;
		struct sequence to;
	} pending[SHARDS_MAX]; /* of a transaction */
	size_t pending_count;
};

enum event_type {
	EVENT_NONE,
	/* of the world */
	EVENT_EXECUTE, /* a request reaches the database */
	EVENT_LAND,    /* what was sent arrives in a sink */
	EVENT_VISIBLE, /* a sink completes a roll */
	EVENT_COMMIT,  /* a producer's commit arrives */
	EVENT_PLAN,    /* a planned fault */
	EVENT_BOOT,    /* of a worker */
	EVENT_HOLDER,
	EVENT_HOLDER_LATE, /* a call of it that was given up */
	EVENT_CHECK,
	/* of a process: they wait while it stands still, and end with it */
	EVENT_REPLY,
	EVENT_LIFE,     /* the next step of its beginning or end */
	EVENT_DEADLINE, /* it may not take longer to stop */
	EVENT_SAVER,
	EVENT_STEWARD,
	EVENT_BURIED, /* the sink is done with a dead session's roll */
	EVENT_FETCH,
	EVENT_GAP, /* the one that a lane stands at is recorded */
	EVENT_ANSWER,
	EVENT_RETRY,
	EVENT_LIST,     /* all shards */
	EVENT_CHILDREN, /* of one that is closed */
	EVENT_PREPARED,
	EVENT_FINISHED,
	EVENT_ROLL, /* a sink's own wish */
	EVENT_DROP, /* a lane that has ended */
};

enum outcome { OUTCOME_TAKEN, OUTCOME_FAILED, OUTCOME_REFUSED };

struct event {
	int64_t at_ms;
	uint64_t order; /* equal times in the order they came */
	enum event_type type;
	int worker;
	uint64_t life; /* of the process; 0: the world's */
	uint64_t session;
	uint32_t lane, sink, request;
	uint64_t roll;
	enum outcome outcome;
	size_t first;
	/* LAND */
	int shard, from, to;
	uint64_t generation;
};

/* A fault that is sure to come. */
struct planned {
	enum fault fault;
	int64_t at_ms, length_ms;
	int worker;
	bool done;
};

/* Who holds the stream; one at a time. */
enum holder_step {
	HOLDER_NOBODY,
	HOLDER_HOLD,
	HOLDER_WAIT,
	HOLDER_RESET,
	HOLDER_GO_ON,
};
struct holder {
	enum holder_step step;
	enum fault what; /* HELD, REWIND or RESET */
	int said, hold, shard;
	int64_t until_ms, start_ms;
	uint64_t generation;
};

struct process;
struct request;
struct database;

struct worker {
	struct process *process; /* NULL: it does not run */
	int64_t boot_offset_ms;  /* its own clock's zero */
	int64_t aws_offset_ms;   /* how far it is off AWS time */
	int64_t cut_until_ms;
	uint32_t held_max; /* shards that it may have */
	unsigned sinks;    /* the set that it is configured with, as bits */
};

struct world {
	struct rng rng;
	int64_t now_ms;
	/* the seed's choices */
	int workers;
	uint32_t sink_count;
	bool stop_on_error, gap_oldest, filters;
	bool quiet_trims;      /* AWS gives no error for a place that is trimmed */
	bool one_is_small;     /* one worker may have few shards only */
	bool rolls_when_asked; /* neither size nor age ever ends a roll */
	int64_t memory, lease_ms, save_ms, store_ms, sink_ms, poll_min_ms, poll_max_ms;
	int64_t budget; /* calls a second; 0: no limit */
	int noise[FAULT_COUNT];
	struct planned plan[PLAN_MAX];
	int plan_count;
	int64_t quiet_ms;                   /* no faults from then on */
	int64_t outage_ms, outage_until_ms; /* 0: there is none */
	struct holder holder;
	int holders;      /* so far */
	int64_t start_ms; /* what is older is not wanted any more */
	/* what is there */
	struct shard shards[SHARDS_MAX];
	int shard_count;
	struct sink_world sinks[SINKS_MAX];
	struct roll rolls[ROLLS_MAX];
	struct database *database;
	struct worker worker[WORKERS_MAX];
	struct event events[EVENTS_MAX]; /* a heap */
	size_t event_count;
	uint64_t event_order, lives;
	bool stopping;      /* the end: workers stop for good */
	bool whole;         /* everything is where it should be; a last record is under way */
	int64_t release_ms; /* when some shards are asked for then */
	bool complete;
	/* what is told */
	uint64_t steps; /* of cores */
	uint64_t counted[FAULT_COUNT];
	int64_t most_charged;
};

/* world.c: the stream, the sinks, and what must hold */
void world_make(struct world *w, uint64_t seed);
uint64_t roll(struct world *w, uint64_t n);
bool one_in(struct world *w, uint64_t n);
int64_t soon(struct world *w, int64_t most_ms); /* 1 … most_ms */
/* Records that are there; of them, the first that is not trimmed. */
int world_available(const struct world *w, const struct shard *s);
int world_first_kept(const struct world *w, const struct shard *s);
bool world_closed(const struct world *w, const struct shard *s);
/* No listing shows it any more, and nothing of it can be read. */
bool world_gone(const struct world *w, const struct shard *s);
int64_t world_record_ms(const struct shard *s, int index);
int world_index_after(const struct shard *s, const struct sequence *at);
int world_shard(const struct world *w, const char *id);
/* Everything before `count` is durable for the sink. */
void world_must_cover(struct world *w, uint32_t sink, int shard, int count);
void world_must_see(struct world *w, uint32_t sink, int shard, int count);
void world_append(struct world *w, uint32_t sink, struct ref r);
/* The sink has no use for what is before `count`. */
void world_exempt(struct world *w, uint32_t sink, int shard, int count);
/* A gap is reported: what is lost of the shard before `to`. */
void world_tell(struct world *w, int shard, int to);
/* A shard's parent was never seen: what is lost before it. */
void world_tell_orphan(struct world *w, int shard);
bool world_descends(const struct world *w, int shard, int from);
/* Nothing of the shard and its descendants is trimmed yet. */
bool world_kept(const struct world *w, int shard);
/* From now on the shard and its descendants are read again. */
void world_rewind(struct world *w, int shard);
/* A bad record or a gap holds it or one before it for ever. */
bool world_stands(const struct world *w, int shard);
/* Everything that will ever come has come, and it is where it should be. */
bool world_complete(struct world *w);
void world_check_end(struct world *w);

/* From now on everything is read again, but for what is older than start_ms. */
void world_reset(struct world *w, int64_t start_ms);

/* holder.c: false where one is at work */
bool holder_begin(struct world *w, enum fault what, int shard, int64_t length_ms);
void holder_happen(struct world *w, const struct event *e);

/* events.c */
void pend(struct world *w, struct event e, int64_t delay_ms);
bool events_pop(struct world *w, struct event *out);
int64_t events_next_ms(const struct world *w);

/* plan.c: what goes wrong */
void plan_make(struct world *w);
void plan_happen(struct world *w, const struct event *e);
void count_fault(struct world *w, enum fault f);
/* May this go wrong now? Then it is counted. */
bool noise(struct world *w, enum fault f);

/* sinks.c: rolls in the bucket, what is under way to the others */
struct roll *roll_find(struct world *w, uint64_t session, uint32_t sink, uint64_t number);
struct roll *roll_new(struct world *w, uint64_t session, uint32_t sink, uint64_t number);
void roll_visible(struct world *w, struct roll *r);
/* Another one has the session's producer's id. */
void producer_fence(struct world *w, uint64_t session, uint32_t sink);
void producer_commit(struct world *w, const struct event *e);
bool producer_committed(const struct world *w, uint64_t session, uint32_t sink, uint64_t number);
/* What a session began and did not commit is removed. */
void rolls_sweep(struct world *w, uint64_t session);
void rolls_forget(struct world *w, uint64_t session);
void sink_land(struct world *w, const struct event *e);
/* Of what a process has under way, some arrives nevertheless: at its time, or at once. */
void sinks_cut(struct world *w, uint64_t life, bool purged);
