/* From AWS to the sinks: what reader.c, lane.c and hand.c do with pages. */
#include "process.h"

#define RECORD_BYTES 1000
#define PAGE_MAX     6
#define HOLD_MS      200

static const struct shard *shard_of(const struct world *w, const struct sim_lane *l)
{
	return &w->shards[l->shard];
}

/* --- fetching --- */

static void fetch_failed(struct world *w, struct process *p, uint32_t lane, enum error_kind kind)
{
	process_feed(
		w, p,
		(struct core_event){ .type = CORE_FETCH_FAILED, .lane = lane, .failure = kind });
}

/* Records are lost, and nobody may overlook it: the lane stands still until that is accepted. */
static void stand_at_gap(struct world *w, struct process *p, uint32_t lane)
{
	struct sim_lane *l = &p->lanes[lane];
	struct shard *s = &w->shards[l->shard];
	bool gone = world_gone(w, s);

	count_fault(w, gone ? FAULT_GONE : FAULT_TRIMMED);
	s->gap = true;
	l->has_iterator = false;
	world_tell(w, l->shard, gone ? s->count : world_first_kept(w, s));
	fetch_failed(w, p, lane, ERROR_TRIMMED);
	process_pend(w, p, (struct event){ .type = EVENT_GAP, .lane = lane }, soon(w, 80));
	s->gap_stops = s->gap_stops || !w->gap_oldest;
}

/* It is recorded; and with `gap: oldest` accepted at once. */
void process_gap_recorded(struct world *w, struct process *p, uint32_t lane)
{
	struct sim_lane *l = &p->lanes[lane];

	l->left = false;
	if (w->gap_oldest)
		l->gap_accepted = l->from_horizon = true;
	process_feed(
		w, p,
		(struct core_event){ .type = CORE_GAP, .lane = lane, .accepted = w->gap_oldest });
}

/* A sink that was added takes what is left, and misses nothing that is before it. */
static void take_left(struct world *w, const struct process *p, const struct sim_lane *l, int count)
{
	for (uint32_t sink = 0; sink < p->sink_count; sink++)
		if (w->sinks[p->sinks[sink]].added_ms > 0 && l->have[sink] == 0)
			world_exempt(w, p->sinks[sink], l->shard, count);
}

/* False: the place is trimmed. It gives an error, as is documented; or, where AWS is kind, the
 * oldest record, once nobody has read the shard for longer than AWS keeps anything. Who reads at
 * the very edge of that has nothing but the error to tell him. */
static bool ask_iterator(struct world *w, const struct process *p, struct sim_lane *l)
{
	int kept = world_first_kept(w, shard_of(w, l));
	bool from_oldest = l->from_horizon || l->left || (l->root && l->next == 0);
	bool after = l->next > 0;
	bool quiet = w->quiet_trims && w->now_ms - shard_of(w, l)->read_ms > RETENTION_MS;

	l->iterator = l->next;
	if (from_oldest) {
		/* What a root had lost before its first page is not missed: reading begins there.
		 * What went since a gap was recorded is before the record at which it is closed. */
		if (l->left)
			take_left(w, p, l, kept);
		else if (l->from_horizon || shard_of(w, l)->first)
			world_tell(w, l->shard, kept);
		l->iterator = kept;
	} else if (kept > 0 && (after ? l->next - 1 : 0) < kept) {
		if (!after || !quiet)
			return false;
		l->iterator = kept > l->next ? kept : l->next;
	}
	l->has_iterator = true;
	l->from_horizon = false;
	return true;
}

/* False: there is no place to read from now; the core was told. */
static bool find_place(struct world *w, struct process *p, uint32_t lane)
{
	struct sim_lane *l = &p->lanes[lane];
	bool gone = world_gone(w, shard_of(w, l));
	bool unread = !l->gap_accepted && l->read_at_ms != 0 &&
		      process_aws_now(w, p) - l->read_at_ms > UNREAD_MAX;

	if (gone && l->gap_accepted && (!l->left || l->may_be_gone)) {
		/* Nothing is left of it: its children go on. */
		if (l->left)
			take_left(w, p, l, shard_of(w, l)->count);
		process_feed(
			w, p,
			(struct core_event){ .type = CORE_PAGE, .lane = lane, .closed = true });
		return false;
	}
	if (gone || unread) {
		stand_at_gap(w, p, lane);
		return false;
	}
	if (l->has_iterator || ask_iterator(w, p, l))
		return true;
	stand_at_gap(w, p, lane);
	return false;
}

static void hand_over(struct world *w, struct process *p, uint32_t lane, uint32_t sink);

static void page_read(struct world *w, struct process *p, uint32_t lane)
{
	struct sim_lane *l = &p->lanes[lane];
	const struct shard *s = shard_of(w, l);
	int left = world_available(w, s) - l->iterator;
	struct core_event page = { .type = CORE_PAGE, .lane = lane };
	bool records = left > 0 && !noise(w, FAULT_EMPTY_PAGE);

	if (records) {
		int take = 1 + (int)roll(w, PAGE_MAX);

		if (take > left)
			take = left;
		l->pages[l->pages_read++ % CORE_PAGES] =
			(struct page){ .from = l->iterator, .to = l->iterator + take };
		l->next = l->iterator += take;
		page.records = (size_t)take;
		page.bytes = (size_t)take * RECORD_BYTES;
		page.end = s->sequence[l->next - 1];
		page.end_ms = world_record_ms(s, l->next - 1);
	}
	l->read_at_ms = process_aws_now(w, p);
	w->shards[l->shard].read_ms = w->now_ms;
	l->gap_accepted = l->left = false;
	page.closed = world_closed(w, s) && l->iterator == s->count;
	process_feed(w, p, page);
	for (uint32_t sink = 0; records && sink < p->sink_count; sink++)
		hand_over(w, p, lane, sink);
}

void process_fetch(struct world *w, struct process *p, const struct event *e)
{
	struct sim_lane *l = &p->lanes[e->lane];

	assert(l->used);
	/* One that is not dead reads only what it has. */
	assert(!database_live(w->database, p->session) ||
	       database_owner(w, l->shard) == p->session);
	if (noise(w, FAULT_THROTTLED)) {
		fetch_failed(w, p, e->lane, ERROR_THROTTLED);
		return;
	}
	if (noise(w, FAULT_FETCH_FAILED)) {
		l->has_iterator = false;
		fetch_failed(w, p, e->lane, ERROR_RETRY);
		return;
	}
	if (l->has_iterator && noise(w, FAULT_EXPIRED))
		l->has_iterator = false; /* renewed in place */
	if (find_place(w, p, e->lane))
		page_read(w, p, e->lane);
}

/* --- handing over --- */

static bool wants(const struct world *w, const struct process *p, const struct sim_lane *l,
		  uint32_t sink, int index)
{
	return index >= l->have[sink] && !w->sinks[p->sinks[sink]].filtered[l->shard][index] &&
	       world_record_ms(shard_of(w, l), index) >= p->start_ms;
}

static bool poisoned(const struct world *w, const struct process *p, const struct sim_lane *l,
		     uint32_t sink, int index)
{
	const struct sink_world *k = &w->sinks[p->sinks[sink]];

	return (!k->rolls || k->transactions) && shard_of(w, l)->poison[index];
}

static void answer_core(struct world *w, struct process *p, uint32_t lane, uint32_t sink,
			uint64_t number)
{
	process_feed(w, p,
		     (struct core_event){
			     .type = CORE_ANSWER, .lane = lane, .sink = sink, .roll = number });
}

/* A roll takes at once; what was taken is answered in its own time. */
static void take_into_roll(struct world *w, struct process *p, const struct sim_lane *l,
			   uint32_t sink, int from, int to, struct event *answer)
{
	struct open_roll *o = &p->open[sink];
	bool transaction = w->sinks[p->sinks[sink]].transactions;

	for (int i = from; i < to; i++) {
		if (!wants(w, p, l, sink, i))
			continue;
		assert(o->count < ROLL_MAX);
		o->refs[o->count++] = (struct ref){ (uint8_t)l->shard, (uint8_t)i };
	}
	if (o->deliveries++ == 0 && (transaction || !w->rolls_when_asked))
		process_pend(w, p,
			     (struct event){ .type = EVENT_ROLL, .sink = sink, .roll = o->number },
			     soon(w, transaction ? w->sink_ms : 4 * w->save_ms));
	answer->roll = o->number;
	if (!transaction)
		process_pend(w, p, *answer, soon(w, w->sink_ms));
}

/* All that can get in of the page is in one transaction, and answered when that is closed. */
static void take_into_transaction(struct world *w, struct process *p, uint32_t lane, uint32_t sink,
				  int bad, const struct page *page)
{
	struct sim_lane *l = &p->lanes[lane];
	struct handover *h = &l->handovers[sink];
	int first = page->from + (int)h->first;
	struct event e = { .type = EVENT_ANSWER, .lane = lane, .sink = sink };
	bool any = false;

	for (int i = first; i < bad; i++)
		any = any || wants(w, p, l, sink, i);
	e.first = bad < page->to ? (size_t)(bad - page->from) : h->first;
	e.outcome = bad < page->to ? OUTCOME_REFUSED : OUTCOME_TAKEN;
	if (!any) {
		process_pend(w, p, e, soon(w, w->sink_ms));
		return;
	}
	take_into_roll(w, p, l, sink, first, bad, &e);
	l->taken[sink] = true;
	l->answers[sink] = e;
}

void process_transaction(struct world *w, struct process *p, uint32_t sink, bool aborted)
{
	for (uint32_t lane = 0; lane < p->core.lane_count; lane++) {
		struct sim_lane *l = &p->lanes[lane];
		struct event e = l->answers[sink];

		if (!l->used || !l->taken[sink])
			continue;
		l->taken[sink] = false;
		if (aborted) {
			e.outcome = OUTCOME_FAILED;
			e.first = l->handovers[sink].first;
			e.roll = 0;
		}
		process_pend(w, p, e, soon(w, w->sink_ms));
	}
}

/* It lands until half a lease from now, whatever becomes of the process; the answer comes later. */
static void send(struct world *w, struct process *p, const struct sim_lane *l, uint32_t sink,
		 int from, int to, struct event *answer)
{
	bool apart = w->now_ms < w->worker[p->worker].cut_until_ms;
	int64_t ms = soon(w, w->sink_ms);

	/* Where the network is ill, it is so in more than one place. */
	if (noise(w, FAULT_SINK_SLOW) || (apart && !one_in(w, 4)))
		ms = w->lease_ms / 2 - soon(w, w->lease_ms / 16);

	if (l->have[sink] > from)
		from = l->have[sink];
	if (from < to)
		process_pend(w, p,
			     (struct event){ .type = EVENT_LAND,
					     .session = p->session,
					     .generation = l->generation,
					     .sink = p->sinks[sink],
					     .shard = l->shard,
					     .from = from,
					     .to = to },
			     ms);
	process_pend(w, p, *answer, ms + soon(w, 20));
}

/* No beat was answered for most of the lease: nothing new may leave. */
static bool held_back(struct world *w, struct process *p, uint32_t lane, uint32_t sink)
{
	struct handover *h = &p->lanes[lane].handovers[sink];

	if (process_now(w, p) < p->emit_until_ms)
		return false;
	handover_sent(h);
	handover_failed(h, h->first);
	process_pend(w, p, (struct event){ .type = EVENT_RETRY, .lane = lane, .sink = sink },
		     HOLD_MS);
	return true;
}

static void deliver(struct world *w, struct process *p, uint32_t lane, uint32_t sink,
		    const struct page *page)
{
	struct sim_lane *l = &p->lanes[lane];
	struct handover *h = &l->handovers[sink];
	int first = page->from + (int)h->first, bad = first;
	struct event e = { .type = EVENT_ANSWER, .lane = lane, .sink = sink, .first = h->first };

	while (bad < page->to && !(wants(w, p, l, sink, bad) && poisoned(w, p, l, sink, bad)))
		bad++;
	if (w->sinks[p->sinks[sink]].transactions) {
		l->parked[sink] = p->rolls[sink].unfinished;
		if (!l->parked[sink])
			take_into_transaction(w, p, lane, sink, bad, page);
		return;
	}
	if (w->sinks[p->sinks[sink]].rolls) {
		take_into_roll(w, p, l, sink, first, page->to, &e);
		return;
	}
	if (noise(w, FAULT_SINK_FAILED)) {
		e.outcome = OUTCOME_FAILED;
		e.first += roll(w, (uint64_t)(bad - first) + 1);
		if (e.first == (size_t)(page->to - page->from))
			e.first--;
		bad = page->from + (int)e.first;
	} else if (bad < page->to) {
		e.outcome = OUTCOME_REFUSED;
		e.first = (size_t)(bad - page->from);
		count_fault(w, FAULT_SINK_REFUSED);
	}
	send(w, p, l, sink, first, bad, &e);
}

static void hand_over(struct world *w, struct process *p, uint32_t lane, uint32_t sink)
{
	struct sim_lane *l = &p->lanes[lane];
	struct handover *h = &l->handovers[sink];

	while (l->used && p->phase != PHASE_END && handover_ready(h, l->pages_read)) {
		const struct page *page = &l->pages[h->page % CORE_PAGES];
		bool any = false;

		for (int i = page->from + (int)h->first; i < page->to; i++)
			any = any || wants(w, p, l, sink, i);
		if (any) {
			if (held_back(w, p, lane, sink))
				return;
			handover_sent(h);
			assert(database_owner(w, l->shard) == p->session);
			deliver(w, p, lane, sink, page);
			return;
		}
		handover_sent(h);
		handover_taken(h);
		answer_core(w, p, lane, sink, 0);
	}
}

void process_unpark(struct world *w, struct process *p, uint32_t sink)
{
	for (uint32_t lane = 0; lane < p->core.lane_count; lane++) {
		struct sim_lane *l = &p->lanes[lane];

		if (l->used && l->parked[sink])
			deliver(w, p, lane, sink, &l->pages[l->handovers[sink].page % CORE_PAGES]);
	}
}

/* What was in before the answer's record is in its roll. */
static void tell_part(struct world *w, struct process *p, const struct event *e)
{
	struct sim_lane *l = &p->lanes[e->lane];
	const struct page *page = &l->pages[l->handovers[e->sink].page % CORE_PAGES];
	int last = page->from + (int)e->first - 1;

	if (e->roll)
		process_feed(w, p,
			     (struct core_event){ .type = CORE_PART,
						  .lane = e->lane,
						  .sink = e->sink,
						  .end = shard_of(w, l)->sequence[last],
						  .end_ms = world_record_ms(shard_of(w, l), last),
						  .roll = e->roll });
}

static void stand(struct world *w, struct process *p, uint32_t lane, uint32_t sink)
{
	struct sim_lane *l = &p->lanes[lane];
	struct handover *h = &l->handovers[sink];
	const struct page *page = &l->pages[h->page % CORE_PAGES];
	struct core_event e = { .type = CORE_STAND, .lane = lane, .sink = sink };

	if (h->first > 0) {
		e.end = shard_of(w, l)->sequence[page->from + (int)h->first - 1];
		e.end_ms = world_record_ms(shard_of(w, l), page->from + (int)h->first - 1);
	}
	handover_stop(h);
	process_feed(w, p, e);
}

void process_answer(struct world *w, struct process *p, const struct event *e)
{
	struct sim_lane *l = &p->lanes[e->lane];
	struct handover *h = &l->handovers[e->sink];
	struct job *j;

	assert(l->used);
	switch (e->outcome) {
	case OUTCOME_TAKEN:
		handover_taken(h);
		answer_core(w, p, e->lane, e->sink, e->roll);
		hand_over(w, p, e->lane, e->sink);
		break;
	case OUTCOME_FAILED:
		handover_failed(h, e->first);
		process_pend(
			w, p,
			(struct event){ .type = EVENT_RETRY, .lane = e->lane, .sink = e->sink },
			soon(w, 400));
		break;
	case OUTCOME_REFUSED:
		tell_part(w, p, e);
		handover_refused(h, e->first);
		if (w->stop_on_error) {
			stand(w, p, e->lane, e->sink);
			break;
		}
		j = saver_job(p, JOB_LETTER);
		j->lane = e->lane;
		j->sink = e->sink;
		saver_run(w, p);
		break;
	}
}

void process_again(struct world *w, struct process *p, const struct event *e)
{
	handover_again(&p->lanes[e->lane].handovers[e->sink]);
	hand_over(w, p, e->lane, e->sink);
}

void process_lettered(struct world *w, struct process *p, uint32_t lane, uint32_t sink)
{
	handover_lettered(&p->lanes[lane].handovers[sink]);
	hand_over(w, p, lane, sink);
}
