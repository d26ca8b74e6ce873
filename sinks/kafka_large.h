#pragma once
#include "aws/s3.h"
#include "base/loop.h"
#include "sinks/kafka.h"

/* Events that are too large for Kafka, on their way into objects (`large`). A delivery that has
 * some is *claimed*: it goes on to Kafka once its large payloads are in S3 for good, with
 * references in their place; its lane waits meanwhile, and no other does. One thread, which never
 * waits for one of them alone. */
struct kafka_large;
/* NULL with err; only where s->settings->large_bucket is set. */
struct kafka_large *kafka_large_start(struct sink *s, struct error *err);
/* What is under way is answered as failed; nothing may be taken any more. */
void kafka_large_stop(struct kafka_large *l);
/* Behind the last flight, which may still learn something; stops it where it was not. */
void kafka_large_free(struct kafka_large *l);
/* The session may write no more: the same, without waiting. Any thread. */
void kafka_large_purge(struct kafka_large *l);
/* False: nothing of it is too large, it is still the caller's. */
bool kafka_large_take(struct kafka_large *l, struct delivery *d);
/* Kafka refused record i for its size: from now on what is as large as the largest of its messages
 * goes into objects. False: that cannot help, it is a reference already. */
bool kafka_large_learn(struct kafka_large *l, const struct delivery *d, size_t i);
/* NULL, or what keeps payloads from their bucket. Not known any more where nobody has tried again
 * for a while: the lane may have gone to another worker. */
const char *kafka_large_trouble(struct kafka_large *l, char *out, size_t size);

/* A delivery's claim, in delivery.of_sink from its way to Kafka on to its answer. */
struct kafka_claim;
/* The record's payload can never get into the bucket: why. */
bool kafka_claim_is_bad(const struct kafka_claim *c, size_t i, struct error *err);
/* Gives the delivery its own payloads back. */
void kafka_claim_free(struct kafka_claim *c);

/* Without a running sink, one after the other; calls block (kafka_large_post.c). */
struct kafka_large_post {
	const struct kafka_settings *settings;
	const struct sink_host *host;
	const _Atomic bool *stop;
	struct loop *loop;
	struct aws_settings aws;
	struct aws_client *client;
	bool running;
	struct error err;
};
/* Opened at its first use. The reference to what is put there is appended to `out`. */
bool kafka_large_post(struct kafka_large_post *p, const struct batch *b, size_t i, unsigned part,
		      struct str payload, struct buf *out, struct error *err);
void kafka_large_post_close(struct kafka_large_post *p);
/* Whether one message of this payload is over the producer's own limit. */
bool kafka_is_large(size_t max_bytes, const struct event *e, struct str payload);
/* Puts a small object and leaves it there: for `sluice check`. */
bool kafka_large_check(const struct kafka_settings *s, const struct sink_host *host,
		       struct buf *said, struct error *err);
