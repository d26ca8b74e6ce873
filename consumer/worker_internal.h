#pragma once
#include "aws/client.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/queue.h"
#include "base/rng.h"
#include "consumer/bill.h"
#include "consumer/core.h"
#include "consumer/discover.h"
#include "consumer/follow.h"
#include "consumer/lane.h"
#include "consumer/lineage.h"
#include "consumer/loss.h"
#include "consumer/reader.h"
#include "consumer/resolve.h"
#include "consumer/saver.h"
#include "consumer/session.h"
#include "consumer/severed.h"
#include "consumer/steward.h"
#include "consumer/taken.h"
#include "consumer/teller.h"
#include "consumer/worker.h"

/* Between the worker's files: worker.c (its life), worker_start.c (what streams are, sinks),
 * worker_streams.c (streams opened and left), worker_follow.c (tables that come and go),
 * worker_change.c (a table's next stream), worker_lanes.c (shards found), worker_share.c (lanes
 * shared with other workers), worker_hold.c (streams that nobody reads for a while),
 * worker_joining.c (streams that are joined to exports), worker_core.c (events and actions),
 * worker_gaps.c and worker_severed.c (records that were lost), worker_loads.c and worker_files.c
 * (exports that are loaded), worker_control.c (control events, partitions), worker_letters.c (dead
 * letters that go into a sink), worker_watch.c (metrics
 * and health), worker_exports.h (exports at AWS). */

/* What is known of how a stream ends: everything of it is done in the store, AWS says that nothing
 * comes any more, and no listing shows a shard that the store does not have. */
enum worker_check {
	CHECK_NONE,
	CHECK_STORE,    /* the store is asked */
	CHECK_STATUS,   /* AWS is */
	CHECK_LISTINGS, /* complete listings are awaited */
	CHECK_AGAIN,    /* and the store, once more */
};

/* A table that is followed: an entry of the configuration names it, or it matches a pattern. */
struct worker_table {
	struct worker_table *next;
	struct worker *worker;
	struct config_stream config; /* the entry's, with the table's own names */
	char table[256], name[CONFIG_STREAM_NAME_MAX + 1]; /* what `config` has of a pattern's */
	bool matched;                                      /* a pattern */
	/* Looking it up. */
	bool looking, answered;
	bool told;    /* why it is not read */
	bool mistake; /* in the configuration: this stream cannot be read so */
	bool gone;    /* there is no such table */
	bool off;     /* its stream is turned off */
	unsigned failures;
	int64_t look_at_ms;
	struct error error;            /* of the last look */
	struct resolved_stream latest; /* AWS's latest stream; arn "": not known */
	/* What is read of it. */
	struct worker_stream *stream;        /* NULL: nothing (yet, or any more) */
	char begin_arn[STREAMS_ARN_MAX + 1]; /* what is about to be read */
	char left_arn[STREAMS_ARN_MAX + 1];  /* what was read last, to its end */
	bool beginning;
	unsigned streams; /* of it that are not freed */
	/* What is read behind that; "": nothing. */
	char next_arn[STREAMS_ARN_MAX + 1];
	int64_t next_id; /* the store's; 0: it is not announced yet */
	bool announcing;
	bool waits;   /* its gap is not accepted */
	bool repairs; /* what is being begun comes behind a gap that is to be repaired first */
	/* Is the stream over? */
	enum worker_check check;
	int64_t check_at_ms, check_since_ms;
	unsigned check_failures;
	unsigned listed;     /* the stream's listings when they were asked for */
	unsigned check_left; /* what of the stream had left when the store was asked */
	bool undone;         /* and it had something that was not done */
	bool over;
	bool unsettled; /* --until-idle waits for what the check says */
};

/* A stream that the store has. */
struct worker_row {
	int64_t id, start_ms;
	char *name, *arn;
	bool begun; /* follow.h */
};

/* What a stream or an export has of sinks. */
struct worker_uses {
	const struct option_list *filter, *transform, *schemas; /* NULL: there is none */
	bool unfit; /* records without a schema are bad */
	const struct config_stream_sink *sinks;
	size_t sink_count;
};
struct worker_attached {
	struct filter *filter, *sink_filters[CORE_SINKS_MAX]; /* NULL: there is none */
	struct schemas *schemas;                              /* the same */
	struct transform *transforms[CORE_SINKS_MAX];         /* NULL: none, or an earlier sink's */
	int32_t sink_ids[CORE_SINKS_MAX];                     /* the store's, by slot */
};

/* The joins of a stream with exports, as this session sees to them (worker_joining.c). */
struct worker_join {
	bool leads;         /* it is this session's to take their steps */
	bool due;           /* something is to be joined, as far as this session knows */
	bool asking;        /* a step is being taken */
	bool stopped;       /* a person is asked */
	int64_t look_at_ms; /* boot time */
	uint64_t slow;      /* the generation of which it was told that it never arrives */
};

/* On the heap, as lanes and their readers point into it: freed once the last of its lanes is. */
struct worker_stream {
	const struct config_stream *config;
	struct worker_table *table;
	int64_t start_ms; /* where it is new to the store */
	struct resolved_stream resolved;
	struct lane_stream lanes; /* what its lanes see */
	struct worker_attached attached;
	struct store_stream stored;
	struct lineage lineage;
	uint32_t *core_lanes; /* by index of the lineage; CORE_NONE: not ours; LANE_OVER */
	uint32_t core_lane_capacity;
	unsigned adding;   /* saver_lanes and saver_shards under way */
	uint32_t *settled; /* core lanes whose children are found, CORE_NONE for the first
			      listing: reported to the core once `adding` is 0 */
	uint32_t settled_count, settled_capacity;
	bool listed;                      /* the first listing of this session is here */
	bool added;                       /* it is in the core */
	unsigned listings;                /* complete ones that were looked through */
	unsigned left;                    /* lanes that have left the core */
	bool settled_first;               /* and what there was to take at the start is taken */
	bool lister;                      /* this session lists the stream */
	bool unserved;                    /* others serve it with other sinks, or did */
	unsigned differs;                 /* rounds in a row, see worker_share.c */
	bool asked_held, asks_held_again; /* worker_ask_held */
	/* Lanes were added free: rounds until they certainly were claimed, for --until-idle alone.
	 * Where every worker has as many as it may, that is never. */
	unsigned unclaimed;
	int64_t known_id; /* the store's newest lane that the lineage knows */
	/* What is new in a listing that waits for the lineage to be brought up to date. */
	bool asked_known;
	struct streams_shard *listing;
	size_t listing_count;
	/* Complete listings in a row that show shards without a parent, and since when. */
	unsigned orphans;
	int64_t orphans_since_ms;
	int64_t swept_ms; /* worker_forget_shards */
	struct severed_list severed;
	unsigned orphans_recording; /* tasks under way */
	bool orphans_accepted;      /* some of these, since they were last looked through */
	int64_t relisted_ms; /* boot time of the last listing that a missing shard asked for */
	int64_t gone_ms;     /* AWS time since when AWS does not know the stream; 0: it does */
	bool gone;           /* that is certain */
	bool tells_gaps;     /* in the health */
	struct loss loss;
	int64_t unheld_ms; /* place of the oldest lane that nobody has, epoch; 0: none */
	struct metric_cell *lag, *time_to_loss, *loss_warnings, *shards[LANE_STATES], *behind,
		*poll_limit;
	struct metric_cell *held_cell;
	struct metric_cell *units_month, *cost_month; /* NULL until there is something to say */
	struct bill bill;
	bool braking;                /* as the log has it */
	struct taken *claimed;       /* found with it, until it is in the core */
	bool removing;               /* the steward was told; nothing of it is added any more */
	struct worker_topic *topics; /* how many partitions were told to the store */
	size_t topic_count;
	/* It is held, or was since it was opened, or was reset: all of it leaves, and it is opened
	 * again once it goes on. */
	bool held;
	int64_t hold; /* the store's; 0: none (any more) */
	enum store_hold_why hold_why;
	bool again; /* removed to be opened again */
	struct worker_join join;
	struct worker_stream *next;
};

struct worker_topic {
	uint32_t sink, partitions;
	char *name;
};

struct worker_sink {
	const struct config_sink *config;
	const struct sink_ops *ops;
	struct sink_host host;
	struct sink *sink;
	int32_t store_id;
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
	NOTE_TOLD,
	NOTE_LETTERS_TOLD,
	NOTE_PARTITIONS,
	NOTE_LOST,
};
struct worker;
/* A saver's task that comes back to the worker's thread. Allocated; freed behind `done`, or without
 * it where the session has ended. */
struct worker_task {
	struct saver_task saver; /* first */
	void (*done)(struct worker *w, struct worker_task *task);
	void (*release)(struct worker_task *task); /* NULL: it owns nothing */
};
void worker_task_free(struct worker_task *task);
/* What a sink says of a topic. */
struct worker_partitions {
	char *stream, *topic;
	uint32_t partitions;
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
		struct teller_job *told;
		struct worker_partitions *partitions;
	};
	char *error; /* LOST: allocated */
};

/* Control events on their way from the store to the sinks. */
struct worker_control {
	struct teller *teller; /* NULL: none can be told now */
	struct loop_timer *timer;
	/* The store is asked: `of`, `of_count` and `jobs` are the saver's meanwhile. */
	bool claiming, again; /* again: once more then */
	struct store_control_of *of;
	size_t of_count;
	struct teller_job *jobs[CORE_SINKS_MAX]; /* by slot */
	unsigned telling; /* jobs at the teller, and on their way back to the store */
	/* For --until-idle: it waits for what the store says; and that was: nothing. */
	bool unsettled, settled;
	struct {
		unsigned failures; /* in a row */
		int64_t at_ms;     /* not earlier */
	} sinks[CORE_SINKS_MAX];
	struct log_limit log;
};

/* Dead letters on their way from the store into dead_letter.sink. */
struct worker_letters {
	struct teller *teller; /* NULL: none are sent (any more) */
	struct loop_timer *timer;
	bool claiming, again; /* the store is asked; again: once more then */
	unsigned sending;     /* jobs at the teller, and on their way back to the store */
	/* For --until-idle: it waits for what the store says; and that was: nothing. */
	bool unsettled, settled;
	unsigned failures; /* in a row */
	int64_t at_ms;     /* not earlier */
	struct log_limit log;
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
	uint32_t opening;               /* of these, not yet found */
	struct worker_table *tables;    /* in the order of their coming */
	struct worker_row *rows;        /* in the store's order */
	size_t row_count;
	struct loop_timer *follow;
	struct rng rng;
	struct log_limit look_log;
	int64_t since_ms; /* boot time from which tables are followed */
	unsigned looks;   /* out */
	unsigned answers; /* to those before */
	bool serving;     /* behind the start: mistakes do not end it any more */
	/* Patterns, and the listing of all tables. */
	bool has_patterns, listing, listed;
	unsigned list_failures;
	int64_t list_at_ms;
	struct error list_error;
	struct worker_stream *parted; /* removed: their lanes are still at their readers */
	struct worker_sink sinks[CORE_SINKS_MAX];
	uint32_t sink_count;
	struct lane **lanes;  /* by core index */
	struct lane *dropped; /* their readers have no room for them now */
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
	uint64_t let_go;                    /* lanes that were, so far */
	struct worker_control control;
	struct worker_letters letters;
	struct queue *events, *notes;
	bool fetches; /* of the step under way: readers have to be woken for them */
	struct loop_timer *wake, *tick, *deadline;
	unsigned others; /* sessions that could take the lanes over */
	int64_t stall_max_ms;
	/* The save in flight, as the store wants it. */
	struct store_save save;
	uint64_t save_number;
	struct store_move *moves;
	struct store_pending *pending;
	int64_t *reads;
	size_t move_capacity, pending_capacity, read_capacity;
	struct store_roll rolls[CORE_SINKS_MAX], finished[CORE_SINKS_MAX];
	struct worker_loads *loads; /* worker_files.h */
	struct store_file_progress *files;
	size_t file_capacity;
	struct metric_cell *inflight, *credit_waits, *unanswered;
	enum worker_end end;
	bool late;         /* worker.shutdown is over */
	bool settle_later; /* some lane's children were known when it closed */
	bool looking;      /* for holds */
	struct error error;
	struct worker_exports *exports; /* worker_exports.h; NULL before it serves */
};

/* worker_follow.c: tables come and go, their streams are turned off and on. */
/* Looks every table up, for as long as nothing is known at all. False with `w->error` set: stopped,
 * or a mistake that only a person can mend. */
bool worker_look_up(struct worker *w);
/* What the store says to that: its streams, so that a table that is gone is read to its end. */
bool worker_judge(struct worker *w);
/* From here on tables are followed. */
void worker_follow(struct worker *w);
/* Nothing more is begun. */
void worker_follow_stop(struct worker *w);
/* The stream was found in the store, was left, is freed. */
void worker_follow_opened(struct worker *w, struct worker_stream *s);
void worker_follow_left(struct worker *w, struct worker_stream *s);
void worker_follow_freed(struct worker *w, struct worker_table *t);
/* A lane of it has left the core. */
void worker_follow_lane(struct worker *w, struct worker_stream *s);
/* It is not over now: what is asked about its end is asked again later. */
void worker_follow_later(struct worker *w, struct worker_stream *s);
/* Is all said that is to be said of tables? Else it is seen to, and the core asks again. */
bool worker_follow_idle(struct worker *w);
/* Tells the core how much is still to come. */
void worker_expect(struct worker *w);
void worker_follow_release(struct worker *w);

/* worker_change.c: from one stream of a table to the next. */
/* Sees to what is due. */
void worker_change(struct worker *w, struct worker_table *t);
/* What is to be read of it now. */
void worker_choose(struct worker *w, struct worker_table *t);
struct worker_row *worker_row(struct worker *w, const char *name, const char *arn);
struct worker_row *worker_row_add(struct worker *w, const char *name, const char *arn, int64_t id,
				  int64_t start_ms, bool begun);
/* Something of the table is in the store. */
bool worker_has_rows(const struct worker *w, const struct worker_table *t);

/* worker_start.c: false with `w->error` set. */
bool worker_images_fit(const struct worker *w, const struct worker_table *t,
		       const struct resolved_stream *r, struct error *err);
bool worker_open_sinks(struct worker *w);
bool worker_find_sinks(struct worker *w);
void worker_purge_sinks(struct worker *w);
void worker_close_sinks(struct worker *w);

/* worker_streams.c: streams come and go within a session. */
/* A stream of the table: found in the store, or made, and joined; its shards are looked for and its
 * lanes taken from then on. */
void worker_open_stream(struct worker *w, struct worker_table *t, const struct resolved_stream *r,
			int64_t start_ms);
/* What lanes see of their sinks; what is in `out` outlives them. */
void worker_attach_sinks(struct worker *w, struct lane_stream *l, const struct worker_uses *uses,
			 struct worker_attached *out);
void worker_detach_sinks(struct worker_attached *a);
/* There is such a stream in the core: w->streams has a place for it, NULL until it is filled, and
 * for exports for good. */
void worker_note_stream(struct worker *w, uint32_t index);
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
/* In core_lanes: it was ours and is done. */
#define LANE_OVER (CORE_NONE - 1)
/* A lane that the store has, with its positions by slot. */
void worker_add_lane(struct worker *w, struct worker_stream *s, const struct store_lane *stored,
		     uint32_t in_lineage, const struct frontier_move *at);
/* The lane becomes one of the core. */
void worker_put_lane(struct worker *w, struct lane *l, const struct core_lane_start *start);
/* They become rows of the store; `own`: as store_lanes_add. */
void worker_add_found(struct worker *w, struct worker_stream *s, const struct lineage_found *found,
		      size_t count, bool own);
/* The same in parts, for many. */
void worker_add_listed(struct worker *w, struct worker_stream *s, const struct lineage_found *found,
		       size_t count);
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

/* worker_gaps.c */
/* The lane has come to a gap (lane->gap). */
void worker_at_gap(struct worker *w, struct lane *l);
/* Gaps on their way into the store, and back as they are there. The stream is `adding` meanwhile.
 */
struct worker_gaps {
	struct worker_task task; /* first */
	struct worker_stream *stream;
	struct lane *lane; /* that stands at it; NULL: orphans */
	const char *session;
	size_t count, put; /* `put` of them are in the store */
	struct {
		struct store_gap row;
		bool added;
	} gaps[];
};
struct worker_gaps *worker_gaps_new(struct worker *w, struct worker_stream *s, size_t count);
void worker_put_gaps(struct worker *w, struct worker_gaps *gaps);
void worker_tell_gap(struct worker_stream *s, const struct store_gap *g, bool added,
		     const char *reason);
/* A call to the store each, and a beat has to come between a task and the next. */
#define WORKER_GAPS_AT_ONCE 100
/* Again is fine: what stands at it goes on; orphans with worker_add_accepted. */
void worker_gap_accepted(struct worker *w, const struct store_gap *g);
/* Something goes on behind it, to be told to the store. Any thread. */
void worker_gap_over(void *arg, int64_t gap, const struct sequence *to, int64_t to_ms);
/* The same for many, in parts. */
struct worker_over {
	struct worker *worker;
	struct worker_closing *closing; /* the part that is being collected */
};
void worker_over_add(struct worker_over *o, int64_t gap, const struct sequence *to, int64_t to_ms);
void worker_over_send(struct worker_over *o);
/* AWS does not know the lane; a page of it was read. */
void worker_missing(struct worker *w, struct lane *l);
void worker_not_missing(struct lane *l);
void worker_look_for_missing(struct worker *w, struct worker_stream *s,
			     const struct discover_listing *listing);
discover_gone_fn worker_stream_gone;

/* worker_severed.c */
/* Takes what stands behind a gap out of what a complete listing shows; returns how many are left.
 * `sure`: new orphans are believed, and recorded. */
size_t worker_hold_back(struct worker *w, struct worker_stream *s, struct lineage_found *found,
			size_t count, bool sure);
/* They are added after all. */
void worker_not_severed(struct worker *w, struct worker_stream *s,
			const struct lineage_found *found, size_t count);
void worker_orphans_recorded(struct worker *w, const struct worker_gaps *gaps);
/* Again is fine. It is read from worker_add_accepted on: once for all that were accepted. */
void worker_orphan_accepted(struct worker_stream *s, const struct store_gap *g);
void worker_add_accepted(struct worker *w);
/* Another session looks after them. */
void worker_forget_severed(struct worker_stream *s);

/* worker_control.c */
void worker_control_start(struct worker *w);
/* Nothing more is told. */
void worker_control_stop(struct worker *w);
/* After the saver's end. */
void worker_control_release(struct worker *w);
/* Is all told that can be told? Else it is seen to, and the core asks again. */
bool worker_control_idle(struct worker *w);
void worker_told(struct worker *w, struct teller_job *job);
void worker_partitions_seen(struct worker *w, uint32_t sink, const struct worker_partitions *p);
void worker_partitions_free(struct worker_partitions *p);

/* worker_letters.c */
void worker_letters_start(struct worker *w);
/* Nothing more is sent. */
void worker_letters_stop(struct worker *w);
/* Are all in their sink? Else it is seen to, and the core asks again. */
bool worker_letters_idle(struct worker *w);
void worker_letters_told(struct worker *w, struct teller_job *job);

/* worker_share.c */
/* Takes what there is to take: all of it at once, or as the steward shares it out. False with
 * `w->error` set. */
bool worker_share(struct worker *w);
void worker_share_end(struct worker *w);
void worker_take(struct worker *w, struct taken *t);
void worker_viewed(struct worker *w, struct steward_view *v);
/* The lane leaves: collected during a step, then sent. */
void worker_let_go(struct worker *w, uint32_t index);
/* The same for one that is not in the core. */
void worker_let_go_unread(struct worker *w, int64_t store_id);
void worker_let_go_send(struct worker *w);
void worker_released(struct worker *w, struct steward_release *r);
/* The lane has left the core: its reader frees it. */
void worker_give_back(struct worker *w, struct lane *l);
/* Tries again to give the dropped lanes to their readers. */
void worker_drop_rest(struct worker *w);
/* It is done in the store: nothing of the lane is needed any more, ever. */
void worker_ended(struct worker *w, uint32_t index);
/* From any thread: the session is over. */
void worker_on_lost(void *arg, const struct error *err);
void worker_push_note(struct worker *w, struct worker_note n);
void worker_note_free(struct worker_note *n);

/* worker_joining.c */
/* Sees to what is due of all streams. */
void worker_joining(struct worker *w);
/* A gap of the stream is to be repaired. */
void worker_joining_wanted(struct worker_stream *s);
/* How many are under way, for --until-idle. */
uint32_t worker_joining_expected(const struct worker *w);
/* What a new stream is held for from the first; NONE: it is read at once. */
enum store_hold_why worker_joining_hold(const struct worker *w, const struct worker_table *t);

/* worker_loads.c: exports that the store says are loading. */
/* From here on they are looked for. */
void worker_load(struct worker *w);
/* How many --until-idle waits for. */
uint32_t worker_loads_expected(const struct worker *w);
/* The table's gauge of files is there, 0 before its first export. */
void worker_file_cells(struct worker *w, const char *table);
/* Once a second. */
void worker_watch_loads(struct worker *w);
/* Where some of their files failed for good. */
void worker_name_failed_files(const struct worker *w, struct error *err);
/* Behind all lanes. */
void worker_release_loads(struct worker *w);

/* worker_files.c: their data files, which are lanes. */
/* After the core had the event. */
void worker_file_event(struct worker *w, struct lane *l, const struct core_event *e);
/* CORE_RELEASED and CORE_ENDED. */
void worker_file_left(struct worker *w, struct lane *l);
void worker_file_ended(struct worker *w, struct lane *l);

/* worker_hold.c */
/* The stream was found in the store; true: it is held, and this session waits for its end. */
bool worker_hold_opened(struct worker *w, struct worker_stream *s);
/* What a round shows of the stream; true: this session takes no part in it now. */
bool worker_hold_see(struct worker *w, struct worker_stream *s, const struct store_round_stream *r);
/* False: other workers serve it with other sinks, and this one waits until they have ended. Then it
 * is opened again, as others may have said meanwhile where its sinks begin. */
bool worker_served_see(struct worker *w, struct worker_stream *s,
		       const struct store_round_stream *r);
/* Now and then, where no steward does: asks the store. */
void worker_hold_look(struct worker *w);

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
