/* Dead letters: messages of the sink's topic, one after the other.
 *
 * Exactly once: a transaction a batch, of a producer whose id is that of the batch's chain,
 * committed together with the batch's number as the offset of a group with that name. Whoever sends
 * the batch takes the id first, so that nobody else commits with it any more, and then asks how far
 * the group got: what is committed already is not sent again. */
#include <inttypes.h>
#include <stdlib.h>

#include "sinks/kafka_post.h"
#include "sinks/template.h"

/* How long one try takes: a stop waits for it. */
#define STEP_MS 1000

static bool topic_of(const struct kafka_settings *s, const struct source *source, struct buf *out,
		     struct error *err)
{
	AUTO(template) struct template *topic = template_new(s->topic, TEMPLATE_TOPIC, err);
	const struct template_values values = { .source = source };

	return topic && template_render(topic, &values, out, err);
}

static rd_kafka_headers_t *headers_of(const struct source *source, const struct sink_letter *l)
{
	rd_kafka_headers_t *h = rd_kafka_headers_new(4);

	rd_kafka_header_add(h, "sluice.stream", -1, source->stream, -1);
	rd_kafka_header_add(h, "sluice.shard", -1, l->shard, -1);
	rd_kafka_header_add(h, "sluice.sequence", -1, l->sequence, -1);
	rd_kafka_header_add(h, "sluice.reason", -1, l->reason, -1);
	return h;
}

/* *done: so many have been reported. */
static bool send_all(struct kafka_post *p, const struct sink_letters *b, const char *topic,
		     size_t *done, size_t *refused, struct error *err)
{
	for (*done = 0; *done < b->count; ++*done) {
		const struct sink_letter *l = &b->letters[*done];

		if (kafka_post_send(p, topic, str_of(l->shard), headers_of(b->source, l), l->json,
				    err))
			continue;
		if (kafka_error_is_records(p->code))
			*refused = *done;
		return false;
	}
	return true;
}

/* --- exactly once --- */

/* Frees the error. *again: the same call may succeed now. */
static bool step(const struct kafka_post *p, rd_kafka_error_t *error, bool *again,
		 struct error *err)
{
	*again = false;
	if (!error)
		return true;
	*again = rd_kafka_error_is_retriable(error) && !atomic_load(p->stop);
	return kafka_error_take(err, error);
}

/* As long as a message may take. */
static bool begin(struct kafka_post *p, struct error *err)
{
	int64_t until_ms = clock_boot_ms(p->host->clock) + kafka_message_timeout_ms(p->host);
	bool again, ok;

	do
		ok = step(p, rd_kafka_init_transactions(p->rk, STEP_MS), &again, err);
	while (again && clock_boot_ms(p->host->clock) < until_ms);
	return ok;
}

static bool commit(struct kafka_post *p, const struct sink_letters *b, const char *id,
		   const char *topic, struct error *err)
{
	rd_kafka_topic_partition_list_t *offsets = rd_kafka_topic_partition_list_new(1);
	rd_kafka_consumer_group_metadata_t *group = rd_kafka_consumer_group_metadata_new(id);
	bool again, ok;

	rd_kafka_topic_partition_list_add(offsets, topic, 0)->offset = b->batch;
	do
		ok = step(p, rd_kafka_send_offsets_to_transaction(p->rk, offsets, group, -1),
			  &again, err);
	while (again);
	rd_kafka_consumer_group_metadata_destroy(group);
	rd_kafka_topic_partition_list_destroy(offsets);
	if (!ok)
		return false;
	do
		ok = step(p, rd_kafka_commit_transaction(p->rk, -1), &again, err);
	while (again);
	return ok;
}

/* The producer's id is this batch's chain's from here on. Where the commit's fate is not known, the
 * next try asks. */
static bool send_once(struct kafka_post *p, const struct sink_letters *b, const char *id,
		      const char *topic, size_t *refused, struct error *err)
{
	int64_t counted;
	size_t done;
	bool again;

	if (!begin(p, err) || !kafka_counted(p->settings, p->host, id, topic, &counted, err))
		return false;
	if (counted >= b->batch)
		return true;
	return step(p, rd_kafka_begin_transaction(p->rk), &again, err) &&
	       send_all(p, b, topic, &done, refused, err) && commit(p, b, id, topic, err);
}

static bool post_once(struct kafka_post *p, const struct sink_letters *b, const char *topic,
		      size_t *sent, size_t *refused, struct error *err)
{
	struct buf id = { 0 };
	rd_kafka_conf_t *conf = kafka_conf(p->settings, p->host, KAFKA_FOR_ALONE, err);
	bool ok = conf != NULL;

	buf_printf(&id, "%s%s/%s/letters/%s", p->settings->id_prefix, b->chain, p->host->name,
		   b->source->stream);
	if (ok && !kafka_conf_transactional(conf, id.data, p->host, err)) {
		rd_kafka_conf_destroy(conf);
		ok = false;
	}
	ok = ok && kafka_post_open(p, conf, err) && send_once(p, b, id.data, topic, refused, err);
	*sent = ok ? b->count : 0;
	/* An open transaction would hold readers of the topic up until it times out. */
	if (!ok && p->rk) {
		bool again;
		struct error ignored;

		(void)step(p, rd_kafka_abort_transaction(p->rk, STEP_MS), &again, &ignored);
	}
	buf_release(&id);
	return ok;
}

bool kafka_letters_validate(const void *settings, struct error *err)
{
	const struct kafka_settings *s = settings;
	AUTO(template) struct template *topic = template_new(s->topic, TEMPLATE_TOPIC, err);

	if (!topic)
		return error_wrap(err, "topic");
	if (strcmp(s->topic, KAFKA_TOPIC_DEFAULT) == 0)
		return error_set(err, ERROR_INVALID,
				 "topic: dead letters need a topic of their own, letters.${stream} "
				 "for example: " KAFKA_TOPIC_DEFAULT " is where changes go");
	return (template_needs(topic) & ~(unsigned)TEMPLATE_NEEDS_SOURCE) == 0 ||
	       error_set(err, ERROR_INVALID,
			 "topic: a dead letter has ${stream}, ${table}, ${region} and ${account}, "
			 "and nothing else");
}

bool kafka_letters(const void *settings, const struct sink_host *host,
		   const struct sink_letters *batch, const _Atomic bool *stop, size_t *sent,
		   size_t *refused, struct error *err)
{
	const struct kafka_settings *s = settings;
	struct kafka_post p = { .settings = s, .host = host, .stop = stop };
	struct buf topic = { 0 };
	bool ok = topic_of(s, batch->source, &topic, err);

	*sent = 0;
	*refused = batch->count;
	if (ok && s->delivery)
		ok = post_once(&p, batch, topic.data, sent, refused, err);
	else if (ok)
		ok = kafka_post_open(&p, kafka_conf(s, host, KAFKA_FOR_ALONE, err), err) &&
		     send_all(&p, batch, topic.data, sent, refused, err);
	kafka_post_close(&p);
	buf_release(&topic);
	return ok || error_wrap(err, "sink %s", host->name);
}
