#pragma once
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include <librdkafka/rdkafka.h>

#include "base/log.h"
#include "config/option.h"
#include "sinks/sink.h"
#include "sinks/template.h"

/* The Kafka sink's own parts; only kafka*.c include this. Delivery is at least once by idempotent
 * producers, one for each reader, so that readers share nothing; or exactly once by one producer of
 * transactions (kafka_transactions.c).
 *
 * A delivery is a *flight*: its messages point into the batch, which stays untouched until every
 * one of them was reported. A refused request names all its records, so a flight that was refused
 * for what one record is goes again *alone*, from its first failed record on, one record after the
 * other over a producer whose requests hold one message each: so the culprit is known, and the
 * order kept.
 *
 * The messages' timestamp is the time of sending, as Debezium does it: by the event's time, a topic
 * with a short retention would drop what is caught up late before anybody has read it, and brokers
 * may refuse old timestamps. The event's time is in the payload. */

struct kafka_settings {
	const char *brokers;
	const char *topic;
	const char *control_topic; /* NULL: no control events */
	long format;               /* enum event_format */
	long numbers;              /* 1: as strings */
	struct event_fields fields;
	long delivery; /* 1: exactly once */
	const char *id_prefix;
	bool tombstones;
	long missing;    /* 1: an event without a value of its topic is bad */
	long topics_max; /* that events name */
	/* Of topics that we make; 0: they are there, or the brokers make them. */
	long create_partitions;
	long create_replication; /* 0: the brokers' default */
	struct option_map create_config;
	const char *sasl_mechanism; /* aws_msk_iam; NULL: what the properties say */
	const char *sasl_region;    /* NULL: the host's */
	const char *large_bucket;   /* NULL: what is too large goes to the dead letters */
	const char *large_prefix, *large_owner;
	struct option_map properties;
};

extern const struct option kafka_options[];
#define KAFKA_TOPIC_DEFAULT "dynamodb.${table}"
/* Templates and properties, the latter by librdkafka itself. ERROR_INVALID naming the key. */
bool kafka_validate(const void *settings, struct error *err);

enum kafka_purpose {
	KAFKA_FOR_READER,       /* batches as they come */
	KAFKA_FOR_ALONE,        /* one message a request, no linger */
	KAFKA_FOR_TRANSACTIONS, /* batches as they come, in transactions */
	KAFKA_FOR_CHECK,        /* talks to the brokers, sends nothing */
	KAFKA_FOR_CONTROL,      /* control events, and asks for end offsets */
};
/* What rd_kafka_new needs, callbacks apart; the caller's. NULL: err. */
rd_kafka_conf_t *kafka_conf(const struct kafka_settings *s, const struct sink_host *host,
			    enum kafka_purpose purpose, struct error *err);
/* The transactional id of a session's producer, which is also the group that counts its
 * transactions: the caller's to free. */
char *kafka_transactional_id(const struct kafka_settings *s, const struct sink_host *host);
/* With this id; its transactions end with the lease. */
bool kafka_conf_transactional(rd_kafka_conf_t *conf, const char *id, const struct sink_host *host,
			      struct error *err);
/* What rd_kafka_new needs for a consumer that only asks for the group's offsets. NULL: err. */
rd_kafka_conf_t *kafka_conf_group(const struct kafka_settings *s, const char *group,
				  struct error *err);
/* What rd_kafka_new gives for conf, which it takes, logged in where kafka_login does that. Its log
 * goes where its callbacks are served. NULL: err. */
rd_kafka_t *kafka_handle_new(rd_kafka_type_t type, rd_kafka_conf_t *conf,
			     const struct kafka_settings *s, const struct sink_host *host,
			     struct error *err);
/* Gives the handle a token of the credentials as they are now, where the settings ask for one: good
 * for a quarter of an hour. What lives longer is asked for another by librdkafka. Any thread. */
bool kafka_login(rd_kafka_t *rk, const struct kafka_settings *s, const struct sink_host *host,
		 struct error *err);
/* A topic that is being made as the settings say (kafka_create.c). NULL: err. */
struct kafka_creation;
struct kafka_creation *kafka_creation_new(rd_kafka_t *rk, const struct kafka_settings *s,
					  const char *name, struct error *err);
void kafka_creation_free(struct kafka_creation *c);
const char *kafka_creation_name(const struct kafka_creation *c);
/* Whether the brokers have answered, waiting for them so long. *there: the topic is there now, be
 * it that it was before; else err says why not. */
bool kafka_creation_over(struct kafka_creation *c, int wait_ms, bool *there, struct error *err);
/* The producer's own limit of a message, whatever a topic's is. */
size_t kafka_message_bytes_max(const struct kafka_settings *s);
/* The longest that librdkafka keeps trying one message: half a lease. */
int64_t kafka_message_timeout_ms(const struct sink_host *host);

/* Of what librdkafka says, before the advice. */
#define KAFKA_REASON_MAX 200
/* What librdkafka's code means to the caller. */
enum error_kind kafka_error_kind(rd_kafka_resp_err_t code);
/* The request was refused for what one of its records is: another try cannot help that one. */
bool kafka_error_is_records(rd_kafka_resp_err_t code);
/* What to do about it, as "; …", or "". */
const char *kafka_error_advice(rd_kafka_resp_err_t code);
/* The same of what a call about transactions says; frees it. Always false. */
bool kafka_error_take(struct error *err, rd_kafka_error_t *error);
/* Kind, text and advice. topic NULL: of none. Always false. */
bool kafka_error(struct error *err, rd_kafka_resp_err_t code, const char *topic);
/* For the label `reason`: "msg_timed_out". Returns out. */
char *kafka_error_reason(rd_kafka_resp_err_t code, char *out, size_t size);

#define KAFKA_HEADERS 7
/* The values of one message's headers; those that are the same for a whole batch stay. */
struct kafka_headers {
	const struct batch *batch;
	char op;
	char generation[24];
	char order[64]; /* "GGGGGGGGGG-" and room for the sequence */
	size_t order_prefix_n;
	struct str values[KAFKA_HEADERS];
};
void kafka_headers_init(struct kafka_headers *h, const struct batch *b);
/* The headers of event i, the caller's. */
rd_kafka_headers_t *kafka_headers_new(struct kafka_headers *h, size_t i);
/* The same of one of several events that a script made of it. */
rd_kafka_headers_t *kafka_headers_part(struct kafka_headers *h, size_t i, unsigned part);

/* A list of headers that messages use one after the other, and where its values are. */
struct kafka_lent {
	rd_kafka_headers_t *list;
	bool out; /* a message has it; it may be gone with that */
	struct {
		char *p;
		size_t n; /* 0: there is none */
	} values[KAFKA_HEADERS];
};
/* Those of event i for one message, which has to be told of by kafka_headers_back. `lent`: of
 * earlier messages, or NULL, and is made. */
rd_kafka_headers_t *kafka_headers_lend(struct kafka_headers *h, size_t i, struct kafka_lent **lent);
/* With the message's report. */
void kafka_headers_back(struct kafka_lent *lent, rd_kafka_message_t *m);

/* A record's place in its flight, and what its message's opaque points to. */
struct kafka_mark {
	struct flight *flight;
	struct kafka_lent *lent; /* to its message; NULL: not yet */
};

/* Used headers of a channel, some pages' worth: about 800 bytes each. Given and taken a delivery at
 * a time, by the writer and by the reporting thread: hence the lock. */
#define KAFKA_USED_MAX 4096
struct kafka_used {
	pthread_mutex_t lock;
	size_t count;
	struct kafka_lent *lent[KAFKA_USED_MAX];
};
void kafka_used_init(struct kafka_used *u);
void kafka_used_release(struct kafka_used *u);
/* As many as there are. */
void kafka_used_take(struct kafka_used *u, struct kafka_mark *marks, size_t count);
/* What finds no place is destroyed; the marks are not to be used any more. */
void kafka_used_give(struct kafka_used *u, struct kafka_mark *marks, size_t count);

/* One producer with the thread that serves its reports, logs and errors. */
struct kafka_topic;
struct kafka_channel {
	struct sink *sink;
	rd_kafka_t *rk;
	pthread_t thread;
	_Atomic bool stop;
	struct log_limit log_limit; /* its thread's */
	/* Handles live as long as the producer, as an idempotent producer's partitions must. Used
	 * by the writer, and in the alone channel by any thread that sends there: hence the lock.
	 */
	pthread_mutex_t topics_lock;
	struct kafka_topic *topics; /* sorted by name */
	size_t topic_count, topic_capacity;
	struct kafka_creation *creation; /* one after the other; NULL: none */
	_Atomic bool recount;            /* some topic has to be told of, see kafka_watched */
	struct kafka_used used;
	/* Commits and aborts serve reports and logs themselves, beside the channel's thread. */
	pthread_mutex_t served;
};

/* Opens the producer and starts its thread. */
struct kafka_channel *kafka_channel_open(struct sink *s, enum kafka_purpose purpose,
					 struct error *err);
/* After its last report. */
void kafka_channel_close(struct kafka_channel *c);
/* The handle of the topic that records of `source` at this place (route.h; NULL where the template
 * asks nothing of events) go to. ERROR_INVALID: it can never be one. */
rd_kafka_topic_t *kafka_channel_topic(struct kafka_channel *c, const struct source *source,
				      const struct str *place, struct error *err);

/* How many partitions a topic has, by the producer's own word: the partitioner is told with each
 * message, so that another number is seen when the first key goes where it did not go before. Told
 * by the channel's thread, for each stream whose records go there (kafka_partitions.c). */
struct kafka_watched;
struct kafka_watched *kafka_watched_new(struct kafka_channel *c, const char *topic);
void kafka_watched_free(struct kafka_watched *t);
/* The handle of the topic, whose partitions are watched from then on. */
rd_kafka_topic_t *kafka_watched_handle(struct kafka_watched *t);
/* The stream's records go there. Under the channel's topics_lock, as the next. */
void kafka_watched_stream(struct kafka_watched *t, const char *stream);
void kafka_watched_tell(struct kafka_watched *t);

/* What the process may see of it: NULL text while all is well. */
struct kafka_trouble {
	pthread_mutex_t lock;
	_Atomic bool is; /* so that a report need not take the lock */
	bool said;       /* in the log */
	bool final;      /* fatal: this text stays */
	struct log_limit log_limit;
	int64_t since_ms; /* AWS time */
	char text[sizeof(((struct error *)NULL)->message)];
	char broker[320]; /* the brokers' last error */
};

struct kafka_transactions;
struct kafka_large;
struct sink {
	const struct kafka_settings *settings;
	const struct sink_host *host;
	struct template *topic;
	struct metric_cell *delivered, *delivered_bytes, *unanswered_bytes;
	struct kafka_trouble trouble;
	_Atomic bool purged; /* nothing may be sent any more */
	_Atomic bool fatal;  /* said so */
	pthread_mutex_t lock;
	pthread_cond_t landed; /* flights became 0 */
	size_t flights;
	struct kafka_transactions *transactions; /* NULL: at least once */
	struct kafka_large *large;               /* NULL: `large: dead_letter` */
	struct kafka_channel *alone;             /* opened at its first use */
	unsigned channel_count;
	struct kafka_channel *channels[]; /* one a reader, or the one of transactions */
};
static inline struct kafka_channel *kafka_channel_of(const struct sink *s, unsigned reader)
{
	return s->channels[s->transactions ? 0 : reader];
}

/* Flights (kafka_flight.c). */
void kafka_flight_begin(struct sink *s, struct delivery *d);
/* A message's report, on its channel's thread. */
void kafka_flight_report(rd_kafka_message_t *m);

/* The sink as its parts see it (kafka.c). */
/* A delivery whose payloads Kafka takes. Any thread. */
void kafka_go_on(struct sink *s, struct delivery *d);
struct kafka_channel *kafka_alone(struct sink *s, struct error *err);
void kafka_fatal(struct sink *s, const char *text);
void kafka_trouble_set(struct sink *s, const char *text);
void kafka_trouble_broker(struct sink *s, const char *text);
void kafka_trouble_clear(struct sink *s);
/* Adds what the brokers said last to the message of a time-out. */
void kafka_trouble_explain(struct sink *s, struct error *err);
/* Drops what the channel holds unsent and unanswered. Any thread; does not wait. */
void kafka_channel_purge(struct kafka_channel *c);

/* Control events (kafka_control.c). */
bool kafka_tells(const void *settings);
bool kafka_control(const void *settings, const struct sink_host *host,
		   const struct sink_control *events, size_t count, const _Atomic bool *stop,
		   size_t *told, struct error *err);

/* Dead letters (kafka_letters.c). */
bool kafka_letters_validate(const void *settings, struct error *err);
bool kafka_letters(const void *settings, const struct sink_host *host,
		   const struct sink_letters *batch, const _Atomic bool *stop, size_t *sent,
		   size_t *refused, struct error *err);

/* Their records once more (kafka_again.c). */
struct template *kafka_place(const void *settings, bool *required, struct error *err);
bool kafka_again(const void *settings, const struct sink_host *host, const struct sink_again *batch,
		 const _Atomic bool *stop, size_t *sent, size_t *refused, struct error *err);

/* Transactions (kafka_transactions.c). Opens the channel and starts the thread; false: err. */
bool kafka_transactions_open(struct sink *s, struct error *err);
/* Answers what it holds as failed, then frees; not the channel. */
void kafka_transactions_close(struct sink *s);
/* After its channel. */
void kafka_transactions_free(struct sink *s);
/* Purged, or fatal: nothing more is committed. */
void kafka_transactions_wake(struct sink *s);
void kafka_transactions_write(struct sink *s, struct delivery *d);
void kafka_transactions_hurry(struct sink *s);
void kafka_transactions_finish(struct sink *s, uint64_t number);

/* Of dead sessions (kafka_burial.c). */
bool kafka_bury(const void *settings, const struct sink_host *host, struct str blob,
		bool *committed, struct error *err);
bool kafka_sweep(const void *settings, const struct sink_host *host, const char *session,
		 struct error *err);
/* How far the commits got that are counted in the group `id`, at the first partition of a topic,
 * the furthest of these; negative: nothing was ever committed, or long ago. */
bool kafka_counted(const struct kafka_settings *s, const struct sink_host *host, const char *id,
		   const char *const *topics, size_t count, int64_t *offset, struct error *err);
/* Brokers may have forgotten the commit of what was begun then (AWS time): they do after
 * offsets.retention.minutes, 7 days by default. */
bool kafka_may_be_forgotten(const struct sink_host *host, int64_t begun_ms);
/* What kafka_bury reads: transaction `number`, closed at that AWS time, whose commit is counted in
 * the group `id`, at the first partition of `topic`. */
void kafka_blob(const char *id, const char *topic, uint64_t number, int64_t closed_ms,
		struct buf *out);

bool kafka_check(const void *settings, const struct sink_host *host, struct buf *said,
		 struct error *err);
