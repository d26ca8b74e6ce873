#include <stddef.h>
#include <string.h>

#include "config/sections.h"

#define SECOND       1000L
#define MINUTE       (60 * SECOND)
#define HOUR         (60 * MINUTE)
#define LOWER_DIGITS "abcdefghijklmnopqrstuvwxyz0123456789"
#define DIGITS       "0123456789"
/* Of S3's 1,024, what path and data file need behind it is kept. */
#define PREFIX_MAX 512

/* --- buckets --- */
bool config_bucket_check(const char *setting, const char *bucket, struct error *err)
{
	size_t n = bucket ? strlen(bucket) : 0;

	if (!bucket)
		return true;
	if (n < 3 || n > 63 || strspn(bucket, LOWER_DIGITS "-.") != n ||
	    !strchr(LOWER_DIGITS, bucket[0]) || !strchr(LOWER_DIGITS, bucket[n - 1]) ||
	    strstr(bucket, "..") || strspn(bucket, DIGITS ".") == n)
		return error_set(
			err, ERROR_INVALID,
			"%s: expected a bucket's name: 3 to 63 of a-z 0-9 . -, not '%.80s'",
			setting, bucket);
	return true;
}

bool config_owner_check(const char *setting, const char *owner, struct error *err)
{
	if (owner && (strlen(owner) != 12 || strspn(owner, DIGITS) != 12))
		return error_set(err, ERROR_INVALID,
				 "%s: expected the 12 digits of an account, not '%.60s'", setting,
				 owner);
	return true;
}

bool config_prefix_check(const char *setting, const char *prefix, struct error *err)
{
	size_t n = prefix ? strlen(prefix) : 0;

	if (prefix && (n == 0 || n > PREFIX_MAX || prefix[0] == '/' || prefix[n - 1] == '/' ||
		       strstr(prefix, "//")))
		return error_set(
			err, ERROR_INVALID,
			"%s: expected 1 to %d bytes such as sluice/exports, without / at its "
			"ends, not '%.60s'",
			setting, PREFIX_MAX, prefix);
	return true;
}

/* --- exports --- */
static const char *const view_choices[] = { "NEW_AND_OLD_IMAGES", "NEW_IMAGE", NULL };

#define ROW(name_, type_, field_, ...)                                                             \
	{                                                                                          \
		.name = (name_), .type = (type_),                                                  \
		.offset = offsetof(struct config_export, field_), __VA_ARGS__                      \
	}

static const struct option export_options[] = {
	ROW("table", OPTION_TEXT, table, .flags = OPTION_REQUIRED,
	    .help = "The table's name or ARN."),
	ROW("bucket", OPTION_TEXT, bucket, .flags = OPTION_REQUIRED,
	    .help = "Where AWS writes the exports."),
	ROW("bucket_owner", OPTION_TEXT, bucket_owner,
	    .help = "The 12 digits of the account that owns the bucket, where it is another one."),
	ROW("prefix", OPTION_TEXT, prefix, .def = "sluice",
	    .help = "What the keys of exports begin with."),
	ROW("enable_pitr", OPTION_BOOL, enable_pitr, .def = "false",
	    .help = "Switches point-in-time recovery of the table on where it is off: exports "
		    "need it."),
	ROW("full", OPTION_TEXT, full,
	    .help = "When the whole table is exported, as cron has it: `0 4 * * SAT`; by default "
		    "by hand alone."),
	ROW("timezone", OPTION_TEXT, timezone, .def = "UTC",
	    .help = "Of `full`, such as Europe/Berlin."),
	ROW("incremental", OPTION_MS, incremental_ms, .min = 15 * MINUTE, .max = 24 * HOUR,
	    .help = "The length of the windows in which changes are exported; by default none "
		    "are."),
	ROW("view", OPTION_TEXT, view, .def = "NEW_AND_OLD_IMAGES", .choices = view_choices,
	    .help = "What windows hold of a changed item."),
	ROW("load", OPTION_BOOL, load, .def = "true",
	    .help = "Loads exports into `sinks`; false stops after the manifest."),
	ROW("load_every", OPTION_INT, load_every, .def = "1", .min = 1, .max = 100,
	    .help = "So many windows are loaded as one batch, in which the last change of a key "
		    "wins: sinks get one event a key."),
	ROW("deadline", OPTION_MS, deadline_ms, .def = "24h", .min = 15 * MINUTE, .max = 720 * HOUR,
	    .help = "An export that is not done so long after its time is late."),
	ROW("retries", OPTION_INT, retries, .def = "5", .min = 0, .max = 100,
	    .help = "How often an export, or a file of it, is tried again."),
	ROW("poll", OPTION_MS, poll_ms, .def = "30s", .min = 5 * SECOND, .max = 10 * MINUTE,
	    .help = "How often AWS is asked whether an export has ended."),
	{ 0 },
};

static bool export_check(const void *settings, struct error *err)
{
	const struct config_export *x = settings;

	/* A stream's ARN names more than the table. */
	if (config_table_name(x->table).n == 0 || strstr(x->table, "/stream/"))
		return error_set(err, ERROR_INVALID,
				 "table: expected a table's name or its ARN, not '%.150s'",
				 x->table);
	if (x->incremental_ms % MINUTE != 0)
		return error_set(err, ERROR_INVALID,
				 "incremental: expected whole minutes, not %ldms",
				 x->incremental_ms);
	if (x->load_every > 1 && (!x->incremental_ms || !x->load))
		return error_set(err, ERROR_INVALID,
				 "load_every: has no meaning without incremental and load");
	return config_bucket_check("bucket", x->bucket, err) &&
	       config_owner_check("bucket_owner", x->bucket_owner, err) &&
	       config_prefix_check("prefix", x->prefix, err);
}

const struct section config_export_section = {
	"exports",
	export_options,
	0,
	export_check,
	"Exports of tables, in full on a schedule and in windows: a list, one entry a table.",
};
