#include <stdint.h>
#include <stdlib.h>

#include "base/memory.h"
#include "sinks/kafka_flight.h"
#include "sinks/kafka_large.h"

/* A part of a flight is produced within so long, which a thousand records need a tenth of. Far less
 * than librdkafka takes to come back after a timeout. */
#define PART_MS 20

/* One call's worth of producing: what does not change from record to record. */
struct producing {
	struct flight *flight;
	struct kafka_channel *channel;
	struct kafka_headers headers;
	/* By place, as far as needed: `topics`, or the one where all go; NULL: each time anew. */
	rd_kafka_topic_t **topics, *topic;
};

static void producing_init(struct producing *p, struct flight *f, struct kafka_channel *c)
{
	*p = (struct producing){ .flight = f, .channel = c };
	kafka_headers_init(&p->headers, f->delivery->batch);
}

static rd_kafka_topic_t *topic_of(struct producing *p, size_t i, struct error *err)
{
	const struct delivery *d = p->flight->delivery;
	const struct batch_route *route = d->route;
	rd_kafka_topic_t *once = NULL, **topic = &p->topic;

	if (UNLIKELY(route))
		topic = p->topics ? &p->topics[route->of[i]] : &once;
	if (!*topic)
		*topic = kafka_channel_topic(p->channel, d->batch->source,
					     route ? batch_place(route, i) : NULL, err);
	return *topic;
}

/* Takes the headers. */
static rd_kafka_resp_err_t send_message(struct producing *p, size_t i, rd_kafka_topic_t *topic,
					struct str value, rd_kafka_headers_t *headers)
{
	struct flight *f = p->flight;
	struct str key = f->delivery->batch->events[i].key;
	/* librdkafka reads the payload and never writes it; its interface is not const. */
	const rd_kafka_vu_t message[] = {
		{ .vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = topic },
		{ .vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = { (void *)(uintptr_t)value.p, value.n } },
		{ .vtype = RD_KAFKA_VTYPE_KEY, .u.mem = { (void *)(uintptr_t)key.p, key.n } },
		{ .vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = &f->marks[i] },
		{ .vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = headers },
	};
	rd_kafka_error_t *error;
	rd_kafka_resp_err_t code;

	/* Before producing: the report may come before the call returns. */
	atomic_fetch_add_explicit(&f->unanswered, 1, memory_order_relaxed);
	error = rd_kafka_produceva(p->channel->rk, message, sizeof(message) / sizeof(message[0]));
	if (!error)
		return RD_KAFKA_RESP_ERR_NO_ERROR;
	atomic_fetch_sub_explicit(&f->unanswered, 1, memory_order_relaxed);
	code = rd_kafka_error_code(error);
	rd_kafka_error_destroy(error);
	rd_kafka_headers_destroy(headers);
	return code;
}

static bool stop(struct flight *f, size_t i, rd_kafka_topic_t *topic, rd_kafka_resp_err_t code)
{
	f->stopped = i;
	f->stopped_topic = topic;
	f->stopped_code = code;
	return false;
}

/* A message for each of the events that a script made of record i: each a line. */
static rd_kafka_resp_err_t send_several(struct producing *p, size_t i, rd_kafka_topic_t *topic)
{
	struct flight *f = p->flight;
	struct str left = f->delivery->payloads[i];

	for (unsigned part = 1;; part++) {
		const char *end = memchr(left.p, '\n', left.n);
		struct str one = { left.p, end ? (size_t)(end - left.p) : left.n };
		rd_kafka_resp_err_t code =
			send_message(p, i, topic, one, kafka_headers_part(&p->headers, i, part));

		f->torn = code && part > 1;
		if (code || !end)
			return code;
		left = (struct str){ end + 1, left.n - one.n - 1 };
	}
}

/* The mark is the report's from there on. */
static rd_kafka_resp_err_t send_record(struct producing *p, size_t i, rd_kafka_topic_t *topic)
{
	struct flight *f = p->flight;
	struct str payload = f->delivery->payloads[i];

	if (f->delivery->batch->several && memchr(payload.p, '\n', payload.n))
		return send_several(p, i, topic);
	return send_message(p, i, topic, payload,
			    kafka_headers_lend(&p->headers, i, &f->marks[i].lent));
}

/* Record i and its tombstone. False: stopped there. */
static bool produce(struct producing *p, size_t i)
{
	struct flight *f = p->flight;
	const struct event *e = &f->delivery->batch->events[i];
	rd_kafka_topic_t *topic;
	rd_kafka_resp_err_t code;

	if (atomic_load_explicit(&f->sink->purged, memory_order_relaxed))
		return stop(f, i, NULL, RD_KAFKA_RESP_ERR__PURGE_QUEUE);
	if (UNLIKELY(f->delivery->of_sink) &&
	    kafka_claim_is_bad(f->delivery->of_sink, i, &f->stopped_err))
		return stop(f, i, NULL, RD_KAFKA_RESP_ERR_INVALID_RECORD);
	topic = topic_of(p, i, &f->stopped_err);
	/* What can never be a topic of this event is for what the event is. */
	if (!topic)
		return stop(f, i, NULL,
			    f->stopped_err.kind == ERROR_THROTTLED ? RD_KAFKA_RESP_ERR__IN_PROGRESS
			    : f->delivery->route && f->stopped_err.kind == ERROR_INVALID
				    ? RD_KAFKA_RESP_ERR_INVALID_RECORD
				    : RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION);
	code = send_record(p, i, topic);
	if (code)
		return stop(f, i, topic, code);
	f->sent = topic;
	if (e->op != EVENT_DELETE || !f->sink->settings->tombstones)
		return true;
	code = send_message(p, i, topic, (struct str){ NULL, 0 },
			    kafka_headers_new(&p->headers, i));
	f->torn = code != RD_KAFKA_RESP_ERR_NO_ERROR;
	return !code || stop(f, i, topic, code);
}

/* How many records with a payload stand in [from, to), and their bytes with the keys. */
static size_t measure(const struct delivery *d, size_t from, size_t to, size_t *payload_bytes,
		      size_t *key_bytes)
{
	size_t count = 0;

	*payload_bytes = *key_bytes = 0;
	for (size_t i = from; i < to; i++) {
		if (!d->payloads[i].p)
			continue;
		count++;
		*payload_bytes += d->payloads[i].n;
		*key_bytes += d->batch->events[i].key.n;
	}
	return count;
}

/* Refused for its size, a record comes again, and goes as a reference then. */
static bool is_for_object(const struct flight *f, size_t i)
{
	rd_kafka_resp_err_t code = i == f->stopped  ? f->stopped_code
				   : i == f->failed ? f->failed_code
						    : f->verdict_code;

	return f->sink->large &&
	       (code == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE ||
		code == RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE) &&
	       kafka_large_learn(f->sink->large, f->delivery, i);
}

void kafka_flight_answer(struct flight *f, enum sink_answer_kind kind, size_t first, uint64_t roll,
			 const struct error *err)
{
	struct sink *s = f->sink;
	struct delivery *d = f->delivery;
	struct sink_answer a = {
		.kind = kind, .sink = s->host->index, .delivery = d, .first = first, .roll = roll
	};
	size_t bytes, keys, count;

	count = measure(d, d->first, first, &bytes, &keys);
	metric_add(s->delivered, (int64_t)count);
	metric_add(s->delivered_bytes, (int64_t)bytes);
	metric_add(s->unanswered_bytes, -(int64_t)f->bytes);
	if (err)
		a.err = *err;
	if (kind == SINK_REFUSED && is_for_object(f, first)) {
		a.kind = SINK_FAILED;
		error_wrap(&a.err, "it goes into an object");
		a.err.kind = ERROR_THROTTLED;
	}
	kafka_claim_free(d->of_sink);
	kafka_used_give(&kafka_channel_of(s, d->reader)->used, f->marks, d->batch->count);
	free(f);
	s->host->answer(s->host->arg, &a);
	pthread_mutex_lock(&s->lock);
	if (--s->flights == 0)
		pthread_cond_broadcast(&s->landed);
	pthread_mutex_unlock(&s->lock);
}

static void answer_taken(struct flight *f)
{
	kafka_flight_answer(f, SINK_TAKEN, f->delivery->batch->count, 0, NULL);
}

static void count_retry(struct sink *s, rd_kafka_resp_err_t code)
{
	char reason[64];

	kafka_error_reason(code, reason, sizeof(reason));
	metric_add(metrics_cell(s->host->metrics, METRIC_SINK_RETRIES, s->host->name, reason), 1);
}

static void why(struct flight *f, bool stopped, struct error *err)
{
	rd_kafka_resp_err_t code = stopped ? f->stopped_code : f->failed_code;
	const rd_kafka_topic_t *topic = stopped ? f->stopped_topic : f->failed_topic;

	if (stopped && f->stopped_err.kind)
		*err = f->stopped_err;
	else
		kafka_error(err, code, topic ? rd_kafka_topic_name(topic) : NULL);
	if (code == RD_KAFKA_RESP_ERR__MSG_TIMED_OUT)
		kafka_trouble_explain(f->sink, err);
}

void kafka_flight_why(struct flight *f, bool stopped, struct error *err)
{
	why(f, stopped, err);
	if (err->kind == ERROR_CANCELLED)
		return;
	count_retry(f->sink, stopped ? f->stopped_code : f->failed_code);
	/* Ours to slow down, not the brokers' trouble. */
	if (err->kind != ERROR_THROTTLED)
		kafka_trouble_set(f->sink, err->message);
}

/* Of a transaction all get in or none. */
static bool is_late(const struct flight *f, int64_t begun_ms)
{
	return !f->sink->transactions && clock_boot_ms(f->sink->host->clock) - begun_ms > PART_MS;
}

/* From record `next` on, as far as it goes in one part; the caller holds `unanswered`. */
static void send_part(struct flight *f)
{
	const struct delivery *d = f->delivery;
	int64_t begun_ms = clock_boot_ms(f->sink->host->clock);
	struct producing p;
	size_t first = f->next;

	producing_init(&p, f, kafka_channel_of(f->sink, d->reader));
	if (d->route)
		p.topics = memory_array(d->route->places + 1, sizeof(rd_kafka_topic_t *));
	for (; f->next < f->end; f->next++) {
		if (!d->payloads[f->next].p)
			continue;
		if ((f->next > first && is_late(f, begun_ms)) || !produce(&p, f->next))
			break;
	}
	free(p.topics);
}

static void answer_bad(struct flight *f, enum sink_answer_kind kind, size_t i)
{
	struct error err = { 0 };

	if (kind == SINK_FAILED)
		kafka_flight_why(f, i == f->stopped, &err);
	else
		why(f, i == f->stopped, &err);
	kafka_flight_answer(f, kind, i, 0, &err);
}

/* The next record over the channel of single ones. False: there was none, the flight is over. */
static bool alone_next(struct flight *f)
{
	const struct delivery *d = f->delivery;
	struct producing p;
	struct kafka_channel *c;

	while (f->next < d->batch->count && !d->payloads[f->next].p)
		f->next++;
	if (f->next == d->batch->count) {
		answer_taken(f);
		return false;
	}
	f->failed = f->stopped = KAFKA_NONE;
	f->stopped_err.kind = ERROR_NONE;
	atomic_store_explicit(&f->unanswered, 1, memory_order_relaxed);
	c = kafka_alone(f->sink, &f->stopped_err);
	if (c) {
		producing_init(&p, f, c);
		(void)produce(&p, f->next);
	} else {
		(void)stop(f, f->next, NULL, RD_KAFKA_RESP_ERR__FAIL);
	}
	f->next++;
	return true;
}

/* Everything produced was reported. True: goes on, and the caller is again one who produces. */
static bool land(struct flight *f)
{
	bool stopped_first = f->stopped < f->failed;
	size_t first = stopped_first ? f->stopped : f->failed;
	rd_kafka_resp_err_t code = stopped_first ? f->stopped_code : f->failed_code;

	if (f->sink->transactions) {
		kafka_transactions_landed(f);
		return false;
	}
	if (first == KAFKA_NONE && f->alone)
		return alone_next(f);
	if (first == KAFKA_NONE && f->next < f->end) {
		atomic_store_explicit(&f->unanswered, 1, memory_order_relaxed);
		send_part(f);
		return true;
	}
	if (first == KAFKA_NONE) {
		answer_taken(f);
	} else if (!kafka_error_is_records(code)) {
		answer_bad(f, SINK_FAILED, first);
	} else if (stopped_first || f->alone) {
		answer_bad(f, SINK_REFUSED, first);
	} else {
		f->alone = true;
		f->next = first;
		return alone_next(f);
	}
	return false;
}

static void release(struct flight *f)
{
	while (atomic_fetch_sub_explicit(&f->unanswered, 1, memory_order_acq_rel) == 1 && land(f))
		;
}

void kafka_flight_report(rd_kafka_message_t *m)
{
	struct kafka_mark *mark = m->_private;
	struct flight *f = mark->flight;
	size_t i = (size_t)(mark - f->marks);

	/* A tombstone, and each of several events of a record, has headers of its own. */
	if (m->payload && m->len == f->delivery->payloads[i].n)
		kafka_headers_back(mark->lent, m);
	if (!m->err)
		kafka_trouble_clear(f->sink);
	if (m->err && i < f->failed) {
		f->failed = i;
		f->failed_code = m->err;
		f->failed_topic = m->rkt;
	}
	if (kafka_error_is_records(m->err) && i < f->accused) {
		f->accused = i;
		f->accused_code = m->err;
		f->accused_topic = m->rkt;
	}
	release(f);
}

struct flight *kafka_flight_new(struct sink *s, struct delivery *d)
{
	size_t count = d->batch->count, bytes, keys;
	struct flight *f = memory_new(sizeof(*f) + count * sizeof(f->marks[0]));

	pthread_mutex_lock(&s->lock);
	s->flights++;
	pthread_mutex_unlock(&s->lock);
	f->sink = s;
	f->delivery = d;
	f->end = count;
	for (size_t i = d->first; i < count; i++)
		f->marks[i].flight = f;
	kafka_used_take(&kafka_channel_of(s, d->reader)->used, f->marks + d->first,
			count - d->first);
	measure(d, d->first, count, &bytes, &keys);
	f->bytes = bytes + keys;
	metric_add(s->unanswered_bytes, (int64_t)f->bytes);
	return f;
}

void kafka_flight_send(struct flight *f)
{
	f->failed = f->stopped = f->accused = KAFKA_NONE;
	f->stopped_err.kind = ERROR_NONE;
	f->sent = NULL;
	f->torn = false;
	f->next = f->delivery->first;
	atomic_store_explicit(&f->unanswered, 1, memory_order_relaxed);
	send_part(f);
	release(f);
}

void kafka_flight_begin(struct sink *s, struct delivery *d)
{
	kafka_flight_send(kafka_flight_new(s, d));
}
