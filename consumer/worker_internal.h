#pragma once
#include "aws/client.h"
#include "base/loop.h"
#include "base/queue.h"
#include "consumer/core.h"
#include "consumer/discover.h"
#include "consumer/lane.h"
#include "consumer/lineage.h"
#include "consumer/reader.h"
#include "consumer/resolve.h"
#include "consumer/saver.h"
#include "consumer/session.h"
#include "consumer/worker.h"

/* Between the worker's files: worker.c (its life), worker_start.c (streams, sinks, lanes out of the
 * store), worker_lanes.c (shards found), worker_core.c (events and actions), worker_watch.c
 * (metrics and health). */

struct worker_stream {
	const struct config_stream *config;
	struct resolved_stream resolved;
	struct lane_stream lanes; /* what its lanes see */
	struct store_stream stored;
	int32_t sink_ids[CORE_SINKS_MAX]; /* the store's, by slot */
	struct lineage lineage;
	uint32_t *core_lanes; /* by index of the lineage; CORE_NONE: being added, or passed over */
	uint32_t core_lane_capacity;
	unsigned adding;  /* saver_lanes under way */
	uint32_t *settled; /* core lanes whose children are found, CORE_NONE for the first
			      listing: reported to the core once `adding` is 0 */
	uint32_t settled_count, settled_capacity;
	bool listed;      /* the first listing of this session is here */
	struct metric_cell *lag, *time_to_loss, *shards[LANE_STATES];
};

struct worker_sink {
	const struct config_sink *config;
	const struct sink_ops *ops;
	struct sink_host host;
	struct sink *sink;
	int32_t store_id;
	bool rolls;
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
	NOTE_PREPARED,
	NOTE_FINISHED,
	NOTE_LOST,
};
struct worker_note {
	enum worker_note_type type;
	uint32_t sink;
	uint64_t roll, deliveries;
	struct str blob; /* PREPARED: allocated */
	struct saver_lanes *lanes;
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
	struct worker_stream *streams;
	uint32_t stream_count;
	const char **arns, **names;
	struct worker_sink sinks[CORE_SINKS_MAX];
	uint32_t sink_count;
	struct lane **lanes; /* by core index */
	uint32_t lane_capacity;
	struct reader *readers[WORKER_READERS_MAX];
	unsigned reader_count, next_reader;
	struct aws_settings reader_aws; /* each reader's share of the connections */
	struct saver *saver;
	struct discover *discover;
	struct queue *events, *notes;
	struct loop_timer *wake, *tick, *deadline;
	/* The save in flight, as the store wants it. */
	struct store_save save;
	uint64_t save_number;
	struct store_move *moves;
	int64_t *reads;
	size_t move_capacity, read_capacity;
	struct store_roll rolls[CORE_SINKS_MAX], finished[CORE_SINKS_MAX];
	struct metric_cell *inflight, *credit_waits, *unanswered;
	enum worker_end end;
	bool late; /* worker.shutdown is over */
	struct error error;
};

/* worker_start.c: false with `w->error` set. */
bool worker_resolve(struct worker *w);
bool worker_open_sinks(struct worker *w);
bool worker_claim(struct worker *w);
void worker_close_sinks(struct worker *w);
void worker_release_streams(struct worker *w);

/* worker_lanes.c */
discover_fn worker_found;
discover_done_fn worker_discovered;
void worker_lanes_added(struct worker *w, struct saver_lanes *job);
void worker_lanes_free(struct saver_lanes *job);
/* A lane that the store has, with its positions by slot; or one that has the id LANE_NOT_STORED and
 * is never read: it stands still, or descends from one that does. */
#define LANE_NOT_STORED 0
void worker_add_lane(struct worker *w, struct worker_stream *s, const struct store_lane *stored,
		     uint32_t in_lineage, const struct frontier_move *at, bool stopped);
/* Knows the shard from now on; its core lane comes later. */
uint32_t worker_know(struct worker_stream *s, const char *shard, const char *parent);

/* worker_core.c */
void worker_feed(struct worker *w, const struct core_event *event);
loop_fd_fn worker_on_events;
void worker_end_with(struct worker *w, enum worker_end end, const struct error *err);

/* worker_watch.c */
loop_timer_fn worker_watch;
bool worker_alive(void *arg);
/* Names up to a few lanes that stand still. */
void worker_name_standing(const struct worker *w, struct error *err);
