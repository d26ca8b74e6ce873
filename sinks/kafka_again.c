/* Records of dead letters, delivered once more: the messages that a worker would make of them, one
 * after the other. */
#include "sinks/kafka_post.h"
#include "sinks/template.h"

struct sending {
	const struct kafka_settings *settings;
	const struct sink_again *batch;
	struct template *topic;
	struct buf name; /* of a record's topic */
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

static bool send_message(struct kafka_post *p, const struct sending *s, const struct delivery *d,
			 struct str value, rd_kafka_headers_t *headers, struct error *err)
{
	return kafka_post_send(p, s->name.data, d->batch->events[d->first].key, headers, value,
			       err);
}

/* A message for each of several events that a script made of it. */
static bool send_events(struct kafka_post *p, const struct sending *s, const struct delivery *d,
			struct kafka_headers *h, struct error *err)
{
	struct str left = d->payloads[d->first];

	if (!d->batch->several || !memchr(left.p, '\n', left.n))
		return send_message(p, s, d, left, kafka_headers_new(h, d->first), err);
	for (unsigned part = 1;; part++) {
		const char *end = memchr(left.p, '\n', left.n);
		struct str one = { left.p, end ? (size_t)(end - left.p) : left.n };

		if (!send_message(p, s, d, one, kafka_headers_part(h, d->first, part), err))
			return false;
		if (!end)
			return true;
		left = (struct str){ end + 1, left.n - one.n - 1 };
	}
}

static bool send_record(struct kafka_post *p, void *arg, size_t i, bool *bad, struct error *err)
{
	struct sending *s = arg;
	const struct delivery *d = s->batch->records[i];
	struct kafka_headers h;
	bool sent;

	if (!topic_of(s, d, err)) {
		*bad = true;
		return false;
	}
	kafka_headers_init(&h, d->batch);
	sent = send_events(p, s, d, &h, err);
	if (sent && d->batch->events[d->first].op == EVENT_DELETE && s->settings->tombstones)
		sent = send_message(p, s, d, (struct str){ NULL, 0 },
				    kafka_headers_new(&h, d->first), err);
	*bad = !sent && kafka_error_is_records(p->code);
	return sent;
}

struct template *kafka_place(const void *settings, bool *required, struct error *err)
{
	const struct kafka_settings *s = settings;

	*required = s->missing != 0;
	return template_new(s->topic, TEMPLATE_TOPIC, err);
}

bool kafka_again(const void *settings, const struct sink_host *host, const struct sink_again *batch,
		 const _Atomic bool *stop, size_t *sent, size_t *refused, struct error *err)
{
	const struct kafka_settings *s = settings;
	struct kafka_post p = { .settings = s, .host = host, .stop = stop };
	struct sending sending = { .settings = s, .batch = batch };
	struct kafka_batch b = { .kind = "again",
				 .chain = batch->chain,
				 .number = batch->batch,
				 .stream = batch->stream,
				 .count = batch->count,
				 .send = send_record,
				 .arg = &sending };
	struct buf first = { 0 };
	bool required, ok;

	*sent = 0;
	*refused = batch->count;
	sending.topic = kafka_place(settings, &required, err);
	ok = sending.topic != NULL;
	if (ok && !topic_of(&sending, batch->records[0], err)) {
		*refused = 0;
		ok = false;
	}
	buf_printf(&first, "%s", ok ? sending.name.data : "");
	b.topic = first.data;
	ok = ok && kafka_batch_post(&p, &b, sent, refused, err);
	buf_release(&first);
	buf_release(&sending.name);
	template_free(sending.topic);
	return ok || error_wrap(err, "sink %s", host->name);
}
