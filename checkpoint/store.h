#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/sequence.h"
#include "base/str.h"

/* Where the place is kept: sessions, streams, lanes, positions, rolls, dead letters. Two
 * implementations (postgres.c, sqlite.c) under one contract, held by the same tests.
 *
 * What changes something is one function call: no transaction spans a round trip, nothing lives in
 * the database's session. Calls block; a store belongs to one thread. Errors: RETRY, the database
 * is away or slow (the store reconnects at the next call; whether the call counted is unknown, and
 * it may be sent again: only store_session_begin then needs a new id); FENCED, this session is not
 * live any more or a position is not where it was believed to be; REFUSED, permission, password or
 * a second process; NOT_FOUND, no such session, stream or schema; INVALID, schema too new, or our
 * bug. */
struct store;

#define STORE_ID_SIZE    37 /* UUID text and the zero byte */
#define STORE_NAME_MAX   255
#define STORE_SHARD_SIZE 66
#define STORE_ROLLS_MAX  ((size_t)16 << 20) /* bytes of the blobs of one save */

/* `url`: postgres://… or sqlite:PATH (":memory:" too). Opens, brings the schema up to date under a
 * lock. timeout_ms bounds every statement (under half a lease); connecting to one host may take as
 * long again. A sqlite file is held exclusively: REFUSED where another process has it. */
struct store *store_open(const char *url, int64_t timeout_ms, struct error *err);
/* For looking beside running workers: takes no exclusive hold and changes nothing, the schema
 * neither. NOT_FOUND where no worker has made the schema yet. Only for store_sessions,
 * store_lanes_list, store_rolls, store_letters and the streams listed by store_streams. */
struct store *store_open_reader(const char *url, int64_t timeout_ms, struct error *err);
void store_close(struct store *s);
static inline void store_free(struct store *s)
{
	store_close(s);
}
DEFINE_AUTO(store)
/* "postgres db/sluice", "sqlite state.db": without secrets. Lives as long as the store. */
const char *store_describe(const struct store *s);

/* --- sessions: one life of one process; an id is never used again --- */
enum store_session_state { SESSION_LIVE, SESSION_DEAD, SESSION_BURIED };
struct store_session {
	char id[STORE_ID_SIZE];
	char worker[STORE_NAME_MAX + 1];
	char address[STORE_NAME_MAX + 1];
	int64_t beat;
	enum store_session_state state;
};
/* FENCED where the id was begun before. */
bool store_session_begin(struct store *s, const char *id, const char *worker, const char *address,
			 struct error *err) MUST_CHECK;
/* beat + 1 where it is live; FENCED where it is not. */
bool store_session_beat(struct store *s, const char *id, struct error *err) MUST_CHECK;
/* Those that are not buried, oldest first; at most `max`. */
bool store_sessions(struct store *s, struct store_session *out, size_t max, size_t *count,
		    struct error *err) MUST_CHECK;
/* live → dead where its beat is still `beat`; *done says whether it was. */
bool store_session_kill(struct store *s, const char *id, int64_t beat, bool *done,
			struct error *err) MUST_CHECK;
/* dead or live → buried, its lanes free, in one call; again is fine. For a live one only its owner
 * calls this. INVALID while it has unfinished rolls, NOT_FOUND where it is not known. */
bool store_session_bury(struct store *s, const char *id, struct error *err) MUST_CHECK;
/* True where only one process can have this store open (sqlite holds a file lock): any session
 * found in it that is not ours is dead. */
bool store_exclusive(const struct store *s);

/* --- sinks and streams --- */
/* The id of a sink's name; made at first use. */
bool store_sink(struct store *s, const char *name, int32_t *id, struct error *err) MUST_CHECK;

struct store_stream {
	int64_t id;
	uint64_t generation; /* 1 for a new one */
	int64_t start_ms;    /* records older than this are not wanted; 0: all */
	bool rooted;         /* its first listing is in the table */
	bool created;        /* by this call */
};
/* Finds it by configured name and ARN, or makes it with start_ms. */
bool store_stream(struct store *s, const char *name, const char *arn, int64_t start_ms,
		  struct store_stream *out, struct error *err) MUST_CHECK;
/* Every stream of the store, in the order they were made. */
typedef void store_stream_fn(void *arg, const char *name, const char *arn,
			     const struct store_stream *stream);
bool store_streams(struct store *s, store_stream_fn *fn, void *arg, struct error *err) MUST_CHECK;

/* --- lanes and positions --- */
struct store_lane {
	int64_t id; /* given by the store */
	char shard[STORE_SHARD_SIZE];
	char parent[STORE_SHARD_SIZE]; /* "": none */
	struct sequence starting;      /* the shard's StartingSequenceNumber; none: unknown */
	bool root;                     /* of the first listing: read from the stream's start */
	bool done_unread;              /* when created: nothing of it is wanted */
	int64_t read_at_ms;            /* AWS time it was last read; 0: never */
	char owner[STORE_ID_SIZE];     /* session; "": free. Given by the store */
};
struct store_position {
	int64_t lane;
	int32_t sink;
	struct sequence sequence; /* none: before its first record */
	int64_t event_ms;
	bool done;
};
/* Adds lanes owned by `session` and their positions for `sinks` (a lane that is already there is
 * left alone, it may be another's), marks the stream rooted, and gives back lanes[].id and
 * lanes[].owner. May be called again after RETRY. */
bool store_lanes_add(struct store *s, const char *session, int64_t stream, struct store_lane *lanes,
		     size_t count, const int32_t *sinks, size_t sink_count,
		     struct error *err) MUST_CHECK;
/* Makes every free lane of the stream the session's, adds missing positions for `sinks` (a sink
 * that is new to a lane starts where the lane's furthest position is), and calls back for every
 * lane of the stream it now owns, then for every position of those, by lane and sink. May be called
 * again after RETRY. */
typedef void store_lane_fn(void *arg, const struct store_lane *lane);
typedef void store_position_fn(void *arg, const struct store_position *p);
bool store_lanes_claim(struct store *s, const char *session, int64_t stream, const int32_t *sinks,
		       size_t sink_count, store_lane_fn *lane, store_position_fn *position,
		       void *arg, struct error *err) MUST_CHECK;
/* As claim, but changes nothing: all lanes, whoever owns them. For status. */
bool store_lanes_list(struct store *s, int64_t stream, store_lane_fn *lane,
		      store_position_fn *position, void *arg, struct error *err) MUST_CHECK;
/* Forgets those of the lanes that are the session's and done for every sink, with their positions;
 * leaves the others. The caller names lanes that are no longer listed and whose children it has. */
bool store_lanes_forget(struct store *s, const char *session, const int64_t *lanes, size_t count,
			struct error *err) MUST_CHECK;

/* --- a save: all or nothing --- */
struct store_move {
	int64_t lane;
	int32_t sink;
	struct sequence from, to;
	int64_t event_ms;
	bool done;
};
struct store_roll {
	int32_t sink;
	uint64_t number;
	struct str blob;
};
struct store_save {
	const char *session;
	uint64_t number; /* 1, 2, … within the session: a save sent twice counts once */
	const struct store_move *moves;
	size_t move_count;
	const struct store_roll *rolls; /* new unfinished rolls */
	size_t roll_count;
	const struct store_roll *finished; /* rolls whose rows may go (blob unused) */
	size_t finished_count;
	const int64_t *read_lanes; /* its lanes whose read_at becomes read_at_ms */
	size_t read_count;
	int64_t read_at_ms;
};
/* The session is live (its row locked), every moved lane is its own, and each position moves from
 * exactly `from`, or nothing changes and the error is FENCED. */
bool store_save(struct store *s, const struct store_save *save, struct error *err) MUST_CHECK;

/* The unfinished rolls of a session, in order. */
typedef void store_roll_fn(void *arg, const char *sink_name, uint64_t number, struct str blob);
bool store_rolls(struct store *s, const char *session, store_roll_fn *fn, void *arg,
		 struct error *err) MUST_CHECK;
/* Burial finished it: the row goes. */
bool store_roll_finished(struct store *s, const char *session, const char *sink_name,
			 uint64_t number, struct error *err) MUST_CHECK;

/* --- dead letters: the store's own table, limited in bytes --- */
struct store_letter {
	const char *stream, *sink, *shard, *sequence, *reason;
	struct str json; /* the whole letter (contract) */
};
/* INVALID where the table would pass max_bytes: the shard has to stop. The same letter (stream,
 * sink, shard, sequence) twice counts once. */
bool store_letter_put(struct store *s, const struct store_letter *letter, int64_t max_bytes,
		      struct error *err) MUST_CHECK;
/* All of them, oldest first. */
typedef void store_letter_fn(void *arg, int64_t id, struct str json);
bool store_letters(struct store *s, store_letter_fn *fn, void *arg, struct error *err) MUST_CHECK;
/* It was delivered after all, or given up: makes room. One that is not there is fine. */
bool store_letter_drop(struct store *s, int64_t id, struct error *err) MUST_CHECK;
