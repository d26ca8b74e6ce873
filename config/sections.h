#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "config/config.h"

/* The tables of all settings that are not a sink's. */
struct section {
	const char *name; /* the key in the file */
	const struct option *options;
	size_t offset; /* in struct config */
	/* What no row can check; the message begins with the setting's name. May be NULL. */
	bool (*check)(const void *settings, struct error *err);
	const char *help;
};

/* Ends with a row whose name is NULL. `streams` and `sinks` are lists and maps of their own. */
extern const struct section config_sections[];
extern const struct section config_stream_section, config_stream_sink_section,
	config_export_section;

/* Of streams and sinks: 1 to 128 of a-z A-Z 0-9 _ . - (they become labels, file names and ids). */
bool config_name_is_valid(const char *name);
/* What S3 takes for a bucket; the message begins with `setting`. */
bool config_bucket_check(const char *setting, const char *bucket, struct error *err);
/* The owner of a bucket, the prefix of keys; NULL is fine. The same. */
bool config_owner_check(const char *setting, const char *owner, struct error *err);
bool config_prefix_check(const char *setting, const char *prefix, struct error *err);
/* The table's name within a name, a table's ARN or a stream's ARN; n = 0 where it is none. */
struct str config_table_name(const char *table);
bool config_table_is_pattern(const char *table);
