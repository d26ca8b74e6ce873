/* What becomes of the flights of a transaction: prepared, they are answered with what is in;
 * aborted, they come again, or a part of them does. */
#include "sinks/kafka_flight.h"

/* After a refused request librdkafka goes on behind its numbers, and the brokers miss them: it
 * finds out with the next transaction, which fails, and mends it. */
#define SPARED_MAX 3

/* librdkafka takes nothing more in this transaction: its state, its end. */
static bool spoils(rd_kafka_resp_err_t code)
{
	enum error_kind kind = kafka_error_kind(code);

	return code == RD_KAFKA_RESP_ERR__STATE || kind == ERROR_FENCED || kind == ERROR_CANCELLED;
}

bool kafka_flight_is_bad(const struct flight *f)
{
	return f->torn || f->failed != KAFKA_NONE ||
	       (f->stopped != KAFKA_NONE && spoils(f->stopped_code));
}

static size_t count_payloads(const struct delivery *d, size_t from, size_t to)
{
	size_t count = 0;

	for (size_t i = from; i < to; i++)
		count += d->payloads[i].p != NULL;
	return count;
}

/* The one that has half of all bytes from `accused` on, or more; KAFKA_NONE: there is none. */
static size_t find_large(const struct flight *f)
{
	const struct str *payloads = f->delivery->payloads;
	size_t large = f->accused, bytes = 0;

	for (size_t i = f->accused; i < f->end; i++) {
		bytes += payloads[i].n;
		if (payloads[i].n > payloads[large].n)
			large = i;
	}
	return 2 * payloads[large].n >= bytes ? large : KAFKA_NONE;
}

/* A request with records from `accused` on was refused. Where one of them is large, those before it
 * come again, or it alone, else half of them; where there is only one, those before it. */
static void cut(struct flight *f)
{
	const struct delivery *d = f->delivery;
	size_t left = count_payloads(d, f->accused, f->end) / 2, at = f->accused;
	size_t large = find_large(f);

	f->refused = left == 0;
	if (left > 0 && large != KAFKA_NONE)
		left = large == f->accused ? 1 : count_payloads(d, f->accused, large);
	for (size_t seen = 0; seen < left; at++)
		seen += d->payloads[at].p != NULL;
	f->end = at;
	f->verdict_code = f->accused_code;
	kafka_error(&f->verdict, f->accused_code,
		    f->accused_topic ? rd_kafka_topic_name(f->accused_topic) : NULL);
}

/* It was cut, and the transaction was spoiled by something else: what is known of it stays. */
static bool spare(struct flight *f)
{
	return (f->refused || f->end < f->delivery->batch->count) && !f->torn &&
	       ++f->spared <= SPARED_MAX;
}

bool kafka_flight_again(struct flight *f, const struct error *cause)
{
	const struct delivery *d = f->delivery;

	if (f->accused != KAFKA_NONE) {
		f->spared = 0;
		cut(f);
	} else if (!spare(f)) { /* of a record with several messages all go, or none */
		f->refused = f->torn && kafka_error_is_records(f->stopped_code);
		f->end = f->torn ? f->stopped : d->first;
		f->verdict = *cause;
		f->verdict_code = f->stopped_code;
		if (f->refused)
			kafka_error(&f->verdict, f->stopped_code,
				    rd_kafka_topic_name(f->stopped_topic));
	}
	if (count_payloads(d, d->first, f->end) > 0)
		return true;
	if (f->refused)
		kafka_flight_answer(f, SINK_REFUSED, f->end, 0, &f->verdict);
	else
		kafka_flight_answer(f, SINK_FAILED, d->first, 0, cause);
	return false;
}

void kafka_flights_cause(struct flight *all, struct error *cause)
{
	struct flight *first = NULL;

	for (struct flight *f = all; f; f = f->link)
		if (kafka_flight_is_bad(f) &&
		    (!first || first->failed == KAFKA_NONE ||
		     kafka_error_kind(first->failed_code) == ERROR_CANCELLED))
			first = f;
	kafka_error(cause, RD_KAFKA_RESP_ERR__PURGE_QUEUE, NULL);
	if (first && first->accused != KAFKA_NONE)
		kafka_error(cause, first->accused_code, NULL);
	else if (first)
		kafka_flight_why(first, first->failed == KAFKA_NONE, cause);
}

/* What is in of it, in roll `number` (0: nothing of it is). */
static void answer_in(struct flight *f, uint64_t number)
{
	const struct delivery *d = f->delivery;
	struct error err = { 0 };
	uint64_t roll = f->sent ? number : 0;

	if (f->stopped != KAFKA_NONE && kafka_error_is_records(f->stopped_code)) {
		if (f->stopped_err.kind)
			err = f->stopped_err;
		else
			kafka_error(&err, f->stopped_code, rd_kafka_topic_name(f->stopped_topic));
		kafka_flight_answer(f, SINK_REFUSED, f->stopped, roll, &err);
	} else if (f->stopped != KAFKA_NONE) {
		kafka_flight_why(f, true, &err);
		kafka_flight_answer(f, SINK_FAILED, f->stopped, roll, &err);
	} else if (f->refused) {
		err = f->verdict;
		kafka_flight_answer(f, SINK_REFUSED, f->end, roll, &err);
	} else if (f->end < d->batch->count) {
		err = f->verdict;
		kafka_flight_answer(f, SINK_FAILED, f->end, roll, &err);
	} else {
		kafka_flight_answer(f, SINK_TAKEN, d->batch->count, roll, NULL);
	}
}

void kafka_flights_in(struct flight *all, uint64_t number)
{
	for (struct flight *f = all, *next; f; f = next) {
		next = f->link;
		answer_in(f, number);
	}
}

const rd_kafka_topic_t *kafka_flights_topic(const struct flight *all)
{
	for (; all; all = all->link)
		if (all->sent)
			return all->sent;
	return NULL;
}
