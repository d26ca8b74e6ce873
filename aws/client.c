#include <assert.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>

#include "aws/answer.h"
#include "aws/parts.h"
#include "aws/profile.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/memory.h"

#define RETRY_TOKENS 500

struct aws_client *aws_client_new(struct loop *loop, const struct aws_settings *settings,
				  struct credentials *credentials, struct clock *clock,
				  struct metrics *metrics, struct error *err)
{
	AUTO(aws_client) struct aws_client *c = memory_new(sizeof(*c));
	AUTO(profiles) struct profiles *profiles = profiles_load(err);
	uint64_t seed;

	c->loop = loop;
	c->credentials = credentials;
	c->clock = clock;
	c->metrics = metrics;
	c->retry_tokens = RETRY_TOKENS;
	c->date_second = -1;
	c->clock_offset = metrics_cell(metrics, METRIC_AWS_CLOCK_OFFSET, NULL, NULL);
	rng_random(&seed, sizeof(seed));
	rng_seed(&c->rng, seed);
	if (!profiles)
		return NULL;
	if (strlen(settings->region) >= sizeof(c->region)) {
		error_set(err, ERROR_INVALID, "'%s' is no region", settings->region);
		return NULL;
	}
	snprintf(c->region, sizeof(c->region), "%s", settings->region);
	for (int i = 0; i < AWS_SERVICES; i++)
		if (!endpoint_resolve(&c->endpoints[i], (enum aws_service)i, c->region,
				      settings->endpoints[i], profiles,
				      credentials_profile(credentials), err))
			return NULL;
	c->http = http_new(
		loop,
		&(struct http_settings){
			.ca_bundle = settings->ca_bundle,
			.connections_max = settings->connections_max,
			.connections = metrics_cell(metrics, METRIC_CONNECTIONS, NULL, NULL),
		},
		err);
	if (!c->http)
		return NULL;
	c->signer = signer_new();
	return MOVE(c);
}

void aws_client_free(struct aws_client *c)
{
	if (!c)
		return;
	c->closing = true;
	http_free(c->http);
	calls_cancel(c);
	signer_free(c->signer);
	libdeflate_free_decompressor(c->inflater);
	for (size_t i = 0; i < CLIENT_BUCKETS_MAX; i++)
		free(c->buckets[i].name);
	buf_release(&c->host);
	buf_release(&c->path);
	buf_release(&c->query);
	buf_release(&c->authorization);
	OPENSSL_cleanse(&c->keys, sizeof(c->keys));
	free(c);
}

struct loop *aws_client_loop(struct aws_client *c)
{
	return c->loop;
}

void aws_wait(struct aws_client *c, const bool *done)
{
	while (!*done)
		loop_once(c->loop, -1);
}

bool client_keys(struct aws_client *c)
{
	return c->keys.version == credentials_version(c->credentials) && c->keys.version
		       ? true
		       : credentials_get(c->credentials, &c->keys);
}

/* AWS's time is that of DynamoDB and its streams. A store of files may stand elsewhere, with a
 * clock of its own, which says nothing of when records were made. */
static bool says_aws_time(enum aws_service service)
{
	return service == AWS_DYNAMODB || service == AWS_STREAMS;
}

static struct client_time *time_of(struct aws_client *c, enum aws_service service)
{
	return &c->times[says_aws_time(service) ? AWS_DYNAMODB : service];
}

static int64_t offset_ms_of(const struct aws_client *c, const struct client_time *t)
{
	return t->apart ? t->offset_ms : atomic_load(&c->clock->aws_offset_ms);
}

const char *client_date(struct aws_client *c, enum aws_service service)
{
	int64_t now_ms = c->clock->wall_ms(c->clock) + offset_ms_of(c, time_of(c, service));

	if (now_ms / 1000 != c->date_second) {
		c->date_second = now_ms / 1000;
		sign_date(now_ms, c->date);
	}
	return c->date;
}

static bool date_known(struct aws_client *c, struct str date)
{
	if (str_equal(date, str_of(c->answer_date)))
		return date.n > 0;
	c->answer_date[0] = '\0';
	if (date.n >= sizeof(c->answer_date) || !answer_date(date, &c->answer_ms))
		return false;
	memcpy(c->answer_date, date.p, date.n);
	c->answer_date[date.n] = '\0';
	return true;
}

/* Only what AWS itself answered says its time: a proxy's error page does not. */
bool client_note_time(struct aws_client *c, enum aws_service service, const struct http_response *r,
		      bool refused)
{
	struct client_time *t = time_of(c, service);
	int64_t wall_ms = c->clock->wall_ms(c->clock), offset_ms = offset_ms_of(c, t);

	if (!r->headers[HTTP_REQUEST_ID].n || !date_known(c, r->headers[HTTP_DATE]) ||
	    !skew_note(&t->skew, wall_ms, c->answer_ms, r->elapsed_ms, refused, &offset_ms))
		return false;
	t->apart = !says_aws_time(service);
	t->offset_ms = offset_ms;
	if (!t->apart) {
		atomic_store(&c->clock->aws_offset_ms, offset_ms);
		metric_set(c->clock_offset, offset_ms);
	}
	return true;
}

static struct client_bucket *bucket_find(struct aws_client *c, struct str bucket)
{
	for (size_t i = 0; i < CLIENT_BUCKETS_MAX; i++)
		if (c->buckets[i].name && str_equal(str_of(c->buckets[i].name), bucket))
			return &c->buckets[i];
	return NULL;
}

const char *client_bucket_region(struct aws_client *c, struct str bucket)
{
	const struct client_bucket *b = bucket_find(c, bucket);

	return b ? b->region : c->region;
}

bool client_bucket_moved(struct aws_client *c, struct str bucket, struct str region)
{
	struct client_bucket *b = bucket_find(c, bucket);
	char name[CLIENT_REGION_SIZE];

	if (region.n >= sizeof(name))
		return false;
	snprintf(name, sizeof(name), "%.*s", STR_ARG(region));
	if (!endpoint_region_valid(name))
		return false;
	if (!b) {
		b = &c->buckets[c->bucket_next++ % CLIENT_BUCKETS_MAX];
		free(b->name);
		b->name = strndup(bucket.p, bucket.n);
		if (!b->name)
			abort();
		*b->region = '\0';
	}
	if (strcmp(b->region, name) == 0)
		return true; /* another call was told */
	memcpy(b->region, name, sizeof(name));
	log_info("a bucket is in another region: it is called there", log_text("bucket", b->name),
		 log_text("region", b->region));
	return true;
}

void client_count(struct aws_client *c, const struct aws_operation *op, enum error_kind kind)
{
	struct operation_cells *cells = c->cells;
	struct metric_cell **cell;

	while (cells->operation && cells->operation != op)
		cells++;
	assert(cells < c->cells + CLIENT_OPERATIONS_MAX);
	cells->operation = op;
	cell = &cells->results[kind];
	if (!*cell)
		*cell = metrics_cell(c->metrics, METRIC_AWS_CALLS, op->name, answer_result(kind));
	metric_add(*cell, 1);
}
