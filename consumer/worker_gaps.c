/* Gaps: lanes that stand at one until it is accepted, and shards that AWS does not know any more.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "consumer/worker_internal.h"

/* A shard that AWS does not know is gone where complete listings that are so far apart (AWS time)
 * do not have it, or one where nobody read it for so long that this is a gap anyway. The same holds
 * for a stream. */
#define GONE_SURE_MS   (60LL * 1000)
#define GONE_UNREAD_MS (23LL * 60 * 60 * 1000)
/* While there is a doubt, the stream is listed about so often. */
#define RELIST_MS 5000

/* --- told --- */

/* Counted and logged as an error once, however often and by whomever it is found. */
void worker_tell_gap(struct worker_stream *s, const struct store_gap *g, bool added,
		     const char *reason)
{
	char after[SEQUENCE_TEXT_SIZE], command[STORE_NAME_MAX + 64];
	int length = snprintf(command, sizeof(command), "sluice resume -c FILE --stream %s",
			      s->config->name);
	const struct log_field fields[] = {
		log_text("stream", s->config->name),
		log_text("shard", g->shard),
		log_text("kind", store_gap_kind_name(g->kind)),
		log_text("after", sequence_text(&g->from, after)),
		log_text("error", reason),
		log_str("accept", ((struct str){ command, (size_t)length })),
		{ 0 },
	};

	if (added)
		metric_add(s->lanes.gaps, 1);
	if (g->state == STORE_GAP_OPEN && s->lanes.gap == GAP_REPAIR) {
		if (added)
			log_error("gap: records were lost before they were read; they are exported "
				  "from the table (gap: repair)",
				  fields[0], fields[1], fields[2], fields[3], fields[4]);
		worker_joining_wanted(s);
	} else if (added && g->state == STORE_GAP_OPEN)
		log_fields(LOG_ERROR,
			   "gap: records were lost before they were read; the shard stands still",
			   fields);
	else if (added)
		log_error("gap: records were lost before they were read; gap: oldest goes on",
			  fields[0], fields[1], fields[2], fields[3], fields[4]);
	else if (g->state == STORE_GAP_OPEN)
		log_fields(LOG_WARN, "a shard stands still at a gap that was found before", fields);
	else
		log_info("reading goes on behind a gap that was accepted", fields[0], fields[1],
			 fields[2], fields[3]);
}

/* --- a lane at a gap --- */

static void decided(struct worker *w, struct lane *l, bool accepted)
{
	struct core_event e = { .type = CORE_GAP,
				.now_ms = loop_now_ms(w->loop),
				.lane = l->index,
				.accepted = accepted };

	if (accepted)
		reader_go_on(w->readers[l->reader], l);
	worker_feed(w, &e);
}

/* On the saver's thread. */
static bool put_gaps(struct saver_task *task, struct store *store, struct error *err)
{
	struct worker_gaps *g = (struct worker_gaps *)task;
	bool accept = g->stream->lanes.gap == GAP_OLDEST;

	for (; g->put < g->count; g->put++)
		if (!store_gap_put(store, g->session, &g->gaps[g->put].row, accept,
				   &g->gaps[g->put].added, err))
			return false;
	return true;
}

static void lane_recorded(struct worker *w, const struct worker_gaps *g)
{
	struct lane *l = g->lane;

	if (g->put == 0)
		return;
	l->gap->row = g->gaps[0].row;
	worker_tell_gap(g->stream, &l->gap->row, g->gaps[0].added, l->gap->reason);
	decided(w, l, l->gap->row.state != STORE_GAP_OPEN);
}

static void recorded(struct worker *w, struct worker_task *task)
{
	struct worker_gaps *g = (struct worker_gaps *)task;
	const struct error *err = &task->saver.error;

	if (!task->saver.ok && err->kind != ERROR_CANCELLED && err->kind != ERROR_FENCED)
		worker_end_with(w, WORKER_FAILED, err);
	if (g->lane)
		lane_recorded(w, g);
	else
		worker_orphans_recorded(w, g);
	g->stream->adding--;
	worker_report_settled(w, g->stream);
}

struct worker_gaps *worker_gaps_new(struct worker *w, struct worker_stream *s, size_t count)
{
	struct worker_gaps *g = memory_new(sizeof(*g) + count * sizeof(g->gaps[0]));

	g->task = (struct worker_task){ .saver.work = put_gaps, .done = recorded };
	g->stream = s;
	g->session = w->session;
	g->count = count;
	return g;
}

void worker_put_gaps(struct worker *w, struct worker_gaps *gaps)
{
	gaps->stream->adding++;
	saver_work(w->saver, &gaps->task.saver);
}

void worker_at_gap(struct worker *w, struct lane *l)
{
	struct worker_gaps *g = worker_gaps_new(w, w->streams[l->stream->index], 1);

	g->lane = l;
	g->gaps[0].row = l->gap->row;
	worker_put_gaps(w, g);
}

static bool stands_at(const struct worker *w, uint32_t index, const struct store_gap *g)
{
	/* Only then the lane's gap is ours to look at. */
	return w->lanes[index] && w->core.lanes[index].at_gap &&
	       w->lanes[index]->gap->row.id == g->id;
}

static struct worker_stream *stream_of(const struct worker *w, int64_t id)
{
	for (uint32_t i = 0; i < w->stream_count; i++)
		if (w->streams[i] && w->streams[i]->stored.id == id)
			return w->streams[i];
	return NULL;
}

static void shard_accepted(struct worker *w, struct worker_stream *s, const struct store_gap *g)
{
	uint32_t shard = lineage_find(&s->lineage, g->shard);

	if (shard == LINEAGE_NONE || s->core_lanes[shard] >= LANE_OVER ||
	    !stands_at(w, s->core_lanes[shard], g))
		return;
	log_info("a gap was accepted: reading goes on behind it",
		 log_text("stream", s->config->name), log_text("shard", g->shard));
	decided(w, w->lanes[s->core_lanes[shard]], true);
}

void worker_gap_accepted(struct worker *w, const struct store_gap *g)
{
	struct worker_stream *s = stream_of(w, g->stream);

	if (!s || s->removing)
		return;
	worker_orphan_accepted(s, g);
	if (*g->shard)
		shard_accepted(w, s, g);
	for (uint32_t i = 0; !*g->shard && i < w->core.lane_count; i++)
		if (stands_at(w, i, g))
			decided(w, w->lanes[i], true);
}

struct worker_closing {
	struct worker_task task; /* first */
	size_t count, closed;
	struct store_gap gaps[];
};

/* One that is refused does not keep the others open. */
static bool close_gaps(struct saver_task *task, struct store *store, struct error *err)
{
	struct worker_closing *c = (struct worker_closing *)task;
	bool ok = true;

	for (; c->closed < c->count; c->closed++) {
		const struct store_gap *g = &c->gaps[c->closed];

		if (store_gap_close(store, g->id, STORE_GAP_NOHOW, &g->to, g->to_ms, g->closed_ms,
				    err))
			continue;
		if (error_passes(err->kind))
			return false;
		ok = false;
	}
	return ok;
}

/* One that stays accepted where it should be closed does no harm: the lane's position has passed
 * it. */
static void closed(struct worker *w, struct worker_task *task)
{
	(void)w;
	if (!task->saver.ok)
		log_debug("a gap could not be closed in the store",
			  log_text("error", task->saver.error.message));
}

static struct worker_closing *closing_new(size_t max)
{
	struct worker_closing *c = memory_new(sizeof(*c) + max * sizeof(c->gaps[0]));

	c->task = (struct worker_task){ .saver.work = close_gaps, .done = closed };
	return c;
}

static void closing_add(const struct worker *w, struct worker_closing *c, int64_t gap,
			const struct sequence *to, int64_t to_ms)
{
	c->gaps[c->count++] = (struct store_gap){ .id = gap,
						  .to = *to,
						  .to_ms = to_ms > 0 ? to_ms : 0,
						  .closed_ms = clock_aws_ms(w->settings.clock) };
}

void worker_gap_over(void *arg, int64_t gap, const struct sequence *to, int64_t to_ms)
{
	struct worker *w = arg;
	struct worker_closing *c = closing_new(1);

	closing_add(w, c, gap, to, to_ms);
	saver_work(w->saver, &c->task.saver);
}

void worker_over_add(struct worker_over *o, int64_t gap, const struct sequence *to, int64_t to_ms)
{
	if (o->closing && o->closing->count == WORKER_GAPS_AT_ONCE)
		worker_over_send(o);
	if (!o->closing)
		o->closing = closing_new(WORKER_GAPS_AT_ONCE);
	closing_add(o->worker, o->closing, gap, to, to_ms);
}

void worker_over_send(struct worker_over *o)
{
	if (o->closing)
		saver_work(o->worker->saver, &o->closing->task.saver);
	o->closing = NULL;
}

/* --- shards that AWS does not know --- */

void worker_missing(struct worker *w, struct lane *l)
{
	struct worker_stream *s = w->streams[l->stream->index];
	int64_t now_ms = loop_now_ms(w->loop), due_ms = s->relisted_ms + RELIST_MS;

	if (l->missing)
		return;
	l->missing = true;
	l->absent_ms = 0;
	s->relisted_ms = due_ms > now_ms ? due_ms : now_ms;
	discover_list_in(w->discover, s->lanes.index, s->relisted_ms - now_ms);
}

void worker_not_missing(struct lane *l)
{
	l->missing = false;
	l->read_before_ms = 0;
}

static int by_text(const void *a, const void *b)
{
	const char *const *x = a, *const *y = b;

	return strcmp(*x, *y);
}

/* The reader has to hear the same from AWS once more. */
static void unlisted(struct worker *w, struct lane *l, bool stream_gone)
{
	l->missing = false;
	reader_unlisted(w->readers[l->reader], l, stream_gone);
}

static bool unread_for_long(const struct worker *w, const struct lane *l)
{
	return l->read_before_ms > 0 &&
	       clock_aws_ms(w->settings.clock) - l->read_before_ms > GONE_UNREAD_MS;
}

static void not_listed(struct worker *w, struct lane *l)
{
	int64_t now_ms = clock_aws_ms(w->settings.clock);

	if (l->absent_ms == 0)
		l->absent_ms = now_ms;
	if (unread_for_long(w, l) || now_ms - l->absent_ms >= GONE_SURE_MS)
		unlisted(w, l, false);
	else
		discover_list_in(w->discover, l->stream->index, RELIST_MS);
}

void worker_look_for_missing(struct worker *w, struct worker_stream *s,
			     const struct discover_listing *listing)
{
	const char **ids = NULL;

	s->gone_ms = 0;
	s->gone = false;
	for (uint32_t i = 0; i < w->core.lane_count; i++) {
		struct lane *l = w->lanes[i];
		const char *shard;

		if (!l || !l->missing || l->stream != &s->lanes)
			continue;
		if (!ids) {
			ids = memory_array(listing->count + 1, sizeof(*ids));
			for (size_t n = 0; n < listing->count; n++)
				ids[n] = listing->shards[n].id;
			qsort(ids, listing->count, sizeof(*ids), by_text);
		}
		shard = l->shard;
		if (bsearch(&shard, ids, listing->count, sizeof(*ids), by_text))
			l->missing = false; /* a passing fault */
		else
			not_listed(w, l);
	}
	free(ids);
}

void worker_stream_gone(void *arg, uint32_t stream)
{
	struct worker *w = arg;
	struct worker_stream *s = w->streams[stream];
	int64_t now_ms = clock_aws_ms(w->settings.clock);

	if (s->gone_ms == 0)
		s->gone_ms = now_ms;
	s->gone = now_ms - s->gone_ms >= GONE_SURE_MS;
	if (!s->gone)
		discover_list_in(w->discover, stream, RELIST_MS);
	for (uint32_t i = 0; i < w->core.lane_count; i++) {
		struct lane *l = w->lanes[i];

		if (l && l->missing && l->stream == &s->lanes && (s->gone || unread_for_long(w, l)))
			unlisted(w, l, s->gone);
	}
}
