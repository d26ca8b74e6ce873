#include "sinks/kafka.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "base/memory.h"
#include "sinks/kafka_large.h"

/* At close: what may still arrive is waited for so long, then dropped and answered. */
#define CLOSE_FLUSH_MS 1000
/* Trouble may come and go with each batch, where one of several topics is refused. */
#define LOG_EVERY_MS 10000

void kafka_trouble_set(struct sink *s, const char *text)
{
	struct kafka_trouble *t = &s->trouble;
	uint64_t repeated = 0;
	bool say = false;

	pthread_mutex_lock(&t->lock);
	if (!t->final) {
		snprintf(t->text, sizeof(t->text), "%s", text);
		if (!atomic_load_explicit(&t->is, memory_order_relaxed)) {
			t->since_ms = clock_aws_ms(s->host->clock);
			say = log_limit_pass(&t->log_limit, clock_boot_ms(s->host->clock),
					     LOG_EVERY_MS, &repeated);
			t->said = say;
		}
		atomic_store_explicit(&t->is, true, memory_order_relaxed);
	}
	pthread_mutex_unlock(&t->lock);
	if (say)
		log_warn("Kafka does not take records; trying again",
			 log_text("sink", s->host->name), log_text("error", text),
			 log_int("repeated", (int64_t)repeated));
}

/* The core hears of it in an answer and logs that. */
static void trouble_end(struct sink *s, const char *text)
{
	struct kafka_trouble *t = &s->trouble;

	pthread_mutex_lock(&t->lock);
	if (!atomic_load_explicit(&t->is, memory_order_relaxed))
		t->since_ms = clock_aws_ms(s->host->clock);
	snprintf(t->text, sizeof(t->text), "%s", text);
	t->final = true;
	atomic_store_explicit(&t->is, true, memory_order_relaxed);
	pthread_mutex_unlock(&t->lock);
}

void kafka_trouble_broker(struct sink *s, const char *text)
{
	pthread_mutex_lock(&s->trouble.lock);
	snprintf(s->trouble.broker, sizeof(s->trouble.broker), "%s", text);
	pthread_mutex_unlock(&s->trouble.lock);
}

void kafka_trouble_clear(struct sink *s)
{
	struct kafka_trouble *t = &s->trouble;
	int64_t away_ms;
	bool say;

	if (!atomic_load_explicit(&t->is, memory_order_relaxed))
		return;
	pthread_mutex_lock(&t->lock);
	away_ms = clock_aws_ms(s->host->clock) - t->since_ms;
	say = t->said && !t->final;
	t->said = false;
	t->broker[0] = '\0';
	atomic_store_explicit(&t->is, t->final, memory_order_relaxed);
	pthread_mutex_unlock(&t->lock);
	if (say)
		log_info("Kafka takes records again", log_text("sink", s->host->name),
			 log_int("away_ms", away_ms));
}

void kafka_trouble_explain(struct sink *s, struct error *err)
{
	size_t n = strlen(err->message);

	pthread_mutex_lock(&s->trouble.lock);
	snprintf(err->message + n, sizeof(err->message) - n, " after %lld ms%s%s",
		 (long long)kafka_message_timeout_ms(s->host), s->trouble.broker[0] ? ": " : "",
		 s->trouble.broker);
	pthread_mutex_unlock(&s->trouble.lock);
}

static const char *kafka_trouble(struct sink *s, char *out, size_t size)
{
	struct kafka_trouble *t = &s->trouble;
	char since[CLOCK_TEXT_SIZE];
	bool is;

	pthread_mutex_lock(&t->lock);
	is = atomic_load_explicit(&t->is, memory_order_relaxed);
	if (is) {
		bool more = t->broker[0] && !strstr(t->text, t->broker);

		snprintf(out, size, "since %s: %s%s%s", clock_text(t->since_ms, since), t->text,
			 more ? ", last error: " : "", more ? t->broker : "");
	}
	pthread_mutex_unlock(&t->lock);
	if (!is && s->large)
		return kafka_large_trouble(s->large, out, size);
	return is ? out : NULL;
}

void kafka_fatal(struct sink *s, const char *text)
{
	struct sink_answer a = { .kind = SINK_FATAL, .sink = s->host->index };

	if (atomic_exchange(&s->fatal, true))
		return;
	error_set(&a.err, ERROR_FENCED, "librdkafka gave the producer up: %s", text);
	trouble_end(s, a.err.message);
	/* The channels' threads drop and answer what they hold. */
	atomic_store(&s->purged, true);
	kafka_transactions_wake(s);
	s->host->answer(s->host->arg, &a);
}

static enum sink_commit kafka_commit(const void *settings)
{
	const struct kafka_settings *s = settings;

	return s->delivery ? SINK_TRANSACTION : SINK_IMMEDIATE;
}

struct kafka_channel *kafka_alone(struct sink *s, struct error *err)
{
	struct kafka_channel *c;

	pthread_mutex_lock(&s->lock);
	if (!s->alone)
		s->alone = kafka_channel_open(s, KAFKA_FOR_ALONE, err);
	c = s->alone;
	pthread_mutex_unlock(&s->lock);
	return c;
}

static void sink_free(struct sink *s)
{
	/* Flights have landed: nobody but the threads themselves is in here any more. */
	for (unsigned i = 0; i < s->channel_count; i++)
		kafka_channel_close(s->channels[i]);
	kafka_channel_close(s->alone);
	kafka_transactions_free(s);
	kafka_large_free(s->large);
	template_free(s->topic);
	pthread_cond_destroy(&s->landed);
	pthread_mutex_destroy(&s->lock);
	pthread_mutex_destroy(&s->trouble.lock);
	free(s);
}

static bool open_channels(struct sink *s, struct error *err)
{
	if (kafka_commit(s->settings) == SINK_TRANSACTION)
		return kafka_transactions_open(s, err);
	for (; s->channel_count < s->host->readers; s->channel_count++) {
		s->channels[s->channel_count] = kafka_channel_open(s, KAFKA_FOR_READER, err);
		if (!s->channels[s->channel_count])
			return false;
	}
	return true;
}

static bool open_large(struct sink *s, struct error *err)
{
	if (s->settings->large_bucket)
		s->large = kafka_large_start(s, err);
	return !s->settings->large_bucket || s->large;
}

static struct sink *kafka_open(const void *settings, const struct sink_host *host,
			       struct error *err)
{
	struct sink *s = memory_new(sizeof(*s) + (host->readers + 1) * sizeof(s->channels[0]));
	pthread_condattr_t monotonic;

	s->settings = settings;
	s->host = host;
	s->delivered = metrics_cell(host->metrics, METRIC_DELIVERED, host->name, NULL);
	s->delivered_bytes = metrics_cell(host->metrics, METRIC_DELIVERED_BYTES, host->name, NULL);
	s->unanswered_bytes =
		metrics_cell(host->metrics, METRIC_SINK_UNANSWERED_BYTES, host->name, NULL);
	pthread_mutex_init(&s->trouble.lock, NULL);
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&s->landed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	s->topic = template_new(s->settings->topic, TEMPLATE_TOPIC, err);
	if (s->topic && open_large(s, err) && open_channels(s, err))
		return s;
	sink_free(s);
	error_wrap(err, "kafka sink %s", host->name);
	return NULL;
}

static void kafka_purge(struct sink *s)
{
	atomic_store(&s->purged, true);
	if (s->large)
		kafka_large_purge(s->large);
	kafka_transactions_wake(s);
	for (unsigned i = 0; i < s->channel_count; i++)
		kafka_channel_purge(s->channels[i]);
	pthread_mutex_lock(&s->lock);
	if (s->alone)
		kafka_channel_purge(s->alone);
	pthread_mutex_unlock(&s->lock);
}

/* Until every flight landed; wait_ms < 0: without limit. */
static bool wait_landed(struct sink *s, long wait_ms)
{
	struct timespec until;
	int failed = 0;
	bool landed;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += wait_ms / 1000;
	until.tv_nsec += wait_ms % 1000 * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&s->lock);
	while (s->flights > 0 && failed != ETIMEDOUT) {
		if (wait_ms < 0)
			pthread_cond_wait(&s->landed, &s->lock);
		else
			failed = pthread_cond_timedwait(&s->landed, &s->lock, &until);
	}
	landed = s->flights == 0;
	pthread_mutex_unlock(&s->lock);
	return landed;
}

static void kafka_close(struct sink *s)
{
	kafka_large_stop(s->large);
	if (s->transactions)
		kafka_transactions_close(s);
	else if (!wait_landed(s, CLOSE_FLUSH_MS)) {
		kafka_purge(s);
		(void)wait_landed(s, -1);
	}
	sink_free(s);
}

void kafka_go_on(struct sink *s, struct delivery *d)
{
	if (s->transactions)
		kafka_transactions_write(s, d);
	else
		kafka_flight_begin(s, d);
}

static void kafka_write(struct sink *s, struct delivery *d)
{
	d->of_sink = NULL;
	if (!s->large || !kafka_large_take(s->large, d))
		kafka_go_on(s, d);
}

static struct encoding kafka_encoding(const void *settings)
{
	const struct kafka_settings *s = settings;

	return (struct encoding){ .format = (enum event_format)s->format,
				  .numbers_as_strings = s->numbers != 0,
				  .fields = event_fields_set(&s->fields) };
}

static const struct route *kafka_route(const struct sink *s, bool *required)
{
	*required = s->settings->missing != 0;
	return template_route(s->topic);
}

const struct sink_ops sink_kafka = {
	.config = { .type = "kafka",
		    .options = kafka_options,
		    .settings_size = sizeof(struct kafka_settings),
		    .validate = kafka_validate,
		    .letters = kafka_letters_validate },
	.commit = kafka_commit,
	.encoding = kafka_encoding,
	.open = kafka_open,
	.route = kafka_route,
	.write = kafka_write,
	.prepare = kafka_transactions_hurry,
	.finish = kafka_transactions_finish,
	.bury = kafka_bury,
	.sweep = kafka_sweep,
	.tells = kafka_tells,
	.control = kafka_control,
	.letters = kafka_letters,
	.place = kafka_place,
	.again = kafka_again,
	.purge = kafka_purge,
	.check = kafka_check,
	.trouble = kafka_trouble,
	.close = kafka_close,
};
