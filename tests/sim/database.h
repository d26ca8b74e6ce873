#pragma once
#include "consumer/core.h"
#include "world.h"

/* What the store's contract (checkpoint/store.h) says and 2.0_workers.sql does, of one stream. Each
 * call is one moment. Requests reach it when they do, also those that nobody waits for any more. */

#define MOVES_MAX   (SHARDS_MAX * SINKS_MAX)
#define MEMBERS_MAX 64
#define ROWS_MAX    (6 * SHARDS_MAX)
#define HOLDS_MAX   8

enum session_state { MEMBER_NONE, MEMBER_LIVE, MEMBER_DEAD, MEMBER_BURIED };

struct session {
	enum session_state state;
	int worker;
	int64_t beat, saves, lease_ms;
	int64_t beaten_ms; /* of the world: when its last beat was executed */
	int64_t began_ms;  /* by the database's clock; nothing is decided by it */
	int epoch;         /* of the stream, that it joined; -1: none */
	unsigned sinks;    /* of the stream's member; 0: it has not joined */
};

struct position {
	bool there;
	struct sequence sequence;
	bool done;
};

/* A row of `lane`, with its positions. */
struct row {
	bool removed;   /* by a tidying, or a reset */
	bool forgotten; /* by a reset */
	int shard;
	bool root, done;
	uint64_t owner, wanted_by;
	int64_t read_at_ms;
	struct position at[SINKS_MAX];
};

struct hold {
	int said; /* whose it is */
	uint64_t generation, reset_from;
	bool reset;
	int64_t start_ms;
};

struct database {
	struct session sessions[SESSIONS_MAX + 1]; /* by id */
	uint64_t session_count;
	struct row rows[ROWS_MAX]; /* by id - 1 */
	int row_count;
	bool rooted;
	unsigned sinks; /* the stored set; 0: none yet */
	uint64_t lister, generation;
	struct hold holds[HOLDS_MAX + 1]; /* by id */
	int hold_count, hold;             /* 0: it is not held */
	int epoch;                        /* its last hold */
	uint64_t outdated;                /* the generation before its last reset */
	int64_t start_ms;                 /* of the world */
	int64_t clock_offset_ms;
	/* Until when it does not answer; and when it last left for long, and came back. */
	int64_t away_until_ms, left_ms, back_ms;
};

enum call {
	CALL_BEGIN,
	CALL_STREAM,
	CALL_JOIN,
	CALL_SHARDS, /* after a tidying */
	CALL_BEAT,
	CALL_SAVE,
	CALL_ADD,
	CALL_LETTER,
	CALL_SESSIONS,
	CALL_KILL,
	CALL_ROLLS,
	CALL_ROLL_FINISHED,
	CALL_BURY,
	CALL_ROUND,
	CALL_CLAIM,
	CALL_WISH,
	CALL_RELEASE,
	CALL_HELD,
};

enum caller { CALLER_LIFE, CALLER_SAVER, CALLER_STEWARD, CALLERS };

/* A lane as the database gives it. */
struct given {
	int row, shard;
	bool root, done, waits, begun;
	uint64_t owner;
	int64_t read_at_ms;
	struct position at[SINKS_MAX];
};

struct save {
	int64_t number, read_at_ms;
	struct store_step {
		int row;
		uint32_t sink; /* of the world */
		struct frontier_move move;
	} moves[MOVES_MAX];
	size_t move_count;
	struct {
		uint32_t sink;
		uint64_t number;
	} rolls[SINKS_MAX], finished[SINKS_MAX];
	size_t roll_count, finished_count;
	struct {
		int row;
		uint32_t sink;
		struct sequence to;
	} pending[MOVES_MAX];
	size_t pending_count;
	int reads[SHARDS_MAX];
	size_t read_count;
};

enum how { HOW_OK, HOW_RETRY, HOW_FENCED, HOW_INVALID };

struct reply {
	enum how how;
	bool done; /* KILL: it is dead. SHARDS: the stream is rooted. */
	/* of the stream */
	uint64_t generation;
	int64_t start_ms;
	int hold, epoch;
	struct given lanes[SHARDS_MAX];
	size_t lane_count; /* ADD, CLAIM, HELD, SHARDS */
	struct {
		uint64_t id;
		int64_t beat, lease_ms;
		bool dead;
	} sessions[MEMBERS_MAX];
	size_t session_count; /* SESSIONS */
	struct {
		uint32_t sink;
		uint64_t number;
	} rolls[2 * SINKS_MAX];
	size_t roll_count; /* ROLLS */
	/* ROUND */
	bool rooted, served, lister, stale;
	uint32_t claimable, held;
	uint64_t held_sum;
	struct {
		uint64_t session;
		bool served;
		uint32_t held, leaving, coming;
	} members[MEMBERS_MAX];
	size_t member_count;
	int wanted[ROWS_MAX]; /* rows */
	size_t wanted_count;
};

struct request {
	bool used, executing, awaited;
	enum call call;
	enum caller caller;
	int worker;
	uint64_t life, session;
	/* arguments */
	uint64_t other; /* KILL, ROLLS, ROLL_FINISHED, BURY, WISH: the session that it is about */
	int64_t beat;
	uint32_t sink, max;
	uint64_t number;
	bool committed; /* ROLL_FINISHED */
	int shard, index;
	unsigned sinks;
	int epoch; /* JOIN, ADD */
	bool own;
	struct {
		int shard;
		bool root, done;
	} found[SHARDS_MAX];
	size_t found_count;
	int rows[ROWS_MAX];
	size_t row_count;
	int after;
	int64_t tidy_before_ms;
	struct save save;
	struct reply reply;
};

void database_make(struct world *w);
/* Fills the reply. */
void database_execute(struct world *w, struct request *r);
int64_t database_now_ms(const struct world *w);
uint64_t database_new_session(struct world *w);

/* The owner of the shard, 0 where nobody is. */
uint64_t database_owner(const struct world *w, int shard);
/* It has a row, or had one. */
bool database_knows(const struct world *w, int shard);
/* Of the shard nothing is left to do. */
bool database_settled(const struct world *w, int shard);
/* Everybody has its share, and nobody else is there. */
bool database_balanced(const struct world *w);
/* What lands was sent by the shard's owner, while nobody else could have it. */
void database_check_landing(struct world *w, const struct event *e);
void database_check_end(struct world *w);

/* database_holds.c: for an operator, who says each hold by a number */
int database_hold(struct world *w, int said); /* its id; 0: it is over, or somebody else's */
int database_owned(const struct world *w);
/* shard -1: all of it. False: it is owned, held by another, or of another generation. */
bool database_reset(struct world *w, int hold, uint64_t generation, int64_t start_ms, int shard);
void database_go_on(struct world *w, int hold);

/* database_lanes.c */
void database_claim(struct world *w, struct request *r);
void database_held(struct world *w, struct request *r);
void database_add(struct world *w, struct request *r);
void database_wish(struct world *w, struct request *r);
void database_release(struct world *w, struct request *r);
void database_shards(struct world *w, struct request *r);
void database_round(struct world *w, struct request *r);
void database_settle(struct world *w, uint64_t session);
int database_row(const struct database *d, int shard);
bool database_live(const struct database *d, uint64_t session);
bool database_served(const struct database *d, uint64_t session);
/* And in the epoch that there is, which is not held. */
bool database_may(const struct database *d, uint64_t session);
void database_check_visible(struct world *w, int row);
