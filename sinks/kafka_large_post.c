/* Events that are too large for Kafka, and a check of their bucket, without a running sink: objects
 * one after the other, each until it is there. */
#include "aws/endpoint.h"
#include "sinks/kafka_large.h"
#include "sinks/kafka_reference.h"

#define STOP_MS  100
#define CHECK_MS 10000

static bool post_open(struct kafka_large_post *p, struct error *err)
{
	if (p->client)
		return true;
	p->loop = p->loop ? p->loop : loop_new(p->host->clock);
	p->aws = *p->host->aws;
	p->aws.connections_max = 1;
	p->client = aws_client_new(p->loop, &p->aws, p->host->credentials, p->host->clock,
				   p->host->metrics, err);
	return p->client != NULL;
}

static void post_done(void *arg, const struct error *err)
{
	struct kafka_large_post *p = arg;

	p->running = false;
	p->err = *err;
}

/* until_ms: boot time. */
static bool post_put(struct kafka_large_post *p, const char *key, struct str body, int64_t until_ms,
		     struct error *err)
{
	const struct s3_options o = { .content_type = "application/json" };
	const struct s3_place at = { .bucket = p->settings->large_bucket,
				     .key = key,
				     .bucket_owner = p->settings->large_owner };

	if (!post_open(p, err))
		return false;
	p->running = true;
	s3_put(p->client, &at, &o, body, post_done, p);
	while (p->running && !atomic_load(p->stop) && clock_boot_ms(p->host->clock) < until_ms)
		loop_once(p->loop, STOP_MS);
	if (p->running) {
		bool stopped = atomic_load(p->stop);

		/* Before what it was given goes. */
		aws_client_free(p->client);
		p->client = NULL;
		error_set(&p->err, stopped ? ERROR_CANCELLED : ERROR_RETRY, "%s",
			  stopped ? "stopped" : "it does not answer in time");
	}
	*err = p->err;
	return err->kind == ERROR_NONE || error_wrap(err, "bucket %s", p->settings->large_bucket);
}

bool kafka_large_post(struct kafka_large_post *p, const struct batch *b, size_t i, unsigned part,
		      struct str payload, struct buf *out, struct error *err)
{
	struct buf key, body;
	bool ok;

	buf_init(&key, 0);
	buf_init(&body, 0);
	kafka_object_key(p->settings, p->host->name, b, i, part, &key);
	kafka_object_body(p->settings, &b->events[i], payload, &body);
	ok = post_put(p, key.data, buf_str(&body), INT64_MAX, err);
	if (ok)
		kafka_reference(p->settings, &b->events[i], payload, buf_str(&key), buf_str(&body),
				out);
	buf_release(&key);
	buf_release(&body);
	return ok;
}

void kafka_large_post_close(struct kafka_large_post *p)
{
	aws_client_free(p->client);
	loop_free(p->loop);
}

/* On all that lies beside what was tried. What is wrong otherwise is the sink's to say. */
static void tell_permission(const struct kafka_settings *s, const struct sink_host *host,
			    struct str key, const struct error *err)
{
	int folder = (int)((const char *)memrchr(key.p, '/', key.n) - key.p);
	struct buf objects;

	buf_init(&objects, 0);
	buf_printf(&objects, "arn:%s:s3:::%s/%.*s/*", endpoint_partition(host->aws->region),
		   s->large_bucket, folder, key.p);
	(void)permission_judge(err, "s3:PutObject", objects.data, host->permission,
			       host->permission_arg);
	buf_release(&objects);
}

bool kafka_large_check(const struct kafka_settings *s, const struct sink_host *host,
		       struct buf *said, struct error *err)
{
	static const _Atomic bool go_on = false;
	static const struct error none = { 0 };
	struct kafka_large_post p = { .settings = s, .host = host, .stop = &go_on };
	const char *prefix = s->large_prefix ? s->large_prefix : "";
	size_t n = strlen(prefix);
	struct buf key;
	bool ok;

	buf_init(&key, 0);
	buf_printf(&key, "%s%s%s/_check", prefix, n > 0 && prefix[n - 1] != '/' ? "/" : "",
		   host->name);
	ok = post_put(&p, key.data, STR("{}\n"), clock_boot_ms(host->clock) + CHECK_MS, err);
	if (host->permission)
		tell_permission(s, host, buf_str(&key), ok ? &none : err);
	if (ok)
		buf_printf(said, ", large records into bucket %s: writing is allowed",
			   s->large_bucket);
	buf_release(&key);
	kafka_large_post_close(&p);
	return ok;
}
