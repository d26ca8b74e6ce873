/* What becomes of shards that are found: with the worker's thread played by the test, and a store
 * that is scripted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "checkpoint/store_ops.h"
#include "consumer/worker_internal.h"
#include "sinks/sink.h"

#define SESSION     "00000000-0000-4000-8000-000000000001"
#define DEADLINE_MS 60000

/* --- the store: it is away, but for saves, and for lanes where it is told to take them --- */

static _Atomic bool takes_lanes;
static int64_t next_lane;
/* What it says of a lane that it takes. */
static const char *lane_owner;
static bool lane_begun, lane_waits;
/* How often the session asked what it holds. */
static _Atomic unsigned asked_held;

static bool away(struct error *err)
{
	return error_set(err, ERROR_RETRY, "it is away");
}

static bool beat(struct store *s, const char *id, struct error *err)
{
	(void)s, (void)id;
	return away(err);
}

static bool sessions(struct store *s, const char *near, struct store_session *out, size_t max,
		     size_t *count, struct error *err)
{
	(void)s, (void)near, (void)out, (void)max, (void)count;
	return away(err);
}

static bool lanes_add(struct store *s, const char *session, int64_t stream, int64_t epoch, bool own,
		      struct store_lane *lanes, size_t count, const int32_t *sinks,
		      size_t sink_count, struct error *err)
{
	(void)s, (void)session, (void)stream, (void)epoch, (void)own, (void)sinks, (void)sink_count;
	if (!atomic_load(&takes_lanes))
		return away(err);
	for (size_t i = 0; i < count; i++) {
		lanes[i].id = ++next_lane;
		lanes[i].begun = lane_begun;
		lanes[i].waits = lane_waits;
		strcpy(lanes[i].owner, lane_owner);
	}
	return true;
}

/* Nothing, so that it is seen what comes another way. */
static bool lanes_list(struct store *s, int64_t stream, const struct store_of *of,
		       store_lane_fn *lane, store_position_fn *position, void *arg,
		       struct error *err)
{
	(void)s, (void)stream, (void)of, (void)lane, (void)position, (void)arg, (void)err;
	atomic_fetch_add(&asked_held, 1);
	return true;
}

static bool save(struct store *s, const struct store_save *what, struct error *err)
{
	(void)s, (void)what, (void)err;
	return true;
}

static const struct store_ops ops = { .session_beat = beat,
				      .sessions = sessions,
				      .lanes_add = lanes_add,
				      .lanes_list = lanes_list,
				      .save = save };
static struct store store = { .ops = &ops, .describe = "scripted" };

/* --- the saver's and the steward's callbacks --- */

static bool alive(void *arg)
{
	(void)arg;
	return true;
}

/* The worker does not hear of it. */
static void on_saved(void *arg)
{
	(void)arg;
}

static void on_lanes_added(void *arg, struct saver_lanes *job)
{
	worker_push_note(arg, (struct worker_note){ .type = NOTE_LANES, .lanes = job });
}

static void on_taken(void *arg, struct taken *t)
{
	worker_push_note(arg, (struct worker_note){ .type = NOTE_TAKEN, .taken = t });
}

/* --- a worker with one stream, that others share --- */

struct fixture {
	struct clock clock;
	struct config *config;
	struct worker w;
	struct worker_stream stream;
	struct worker_stream *streams[1];
};

static void start_threads(struct fixture *f)
{
	struct worker *w = &f->w;
	struct saver_settings s = { .store = &store,
				    .session = SESSION,
				    .lease_ms = f->config->checkpoint.lease_ms,
				    .jobs_max = 4096,
				    .clock = &f->clock,
				    .metrics = w->settings.metrics,
				    .health = w->settings.health,
				    .seed = 1,
				    .emit_until_ms = &w->emit_until_ms,
				    .alive = alive,
				    .saved = on_saved,
				    .lanes_added = on_lanes_added,
				    .arg = w };
	struct steward_settings t = { .session = { .store = &store,
						   .config = f->config,
						   .clock = &f->clock,
						   .metrics = w->settings.metrics,
						   .health = w->settings.health },
				      .id = SESSION,
				      .seed = 1,
				      .taken = on_taken,
				      .arg = w };
	struct steward_stream joined = { .id = 1 };

	w->saver = saver_start(&s);
	w->steward = steward_start(&t);
	steward_add_stream(w->steward, 0, &joined);
}

static void make_stream(struct fixture *f)
{
	struct worker_stream *s = &f->stream;
	struct pacing_limits limits = { .min_ms = 50, .max_ms = 50 };
	uint32_t sink = core_add_sink(&f->w.core, SINK_IMMEDIATE);

	lineage_init(&s->lineage);
	severed_init(&s->severed);
	s->config = &f->config->streams[0];
	s->lanes.source.stream = s->config->name;
	s->lanes.sink_count = 1;
	s->lanes.index = core_add_stream(&f->w.core, &limits, &sink, 1);
	s->stored.id = 1;
	s->stored.rooted = s->added = s->listed = true;
	f->streams[0] = s;
	f->w.streams = f->streams;
	f->w.stream_count = 1;
}

static int begin(void **state)
{
	struct core_settings core = {
		.memory_bytes = 1 << 30, .save_interval_ms = 10, .fetches_max = 16, .lanes_max = 16
	};
	struct fixture *f = calloc(1, sizeof(*f));
	struct worker *w = &f->w;
	struct error err = { 0 };

	atomic_store(&takes_lanes, false);
	atomic_store(&asked_held, 0);
	lane_owner = ""; /* free */
	lane_begun = lane_waits = false;
	clock_init(&f->clock);
	f->config = config_parse(str_of("streams: [{table: orders, sinks: [out]}]\n"
					"sinks: {out: {type: stdout}}\n"),
				 "sluice.yaml", sink_config_types(), &err);
	if (!f->config)
		fail_msg("%s", err.message);
	w->settings = (struct worker_settings){ .config = f->config,
						.store = &store,
						.clock = &f->clock,
						.metrics = metrics_new(),
						.health = health_new(&f->clock) };
	strcpy(w->session, SESSION);
	w->loop = loop_new(&f->clock);
	w->wake = loop_timer_new(w->loop, NULL, w);
	w->events = queue_new(sizeof(struct core_event), 16);
	w->notes = queue_new(sizeof(struct worker_note), 4096);
	core_init(&w->core, &core);
	make_stream(f);
	start_threads(f);
	*state = f;
	return 0;
}

static int end(void **state)
{
	struct fixture *f = *state;
	struct worker *w = &f->w;
	struct worker_note n;

	steward_stop(w->steward);
	saver_stop(w->saver);
	while (queue_drain(w->notes, &n, 1) == 1)
		worker_note_free(&n);
	lineage_release(&f->stream.lineage);
	severed_release(&f->stream.severed);
	free(f->stream.core_lanes);
	free(f->stream.settled);
	for (uint32_t i = 0; w->lanes && i < w->core.lane_count; i++)
		lane_free(w->lanes[i]);
	core_release(&w->core);
	free(w->lanes);
	free(w->moves);
	free(w->reads);
	loop_timer_free(w->wake);
	loop_free(w->loop);
	queue_free(w->events);
	queue_free(w->notes);
	metrics_free(w->settings.metrics);
	health_free(w->settings.health);
	config_free(f->config);
	free(f);
	return 0;
}

/* A part of a listing comes in. */
static void find_shard(struct fixture *f, const char *parent, unsigned number)
{
	struct streams_shard shard = { 0 };
	struct discover_listing l = { .shards = &shard, .count = 1 };

	snprintf(shard.id, sizeof(shard.id), "shardId-%020u-a", number);
	snprintf(shard.parent, sizeof(shard.parent), "%s", parent);
	worker_found(&f->w, 0, &l);
}

static bool is_known(const struct fixture *f, unsigned number)
{
	char id[STREAMS_SHARD_MAX + 1];

	snprintf(id, sizeof(id), "shardId-%020u-a", number);
	return lineage_find(&f->stream.lineage, id) != LINEAGE_NONE;
}

/* Until nothing is being added any more. */
static void wait_added(struct fixture *f)
{
	for (int i = 0; f->stream.adding > 0 && i < 100; i++) {
		queue_wait(f->w.notes, DEADLINE_MS / 100);
		worker_on_events(&f->w, -1, 0);
	}
	assert_int_equal(f->stream.adding, 0);
}

static void a_long_outage_of_the_store_does_not_fill_the_queues(void **state)
{
	struct fixture *f = *state;
	unsigned known = 0;

	f->stream.lister = true;
	worker_know(&f->stream, "parent", "");
	for (unsigned i = 0; i < 1000; i++)
		find_shard(f, "parent", i);
	assert_in_range(f->stream.adding, 1, 8);
	for (unsigned i = 0; i < 1000; i++)
		known += is_known(f, i);
	/* What is left out is as good as not seen: a complete listing brings it. */
	assert_int_equal(known, f->stream.adding);
	atomic_store(&takes_lanes, true);
	wait_added(f);
	find_shard(f, "parent", 2000);
	assert_true(is_known(f, 2000));
	wait_added(f);
}

/* --- shards that nobody takes, as every worker has as many as it may --- */

/* A lane that is read to its end. */
static uint32_t closed_lane(struct fixture *f)
{
	struct core *c = &f->w.core;
	struct core_lane_start start = { .stream = 0, .parent = CORE_NONE, .store_id = 900 };
	uint32_t lane = core_add_lane(c, &start, 1000);
	struct core_event e = { .type = CORE_TICK, .now_ms = 1000 };
	struct core_action actions[CORE_ACTIONS_MIN];

	f->w.lanes = memory_array(lane + 1, sizeof(struct lane *));
	core_step(c, &e, actions, CORE_ACTIONS_MIN);
	e.type = CORE_PAGE;
	e.lane = lane;
	e.closed = true;
	core_step(c, &e, actions, CORE_ACTIONS_MIN);
	assert_true(c->lanes[lane].closed);
	return lane;
}

static void round_shows(struct fixture *f, uint32_t claimable)
{
	struct steward_view *v = memory_new(sizeof(*v));

	v->stream_count = 1;
	v->streams = memory_new(sizeof(*v->streams));
	v->unheld_ms = memory_new(sizeof(*v->unheld_ms));
	v->streams[0] = (struct store_round_stream){
		.stream = 1, .claimable = claimable, .rooted = true, .served = true, .lister = true
	};
	worker_viewed(&f->w, v);
}

static void what_nobody_takes_holds_up_no_end(void **state)
{
	struct fixture *f = *state;
	struct core_stream *in_core = &f->w.core.streams[0];
	uint32_t lane = closed_lane(f);

	f->stream.lister = true;
	worker_know(&f->stream, "parent", "");
	atomic_store(&takes_lanes, true);
	find_shard(f, "parent", 1);
	wait_added(f);
	round_shows(f, 1);
	round_shows(f, 1);
	assert_int_equal(in_core->discovering, 2); /* the lane's children, and the beginning */
	worker_settle(&f->w, &f->stream, lane);
	assert_int_equal(in_core->discovering, 1);
	assert_true(f->w.core.lanes[lane].children_known);
	/* To --until-idle it is not all the same. */
	assert_int_equal(f->w.core.expected, 1);
	round_shows(f, 0);
	assert_int_equal(f->w.core.expected, 1); /* this one may not have seen it */
	assert_int_equal(in_core->discovering, 1);
	round_shows(f, 0);
	assert_int_equal(f->w.core.expected, 0);
	assert_int_equal(in_core->discovering, 0);
}

/* --- children of a lane that this session has read to its end --- */

/* And that is in the store. */
static void add_parent(struct fixture *f, const char *shard)
{
	struct core *c = &f->w.core;
	struct core_event e = { .type = CORE_TICK, .now_ms = 5000 };
	struct core_action actions[CORE_ACTIONS_MIN];
	uint32_t lane = closed_lane(f), in_lineage = worker_know(&f->stream, shard, "");

	core_step(c, &e, actions, CORE_ACTIONS_MIN);
	e.type = CORE_SAVED;
	core_step(c, &e, actions, CORE_ACTIONS_MIN);
	assert_true(c->lanes[lane].frontiers[0].done);
	f->w.lane_capacity = lane + 1;
	f->stream.core_lanes[in_lineage] = lane;
	/* Nothing is fetched: there are no readers. */
	f->w.reader_count = 1;
	c->settings.fetches_max = 0;
}

static uint32_t lane_of(const struct fixture *f, unsigned number)
{
	char id[STREAMS_SHARD_MAX + 1];

	snprintf(id, sizeof(id), "shardId-%020u-a", number);
	return f->stream.core_lanes[lineage_find(&f->stream.lineage, id)];
}

static void wait_asked(struct fixture *f, unsigned times)
{
	for (int i = 0; (f->stream.asked_held || atomic_load(&asked_held) < times) && i < 100;
	     i++) {
		queue_wait(f->w.notes, DEADLINE_MS / 100);
		worker_on_events(&f->w, -1, 0);
	}
	assert_int_equal(atomic_load(&asked_held), times);
	assert_false(f->stream.asked_held);
}

/* Else each page of a listing would bring all that the session holds. */
static void a_child_is_read_without_asking_what_is_held(void **state)
{
	struct fixture *f = *state;

	add_parent(f, "parent");
	atomic_store(&takes_lanes, true);
	lane_owner = SESSION;
	find_shard(f, "parent", 1);
	wait_added(f);
	assert_true(lane_of(f, 1) < LANE_OVER);
	assert_false(f->stream.asked_held);
	assert_int_equal(atomic_load(&asked_held), 0);
}

static void what_was_begun_is_asked_for(void **state)
{
	struct fixture *f = *state;

	add_parent(f, "parent");
	atomic_store(&takes_lanes, true);
	lane_owner = SESSION;
	lane_begun = true;
	find_shard(f, "parent", 1);
	wait_added(f);
	assert_int_equal(lane_of(f, 1), CORE_NONE);
	wait_asked(f, 1);
}

/* Its parent, which this session is about to have or does not have, comes first. */
static void what_waits_for_a_parent_elsewhere_is_asked_for(void **state)
{
	struct fixture *f = *state;

	f->stream.lister = true;
	worker_know(&f->stream, "parent", "");
	atomic_store(&takes_lanes, true);
	lane_owner = SESSION;
	lane_waits = true;
	find_shard(f, "parent", 1);
	wait_added(f);
	assert_int_equal(lane_of(f, 1), CORE_NONE);
	wait_asked(f, 1);
}

/* The answer under way may be older than what came since. */
static void what_comes_while_it_is_asked_is_asked_for_after_it(void **state)
{
	struct fixture *f = *state;

	worker_ask_held(&f->w, &f->stream);
	for (int i = 0; i < 3; i++)
		worker_ask_held(&f->w, &f->stream);
	wait_asked(f, 2);
}

int main(void)
{
#define WORKER(test) cmocka_unit_test_setup_teardown(test, begin, end)
	const struct CMUnitTest tests[] = {
		WORKER(a_long_outage_of_the_store_does_not_fill_the_queues),
		WORKER(what_nobody_takes_holds_up_no_end),
		WORKER(a_child_is_read_without_asking_what_is_held),
		WORKER(what_was_begun_is_asked_for),
		WORKER(what_waits_for_a_parent_elsewhere_is_asked_for),
		WORKER(what_comes_while_it_is_asked_is_asked_for_after_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
