#include <stdlib.h>

#include "base/memory.h"
#include "sinks/kafka.h"

/* Topics that we make, where the settings ask for it, before the brokers hear of them in any other
 * way: they might make them by themselves then, with numbers of their own. */

#define OPERATION_MS 5000
/* Kafka's word for its brokers' default. */
#define BROKERS_DEFAULT (-1)

struct kafka_creation {
	char *name;
	rd_kafka_queue_t *queue;
};

static rd_kafka_NewTopic_t *topic_new(const struct kafka_settings *s, const char *name, char *why,
				      size_t size)
{
	rd_kafka_NewTopic_t *topic = rd_kafka_NewTopic_new(
		name, (int)s->create_partitions,
		s->create_replication ? (int)s->create_replication : BROKERS_DEFAULT, why, size);

	for (size_t i = 0; topic && i < s->create_config.count; i++)
		rd_kafka_NewTopic_set_config(topic, s->create_config.pairs[i].key,
					     s->create_config.pairs[i].value);
	return topic;
}

struct kafka_creation *kafka_creation_new(rd_kafka_t *rk, const struct kafka_settings *s,
					  const char *name, struct error *err)
{
	struct kafka_creation *c;
	char why[256];
	rd_kafka_AdminOptions_t *options;
	rd_kafka_NewTopic_t *topic = topic_new(s, name, why, sizeof(why));

	if (!topic) {
		error_set(err, ERROR_INVALID, "topic %s cannot be made: %s", name, why);
		return NULL;
	}
	c = memory_new(sizeof(*c));
	c->name = memory_text(name);
	c->queue = rd_kafka_queue_new(rk);
	options = rd_kafka_AdminOptions_new(rk, RD_KAFKA_ADMIN_OP_CREATETOPICS);
	rd_kafka_AdminOptions_set_operation_timeout(options, OPERATION_MS, why, sizeof(why));
	rd_kafka_CreateTopics(rk, &topic, 1, options, c->queue);
	rd_kafka_AdminOptions_destroy(options);
	rd_kafka_NewTopic_destroy(topic);
	return c;
}

void kafka_creation_free(struct kafka_creation *c)
{
	if (!c)
		return;
	rd_kafka_queue_destroy(c->queue);
	free(c->name);
	free(c);
}

const char *kafka_creation_name(const struct kafka_creation *c)
{
	return c->name;
}

/* Of the request, or of its one topic. */
static rd_kafka_resp_err_t code_of(rd_kafka_event_t *event, const char **text)
{
	const rd_kafka_CreateTopics_result_t *result = rd_kafka_event_CreateTopics_result(event);
	const rd_kafka_topic_result_t **topics;
	size_t count = 0;

	*text = rd_kafka_event_error_string(event);
	if (rd_kafka_event_error(event) || !result)
		return rd_kafka_event_error(event);
	topics = rd_kafka_CreateTopics_result_topics(result, &count);
	if (count == 0)
		return RD_KAFKA_RESP_ERR_NO_ERROR;
	*text = rd_kafka_topic_result_error_string(topics[0]);
	return rd_kafka_topic_result_error(topics[0]);
}

static const char *advice(rd_kafka_resp_err_t code)
{
	return code == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED ||
			       code == RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED
		       ? "; allow CREATE on it, or on the cluster"
		       : kafka_error_advice(code);
}

bool kafka_creation_over(struct kafka_creation *c, int wait_ms, bool *there, struct error *err)
{
	rd_kafka_event_t *event = rd_kafka_queue_poll(c->queue, wait_ms);
	rd_kafka_resp_err_t code;
	const char *text;

	*there = false;
	if (!event)
		return false;
	code = code_of(event, &text);
	*there = !code || code == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS;
	if (!*there)
		error_set(err, kafka_error_kind(code), "topic %s could not be made: %s%s", c->name,
			  text ? text : rd_kafka_err2str(code), advice(code));
	rd_kafka_event_destroy(event);
	return true;
}
