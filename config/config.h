#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/log.h"
#include "config/option.h"

/* The whole configuration of one process, as parsed: plain values, read only after config_load. All
 * text and arrays belong to the config and live until config_free. */

struct config_worker {
	const char *name;
	long threads; /* reader threads; 0 until config_load has put in what the cgroup allows */
	long memory_bytes;
	long max_shards;
	long follow_ms;
	long shutdown_ms;
	long sink_timeout_ms; /* 0: never */
};

struct config_checkpoint {
	const char *store; /* postgres://…, sqlite:PATH */
	long interval_ms;
	long lease_ms;
};

struct config_aws {
	const char *region; /* NULL: environment, profile, ARN */
	const char *endpoint_dynamodb, *endpoint_streams, *endpoint_s3, *endpoint_sts;
	const char *profile;
	/* Taken with the keys that are found; NULL: none. The rest only with it. */
	const char *role_arn, *external_id, *role_session_name;
	long role_duration_ms; /* 0: an hour */
	const char *ca_bundle;
	long read_price; /* dollars for 100,000 GetRecords, millionths */
};

enum config_start { START_LATEST, START_OLDEST, START_TIME };
enum config_gap { GAP_STOP, GAP_OLDEST, GAP_REPAIR };
enum config_on_error { ON_ERROR_DEAD_LETTER, ON_ERROR_STOP, ON_ERROR_DROP };

/* Where a stream's baseline and its repairs are exported to. */
struct config_baseline {
	const char *bucket; /* NULL: there is no baseline block */
	const char *bucket_owner;
	const char *prefix;
	bool enable_pitr;
	long poll_ms;
};

struct config_stream_sink {
	const char *name;
	size_t sink;       /* index into config.sinks */
	const char *start; /* of one that is added: latest | oldest | TIME, checked */
	struct option_list filter;
	struct option_list transform; /* behind the stream's own */
};

struct config_stream {
	const char *table; /* name, pattern, table ARN or stream ARN */
	const char *name;  /* default: the table's name; of a pattern with ${table} in it */
	const char *start; /* latest | oldest | TIME, checked; config_start_parse reads it */
	const char *enable_stream; /* NULL: never touched */
	struct config_baseline baseline;
	long gap; /* enum config_gap */
	long warn_loss_ms;
	long on_error;             /* enum config_on_error */
	struct option_list filter; /* event patterns; none: all records */
	struct option_list transform;
	struct option_list schemas;
	long schemaless; /* 1: a record that fits no schema is bad */
	long poll_min_ms, poll_max_ms, poll_budget;
	struct config_stream_sink *sinks;
	size_t sink_count;
	bool is_pattern; /* of tables' names, with * and ? */
	int line;        /* where it stands in the file */
};
#define CONFIG_STREAM_NAME_MAX 128
/* The name that a table's stream gets from a pattern's entry. INVALID where the table's name makes
 * it too long. */
bool config_stream_name(const struct config_stream *s, const char *table,
			char out[CONFIG_STREAM_NAME_MAX + 1], struct error *err);

struct config_sink {
	const char *name;
	const struct config_sink_type *type;
	void *settings; /* the type's settings struct */
	int line;
};

/* A kind of sink as the configuration sees it; the sinks give theirs (sinks/sink.h). */
struct config_sink_type {
	const char *type; /* "kafka", "s3", "directory", "stdout" */
	const struct option *options;
	size_t settings_size;
	/* What no single row can check. The message begins with the setting's name ("roll.size: …",
	 * "properties.acks: …"), and file, line and sink are put before it. May be NULL. */
	bool (*validate)(const void *settings, struct error *err);
	/* The same of a sink that dead letters go to. May be NULL. */
	bool (*letters)(const void *settings, struct error *err);
};

/* What the file may name that other folders make. */
struct config_types {
	const struct config_sink_type *sinks; /* ends with a row whose type is NULL */
	/* Whether an event pattern, JSON, may be used. *at: the byte that the message is about. */
	bool (*pattern)(struct str pattern, size_t *at, struct error *err);
	/* The same of a transform. */
	bool (*transform)(struct str definition, size_t *at, struct error *err);
	/* The same of the last of some schemas, of which the others were found good. */
	bool (*schemas)(const struct str *definitions, size_t count, size_t *at, struct error *err);
	/* Whether exports may have this schedule, this time zone. */
	bool (*schedule)(const char *text, struct error *err);
	bool (*timezone)(const char *text, struct error *err);
};

/* Exports of a table on a schedule. */
struct config_export {
	const char *table; /* name or table ARN */
	const char *bucket, *bucket_owner, *prefix;
	bool enable_pitr;
	const char *full;     /* a cron schedule; NULL: by hand alone */
	const char *timezone; /* of it */
	long incremental_ms;  /* 0: none */
	const char *view;     /* NEW_AND_OLD_IMAGES, NEW_IMAGE */
	bool load;
	long load_every;
	long deadline_ms;
	long retries;
	long poll_ms;
	struct config_stream_sink *sinks;
	size_t sink_count;
	int line;
};

struct config_dead_letter {
	const char *sink; /* NULL: they stay in the store */
	size_t sink_at;   /* index into config.sinks */
	long max_bytes;   /* of the store's table */
	long max_ratio;   /* of a stream's records, millionths */
};

struct config_http {
	const char *listen; /* host:port; port 0 picks one; "" is off */
	bool shard_metrics;
};

struct config_log {
	long level, format; /* enum log_level, enum log_format */
};

#define CONFIG_SINKS_MAX 8 /* each has its own position per shard */

struct config {
	struct config_worker worker;
	struct config_checkpoint checkpoint;
	struct config_aws aws;
	struct config_stream *streams;
	size_t stream_count;
	struct config_export *exports; /* one a table */
	size_t export_count;
	struct config_sink *sinks;
	size_t sink_count;
	struct config_dead_letter dead_letter;
	struct config_http http;
	struct config_log log;
	const char *path;
	struct arena memory; /* holds all of the above */
};

/* ERROR_INVALID: "FILE:LINE: KEY: what was expected",
 * the first that is wrong. What ${…} means in a value is in config/expand.h. */
struct config *config_load(const char *path, const struct config_types *types, struct error *err);
/* The same of bytes; `name` stands for the file in messages and as `path`. */
struct config *config_parse(struct str bytes, const char *name, const struct config_types *types,
			    struct error *err);
void config_free(struct config *c);
DEFINE_AUTO(config)
/* The effective configuration as YAML, defaults filled in, secrets as ***. */
void config_print(const struct config *c, struct buf *out);
/* Markdown for docs/configuration.md, from the tables. */
void config_reference(const struct config_types *types, struct buf *out);
/* JSON Schema of the file, from the tables. */
void config_schema(const struct config_types *types, struct buf *out);

/* Whether a stream's `start` asks for a baseline, which config_start_parse does not read. */
bool config_start_is_baseline(const char *text);
/* "latest", "oldest", an RFC 3339 time or a duration back from now ("-2h"). */
bool config_start_parse(const char *text, int64_t now_ms, enum config_start *kind, int64_t *time_ms,
			struct error *err);
