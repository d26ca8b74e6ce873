/* Pages to sinks: what handover.c decides is done here. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "consumer/reader_internal.h"

#define RETRY_BASE_MS  100
#define LETTER_WAIT_MS 10000
#define HOLD_WAIT_MS   200
#define LOG_EVERY_MS   10000

static void tell_answer(struct reader *r, const struct lane *l, uint32_t slot, uint64_t roll)
{
	reader_tell_core(r, (struct core_event){ .type = CORE_ANSWER,
						 .lane = l->index,
						 .sink = l->stream->sinks[slot].index,
						 .roll = roll });
}

/* From its first try to the answer that ends it. */
static void note_waiting(struct lane *l, uint32_t slot, bool waits)
{
	struct stall_load *load = l->stream->sinks[slot].load;

	if (((l->waiting >> slot) & 1) == waits)
		return;
	l->waiting ^= 1u << slot;
	atomic_fetch_add_explicit(&load->waiting, waits ? 1 : -1, memory_order_relaxed);
}

/* The records before `first` are in the roll, and the rest of the page will be in another. */
static void tell_part(struct reader *r, const struct lane_delivery *d)
{
	const struct lane *l = d->lane;
	const struct handover *h = &l->slots[d->slot].handover;
	const struct event *e;

	if (!d->roll)
		return;
	assert(d->first > h->first);
	e = &lane_page_at(d->lane, h->page)->batch->events[d->first - 1];
	reader_tell_core(r, (struct core_event){ .type = CORE_PART,
						 .lane = l->index,
						 .sink = l->stream->sinks[d->slot].index,
						 .end = e->sequence,
						 .end_ms = e->time_ms,
						 .roll = d->roll });
}

static void stand(struct reader *r, struct lane *l, uint32_t slot)
{
	struct handover *h = &l->slots[slot].handover;
	const struct lane_page *p = lane_page_at(l, h->page);
	struct core_event e = { .type = CORE_STAND,
				.lane = l->index,
				.sink = l->stream->sinks[slot].index };

	if (h->first > 0) {
		e.end = lane_position(l, p->batch, h->first - 1);
		e.end_ms = p->batch->events[h->first - 1].time_ms;
	}
	e.leaves = l->file != NULL;
	handover_stop(h);
	reader_tell_core(r, e);
	lane_release_pages(l);
}

static void hand_slot(struct reader *r, struct lane *l, uint32_t slot)
{
	struct handover *h = &l->slots[slot].handover;
	const struct lane_sink *s = &l->stream->sinks[slot];

	while (handover_ready(h, l->pages_read)) {
		struct lane_page *p = lane_page_at(l, h->page);
		size_t left = lane_page_left(p, slot, h->first);

		if (p->halted) {
			stand(r, l, slot);
			return;
		}
		if (p->next_letter < p->count)
			return;
		if (left > 0 &&
		    loop_now_ms(r->loop) >=
			    atomic_load_explicit(r->settings.emit_until_ms, memory_order_relaxed)) {
			reader_wait(r, (struct reader_wait){ .lane = l, .slot = slot },
				    HOLD_WAIT_MS);
			handover_held(h);
			return;
		}
		handover_sent(h);
		if (left > 0) {
			struct delivery *d = &l->slots[slot].sent.delivery;

			d->batch = p->batch;
			d->payloads = p->payloads[slot];
			d->route = l->stream->outputs[slot].route ? &p->batch->routes[slot] : NULL;
			d->first = h->first;
			d->count = left;
			d->reader = r->settings.index;
			note_waiting(l, slot, true);
			s->ops->write(s->sink, d);
			return;
		}
		handover_taken(h);
		tell_answer(r, l, slot, 0);
	}
}

static void hand_all(struct reader *r, struct lane *l)
{
	for (uint32_t slot = 0; slot < l->stream->sink_count; slot++)
		hand_slot(r, l, slot);
	lane_release_pages(l);
}

/* A record may not become a letter, as too many did. */
static void halt(struct reader *r, struct lane *l, const char *error, bool first)
{
	struct lane_stream *s = l->stream;
	struct error err = { 0 };

	error_set(&err, ERROR_INVALID,
		  "%s %s stands still, as too many records go to the dead letters "
		  "(dead_letter.max_ratio): %s",
		  l->file ? "file" : "shard", l->shard, error);
	if (l->file)
		reader_stop_file(r, l,
				 "too many rows go to the dead letters (dead_letter.max_ratio)",
				 error);
	else
		lane_ill(r, l, err.message);
	if (!first)
		return;
	metric_set(s->letters_over, 1);
	log_error("stream stands still: too many of its records go to the dead letters",
		  log_text("stream", s->source.stream), log_text("shard", l->shard),
		  log_text("error", error));
}

static bool is_for_letters(const struct lane *l, const struct event *e,
			   const struct lane_fault *fault)
{
	return e->skipped || ((e->bad || fault) && l->stream->on_error == ON_ERROR_DEAD_LETTER);
}

static const char *reason_of(const struct event *e, const struct lane_fault *fault)
{
	if (e->skipped)
		return "skipped";
	return fault ? lane_why(fault->why) : "undecodable";
}

/* Sends the page's next bad record to the dead letters; the page waits for it. One that is bad for
 * several sinks, as their transforms fail, say, is a letter from each of them. */
static bool letter_next(struct reader *r, struct lane *l, uint64_t page)
{
	struct lane_page *p = lane_page_at(l, page);

	for (; p->next_letter < p->count; p->next_letter++) {
		const struct event *e = &p->batch->events[p->next_letter];
		const struct lane_fault *fault = NULL;
		struct letter *letter;
		const char *error;
		bool first;

		if (p->next_fault < p->fault_count &&
		    p->faults[p->next_fault].record == p->next_letter)
			fault = &p->faults[p->next_fault];
		if (!is_for_letters(l, e, fault))
			continue;
		error = fault ? fault->error : e->bad;
		if (!e->skipped && !ratio_letter(&l->stream->ratio, &first)) {
			halt(r, l, error, first);
			p->halted = true;
			return false;
		}
		letter = letter_new(l, fault ? fault->slot : LETTER_PAGE, p->batch, e,
				    reason_of(e, fault), error, p->attempts,
				    clock_aws_ms(r->settings.clock));
		letter->of_page = true;
		letter->page = page;
		r->settings.letter(r->settings.arg, letter);
		return true;
	}
	return false;
}

void hand_page(struct reader *r, struct lane *l)
{
	if (!letter_next(r, l, l->pages_read - 1))
		hand_all(r, l);
}

/* on_error: stop */
static void stand_still(struct reader *r, const struct lane_delivery *d, const struct batch *b,
			const struct event *e, const char *error)
{
	struct lane *l = d->lane;
	const char *sink = l->stream->sinks[d->slot].name;
	char what[STORE_NAME_MAX + 80], sequence[SEQUENCE_TEXT_SIZE];

	if (l->file) {
		snprintf(what, sizeof(what),
			 "sink %s refused the row at place %" PRIu64 " (on_error: stop)", sink,
			 lane_row_place(b, e));
		reader_stop_file(r, l, what, error);
	} else {
		log_error("shard stands still: a sink refused a record",
			  log_text("stream", l->stream->source.stream), log_text("shard", l->shard),
			  log_text("sequence", sequence_text(&e->sequence, sequence)),
			  log_text("sink", sink), log_text("error", error));
	}
	stand(r, l, d->slot);
}

static void refused(struct reader *r, const struct lane_delivery *d, const char *error)
{
	struct lane *l = d->lane;
	struct handover *h = &l->slots[d->slot].handover;
	const struct batch *b;
	const struct event *e;
	bool first;

	tell_part(r, d);
	handover_refused(h, d->first);
	b = lane_page_at(l, h->page)->batch;
	e = &b->events[h->first];
	switch (l->stream->on_error) {
	case ON_ERROR_DEAD_LETTER:
		if (!ratio_letter(&l->stream->ratio, &first)) {
			halt(r, l, error, first);
			stand(r, l, d->slot);
			return;
		}
		r->settings.letter(r->settings.arg,
				   letter_new(l, d->slot, b, e, "refused", error, h->attempts + 1,
					      clock_aws_ms(r->settings.clock)));
		return;
	case ON_ERROR_DROP:
		metric_add(metrics_cell(r->settings.metrics, METRIC_DROPPED, "refused", NULL), 1);
		handover_lettered(h);
		hand_slot(r, l, d->slot);
		lane_release_pages(l);
		return;
	case ON_ERROR_STOP:
		stand_still(r, d, b, e, error);
		return;
	}
}

static void failed(struct reader *r, const struct lane_delivery *d, const char *error)
{
	struct lane *l = d->lane;
	struct handover *h = &l->slots[d->slot].handover;
	uint64_t repeated;

	tell_part(r, d);
	handover_failed(h, d->first);
	reader_wait(r, (struct reader_wait){ .lane = l, .slot = d->slot },
		    rng_backoff_ms(&r->rng, h->attempts, RETRY_BASE_MS, SINK_AGAIN_MS_MAX));
	if (log_limit_pass(&r->sink_log, loop_now_ms(r->loop), LOG_EVERY_MS, &repeated))
		log_warn("delivery failed, it is sent again",
			 log_text("sink", l->stream->sinks[d->slot].name),
			 log_text("stream", l->stream->source.stream), log_text("shard", l->shard),
			 log_int("attempt", h->attempts), log_text("error", error),
			 log_int("repeated", (int64_t)repeated));
}

void hand_answer(struct reader *r, struct lane_delivery *d)
{
	struct lane *l = d->lane;
	/* Once the delivery goes out again, the sink may answer it at any moment. */
	char *error = d->error;

	d->error = NULL;
	if (d->kind != SINK_FAILED)
		note_waiting(l, d->slot, false);
	switch (d->kind) {
	case SINK_TAKEN:
		handover_taken(&l->slots[d->slot].handover);
		tell_answer(r, l, d->slot, d->roll);
		hand_slot(r, l, d->slot);
		lane_release_pages(l);
		break;
	case SINK_FAILED:
		failed(r, d, error ? error : "");
		break;
	case SINK_REFUSED:
		refused(r, d, error ? error : "");
		break;
	default:
		assert(false && "not a delivery's answer");
	}
	free(error);
}

void hand_again(struct reader *r, struct lane *l, uint32_t slot)
{
	handover_again(&l->slots[slot].handover);
	hand_slot(r, l, slot);
	lane_release_pages(l);
}

void hand_lettered(struct reader *r, struct letter *letter, bool stored)
{
	struct lane *l = letter->lane;
	uint32_t slot = letter->slot;
	uint64_t repeated;

	if (!stored) {
		if (log_limit_pass(&r->letter_log, loop_now_ms(r->loop), LOG_EVERY_MS, &repeated))
			log_error("shard waits: its record does not get into the dead letters",
				  log_text("stream", l->stream->source.stream),
				  log_text("shard", l->shard),
				  log_text("sequence", letter->identity),
				  log_int("repeated", (int64_t)repeated));
		reader_wait(r, (struct reader_wait){ .lane = l, .slot = slot, .letter = letter },
			    LETTER_WAIT_MS);
		return;
	}
	metric_add(metrics_cell(r->settings.metrics, METRIC_DEAD_LETTERS, letter->row.sink,
				letter->row.reason),
		   1);
	if (letter->of_page && letter->page < l->pages_released) {
		/* Meanwhile every sink stands before it. */
	} else if (letter->of_page) {
		struct lane_page *p = lane_page_at(l, letter->page);

		if (slot == LETTER_PAGE)
			p->next_letter++;
		else
			p->next_fault++;
		if (!letter_next(r, l, letter->page))
			hand_all(r, l);
	} else {
		handover_lettered(&l->slots[slot].handover);
		hand_slot(r, l, slot);
		lane_release_pages(l);
	}
	letter_free(letter);
}
