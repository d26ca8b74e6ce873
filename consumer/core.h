#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/heap.h"
#include "base/rng.h"
#include "checkpoint/frontier.h"
#include "config/config.h"
#include "consumer/pacing.h"
#include "sinks/commit.h"

/* Pure: which shard may be fetched, when and with which credit; what may be saved; when a lane may
 * leave the session. Events in, actions out; no clock, socket, thread or log in here, and memory
 * only where lanes are added.
 *
 * A lane is fetched when its parent has ended (every sink has answered all of the parent, in this
 * session), it is due, it has fewer than CORE_PAGES pages between reader and sinks, not too many
 * other lanes are busy, its stream has a call left, and there is credit; by one request at a time,
 * as a shard has room for two readers and one may be somebody else's. Where not all that are due
 * can be, pacing.h says who is first; streams take turns. A page's credit comes back when the last
 * sink has taken it. Times are CLOCK_BOOTTIME in ms unless said.
 *
 * What is saved is what another session may rely on: a position moves with what is durable before
 * it, the end of a lane once all of it, and of all lanes before it, is visible. A sink's roll is
 * saved together with the positions that it moves; its transaction with what they will be, and the
 * save after the commit moves them. A lane leaves for another session when nothing of it is out,
 * saved or not yet visible. */

#define CORE_NONE      UINT32_MAX
#define CORE_SINKS_MAX CONFIG_SINKS_MAX
#define CORE_PAGES     2 /* of one lane: one in the sinks, the next one ready behind it */

enum lane_state {
	LANE_WAITING,  /* for its parent */
	LANE_DUE,      /* will be fetched at its time */
	LANE_FETCHING, /* a request is out */
	LANE_FULL,     /* CORE_PAGES pages wait for the sinks */
	LANE_DRAINING, /* nothing more is fetched: the shard is closed, or leaves */
	LANE_ENDED,    /* every sink has answered everything, ever */
	LANE_STOPPED,  /* stands still: at a gap, or on_error: stop */
	LANE_RELEASED, /* has left; the store may give it to another session */
	LANE_STATES,
};
const char *lane_state_name(enum lane_state s);

enum core_event_type {
	CORE_TICK,         /* time has passed */
	CORE_PAGE,         /* lane, and what is of a PAGE below: a page was read */
	CORE_FETCH_FAILED, /* lane, failure */
	CORE_ANSWER,       /* lane, sink, roll: the sink has the lane's next page */
	CORE_PART, /* lane, sink, end, end_ms, roll: the roll took the sink's next page up to `end`,
		      and will not have the rest; ANSWER or STAND follow */
	CORE_STAND, /* lane, sink, end, end_ms, roll: the sink's next page ends early, for good */
	CORE_PREPARED, /* sink, roll, deliveries */
	CORE_FINISHED, /* sink, roll */
	CORE_SAVED,    /* the save that was asked for is in the store */
	CORE_CHILDREN, /* stream, lane: the closed lane's children are added, or it has none;
			  CORE_NONE: the stream's first listing is here */
	CORE_GAP,     /* lane, accepted: of the gap that it stands at; accepted, it goes on. Nothing
			 happens where it does not stand at one */
	CORE_RELEASE, /* lane: it shall leave, with its descendants that wait, then
			 CORE_RELEASED. Nothing happens where it is closed or stands still:
			 a lane that gets there on its way out stays as well */
	CORE_HURRY,   /* stream: what sinks have of its closed lanes shall be visible soon */
	CORE_HOLD,    /* stream: all of it leaves, what comes yet as well; also what stands still,
			 once it is known of its gap whether it is accepted. What is closed ends */
	CORE_STOP,    /* fetch nothing more, bring what is in flight home, then CORE_DRAINED */
};

struct core_event {
	enum core_event_type type;
	int64_t now_ms;
	uint32_t lane, sink, stream;
	uint64_t roll;
	uint64_t deliveries; /* PREPARED: how many pages the roll took; their answers may come later
			      */
	/* PAGE */
	size_t bytes;          /* of the body */
	size_t records, limit; /* limit: that was asked for; 0: unknown */
	struct sequence end;   /* last record of the page; none: the page was empty */
	int64_t end_ms;        /* epoch ms */
	int64_t age_ms;        /* of that record, by AWS's clock */
	bool closed;           /* there is no page after it, ever */
	bool childless;        /* and of what descends from it nothing is wanted */
	bool stopped;          /* the lane stands still behind this page (on_error: stop) */
	bool leaves;   /* PAGE, FETCH_FAILED, STAND: nothing more is read of it, and instead of
			  standing still it leaves as after CORE_RELEASE (a file that failed) */
	bool accepted; /* GAP */
	/* FETCH_FAILED: INVALID stops the lane, TRIMMED until a GAP is accepted, others back off */
	enum error_kind failure;
};

enum core_action_type {
	CORE_FETCH,    /* lane */
	CORE_DISCOVER, /* lane: it is closed, ask for its children */
	CORE_PREPARE,  /* sink: roll now */
	CORE_SAVE,     /* core->save */
	CORE_FINISH,   /* sink, roll: blob and positions are in the store */
	CORE_DRAINED,  /* everything is home and saved, after CORE_STOP */
	CORE_IDLE,     /* every shard was empty for idle_ms and everything is delivered */
	CORE_RELEASED, /* lane: it has left; all of it is saved and visible. One a lane, parents
			  before their children. Let it go in the store, then core_drop_lane */
	CORE_ENDED,    /* lane: its end is in the store and its children are added: once, and
			  nothing more is to come of it. It may be dropped */
};

struct core_action {
	enum core_action_type type;
	uint32_t lane, sink;
	uint64_t roll;
};

struct core_page {
	struct sequence end;
	int64_t end_ms;
	size_t charge;
	bool stopped; /* the lane's last page, cut short */
};

struct core_lane {
	enum lane_state state;
	bool closed, stopping, dirty, read, busy;
	bool at_gap;         /* stands still until a CORE_GAP is accepted */
	bool gap_open;       /* and it is known that it is not */
	bool leaving;        /* asked to, and not stopping, closed or released since */
	bool read_saved;     /* the store knows that it was read in this session */
	bool children_known; /* of a closed lane: they are added */
	bool parting;        /* in the list of lanes that leave or have ended */
	bool ready;          /* its time has come: in a ring of its stream */
	uint32_t stream;     /* CORE_NONE: this index is not in use */
	uint32_t parent, first_child, next_sibling, dirty_next, parting_next;
	uint32_t ready_next, ready_before;
	int64_t store_id;
	size_t charge;       /* of the fetch that is out */
	size_t recent_bytes; /* size of the recent largest page */
	struct pacing pacing;
	int64_t empty_since_ms, empty_at_ms; /* first and last empty page in a row; 0: none */
	/* Last empty page with nothing of the lane on its way: everything older is delivered, or
	 * delivered and saved; 0: not in this session */
	int64_t delivered_at_ms, saved_at_ms;
	int64_t since_ms; /* epoch ms: nothing that is older is missing */
	int64_t event_ms; /* epoch ms of the newest record read */
	/* Pages that were read are numbered; a page is released once every sink answered it. */
	uint64_t pages_read, pages_released;
	struct core_page pages[CORE_PAGES];
	uint64_t answered[CORE_SINKS_MAX];
	bool stood[CORE_SINKS_MAX]; /* this sink gets nothing more of the lane */
	struct frontier *frontiers; /* one a sink of its stream */
};

struct core_stream {
	struct pacing_limits limits;
	int64_t share_milli; /* of the budget: calls a second, thousandths; 0: no limit */
	struct pacing_bucket bucket;
	struct pacing_brake brake;
	struct pacing_turns turns;
	uint32_t ready[PACING_CLASSES]; /* first of a ring of lanes to fetch; CORE_NONE */
	uint64_t called;                /* its last call's number */
	uint32_t sinks[CORE_SINKS_MAX]; /* indices of core->sinks */
	uint32_t sink_count;            /* 0: this index is not in use */
	uint32_t lane_count;            /* its lanes in the core */
	bool files;                     /* its lanes are data files: they have no children */
	bool held;                      /* all of them leave: until it is removed */
	uint32_t discovering; /* closed shards whose children are not known yet; first listing */
};

struct core_sink {
	enum sink_commit commit;
	uint64_t taken_roll; /* newest roll that took something; 0: none */
	struct {
		uint64_t number, answers;
	} rolls_open[FRONTIER_ROLLS]; /* by number modulo FRONTIER_ROLLS */
	uint64_t prepared;            /* roll that waits to be saved; 0: none */
	uint64_t deliveries;          /* that it took: saved once so many answers are here */
	uint64_t saving;              /* roll of the save in flight; 0: none */
	uint64_t saved;               /* newest roll whose blob is in the store */
	uint64_t finished;            /* newest roll that is visible */
	uint64_t reported;            /* newest finished roll whose row was removed by a save */
	uint64_t reporting;           /* by the save in flight; 0: none */
	uint64_t leaving;             /* newest roll that holds up a lane that leaves */
	int64_t asked_ms;             /* when it was last asked to prepare */
};

struct core_move {
	int64_t store_id;
	uint32_t lane, sink;
	struct frontier_move move;
};
/* One save: valid until CORE_SAVED is fed. */
struct core_save {
	struct core_move *moves;
	size_t move_count, move_capacity;
	struct {
		uint32_t sink;
		uint64_t roll;
	} rolls[CORE_SINKS_MAX], finished[CORE_SINKS_MAX];
	size_t roll_count, finished_count;
	struct core_move *pending; /* to, event_ms: of the transactions among the rolls */
	size_t pending_count;      /* has the capacity of `moves` */
	uint32_t *reads;           /* lanes */
	size_t read_count, read_capacity;
};

struct core_settings {
	int64_t memory_bytes;
	int64_t save_interval_ms;
	int64_t idle_ms; /* --until-idle; 0: serve for ever */
	uint32_t fetches_max;
	uint32_t lanes_max; /* busy at once: fetched, or with pages that wait for the sinks */
	uint64_t seed;
};

struct core {
	struct core_settings settings;
	struct core_lane *lanes;
	uint32_t lane_count, lane_capacity; /* indices that are or were in use */
	uint32_t unused_first;              /* linked by next_sibling */
	size_t slot_count;                  /* sinks of all lanes */
	struct core_stream *streams;
	uint32_t stream_count, stream_capacity; /* indices that are or were in use */
	uint32_t expected;                      /* streams */
	struct core_sink sinks[CORE_SINKS_MAX];
	uint32_t sink_count;
	struct heap due;                   /* lanes, by the time they are to be fetched */
	struct heap turns[PACING_CLASSES]; /* streams with ready lanes, by their last call */
	struct heap paused;                /* those without budget, by when there is some */
	struct pacing_turns stream_turns;
	uint64_t calls;
	struct rng rng;
	int64_t credit;   /* bytes; may go below zero */
	int64_t charged;  /* what is out */
	uint32_t fetches; /* out */
	uint32_t busy;    /* lanes */
	uint64_t credit_waits;
	uint32_t dirty_first;
	uint32_t parting_first;
	bool parting_check; /* one of those may be ready */
	struct core_save save;
	bool saving, stopping, drained, idle_said;
	int64_t saved_at_ms, read_saved_at_ms;
	int64_t next_wake_ms;
};

void core_init(struct core *c, const struct core_settings *settings);
void core_release(struct core *c);
uint32_t core_add_sink(struct core *c, enum sink_commit commit);
/* The stream's index, the lowest that is free. Its sinks come in the order that its lanes'
 * frontiers have. Its first listing is awaited from now on. */
uint32_t core_add_stream(struct core *c, const struct pacing_limits *limits, const uint32_t *sinks,
			 uint32_t sink_count);
/* The same for data files: there is no listing, no pause and no budget, a lane that is closed has
 * no children, and shards that wait come first. */
uint32_t core_add_files(struct core *c, const uint32_t *sinks, uint32_t sink_count);
/* So many more streams are on their way: the session is not idle before they are here. */
void core_expect(struct core *c, uint32_t streams);
/* All of its lanes were dropped: its index may be used again. */
void core_remove_stream(struct core *c, uint32_t stream);

/* What this worker may take of the stream's budget, in thousandths of a call a second: the part of
 * its shards (pacing_share_milli). The whole of it until then. */
void core_set_budget(struct core *c, uint32_t stream, int64_t milli);

struct core_lane_start {
	uint32_t stream;
	uint32_t parent; /* lane, or CORE_NONE: done in the store, or there never was one. A
			    parent is added before its children */
	int64_t store_id;
	int64_t since_ms; /* epoch ms: the lane has no record that is wanted and older */
	/* one a sink of the stream, in its order */
	struct frontier_move at[CORE_SINKS_MAX]; /* `to`, event_ms and done as the store has them */
};
/* Returns the lane's index. It is fetched from the next step on, or leaves where its parent does.
 */
uint32_t core_add_lane(struct core *c, const struct core_lane_start *start, int64_t now_ms);
/* After CORE_RELEASED or CORE_ENDED: its index may be used again. */
void core_drop_lane(struct core *c, uint32_t lane);

/* Feeds one event; writes at most `max` actions (>= CORE_ACTIONS_MIN) and returns how many. What
 * did not fit comes with the next step: core_wake_ms is then now. */
#define CORE_ACTIONS_MIN 32
size_t core_step(struct core *c, const struct core_event *e, struct core_action *out, size_t max);
/* When the next CORE_TICK has to come at the latest; INT64_MAX: only when something happens. */
int64_t core_wake_ms(const struct core *c);

/* For /status, /metrics and the last word of --until-idle. */
struct core_view {
	uint32_t shards[LANE_STATES];
	uint32_t behind;     /* lanes that have more to read than their last page brought */
	int64_t limit_milli; /* calls a second, thousandths; 0: none */
	bool braking;        /* because of throttles */
	uint32_t standing;   /* lanes that are stopped, or descend from one */
	uint32_t at_gap;     /* of these, lanes that stand at a gap */
	/* By slot: lanes that wait for this sink, while another one has what it does not have yet.
	 */
	uint32_t waited_for[CORE_SINKS_MAX];
};
void core_view(const struct core *c, uint32_t stream, struct core_view *view);
/* Of all streams, by index, in one walk over the lanes; those not in use have zeros. */
void core_views(const struct core *c, struct core_view *views);
/* How old, at most, a stream's oldest record is that is not delivered, or not saved. Of a lane
 * that was read to its end it is the time since then. A lane that waits for its parent is younger
 * than that one. */
struct core_ages {
	int64_t undelivered_ms, unsaved_ms;
};
/* Of one lane: zeros where nothing of it is read here. */
void core_lane_ages(const struct core *c, uint32_t lane, int64_t now_ms, int64_t epoch_ms,
		    struct core_ages *ages);
/* Of all streams, as core_views. */
void core_ages(const struct core *c, int64_t now_ms, int64_t epoch_ms, struct core_ages *ages);
/* The index of a sink within the lane's stream. */
uint32_t core_sink_slot(const struct core *c, uint32_t lane, uint32_t sink);
