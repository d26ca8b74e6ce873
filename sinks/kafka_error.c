#include <ctype.h>

#include "sinks/kafka.h"

/* librdkafka's and the brokers' codes that are more than "try again"; the only place that knows
 * them. */
static const struct code {
	rd_kafka_resp_err_t code;
	enum error_kind kind;
	bool records; /* for what one record of the request is */
	const char *advice;
} codes[] = {
	{ RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, ERROR_INVALID, true,
	  "; the topic's max.message.bytes decides, and properties.message.max.bytes here" },
	{ RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE, ERROR_INVALID, true,
	  "; the topic's segment.bytes decides" },
	{ RD_KAFKA_RESP_ERR_INVALID_RECORD, ERROR_INVALID, true,
	  "; the topic's rules (compaction, schema validation) do not take it" },
	{ RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, ERROR_REFUSED, false,
	  "; allow WRITE and DESCRIBE on the topic, for exactly_once READ, too" },
	{ RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED, ERROR_REFUSED, false,
	  "; allow IDEMPOTENT_WRITE on the cluster" },
	{ RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED, ERROR_REFUSED, false,
	  "; see sasl.* under properties" },
	{ RD_KAFKA_RESP_ERR__AUTHENTICATION, ERROR_REFUSED, false,
	  "; see security.protocol and sasl.* under properties" },
	{ RD_KAFKA_RESP_ERR__SSL, ERROR_REFUSED, false,
	  "; see security.protocol and ssl.* under properties" },
	{ RD_KAFKA_RESP_ERR_POLICY_VIOLATION, ERROR_REFUSED, false, "" },
	{ RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION, ERROR_INVALID, false, "; see `topic`" },
	{ RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, ERROR_NOT_FOUND, false, "; create the topic" },
	{ RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC, ERROR_NOT_FOUND, false, "; create the topic" },
	{ RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, ERROR_NOT_FOUND, false, "" },
	{ RD_KAFKA_RESP_ERR__QUEUE_FULL, ERROR_THROTTLED, false, "; the brokers are slower" },
	{ RD_KAFKA_RESP_ERR_THROTTLING_QUOTA_EXCEEDED, ERROR_THROTTLED, false, "" },
	{ RD_KAFKA_RESP_ERR__PURGE_QUEUE, ERROR_CANCELLED, false, "" },
	{ RD_KAFKA_RESP_ERR__PURGE_INFLIGHT, ERROR_CANCELLED, false, "" },
	{ RD_KAFKA_RESP_ERR__DESTROY, ERROR_CANCELLED, false, "" },
	{ RD_KAFKA_RESP_ERR__FATAL, ERROR_FENCED, false, "" },
	{ RD_KAFKA_RESP_ERR__FENCED, ERROR_FENCED, false, "" },
	{ RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, ERROR_FENCED, false, "" },
	{ RD_KAFKA_RESP_ERR_PRODUCER_FENCED, ERROR_FENCED, false, "" },
	{ RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED, ERROR_REFUSED, false,
	  "; allow WRITE and DESCRIBE on transactional ids that begin with `id_prefix`" },
	{ RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED, ERROR_REFUSED, false,
	  "; allow READ on groups that begin with `id_prefix`" },
	{ RD_KAFKA_RESP_ERR_INVALID_TRANSACTION_TIMEOUT, ERROR_INVALID, false,
	  "; the brokers' transaction.max.timeout.ms has to be at least checkpoint.lease" },
};

static const struct code *find(rd_kafka_resp_err_t code)
{
	static const struct code passing = { .kind = ERROR_RETRY, .advice = "" };

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (codes[i].code == code)
			return &codes[i];
	return &passing;
}

enum error_kind kafka_error_kind(rd_kafka_resp_err_t code)
{
	return find(code)->kind;
}

bool kafka_error_is_records(rd_kafka_resp_err_t code)
{
	return find(code)->records;
}

const char *kafka_error_advice(rd_kafka_resp_err_t code)
{
	return find(code)->advice;
}

bool kafka_error(struct error *err, rd_kafka_resp_err_t code, const char *topic)
{
	return error_set(err, kafka_error_kind(code), "%s%s%s%s%s", topic ? "topic " : "",
			 topic ? topic : "", topic ? ": " : "", rd_kafka_err2str(code),
			 kafka_error_advice(code));
}

bool kafka_error_take(struct error *err, rd_kafka_error_t *error)
{
	rd_kafka_resp_err_t code = rd_kafka_error_code(error);

	error_set(err, rd_kafka_error_is_retriable(error) ? ERROR_RETRY : kafka_error_kind(code),
		  "%s%s", rd_kafka_error_string(error), kafka_error_advice(code));
	rd_kafka_error_destroy(error);
	return false;
}

char *kafka_error_reason(rd_kafka_resp_err_t code, char *out, size_t size)
{
	const char *name = rd_kafka_err2name(code);
	size_t n = 0;

	/* librdkafka's own codes begin with an underscore. */
	for (name += *name == '_'; *name && n + 1 < size; name++)
		out[n++] = (char)tolower((unsigned char)*name);
	out[n] = '\0';
	return out;
}
