#pragma once
#include "sinks/kafka.h"

/* A producer of its own for a few messages that go one after the other, each once the one before it
 * was reported: so their order holds, whatever fails. One thread's; calls block. */
struct kafka_post {
	const struct kafka_settings *settings;
	const struct sink_host *host;
	const _Atomic bool *stop; /* ends the waiting */
	rd_kafka_t *rk;
	rd_kafka_topic_t **topics; /* that were met */
	size_t topic_count, topic_capacity;
	bool reported;
	rd_kafka_resp_err_t code; /* of the last report */
	char broker[320];         /* the brokers' last error */
};

/* Takes conf (NULL: false). Only settings, host and stop have to be set. */
bool kafka_post_open(struct kafka_post *p, rd_kafka_conf_t *conf, struct error *err);
/* What is unsent is dropped. */
void kafka_post_close(struct kafka_post *p);
/* Until each of these is there and the producer knows its partitions: for one after the other that
 * takes long, which an open transaction has no time for. Else a topic is met when it is sent to. */
bool kafka_post_meet(struct kafka_post *p, const char *const *topics, size_t count,
		     struct error *err);
/* Until the brokers have it; takes the headers (NULL: none). After an error p->code is librdkafka's
 * (NO_ERROR: it was stopped). */
bool kafka_post_send(struct kafka_post *p, const char *topic, struct str key,
		     rd_kafka_headers_t *headers, struct str body, struct error *err);
/* Kind and text, and what the brokers said last. Always false. */
bool kafka_post_failed(const struct kafka_post *p, rd_kafka_resp_err_t code, const char *topic,
		       struct error *err);
/* CANCELLED where it is. */
bool kafka_post_stopped(const struct kafka_post *p, struct error *err);

/* A batch of messages that is sent by whoever comes, and known by its chain and number: at least
 * once, or in one transaction where the sink's records come exactly once (kafka_batch.c). */
struct kafka_batch {
	const char *kind; /* "letters", "again": of what, in ids */
	const char *chain, *stream;
	int64_t number;
	/* Where the commit is counted: at each topic that it is for, so that what is left of the
	 * batch by the next try finds it. */
	const char *const *topics;
	size_t topic_count;
	size_t count;
	/* Exactly once: it was made so long ago that the brokers may have forgotten its commit.
	 * Where they know of none, it is not sent: INVALID; or it is, and said (even_twice). */
	bool doubtful, even_twice;
	/* Item i until the brokers have it; *bad: it can never get in. */
	bool (*send)(struct kafka_post *p, void *arg, size_t i, bool *bad, struct error *err);
	void *arg;
};
/* Opens and closes p. *sent: so many are there for good, also where it failed; *refused: this one
 * can never get in, else it is left alone. */
bool kafka_batch_post(struct kafka_post *p, const struct kafka_batch *b, size_t *sent,
		      size_t *refused, struct error *err);
