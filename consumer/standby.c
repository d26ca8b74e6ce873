#include "consumer/standby.h"

#include <stdio.h>

#include "base/log.h"
#include "base/rng.h"
#include "sinks/sink.h"

#define CHECK_EVERY_MS 5000
#define VAIN_MAX_MS    (60 * 60 * 1000)
#define LOG_EVERY_MS   60000

/* Reaching it is not yet an answer: the first time is free. */
static int64_t least_ms(const struct session_settings *s, unsigned in_vain)
{
	int64_t ms = in_vain > 1 ? s->config->worker.sink_timeout_ms : 0;

	for (unsigned i = 2; i < in_vain && ms < VAIN_MAX_MS; i++)
		ms *= 2;
	return ms < VAIN_MAX_MS ? ms : VAIN_MAX_MS;
}

static bool reached(const struct session_settings *s, const struct config_sink *sink,
		    struct error *err)
{
	struct sink_host host = session_sink_host(s, sink);
	struct buf said = { 0 };
	bool ok;

	host.session = "standby";
	host.readers = 1;
	host.memory_bytes = (size_t)s->config->worker.memory_bytes / 4;
	ok = sink_ops_find(sink->type->type)->check(sink->settings, &host, &said, err);
	buf_release(&said);
	return ok;
}

bool standby_wait(const struct session_settings *s, const struct worker_standby *y)
{
	const struct config_sink *sink = &s->config->sinks[y->sink];
	int64_t since_ms = clock_boot_ms(s->clock), until_ms = since_ms + least_ms(s, y->in_vain);
	struct log_limit limit = { 0 };
	struct rng rng;
	uint64_t seed, repeated;
	char part[160];

	rng_random(&seed, sizeof(seed));
	rng_seed(&rng, seed);
	snprintf(part, sizeof(part), "sink %s", sink->name);
	for (;;) {
		struct error err = { 0 }, stopped;
		bool ok = reached(s, sink, &err);

		health_set(s->health, part, ok ? NULL : err.message);
		if (ok && clock_boot_ms(s->clock) >= until_ms)
			break;
		if (log_limit_pass(&limit, clock_boot_ms(s->clock), LOG_EVERY_MS, &repeated))
			log_warn("this worker stands by, others read its shards",
				 log_text("sink", sink->name),
				 log_text("error", ok ? "it can be reached, but did not answer"
						      : err.message));
		if (!session_pause(s, CHECK_EVERY_MS / 2 + (int64_t)rng_below(&rng, CHECK_EVERY_MS),
				   &stopped))
			return false;
	}
	log_info("the sink can be reached, this worker takes part again",
		 log_text("sink", sink->name),
		 log_int("away_ms", clock_boot_ms(s->clock) - since_ms));
	return true;
}
