#include "sinks/kafka_large.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "base/memory.h"
#include "base/queue.h"
#include "sinks/kafka_reference.h"

/* One batch of a lane is in a sink at a time; what does not fit in comes again. */
#define WAITING_MAX 16384
/* Claims that are worked at, each with one object at a time. */
#define ACTIVE_MAX 8
/* Who tries again has come by then, with room for a process that is busy. */
#define TROUBLE_MS (3 * SINK_AGAIN_MS_MAX)
/* Of a message beside payload and key, as librdkafka counts them: the record's frame and headers.
 */
#define FRAME_BYTES 1024

struct kafka_claim {
	struct kafka_claim *next; /* of those that wait */
	struct kafka_large *large;
	struct delivery *delivery;
	const struct str *original;
	struct str *payloads; /* with references where the original was too large */
	size_t at;            /* the record that is being worked at, and */
	const char *line;     /* of its events the one that is; NULL: none yet */
	unsigned part;
	struct str putting;
	struct buf text, key, body;
	size_t bad; /* of a record that the bucket does not take; NONE */
	struct error why;
};
#define NONE SIZE_MAX

struct kafka_large {
	struct sink *sink;
	struct loop *loop;
	pthread_t thread;
	struct queue *waiting; /* of struct kafka_claim * */
	_Atomic bool close_wanted;
	size_t max_bytes;           /* of a message, by the producer's own limit */
	_Atomic size_t limit_bytes; /* a message that large was refused; 0: none was */
	struct metric_cell *objects, *bytes;
	_Atomic size_t claims; /* that wait, or are worked at */
	pthread_mutex_t lock;  /* of what is said, and when it was */
	int64_t trouble_ms;    /* boot time */
	char trouble[sizeof(((struct error *)NULL)->message)];
	/* The thread's. */
	struct aws_settings aws;
	struct aws_client *client;
	unsigned active;
	struct kafka_claim *first, **last;
};

/* --- which are too large --- */

bool kafka_is_large(size_t max_bytes, const struct event *e, struct str payload)
{
	return payload.n + e->key.n + FRAME_BYTES > max_bytes;
}

static bool is_large(const struct kafka_large *l, const struct event *e, struct str line)
{
	size_t limit = atomic_load_explicit(&l->limit_bytes, memory_order_relaxed);

	return (limit > 0 && line.n >= limit) || kafka_is_large(l->max_bytes, e, line);
}

/* The next of the events that a script made of a record, each a line; *p NULL: its first. False:
 * there is none. */
static bool next_line(struct str payload, bool several, const char **p, struct str *line)
{
	const char *end = payload.p + payload.n, *newline;

	if (*p == end)
		return false;
	*p = *p ? *p + 1 : payload.p;
	newline = several ? memchr(*p, '\n', (size_t)(end - *p)) : NULL;
	*line = (struct str){ *p, (size_t)((newline ? newline : end) - *p) };
	*p = newline ? newline : end;
	return true;
}

static bool is_several(const struct batch *b, struct str payload)
{
	return b->several && memchr(payload.p, '\n', payload.n);
}

static bool has_large(const struct kafka_large *l, const struct batch *b, size_t i,
		      struct str payload)
{
	const char *p = NULL;
	struct str line;

	while (next_line(payload, b->several, &p, &line))
		if (is_large(l, &b->events[i], line))
			return true;
	return false;
}

bool kafka_large_learn(struct kafka_large *l, const struct delivery *d, size_t i)
{
	const struct kafka_claim *c = d->of_sink;
	struct str sent = d->payloads[i], own = c ? c->original[i] : sent, line, was;
	const char *p = NULL, *q = NULL;
	size_t largest = 0, limit = atomic_load(&l->limit_bytes);
	bool reference = false;

	/* Which of several was refused is not known: one that is larger than the others was. */
	while (next_line(sent, d->batch->several, &p, &line) &&
	       next_line(own, d->batch->several, &q, &was))
		if (line.n > largest) {
			largest = line.n;
			reference = !str_equal(line, was);
		}
	if (reference)
		return false;
	while ((limit == 0 || largest < limit) &&
	       !atomic_compare_exchange_weak(&l->limit_bytes, &limit, largest))
		;
	return true;
}

/* --- a claim --- */

static struct kafka_claim *claim_new(struct kafka_large *l, struct delivery *d)
{
	struct kafka_claim *c = memory_new(sizeof(*c));

	atomic_fetch_add(&l->claims, 1);
	c->large = l;
	c->delivery = d;
	c->original = d->payloads;
	c->payloads = memory_array(d->batch->count, sizeof(*c->payloads));
	memcpy(c->payloads, d->payloads, d->batch->count * sizeof(*c->payloads));
	c->at = d->first;
	c->bad = NONE;
	buf_init(&c->text, 0);
	buf_init(&c->key, 0);
	buf_init(&c->body, 0);
	return c;
}

void kafka_claim_free(struct kafka_claim *c)
{
	struct delivery *d;

	if (!c)
		return;
	d = c->delivery;
	for (size_t i = 0; i < d->batch->count; i++)
		if (c->payloads[i].p != c->original[i].p)
			free((void *)(uintptr_t)c->payloads[i].p);
	d->payloads = c->original;
	d->of_sink = NULL;
	free(c->payloads);
	buf_release(&c->text);
	buf_release(&c->key);
	buf_release(&c->body);
	free(c);
}

bool kafka_claim_is_bad(const struct kafka_claim *c, size_t i, struct error *err)
{
	if (!c || c->bad != i)
		return false;
	*err = c->why;
	return true;
}

static void counted_out(struct sink *s)
{
	pthread_mutex_lock(&s->lock);
	if (--s->flights == 0)
		pthread_cond_broadcast(&s->landed);
	pthread_mutex_unlock(&s->lock);
}

static void set_trouble(struct kafka_large *l, const char *text)
{
	pthread_mutex_lock(&l->lock);
	snprintf(l->trouble, sizeof(l->trouble), "%s", text);
	l->trouble_ms = clock_boot_ms(l->sink->host->clock);
	pthread_mutex_unlock(&l->lock);
}

const char *kafka_large_trouble(struct kafka_large *l, char *out, size_t size)
{
	pthread_mutex_lock(&l->lock);
	if (atomic_load(&l->claims) == 0 &&
	    clock_boot_ms(l->sink->host->clock) - l->trouble_ms >= TROUBLE_MS)
		l->trouble[0] = '\0';
	snprintf(out, size, "%s", l->trouble);
	pthread_mutex_unlock(&l->lock);
	return *out ? out : NULL;
}

/* Comes again, from its first record on. */
static void answer_failed(struct kafka_claim *c, const struct error *err)
{
	struct kafka_large *l = c->large;
	struct sink *s = l->sink;
	struct delivery *d = c->delivery;
	struct sink_answer a = {
		.kind = SINK_FAILED, .sink = s->host->index, .delivery = d, .first = d->first
	};

	a.err = *err;
	if (err->kind != ERROR_CANCELLED) {
		metric_add(metrics_cell(s->host->metrics, METRIC_SINK_RETRIES, s->host->name,
					"large_object"),
			   1);
		set_trouble(l, err->message);
	}
	kafka_claim_free(c);
	atomic_fetch_sub(&l->claims, 1);
	s->host->answer(s->host->arg, &a);
	counted_out(s);
}

static void go_on(struct kafka_claim *c)
{
	struct sink *s = c->large->sink;
	struct delivery *d = c->delivery;

	d->payloads = c->payloads;
	d->of_sink = c;
	atomic_fetch_sub(&c->large->claims, 1);
	kafka_go_on(s, d);
	counted_out(s);
}

/* --- the thread --- */

static void step(struct kafka_claim *c);
static void begin_more(struct kafka_large *l);

static bool ending(const struct kafka_large *l)
{
	return atomic_load(&l->close_wanted) || atomic_load(&l->sink->purged);
}

/* A claim is over. */
static void done(struct kafka_large *l)
{
	l->active--;
	begin_more(l);
}

static void record_over(struct kafka_claim *c)
{
	if (c->text.size > 0) {
		size_t n = c->text.size;

		c->payloads[c->at] = (struct str){ buf_steal(&c->text), n };
	}
	c->at++;
	c->line = NULL;
	c->part = 0;
}

static void add_line(struct kafka_claim *c, struct str line)
{
	bool added =
		(c->part <= 1 || buf_add(&c->text, "\n", 1)) && buf_add(&c->text, line.p, line.n);

	assert(added);
}

/* The rest of it goes on without this record: nothing behind it is sent either. */
static void refused(struct kafka_claim *c, const struct error *err)
{
	c->bad = c->at;
	c->why = *err;
	error_wrap(&c->why, "too large for Kafka, and not to be put into bucket %s",
		   c->large->sink->settings->large_bucket);
	c->why.kind = ERROR_INVALID;
	buf_clear(&c->text);
	c->at = c->delivery->batch->count;
	c->line = NULL;
}

static void put_done(void *arg, const struct error *err)
{
	struct kafka_claim *c = arg;
	struct kafka_large *l = c->large;
	struct error why = *err;

	if (ending(l))
		error_set(&why, ERROR_CANCELLED, "the session is ending");
	if (why.kind == ERROR_CANCELLED || (why.kind != ERROR_NONE && error_passes(why.kind))) {
		error_wrap(&why, "bucket %s", l->sink->settings->large_bucket);
		answer_failed(c, &why);
		done(l);
		return;
	}
	set_trouble(l, "");
	if (why.kind == ERROR_NONE) {
		struct buf reference;

		metric_add(l->objects, 1);
		metric_add(l->bytes, (int64_t)c->body.size);
		buf_init(&reference, 0);
		kafka_reference(l->sink->settings, &c->delivery->batch->events[c->at], c->putting,
				buf_str(&c->key), buf_str(&c->body), &reference);
		add_line(c, buf_str(&reference));
		buf_release(&reference);
	} else {
		refused(c, &why);
	}
	step(c);
}

static void put(struct kafka_claim *c, struct str line)
{
	struct kafka_large *l = c->large;
	const struct kafka_settings *s = l->sink->settings;
	const struct batch *b = c->delivery->batch;
	const struct s3_options o = { .content_type = "application/json" };
	struct s3_place at = { .bucket = s->large_bucket, .bucket_owner = s->large_owner };

	buf_clear(&c->key);
	buf_clear(&c->body);
	kafka_object_key(s, l->sink->host->name, b, c->at,
			 is_several(b, c->original[c->at]) ? c->part : 0, &c->key);
	kafka_object_body(s, &b->events[c->at], line, &c->body);
	c->putting = line;
	at.key = c->key.data;
	s3_put(l->client, &at, &o, buf_str(&c->body), put_done, c);
}

/* To the next object that it needs, or to Kafka. */
static void step(struct kafka_claim *c)
{
	struct delivery *d = c->delivery;
	const struct batch *b = d->batch;
	struct kafka_large *l = c->large;

	for (; c->at < b->count; record_over(c)) {
		struct str payload = c->original[c->at], line;

		if (!payload.p || (!c->line && !has_large(l, b, c->at, payload)))
			continue;
		while (next_line(payload, b->several, &c->line, &line)) {
			c->part++;
			if (is_large(l, &b->events[c->at], line)) {
				put(c, line);
				return;
			}
			add_line(c, line);
		}
	}
	go_on(c);
	done(l);
}

static void begin_more(struct kafka_large *l)
{
	struct error cancelled = { 0 };
	struct kafka_claim *c;

	error_set(&cancelled, ERROR_CANCELLED, "the session is ending");
	while (l->first && (l->active < ACTIVE_MAX || ending(l))) {
		c = l->first;
		l->first = c->next;
		if (!l->first)
			l->last = &l->first;
		if (ending(l)) {
			answer_failed(c, &cancelled);
			continue;
		}
		l->active++;
		step(c);
	}
}

static void take_waiting(struct kafka_large *l)
{
	struct kafka_claim *c;

	while (queue_drain(l->waiting, &c, 1) == 1) {
		c->next = NULL;
		*l->last = c;
		l->last = &c->next;
	}
	/* What is under way calls back as cancelled. */
	if (ending(l) && l->client) {
		aws_client_free(l->client);
		l->client = NULL;
	}
	begin_more(l);
}

static void on_waiting(void *arg, int fd, uint32_t events)
{
	/* The turn that follows looks into the queue. */
	(void)arg;
	(void)fd;
	(void)events;
}

static void *run(void *arg)
{
	struct kafka_large *l = arg;

	loop_watch(l->loop, queue_fd(l->waiting), EPOLLIN, on_waiting, l);
	while (!atomic_load(&l->close_wanted)) {
		loop_once(l->loop, -1);
		take_waiting(l);
	}
	take_waiting(l);
	return NULL;
}

bool kafka_large_take(struct kafka_large *l, struct delivery *d)
{
	struct kafka_claim *c;
	size_t i = d->first;

	d->of_sink = NULL;
	while (i < d->batch->count &&
	       (!d->payloads[i].p || !has_large(l, d->batch, i, d->payloads[i])))
		i++;
	if (i == d->batch->count)
		return false;
	c = claim_new(l, d);
	pthread_mutex_lock(&l->sink->lock);
	l->sink->flights++;
	pthread_mutex_unlock(&l->sink->lock);
	if (!queue_offer(l->waiting, &c)) {
		struct error err = { 0 };

		error_set(&err, ERROR_THROTTLED, "too many deliveries wait for their objects");
		answer_failed(c, &err);
	}
	return true;
}

void kafka_large_purge(struct kafka_large *l)
{
	loop_wake(l->loop);
}

/* --- a life --- */

void kafka_large_stop(struct kafka_large *l)
{
	if (!l || atomic_exchange(&l->close_wanted, true))
		return;
	loop_wake(l->loop);
	pthread_join(l->thread, NULL);
}

static void large_free(struct kafka_large *l)
{
	aws_client_free(l->client);
	loop_free(l->loop);
	queue_free(l->waiting);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

struct kafka_large *kafka_large_start(struct sink *s, struct error *err)
{
	const struct sink_host *host = s->host;
	struct kafka_large *l = memory_new(sizeof(*l));

	assert(host->aws && host->credentials);
	l->sink = s;
	l->last = &l->first;
	l->max_bytes = kafka_message_bytes_max(s->settings);
	pthread_mutex_init(&l->lock, NULL);
	l->objects = metrics_cell(host->metrics, METRIC_LARGE_OBJECTS, host->name, NULL);
	l->bytes = metrics_cell(host->metrics, METRIC_LARGE_BYTES, host->name, NULL);
	l->loop = loop_new(host->clock);
	l->waiting = queue_new(sizeof(struct kafka_claim *), WAITING_MAX);
	l->aws = *host->aws;
	l->aws.connections_max = ACTIVE_MAX;
	l->client = aws_client_new(l->loop, &l->aws, host->credentials, host->clock, host->metrics,
				   err);
	if (!l->client) {
		large_free(l);
		return NULL;
	}
	if (pthread_create(&l->thread, NULL, run, l) != 0) {
		large_free(l);
		error_set(err, ERROR_RETRY, "the system gives no thread for large records");
		return NULL;
	}
	pthread_setname_np(l->thread, "large");
	return l;
}

void kafka_large_free(struct kafka_large *l)
{
	kafka_large_stop(l);
	if (l)
		large_free(l);
}
