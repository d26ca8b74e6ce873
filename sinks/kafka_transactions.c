/* Exactly once: one producer, its thread, and one transaction at a time.
 *
 * Transaction n is open for a moment, and takes what readers bring. Then it is closed: once every
 * message is reported, all deliveries are answered as taken by roll n, and n is prepared. The store
 * writes n and its places as pending; only then n is finished: its number is committed as the
 * offset of a group that has the producer's name, inside the transaction, and with it everything.
 * What comes meanwhile waits for n + 1.
 *
 * What librdkafka calls abortable is aborted and sent again, as nothing was answered yet. Behind
 * `prepared` nothing can be sent again, and whether n will be committed may be unknown: any error
 * that is not a retriable one ends the session, and so does a fatal one at any time. Its burial
 * reads the group's offset. A producer's id is used in one session, and initialised by its owner
 * once.
 *
 * A request that the brokers refuse for what one of its records is spoils the whole transaction.
 * The deliveries it had records of come again cut in half, until it is one record that is refused.
 */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "base/memory.h"
#include "sinks/kafka_flight.h"

/* How long a transaction takes what comes: the longer, the fewer there are, and each costs the
 * brokers and the store. At least so many times as long as committing the last one took. */
#define OPEN_MS     100
#define OPEN_FACTOR 3
/* Until it is tried again, and how long one try at the start may take: a stop waits for it. */
#define AGAIN_MS 100
#define START_MS 1000
/* At the end, with a transaction open: so that readers of the topics need not wait for its end. */
#define LAST_ABORT_MS 1000

struct kafka_transactions {
	char *id; /* of the producer, and of the group */
	pthread_t thread;
	/* With the sink's lock, as everything from here on: something of it is different. */
	pthread_cond_t turn;
	bool open;            /* what comes may be produced at once */
	bool hurry;           /* what is open is closed now */
	bool ended;           /* nothing more is begun */
	bool gone;            /* the thread answers nothing more */
	size_t busy;          /* flights that are produced, or not reported yet */
	struct flight *taken; /* by the transaction under way */
	struct flight *waiting, **waiting_end;
	bool spoiled;    /* a report was bad: abort */
	uint64_t finish; /* may be committed */
	/* The thread's alone. */
	uint64_t number;     /* of the last one that was prepared */
	bool begun;          /* librdkafka is inside of one */
	int64_t overhead_ms; /* of the last one: from its close to its commit */
	struct metric_cell *committed, *aborted;
};

static rd_kafka_t *handle(const struct sink *s)
{
	return s->channels[0]->rk;
}

static int64_t now_ms(const struct sink *s)
{
	return clock_boot_ms(s->host->clock);
}

/* With the lock. */
static bool over(const struct sink *s)
{
	return s->transactions->ended || atomic_load_explicit(&s->purged, memory_order_relaxed);
}

static bool is_over(struct sink *s)
{
	bool yes;

	pthread_mutex_lock(&s->lock);
	yes = over(s);
	pthread_mutex_unlock(&s->lock);
	return yes;
}

/* With the lock; ms < 0: without limit. */
static void wait_turn(struct sink *s, int64_t ms)
{
	struct timespec until;

	if (ms < 0) {
		pthread_cond_wait(&s->transactions->turn, &s->lock);
		return;
	}
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += ms % 1000 * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_cond_timedwait(&s->transactions->turn, &s->lock, &until);
}

static void pause_again(struct sink *s)
{
	int64_t until_ms = now_ms(s) + AGAIN_MS;

	pthread_mutex_lock(&s->lock);
	while (!over(s) && now_ms(s) < until_ms)
		wait_turn(s, until_ms - now_ms(s));
	pthread_mutex_unlock(&s->lock);
}

/* A call that may be made again is; false: it failed for good, or there is no more time. NULL text:
 * of the start. */
static bool settled(struct sink *s, rd_kafka_error_t *error, struct error *err)
{
	if (!error)
		return true;
	err->kind = ERROR_RETRY;
	if (rd_kafka_error_is_retriable(error) && !is_over(s)) {
		kafka_error_take(err, error);
		kafka_trouble_set(s, err->message);
		pause_again(s);
		return false;
	}
	kafka_error_take(err, error);
	if (error_passes(err->kind) && !is_over(s))
		err->kind = ERROR_FENCED; /* what librdkafka does not call retriable is not */
	return false;
}

static void give_up(struct sink *s, const char *what, const struct error *err)
{
	char text[sizeof(err->message)];

	if (is_over(s))
		return;
	snprintf(text, sizeof(text), "transaction %llu could not be %s: %.300s",
		 (unsigned long long)s->transactions->number, what, err->message);
	kafka_fatal(s, text);
}

/* --- the start --- */

static bool init(struct sink *s)
{
	struct error err;

	while (!is_over(s)) {
		if (settled(s, rd_kafka_init_transactions(handle(s), START_MS), &err)) {
			kafka_trouble_clear(s);
			return true;
		}
		if (!error_passes(err.kind)) {
			give_up(s, "begun", &err);
			return false;
		}
	}
	return false;
}

/* --- taking --- */

/* With the lock. */
static void take(struct kafka_transactions *t, struct flight *f)
{
	f->link = t->taken;
	t->taken = f;
	t->busy++;
}

/* With the lock. */
static void put_by(struct kafka_transactions *t, struct flight *f)
{
	f->link = NULL;
	*t->waiting_end = f;
	t->waiting_end = &f->link;
}

/* The first that waits, taken; NULL: there is none, and what comes now is produced at once. */
static struct flight *take_waiting(struct sink *s)
{
	struct kafka_transactions *t = s->transactions;
	struct flight *f;

	pthread_mutex_lock(&s->lock);
	f = t->waiting;
	if (f) {
		t->waiting = f->link;
		if (!t->waiting)
			t->waiting_end = &t->waiting;
		take(t, f);
	} else {
		t->open = true;
	}
	pthread_mutex_unlock(&s->lock);
	return f;
}

static int64_t open_ms(const struct sink *s)
{
	int64_t ms = OPEN_FACTOR * s->transactions->overhead_ms;

	ms = ms > OPEN_MS ? ms : OPEN_MS;
	return ms < s->host->lease_ms / 4 ? ms : s->host->lease_ms / 4;
}

/* True: everything that was taken is reported, and nothing speaks against it. */
static bool close_it(struct sink *s, int64_t until_ms)
{
	struct kafka_transactions *t = s->transactions;
	bool well;

	pthread_mutex_lock(&s->lock);
	while (!over(s) && !t->spoiled && !t->hurry && now_ms(s) < until_ms)
		wait_turn(s, until_ms - now_ms(s));
	t->open = t->hurry = false;
	while (!over(s) && !t->spoiled && t->busy > 0)
		wait_turn(s, -1);
	well = !over(s) && !t->spoiled;
	pthread_mutex_unlock(&s->lock);
	return well;
}

void kafka_transactions_landed(struct flight *f)
{
	struct sink *s = f->sink;
	struct kafka_transactions *t = s->transactions;

	pthread_mutex_lock(&s->lock);
	t->spoiled = t->spoiled || kafka_flight_is_bad(f);
	t->busy--;
	if (t->busy == 0 || t->spoiled)
		pthread_cond_broadcast(&t->turn);
	pthread_mutex_unlock(&s->lock);
}

void kafka_transactions_write(struct sink *s, struct delivery *d)
{
	struct kafka_transactions *t = s->transactions;
	struct flight *f = kafka_flight_new(s, d);
	bool at_once, gone;

	pthread_mutex_lock(&s->lock);
	at_once = t->open && !over(s);
	gone = t->gone;
	if (at_once)
		take(t, f);
	else if (!gone)
		put_by(t, f);
	pthread_cond_broadcast(&t->turn);
	pthread_mutex_unlock(&s->lock);
	if (at_once) {
		kafka_flight_send(f);
	} else if (gone) {
		struct error err;

		kafka_error(&err, RD_KAFKA_RESP_ERR__PURGE_QUEUE, NULL);
		kafka_flight_answer(f, SINK_FAILED, d->first, 0, &err);
	}
}

/* --- aborting --- */

static struct flight *taken_all(struct sink *s)
{
	struct kafka_transactions *t = s->transactions;
	struct flight *all;

	pthread_mutex_lock(&s->lock);
	while (t->busy > 0)
		wait_turn(s, -1);
	all = t->taken;
	t->taken = NULL;
	t->spoiled = false;
	pthread_mutex_unlock(&s->lock);
	return all;
}

static bool abort_it(struct sink *s, int timeout_ms)
{
	struct error err;

	while (!settled(s, rd_kafka_abort_transaction(handle(s), timeout_ms), &err)) {
		if (is_over(s))
			return false;
		if (!error_passes(err.kind)) {
			give_up(s, "aborted", &err);
			return false;
		}
	}
	s->transactions->begun = false;
	return true;
}

/* What it took comes again. */
static bool roll_back(struct sink *s)
{
	struct flight *all, *next;
	struct error cause = { 0 };

	if (is_over(s) || !abort_it(s, -1))
		return false;
	metric_add(s->transactions->aborted, 1);
	all = taken_all(s);
	kafka_flights_cause(all, &cause);
	for (struct flight *f = all; f; f = next) {
		next = f->link;
		if (!kafka_flight_again(f, &cause))
			continue;
		pthread_mutex_lock(&s->lock);
		put_by(s->transactions, f);
		pthread_mutex_unlock(&s->lock);
	}
	return true;
}

/* --- preparing --- */

static void answer_prepared(struct sink *s, const char *topic)
{
	struct sink_answer a = { .kind = SINK_PREPARED,
				 .sink = s->host->index,
				 .roll = s->transactions->number };
	struct buf blob = { 0 };

	kafka_blob(s->transactions->id, topic, a.roll, clock_aws_ms(s->host->clock), &blob);
	a.blob = buf_str(&blob);
	s->host->answer(s->host->arg, &a);
	buf_release(&blob);
}

/* True once the store has it. */
static bool is_stored(struct sink *s)
{
	struct kafka_transactions *t = s->transactions;
	bool stored;

	pthread_mutex_lock(&s->lock);
	while (!over(s) && t->finish != t->number)
		wait_turn(s, -1);
	stored = !over(s) && t->finish == t->number;
	pthread_mutex_unlock(&s->lock);
	return stored;
}

/* --- committing --- */

static bool count_it(struct sink *s, const char *topic)
{
	struct kafka_transactions *t = s->transactions;
	rd_kafka_topic_partition_list_t *offsets = rd_kafka_topic_partition_list_new(1);
	rd_kafka_consumer_group_metadata_t *group = rd_kafka_consumer_group_metadata_new(t->id);
	struct error err = { 0 };
	bool done = false;

	rd_kafka_topic_partition_list_add(offsets, topic, 0)->offset = (int64_t)t->number;
	while (!done && !is_over(s)) {
		done = settled(s,
			       rd_kafka_send_offsets_to_transaction(handle(s), offsets, group, -1),
			       &err);
		if (!done && !error_passes(err.kind))
			break;
	}
	rd_kafka_consumer_group_metadata_destroy(group);
	rd_kafka_topic_partition_list_destroy(offsets);
	if (!done)
		give_up(s, "counted", &err);
	return done;
}

static bool commit_it(struct sink *s)
{
	struct error err;

	while (!settled(s, rd_kafka_commit_transaction(handle(s), -1), &err)) {
		if (is_over(s))
			return false;
		if (!error_passes(err.kind)) {
			give_up(s, "committed", &err);
			return false;
		}
	}
	s->transactions->begun = false;
	return true;
}

static void answer_finished(struct sink *s)
{
	struct sink_answer a = { .kind = SINK_FINISHED,
				 .sink = s->host->index,
				 .roll = s->transactions->number };

	metric_add(s->transactions->committed, 1);
	s->host->answer(s->host->arg, &a);
}

/* --- the thread --- */

static bool begin(struct sink *s)
{
	struct kafka_transactions *t = s->transactions;
	struct error err;
	struct flight *f;

	pthread_mutex_lock(&s->lock);
	while (!over(s) && !t->waiting)
		wait_turn(s, -1);
	pthread_mutex_unlock(&s->lock);
	if (is_over(s))
		return false;
	/* One that nothing was sent in goes on. */
	if (!t->begun && !settled(s, rd_kafka_begin_transaction(handle(s)), &err)) {
		give_up(s, "begun", &err);
		return false;
	}
	t->begun = true;
	while ((f = take_waiting(s)))
		kafka_flight_send(f);
	return true;
}

/* What was taken is reported, and well. */
static bool conclude(struct sink *s)
{
	struct kafka_transactions *t = s->transactions;
	struct flight *all = taken_all(s);
	const rd_kafka_topic_t *topic = kafka_flights_topic(all);
	int64_t closed_ms = now_ms(s);
	bool done;
	char *name;

	if (!topic) {
		kafka_flights_in(all, 0);
		return true;
	}
	name = memory_text(rd_kafka_topic_name(topic));
	kafka_flights_in(all, ++t->number);
	answer_prepared(s, name);
	done = is_stored(s) && count_it(s, name) && commit_it(s);
	free(name);
	if (!done)
		return false;
	t->overhead_ms = now_ms(s) - closed_ms;
	answer_finished(s);
	return true;
}

/* Nobody commits any of it. */
static void wind_up(struct sink *s)
{
	struct kafka_transactions *t = s->transactions;
	struct flight *all[2], *next;
	rd_kafka_error_t *error;
	struct error err;

	pthread_mutex_lock(&s->lock);
	t->ended = true;
	t->open = false;
	pthread_mutex_unlock(&s->lock);
	if (t->begun && !rd_kafka_fatal_error(handle(s), NULL, 0) &&
	    (error = rd_kafka_abort_transaction(handle(s), LAST_ABORT_MS)))
		rd_kafka_error_destroy(error);
	atomic_store(&s->purged, true); /* its channel drops what is left */
	all[0] = taken_all(s);
	pthread_mutex_lock(&s->lock);
	t->gone = true;
	all[1] = t->waiting;
	t->waiting = NULL;
	pthread_mutex_unlock(&s->lock);
	kafka_error(&err, RD_KAFKA_RESP_ERR__PURGE_QUEUE, NULL);
	for (int i = 0; i < 2; i++)
		for (struct flight *f = all[i]; f; f = next) {
			next = f->link;
			kafka_flight_answer(f, SINK_FAILED, f->delivery->first, 0, &err);
		}
}

static void *run(void *arg)
{
	struct sink *s = arg;
	bool well = init(s);

	while (well && begin(s))
		well = close_it(s, now_ms(s) + open_ms(s)) ? conclude(s) : roll_back(s);
	wind_up(s);
	return NULL;
}

/* --- from outside --- */

void kafka_transactions_wake(struct sink *s)
{
	if (!s->transactions)
		return;
	pthread_mutex_lock(&s->lock);
	pthread_cond_broadcast(&s->transactions->turn);
	pthread_mutex_unlock(&s->lock);
}

void kafka_transactions_hurry(struct sink *s)
{
	struct kafka_transactions *t = s->transactions;

	pthread_mutex_lock(&s->lock);
	t->hurry = t->open;
	pthread_cond_broadcast(&t->turn);
	pthread_mutex_unlock(&s->lock);
}

void kafka_transactions_finish(struct sink *s, uint64_t number)
{
	pthread_mutex_lock(&s->lock);
	s->transactions->finish = number;
	pthread_cond_broadcast(&s->transactions->turn);
	pthread_mutex_unlock(&s->lock);
}

static struct kafka_transactions *transactions_new(const struct sink *s)
{
	struct kafka_transactions *t = memory_new(sizeof(*t));
	const struct sink_host *host = s->host;
	pthread_condattr_t monotonic;

	t->id = kafka_transactional_id(s->settings, host);
	t->waiting_end = &t->waiting;
	t->committed = metrics_cell(host->metrics, METRIC_ROLLS, host->name, "committed");
	t->aborted = metrics_cell(host->metrics, METRIC_ROLLS, host->name, "aborted");
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&t->turn, &monotonic);
	pthread_condattr_destroy(&monotonic);
	return t;
}

void kafka_transactions_free(struct sink *s)
{
	struct kafka_transactions *t = s->transactions;

	if (!t)
		return;
	pthread_cond_destroy(&t->turn);
	free(t->id);
	free(t);
}

bool kafka_transactions_open(struct sink *s, struct error *err)
{
	s->transactions = transactions_new(s);
	s->channels[0] = kafka_channel_open(s, KAFKA_FOR_TRANSACTIONS, err);
	if (!s->channels[0])
		return false;
	s->channel_count = 1;
	if (pthread_create(&s->transactions->thread, NULL, run, s) != 0)
		return error_set(err, ERROR_RETRY, "the system gives no thread for transactions");
	pthread_setname_np(s->transactions->thread, "transactions");
	return true;
}

void kafka_transactions_close(struct sink *s)
{
	pthread_mutex_lock(&s->lock);
	s->transactions->ended = true;
	pthread_cond_broadcast(&s->transactions->turn);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->transactions->thread, NULL);
}
