#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "world.h"

#define RECORD_BYTES 1000
#define PAGE_MAX     6
#define ACTIONS      64

void pend(struct world *w, struct pending p, int64_t delay_ms)
{
	assert(w->pending_count < EVENTS_MAX);
	p.at_ms = w->now_ms + delay_ms;
	p.session = w->sessions;
	w->pending[w->pending_count++] = p;
}

int64_t soon(struct world *w, int64_t most_ms)
{
	return 1 + (int64_t)world_roll(w, (uint64_t)most_ms);
}

/* --- fetching --- */

static void on_fetch(struct world *w, const struct pending *e)
{
	struct sim_lane *l = &w->process->lanes[e->lane];
	const struct shard *s = &w->shards[l->shard];
	int available = world_available(w, s), left = available - l->next;
	struct core_event page = { .type = CORE_PAGE, .lane = e->lane };

	if (world_roll(w, 12) == 0) {
		process_feed(w,
			     (struct core_event){ .type = CORE_FETCH_FAILED,
						  .lane = e->lane,
						  .failure = world_roll(w, 2) ? ERROR_RETRY
									      : ERROR_THROTTLED });
		return;
	}
	if (left > 0 && world_roll(w, 5) != 0) { /* else an empty page in the middle of data */
		int take = 1 + (int)world_roll(w, PAGE_MAX);

		if (take > left)
			take = left;
		l->pages[l->pages_read++ % CORE_PAGES] =
			(struct page){ .from = l->next, .to = l->next + take };
		l->next += take;
		page.records = (size_t)take;
		page.bytes = (size_t)take * RECORD_BYTES;
		page.end = world_sequence(s, l->next - 1);
		page.end_ms = w->now_ms;
	}
	page.closed = world_closed(w, s) && l->next == s->count;
	process_feed(w, page);
}

/* --- handing over --- */

static bool wants(const struct world *w, const struct sim_lane *l, uint32_t sink, int index)
{
	struct sequence q = world_sequence(&w->shards[l->shard], index);

	return sequence_compare(&q, &l->have[sink]) > 0 &&
	       !w->sinks[sink].lettered[l->shard][index];
}

static bool poisoned(const struct world *w, const struct sim_lane *l, uint32_t sink, int index)
{
	return !w->sinks[sink].rolls && w->shards[l->shard].poison[index];
}

static void answer_core(struct world *w, uint32_t lane, uint32_t sink, uint64_t roll)
{
	process_feed(w, (struct core_event){
				.type = CORE_ANSWER, .lane = lane, .sink = sink, .roll = roll });
}

/* A roll takes at once; what was taken is answered in its own time. */
static uint64_t take_into_roll(struct world *w, const struct sim_lane *l, uint32_t sink,
			       const struct page *page, size_t first)
{
	struct open_roll *o = &w->process->open[sink];

	for (int i = page->from + (int)first; i < page->to; i++) {
		if (!wants(w, l, sink, i))
			continue;
		assert(o->count < ROLL_MAX);
		o->refs[o->count++] = (struct ref){ (uint8_t)l->shard, (uint8_t)i };
	}
	if (o->deliveries++ == 0 && !w->rolls_when_asked)
		pend(w, (struct pending){ .type = PENDING_ROLL, .sink = sink, .roll = o->number },
		     soon(w, 400));
	return o->number;
}

static void hand_over(struct world *w, uint32_t lane, uint32_t sink)
{
	struct process *p = w->process;
	struct sim_lane *l = &p->lanes[lane];
	struct handover *h = &l->handovers[sink];

	while (handover_ready(h, l->pages_read)) {
		const struct page *page = &l->pages[h->page % CORE_PAGES];
		struct pending e = { .type = PENDING_ANSWER, .lane = lane, .sink = sink };
		int first = page->from + (int)h->first, bad = first;
		bool any = false;

		for (int i = first; i < page->to; i++)
			any = any || wants(w, l, sink, i);
		handover_sent(h);
		if (!any) {
			handover_taken(h);
			answer_core(w, lane, sink, 0);
			continue;
		}
		while (bad < page->to && !(wants(w, l, sink, bad) && poisoned(w, l, sink, bad)))
			bad++;
		e.first = h->first;
		if (w->sinks[sink].rolls) {
			e.roll = take_into_roll(w, l, sink, page, h->first);
		} else if (world_roll(w, 6) == 0) {
			e.outcome = OUTCOME_FAILED;
			e.first = h->first + world_roll(w, (uint64_t)(bad - first) + 1);
			if (e.first == (size_t)(page->to - page->from))
				e.first--;
		} else if (bad < page->to) {
			e.outcome = OUTCOME_REFUSED;
			e.first = (size_t)(bad - page->from);
		}
		pend(w, e, soon(w, 120));
		return;
	}
}

/* Where the records of a delivery really arrive: before its answer. */
static void arrive(struct world *w, const struct sim_lane *l, uint32_t sink,
		   const struct page *page, size_t from, size_t to)
{
	assert(w->store.rows[l->row].owner == w->sessions);
	for (int i = page->from + (int)from; i < page->from + (int)to; i++)
		if (wants(w, l, sink, i))
			world_append(w, sink, (struct ref){ (uint8_t)l->shard, (uint8_t)i });
}

static void stand(struct world *w, uint32_t lane, uint32_t sink)
{
	struct sim_lane *l = &w->process->lanes[lane];
	struct handover *h = &l->handovers[sink];
	const struct page *page = &l->pages[h->page % CORE_PAGES];
	struct core_event e = { .type = CORE_STAND, .lane = lane, .sink = sink };

	if (h->first > 0)
		e.end = world_sequence(&w->shards[l->shard], page->from + (int)h->first - 1);
	handover_stop(h);
	process_feed(w, e);
}

static void on_answer(struct world *w, const struct pending *e)
{
	struct sim_lane *l = &w->process->lanes[e->lane];
	struct handover *h = &l->handovers[e->sink];
	struct page page = l->pages[h->page % CORE_PAGES];
	size_t size = (size_t)(page.to - page.from);
	struct pending again = *e;

	switch (e->outcome) {
	case OUTCOME_TAKEN:
		if (!w->sinks[e->sink].rolls)
			arrive(w, l, e->sink, &page, h->first, size);
		handover_taken(h);
		answer_core(w, e->lane, e->sink, e->roll);
		hand_over(w, e->lane, e->sink);
		break;
	case OUTCOME_FAILED:
		arrive(w, l, e->sink, &page, h->first, e->first);
		handover_failed(h, e->first);
		again.type = PENDING_RETRY;
		pend(w, again, soon(w, 100));
		break;
	case OUTCOME_REFUSED:
		arrive(w, l, e->sink, &page, h->first, e->first);
		handover_refused(h, e->first);
		if (w->stop_on_error) {
			stand(w, e->lane, e->sink);
			break;
		}
		again.type = PENDING_LETTER;
		pend(w, again, soon(w, 100));
		break;
	}
}

static void on_letter(struct world *w, const struct pending *e)
{
	struct sim_lane *l = &w->process->lanes[e->lane];
	struct handover *h = &l->handovers[e->sink];
	const struct page *page = &l->pages[h->page % CORE_PAGES];

	w->sinks[e->sink].lettered[l->shard][page->from + (int)h->first] = true;
	handover_lettered(h);
	hand_over(w, e->lane, e->sink);
}

/* --- rolls --- */

static void prepare(struct world *w, uint32_t sink)
{
	struct process *p = w->process;
	struct open_roll *o = &p->open[sink];

	if (p->unfinished[sink] || o->deliveries == 0)
		return;
	p->unfinished[sink] = true;
	p->prepared[sink] = *o;
	*o = (struct open_roll){ .number = o->number + 1 };
	/* The blob may overtake the answers of what it took. */
	pend(w, (struct pending){ .type = PENDING_PREPARED, .sink = sink }, soon(w, 60));
}

static void show_roll(struct world *w, uint32_t sink)
{
	struct sink_world *k = &w->sinks[sink];

	if (!k->stored)
		return;
	k->stored = false;
	for (size_t i = 0; i < k->stored_count; i++)
		world_append(w, sink, k->stored_refs[i]);
}

static void on_finished(struct world *w, const struct pending *e)
{
	show_roll(w, e->sink);
	w->process->unfinished[e->sink] = false;
	process_feed(
		w, (struct core_event){ .type = CORE_FINISHED, .sink = e->sink, .roll = e->roll });
	prepare(w, e->sink); /* what was asked for meanwhile */
}

/* --- the core --- */

/* A second's worth may have been put by. */
static void count_call(const struct world *w)
{
	struct process *p = w->process;
	int64_t budget = p->core.streams[0].limits.budget;

	p->calls++;
	assert(budget == 0 || p->calls * 1000 <= budget * (w->now_ms - p->booted_ms + 1000));
}

static void act(struct world *w, const struct core_action *a)
{
	struct process *p = w->process;

	switch (a->type) {
	case CORE_FETCH:
		assert(w->store.rows[p->lanes[a->lane].row].owner == w->sessions);
		count_call(w);
		pend(w, (struct pending){ .type = PENDING_FETCH, .lane = a->lane }, soon(w, 80));
		break;
	case CORE_DISCOVER:
		pend(w,
		     (struct pending){
			     .type = PENDING_LIST, .lane = a->lane, .children_of_lane = true },
		     soon(w, 80));
		break;
	case CORE_PREPARE:
		prepare(w, a->sink);
		break;
	case CORE_SAVE:
		p->save = p->core.save;
		memcpy(p->moves, p->core.save.moves, p->save.move_count * sizeof(*p->moves));
		p->save_number++;
		pend(w, (struct pending){ .type = PENDING_SAVE }, soon(w, 120));
		break;
	case CORE_FINISH:
		pend(w,
		     (struct pending){ .type = PENDING_FINISHED, .sink = a->sink, .roll = a->roll },
		     soon(w, 120));
		break;
	case CORE_DRAINED:
		p->drained = true;
		break;
	case CORE_IDLE:
		break;
	case CORE_RELEASED:
		process_released(w, a->lane);
		break;
	case CORE_ENDED:
		if (world_roll(w, 2))
			process_drop(w, a->lane);
		else
			pend(w, (struct pending){ .type = PENDING_DROP, .lane = a->lane },
			     soon(w, 300));
		break;
	}
}

/* Those whose answers the queues need room for. */
static uint32_t lanes_busy(const struct core *c)
{
	uint32_t busy = 0;

	for (uint32_t i = 0; i < c->lane_count; i++)
		busy += c->lanes[i].state == LANE_FETCHING ||
			c->lanes[i].pages_read > c->lanes[i].pages_released;
	return busy;
}

void process_feed(struct world *w, struct core_event e)
{
	struct core *c = &w->process->core;
	struct core_action actions[ACTIONS];
	size_t n;

	e.now_ms = w->now_ms;
	do {
		n = core_step(c, &e, actions, ACTIONS);
		for (size_t i = 0; i < n; i++)
			act(w, &actions[i]);
		e = (struct core_event){ .type = CORE_TICK, .now_ms = w->now_ms };
	} while (n == ACTIONS);
	assert(lanes_busy(c) <= c->settings.lanes_max);
	if (c->charged > w->most_charged)
		w->most_charged = c->charged;
}

static void page_and_hand(struct world *w, const struct pending *e)
{
	struct sim_lane *l = &w->process->lanes[e->lane];
	uint64_t before = l->pages_read;

	on_fetch(w, e);
	for (uint32_t sink = 0; l->pages_read > before && sink < w->sink_count; sink++)
		hand_over(w, e->lane, sink);
}

static void on_save(struct world *w, const struct pending *e)
{
	struct pending reply = *e;

	if (!e->applied) {
		bool ok = world_save(w, e->session, w->process);

		assert(ok); /* nobody else is there who could have moved anything */
		reply.applied = true;
		pend(w, reply, soon(w, 40));
		return;
	}
	process_feed(w, (struct core_event){ .type = CORE_SAVED });
}

void process_happen(struct world *w, const struct pending *e)
{
	struct process *p = w->process;

	if (e->session != w->sessions)
		return; /* of a process that is no more */
	switch (e->type) {
	case PENDING_FETCH:
		page_and_hand(w, e);
		break;
	case PENDING_ANSWER:
		on_answer(w, e);
		break;
	case PENDING_RETRY:
		handover_again(&p->lanes[e->lane].handovers[e->sink]);
		hand_over(w, e->lane, e->sink);
		break;
	case PENDING_LETTER:
		on_letter(w, e);
		break;
	case PENDING_SAVE:
		on_save(w, e);
		break;
	case PENDING_LIST:
		process_listed(w, e);
		if (!e->children_of_lane)
			pend(w, (struct pending){ .type = PENDING_LIST }, 300 + soon(w, 300));
		break;
	case PENDING_RELEASE:
	case PENDING_DROP:
		process_drop(w, e->lane);
		break;
	case PENDING_CLAIM:
		process_claim(w);
		pend(w, (struct pending){ .type = PENDING_CLAIM }, 50 + soon(w, 400));
		break;
	case PENDING_PREPARED:
		process_feed(w,
			     (struct core_event){ .type = CORE_PREPARED,
						  .sink = e->sink,
						  .roll = p->prepared[e->sink].number,
						  .deliveries = p->prepared[e->sink].deliveries });
		break;
	case PENDING_FINISHED:
		on_finished(w, e);
		break;
	case PENDING_ROLL:
		if (p->open[e->sink].number == e->roll)
			prepare(w, e->sink);
		break;
	}
}

void process_stop(struct world *w)
{
	process_feed(w, (struct core_event){ .type = CORE_STOP });
}

void process_tick(struct world *w)
{
	process_feed(w, (struct core_event){ .type = CORE_TICK });
}

/* --- life and death --- */

/* While nobody reads, shards may fall off the stream's end, with all that is before them. */
static void trim_unread(struct world *w)
{
	if (!w->gaps || !w->store.rooted || world_roll(w, 2) == 0)
		return;
	for (int i = 0; i < w->shard_count; i++) {
		bool known = false;

		for (int r = 0; r < w->store.row_count; r++)
			known = known || w->store.rows[r].shard == i;
		if (!known && world_closed(w, &w->shards[i]))
			w->shards[i].trimmed = true;
	}
}

void process_boot(struct world *w)
{
	struct process *p = calloc(1, sizeof(*p));
	struct core_settings settings = { .memory_bytes = w->memory,
					  .save_interval_ms = 50,
					  .fetches_max = 4,
					  .lanes_max = 1 + (uint32_t)world_roll(w, 6),
					  .seed = world_roll(w, 1 << 30) };
	/* A third of the processes are short of calls. */
	struct pacing_limits limits = { .min_ms = 10,
					.max_ms = 200,
					.budget = settings.seed % 3
							  ? 0
							  : 20 + (int64_t)(settings.seed % 100) };
	uint32_t sinks[SINKS_MAX];

	trim_unread(w);
	w->process = p;
	p->booted_ms = w->now_ms;
	w->store.session = ++w->sessions;
	w->store.saves = 0;
	core_init(&p->core, &settings);
	lineage_init(&p->lineage);
	for (uint32_t i = 0; i < w->sink_count; i++) {
		show_roll(w, i); /* burial */
		sinks[i] = core_add_sink(&p->core, w->sinks[i].rolls);
		p->open[i].number = 1;
	}
	core_add_stream(&p->core, &limits, sinks, w->sink_count);
	for (int i = 0; i < w->store.row_count; i++)
		w->store.rows[i].owner = 0;
	process_claim(w);
	pend(w, (struct pending){ .type = PENDING_LIST }, soon(w, 50));
	pend(w, (struct pending){ .type = PENDING_CLAIM }, soon(w, 400));
	process_feed(w, (struct core_event){ .type = CORE_CHILDREN, .lane = CORE_NONE });
}

/* What was on its way may still arrive, or not; nothing of the process is left. */
void process_kill(struct world *w)
{
	struct process *p = w->process;

	for (size_t i = 0; i < w->pending_count; i++) {
		const struct pending *e = &w->pending[i];

		if (e->session != w->sessions || world_roll(w, 2))
			continue;
		if (e->type == PENDING_SAVE && !e->applied)
			world_save(w, e->session, p);
		if (e->type == PENDING_ANSWER && e->outcome == OUTCOME_TAKEN &&
		    !w->sinks[e->sink].rolls) {
			const struct sim_lane *l = &p->lanes[e->lane];
			struct page page = l->pages[l->handovers[e->sink].page % CORE_PAGES];

			arrive(w, l, e->sink, &page, e->first, (size_t)(page.to - page.from));
		}
	}
	core_release(&p->core);
	lineage_release(&p->lineage);
	free(p);
	w->process = NULL;
	w->pending_count = 0;
}

/* Everything that will ever come of the row has come. */
static bool row_done(const struct world *w, int row)
{
	const struct process *p = w->process;
	int shard = w->store.rows[row].shard;

	if (w->store.rows[row].done)
		return true;
	for (uint32_t i = 0; i < SHARDS_MAX; i++) {
		const struct core_lane *l = &p->core.lanes[i];

		if (!p->lanes[i].used || p->lanes[i].row != row)
			continue;
		if (l->leaving)
			return false;
		if (l->state == LANE_STOPPED ||
		    (l->state == LANE_WAITING && world_stands(w, shard)))
			return true;
		if (w->shards[shard].closes_ms != INT64_MAX)
			return l->state == LANE_ENDED; /* its roll may still be open */
		return l->state != LANE_RELEASED && p->lanes[i].next == w->shards[shard].count &&
		       l->pages_read == l->pages_released;
	}
	return false;
}

bool process_done(const struct world *w)
{
	for (int i = 0; i < w->store.row_count; i++)
		if (!row_done(w, i))
			return false;
	for (int i = 0; i < w->shard_count; i++)
		if (!w->shards[i].trimmed && !world_stands(w, i) && world_row(w, i) < 0)
			return false;
	return true;
}

/* After a stop everything that was answered is in the store, every roll is visible. */
void process_check_drained(const struct world *w)
{
	const struct process *p = w->process;

	assert(p->core.charged == 0 && p->core.credit == w->memory);
	for (uint32_t i = 0; i < w->sink_count; i++)
		assert(!w->sinks[i].stored && p->open[i].deliveries == 0);
	for (uint32_t i = 0; i < SHARDS_MAX; i++)
		for (uint32_t sink = 0; p->lanes[i].used && sink < w->sink_count; sink++)
			assert(frontier_clean(&p->core.lanes[i].frontiers[sink]));
}
