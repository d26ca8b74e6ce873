#include "sinks/object.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/queue.h"
#include "sinks/object_writer.h"

/* More deliveries than lanes cannot wait (one batch of a lane is in a sink at a time); what does
 * not fit in is answered as failed and comes again. */
#define WAITING_MAX   16384
#define TAKEN_AT_ONCE 64
#define TICK_MS       1000

const char *const object_file_names[] = { "ndjson", NULL };
const char *const object_compression_names[] = {
	[COMPRESSION_NONE] = "none", [COMPRESSION_GZIP] = "gzip", [COMPRESSION_ZSTD] = "zstd", NULL
};

/* The roll that is not open any more, as there is one at most. */
enum closing_state { CLOSING_SEALS, CLOSING_PREPARED, CLOSING_COMMITS };

struct sink {
	struct sink_host host;
	const struct object_settings *settings;
	struct queue *waiting; /* of struct delivery * */
	struct loop *loop;
	pthread_t thread;
	/* What the core asks for. */
	_Atomic bool prepare_wanted, purge_wanted, close_wanted;
	_Atomic uint64_t finish_wanted;
	struct metric_cell *unanswered_bytes, *delivered, *delivered_bytes, *roll_age;
	/* The thread's. */
	struct object_writer writer;
	struct loop_timer *tick;
	struct delivery *current; /* drained, but there is no memory for it */
	bool watching;
	bool fatal_said;
	struct object_roll *open, *closing;
	enum closing_state closing_state;
	uint64_t last_roll;
};

/* --- answers --- */

static void answer(struct sink *s, struct sink_answer *a)
{
	a->sink = s->host.index;
	s->host.answer(s->host.arg, a);
}

static void answer_failed(struct sink *s, struct delivery *d, enum error_kind kind, const char *why)
{
	struct sink_answer a = { .kind = SINK_FAILED, .delivery = d, .first = d->first };

	error_set(&a.err, kind, "sink %s: %s", s->host.name, why);
	metric_add(s->unanswered_bytes, -(int64_t)object_delivery_bytes(d));
	answer(s, &a);
}

/* The roll has the records before `first`. */
static void answer_part(struct sink *s, struct delivery *d, size_t first, struct object_roll *r,
			const struct error *why)
{
	struct sink_answer a = { .kind = SINK_FAILED, .delivery = d, .first = first, .err = *why };

	if (d->route && why->kind == ERROR_INVALID)
		a.kind = SINK_REFUSED;
	if (why->kind == ERROR_THROTTLED)
		r->wanted = true;
	for (size_t i = d->first; i < first && !a.roll; i++)
		if (d->payloads[i].p)
			a.roll = r->record->number;
	error_wrap(&a.err, "sink %s", s->host.name);
	metric_add(s->unanswered_bytes, -(int64_t)object_delivery_bytes(d));
	answer(s, &a);
}

static void answer_taken(struct sink *s, struct delivery *d, uint64_t roll)
{
	struct sink_answer a = {
		.kind = SINK_TAKEN, .delivery = d, .first = d->first, .roll = roll
	};

	metric_add(s->unanswered_bytes, -(int64_t)object_delivery_bytes(d));
	answer(s, &a);
}

static void count_roll(struct sink *s, const char *result)
{
	metric_add(metrics_cell(s->host.metrics, METRIC_ROLLS, s->host.name, result), 1);
}

/* --- rolls --- */

static int64_t age_ms(const struct sink *s, const struct object_roll *r)
{
	return r ? clock_boot_ms(s->host.clock) - r->began_ms : 0;
}

/* Turns the thread when the open roll is old enough, and now and then to say how old what readers
 * cannot see yet is: a closing roll that grows old is an alarm. */
static void tick(void *arg)
{
	struct sink *s = arg;
	int64_t left_ms = s->settings->roll_age_ms - age_ms(s, s->open);

	metric_set(s->roll_age, age_ms(s, s->closing ? s->closing : s->open));
	if (s->open || s->closing)
		loop_timer_arm(s->tick,
			       s->open && left_ms > 0 && left_ms < TICK_MS ? left_ms : TICK_MS);
}

static void open_begin(struct sink *s)
{
	if (s->open)
		return;
	s->open = object_roll_new(&s->writer, ++s->last_roll);
	tick(s);
}

static bool open_is_due(const struct sink *s)
{
	return s->open->wanted || s->open->largest_bytes >= (size_t)s->settings->roll_bytes ||
	       age_ms(s, s->open) >= s->settings->roll_age_ms;
}

static void open_seal(struct sink *s)
{
	assert(!s->closing);
	s->closing = MOVE(s->open);
	s->closing_state = CLOSING_SEALS;
	object_roll_seal(s->closing);
}

static void closing_prepared(struct sink *s)
{
	struct sink_answer a = { .kind = SINK_PREPARED, .roll = s->closing->record->number };
	struct buf blob;

	s->closing_state = CLOSING_PREPARED;
	buf_init(&blob, 0);
	roll_encode(s->closing->record, s->writer.ops->kind, &blob);
	a.blob = buf_str(&blob);
	answer(s, &a);
	buf_release(&blob);
}

static void closing_finished(struct sink *s)
{
	struct sink_answer a = { .kind = SINK_FINISHED, .roll = s->closing->record->number };

	metric_add(s->delivered, (int64_t)s->closing->records);
	metric_add(s->delivered_bytes, (int64_t)s->closing->bytes);
	count_roll(s, "finished");
	object_roll_free(MOVE(s->closing));
	tick(s);
	answer(s, &a);
}

/* One move of the closing roll, where it can move. A roll of which a file is lost stays as it is:
 * the store has its blob, and the session ends. */
static bool closing_advance(struct sink *s)
{
	struct object_roll *r = s->closing;

	switch (s->closing_state) {
	case CLOSING_SEALS:
		if (!object_roll_sealed(r) || atomic_load(&s->purge_wanted))
			return false;
		closing_prepared(s);
		return true;
	case CLOSING_PREPARED:
		if (atomic_load(&s->finish_wanted) != r->record->number)
			return false;
		s->closing_state = CLOSING_COMMITS;
		object_roll_commit(r);
		return true;
	case CLOSING_COMMITS:
		if (!object_roll_settled(r) || r->lost > 0)
			return false;
		closing_finished(s);
		return true;
	}
	return false;
}

static bool ending(const struct sink *s)
{
	return s->writer.fatal.kind != ERROR_NONE || atomic_load(&s->purge_wanted) ||
	       atomic_load(&s->close_wanted);
}

static void say_fatal(struct sink *s)
{
	struct sink_answer a = { .kind = SINK_FATAL, .err = s->writer.fatal };

	if (s->fatal_said || a.err.kind == ERROR_NONE)
		return;
	s->fatal_said = true;
	if (s->closing && s->closing->lost > 0)
		count_roll(s, "lost");
	answer(s, &a);
}

/* Whether anything moved. */
static bool advance(struct sink *s)
{
	say_fatal(s);
	if (s->closing)
		return closing_advance(s);
	if (!s->open || ending(s) || !open_is_due(s))
		return false;
	open_seal(s);
	return true;
}

/* --- deliveries --- */

static bool fits(const struct sink *s, const struct delivery *d)
{
	const struct object_writer *w = &s->writer;
	size_t bytes = object_delivery_bytes(d), files = 0;

	if (s->open)
		files = object_roll_lacks(s->open, d);
	if (files && !object_roll_has_room(s->open, files))
		return false;
	if (d->route)
		bytes += files * object_file_bytes(w);
	/* While the last roll is unfinished this one cannot end: it must not grow without end. */
	if (s->open && s->closing && s->open->largest_bytes >= 2 * (size_t)s->settings->roll_bytes)
		return false;
	/* One is always let in, else one that is larger than the limit would never get in. */
	return w->held_bytes + bytes <= s->host.memory_bytes || (!s->open && !w->storing_bytes);
}

static void take(struct sink *s, struct delivery *d)
{
	struct error err = { 0 };
	size_t first = d->first;

	/* Nothing in it for this sink, and nothing before it that could still be lost. */
	if (object_delivery_bytes(d) == 0 && !s->open && !s->closing) {
		answer_taken(s, d, 0);
		return;
	}
	open_begin(s);
	if (object_roll_write(s->open, d, &first, &err))
		answer_taken(s, d, s->open->record->number);
	else
		answer_part(s, d, first, s->open, &err);
}

static void fail_waiting(struct sink *s)
{
	if (s->current)
		answer_failed(s, MOVE(s->current), ERROR_CANCELLED, "the session is ending");
	while (queue_drain(s->waiting, &s->current, 1) > 0)
		answer_failed(s, MOVE(s->current), ERROR_CANCELLED, "the session is ending");
}

static void woken(void *arg, int fd, uint32_t events)
{
	/* The turn that follows looks into the queue. */
	(void)arg;
	(void)fd;
	(void)events;
}

static void watch(struct sink *s, bool on)
{
	if (s->watching == on)
		return;
	s->watching = on;
	loop_watch(s->loop, queue_fd(s->waiting), on ? EPOLLIN : 0, woken, s);
}

/* Takes what there is memory for. Where there is none and nothing on its way to the place will set
 * any free, the roll has to end early. */
static void take_waiting(struct sink *s)
{
	for (int i = 0; i < TAKEN_AT_ONCE; i++) {
		if (!s->current && queue_drain(s->waiting, &s->current, 1) == 0)
			break;
		/* Asked behind the queue: what was written after a purge sees it. */
		if (ending(s)) {
			fail_waiting(s);
			break;
		}
		if (!fits(s, s->current)) {
			if (s->open && s->writer.storing_bytes == 0)
				s->open->wanted = true;
			break;
		}
		take(s, MOVE(s->current));
		if (s->open && !s->closing && open_is_due(s))
			break;
	}
	watch(s, !s->current);
}

/* --- the thread --- */

static void turn(struct sink *s)
{
	bool wanted = atomic_exchange(&s->prepare_wanted, false);
	bool moved;

	do {
		take_waiting(s);
		if (wanted && s->open)
			s->open->wanted = true;
		wanted = moved = false;
		while (advance(s))
			moved = true;
	} while (moved);
}

static void *run(void *arg)
{
	struct sink *s = arg;
	struct object_roll *drop[2] = { NULL, NULL };

	watch(s, true);
	while (!atomic_load(&s->close_wanted)) {
		loop_once(s->loop, -1);
		turn(s);
	}
	fail_waiting(s);
	drop[0] = s->open;
	/* Prepared: the store may have its blob, so that it is not ours to throw away. */
	if (s->closing && s->closing_state == CLOSING_SEALS)
		drop[1] = s->closing;
	for (int i = 0; i < 2; i++)
		if (drop[i])
			count_roll(s, "dropped");
	writer_release(&s->writer, drop);
	object_roll_free(s->open);
	object_roll_free(s->closing);
	return NULL;
}

static void sink_free(struct sink *s)
{
	if (!s)
		return;
	loop_free(s->loop);
	queue_free(s->waiting);
	free(s);
}
DEFINE_AUTO(sink)

struct sink *object_open(const struct place_ops *place, const void *settings,
			 const struct sink_host *host, struct error *err)
{
	AUTO(sink) struct sink *s = memory_new(sizeof(*s));
	struct metrics *m = host->metrics;

	s->host = *host;
	s->settings = settings;
	s->loop = loop_new(host->clock);
	s->waiting = queue_new(sizeof(struct delivery *), WAITING_MAX);
	s->tick = loop_timer_new(s->loop, tick, s);
	s->unanswered_bytes = metrics_cell(m, METRIC_SINK_UNANSWERED_BYTES, host->name, NULL);
	s->delivered = metrics_cell(m, METRIC_DELIVERED, host->name, NULL);
	s->delivered_bytes = metrics_cell(m, METRIC_DELIVERED_BYTES, host->name, NULL);
	s->roll_age = metrics_cell(m, METRIC_ROLL_AGE, host->name, NULL);
	if (!writer_init(&s->writer, place, settings, &s->host, s->loop, err))
		return NULL;
	if (pthread_create(&s->thread, NULL, run, s) != 0) {
		writer_release(&s->writer, (struct object_roll *const[2]){ NULL, NULL });
		error_set(err, ERROR_RETRY, "sink %s: the system gives no more threads",
			  host->name);
		return NULL;
	}
	pthread_setname_np(s->thread, "sink");
	return MOVE(s);
}

const struct route *object_route(const struct sink *s, bool *required)
{
	*required = s->settings->missing != 0;
	return template_route(s->writer.path);
}

void object_write(struct sink *s, struct delivery *d)
{
	metric_add(s->unanswered_bytes, (int64_t)object_delivery_bytes(d));
	if (!queue_offer(s->waiting, &d))
		answer_failed(s, d, ERROR_RETRY, "too many deliveries wait");
}

void object_prepare(struct sink *s)
{
	atomic_store(&s->prepare_wanted, true);
	loop_wake(s->loop);
}

void object_finish(struct sink *s, uint64_t roll)
{
	atomic_store(&s->finish_wanted, roll);
	loop_wake(s->loop);
}

void object_purge(struct sink *s)
{
	atomic_store(&s->purge_wanted, true);
	loop_wake(s->loop);
}

const char *object_trouble(struct sink *s, char *out, size_t size)
{
	return writer_trouble(&s->writer, out, size);
}

void object_close(struct sink *s)
{
	if (!s)
		return;
	atomic_store(&s->close_wanted, true);
	loop_wake(s->loop);
	pthread_join(s->thread, NULL);
	sink_free(s);
}

/* --- without a sink --- */

struct burial {
	unsigned running;
	struct error err; /* the first one */
};

static void burial_done(void *arg, const struct error *err)
{
	struct burial *b = arg;

	b->running--;
	if (b->err.kind == ERROR_NONE)
		b->err = *err;
}

static void bury_files(const struct place_ops *ops, struct place *place, struct loop *loop,
		       const struct roll *r, bool manifest, struct burial *b)
{
	for (size_t i = 0; i < r->file_count; i++) {
		if (r->files[i]->manifest != manifest)
			continue;
		while (b->running >= ops->calls_max)
			loop_once(loop, -1);
		b->running++;
		ops->commit(place, r, r->files[i], burial_done, b);
	}
	while (b->running > 0)
		loop_once(loop, -1);
}

bool object_bury(const struct place_ops *ops, const void *settings, const struct sink_host *host,
		 struct str blob, bool *committed, struct error *err)
{
	AUTO(roll) struct roll *r = roll_decode(blob, ops->kind, err);
	struct burial b = { 0 };
	struct place *place;
	struct loop *loop;

	if (!r)
		return false;
	loop = loop_new(host->clock);
	place = ops->open(settings, host, loop, &b.err);
	if (place) {
		bury_files(ops, place, loop, r, false, &b);
		if (b.err.kind == ERROR_NONE)
			bury_files(ops, place, loop, r, true, &b);
		ops->close(place);
	}
	loop_free(loop);
	if (b.err.kind != ERROR_NONE) {
		*err = b.err;
		return error_wrap(err, "roll %llu of session %s, sink %s",
				  (unsigned long long)r->number, r->session, host->name);
	}
	*committed = true;
	metric_add(metrics_cell(host->metrics, METRIC_ROLLS, host->name, "buried"), 1);
	return true;
}

enum sink_commit object_commit(const void *settings)
{
	(void)settings;
	return SINK_ROLL;
}

struct encoding object_encoding(const void *settings)
{
	const struct object_settings *o = settings;

	return (struct encoding){ .format = (enum event_format)o->format,
				  .numbers_as_strings = o->numbers != 0,
				  .fields = event_fields_set(&o->fields) };
}

bool object_validate(const void *settings, struct error *err)
{
	const struct object_settings *o = settings;
	AUTO(template) struct template *path = template_new(o->path, TEMPLATE_PATH, err);

	if (!path)
		return error_wrap(err, "path");
	return sink_fields_check(&o->fields, o->format, err);
}

char *object_folder(const char *prefix, const char *path)
{
	const char *placeholder = strstr(path, "${");
	size_t n = placeholder ? (size_t)(placeholder - path) : strlen(path);
	size_t size;
	char *out;

	while (path[n] != '\0' && n > 0 && path[n - 1] != '/')
		n--;
	size = strlen(prefix) + n + 2;
	out = memory_new(size);
	snprintf(out, size, "%s%.*s%s", prefix, (int)n, path,
		 n > 0 && path[n - 1] != '/' ? "/" : "");
	return out;
}

bool object_name_of(const char *name, const char *session)
{
	size_t n = strlen(session);
	const char *at = strchr(name, '-');

	/* START-SESSION-ROLL-N…; the start has no dash. */
	return n > 0 && at && strncmp(at + 1, session, n) == 0 && at[1 + n] == '-';
}
