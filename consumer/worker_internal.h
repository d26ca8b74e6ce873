#pragma once
#include "aws/client.h"
#include "base/loop.h"
#include "base/queue.h"
#include "consumer/bill.h"
#include "consumer/core.h"
#include "consumer/discover.h"
#include "consumer/lane.h"
#include "consumer/lineage.h"
#include "consumer/reader.h"
#include "consumer/resolve.h"
#include "consumer/saver.h"
#include "consumer/session.h"
#include "consumer/steward.h"
#include "consumer/taken.h"
#include "consumer/worker.h"

/* Between the worker's files: worker.c (its life), worker_start.c (what streams are, sinks),
 * worker_streams.c (streams opened and left), worker_lanes.c (shards found), worker_share.c (lanes
 * shared with other workers), worker_core.c (events and actions), worker_watch.c (metrics and
 * health). */

/* On the heap, as lanes and their readers point into it: freed once the last of its lanes is. */
struct worker_stream {
	const struct config_stream *config;
	struct resolved_stream resolved;
	struct lane_stream lanes; /* what its lanes see */
	struct store_stream stored;
	int32_t sink_ids[CORE_SINKS_MAX]; /* the store's, by slot */
	struct lineage lineage;
	uint32_t *core_lanes; /* by index of the lineage; CORE_NONE: not ours; LANE_OVER */
	uint32_t core_lane_capacity;
	unsigned adding;   /* saver_lanes and saver_shards under way */
	uint32_t *settled; /* core lanes whose children are found, CORE_NONE for the first
			      listing: reported to the core once `adding` is 0 */
	uint32_t settled_count, settled_capacity;
	bool listed;        /* the first listing of this session is here */
	bool settled_first; /* and what there was to take at the start is taken */
	bool lister;        /* this session lists the stream */
	bool unserved;      /* other workers serve it with other sinks */
	unsigned differs;   /* rounds in a row, see worker_share.c */
	bool asked_held;
	unsigned unclaimed; /* lanes were added free: rounds until they certainly were claimed */
	int64_t known_id;   /* the store's newest lane that the lineage knows */
	/* What is new in a listing that waits for the lineage to be brought up to date. */
	bool asked_known;
	struct streams_shard *listing;
	size_t listing_count;
	/* Complete listings in a row that show shards without a parent, and since when. */
	unsigned orphans;
	int64_t orphans_since_ms;
	int64_t swept_ms; /* worker_forget_shards */
	struct metric_cell *lag, *time_to_loss, *shards[LANE_STATES], *behind, *poll_limit;
	struct metric_cell *units_month, *cost_month; /* NULL until there is something to say */
	struct bill bill;
	bool braking;          /* as the log has it */
	struct taken *claimed; /* found with it, until it is in the core */
	bool removing;         /* the steward was told; nothing of it is added any more */
	struct worker_stream *next;
};

struct worker_sink {
	const struct config_sink *config;
	const struct sink_ops *ops;
	struct sink_host host;
	struct sink *sink;
	int32_t store_id;
	bool rolls;
	struct stall_load load; /* counted by the readers and the sink's answers */
	struct stall stall;
	/* Deliveries that a roll took, by number modulo 4: two can be open, one being counted. */
	_Atomic uint64_t taken[4];
	char *blob; /* of the prepared roll, until it is saved */
	size_t blob_size;
	uint64_t blob_roll;
};

/* What comes to the worker's thread beside the core's own events. */
enum worker_note_type {
	NOTE_SAVED,
	NOTE_LANES,
	NOTE_SHARDS,
	NOTE_VIEWED,
	NOTE_TAKEN,
	NOTE_RELEASED,
	NOTE_REMOVED,
	NOTE_WORKED,
	NOTE_PREPARED,
	NOTE_FINISHED,
	NOTE_LOST,
};
struct worker;
/* A saver's task that comes back to the worker's thread. Allocated; freed behind `done`, or without
 * it where the session has ended. */
struct worker_task {
	struct saver_task saver; /* first */
	void (*done)(struct worker *w, struct worker_task *task);
};
struct worker_note {
	enum worker_note_type type;
	uint32_t sink, stream;
	uint64_t roll, deliveries;
	struct str blob; /* PREPARED: allocated */
	union {          /* by type */
		struct saver_lanes *lanes;
		struct saver_shards *shards;
		struct steward_view *view;
		struct taken *taken;
		struct steward_release *release;
		struct worker_task *task;
	};
	char *error; /* LOST: allocated */
};

struct worker {
	struct worker_settings settings;
	struct session_settings session_settings;
	char session[STORE_ID_SIZE];
	int64_t beat_from_ms;
	_Atomic int64_t emit_until_ms; /* the saver's word to the readers */
	struct loop *loop;
	struct aws_client *client;
	struct core core;
	struct worker_stream **streams; /* by core index; NULL: not in use */
	uint32_t stream_count;
	struct worker_stream *unopened; /* in the store they are not looked up yet */
	uint32_t opening;               /* of these, asked for */
	struct worker_stream *parted;   /* removed: their lanes are still at their readers */
	struct worker_sink sinks[CORE_SINKS_MAX];
	uint32_t sink_count;
	struct lane **lanes; /* by core index */
	uint32_t lane_capacity;
	struct reader *readers[WORKER_READERS_MAX];
	unsigned reader_count, next_reader;
	struct aws_settings reader_aws; /* each reader's share of the connections */
	struct saver *saver;
	struct discover *discover;
	/* Where several workers can share the store. */
	struct steward *steward;
	struct store *second_store;         /* the steward's */
	struct steward_release *letting_go; /* of the step under way */
	struct queue *events, *notes;
	bool fetches; /* of the step under way: readers have to be woken for them */
	struct loop_timer *wake, *tick, *deadline;
	unsigned others; /* sessions that could take the lanes over */
	int64_t stall_max_ms;
	/* The save in flight, as the store wants it. */
	struct store_save save;
	uint64_t save_number;
	struct store_move *moves;
	int64_t *reads;
	size_t move_capacity, read_capacity;
	struct store_roll rolls[CORE_SINKS_MAX], finished[CORE_SINKS_MAX];
	struct metric_cell *inflight, *credit_waits, *unanswered;
	enum worker_end end;
	bool late;         /* worker.shutdown is over */
	bool settle_later; /* some lane's children were known when it closed */
	struct error error;
};

/* worker_start.c: false with `w->error` set. */
bool worker_resolve(struct worker *w);
bool worker_open_sinks(struct worker *w);
bool worker_find_sinks(struct worker *w);
void worker_purge_sinks(struct worker *w);
void worker_close_sinks(struct worker *w);

/* worker_streams.c: streams come and go within a session. */
/* Those of `unopened`. False with `w->error` set. */
bool worker_open_streams(struct worker *w);
/* It is resolved and in `unopened`: found in the store, or made, and joined; its shards are looked
 * for and its lanes taken from then on. False with `w->error` set. */
bool worker_open_stream(struct worker *w, struct worker_stream *s);
/* Nothing of it is under way any more: no lane of it is in the core, none is being added. */
void worker_remove_stream(struct worker *w, struct worker_stream *s);
/* The steward has left it. */
void worker_stream_removed(struct worker *w, uint32_t stream);
/* Frees those that were removed and of which no reader has a lane any more. */
void worker_reap_streams(struct worker *w);
void worker_free_stream(struct worker_stream *s);
void worker_release_streams(struct worker *w);

/* worker_lanes.c */
discover_fn worker_found;
discover_done_fn worker_discovered;
void worker_lanes_added(struct worker *w, struct saver_lanes *job);
void worker_lanes_free(struct saver_lanes *job);
/* A lane that the store has, with its positions by slot; or one that has the id LANE_NOT_STORED and
 * is never read: it stands still, or descends from one that does. */
#define LANE_NOT_STORED 0
/* In core_lanes: it was ours and is done. */
#define LANE_OVER (CORE_NONE - 1)
void worker_add_lane(struct worker *w, struct worker_stream *s, const struct store_lane *stored,
		     uint32_t in_lineage, const struct frontier_move *at, bool stopped);
/* Knows the shard from now on; its core lane may come later. Its index in the lineage. */
uint32_t worker_know(struct worker_stream *s, const char *shard, const char *parent);
void worker_know_shard(void *arg, int64_t lane, const char *shard, const char *parent, bool done);
/* The lane is closed: what descends from it is looked for. Where it is known already, the core
 * hears of it with worker_settle_later, after its step. */
void worker_discover(struct worker *w, uint32_t lane);
void worker_settle_later(struct worker *w);
/* Now and then: what nobody asks for any more leaves the lineage of a stream that others list. */
void worker_forget_shards(struct worker *w, struct worker_stream *s);
/* The core hears of it once nothing is being added: CORE_NONE, the first listing. */
void worker_settle(struct worker *w, struct worker_stream *s, uint32_t lane);
void worker_report_settled(struct worker *w, struct worker_stream *s);
/* The store says what this session holds; comes as NOTE_TAKEN. */
void worker_ask_held(struct worker *w, struct worker_stream *s);
/* Its parent is not done, and not in this session's core: to read it now would break the order. */
bool worker_must_wait(const struct worker *w, const struct worker_stream *s,
		      const struct store_lane *lane);
void worker_shards_known(struct worker *w, struct saver_shards *job);

/* worker_share.c */
/* Takes what there is to take: all of it at once, or as the steward shares it out. False with
 * `w->error` set. */
bool worker_share(struct worker *w);
void worker_share_end(struct worker *w);
void worker_take(struct worker *w, struct taken *t);
void worker_viewed(struct worker *w, struct steward_view *v);
/* The lane leaves: collected during a step, then sent. */
void worker_let_go(struct worker *w, uint32_t index);
void worker_let_go_send(struct worker *w);
void worker_released(struct worker *w, struct steward_release *r);
/* It is done in the store: nothing of the lane is needed any more, ever. */
void worker_ended(struct worker *w, uint32_t index);
/* From any thread: the session is over. */
void worker_on_lost(void *arg, const struct error *err);
void worker_push_note(struct worker *w, struct worker_note n);
void worker_note_free(struct worker_note *n);

/* worker_core.c */
void worker_feed(struct worker *w, const struct core_event *event);
loop_fd_fn worker_on_events;
void worker_end_with(struct worker *w, enum worker_end end, const struct error *err);

/* worker_watch.c */
loop_timer_fn worker_watch;
bool worker_alive(void *arg);
/* The session ended for its sink: its lanes are others' now, and it has nothing to tell of them. */
void worker_watch_end(struct worker *w);
/* Names up to a few lanes that stand still. */
void worker_name_standing(const struct worker *w, struct error *err);
