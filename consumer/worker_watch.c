/* Once a second: what the metrics and the health rows say about the session. */
#include <stdio.h>

#include "consumer/worker_internal.h"

#define WATCH_EVERY_MS 1000
/* DynamoDB keeps a stream's records for 24 hours. */
#define RETENTION_MS (24 * 60 * 60 * 1000)
#define NAMED_MAX    3
/* Far over what a busy machine makes a healthy loop wait, well under what an operator would. */
#define STUCK_MS 30000

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
	return true;
}

static void watch_stream(struct worker *w, struct worker_stream *s)
{
	struct core_view view;
	int64_t lag_ms = 0;

	core_view(&w->core, s->lanes.index, &view);
	if (view.oldest_event_ms > 0)
		lag_ms = clock_aws_ms(w->settings.clock) - view.oldest_event_ms;
	if (lag_ms < 0)
		lag_ms = 0;
	metric_set(s->lag, lag_ms);
	metric_set(s->time_to_loss, RETENTION_MS - lag_ms);
	for (int state = 0; state < LANE_STATES; state++)
		metric_set(s->shards[state], view.shards[state]);
}

static void watch_sink(struct worker *w, const struct worker_sink *k)
{
	char part[160], trouble[400];
	const char *said = k->ops->trouble(k->sink, trouble, sizeof(trouble));

	snprintf(part, sizeof(part), "sink %s", k->config->name);
	health_set(w->settings.health, part, said);
}

void worker_watch(void *arg)
{
	struct worker *w = arg;

	for (uint32_t i = 0; i < w->stream_count; i++)
		watch_stream(w, &w->streams[i]);
	for (uint32_t i = 0; i < w->sink_count; i++)
		watch_sink(w, &w->sinks[i]);
	note_pulse(w);
	metric_set(w->inflight, w->core.charged);
	metric_set(w->credit_waits, (int64_t)w->core.credit_waits);
	loop_timer_arm(w->tick, WATCH_EVERY_MS);
}

void worker_name_standing(const struct worker *w, struct error *err)
{
	uint32_t standing = 0;
	char names[NAMED_MAX * (STREAMS_SHARD_MAX + 2) + 8] = "";
	size_t n = 0;

	for (uint32_t i = 0; i < w->stream_count; i++) {
		struct core_view view;

		core_view(&w->core, i, &view);
		standing += view.standing;
	}
	if (standing == 0)
		return;
	for (uint32_t i = 0, named = 0; i < w->core.lane_count && named < NAMED_MAX; i++)
		if (w->core.lanes[i].state == LANE_STOPPED) {
			n += (size_t)snprintf(names + n, sizeof(names) - n, "%s%s",
					      named++ ? ", " : "", w->lanes[i]->shard);
		}
	error_set(
		err, ERROR_INVALID,
		"%u of the shards stand still, everything else is delivered: %s (the log says why)",
		standing, names);
}
