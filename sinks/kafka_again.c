/* Records of dead letters, delivered once more: the messages that a worker would make of them, one
 * after the other. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "sinks/kafka_large.h"
#include "sinks/kafka_post.h"
#include "sinks/template.h"

struct sending {
	const struct kafka_settings *settings;
	const struct sink_again *batch;
	size_t base; /* those before it are in */
	struct template *topic;
	struct buf name; /* of a record's topic */
	/* Where too large ones go into objects. */
	size_t max_bytes;
	bool *as_reference; /* of those that were refused for their size */
	struct kafka_large_post large;
	struct buf reference;
};

/* ERROR_INVALID: it can never be one. */
static bool topic_of(struct sending *s, const struct delivery *d, struct error *err)
{
	const struct template_values values = {
		.source = d->batch->source,
		.event = d->route ? batch_place(d->route, d->first) : NULL,
	};

	buf_clear(&s->name);
	if (!template_render(s->topic, &values, &s->name, err))
		return false;
	return !s->settings->control_topic || !d->route ||
	       strcmp(s->name.data, s->settings->control_topic) != 0 ||
	       error_set(err, ERROR_INVALID, "topic %s: it is the control topic", s->name.data);
}

/* Takes the headers. */
static bool send_message(struct kafka_post *p, const struct sending *s, const struct delivery *d,
			 struct str value, rd_kafka_headers_t *headers, struct error *err)
{
	return kafka_post_send(p, s->name.data, d->batch->events[d->first].key, headers, value,
			       err);
}

/* Takes the headers. *bad: the bucket can never take it. */
static bool send_event(struct kafka_post *p, struct sending *s, const struct delivery *d,
		       struct str value, rd_kafka_headers_t *headers, unsigned part,
		       bool as_reference, bool *bad, struct error *err)
{
	if (!s->settings->large_bucket ||
	    (!as_reference && !kafka_is_large(s->max_bytes, &d->batch->events[d->first], value)))
		return send_message(p, s, d, value, headers, err);
	buf_clear(&s->reference);
	if (!kafka_large_post(&s->large, d->batch, d->first, part, value, &s->reference, err)) {
		*bad = err->kind != ERROR_CANCELLED && !error_passes(err->kind);
		rd_kafka_headers_destroy(headers);
		return false;
	}
	return send_message(p, s, d, buf_str(&s->reference), headers, err);
}

/* A message for each of several events that a script made of it. */
static bool send_events(struct kafka_post *p, struct sending *s, const struct delivery *d,
			struct kafka_headers *h, bool as_reference, bool *bad, struct error *err)
{
	struct str left = d->payloads[d->first];

	if (!d->batch->several || !memchr(left.p, '\n', left.n))
		return send_event(p, s, d, left, kafka_headers_new(h, d->first), 0, as_reference,
				  bad, err);
	for (unsigned part = 1;; part++) {
		const char *end = memchr(left.p, '\n', left.n);
		struct str one = { left.p, end ? (size_t)(end - left.p) : left.n };
		rd_kafka_headers_t *headers = kafka_headers_part(h, d->first, part);

		if (!send_event(p, s, d, one, headers, part, as_reference, bad, err))
			return false;
		if (!end)
			return true;
		left = (struct str){ end + 1, left.n - one.n - 1 };
	}
}

static bool send_record(struct kafka_post *p, void *arg, size_t i, bool *bad, struct error *err)
{
	struct sending *s = arg;
	const struct delivery *d = s->batch->records[s->base + i];
	struct kafka_headers h;
	bool sent;

	if (!topic_of(s, d, err)) {
		*bad = true;
		return false;
	}
	kafka_headers_init(&h, d->batch);
	p->code = RD_KAFKA_RESP_ERR_NO_ERROR;
	sent = send_events(p, s, d, &h, s->as_reference[s->base + i], bad, err);
	if (sent && d->batch->events[d->first].op == EVENT_DELETE && s->settings->tombstones)
		sent = send_message(p, s, d, (struct str){ NULL, 0 },
				    kafka_headers_new(&h, d->first), err);
	*bad = *bad || (!sent && kafka_error_is_records(p->code));
	return sent;
}

/* Refused for its size, a record goes as a reference. */
static bool is_for_object(const struct kafka_post *p, const struct sending *s, size_t i)
{
	return s->settings->large_bucket && !s->as_reference[i] &&
	       (p->code == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE ||
		p->code == RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE);
}

/* In one go, but for those that are refused for their size: then again from there on, or all of it
 * where it is a transaction. */
static bool send_all(struct kafka_post *p, struct sending *s, struct kafka_batch *b, size_t *sent,
		     size_t *refused, struct error *err)
{
	for (;;) {
		size_t some = 0, bad = SIZE_MAX;
		bool ok;

		b->count = s->batch->count - s->base;
		ok = kafka_batch_post(p, b, &some, &bad, err);
		s->base += some;
		*sent = s->base;
		if (ok || bad == SIZE_MAX)
			return ok;
		*refused = s->base - some + bad;
		if (!is_for_object(p, s, *refused))
			return false;
		s->as_reference[*refused] = true;
		*refused = s->batch->count;
	}
}

struct template *kafka_place(const void *settings, bool *required, struct error *err)
{
	const struct kafka_settings *s = settings;

	*required = s->missing != 0;
	return template_new(s->topic, TEMPLATE_TOPIC, err);
}

/* Of its records, each once. */
struct topics {
	char **names;
	size_t count;
};

static void add_topic(struct topics *t, const char *name)
{
	for (size_t i = 0; i < t->count; i++)
		if (strcmp(t->names[i], name) == 0)
			return;
	t->names[t->count++] = memory_text(name);
}

/* One that can have none is met when it is sent. False: the first one cannot. */
static bool topics_of(struct sending *s, struct topics *t, struct error *err)
{
	struct error ignored;

	if (!topic_of(s, s->batch->records[0], err))
		return false;
	t->names = memory_array(s->batch->count, sizeof(*t->names));
	add_topic(t, s->name.data);
	for (size_t i = 1; i < s->batch->count; i++)
		if (topic_of(s, s->batch->records[i], &ignored))
			add_topic(t, s->name.data);
	return true;
}

static void topics_release(struct topics *t)
{
	for (size_t i = 0; i < t->count; i++)
		free(t->names[i]);
	free(t->names);
}

bool kafka_again(const void *settings, const struct sink_host *host, const struct sink_again *batch,
		 const _Atomic bool *stop, size_t *sent, size_t *refused, struct error *err)
{
	const struct kafka_settings *s = settings;
	struct kafka_post p = { .settings = s, .host = host, .stop = stop };
	struct sending sending = { .settings = s,
				   .batch = batch,
				   .max_bytes = kafka_message_bytes_max(s),
				   .as_reference = memory_array(batch->count, sizeof(bool)),
				   .large = { .settings = s, .host = host, .stop = stop } };
	struct kafka_batch b = { .kind = "again",
				 .chain = batch->chain,
				 .number = batch->batch,
				 .stream = batch->stream,
				 .doubtful = !batch->even_twice &&
					     kafka_may_be_forgotten(host, batch->batch),
				 .send = send_record,
				 .arg = &sending };
	struct topics topics = { .count = 0 };
	bool required, ok;

	*sent = 0;
	*refused = batch->count;
	sending.topic = kafka_place(settings, &required, err);
	ok = sending.topic != NULL;
	if (ok && !topics_of(&sending, &topics, err)) {
		*refused = 0;
		ok = false;
	}
	b.topics = (const char *const *)topics.names;
	b.topic_count = topics.count;
	ok = ok && send_all(&p, &sending, &b, sent, refused, err);
	topics_release(&topics);
	buf_release(&sending.name);
	buf_release(&sending.reference);
	free(sending.as_reference);
	kafka_large_post_close(&sending.large);
	template_free(sending.topic);
	return ok || error_wrap(err, "sink %s", host->name);
}
