#include "ops/advise.h"

#include <jansson.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define GB          1e9
#define MONTH_S     (30.0 * 24 * 60 * 60)
#define MONTH_HOURS (30.0 * 24)
/* AWS bills each export for at least this. */
#define EXPORT_LEAST_GB 0.01
/* Of a window, an item's state before and after. */
#define IMAGES 2
/* poll.max and poll.min of the default configuration: an idle shard, and one that always has
 * something. */
#define IDLE_READS_S 0.2
#define BUSY_READS_S 10.0
/* A partition of DynamoDB takes so much, and a stream has a shard for each. */
#define PARTITION_GB      10.0
#define PARTITION_CHANGES 1000.0
#define SMALL_GB          1.0
#define LARGE_GB          1000.0

static const char *const way_names[] = { "full export", "incremental export", "stream" };
static const char *const driver_names[] = { "freshness", "engineering", "cost", "volume",
					    "downstream" };
static const int fits[ADVISE_WAYS][ADVISE_DRIVERS] = {
	[ADVISE_FULL] = { 1, 5, 1, 2, 4 },
	[ADVISE_INCREMENTAL] = { 3, 3, 4, 4, 3 },
	[ADVISE_STREAM] = { 5, 1, 5, 5, 2 },
};

const struct advise_prices advise_prices_default = {
	.export_gb = 0.10,
	.recovery_gb = 0.20,
	.reads_100k = 0.02,
	.reads_free = 2500000,
	.changes_second = 10,
	.full_month = 4,
	.window_hours = 1,
};

const char *advise_way_name(enum advise_way way)
{
	return way_names[way];
}

const char *advise_driver_name(enum advise_driver driver)
{
	return driver_names[driver];
}

int advise_fit(enum advise_way way, enum advise_driver driver)
{
	return fits[way][driver];
}

/* --- importance --- */

static int driver_of(const char *text, size_t n)
{
	for (int i = 0; i < ADVISE_DRIVERS; i++)
		if (strlen(driver_names[i]) == n && memcmp(driver_names[i], text, n) == 0)
			return i;
	return -1;
}

bool advise_importance_parse(const char *text, struct advise_importance *out, struct error *err)
{
	for (int i = 0; i < ADVISE_DRIVERS; i++)
		out->of[i] = ADVISE_IMPORTANCE_DEFAULT;
	for (const char *at = text; *at;) {
		size_t n = strcspn(at, ",");
		const char *is = memchr(at, '=', n);
		int driver = is ? driver_of(at, (size_t)(is - at)) : -1;

		if (driver < 0 || at + n - is != 2 || is[1] < '1' || is[1] > '5')
			return error_set(
				err, ERROR_INVALID,
				"expected freshness, engineering, cost, volume or "
				"downstream with 1 to 5, as freshness=5,cost=2; not '%.*s'",
				(int)n, at);
		out->of[driver] = is[1] - '0';
		at += n + (at[n] == ',');
	}
	return true;
}

int advise_sum(const struct advise_importance *importance, enum advise_way way)
{
	int sum = 0;

	for (int i = 0; i < ADVISE_DRIVERS; i++)
		sum += importance->of[i] * fits[way][i];
	return sum;
}

enum advise_way advise_best(const struct advise_importance *importance)
{
	enum advise_way best = ADVISE_FULL;

	for (int way = ADVISE_INCREMENTAL; way < ADVISE_WAYS; way++)
		if (advise_sum(importance, (enum advise_way)way) > advise_sum(importance, best))
			best = (enum advise_way)way;
	return best;
}

/* Twice what the way gets from the driver beyond the other two's mean. */
static int advantage(const struct advise_importance *importance, enum advise_way way, int driver)
{
	int others = -fits[way][driver];

	for (int i = 0; i < ADVISE_WAYS; i++)
		others += fits[i][driver];
	return importance->of[driver] * (2 * fits[way][driver] - others);
}

enum advise_driver advise_reason(const struct advise_importance *importance, enum advise_way way)
{
	int best = 0;

	for (int i = 1; i < ADVISE_DRIVERS; i++)
		if (advantage(importance, way, i) > advantage(importance, way, best))
			best = i;
	return (enum advise_driver)best;
}

/* --- prices --- */

static const struct price {
	const char *name;
	size_t offset;
} prices[] = {
	{ "export_gb", offsetof(struct advise_prices, export_gb) },
	{ "recovery_gb", offsetof(struct advise_prices, recovery_gb) },
	{ "reads_100k", offsetof(struct advise_prices, reads_100k) },
	{ "reads_free", offsetof(struct advise_prices, reads_free) },
	{ "changes_second", offsetof(struct advise_prices, changes_second) },
	{ "full_month", offsetof(struct advise_prices, full_month) },
	{ "window_hours", offsetof(struct advise_prices, window_hours) },
};
#define PRICES (sizeof(prices) / sizeof(*prices))

static bool set_price(struct advise_prices *p, const char *name, const json_t *value,
		      struct error *err)
{
	for (size_t i = 0; i < PRICES; i++) {
		if (strcmp(prices[i].name, name) != 0)
			continue;
		if (!json_is_number(value) || json_number_value(value) < 0)
			return error_set(err, ERROR_INVALID, "%s: expected a number", name);
		*(double *)((char *)p + prices[i].offset) = json_number_value(value);
		return true;
	}
	return error_set(err, ERROR_INVALID,
			 "%s is none of export_gb, recovery_gb, reads_100k, reads_free, "
			 "changes_second, full_month, window_hours",
			 name);
}

bool advise_prices_parse(struct str json, struct advise_prices *out, struct error *err)
{
	json_error_t why;
	json_t *root = json_loadb(json.p, json.n, JSON_REJECT_DUPLICATES, &why), *value;
	bool ok = json_is_object(root);
	const char *name;

	if (!root)
		error_set(err, ERROR_INVALID, "line %d: %s", why.line, why.text);
	else if (!ok)
		error_set(err, ERROR_INVALID, "expected an object, as {\"export_gb\": 0.1}");
	if (ok) {
		json_object_foreach(root, name, value) ok = ok && set_price(out, name, value, err);
		if (ok && out->window_hours <= 0)
			ok = error_set(err, ERROR_INVALID, "window_hours: expected more than 0");
	}
	json_decref(root);
	return ok;
}

void advise_prices_print(const struct advise_prices *p, struct buf *out)
{
	for (size_t i = 0; i < PRICES; i++)
		buf_printf(out, "%s%s %g", i ? ", " : "", prices[i].name,
			   *(const double *)((const char *)p + prices[i].offset));
}

/* --- cost --- */

static double export_cost(double gb, double times, const struct advise_prices *p)
{
	return (gb > EXPORT_LEAST_GB ? gb : EXPORT_LEAST_GB) * times * p->export_gb;
}

static double shards_of(const struct advise_table *t, const struct advise_prices *p)
{
	double by_size = (double)t->bytes / GB / PARTITION_GB,
	       by_pace = p->changes_second / PARTITION_CHANGES;
	double more = by_size > by_pace ? by_size : by_pace;

	return t->shards > 0 ? t->shards : more > 1 ? more : 1;
}

/* A shard is read at once again while it has something. */
static double stream_cost(const struct advise_table *t, const struct advise_prices *p)
{
	double shards = shards_of(t, p), each_s = 2 * p->changes_second / shards, reads;

	each_s = each_s < IDLE_READS_S   ? IDLE_READS_S
		 : each_s > BUSY_READS_S ? BUSY_READS_S
					 : each_s;
	reads = shards * each_s * MONTH_S - p->reads_free;
	return reads > 0 ? reads / 100000 * p->reads_100k : 0;
}

double advise_cost(const struct advise_table *t, const struct advise_prices *p, enum advise_way way)
{
	double gb = (double)t->bytes / GB, recovery = t->recovery ? 0 : gb * p->recovery_gb;
	double item = t->items > 0 ? (double)t->bytes / (double)t->items : 0;
	double windows = MONTH_HOURS / p->window_hours;

	switch (way) {
	case ADVISE_FULL:
		return export_cost(gb, p->full_month, p) + recovery;
	case ADVISE_INCREMENTAL:
		return export_cost(p->changes_second * p->window_hours * 3600 * item * IMAGES / GB,
				   windows, p) +
		       recovery;
	default:
		return stream_cost(t, p);
	}
}

/* --- words --- */

static void freshness_threshold(int importance, struct buf *out)
{
	static const char *const fresh[] = {
		"hours or a day old is fine: full exports do", "hours old is fine: exports do",
		"15 minutes to an hour old is fine: incremental exports do",
		"minutes count: the stream, or windows of 15 minutes",
		"seconds count: only the stream is that fresh"
	};

	buf_printf(out, "freshness %d: %s\n", importance, fresh[importance - 1]);
}

void advise_thresholds(const struct advise_table *t, const struct advise_importance *importance,
		       struct buf *out)
{
	double gb = (double)t->bytes / GB;

	freshness_threshold(importance->of[ADVISE_FRESHNESS], out);
	if (gb < SMALL_GB)
		buf_printf(out,
			   "%.3g GB is under 1 GB: a full export is small, as often as you like\n",
			   gb);
	else if (gb <= LARGE_GB)
		buf_printf(out,
			   "%.3g GB is between 1 GB and 1 TB: one full export, then windows or the "
			   "stream\n",
			   gb);
	else
		buf_printf(out,
			   "%.4g GB is over 1 TB: a full export is slow and dear; once, then the "
			   "stream or windows\n",
			   gb);
	if (!t->recovery)
		buf_text(out, "point-in-time recovery is off: exports need it, and it costs by the "
			      "table's size\n");
	if (!t->stream)
		buf_text(out, "the table has no stream: it has to be turned on\n");
}

void advise_config(const char *table, enum advise_way way, struct buf *out)
{
	buf_text(out, "checkpoint: { store: \"postgres://sluice@db/sluice\" }\n");
	if (way == ADVISE_STREAM) {
		buf_text(out, "streams:\n  - table: ");
		buf_json_text(out, str_of(table ? table : "orders"));
		buf_text(out, "\n    start: latest\n    enable_stream: NEW_AND_OLD_IMAGES\n"
			      "    sinks: [lake]\n");
	} else {
		buf_text(out, "exports:\n  - table: ");
		buf_json_text(out, str_of(table ? table : "orders"));
		buf_text(out, "\n    bucket: my-exports\n    enable_pitr: true\n"
			      "    full: \"0 4 * * SAT\"\n");
		if (way == ADVISE_INCREMENTAL)
			buf_text(out, "    incremental: 1h\n    view: NEW_AND_OLD_IMAGES\n");
		buf_text(out, "    sinks: [lake]\n");
	}
	buf_text(out, "sinks:\n  lake: { type: s3, bucket: my-lake, path: \"${table}/\" }\n");
}
