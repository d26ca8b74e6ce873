#pragma once
#include "consumer/core.h"
#include "consumer/handover.h"
#include "consumer/lineage.h"
#include "consumer/loss.h"
#include "consumer/watch.h"
#include "database.h"
#include "world.h"

/* One life of a worker's process: the pure parts, and between them the glue that follows the
 * worker's files (worker_*.c, reader.c, hand.c, discover.c), the saver's thread and the steward's.
 * Whoever calls the database waits for the reply, as those threads do. */

#define JOBS_MAX   256
#define LANE_OVER  (CORE_NONE - 1) /* in lane_of: it was ours and is done */
#define UNREAD_MAX (23 * HOUR_MS)

struct page {
	int from, to; /* record indices [from, to) */
};

struct sim_lane {
	bool used;
	int shard, row;
	uint64_t generation;
	int next; /* index of the next record to read */
	bool root, from_horizon, has_iterator;
	bool gap_accepted; /* and no page was read since */
	bool left;         /* there is none: a sink that was added takes what is left */
	bool may_be_gone;  /* and nobody else needs any of it */
	int iterator;      /* where it reads */
	int64_t read_at_ms;
	struct page pages[CORE_PAGES];
	uint64_t pages_read;
	struct handover handovers[SINKS_MAX];
	int have[SINKS_MAX]; /* records that the sink has from an earlier session */
	/* Sinks of transactions: what was delivered waits for the next one; is in the open one, and
	 * answered so when it is closed. */
	bool parked[SINKS_MAX], taken[SINKS_MAX];
	struct event answers[SINKS_MAX];
	unsigned searches; /* for its children */
	bool wants_listing;
};

struct open_roll {
	uint64_t number, deliveries;
	struct ref refs[ROLL_MAX];
	size_t count;
};

struct roll_under_way {
	uint64_t number, deliveries;
	bool unfinished; /* prepared and not yet finished */
};

enum job_type { JOB_SAVE, JOB_ADD, JOB_SHARDS, JOB_LETTER, JOB_STREAM, JOB_JOIN, JOB_FIRST };
struct job {
	enum job_type type;
	uint32_t lane, sink; /* LETTER */
	bool own;            /* ADD */
	unsigned let_go;     /* ADD: the process's when it was asked for */
	struct {
		int shard;
		bool root, done;
	} found[SHARDS_MAX];
	size_t found_count;
};

struct saver {
	bool busy; /* a call is under way */
	bool beating;
	int64_t beat_at_ms, beat_sent_ms, retry_at_ms, wake_ms;
	unsigned tries;
	struct job jobs[JOBS_MAX];
	size_t job_first, job_count;
};

enum burial_step { BURIAL_ROLLS, BURIAL_SINK, BURIAL_ROLL_FINISHED, BURIAL_SESSION };
enum burial_result { BURIAL_GOES_ON, BURIAL_DONE, BURIAL_LEFT, BURIAL_UNHEARD };
struct burial {
	enum caller caller;
	enum burial_step step;
	uint64_t session;
	struct {
		uint32_t sink;
		uint64_t number;
	} rolls[2 * SINKS_MAX];
	size_t roll_count, at;
	bool committed; /* the one that is at */
};

enum steward_step {
	STEWARD_IDLE,
	STEWARD_SESSIONS,
	STEWARD_KILL,
	STEWARD_BURIAL,
	STEWARD_ROUND,
	STEWARD_CLAIM,
	STEWARD_WISH,
	STEWARD_RELEASE,
	STEWARD_HELD,
};
struct steward {
	enum steward_step step;
	struct watch watch;
	struct burial burial;
	uint64_t buried;
	int64_t round_at_ms, not_before_ms, retry_at_ms, wake_ms;
	unsigned failures, tries;
	uint32_t patience;
	bool quiet, poked, held_wanted;
	bool held; /* the stream is, or was since it was opened */
	/* of the round under way */
	struct reply sessions, view;
	size_t session_at;
	bool claimed;
	uint32_t wish;
	uint64_t wish_from;
	/* lanes to let go of */
	struct {
		int row;
		uint32_t lane;
	} leaving[4 * SHARDS_MAX];
	size_t leaving_count, leaving_sent;
	bool doubtful[ROWS_MAX]; /* rows whose release had no reply */
};

enum phase { PHASE_BEGIN, PHASE_RUN, PHASE_STOP, PHASE_END };

struct process {
	int worker;
	uint64_t life, session;
	enum phase phase;
	bool again;   /* it comes back as a new session at once */
	bool drained; /* at its end nothing was left */
	int64_t paused_until_ms, hung_until_ms, hung_since_ms;
	int64_t emit_until_ms, beat_from_ms;
	int64_t booted_ms, calls;
	uint64_t generation;
	int64_t start_ms; /* of the world */
	int epoch;
	bool found_held;           /* when it read these two */
	bool held, opening;        /* worker_hold.c */
	unsigned opened;           /* times */
	uint32_t sinks[SINKS_MAX]; /* of the world, by the core's index */
	uint32_t sink_count;
	unsigned sink_set;
	struct core core;
	struct lineage lineage;
	uint32_t lane_of[SHARDS_MAX];      /* by lineage index */
	struct sim_lane lanes[SHARDS_MAX]; /* by index of the core */
	struct open_roll open[SINKS_MAX];  /* takes what comes */
	struct roll_under_way rolls[SINKS_MAX];
	struct core_save save; /* copy of the save in flight */
	struct core_move moves[MOVES_MAX], pending[MOVES_MAX];
	int reads[SHARDS_MAX]; /* rows */
	int64_t save_number;
	struct saver saver;
	struct steward steward;
	struct burial burial; /* its own session's */
	/* worker_lanes.c, worker_share.c */
	bool rooted, lister, listing_runs;
	unsigned adding, differs, empties;
	unsigned let_go;          /* lanes that were, so far */
	bool severed[SHARDS_MAX]; /* an orphan, or descends from one */
	uint32_t settled[SHARDS_MAX];
	size_t settled_count;
	int known_rows;
	struct streams_shard listing[2 * SHARDS_MAX];
	size_t listing_count;
	bool listing_waits;
	unsigned unclaimed;
};

/* Its own clocks. */
int64_t process_now(const struct world *w, const struct process *p);
int64_t process_aws_now(const struct world *w, const struct process *p);
void process_pend(struct world *w, struct process *p, struct event e, int64_t delay_ms);

/* process.c: events and actions of the core, rolls */
void process_core(struct world *w, struct process *p);
void process_feed(struct world *w, struct process *p, struct core_event e);
void process_tick(struct world *w, struct process *p);
/* The stream becomes the core's. */
void process_core_stream(struct world *w, struct process *p);
/* The open rolls end, but where the core has to see to it, since a lane leaves. */
void process_roll(struct world *w, struct process *p);
int64_t process_wake_ms(const struct world *w, const struct process *p);
void process_happen(struct world *w, struct process *p, const struct event *e);

/* process_life.c: how it begins and ends */
void process_boot(struct world *w, int worker);
/* Nothing of it is left; what was on its way may still arrive. */
void process_kill(struct world *w, struct process *p, int64_t down_ms);
void process_stop(struct world *w, struct process *p);
/* Its session is over: it buries it itself, and comes back as a new one. */
void process_lost(struct world *w, struct process *p);
void process_drained(struct world *w, struct process *p);
void process_life(struct world *w, struct process *p);
void process_deadline(struct world *w, struct process *p);
void process_life_reply(struct world *w, struct process *p, const struct request *r);
void process_life_buried(struct world *w, struct process *p, bool ok);

/* requests.c: what the database gets to see of it */
struct request *request_new(struct world *w, struct process *p, enum caller caller, enum call call);
void request_send(struct world *w, struct process *p, struct request *r);
void request_execute(struct world *w, uint32_t request);
enum caller request_caller(uint32_t request);
/* The reply, or that none came; process NULL: nobody is left who waits for it. */
void request_reply(struct world *w, struct process *p, uint32_t request, bool came);
void requests_reset(void);
/* Some that nobody waits for may still reach the database. */
bool requests_late(void);
/* A session's end in its steps, each repeatable by anyone. */
void burial_start(struct world *w, struct process *p, struct burial *b, enum caller caller,
		  uint64_t session);
enum burial_result burial_reply(struct world *w, struct process *p, struct burial *b,
				const struct request *r);
enum burial_result burial_sink(struct world *w, struct process *p, struct burial *b, bool ok);

/* process_pages.c: from AWS to the sinks */
void process_fetch(struct world *w, struct process *p, const struct event *e);
void process_gap_recorded(struct world *w, struct process *p, uint32_t lane);
/* The open transaction is closed: it holds what it took, or is aborted. */
void process_transaction(struct world *w, struct process *p, uint32_t sink, bool aborted);
/* The next one takes what waits. */
void process_unpark(struct world *w, struct process *p, uint32_t sink);
void process_answer(struct world *w, struct process *p, const struct event *e);
void process_again(struct world *w, struct process *p, const struct event *e);
void process_lettered(struct world *w, struct process *p, uint32_t lane, uint32_t sink);

/* process_lanes.c: how lanes come and go */
/* Any lane may be asked for, in whatever state it is. */
void process_release_some(struct world *w, struct process *p);
void process_take(struct world *w, struct process *p, const struct reply *r, bool all);
void process_viewed(struct world *w, struct process *p, const struct reply *view);
void process_drop(struct world *w, struct process *p, uint32_t lane, uint32_t then);
void process_added(struct world *w, struct process *p, const struct reply *r, unsigned let_go);
void process_known(struct world *w, struct process *p, const struct reply *r);
void process_settled(struct world *w, struct process *p);

/* process_hold.c */
void process_hold(struct world *w, struct process *p);
/* True: it takes no part in the stream now. */
bool process_hold_see(struct world *w, struct process *p, const struct reply *view);
void process_stream(struct process *p, const struct reply *r);
void process_opened(struct world *w, struct process *p, const struct reply *r);

/* process_listing.c: shards are looked for */
void process_list_start(struct world *w, struct process *p, int64_t delay_ms);
void process_list(struct world *w, struct process *p);
void process_children(struct world *w, struct process *p, const struct event *e);
void process_look_through(struct world *w, struct process *p, int parent,
			  const struct streams_shard *shards, size_t count);

/* process_saver.c */
void saver_begin(struct world *w, struct process *p);
void saver_run(struct world *w, struct process *p);
void saver_reply(struct world *w, struct process *p, const struct request *r);
struct job *saver_job(struct process *p, enum job_type type);

/* process_steward.c */
void steward_begin(struct world *w, struct process *p);
void steward_run(struct world *w, struct process *p);
void steward_reply(struct world *w, struct process *p, const struct request *r);
void steward_buried(struct world *w, struct process *p, bool ok);
void steward_let_go(struct world *w, struct process *p, int row, uint32_t lane);
void steward_ask_held(struct world *w, struct process *p);
void steward_poke(struct world *w, struct process *p);
