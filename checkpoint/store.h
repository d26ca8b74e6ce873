#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/sequence.h"
#include "base/str.h"

/* Where the place is kept: sessions, streams, lanes, positions, rolls, dead letters, and exports
 * (exports.h). Two implementations (postgres.c, sqlite.c) under one contract, held by the same
 * tests. Several sessions share the lanes of a stream: see "members".
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
#define STORE_WANTED_MAX 1000               /* lanes that one round calls wanted */
#define STORE_TIDY_MAX   1000               /* lanes that one tidying removes */
#define STORE_BURIED_MAX 100                /* buried sessions that are kept */
/* A gap that was accepted or closed, found again at the same place after this long, is another. */
#define STORE_GAP_AGAIN_MS (23LL * 60 * 60 * 1000)
#define STORE_GAP_KEPT_MS  (30LL * 24 * 60 * 60 * 1000) /* how long one is remembered then */

/* `url`: postgres://… or sqlite:PATH (":memory:" too). Opens, brings the schema up to date under a
 * lock. timeout_ms bounds every statement (under half a lease); connecting to one host may take as
 * long again. A sqlite file is held exclusively: REFUSED where another process has it. */
struct store *store_open(const char *url, int64_t timeout_ms, struct error *err);
/* For looking beside running workers: takes no exclusive hold and changes nothing, the schema
 * neither. NOT_FOUND where no worker has made the schema yet. Only for store_sessions,
 * store_lanes_list, store_rolls, store_letters, store_gaps, store_exports, store_files,
 * store_attempts, store_audit, store_retry_audit, store_stream_owned, store_sinks,
 * store_savepoints, store_savepoint_places, store_sides and the streams listed by store_streams. */
struct store *store_open_reader(const char *url, int64_t timeout_ms, struct error *err);
void store_close(struct store *s);
static inline void store_free(struct store *s)
{
	store_close(s);
}
DEFINE_AUTO(store)
/* From any thread: from boot_ms on (CLOCK_BOOTTIME) no call waits for an answer any more, those
 * that are under way neither: RETRY. Only a connection that is being made may take its time. */
void store_end_by(struct store *s, int64_t boot_ms);
/* "postgres db/sluice", "sqlite state.db": without secrets. Lives as long as the store. */
const char *store_describe(const struct store *s);

/* The same of a URL that nobody has opened yet. */
void store_place(const char *url, char *out, size_t size);

/* --- sessions: one life of one process; an id is never used again --- */
enum store_session_state { SESSION_LIVE, SESSION_DEAD, SESSION_BURIED };
struct store_session {
	char id[STORE_ID_SIZE];
	char worker[STORE_NAME_MAX + 1];
	char address[STORE_NAME_MAX + 1];
	int64_t beat;
	int64_t lease_ms; /* its own: only who saw its beat stand still for so long may kill it */
	enum store_session_state state;
};
/* FENCED where the id was begun before. */
bool store_session_begin(struct store *s, const char *id, const char *worker, const char *address,
			 int64_t lease_ms, struct error *err) MUST_CHECK;
/* beat + 1 where it is live; FENCED where it is not. */
bool store_session_beat(struct store *s, const char *id, struct error *err) MUST_CHECK;
/* Those that are not buried, oldest first; at most `max`. */
bool store_sessions(struct store *s, struct store_session *out, size_t max, size_t *count,
		    struct error *err) MUST_CHECK;
/* Of these, the ones that the session has to watch: they serve one of its streams, or none at all.
 * Another deployment's are left to that one, which knows their sinks. */
bool store_sessions_near(struct store *s, const char *session, struct store_session *out,
			 size_t max, size_t *count, struct error *err) MUST_CHECK;
/* live → dead where its beat is still `beat`; *done says whether it was. */
bool store_session_kill(struct store *s, const char *id, int64_t beat, bool *done,
			struct error *err) MUST_CHECK;
/* dead or live → buried, its lanes free, a member of no stream, in one call; again is fine. For a
 * live one only its owner calls this. INVALID while it has unfinished rolls, NOT_FOUND where it is
 * not known. */
bool store_session_bury(struct store *s, const char *id, struct error *err) MUST_CHECK;
/* True where only one process can have this store open (sqlite holds a file lock): any session
 * found in it that is not ours is dead. */
bool store_exclusive(const struct store *s);

/* --- sinks and streams --- */
/* The id of a sink's name; made at first use. */
bool store_sink(struct store *s, const char *name, int32_t *id, struct error *err) MUST_CHECK;
/* Every sink that the store knows, in the order of their ids. */
typedef void store_sink_fn(void *arg, int32_t id, const char *name);
bool store_sinks(struct store *s, store_sink_fn *fn, void *arg, struct error *err) MUST_CHECK;

enum store_hold_why {
	STORE_HOLD_NONE,
	STORE_HOLD_PAUSE,    /* a person said so */
	STORE_HOLD_BASELINE, /* until it is loaded; a new stream, whose start is not known yet */
	STORE_HOLD_REPAIR,   /* until what was lost is loaded */
	STORE_HOLD_REWIND,
};
const char *store_hold_why_name(enum store_hold_why why);
struct store_hold { /* of a stream, see "holds" */
	int64_t id; /* given by the store, never twice; 0: the stream is not held */
	enum store_hold_why why;
	char who[STORE_NAME_MAX + 1];  /* a person, a worker */
	char said[STORE_NAME_MAX + 1]; /* for people; "": nothing */
	int64_t since_ms;              /* AWS time, the caller's */
	int64_t back_ms; /* of a repair: what is younger is to come from exports, also where it was
			    delivered; 0: only what gaps lost */
	uint64_t generation; /* given by the store: the stream's before it; 0: made held */
};

struct store_stream {
	int64_t id;
	uint64_t generation; /* 1 for a new one, or that of the name's streams before it */
	int64_t start_ms;    /* records older than this are not wanted; 0: all */
	bool rooted;         /* its first listing is in the table */
	int64_t reset_ms;    /* AWS time of its last reset; 0: none is known */
	bool created;        /* by this call */
	struct store_hold hold;
	int64_t epoch; /* the id of its last hold; 0: it never was */
};
/* Finds it by configured name and ARN, or makes it with start_ms. */
bool store_stream(struct store *s, const char *name, const char *arn, int64_t start_ms,
		  struct store_stream *out, struct error *err) MUST_CHECK;
/* The same, but a new one is held from the first (why, who, said, since_ms): where it starts comes
 * with a reset. One that is there is left as it is; where the reply was lost it shows this hold. */
bool store_stream_held(struct store *s, const char *name, const char *arn,
		       const struct store_hold *hold, struct store_stream *out,
		       struct error *err) MUST_CHECK;
/* Every stream of the store that is one, in the order they were made: not those of exports' files.
 */
typedef void store_stream_fn(void *arg, const char *name, const char *arn,
			     const struct store_stream *stream);
bool store_streams(struct store *s, store_stream_fn *fn, void *arg, struct error *err) MUST_CHECK;

/* --- members: the sessions that serve a stream ---
 *
 * A stream has one set of sinks, the stored one. A member whose sinks are another set is not
 * served: it claims and wishes nothing. Where no live member has the stored set (of a new stream:
 * none is stored), the first that joins or makes a round stores its own; what is done is then told
 * anew. One live, served member is the stream's lister: the first that joins or makes a round where
 * the place is empty.
 *
 * A hold begins a new epoch of the stream. A member serves one, which it knows from store_stream
 * and joins; none where the stream is held, or was since store_stream. In any other it claims,
 * wishes and adds nothing until it joins again: what it knows of the stream's shards may not be so.
 * It remains a member, so that it buries those who die meanwhile. */

/* Where a sink begins that is added to a stream which is read already: it is not of the stored set,
 * and has no place in any lane. */
struct store_start {
	int32_t sink;
	/* STORE_START_LATEST: where the furthest one is, in each lane; 0: at the oldest record that
	 * is left; a time: there too, and what is older is not wanted. Given back: what counts, of
	 * one that is not new STORE_START_LATEST. */
	int64_t start_ms;
	int64_t at_ms; /* given back: when that was said; 0: STORE_START_LATEST counts */
};
#define STORE_START_LATEST (-1)
#define STORE_KEPT_MS      (24LL * 60 * 60 * 1000) /* how long a stream keeps a record */
/* Said before store_join. What was said first counts, for all workers and from then on, until the
 * stream is reset; but not what was said more than STORE_KEPT_MS ago for a sink that never came.
 * Once the stored set has the sink, each lane has a place before its first record for it, but for
 * those that were read to their end more than STORE_KEPT_MS before it was said. */
bool store_sinks_start(struct store *s, int64_t stream, struct store_start *starts, size_t count,
		       int64_t at_ms, struct error *err) MUST_CHECK;

/* The session serves this epoch of the stream with these sinks. Again is fine. */
bool store_join(struct store *s, const char *session, int64_t stream, int64_t epoch,
		const int32_t *sinks, size_t count, struct error *err) MUST_CHECK;

/* It serves it no longer: its lanes there are released first. Again is fine. */
bool store_leave(struct store *s, const char *session, int64_t stream,
		 struct error *err) MUST_CHECK;
/* Of the streams that the session serves, those that live sessions serve under another name, too:
 * one ARN that is read once for each name; but no side runs (sides.h). Sorted by both. */
typedef void store_twin_fn(void *arg, const char *name, const char *other);
bool store_twins(struct store *s, const char *session, store_twin_fn *fn, void *arg,
		 struct error *err) MUST_CHECK;

struct store_round_stream { /* of one stream that the session joined */
	int64_t stream;
	bool rooted;  /* its first listing is in the table */
	bool served;  /* the stored set of sinks is the session's: it may claim */
	bool lister;  /* the session is the one that lists it */
	bool stale;   /* it does not serve this epoch of it */
	int64_t hold; /* the id of its hold; 0: it is not held */
	enum store_hold_why hold_why;
	uint32_t claimable; /* heads that a claim would take now; 0 where it may not claim */
	uint32_t held;      /* the session's own lanes */
	uint64_t held_sum;  /* sum of their ids, modulo 2^64: to see whether both know the same */
};
struct store_round_member { /* a live session in a stream that both joined; ours is one, too */
	int64_t stream;
	char session[STORE_ID_SIZE];
	bool served;
	bool stream_held; /* what it has there is about to go, to nobody */
	uint32_t held;
	uint32_t leaving; /* of these, wanted by another live session */
	uint32_t coming;  /* wanted by it: held by other sessions or free */
};
struct store_round_fns {
	void (*stream)(void *arg, const struct store_round_stream *r);
	void (*member)(void *arg, const struct store_round_member *m);
	/* The session's own, wanted by another live session: the oldest STORE_WANTED_MAX. */
	void (*wanted)(void *arg, int64_t stream, int64_t lane);
};
/* One look at everything that the session serves, of one moment: all streams, then all members,
 * then all wanted. Before that it takes what is empty: the set of sinks, the lister's place.
 * FENCED where the session is not live. */
bool store_round(struct store *s, const char *session, const struct store_round_fns *fns, void *arg,
		 struct error *err) MUST_CHECK;

/* --- lanes and positions ---
 *
 * A lane is free, or a session's, or done: in all of the stream's sinks, and then nobody's for
 * good. A free lane is a head for a session where its parent is unknown to the store, done, or
 * that session's own, and no other live session wants it. */
struct store_lane {
	int64_t id; /* given by the store */
	char shard[STORE_SHARD_SIZE];
	char parent[STORE_SHARD_SIZE]; /* "": none */
	struct sequence starting;      /* the shard's StartingSequenceNumber; none: unknown */
	bool root;                     /* of the first listing: read from the stream's start */
	bool done_unread;              /* when created: nothing of it is wanted */
	bool done;                     /* given by the store */
	bool waits; /* given by the store: its parent is known and not done, whoever has it */
	bool begun; /* given by store_lanes_add: some of it was read, or it is done for a sink */
	/* AWS time it was last read; of one that never was (was_read), where the session has it,
	 * when anything of its stream was. 0: never. */
	int64_t read_at_ms;
	bool was_read;             /* given by the store to who has it */
	char owner[STORE_ID_SIZE]; /* session; "": free or done. Given by the store */
};
struct store_position {
	int64_t lane;
	int32_t sink;
	struct sequence sequence; /* none: before its first record */
	int64_t event_ms;
	bool done;
};
/* Adds lanes and their positions for `sinks` (a lane that is already there is left alone), marks
 * the stream rooted, and gives back id, root, owner, done, waits and begun of each, as of one
 * moment. With `own` the new lanes are the session's; without, only those that descend from a lane
 * of the session, and the others are free. Parents come before their children. To a stream that is
 * held, or in another epoch, nothing is added, and lanes[].id is 0. May be called again after
 * RETRY. */
bool store_lanes_add(struct store *s, const char *session, int64_t stream, int64_t epoch, bool own,
		     struct store_lane *lanes, size_t count, const int32_t *sinks,
		     size_t sink_count, struct error *err) MUST_CHECK;
typedef void store_lane_fn(void *arg, const struct store_lane *lane);
typedef void store_position_fn(void *arg, const struct store_position *p);
/* Up to `max` heads, those that the session wished for first, then the oldest, become the
 * session's, each with its free descendants; missing positions are added for `sinks` (a sink that
 * is new to a lane starts where the lane's furthest position is, but see store_sinks_start). Calls
 * back for the lanes that this call took, in the order of their ids, then for their positions, by
 * lane and sink. Takes nothing where the session is not served, the stream held or in another
 * epoch. Sent again after RETRY it takes others: a lost reply shows in a round's held and held_sum,
 * and store_lanes_held tells what it was. */
bool store_lanes_claim(struct store *s, const char *session, int64_t stream, const int32_t *sinks,
		       size_t sink_count, uint32_t max, store_lane_fn *lane,
		       store_position_fn *position, void *arg, struct error *err) MUST_CHECK;
/* All lanes that the session holds and their positions, in the same order; changes nothing. */
bool store_lanes_held(struct store *s, const char *session, int64_t stream, store_lane_fn *lane,
		      store_position_fn *position, void *arg, struct error *err) MUST_CHECK;
/* The same of all lanes, whoever owns them. For status. */
bool store_lanes_list(struct store *s, int64_t stream, store_lane_fn *lane,
		      store_position_fn *position, void *arg, struct error *err) MUST_CHECK;
/* Lanes that no live session has, with nothing in the store before them that is not done: where the
 * one of the stream's sinks that is furthest behind stands (event_ms, 0: before the first record),
 * and when they were last read. */
typedef void store_unheld_fn(void *arg, const char *shard, int64_t event_ms, int64_t read_at_ms);
bool store_unheld(struct store *s, int64_t stream, store_unheld_fn *fn, void *arg,
		  struct error *err) MUST_CHECK;
/* Asks the live session `from` for up to `max` of its lanes, the newest first: those whose parent
 * is done or unknown to the store and that no live session wants. *wished: how many. A wish holds
 * until its lane is claimed or done, or its wisher is not live. */
bool store_lanes_wish(struct store *s, const char *session, const char *from, int64_t stream,
		      uint32_t max, uint32_t *wished, struct error *err) MUST_CHECK;
/* They are free, what is wanted is still wanted; those that are not the session's are left alone.
 * The caller has saved all that it delivered of them. Again is fine. */
bool store_lanes_release(struct store *s, const char *session, const int64_t *lanes, size_t count,
			 struct error *err) MUST_CHECK;
/* Every shard that the store knows of the stream with a lane id above `after`, in the order of ids.
 * What was added later has higher ids. */
typedef void store_shard_fn(void *arg, int64_t lane, const char *shard, const char *parent,
			    bool done);
bool store_shards(struct store *s, int64_t stream, int64_t after, store_shard_fn *fn, void *arg,
		  struct error *err) MUST_CHECK;
/* Done lanes of the stream that were last read before before_ms (AWS time) and have a child in the
 * store go, with their positions, the oldest STORE_TIDY_MAX first; *removed: how many. A done lane
 * that was never read counts from the first tidying as read when the stream was last read.
 * Buried sessions go, too, but for the STORE_BURIED_MAX that began last. */
bool store_tidy(struct store *s, int64_t stream, int64_t before_ms, uint32_t *removed,
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
struct store_pending { /* where a lane will be once the transaction among the rolls is committed */
	int64_t lane;
	int32_t sink; /* of one of the save's rolls */
	struct sequence to;
	int64_t event_ms;
};
struct store_file_progress { /* of a data file that the session has: see exports.h */
	int64_t lane;
	uint64_t records, bytes;
};
struct store_save {
	const char *session;
	uint64_t number; /* 1, 2, … within the session: a save sent twice counts once */
	const struct store_move *moves;
	size_t move_count;
	const struct store_roll *rolls; /* new unfinished rolls */
	size_t roll_count;
	const struct store_pending
		*pending; /* no position moves: burial, or a later save, does it */
	size_t pending_count;
	const struct store_roll *finished; /* rolls whose rows may go (blob unused) */
	size_t finished_count;
	const int64_t *read_lanes; /* its lanes whose read_at becomes read_at_ms */
	size_t read_count;
	int64_t read_at_ms;
	const struct store_file_progress *files; /* what is not its own is left alone */
	size_t file_count;
};
/* The session is live (its row locked), every moved lane is its own, and each position moves from
 * exactly `from`, or nothing changes and the error is FENCED. A lane whose last position is done
 * is done, and not the session's any more. */
bool store_save(struct store *s, const struct store_save *save, struct error *err) MUST_CHECK;

/* The unfinished rolls of a session, in order. */
typedef void store_roll_fn(void *arg, const char *sink_name, uint64_t number, struct str blob);
bool store_rolls(struct store *s, const char *session, store_roll_fn *fn, void *arg,
		 struct error *err) MUST_CHECK;
/* Burial finished it: the row goes. Where it was a transaction that was committed, what it had
 * pending is where the session's lanes are now. Again is fine. */
bool store_roll_finished(struct store *s, const char *session, const char *sink_name,
			 uint64_t number, bool committed, struct error *err) MUST_CHECK;

/* --- gaps: records that a stream lost before they were read ---
 *
 * A gap is a place in a shard, whoever finds it and however often: behind `from`, the last record
 * before it. It is open until somebody accepts the loss: a worker (`gap: oldest`) or a person
 * (`sluice resume`); then reading goes on behind it, and what goes on closes it. One that concerns
 * the whole stream (shard "") may stand in the way of several sessions: it stays accepted. */
enum store_gap_kind {
	STORE_GAP_TRIMMED,   /* the place fell off the 24 hours */
	STORE_GAP_VANISHED,  /* the shard, or the stream, is gone and was not read to its end */
	STORE_GAP_ORPHAN,    /* before the shard: its parent was never seen */
	STORE_GAP_REENABLED, /* between the stream and the one before it: it was switched off */
};
enum store_gap_state { STORE_GAP_OPEN, STORE_GAP_ACCEPTED, STORE_GAP_CLOSED };
enum store_gap_how { STORE_GAP_NOHOW, STORE_GAP_OLDEST, STORE_GAP_RESUME, STORE_GAP_REPAIR };
struct store_gap {
	int64_t id; /* given by the store */
	int64_t stream;
	char shard[STORE_SHARD_SIZE]; /* "": the whole stream */
	enum store_gap_kind kind;
	struct sequence from, to; /* the last record before it, the first one after it; none: not
				     known, or there is none */
	int64_t from_ms, to_ms;   /* their times; 0: not known. All times are AWS time */
	int64_t found_ms;
	/* Given by the store. */
	char session[STORE_ID_SIZE], worker[STORE_NAME_MAX + 1]; /* that found it */
	enum store_gap_state state;
	enum store_gap_how how; /* it was accepted or closed */
	int64_t closed_ms;      /* when it was accepted or closed */
};
/* The names that the tables, `status` and the log have. */
const char *store_gap_kind_name(enum store_gap_kind kind);
const char *store_gap_state_name(enum store_gap_state state);
const char *store_gap_how_name(enum store_gap_how how);

/* Records it and gives back id, state and how. *added: it is new, to be counted and logged; the
 * same gap again is found, whatever became of it, unless it was accepted or closed more than
 * STORE_GAP_AGAIN_MS before found_ms. `accept`: it is accepted at once, also one that was open
 * (STORE_GAP_OLDEST). What is not open any more goes after STORE_GAP_KEPT_MS. A call sent again
 * (session and found_ms are the same) says the same. FENCED where the session is not live,
 * NOT_FOUND where the stream is not known. */
bool store_gap_put(struct store *s, const char *session, struct store_gap *gap, bool accept,
		   bool *added, struct error *err) MUST_CHECK;
/* All gaps of the stream (0: of all streams), oldest first. */
typedef void store_gap_fn(void *arg, const struct store_gap *gap);
bool store_gaps(struct store *s, int64_t stream, store_gap_fn *fn, void *arg,
		struct error *err) MUST_CHECK;
/* The open gaps of the stream with ids up to `newest` become accepted (STORE_GAP_RESUME);
 * *accepted: how many. */
bool store_gaps_accept(struct store *s, int64_t stream, int64_t newest, int64_t at_ms,
		       uint32_t *accepted, struct error *err) MUST_CHECK;
/* Those that are accepted and not yet closed, of these streams: cheap, for asking again and again.
 */
bool store_gaps_accepted(struct store *s, const int64_t *streams, size_t count, store_gap_fn *fn,
			 void *arg, struct error *err) MUST_CHECK;
/* Reading goes on behind it, or there is nothing more to read. `how` other than STORE_GAP_NOHOW
 * says what became of one that nobody accepted; `to` and to_ms where they are known. Again is
 * fine: the first one counts. */
bool store_gap_close(struct store *s, int64_t id, enum store_gap_how how, const struct sequence *to,
		     int64_t to_ms, int64_t at_ms, struct error *err) MUST_CHECK;

/* --- holds: nobody reads a stream ---
 *
 * A held stream's lanes are given to nobody. Those that are held by sessions leave them by release,
 * also the ones that stand still, or by burial; saves go on until then. Once all are free the
 * stream can be reset, and when the hold ends its members join it again.
 *
 *     hold ─ (owned 0) ─ [reset, or rewind (savepoints.h)] ─ go on
 *
 * Each is one call, may be sent again after RETRY, and is written down in the audit. All times are
 * AWS time, given by the caller: the store has no clock. */

/* It is held from now on, by this hold (why, who, said, since_ms). *done: it is, by this call or by
 * one that said the same. False: *hold is the one that it is held by; or there is none (id 0), as
 * this one was made and has ended, or as the stream's generation is not `generation` (0: any). */
bool store_stream_hold(struct store *s, int64_t stream, uint64_t generation,
		       struct store_hold *hold, bool *done, struct error *err) MUST_CHECK;
/* The same in the place of the hold with the id `instead` (0: none), which ends in the same call
 * where the stream is held by it: nobody reads the stream in between. It stays where the stream's
 * generation is not `generation`. */
bool store_stream_hold_instead(struct store *s, int64_t stream, uint64_t generation,
			       int64_t instead, struct store_hold *hold, bool *done,
			       struct error *err) MUST_CHECK;
/* Lanes of it that a session has which is not buried. Of a held stream they become fewer; at 0
 * nothing of it is read, delivered or saved any more. */
bool store_stream_owned(struct store *s, int64_t stream, uint32_t *owned,
			struct error *err) MUST_CHECK;

struct store_reset {
	int64_t hold;
	uint64_t generation;     /* the stream's now; given back: from now on */
	int64_t start_ms;        /* as in store_stream */
	enum store_gap_how gaps; /* what became of those that are not closed; STORE_GAP_NOHOW: as
				    was said before */
	const char *who, *said;
	int64_t at_ms;
	uint32_t owned; /* given back: store_stream_owned */
};
/* Its lanes go, its gaps are closed, and the next complete listing is its first: read from
 * start_ms, under a generation of its own (the hold's + 1, which exports may have raised it to
 * already). *done: it is, by this call or by one that said the same. False, and nothing changed:
 * lanes are owned, or (owned 0) it is not held by this hold, or of another generation. Until it is
 * done it is asked for with the same words again: a call that was given up may still come. */
bool store_stream_reset(struct store *s, int64_t stream, struct store_reset *reset, bool *done,
			struct error *err) MUST_CHECK;
/* The hold is over. *ended: by this call or one that said the same; it had ended before else. */
bool store_stream_go_on(struct store *s, int64_t stream, int64_t hold, const char *who,
			int64_t at_ms, bool *ended, struct error *err) MUST_CHECK;

enum store_audit_what {
	STORE_AUDIT_HOLD,
	STORE_AUDIT_RESET,
	STORE_AUDIT_REWIND,
	STORE_AUDIT_GO_ON
};
const char *store_audit_what_name(enum store_audit_what what);
struct store_audit { /* who did what to a stream */
	int64_t id, stream, at_ms;
	enum store_audit_what what;
	int64_t hold; /* that it is about */
	enum store_hold_why why;
	const char *who, *said;
	uint64_t from_generation, to_generation;
	/* Of a reset or a rewind: how far its lanes were (0: nowhere), the stream's start or the
	 * oldest place; the lanes that went, or were set. */
	int64_t from_ms, to_ms;
	uint32_t lanes;
};
#define STORE_AUDIT_KEPT_MS (366LL * 24 * 60 * 60 * 1000)
typedef void store_audit_fn(void *arg, const struct store_audit *a);
/* Of the stream (0: of all), the newest first, at most `max`. */
bool store_audit(struct store *s, int64_t stream, uint32_t max, store_audit_fn *fn, void *arg,
		 struct error *err) MUST_CHECK;

/* --- dead letters: the store's own table, limited in bytes --- */
struct store_letter {
	const char *stream, *sink, *shard, *sequence, *reason;
	struct str json; /* the whole letter (contract) */
};
/* INVALID where the table would pass max_bytes: the shard has to stop. The same letter (stream,
 * sink, shard, sequence) twice counts once. */
bool store_letter_put(struct store *s, const struct store_letter *letter, int64_t max_bytes,
		      struct error *err) MUST_CHECK;
/* All of them that are in no sink yet (letters.h), oldest first. */
typedef void store_letter_fn(void *arg, int64_t id, struct str json);
bool store_letters(struct store *s, store_letter_fn *fn, void *arg, struct error *err) MUST_CHECK;
/* How many these are; cheap. */
bool store_letters_count(struct store *s, uint64_t *count, struct error *err) MUST_CHECK;
/* It was delivered after all, or given up: makes room. One that is not there is fine. */
bool store_letter_drop(struct store *s, int64_t id, struct error *err) MUST_CHECK;
