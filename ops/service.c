#include "ops/service.h"

#include <malloc.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "aws/credentials.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/rng.h"
#include "checkpoint/store.h"
#include "consumer/resolve.h"
#include "consumer/worker.h"
#include "ops/command.h"
#include "ops/http.h"
#include "ops/signals.h"
#include "sinks/sink.h"

#define AGAIN_BASE_MS 200
#define AGAIN_MAX_MS  10000
/* A session that lived so long was well: the next one need not wait for the one after it. */
#define HEALTHY_MS 60000
/* Pages come and go all the time: memory of this size is kept, not mapped anew for each of them. */
#define KEEP_BYTES       (64 << 20)
#define READERS_AN_ARENA 2

struct service {
	const struct config *config;
	struct clock clock;
	struct metrics *metrics;
	struct health *health;
	struct service_aws aws;
	struct store *store;
	struct signals *signals;
	struct http_server *http;
	struct snapshot *snapshot;
	struct worker_pulse pulse;
	struct worker_standby standby;
};

/* The stream's own region, where the configuration names a stream or table by its ARN. */
static const char *region_of(const struct config *c, char out[64])
{
	char account[16];

	if (c->aws.region)
		return c->aws.region;
	for (size_t i = 0; i < c->stream_count; i++) {
		resolve_arn_parts(c->streams[i].table, out, account);
		if (*out)
			return out;
	}
	return NULL;
}

bool service_aws_open(struct service_aws *a, const struct config *c, struct clock *clock,
		      struct metrics *metrics, const _Atomic bool *stop, struct error *err)
{
	char from_arn[64] = "";

	*a = (struct service_aws){ 0 };
	if (!aws_region_resolve(region_of(c, from_arn), c->aws.profile, a->region,
				sizeof(a->region), err))
		return false;
	a->settings = (struct aws_settings){
		.region = a->region,
		.endpoints = { [AWS_DYNAMODB] = c->aws.endpoint_dynamodb,
			       [AWS_STREAMS] = c->aws.endpoint_streams,
			       [AWS_S3] = c->aws.endpoint_s3,
			       [AWS_STS] = c->aws.endpoint_sts },
		.ca_bundle = c->aws.ca_bundle,
		.connections_max = 8,
		.role = { .arn = c->aws.role_arn,
			  .external_id = c->aws.external_id,
			  .session = c->aws.role_session_name,
			  .duration_s = c->aws.role_duration_ms / 1000 },
		.stop = stop,
	};
	a->credentials = credentials_open(&a->settings, c->aws.profile, clock, metrics, err);
	return a->credentials != NULL;
}

void service_aws_close(struct service_aws *a)
{
	if (a->credentials)
		credentials_close(a->credentials);
}

bool service_client_open(struct service_client *s, const struct config *c, struct clock *clock,
			 struct error *err)
{
	*s = (struct service_client){ .metrics = metrics_new() };
	if (!service_aws_open(&s->aws, c, clock, s->metrics, NULL, err))
		return false;
	s->loop = loop_new(clock);
	s->client = aws_client_new(s->loop, &s->aws.settings, s->aws.credentials, clock, s->metrics,
				   err);
	return s->client != NULL;
}

void service_client_close(struct service_client *s)
{
	aws_client_free(s->client);
	loop_free(s->loop);
	service_aws_close(&s->aws);
	metrics_free(s->metrics);
}

static void on_hangup(void *arg)
{
	struct service *s = arg;
	struct error err = { 0 };
	AUTO(config) struct config *c = config_load(s->config->path, sink_config_types(), &err);

	if (!c) {
		log_error("the configuration could not be read again, the log level stays",
			  log_text("error", err.message));
		return;
	}
	log_setup((enum log_level)c->log.level, (enum log_format)s->config->log.format);
	log_info("log level read again");
}

static bool alive(void *arg, char *stuck, size_t size)
{
	struct service *s = arg;

	return worker_pulse_ok(&s->pulse, &s->clock, stuck, size);
}

static bool pause_between(struct service *s, int64_t ms)
{
	struct pollfd p = { .fd = signals_fd(s->signals), .events = POLLIN };

	return poll(&p, 1, (int)ms) == 0;
}

/* The store is waited for: a database that comes up after its clients is an ordinary morning. */
static bool open_store(struct service *s, struct error *err)
{
	struct rng rng;

	rng_seed(&rng, (uint64_t)clock_boot_ms(&s->clock));
	for (unsigned tries = 0;; tries++) {
		s->store = store_open(s->config->checkpoint.store,
				      s->config->checkpoint.lease_ms / 2 - 1, err);
		if (s->store || !error_passes(err->kind))
			break;
		health_set(s->health, "store", err->message);
		log_warn("the store cannot be opened, it is tried again",
			 log_text("error", err->message));
		if (!pause_between(s, rng_backoff_ms(&rng, tries, AGAIN_BASE_MS, AGAIN_MAX_MS)))
			return error_set(err, ERROR_CANCELLED, "stopped while starting");
	}
	if (s->store)
		health_set(s->health, "store", NULL);
	return s->store != NULL;
}

static bool open_http(struct service *s, struct error *err)
{
	struct http_server_settings h = { .listen = s->config->http.listen,
					  .health = s->health,
					  .metrics = s->metrics,
					  .alive = alive,
					  .arg = s };

	if (!*s->config->http.listen)
		return true;
	s->snapshot = h.snapshot = snapshot_start(s->config);
	s->http = http_server_start(&h, err);
	if (s->http)
		log_info("listening", log_text("address", s->config->http.listen),
			 log_int("port", http_server_port(s->http)));
	return s->http != NULL;
}

static bool open_aws(struct service *s, struct error *err)
{
	const _Atomic bool *stop = signals_flag(s->signals);

	if (!service_aws_open(&s->aws, s->config, &s->clock, s->metrics, stop, err)) {
		if (atomic_load(stop))
			error_set(err, ERROR_CANCELLED, "stopped while starting");
		return false;
	}
	health_set(s->health, "credentials", NULL);
	log_info("credentials", log_text("source", credentials_source(s->aws.credentials)),
		 log_text("region", s->aws.region));
	return true;
}

static void require_parts(struct service *s)
{
	health_require(s->health, "configuration");
	health_set(s->health, "configuration", NULL);
	health_require(s->health, "store");
	health_require(s->health, "credentials");
	/* Keys that were obtained may still be refused: the first answer of AWS decides. */
	health_require(s->health, "aws");
}

static void banner(const struct config *c)
{
	struct buf sinks = { 0 }, streams = { 0 };
	char state[512];

	for (size_t i = 0; i < c->stream_count; i++)
		buf_printf(&streams, "%s%s", i ? "," : "",
			   c->streams[i].is_pattern ? c->streams[i].table : c->streams[i].name);
	for (size_t i = 0; i < c->sink_count; i++)
		buf_printf(&sinks, "%s%s", i ? "," : "", c->sinks[i].name);
	store_place(c->checkpoint.store, state, sizeof(state));
	log_info("sluice " SLUICE_VERSION, log_text("worker", c->worker.name),
		 log_str("streams", buf_str(&streams)), log_str("sinks", buf_str(&sinks)),
		 log_text("state", state), log_int("threads", c->worker.threads),
		 log_int("memory", c->worker.memory_bytes));
	buf_release(&streams);
	buf_release(&sinks);
}

/* What became of all that: the last line. */
static void summary(struct service *s, int64_t since_ms, int code)
{
	struct metrics *m = s->metrics;

	log_info("ended", log_int("code", code),
		 log_int("seconds", (clock_boot_ms(&s->clock) - since_ms) / 1000),
		 log_int("sessions", metrics_sum(m, METRIC_SESSIONS)),
		 log_int("records", metrics_sum(m, METRIC_RECORDS)),
		 log_int("delivered", metrics_sum(m, METRIC_DELIVERED)),
		 log_int("dead_letters", metrics_sum(m, METRIC_DEAD_LETTERS)),
		 log_int("dropped", metrics_sum(m, METRIC_DROPPED)),
		 log_int("gaps", metrics_sum(m, METRIC_GAPS)));
}

/* Sessions, until one ends for good. */
static int sessions(struct service *s, const struct service_options *o)
{
	struct worker_settings w = { .config = s->config,
				     .store = s->store,
				     .aws = &s->aws.settings,
				     .credentials = s->aws.credentials,
				     .clock = &s->clock,
				     .metrics = s->metrics,
				     .health = s->health,
				     .idle_ms = o->idle_ms,
				     .stop = signals_flag(s->signals),
				     .stop_fd = signals_fd(s->signals),
				     .pulse = &s->pulse,
				     .standby = &s->standby,
				     .side = o->side };
	struct metric_cell *begun = metrics_cell(s->metrics, METRIC_SESSIONS, NULL, NULL);
	/* That others may come after. Rates are made of what they were before. */
	static const enum worker_end ends[] = { WORKER_AGAIN, WORKER_STALLED };
	struct rng rng;

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		metrics_cell(s->metrics, METRIC_SESSIONS_ENDED, worker_end_name(ends[i]), NULL);

	rng_seed(&rng, (uint64_t)clock_boot_ms(&s->clock));
	for (unsigned again = 0;; again++) {
		struct error err = { 0 };
		int64_t since_ms = clock_boot_ms(&s->clock);
		enum worker_end end;

		metric_add(begun, 1);
		end = worker_run(&w, &err);
		if (o->end)
			o->end->how = end;
		metric_add(
			metrics_cell(s->metrics, METRIC_SESSIONS_ENDED, worker_end_name(end), NULL),
			1);
		if (clock_boot_ms(&s->clock) - since_ms > HEALTHY_MS)
			again = 0;
		switch (end) {
		case WORKER_STOPPED:
		case WORKER_IDLE:
			return EXIT_DONE;
		case WORKER_STANDS:
			log_error("not everything could be delivered",
				  log_text("error", err.message));
			fprintf(stderr, "sluice %s: %s\n", o->command, err.message);
			return EXIT_FAILED;
		case WORKER_FAILED:
			log_error("cannot go on", log_text("error", err.message));
			fprintf(stderr, "sluice %s: %s\n", o->command, err.message);
			return EXIT_FAILED;
		case WORKER_STALLED:
			log_warn("the session ended, other workers take its shards: a sink is "
				 "silent",
				 log_text("error", err.message));
			if (!worker_stand_by(&w))
				return EXIT_DONE;
			break;
		case WORKER_AGAIN:
			if (o->once) {
				fprintf(stderr, "sluice %s: %s\n", o->command, err.message);
				return EXIT_FAILED;
			}
			log_warn("the session ended, a new one begins",
				 log_text("error", err.message));
			if (!pause_between(
				    s, rng_backoff_ms(&rng, again, AGAIN_BASE_MS, AGAIN_MAX_MS)))
				return EXIT_DONE;
		}
	}
}

static void close_all(struct service *s)
{
	if (s->snapshot)
		snapshot_end(s->snapshot);
	http_server_stop(s->http);
	if (s->snapshot)
		snapshot_free(s->snapshot);
	store_free(s->store);
	service_aws_close(&s->aws);
	signals_stop(s->signals);
	health_free(s->health);
	metrics_free(s->metrics);
}

/* Threads share arenas: each keeps holes of its own, which would come on top of worker.memory. */
static void malloc_setup(const struct config *c)
{
	int arenas = (int)c->worker.threads / READERS_AN_ARENA;

	mallopt(M_MMAP_THRESHOLD, KEEP_BYTES);
	mallopt(M_TRIM_THRESHOLD, KEEP_BYTES);
	mallopt(M_ARENA_MAX, arenas > 0 ? arenas : 1);
}

int service_run(const struct config *c, const struct service_options *o)
{
	struct service s = { .config = c };
	struct error err = { 0 };
	int code = EXIT_FAILED;
	int64_t since_ms;

	if (o->end)
		*o->end = (struct service_end){ .how = WORKER_STOPPED };
	malloc_setup(c);
	log_setup((enum log_level)c->log.level, (enum log_format)c->log.format);
	clock_init(&s.clock);
	since_ms = clock_boot_ms(&s.clock);
	s.metrics = metrics_new();
	s.health = health_new(&s.clock);
	s.signals = signals_start(on_hangup, &s);
	metric_set(metrics_cell(s.metrics, METRIC_BUILD_INFO, SLUICE_VERSION, NULL), 1);
	banner(c);
	require_parts(&s);
	if (open_http(&s, &err) && open_aws(&s, &err) && open_store(&s, &err)) {
		code = sessions(&s, o);
	} else if (err.kind == ERROR_CANCELLED) {
		code = EXIT_DONE;
	} else {
		log_error("cannot start", log_text("error", err.message));
		fprintf(stderr, "sluice %s: %s\n", o->command, err.message);
	}
	if (o->end)
		o->end->delivered = metric_get(
			metrics_cell(s.metrics, METRIC_DELIVERED, c->sinks[0].name, NULL));
	summary(&s, since_ms, code);
	close_all(&s);
	return code;
}
