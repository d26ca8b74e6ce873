/* Once a second: what the metrics and the health rows say about the session. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "consumer/worker_internal.h"

#define WATCH_EVERY_MS 1000
#define NAMED_MAX      3
/* Far over what a busy machine makes a healthy loop wait, well under what an operator would. */
#define STUCK_MS 30000
/* A store that is away keeps its thread in one call: for half a lease, and as long as names cannot
 * be resolved. That is no reason to end a process; this is far over it. */
#define SAVER_STUCK_MS 300000

/* The steward does not count, neither here nor below: it may wait for a sink for long, as it buries
 * what another session left, while this session's own shards are read as ever. One that stands
 * still for good takes nothing more and buries nobody; the other workers do both without it. */
bool worker_alive(void *arg)
{
	struct worker *w = arg;
	int64_t half = w->settings.config->checkpoint.lease_ms / 2;
	int64_t since = clock_boot_ms(w->settings.clock) - half;

	if (loop_beat_ms(w->loop) < since)
		return false;
	for (unsigned i = 0; i < w->reader_count; i++)
		if (reader_beat_ms(w->readers[i]) < since)
			return false;
	return true;
}

static void note_pulse(struct worker *w)
{
	struct worker_pulse *p = w->settings.pulse;

	for (unsigned i = 0; i < w->reader_count; i++)
		atomic_store(&p->reader_ms[i], reader_beat_ms(w->readers[i]));
	atomic_store(&p->readers, w->reader_count);
	atomic_store(&p->saver_stuck_ms, SAVER_STUCK_MS + w->settings.config->checkpoint.lease_ms);
	atomic_store(&p->saver_ms, saver_turned_ms(w->saver));
	atomic_store(&p->core_ms, loop_now_ms(w->loop));
	atomic_store(&p->active, true);
}

bool worker_pulse_ok(const struct worker_pulse *p, const struct clock *clock, char *stuck,
		     size_t size)
{
	int64_t since = clock_boot_ms(clock) - STUCK_MS;

	if (!atomic_load(&p->active))
		return true;
	if (atomic_load(&p->core_ms) < since) {
		snprintf(stuck, size, "core");
		return false;
	}
	for (unsigned i = 0; i < atomic_load(&p->readers); i++)
		if (atomic_load(&p->reader_ms[i]) < since) {
			snprintf(stuck, size, "reader %u", i);
			return false;
		}
	if (atomic_load(&p->saver_ms) < clock_boot_ms(clock) - atomic_load(&p->saver_stuck_ms)) {
		snprintf(stuck, size, "saver");
		return false;
	}
	return true;
}

/* A stream has series from the session on: a standby has nothing to tell, and 0 would be a lie. */
static void watch_cells(struct worker *w, struct worker_stream *s)
{
	struct metrics *m = w->settings.metrics;

	s->lag = metrics_cell(m, METRIC_LAG, s->config->name, NULL);
	s->time_to_loss = metrics_cell(m, METRIC_TIME_TO_LOSS, s->config->name, NULL);
	s->behind = metrics_cell(m, METRIC_SHARDS_BEHIND, s->config->name, NULL);
	s->poll_limit = metrics_cell(m, METRIC_POLL_LIMIT, s->config->name, NULL);
	s->held_cell = metrics_cell(m, METRIC_STREAM_HELD, s->config->name, NULL);
	s->loss_warnings = metrics_cell(m, METRIC_LOSS_WARNINGS, s->config->name, NULL);
	for (int state = 0; state < LANE_STATES; state++)
		s->shards[state] = metrics_cell(m, METRIC_SHARDS, s->config->name,
						lane_state_name((enum lane_state)state));
}

/* Only the session that lists the stream tells of what is not in the store. */
static bool tells_of_severed(const struct worker *w, const struct worker_stream *s)
{
	return s->lister || !w->steward;
}

/* What stands behind an open gap is not in the core. */
static void add_severed(const struct worker *w, const struct worker_stream *s,
			struct core_view *view)
{
	for (size_t i = 0; tells_of_severed(w, s) && i < s->severed.count; i++) {
		if (s->severed.shards[i].gap == 0 && s->severed.shards[i].orphan)
			continue;
		view->shards[s->severed.shards[i].orphan ? LANE_STOPPED : LANE_WAITING]++;
		view->at_gap += s->severed.shards[i].orphan;
		view->standing++;
	}
}

static int64_t unsaved_age_ms(const struct worker *w, const struct worker_stream *s,
			      const struct core_ages *ages)
{
	int64_t epoch_ms = clock_aws_ms(w->settings.clock), oldest_ms = ages->unsaved_ms;

	if (s->unheld_ms > 0 && epoch_ms - s->unheld_ms > oldest_ms)
		oldest_ms = epoch_ms - s->unheld_ms;
	for (size_t i = 0; tells_of_severed(w, s) && i < s->severed.count; i++) {
		int64_t place_ms = loss_place_ms(s->severed.shards[i].shard.id, 0,
						 s->stored.start_ms, epoch_ms);

		if (epoch_ms - place_ms > oldest_ms)
			oldest_ms = epoch_ms - place_ms;
	}
	return oldest_ms;
}

/* Of a stream that is held nobody has anything: what is saved is what is delivered. */
static int64_t undelivered_age_ms(const struct worker *w, const struct worker_stream *s,
				  const struct core_ages *ages)
{
	int64_t age_ms = clock_aws_ms(w->settings.clock) - s->unheld_ms;

	return s->hold != 0 && s->unheld_ms > 0 && age_ms > ages->undelivered_ms
		       ? age_ms
		       : ages->undelivered_ms;
}

static void watch_loss(struct worker *w, struct worker_stream *s, int64_t left_ms)
{
	char part[STORE_NAME_MAX + 16], said[400];

	snprintf(part, sizeof(part), "time to loss %s", s->config->name);
	snprintf(said, sizeof(said),
		 "records that are not delivered and saved leave the stream in %lld minutes",
		 (long long)left_ms / 60000);
	switch (loss_watch(&s->loss, left_ms, s->config->warn_loss_ms)) {
	case LOSS_NEAR:
		metric_add(s->loss_warnings, 1);
		log_warn("records will be lost soon: they are not delivered, and leave the stream",
			 log_text("stream", s->config->name), log_int("seconds", left_ms / 1000));
		break;
	case LOSS_AVERTED:
		log_info("no records will be lost soon any more",
			 log_text("stream", s->config->name), log_int("seconds", left_ms / 1000));
		health_set(w->settings.health, part, NULL);
		break;
	case LOSS_NOTHING:
		break;
	}
	if (s->loss.near)
		health_set(w->settings.health, part, said);
}

static void watch_gaps(struct worker *w, struct worker_stream *s, const struct core_view *view)
{
	char part[STORE_NAME_MAX + 16], said[STORE_NAME_MAX + 200];

	if (view->at_gap == 0 && !s->tells_gaps)
		return;
	s->tells_gaps = view->at_gap > 0;
	snprintf(part, sizeof(part), "gaps %s", s->config->name);
	snprintf(said, sizeof(said),
		 "%u shards stand still where records were lost: `sluice status -c FILE` lists "
		 "them, `sluice resume -c FILE --stream %s` accepts it",
		 view->at_gap, s->config->name);
	health_set(w->settings.health, part, s->tells_gaps ? said : NULL);
}

/* What the calls of this worker cost. AWS asks for nothing where it gives no page. */
static void watch_bill(struct worker *w, struct worker_stream *s)
{
	int64_t calls = metric_get(s->lanes.polls_records) + metric_get(s->lanes.polls_empty);
	int64_t now_ms = loop_now_ms(w->loop), units;

	bill_note(&s->bill, now_ms, calls);
	if (!bill_units_month(&s->bill, now_ms, calls, &units))
		return;
	if (!s->units_month) {
		struct metrics *m = w->settings.metrics;

		s->units_month = metrics_cell(m, METRIC_POLL_UNITS_MONTH, s->config->name, NULL);
		s->cost_month = metrics_cell(m, METRIC_POLL_COST_MONTH, s->config->name, NULL);
	}
	metric_set(s->units_month, units);
	metric_set(s->cost_month, bill_cost_milli(units, w->settings.config->aws.read_price));
}

/* With one sink there is nobody to be held. */
static void watch_sinks(struct worker *w, const struct worker_stream *s,
			const struct core_view *view)
{
	for (uint32_t slot = 0; s->lanes.sink_count > 1 && slot < s->lanes.sink_count; slot++)
		metric_set(metrics_cell(w->settings.metrics, METRIC_SINK_HOLDS, s->config->name,
					s->lanes.sinks[slot].name),
			   view->waited_for[slot]);
}

static void watch_pace(struct worker_stream *s, const struct core_view *view)
{
	metric_set(s->behind, view->behind);
	metric_set(s->poll_limit, view->limit_milli);
	if (view->braking == s->braking)
		return;
	s->braking = view->braking;
	if (s->braking)
		log_warn("many shards of a stream are throttled: all of it is read more slowly",
			 log_text("stream", s->config->name),
			 log_int("calls_a_second", view->limit_milli / 1000));
	else
		log_info("the stream is read at its own pace again",
			 log_text("stream", s->config->name));
}

static void watch_stream(struct worker *w, struct worker_stream *s, struct core_view *view,
			 const struct core_ages *ages)
{
	int64_t left_ms = loss_left_ms(unsaved_age_ms(w, s, ages));

	if (!s->lag)
		watch_cells(w, s);
	add_severed(w, s, view);
	metric_set(s->lag, undelivered_age_ms(w, s, ages));
	metric_set(s->held_cell, s->hold != 0);
	metric_set(s->time_to_loss, left_ms);
	for (int state = 0; state < LANE_STATES; state++)
		metric_set(s->shards[state], view->shards[state]);
	watch_sinks(w, s, view);
	watch_pace(s, view);
	watch_bill(w, s);
	watch_loss(w, s, left_ms);
	watch_gaps(w, s, view);
}

/* The lanes are walked over once, however many streams there are. */
static void watch_streams(struct worker *w)
{
	struct core_view *views = memory_array(w->core.stream_count + 1, sizeof(*views));
	struct core_ages *ages = memory_array(w->core.stream_count + 1, sizeof(*ages));

	core_views(&w->core, views);
	core_ages(&w->core, loop_now_ms(w->loop), clock_aws_ms(w->settings.clock), ages);
	for (uint32_t i = 0; i < w->stream_count; i++) {
		if (!w->streams[i])
			continue;
		watch_stream(w, w->streams[i], &views[i], &ages[i]);
		worker_forget_shards(w, w->streams[i]);
	}
	free(views);
	free(ages);
}

/* Those that are read to their end, or have left, are not on the page; data files of exports
 * neither.
 */
static void watch_shards(struct worker *w)
{
	int64_t now_ms = loop_now_ms(w->loop), epoch_ms = clock_aws_ms(w->settings.clock);
	struct buf lines = { 0 };

	for (uint32_t i = 0; i < w->core.lane_count; i++) {
		const struct core_lane *l = &w->core.lanes[i];
		struct core_ages ages;

		if (l->stream == CORE_NONE || !w->streams[l->stream] || l->state == LANE_ENDED ||
		    l->state == LANE_RELEASED)
			continue;
		core_lane_ages(&w->core, i, now_ms, epoch_ms, &ages);
		metric_line(METRIC_SHARD_LAG, w->streams[l->stream]->config->name,
			    w->lanes[i]->shard, ages.undelivered_ms, &lines);
	}
	metrics_replace(w->settings.metrics, METRIC_SHARD_LAG, &lines);
}

/* Nothing of it is read: its first record may be as old as it is itself. */
static void watch_waiting(struct worker *w, const struct worker_table *t)
{
	struct metrics *m = w->settings.metrics;
	int64_t created_ms = resolve_created_ms(t->next_arn);
	int64_t age_ms = created_ms < 0 ? 0 : clock_aws_ms(w->settings.clock) - created_ms;

	metric_set(metrics_cell(m, METRIC_LAG, t->config.name, NULL), age_ms);
	metric_set(metrics_cell(m, METRIC_TIME_TO_LOSS, t->config.name, NULL),
		   loss_left_ms(age_ms));
}

/* A roll of its own accord may stay open for long: it waits once it shall become visible, or where
 * the sink says that it has trouble. */
static bool roll_waits(const struct core_sink *c, bool troubled)
{
	return c->finished < c->saved || (troubled && c->taken_roll > c->finished);
}

/* What cannot leave for another worker while its sink is silent: the session ends (hazards, A13).
 * Not where nobody else is there to take it; and what the lease holds back is not the sink's. */
static void watch_stall(struct worker *w, uint32_t i, bool troubled)
{
	struct worker_sink *k = &w->sinks[i];
	struct worker_standby *standby = w->settings.standby;
	int64_t now_ms = loop_now_ms(w->loop);
	bool held = now_ms >= atomic_load_explicit(&w->emit_until_ms, memory_order_relaxed);
	bool waits = atomic_load(&k->load.waiting) > 0 || roll_waits(&w->core.sinks[i], troubled);
	uint64_t answers = atomic_load(&k->load.answers);
	int64_t silent_ms = stall_note(&k->stall, waits && !held, answers, now_ms);
	struct error err = { 0 };

	if (w->stall_max_ms == 0 || silent_ms < w->stall_max_ms || w->others == 0 ||
	    w->core.stopping || w->end != WORKER_STOPPED)
		return;
	standby->in_vain = answers == 0 && standby->sink == i ? standby->in_vain + 1 : 1;
	standby->sink = i;
	error_set(&err, ERROR_RETRY, "sink %s: no answer for %lld s", k->config->name,
		  (long long)silent_ms / 1000);
	worker_end_with(w, WORKER_STALLED, &err);
}

static void watch_sink(struct worker *w, uint32_t i)
{
	const struct worker_sink *k = &w->sinks[i];
	char part[160], trouble[400];
	const char *said = k->ops->trouble(k->sink, trouble, sizeof(trouble));

	snprintf(part, sizeof(part), "sink %s", k->config->name);
	health_set(w->settings.health, part, said);
	watch_stall(w, i, said != NULL);
}

void worker_watch(void *arg)
{
	struct worker *w = arg;

	watch_streams(w);
	if (w->settings.config->http.shard_metrics)
		watch_shards(w);
	for (const struct worker_table *t = w->tables; t; t = t->next)
		if (t->waits && t->over)
			watch_waiting(w, t);
	for (uint32_t i = 0; i < w->sink_count; i++)
		watch_sink(w, i);
	worker_watch_loads(w);
	note_pulse(w);
	metric_set(w->inflight, w->core.charged);
	metric_set(w->credit_waits, (int64_t)w->core.credit_waits);
	worker_hold_look(w);
	worker_drop_rest(w);
	worker_reap_streams(w);
	loop_timer_arm(w->tick, WATCH_EVERY_MS);
}

void worker_watch_end(struct worker *w)
{
	for (uint32_t i = 0; i < w->stream_count; i++) {
		struct worker_stream *s = w->streams[i];

		if (!s || !s->lag)
			continue;
		metric_set(s->lag, 0);
		metric_set(s->time_to_loss, LOSS_RETENTION_MS);
		for (int state = 0; state < LANE_STATES; state++)
			metric_set(s->shards[state], 0);
	}
}

static void add_name(char *names, size_t size, uint32_t *named, const char *shard)
{
	size_t n = strlen(names);

	if (*named < NAMED_MAX)
		snprintf(names + n, size - n, "%s%s", *named ? ", " : "", shard);
	++*named;
}

void worker_name_standing(const struct worker *w, struct error *err)
{
	uint32_t standing = 0, named = 0;
	const char *waits = NULL;
	const struct worker_stream *held = NULL;
	char names[NAMED_MAX * (STREAMS_SHARD_MAX + 2) + 8] = "";

	for (const struct worker_table *t = w->tables; t; t = t->next)
		if (t->waits && t->over)
			waits = t->config.name;
	for (uint32_t i = 0; i < w->core.lane_count; i++)
		if (w->core.lanes[i].state == LANE_STOPPED)
			add_name(names, sizeof(names), &named, w->lanes[i]->shard);
	for (uint32_t i = 0; i < w->stream_count; i++) {
		const struct worker_stream *s = w->streams[i];
		struct core_view view;

		if (!s)
			continue;
		held = s->hold != 0 ? s : held;
		core_view(&w->core, i, &view);
		add_severed(w, s, &view);
		standing += view.standing;
		for (size_t n = 0; tells_of_severed(w, s) && n < s->severed.count; n++)
			if (s->severed.shards[n].orphan && s->severed.shards[n].gap != 0)
				add_name(names, sizeof(names), &named,
					 s->severed.shards[n].shard.id);
	}
	if (waits)
		error_set(err, ERROR_INVALID,
			  "stream %s was turned off and on again: what is new in it waits for "
			  "sluice resume",
			  waits);
	worker_name_failed_files(w, err);
	if (held)
		error_set(err, ERROR_INVALID,
			  "stream %s is held (%s): nothing of it is read, everything else is "
			  "delivered",
			  held->config->name, store_hold_why_name(held->hold_why));
	if (standing == 0)
		return;
	error_set(
		err, ERROR_INVALID,
		"%u of the shards stand still, everything else is delivered: %s (the log says why)",
		standing, names);
}
