/* Exactly once: a transaction a batch, of a producer whose id is that of the batch's chain,
 * committed together with the batch's number as the offset of a group with that name. Whoever sends
 * the batch takes the id first, so that nobody else commits with it any more, and then asks how far
 * the group got: what is committed already is not sent again. */
#include "sinks/kafka_post.h"

/* How long one try takes: a stop waits for it. */
#define STEP_MS 1000

/* *done: so many have been reported. */
static bool send_all(struct kafka_post *p, const struct kafka_batch *b, size_t *done,
		     size_t *refused, struct error *err)
{
	for (*done = 0; *done < b->count; ++*done) {
		bool bad = false;

		if (b->send(p, b->arg, *done, &bad, err))
			continue;
		if (bad)
			*refused = *done;
		return false;
	}
	return true;
}

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

static bool commit(struct kafka_post *p, const struct kafka_batch *b, const char *id,
		   struct error *err)
{
	rd_kafka_topic_partition_list_t *offsets =
		rd_kafka_topic_partition_list_new((int)b->topic_count);
	rd_kafka_consumer_group_metadata_t *group = rd_kafka_consumer_group_metadata_new(id);
	bool again, ok;

	for (size_t i = 0; i < b->topic_count; i++)
		rd_kafka_topic_partition_list_add(offsets, b->topics[i], 0)->offset = b->number;
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

/* An earlier batch's commit is forgotten before a later one's: where one is known, all that came
 * after it is. */
static bool forgotten(const struct kafka_batch *b, const char *id, struct error *err)
{
	char time[CLOCK_TEXT_SIZE];

	return error_set(
		err, ERROR_INVALID,
		"a batch of %s was begun and not finished, and group %s has forgotten by now "
		"whether it was committed: look for its records in the topic",
		clock_text(b->number, time), id);
}

static void say_forgotten(const struct kafka_post *p, const struct kafka_batch *b, const char *id)
{
	char time[CLOCK_TEXT_SIZE];

	log_warn("whether a batch was committed is forgotten by now: it may come twice",
		 log_text("sink", p->host->name), log_text("stream", b->stream),
		 log_text("group", id), log_text("batch", clock_text(b->number, time)));
}

/* The producer's id is this batch's chain's from here on. Where the commit's fate is not known, the
 * next try asks. */
static bool send_once(struct kafka_post *p, const struct kafka_batch *b, const char *id,
		      size_t *refused, struct error *err)
{
	int64_t counted;
	size_t done;
	bool again;

	if (!begin(p, err) ||
	    !kafka_counted(p->settings, p->host, id, b->topics, b->topic_count, &counted, err))
		return false;
	if (counted >= b->number)
		return true;
	if (counted < 0 && b->doubtful) {
		if (!b->even_twice)
			return forgotten(b, id, err);
		say_forgotten(p, b, id);
	}
	return kafka_post_meet(p, b->topics, b->topic_count, err) &&
	       step(p, rd_kafka_begin_transaction(p->rk), &again, err) &&
	       send_all(p, b, &done, refused, err) && commit(p, b, id, err);
}

static bool post_once(struct kafka_post *p, const struct kafka_batch *b, size_t *sent,
		      size_t *refused, struct error *err)
{
	struct buf id = { 0 };
	rd_kafka_conf_t *conf = kafka_conf(p->settings, p->host, KAFKA_FOR_ALONE, err);
	bool ok = conf != NULL;

	buf_printf(&id, "%s%s/%s/%s/%s", p->settings->id_prefix, b->chain, p->host->name, b->kind,
		   b->stream);
	if (ok && !kafka_conf_transactional(conf, id.data, p->host, err)) {
		rd_kafka_conf_destroy(conf);
		ok = false;
	}
	ok = ok && kafka_post_open(p, conf, err) && send_once(p, b, id.data, refused, err);
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

bool kafka_batch_post(struct kafka_post *p, const struct kafka_batch *b, size_t *sent,
		      size_t *refused, struct error *err)
{
	bool ok;

	*sent = 0;
	if (p->settings->delivery)
		ok = post_once(p, b, sent, refused, err);
	else
		ok = kafka_post_open(p, kafka_conf(p->settings, p->host, KAFKA_FOR_ALONE, err),
				     err) &&
		     send_all(p, b, sent, refused, err);
	kafka_post_close(p);
	return ok;
}
