#pragma once
#include "sinks/kafka.h"

/* A delivery on its way to the brokers; only kafka_flight.c, kafka_fate.c and
 * kafka_transactions.c include this.
 *
 * A message's opaque is the address of its record's mark, which leads to the flight, and whose
 * place among the marks is the record: so the reports need no table and no memory of their own.
 *
 * `unanswered` counts messages without a report, and one more while somebody still produces: who
 * brings it to zero goes on with the flight. Until then `failed…` is the reporting thread's and
 * `stopped…` the producing thread's.
 *
 * A message times out by when it was produced. Were a flight produced slowly, its first messages
 * could time out and its last ones get in, ahead of them: so what is late waits, as another part of
 * the flight, for the answers to the part before it. */
struct flight {
	struct sink *sink;
	struct delivery *delivery;
	_Atomic size_t unanswered;
	size_t bytes; /* in flight */
	bool alone;
	size_t next;   /* the record after the part in flight, alone: after the one in flight */
	size_t failed; /* first record with a bad report; NONE */
	rd_kafka_resp_err_t failed_code;
	const rd_kafka_topic_t *failed_topic;
	size_t stopped; /* first record that librdkafka did not take; NONE */
	rd_kafka_resp_err_t stopped_code;
	const rd_kafka_topic_t *stopped_topic;
	struct error stopped_err; /* where no code says it */
	/* In a transaction. */
	struct flight *link; /* of those that wait for one, or of those that are in it */
	size_t end;          /* this record and those behind it come in another one */
	size_t accused;      /* first record whose request was refused for its records; NONE */
	rd_kafka_resp_err_t accused_code;
	const rd_kafka_topic_t *accused_topic;
	bool torn; /* of record `stopped` a message went, its tombstone or its next event not */
	unsigned spared;                  /* transactions that failed since for other reasons */
	bool refused;                     /* record `end` can never get in: `verdict` */
	rd_kafka_resp_err_t verdict_code; /* of a refusal */
	struct error verdict;             /* why it ends at `end` */
	const rd_kafka_topic_t *sent;     /* a topic that a record of it went to; NULL: none did */
	struct kafka_mark marks[];        /* batch->count */
};
#define KAFKA_NONE SIZE_MAX

/* Counted among the sink's flights; nothing is sent yet. */
struct flight *kafka_flight_new(struct sink *s, struct delivery *d);
/* Produces its records before `end`. Once all of them are reported, kafka_transactions_landed. */
void kafka_flight_send(struct flight *f);
/* The flight ends here: `first` records are in, in `roll`. */
void kafka_flight_answer(struct flight *f, enum sink_answer_kind kind, size_t first, uint64_t roll,
			 const struct error *err);
/* Why what was not taken, or had a bad report, is not in; counted as a retry. */
void kafka_flight_why(struct flight *f, bool stopped, struct error *err);

/* What becomes of those of a transaction, which are linked (kafka_fate.c). */
/* After its reports: the transaction can only be aborted. */
bool kafka_flight_is_bad(const struct flight *f);
/* Why it is: of the first flight that says more than that it was dropped. */
void kafka_flights_cause(struct flight *all, struct error *cause);
/* The transaction was aborted. True: it is to be sent again, in another one, before `end`; false:
 * it was answered. */
bool kafka_flight_again(struct flight *f, const struct error *cause);
/* Answers all with what is in, by roll `number`; 0: nothing is. */
void kafka_flights_in(struct flight *all, uint64_t number);
/* A topic that something went to; NULL: nothing did. */
const rd_kafka_topic_t *kafka_flights_topic(const struct flight *all);

/* kafka_transactions.c, on any thread. */
void kafka_transactions_landed(struct flight *f);
