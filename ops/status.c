#include "ops/status.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/memory.h"
#include "consumer/loss.h"

/* Of the exports that are over; the newest. */
#define CLOSED_EXPORTS_SHOWN 5
/* Of what was done to a stream; the newest. */
#define AUDIT_SHOWN 5

static void on_stream(void *arg, const char *name, const char *arn, const struct store_stream *s)
{
	struct status *t = arg;
	struct status_stream *row;

	t->streams = memory_resize(t->streams, (t->stream_count + 1) * sizeof(*t->streams));
	row = &t->streams[t->stream_count++];
	*row = (struct status_stream){ .stream = *s };
	snprintf(row->name, sizeof(row->name), "%s", name);
	snprintf(row->arn, sizeof(row->arn), "%s", arn);
}

/* This machine's clock may be behind AWS's, which the store's times are of. */
static void later(struct status *t, int64_t ms)
{
	t->now_ms = ms > t->now_ms ? ms : t->now_ms;
}

static void on_lane(void *arg, const struct store_lane *lane)
{
	struct status *t = arg;
	struct status_stream *row = t->filling;

	row->lanes = memory_room(row->lanes, row->lane_count, sizeof(*row->lanes));
	row->lanes[row->lane_count++] = (struct status_lane){ .lane = *lane, .done = true };
	later(t, lane->read_at_ms);
}

/* They come in the order of their ids. */
static struct status_lane *lane_of(struct status_stream *row, int64_t id)
{
	size_t low = 0, high = row->lane_count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (row->lanes[middle].lane.id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low < row->lane_count && row->lanes[low].lane.id == id ? &row->lanes[low] : NULL;
}

/* A lane is as far as the sink that is furthest behind. */
static void on_position(void *arg, const struct store_position *p)
{
	struct status *t = arg;
	struct status_lane *l = lane_of(t->filling, p->lane);

	if (!l)
		return;
	if (!l->known || sequence_compare(&p->sequence, &l->sequence) < 0) {
		l->sequence = p->sequence;
		l->event_ms = p->event_ms;
	}
	l->known = true;
	l->done = l->done && p->done;
}

static void on_gap(void *arg, const struct store_gap *gap)
{
	struct status *t = arg;
	struct status_stream *row = t->filling;

	row->gaps = memory_room(row->gaps, row->gap_count, sizeof(*row->gaps));
	row->gaps[row->gap_count++] = *gap;
	later(t, gap->found_ms);
}

static void on_audit(void *arg, const struct store_audit *a)
{
	struct status_stream *row = arg;
	struct status_audit *r;

	row->audit = memory_room(row->audit, row->audit_count, sizeof(*row->audit));
	r = &row->audit[row->audit_count++];
	r->audit = *a;
	snprintf(r->who, sizeof(r->who), "%s", a->who);
	snprintf(r->said, sizeof(r->said), "%s", a->said);
}

static void on_retry(void *arg, const struct store_retry_audit *a)
{
	struct status_stream *row = arg;
	struct status_retry *r;

	row->retries = memory_room(row->retries, row->retry_count, sizeof(*row->retries));
	r = &row->retries[row->retry_count++];
	r->audit = *a;
	r->audit.stream = row->name;
	snprintf(r->who, sizeof(r->who), "%s", a->who);
	snprintf(r->said, sizeof(r->said), "%s", a->said);
}

static bool collect_retries(struct status *t, size_t stream, struct error *err)
{
	struct status_stream *row = &t->streams[stream];

	for (size_t i = stream + 1; i < t->stream_count; i++)
		if (strcmp(t->streams[i].name, row->name) == 0)
			return true;
	return store_retry_audit(t->store, row->name, AUDIT_SHOWN, on_retry, row, err);
}

bool status_collect(struct status *t, const struct config *config, struct store *store,
		    struct error *err)
{
	struct clock clock;

	*t = (struct status){ .store = store };
	clock_init(&clock);
	t->now_ms = clock_aws_ms(&clock);
	if (!store_sessions(t->store, t->sessions, STATUS_SESSIONS_MAX, &t->session_count, err) ||
	    !store_streams(t->store, on_stream, t, err) ||
	    !store_letters_count(t->store, &t->letters, err) ||
	    !exports_collect(t->store, config, NULL, CLOSED_EXPORTS_SHOWN, &t->exports, err))
		return false;
	for (size_t i = 0; i < t->stream_count; i++) {
		t->filling = &t->streams[i];
		if (!store_lanes_list(t->store, t->streams[i].stream.id, on_lane, on_position, t,
				      err) ||
		    !store_gaps(t->store, t->streams[i].stream.id, on_gap, t, err) ||
		    !store_audit(t->store, t->streams[i].stream.id, AUDIT_SHOWN, on_audit,
				 &t->streams[i], err) ||
		    !collect_retries(t, i, err))
			return false;
		later(t, t->streams[i].stream.hold.since_ms);
	}
	return true;
}

const char *status_lane_state(const struct status_lane *l)
{
	return !l->known ? "new" : l->done ? "done" : *l->lane.owner ? "open" : "free";
}

/* The oldest place of a lane that is not done; 0: nothing was read yet. */
int64_t status_oldest_ms(const struct status_stream *s)
{
	int64_t oldest = 0;

	for (size_t i = 0; i < s->lane_count; i++)
		if (!s->lanes[i].done && s->lanes[i].event_ms > 0 &&
		    (oldest == 0 || s->lanes[i].event_ms < oldest))
			oldest = s->lanes[i].event_ms;
	return oldest;
}

static void age_of(const struct status_stream *s, const char *shard, int64_t event_ms,
		   int64_t read_at_ms, int64_t now_ms, int64_t *oldest_ms)
{
	int64_t place_ms = loss_place_ms(shard, event_ms, s->stream.start_ms, read_at_ms);

	if (place_ms > 0 && now_ms - place_ms > *oldest_ms)
		*oldest_ms = now_ms - place_ms;
}

/* How long at least until the stream loses something: the store does not know of a shard whether
 * anything came after its last record. What waits for its parent is younger than that one. */
int64_t status_left_ms(const struct status_stream *s, int64_t now_ms)
{
	int64_t oldest_ms = 0;

	for (size_t i = 0; i < s->lane_count; i++) {
		const struct status_lane *l = &s->lanes[i];

		if (!l->lane.done && !l->lane.waits)
			age_of(s, l->lane.shard, l->event_ms, l->lane.read_at_ms, now_ms,
			       &oldest_ms);
	}
	for (size_t i = 0; i < s->gap_count; i++)
		if (s->gaps[i].state == STORE_GAP_OPEN && s->gaps[i].kind == STORE_GAP_ORPHAN)
			age_of(s, s->gaps[i].shard, 0, s->gaps[i].found_ms, now_ms, &oldest_ms);
	return loss_left_ms(oldest_ms);
}

size_t status_owned(const struct status_stream *s)
{
	size_t owned = 0;

	for (size_t i = 0; i < s->lane_count; i++)
		owned += *s->lanes[i].lane.owner != 0;
	return owned;
}

void status_release(struct status *t)
{
	for (size_t i = 0; i < t->stream_count; i++) {
		free(t->streams[i].lanes);
		free(t->streams[i].gaps);
		free(t->streams[i].audit);
		free(t->streams[i].retries);
	}
	free(t->streams);
	exports_release(&t->exports);
}
