/* The core's events and actions on the worker's thread. */
#include <assert.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/memory.h"
#include "consumer/worker_internal.h"

#define ACTIONS_MAX    128
#define EVENTS_AT_ONCE 64

void worker_end_with(struct worker *w, enum worker_end end, const struct error *err)
{
	w->end = end;
	if (err)
		w->error = *err;
	loop_stop(w->loop);
}

static void reserve(struct worker *w, const struct core_save *from)
{
	if (from->move_count > w->move_capacity) {
		w->move_capacity = 2 * from->move_count;
		w->moves = memory_resize(w->moves, w->move_capacity * sizeof(*w->moves));
	}
	if (from->pending_count > w->pending_capacity) {
		w->pending_capacity = 2 * from->pending_count;
		w->pending = memory_resize(w->pending, w->pending_capacity * sizeof(*w->pending));
	}
	if (from->read_count > w->read_capacity) {
		w->read_capacity = 2 * from->read_count;
		w->reads = memory_resize(w->reads, w->read_capacity * sizeof(*w->reads));
	}
}

/* Rolls of the save, with the blobs that the sinks gave. */
static void save_rolls(struct worker *w, const struct core_save *from)
{
	for (size_t i = 0; i < from->roll_count; i++) {
		const struct worker_sink *k = &w->sinks[from->rolls[i].sink];

		assert(k->blob && k->blob_roll == from->rolls[i].roll);
		w->rolls[i] = (struct store_roll){ .sink = k->store_id,
						   .number = k->blob_roll,
						   .blob = { k->blob, k->blob_size } };
	}
	for (size_t i = 0; i < from->finished_count; i++)
		w->finished[i] = (struct store_roll){
			.sink = w->sinks[from->finished[i].sink].store_id,
			.number = from->finished[i].roll,
		};
}

/* How far the data files are whose place moves. */
static size_t save_files(struct worker *w, const struct core_save *from)
{
	size_t n = 0;

	for (size_t i = 0; i < from->move_count; i++) {
		const struct core_move *m = &from->moves[i];
		const struct lane_file *f;

		/* A lane's moves stand one behind the other. */
		if (!w->core.streams[w->core.lanes[m->lane].stream].files ||
		    (n > 0 && w->files[n - 1].lane == m->store_id))
			continue;
		if (n == w->file_capacity) {
			w->file_capacity = n ? 2 * n : 16;
			w->files = memory_resize(w->files, w->file_capacity * sizeof(*w->files));
		}
		f = w->lanes[m->lane]->file;
		w->files[n++] = (struct store_file_progress){
			.lane = m->store_id,
			.records = atomic_load_explicit(&f->rows, memory_order_relaxed),
			.bytes = atomic_load_explicit(&f->bytes, memory_order_relaxed)
		};
	}
	return n;
}

static void save(struct worker *w)
{
	const struct core_save *from = &w->core.save;

	reserve(w, from);
	for (size_t i = 0; i < from->move_count; i++) {
		const struct core_move *m = &from->moves[i];

		w->moves[i] = (struct store_move){ .lane = m->store_id,
						   .sink = w->sinks[m->sink].store_id,
						   .from = m->move.from,
						   .to = m->move.to,
						   .event_ms = m->move.event_ms,
						   .done = m->move.done };
	}
	for (size_t i = 0; i < from->pending_count; i++) {
		const struct core_move *m = &from->pending[i];

		w->pending[i] = (struct store_pending){ .lane = m->store_id,
							.sink = w->sinks[m->sink].store_id,
							.to = m->move.to,
							.event_ms = m->move.event_ms };
	}
	for (size_t i = 0; i < from->read_count; i++)
		w->reads[i] = w->core.lanes[from->reads[i]].store_id;
	save_rolls(w, from);
	w->save = (struct store_save){ .session = w->session,
				       .number = ++w->save_number,
				       .moves = w->moves,
				       .move_count = from->move_count,
				       .rolls = w->rolls,
				       .roll_count = from->roll_count,
				       .pending = w->pending,
				       .pending_count = from->pending_count,
				       .finished = w->finished,
				       .finished_count = from->finished_count,
				       .read_lanes = w->reads,
				       .read_count = from->read_count,
				       .read_at_ms = clock_aws_ms(w->settings.clock),
				       .file_count = save_files(w, from) };
	w->save.files = w->files;
	saver_save(w->saver, &w->save);
}

static void drained(struct worker *w)
{
	if (w->end == WORKER_IDLE) {
		worker_name_standing(w, &w->error);
		if (w->error.kind != ERROR_NONE)
			w->end = WORKER_STANDS;
	}
	loop_stop(w->loop);
}

static void finish(struct worker *w, const struct core_action *a)
{
	struct worker_sink *k = &w->sinks[a->sink];

	free(k->blob);
	k->blob = NULL;
	k->ops->finish(k->sink, a->roll);
}

/* True where the core is to stop because of it. */
static bool act(struct worker *w, const struct core_action *a)
{
	struct lane *l;

	switch (a->type) {
	case CORE_FETCH:
		l = w->lanes[a->lane];
		reader_fetch(w->readers[l->reader], l);
		w->fetches = true;
		break;
	case CORE_DISCOVER:
		l = w->lanes[a->lane];
		log_info("shard closed", log_text("stream", l->stream->source.stream),
			 log_text("shard", l->shard));
		worker_discover(w, a->lane);
		break;
	case CORE_PREPARE:
		w->sinks[a->sink].ops->prepare(w->sinks[a->sink].sink);
		break;
	case CORE_SAVE:
		save(w);
		break;
	case CORE_FINISH:
		finish(w, a);
		break;
	case CORE_RELEASED:
		l = w->lanes[a->lane];
		if (l->file)
			worker_file_left(w, l);
		else
			worker_let_go(w, a->lane);
		break;
	case CORE_ENDED:
		l = w->lanes[a->lane];
		if (l->file)
			worker_file_ended(w, l);
		else
			worker_ended(w, a->lane);
		break;
	case CORE_DRAINED:
		drained(w);
		break;
	case CORE_IDLE:
		if (!worker_follow_idle(w) || !worker_control_idle(w) || !worker_letters_idle(w))
			break;
		w->end = WORKER_IDLE;
		return true;
	}
	return false;
}

static void feed(struct worker *w, const struct core_event *event)
{
	struct core_action actions[ACTIONS_MAX];
	struct core_event e = *event;
	bool stop, more;

	do {
		size_t n = core_step(&w->core, &e, actions, ACTIONS_MAX);

		stop = false;
		for (size_t i = 0; i < n; i++)
			stop = act(w, &actions[i]) || stop;
		more = stop || n == ACTIONS_MAX;
		e = (struct core_event){ .type = stop ? CORE_STOP : CORE_TICK,
					 .now_ms = event->now_ms };
	} while (more);
}

/* What several events may share. */
static void fed(struct worker *w)
{
	int64_t wake_ms = core_wake_ms(&w->core), now_ms = loop_now_ms(w->loop);

	for (unsigned i = 0; w->fetches && i < w->reader_count; i++)
		reader_wake(w->readers[i]);
	w->fetches = false;
	worker_let_go_send(w);
	loop_timer_arm(w->wake, wake_ms == INT64_MAX ? -1
				: wake_ms > now_ms   ? wake_ms - now_ms
						     : 0);
	worker_settle_later(w);
}

void worker_feed(struct worker *w, const struct core_event *event)
{
	feed(w, event);
	fed(w);
}

/* --- notes of the saver and the sinks --- */

static void on_prepared(struct worker *w, const struct worker_note *n)
{
	struct worker_sink *k = &w->sinks[n->sink];

	assert(!k->blob);
	k->blob = (char *)(uintptr_t)n->blob.p;
	k->blob_size = n->blob.n;
	k->blob_roll = n->roll;
}

static void on_note(struct worker *w, const struct worker_note *n)
{
	struct core_event e = { .now_ms = loop_now_ms(w->loop), .sink = n->sink, .roll = n->roll };
	struct error lost = { .kind = ERROR_FENCED };

	switch (n->type) {
	case NOTE_SAVED:
		e.type = CORE_SAVED;
		worker_feed(w, &e);
		break;
	case NOTE_PREPARED:
		on_prepared(w, n);
		e.type = CORE_PREPARED;
		e.deliveries = n->deliveries;
		worker_feed(w, &e);
		break;
	case NOTE_FINISHED:
		e.type = CORE_FINISHED;
		worker_feed(w, &e);
		break;
	case NOTE_LANES:
		worker_lanes_added(w, n->lanes);
		break;
	case NOTE_SHARDS:
		worker_shards_known(w, n->shards);
		break;
	case NOTE_VIEWED:
		worker_viewed(w, n->view);
		break;
	case NOTE_TAKEN:
		worker_take(w, n->taken);
		taken_free(n->taken);
		break;
	case NOTE_RELEASED:
		worker_released(w, n->release);
		break;
	case NOTE_REMOVED:
		worker_stream_removed(w, n->stream);
		break;
	case NOTE_WORKED:
		n->task->done(w, n->task);
		worker_task_free(n->task);
		break;
	case NOTE_TOLD:
		worker_told(w, n->told);
		break;
	case NOTE_LETTERS_TOLD:
		worker_letters_told(w, n->told);
		break;
	case NOTE_PARTITIONS:
		worker_partitions_seen(w, n->sink, n->partitions);
		worker_partitions_free(n->partitions);
		break;
	case NOTE_LOST:
		error_set(&lost, ERROR_FENCED, "%s", n->error);
		free(n->error);
		worker_end_with(w, WORKER_AGAIN, &lost);
		break;
	}
}

/* What the worker has to know of what its lanes meet. */
static void look_at(struct worker *w, const struct core_event *e)
{
	if ((e->type == CORE_PAGE || e->type == CORE_FETCH_FAILED) && w->lanes[e->lane]->file)
		worker_file_event(w, w->lanes[e->lane], e);
	else if (e->type == CORE_PAGE)
		worker_not_missing(w->lanes[e->lane]);
	else if (e->type == CORE_FETCH_FAILED && e->failure == ERROR_NOT_FOUND)
		worker_missing(w, w->lanes[e->lane]);
	else if (e->type == CORE_FETCH_FAILED && e->failure == ERROR_TRIMMED)
		worker_at_gap(w, w->lanes[e->lane]);
}

void worker_on_events(void *arg, int fd, uint32_t events)
{
	struct worker *w = arg;
	struct core_event some[EVENTS_AT_ONCE];
	struct worker_note notes[EVENTS_AT_ONCE];
	size_t count = queue_drain(w->events, some, EVENTS_AT_ONCE);

	(void)fd;
	(void)events;
	for (size_t i = 0; i < count; i++) {
		feed(w, &some[i]);
		look_at(w, &some[i]);
	}
	if (count > 0)
		fed(w);
	count = queue_drain(w->notes, notes, EVENTS_AT_ONCE);
	for (size_t i = 0; i < count; i++)
		on_note(w, &notes[i]);
}
