#pragma once
/* librdkafka's mock cluster, a sink on it, batches made by hand, the answers, and a consumer. */
#include <assert.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include "base/memory.h"
#include "sinks/kafka.h"
#include "tests/fault/sinks/c11_threads.h"

#define ANSWERS_MAX 256
/* Only so that a test that hangs ends. */
#define PATIENCE_S 120

struct world {
	rd_kafka_t *mock_handle;
	rd_kafka_mock_cluster_t *mock;
	struct clock clock;
	struct metrics *metrics;
	struct kafka_settings settings;
	struct option_pair pairs[8];
	struct sink_host host;
	struct sink *sink;
	pthread_mutex_t lock;
	pthread_cond_t answered;
	struct sink_answer answers[ANSWERS_MAX];
	size_t answer_count;
	char partitions[256]; /* what was said of topics: "topic stream n;" */
};

static const struct source orders = {
	.stream = "shop",
	.table = "orders",
	.arn = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/1",
	.account = "123456789012",
	.region = "eu-west-1",
	.key_hash = "pk",
	.key_range = "",
	.version = "0",
	.generation = 7,
};

static void world_answer(void *arg, const struct sink_answer *a)
{
	struct world *w = arg;

	pthread_mutex_lock(&w->lock);
	assert(w->answer_count < ANSWERS_MAX); /* cmocka's are for its own thread */
	if (a->kind == SINK_PARTITIONS) {
		size_t n = strlen(w->partitions);

		snprintf(w->partitions + n, sizeof(w->partitions) - n, "%s %s %u;", a->topic,
			 a->stream, a->partitions);
	} else {
		w->answers[w->answer_count++] = *a;
	}
	pthread_cond_broadcast(&w->answered);
	pthread_mutex_unlock(&w->lock);
}

/* The n-th answer, from 0; waits for it. */
static inline struct sink_answer world_wait(struct world *w, size_t n)
{
	struct sink_answer a;
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PATIENCE_S;
	pthread_mutex_lock(&w->lock);
	while (w->answer_count <= n)
		if (pthread_cond_timedwait(&w->answered, &w->lock, &until) != 0) {
			pthread_mutex_unlock(&w->lock);
			fail_msg("answer %zu never came", n);
		}
	a = w->answers[n];
	pthread_mutex_unlock(&w->lock);
	return a;
}

/* Settings may be changed between new and open. */
static struct world *world_new(int brokers)
{
	struct world *w = memory_new(sizeof(*w));
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	struct error err = { 0 };
	char why[256];

	rd_kafka_conf_set(conf, "log_level", "2", why, sizeof(why));
	w->mock_handle = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof(why));
	assert_non_null(w->mock_handle);
	w->mock = rd_kafka_mock_cluster_new(w->mock_handle, brokers);
	assert_non_null(w->mock);
	clock_init(&w->clock);
	w->metrics = metrics_new();
	assert_true(option_defaults(kafka_options, &w->settings, &err));
	w->settings.brokers = rd_kafka_mock_cluster_bootstraps(w->mock);
	w->settings.topic = "t";
	w->settings.properties.pairs = w->pairs;
	w->host = (struct sink_host){
		.index = 3,
		.name = "events",
		.session = "0",
		.readers = 1,
		.lease_ms = 60000,
		.memory_bytes = (size_t)64 << 20,
		.clock = &w->clock,
		.metrics = w->metrics,
		.answer = world_answer,
		.arg = w,
	};
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->answered, NULL);
	return w;
}

static inline void world_property(struct world *w, const char *key, const char *value)
{
	w->pairs[w->settings.properties.count++] = (struct option_pair){ key, value };
}

static void world_topic(struct world *w, const char *name, int partitions)
{
	assert_int_equal(rd_kafka_mock_topic_create(w->mock, name, partitions, 1), 0);
}

static inline void world_open(struct world *w)
{
	struct error err = { 0 };

	if (!kafka_validate(&w->settings, &err))
		fail_msg("%s", err.message);
	w->sink = sink_kafka.open(&w->settings, &w->host, &err);
	if (!w->sink)
		fail_msg("%s", err.message);
}

static void world_close(struct world *w)
{
	if (w->sink)
		sink_kafka.close(w->sink);
	w->sink = NULL;
}

static void world_free(struct world *w)
{
	world_close(w);
	rd_kafka_mock_cluster_destroy(w->mock);
	rd_kafka_destroy(w->mock_handle);
	metrics_free(w->metrics);
	pthread_cond_destroy(&w->answered);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

static inline int64_t world_metric(struct world *w, enum metric row, const char *label2)
{
	return metric_get(metrics_cell(w->metrics, row, "events", label2));
}

/* A batch of `count` creates whose records carry from, from + 1, … as sequence and payload, over
 * `keys` keys; the payload is filled up to `size`. */
/* A group's offset that came with a transaction, which the mock cluster forgets. */
static inline void world_count(struct world *w, const char *group, const char *topic,
			       int64_t offset)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	struct error err = { 0 };
	char why[256];
	rd_kafka_t *rk = rd_kafka_new(
		RD_KAFKA_CONSUMER, kafka_conf_group(&w->settings, group, &err), why, sizeof(why));

	rd_kafka_topic_partition_list_add(list, topic, 0)->offset = offset;
	assert_int_equal(rd_kafka_commit(rk, list, 0), 0);
	rd_kafka_topic_partition_list_destroy(list);
	rd_kafka_destroy(rk);
}

static inline struct delivery *delivery_new(size_t from, size_t count, size_t keys, size_t size)
{
	struct delivery *d = memory_new(sizeof(*d));
	struct batch *b = batch_new();
	struct str *payloads = arena_alloc(&b->arena, (count + 1) * sizeof(*payloads));

	b->source = &orders;
	b->shard = "shardId-1";
	b->count = count;
	b->events = arena_alloc(&b->arena, (count + 1) * sizeof(*b->events));
	for (size_t i = 0; i < count; i++) {
		struct event *e = &b->events[i];
		struct error err = { 0 };
		char *text = arena_alloc(&b->arena, size + 64);
		size_t n;

		*e = (struct event){ .op = EVENT_CREATE, .id = STR("id") };
		n = (size_t)snprintf(text, 64, "%zu", from + i);
		assert_true(sequence_parse(&e->sequence, (struct str){ text, n }, &err));
		n = (size_t)snprintf(text, 64, "{\"n\":%zu}", from + i);
		for (; n < size; n++)
			text[n] = ' ';
		text[n] = '\n';
		payloads[i] = (struct str){ text, n };
		e->key = str_of(arena_printf(&b->arena, "{\"pk\":%zu}", (from + i) % keys));
	}
	*d = (struct delivery){ .batch = b, .payloads = payloads, .count = count };
	return d;
}

/* Each of its events is at the place of these, of one value; texts end where they are said to. */
static inline void delivery_route(struct delivery *d, const struct str *places, size_t count,
				  size_t (*place)(const struct delivery *d, size_t event))
{
	struct batch *b = d->batch;
	struct batch_route *r = arena_alloc(&b->arena, sizeof(*r));

	*r = (struct batch_route){ .of = arena_alloc(&b->arena, b->count * sizeof(*r->of)),
				   .places = count,
				   .values = 1,
				   .values_of = places };
	for (size_t i = 0; i < b->count; i++)
		r->of[i] = (uint32_t)place(d, i);
	d->route = r;
}

static inline size_t place_by_op(const struct delivery *d, size_t event)
{
	return d->batch->events[event].op;
}
static const struct str cluster_ops[] = { { "c", 1 }, { "u", 1 }, { "d", 1 }, { "r", 1 } };

static inline void delivery_free(struct delivery *d)
{
	batch_free(d->batch);
	free(d);
}

/* One message as a consumer got it. */
struct seen {
	int partition;
	bool tombstone;
	long n; /* of the payload, or of the header sluice.sequence of a tombstone */
	char key[64];
	char value[256];
	char headers[512]; /* "name=value;" in the order of the message */
};

static void seen_headers(const rd_kafka_message_t *m, struct seen *s)
{
	rd_kafka_headers_t *headers;
	const char *name;
	const void *value;
	size_t size, n = 0;

	if (rd_kafka_message_headers(m, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR)
		return;
	for (size_t i = 0; !rd_kafka_header_get_all(headers, i, &name, &value, &size); i++) {
		n += (size_t)snprintf(s->headers + n, sizeof(s->headers) - n, "%s=%.*s;", name,
				      (int)size, (const char *)value);
		if (strcmp(name, "sluice.sequence") == 0 && !m->payload)
			s->n = strtol(value, NULL, 10);
	}
}

/* A payload has no zero byte behind it. */
static long payload_number(const rd_kafka_message_t *m)
{
	char text[32] = "";
	size_t skip = strlen("{\"n\":"), n = m->len - skip;

	memcpy(text, (const char *)m->payload + skip, n < sizeof(text) ? n : sizeof(text) - 1);
	return strtol(text, NULL, 10);
}

/* All of a topic, partition after partition; the caller frees. */
static struct seen *world_consume(struct world *w, const char *topic, int partitions, size_t *count)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	char why[256];
	struct seen *out = NULL;
	rd_kafka_t *rk;
	rd_kafka_topic_t *rkt;
	size_t capacity = 0;

	rd_kafka_conf_set(conf, "bootstrap.servers", w->settings.brokers, why, sizeof(why));
	rd_kafka_conf_set(conf, "enable.partition.eof", "true", why, sizeof(why));
	rd_kafka_conf_set(conf, "fetch.wait.max.ms", "10", why, sizeof(why));
	rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof(why));
	assert_non_null(rk);
	rkt = rd_kafka_topic_new(rk, topic, NULL);
	*count = 0;
	for (int p = 0; p < partitions; p++) {
		bool end = false;

		assert_int_equal(rd_kafka_consume_start(rkt, p, RD_KAFKA_OFFSET_BEGINNING), 0);
		while (!end) {
			rd_kafka_message_t *m = rd_kafka_consume(rkt, p, PATIENCE_S * 1000);
			struct seen *s;

			assert_non_null(m);
			end = m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF;
			if (m->err) {
				rd_kafka_message_destroy(m);
				continue;
			}
			if (*count == capacity) {
				capacity = capacity ? 2 * capacity : 64;
				out = memory_resize(out, capacity * sizeof(*out));
			}
			s = &out[(*count)++];
			*s = (struct seen){ .partition = m->partition, .tombstone = !m->payload };
			if (m->payload)
				s->n = payload_number(m);
			snprintf(s->value, sizeof(s->value), "%.*s", (int)m->len,
				 m->payload ? (const char *)m->payload : "");
			snprintf(s->key, sizeof(s->key), "%.*s", (int)m->key_len,
				 (const char *)m->key);
			seen_headers(m, s);
			rd_kafka_message_destroy(m);
		}
		rd_kafka_consume_stop(rkt, p);
	}
	rd_kafka_topic_destroy(rkt);
	rd_kafka_destroy(rk);
	return out;
}
