#include "config/sections.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"
#define ARN_CHARS  NAME_CHARS "+=,@:/" /* also of external ids */
#define SECOND     1000L
#define MINUTE     (60 * SECOND)
#define MIB        (1L << 20)
/* In a pattern's `name` */
#define TABLE_PLACE "${table}"

static const char *const level_choices[] = { "debug", "info", "warn", "error", NULL };
static const char *const format_choices[] = { "text", "json", NULL };
static const char *const gap_choices[] = { "stop", "oldest", "repair", NULL };
static const char *const on_error_choices[] = { "dead_letter", "stop", "drop", NULL };
static const char *const schemaless_choices[] = { "pass", "dead_letter", NULL };
static const char *const view_choices[] = { "NEW_AND_OLD_IMAGES", "NEW_IMAGE", "OLD_IMAGE",
					    "KEYS_ONLY", NULL };

#define ROW(struct_, name_, type_, field_, ...)                                                    \
	{                                                                                          \
		.name = (name_), .type = (type_), .offset = offsetof(struct struct_, field_),      \
		__VA_ARGS__                                                                        \
	}

static const struct option worker_options[] = {
	ROW(config_worker, "name", OPTION_TEXT, name,
	    .help = "What this process is called in the store, in logs and in `status`; by default "
		    "${HOSTNAME}, else the machine's name."),
	ROW(config_worker, "threads", OPTION_INT, threads, .min = 1, .max = 256,
	    .help = "Reader threads; by default the CPUs that the cgroup allows."),
	ROW(config_worker, "memory", OPTION_BYTES, memory_bytes, .min = 16 * MIB, .max = 1L << 40,
	    .help = "Bytes in flight, all streams together; by default a quarter of the cgroup's "
		    "limit, at most 1GiB."),
	ROW(config_worker, "max_shards", OPTION_INT, max_shards, .def = "10000", .min = 1,
	    .max = 1000000, .help = "The most shards that this process reads at once."),
	ROW(config_worker, "follow", OPTION_MS, follow_ms, .def = "60s", .min = 1 * SECOND,
	    .max = 60 * MINUTE,
	    .help = "How often tables are looked up: new ones that match a pattern, ones that are "
		    "gone, streams that were turned off or on again."),
	ROW(config_worker, "shutdown", OPTION_MS, shutdown_ms, .def = "20s", .min = 1 * SECOND,
	    .max = 60 * MINUTE,
	    .help = "A stop that takes longer than this ends without having delivered all."),
	ROW(config_worker, "sink_timeout", OPTION_MS, sink_timeout_ms, .def = "5m", .min = 0,
	    .max = 24 * 60 * MINUTE,
	    .help = "Where a sink answers nothing for this long while records wait for it, and "
		    "other workers are there, the shards go to them and this worker stands by "
		    "until it can reach the sink again. 0: never."),
	{ 0 },
};

static const struct option checkpoint_options[] = {
	ROW(config_checkpoint, "store", OPTION_TEXT, store, .def = "sqlite:state.db",
	    .help = "Where positions are kept: postgres://USER@HOST/DATABASE, or sqlite:PATH for "
		    "one worker."),
	ROW(config_checkpoint, "interval", OPTION_MS, interval_ms, .def = "1s", .min = 50,
	    .max = 5 * MINUTE, .help = "How often positions are saved; less than the lease."),
	ROW(config_checkpoint, "lease", OPTION_MS, lease_ms, .def = "10s", .min = 1 * SECOND,
	    .max = 10 * MINUTE,
	    .help = "A worker that shows no life for this long is declared dead and its shards go "
		    "to others."),
	{ 0 },
};

static const struct option aws_options[] = {
	ROW(config_aws, "region", OPTION_TEXT, region,
	    .help = "AWS region; by default that of the first stream that is given as an ARN, else "
		    "AWS_REGION, else the profile's."),
	ROW(config_aws, "endpoint.dynamodb", OPTION_TEXT, endpoint_dynamodb,
	    .help = "URL of DynamoDB; by default AWS's, or AWS_ENDPOINT_URL_DYNAMODB."),
	ROW(config_aws, "endpoint.streams", OPTION_TEXT, endpoint_streams,
	    .help = "URL of DynamoDB Streams; by default AWS's, or "
		    "AWS_ENDPOINT_URL_DYNAMODB_STREAMS."),
	ROW(config_aws, "endpoint.s3", OPTION_TEXT, endpoint_s3,
	    .help = "URL of S3; by default AWS's, or AWS_ENDPOINT_URL_S3."),
	ROW(config_aws, "endpoint.sts", OPTION_TEXT, endpoint_sts,
	    .help = "URL of STS; by default AWS's, or AWS_ENDPOINT_URL_STS."),
	ROW(config_aws, "profile", OPTION_TEXT, profile,
	    .help = "A profile of the shared AWS configuration; by default AWS_PROFILE."),
	ROW(config_aws, "role_arn", OPTION_TEXT, role_arn,
	    .help = "A role that is taken with the credentials that are found, of another account "
		    "say: all calls are made with it."),
	ROW(config_aws, "external_id", OPTION_TEXT, external_id,
	    .help = "What the role's trust policy asks for as sts:ExternalId."),
	ROW(config_aws, "role_session_name", OPTION_TEXT, role_session_name,
	    .help = "What the role's session is called in CloudTrail; by default sluice."),
	ROW(config_aws, "role_duration", OPTION_MS, role_duration_ms, .min = 15 * MINUTE,
	    .max = 12 * 60 * MINUTE,
	    .help = "How long its keys are good, which are renewed before; by default an hour, "
		    "which is the most where the credentials are themselves of a role."),
	ROW(config_aws, "ca_bundle", OPTION_TEXT, ca_bundle,
	    .help = "A file of certificates to trust; by default AWS_CA_BUNDLE, else the "
		    "system's."),
	ROW(config_aws, "read_price", OPTION_DECIMAL, read_price, .def = "0.02",
	    .max = 1000 * OPTION_DECIMAL_ONE,
	    .help = "What 100,000 reads of a stream cost, in dollars: for the metric "
		    "`sluice_poll_cost_dollars_month`."),
	{ 0 },
};

static const struct option dead_letter_options[] = {
	ROW(config_dead_letter, "sink", OPTION_TEXT, sink,
	    .help = "A sink of `sinks` that they go to, which no stream and no export has; by "
		    "default they stay in the store."),
	ROW(config_dead_letter, "max_bytes", OPTION_BYTES, max_bytes, .def = "256MiB", .min = MIB,
	    .max = 1L << 40,
	    .help = "The most that the store keeps of records that could not be delivered, and are "
		    "in no sink yet; when full, the shard stops."),
	ROW(config_dead_letter, "max_ratio", OPTION_DECIMAL, max_ratio, .def = "0.5",
	    .max = OPTION_DECIMAL_ONE,
	    .help = "The share of a stream's latest records that may go to the dead letters; "
		    "beyond it the stream stands still. 1: all may."),
	{ 0 },
};

static const struct option http_options[] = {
	ROW(config_http, "listen", OPTION_TEXT, listen, .def = "127.0.0.1:8080",
	    .help = "HOST:PORT of /livez, /readyz and /metrics; port 0 picks a free one, "
		    "an empty text (\"\") switches it off."),
	ROW(config_http, "shard_metrics", OPTION_BOOL, shard_metrics, .def = "false",
	    .help = "/metrics has series of each shard, too: some 100 bytes each."),
	{ 0 },
};

static const struct option log_options[] = {
	ROW(config_log, "level", OPTION_ENUM, level, .def = "info", .choices = level_choices,
	    .flags = OPTION_RELOAD, .help = "The least important lines that are written."),
	ROW(config_log, "format", OPTION_ENUM, format, .def = "text", .choices = format_choices,
	    .help = "One line an event, for people or as JSON."),
	{ 0 },
};

static const struct option stream_options[] = {
	ROW(config_stream, "table", OPTION_TEXT, table, .flags = OPTION_REQUIRED,
	    .help = "The table's name or ARN, its stream's ARN, or a pattern of tables' names: "
		    "orders-*, with * for any text and ? for one letter."),
	ROW(config_stream, "name", OPTION_TEXT, name, .flags = OPTION_TEMPLATE,
	    .help = "The stream's name in the store, in metrics and events; by default the "
		    "table's name. Of a pattern ${table} has to be in it."),
	ROW(config_stream, "start", OPTION_TEXT, start, .def = "latest",
	    .help = "Where to begin when nothing is saved yet: latest, oldest, an RFC 3339 time, "
		    "a time back such as -2h, or baseline: with an export of the whole table."),
	ROW(config_stream, "enable_stream", OPTION_TEXT, enable_stream, .choices = view_choices,
	    .help = "Switches the table's stream on with this view where it is off; by default it "
		    "is never touched."),
	ROW(config_stream, "baseline.bucket", OPTION_TEXT, baseline.bucket,
	    .help = "Where exports of the table go for `start: baseline` and `gap: repair`."),
	ROW(config_stream, "baseline.bucket_owner", OPTION_TEXT, baseline.bucket_owner,
	    .help = "The 12 digits of the account that owns the bucket, where it is another one."),
	ROW(config_stream, "baseline.prefix", OPTION_TEXT, baseline.prefix, .def = "sluice",
	    .help = "What the keys of exports begin with."),
	ROW(config_stream, "baseline.enable_pitr", OPTION_BOOL, baseline.enable_pitr,
	    .def = "false",
	    .help = "Switches point-in-time recovery of the table on where it is off: exports "
		    "need it."),
	ROW(config_stream, "baseline.poll", OPTION_MS, baseline.poll_ms, .def = "30s",
	    .min = 5 * SECOND, .max = 10 * MINUTE,
	    .help = "How often AWS is asked whether an export has ended."),
	ROW(config_stream, "gap", OPTION_ENUM, gap, .def = "stop", .choices = gap_choices,
	    .help = "When records left the stream unread: stop the shard, go on from the oldest "
		    "record, or repair it from exports."),
	ROW(config_stream, "warn_loss", OPTION_MS, warn_loss_ms, .def = "6h", .min = 0,
	    .max = 24 * 60 * MINUTE,
	    .help = "Warn when records that are not delivered and saved leave the stream within "
		    "this time."),
	ROW(config_stream, "on_error", OPTION_ENUM, on_error, .def = "dead_letter",
	    .choices = on_error_choices,
	    .help = "What happens to a record that can never be delivered."),
	ROW(config_stream, "filter", OPTION_PATTERNS, filter,
	    .help = "Event patterns as Lambda has them, each a map or JSON text; a record that one "
		    "of them matches is wanted. None: all are."),
	ROW(config_stream, "transform", OPTION_TRANSFORMS, transform,
	    .help = "What is changed in items before any of its sinks gets them, in this order; "
		    "see "
		    "docs/transforms.md."),
	ROW(config_stream, "schemas", OPTION_SCHEMAS, schemas,
	    .help = "What the table's items may look like: maps of name, when, columns, mode and "
		    "append_only, of which a record has the first that fits it; see "
		    "docs/schemas.md."),
	ROW(config_stream, "schemaless", OPTION_ENUM, schemaless, .def = "pass",
	    .choices = schemaless_choices,
	    .help = "What becomes of a record that fits none of `schemas`: it passes, or is bad, "
		    "and `on_error` decides."),
	ROW(config_stream, "poll.min", OPTION_MS, poll_min_ms, .def = "100ms", .min = 10,
	    .max = 60 * MINUTE, .help = "The shortest pause between two reads of a shard."),
	ROW(config_stream, "poll.max", OPTION_MS, poll_max_ms, .def = "5s", .min = 10,
	    .max = 60 * MINUTE, .help = "The longest pause between two reads of an idle shard."),
	ROW(config_stream, "poll.budget", OPTION_INT, poll_budget, .def = "0", .min = 0,
	    .max = 1000000,
	    .help = "Reads a second for the whole stream, shared by its workers as they share its "
		    "shards; 0 is no limit."),
	{ 0 },
};

static const struct option stream_sink_options[] = {
	ROW(config_stream_sink, "name", OPTION_TEXT, name, .flags = OPTION_REQUIRED,
	    .help = "A sink of `sinks`."),
	ROW(config_stream_sink, "start", OPTION_TEXT, start, .def = "latest",
	    .help = "Where it begins when it is added to a stream that is read already: latest, "
		    "which is where the sink stands that is furthest, in each shard; oldest, with "
		    "all that the stream still has; an RFC 3339 time, or a time back such as -2h. "
		    "Of a new stream, where the stream begins."),
	ROW(config_stream_sink, "filter", OPTION_PATTERNS, filter,
	    .help = "What of the stream's records this sink gets; in the stream's own `filter`, "
		    "what all of its sinks get."),
	ROW(config_stream_sink, "transform", OPTION_TRANSFORMS, transform,
	    .help = "What is changed for this sink alone, after the stream's own `transform`."),
	{ 0 },
};

bool config_name_is_valid(const char *name)
{
	size_t n = strlen(name);

	return n >= 1 && n <= CONFIG_STREAM_NAME_MAX && strspn(name, NAME_CHARS) == n;
}

/* Cuts the part up to `separator` off; false where it is missing. */
static bool part_cut(const char **p, char separator, struct str *part)
{
	const char *end = strchr(*p, separator);

	if (!end)
		return false;
	*part = (struct str){ *p, (size_t)(end - *p) };
	*p = end + 1;
	return true;
}

struct str config_table_name(const char *table)
{
	const struct str none = { table, 0 };
	struct str name = { table, strlen(table) };
	const char *p = table;

	if (!strncmp(table, "arn:", 4)) {
		struct str arn, partition, service, region, account, kind;

		if (!part_cut(&p, ':', &arn) || !part_cut(&p, ':', &partition) ||
		    !part_cut(&p, ':', &service) || !part_cut(&p, ':', &region) ||
		    !part_cut(&p, ':', &account) || !part_cut(&p, '/', &kind))
			return none;
		if (strncmp(partition.p, "aws", 3) != 0 || !str_equal(service, STR("dynamodb")) ||
		    region.n == 0 || account.n == 0 || !str_equal(kind, STR("table")))
			return none;
		name = (struct str){ p, strcspn(p, "/") };
		p += name.n;
		if (*p && (strncmp(p, "/stream/", 8) != 0 || !p[8]))
			return none;
	}
	return name.n >= 3 && name.n <= 255 && strspn(name.p, NAME_CHARS) >= name.n ? name : none;
}

bool config_table_is_pattern(const char *table)
{
	size_t n = strlen(table);

	return strpbrk(table, "*?") && n <= 255 && strspn(table, NAME_CHARS "*?") == n;
}

bool config_stream_name(const struct config_stream *s, const char *table,
			char out[CONFIG_STREAM_NAME_MAX + 1], struct error *err)
{
	const char *at = s->name ? strstr(s->name, TABLE_PLACE) : NULL;
	int before = at ? (int)(at - s->name) : 0;
	int n = snprintf(out, CONFIG_STREAM_NAME_MAX + 1, "%.*s%s%s", before, at ? s->name : "",
			 table, at ? at + strlen(TABLE_PLACE) : "");

	return n <= CONFIG_STREAM_NAME_MAX ||
	       error_set(err, ERROR_INVALID,
			 "the name of table %s makes a stream's name longer than %d: name the "
			 "table in an entry of its own",
			 table, CONFIG_STREAM_NAME_MAX);
}

/* Tables of one pattern need names of their own. */
static bool name_is_valid(const struct config_stream *s, struct error *err)
{
	char example[CONFIG_STREAM_NAME_MAX + 1];

	if (!s->name)
		return true;
	if (!config_table_is_pattern(s->table))
		return config_name_is_valid(s->name) ||
		       error_set(err, ERROR_INVALID,
				 "name: expected 1 to %d of a-z A-Z 0-9 _ . -, not '%.60s'",
				 CONFIG_STREAM_NAME_MAX, s->name);
	if (!strstr(s->name, TABLE_PLACE))
		return error_set(err, ERROR_INVALID,
				 "name: expected " TABLE_PLACE " in it, as the table is a pattern, "
				 "or no name");
	return (config_stream_name(s, "abc", example, err) && config_name_is_valid(example)) ||
	       error_set(err, ERROR_INVALID,
			 "name: expected a-z A-Z 0-9 _ . - and " TABLE_PLACE ", not '%.60s'",
			 s->name);
}

/* `more`: what else it may be. */
static bool start_is_valid(const char *start, const char *more, struct error *err)
{
	enum config_start kind;
	int64_t time_ms;

	/* Only its form is checked here, so any time of day will do. */
	return !start || config_start_parse(start, 0, &kind, &time_ms, err) ||
	       error_set(err, ERROR_INVALID,
			 "start: expected latest, oldest, %sa time such as "
			 "2026-11-21T10:00:00Z or a duration back such as -2h, not '%.60s'",
			 more, start);
}

static bool worker_check(const void *settings, struct error *err)
{
	const struct config_worker *w = settings;

	if (w->name && (!*w->name || strlen(w->name) > 255))
		return error_set(err, ERROR_INVALID, "name: expected 1 to 255 bytes");
	return true;
}

static bool checkpoint_check(const void *settings, struct error *err)
{
	const struct config_checkpoint *c = settings;
	const char *s = c->store;

	/* Its value is not shown: it may hold a password. */
	if ((strncmp(s, "postgres://", 11) != 0 || !s[11]) &&
	    (strncmp(s, "postgresql://", 13) != 0 || !s[13]) &&
	    (strncmp(s, "sqlite:", 7) != 0 || !s[7]))
		return error_set(err, ERROR_INVALID,
				 "store: expected postgres://USER@HOST/DATABASE or sqlite:PATH");
	if (c->interval_ms >= c->lease_ms)
		return error_set(err, ERROR_INVALID,
				 "interval: expected less than the lease (%ldms), not %ldms",
				 c->lease_ms, c->interval_ms);
	return true;
}

static bool consists_of(const char *text, size_t min, size_t max, const char *signs)
{
	size_t n = strlen(text);

	return n >= min && n <= max && strspn(text, signs) == n;
}

static bool role_check(const struct config_aws *a, struct error *err)
{
	if (!a->role_arn && (a->external_id || a->role_session_name || a->role_duration_ms))
		return error_set(err, ERROR_INVALID, "role_arn: is required for %s",
				 a->external_id         ? "external_id"
				 : a->role_session_name ? "role_session_name"
							: "role_duration");
	if (a->role_arn &&
	    (strncmp(a->role_arn, "arn:aws", 7) != 0 || !strstr(a->role_arn, ":iam::") ||
	     !strstr(a->role_arn, ":role/") || !consists_of(a->role_arn, 20, 2048, ARN_CHARS)))
		return error_set(err, ERROR_INVALID,
				 "role_arn: expected a role such as "
				 "arn:aws:iam::123456789012:role/reader, not '%.100s'",
				 a->role_arn);
	if (a->external_id && !consists_of(a->external_id, 2, 1224, ARN_CHARS))
		return error_set(
			err, ERROR_INVALID,
			"external_id: expected 2 to 1224 of a-z A-Z 0-9 _ + = , . @ : / -");
	if (a->role_session_name && !consists_of(a->role_session_name, 2, 64, NAME_CHARS "+=,@"))
		return error_set(err, ERROR_INVALID,
				 "role_session_name: expected 2 to 64 of a-z A-Z 0-9 _ + = , . @ "
				 "-, not '%.100s'",
				 a->role_session_name);
	return true;
}

static bool aws_check(const void *settings, struct error *err)
{
	const struct config_aws *a = settings;
	const struct {
		const char *name, *url;
	} endpoints[] = {
		{ "endpoint.dynamodb", a->endpoint_dynamodb },
		{ "endpoint.streams", a->endpoint_streams },
		{ "endpoint.s3", a->endpoint_s3 },
		{ "endpoint.sts", a->endpoint_sts },
	};

	for (size_t i = 0; i < sizeof(endpoints) / sizeof(endpoints[0]); i++) {
		const char *url = endpoints[i].url, *host;

		if (!url)
			continue;
		host = !strncmp(url, "http://", 7)    ? url + 7
		       : !strncmp(url, "https://", 8) ? url + 8
						      : "";
		if (!*host || *host == '/')
			return error_set(err, ERROR_INVALID,
					 "%s: expected a URL such as http://127.0.0.1:8000",
					 endpoints[i].name);
	}
	if (a->region && (!*a->region || strspn(a->region, NAME_CHARS) != strlen(a->region)))
		return error_set(err, ERROR_INVALID,
				 "region: expected a region such as eu-west-1, not '%.60s'",
				 a->region);
	return role_check(a, err);
}

static bool http_check(const void *settings, struct error *err)
{
	const struct config_http *h = settings;
	const char *colon = strrchr(h->listen, ':');
	char *end = NULL;
	long port = -1;

	if (!*h->listen)
		return true;
	if (colon && colon > h->listen && colon[1] >= '0' && colon[1] <= '9')
		port = strtol(colon + 1, &end, 10);
	if (port < 0 || port > 65535 || *end)
		return error_set(err, ERROR_INVALID,
				 "listen: expected HOST:PORT such as 127.0.0.1:8080, or \"\" for "
				 "none, not '%.60s'",
				 h->listen);
	return true;
}

static bool baseline_check(const struct config_stream *s, struct error *err)
{
	const struct config_baseline *b = &s->baseline;

	if (!b->bucket && s->gap == GAP_REPAIR)
		return error_set(err, ERROR_INVALID,
				 "baseline.bucket: is required for gap: repair");
	if (!b->bucket && config_start_is_baseline(s->start))
		return error_set(err, ERROR_INVALID,
				 "baseline.bucket: is required for start: baseline");
	if (!b->bucket && b->bucket_owner)
		return error_set(err, ERROR_INVALID, "baseline.bucket: is required");
	return config_bucket_check("baseline.bucket", b->bucket, err) &&
	       config_owner_check("baseline.bucket_owner", b->bucket_owner, err) &&
	       config_prefix_check("baseline.prefix", b->prefix, err);
}

static bool stream_check(const void *settings, struct error *err)
{
	const struct config_stream *s = settings;

	if (config_table_name(s->table).n == 0 && !config_table_is_pattern(s->table))
		return error_set(err, ERROR_INVALID,
				 "table: expected a table's name, a pattern of names, its ARN or "
				 "its stream's ARN, not '%.150s'",
				 s->table);
	if (!name_is_valid(s, err))
		return false;
	if (!s->name && config_table_name(s->table).n > CONFIG_STREAM_NAME_MAX)
		return error_set(err, ERROR_INVALID,
				 "name: the table's name is longer than %d; give the stream one",
				 CONFIG_STREAM_NAME_MAX);
	if (s->poll_min_ms > s->poll_max_ms)
		return error_set(err, ERROR_INVALID,
				 "poll.min: expected at most poll.max (%ldms), not %ldms",
				 s->poll_max_ms, s->poll_min_ms);
	if (s->schemaless && s->schemas.count == 0)
		return error_set(err, ERROR_INVALID,
				 "schemaless: says what becomes of what fits none of `schemas`, "
				 "which are not there; give some, such as [{ name: order, columns: "
				 "[{ path: total, type: number }] }]");
	return (config_start_is_baseline(s->start) ||
		start_is_valid(s->start, "baseline, ", err)) &&
	       baseline_check(s, err);
}

static bool stream_sink_check(const void *settings, struct error *err)
{
	const struct config_stream_sink *use = settings;

	return start_is_valid(use->start, "", err);
}

const struct section config_sections[] = {
	{ "worker", worker_options, offsetof(struct config, worker), worker_check,
	  "This process." },
	{ "checkpoint", checkpoint_options, offsetof(struct config, checkpoint), checkpoint_check,
	  "Where positions are kept, and who owns what." },
	{ "aws", aws_options, offsetof(struct config, aws), aws_check, "How AWS is reached." },
	{ "dead_letter", dead_letter_options, offsetof(struct config, dead_letter), NULL,
	  "What becomes of records that cannot be delivered." },
	{ "http", http_options, offsetof(struct config, http), http_check,
	  "The port for health and metrics; it only reads." },
	{ "log", log_options, offsetof(struct config, log), NULL, "Lines on stderr." },
	{ 0 },
};

const struct section config_stream_section = {
	"streams",
	stream_options,
	0,
	stream_check,
	"What is read: a list, one entry a table's stream.",
};

const struct section config_stream_sink_section = {
	"sinks",
	stream_sink_options,
	0,
	stream_sink_check,
	"Where a stream's changes go: a list of names of `sinks`, or of maps:",
};
