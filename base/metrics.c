#include "base/metrics.h"

#include <assert.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/* Label values come from the configuration and from our own enums; this only guards against a bug
 * that would make a series of every record. What comes later is counted together. */
#define SERIES_PER_ROW_MAX 10000 /* a thousand streams by the states of a shard */
#define OTHER              "_other"

struct metric_row {
	const char *name;
	enum metric_type type;
	const char *label1, *label2;
	const char *help;
	bool thousandths; /* that is what cells are: milliseconds, say */
};

static const struct metric_row rows[METRIC_COUNT] = {
	[METRIC_BUILD_INFO] = { "sluice_build_info", METRIC_GAUGE, "version", NULL,
				"Always 1; the label is the version that runs.", false },
	[METRIC_RECORDS] = { "sluice_records_total", METRIC_COUNTER, "stream", "op",
			     "Records read from the stream, by operation (c u d r).", false },
	[METRIC_RECORD_BYTES] = { "sluice_record_bytes_total", METRIC_COUNTER, "stream", NULL,
				  "Bytes of the pages that were decoded.", false },
	[METRIC_DELIVERED] = { "sluice_delivered_total", METRIC_COUNTER, "sink", NULL,
			       "Events that are durable in the sink.", false },
	[METRIC_DELIVERED_BYTES] = { "sluice_delivered_bytes_total", METRIC_COUNTER, "sink", NULL,
				     "Encoded bytes that are durable in the sink.", false },
	[METRIC_DEAD_LETTERS] = { "sluice_dead_letters_total", METRIC_COUNTER, "sink", "reason",
				  "Records that went to the dead letters.", false },
	[METRIC_DROPPED] = { "sluice_dropped_total", METRIC_COUNTER, "reason", NULL,
			     "Records that were dropped as configured.", false },
	[METRIC_FILTERED] = { "sluice_filtered_total", METRIC_COUNTER, "stream", "sink",
			      "Records that a filter or a script kept from the sink.", false },
	[METRIC_SCRIPT_ERRORS] = { "sluice_script_errors_total", METRIC_COUNTER, "stream", "reason",
				   "Records that a script could not do with: error, result, "
				   "instructions, memory.",
				   false },
	[METRIC_NEW_ATTRIBUTES] = { "sluice_new_attributes_total", METRIC_COUNTER, "stream",
				    "schema",
				    "Attributes that a schema has no column for, each counted once "
				    "in a "
				    "worker's life, 256 a stream at most.",
				    false },
	[METRIC_GAPS] = { "sluice_gaps_total", METRIC_COUNTER, "stream", NULL,
			  "Gaps: records that left the stream before they were read.", false },
	[METRIC_EXPORT_FILES] = { "sluice_export_files", METRIC_GAUGE, "table", "status",
				  "Data files of exports that are loaded or failed, by status "
				  "(pending, in_progress, completed, failed), of all workers, as "
				  "the store had them lately.",
				  false },
	[METRIC_EXPORT_RECORDS] = { "sluice_export_records_total", METRIC_COUNTER, "table", NULL,
				    "Rows read from data files of exports.", false },
	[METRIC_EXPORT_BYTES] = { "sluice_export_bytes_total", METRIC_COUNTER, "table", NULL,
				  "Bytes of these rows, inflated.", false },
	[METRIC_STREAM_HELD] = { "sluice_stream_held", METRIC_GAUGE, "stream", NULL,
				 "1 while nothing of the stream is read, as it is held: paused, or "
				 "until a baseline, a repair or a rewind is done.",
				 false },
	[METRIC_REPAIRS] = { "sluice_repairs_total", METRIC_COUNTER, "stream", NULL,
			     "Repairs that were begun: a stream's gaps are closed from exports.",
			     false },
	[METRIC_POLLS] = { "sluice_polls_total", METRIC_COUNTER, "stream", "result",
			   "Reads of shards, by result: records, empty, or as AWS's answers "
			   "are counted (below).",
			   false },
	[METRIC_POLL_LIMIT] = { "sluice_poll_limit", METRIC_GAUGE, "stream", NULL,
				"GetRecords calls a second that this worker allows itself: its "
				"part of the budget, or less after throttles; 0 is no limit.",
				true },
	[METRIC_POLL_UNITS_MONTH] = { "sluice_poll_units_month", METRIC_GAUGE, "stream", NULL,
				      "Read request units that 30 days cost at the pace of the "
				      "last five minutes.",
				      false },
	[METRIC_POLL_COST_MONTH] = { "sluice_poll_cost_dollars_month", METRIC_GAUGE, "stream", NULL,
				     "The same in dollars, by `aws.read_price`.", true },
	[METRIC_SHARDS] = { "sluice_shards", METRIC_GAUGE, "stream", "state",
			    "Shards of this process, by state.", false },
	[METRIC_SINK_HOLDS] = { "sluice_sink_holds_shards", METRIC_GAUGE, "stream", "sink",
				"Shards of this process of which another sink has what this one "
				"does not have yet: it sets the pace of a stream with several "
				"sinks.",
				false },
	[METRIC_SHARDS_BEHIND] = { "sluice_shards_behind", METRIC_GAUGE, "stream", NULL,
				   "Shards of this process that have more to read than their last "
				   "page brought.",
				   false },
	[METRIC_LAG] = { "sluice_lag_seconds", METRIC_GAUGE, "stream", NULL,
			 "Age of the oldest change that is not yet delivered.", true },
	[METRIC_SHARD_LAG] = { "sluice_shard_lag_seconds", METRIC_GAUGE, "stream", "shard",
			       "The same of each shard, where `http.shard_metrics` says so.",
			       true },
	[METRIC_TIME_TO_LOSS] = { "sluice_time_to_loss_seconds", METRIC_GAUGE, "stream", NULL,
				  "Time until a record leaves the stream that is not delivered and "
				  "saved.",
				  true },
	[METRIC_LOSS_WARNINGS] = { "sluice_loss_warnings_total", METRIC_COUNTER, "stream", NULL,
				   "Times that sluice_time_to_loss_seconds fell under warn_loss.",
				   false },
	[METRIC_EXPORT_WINDOWS_BEHIND] = { "sluice_export_windows_behind", METRIC_GAUGE, "table",
					   NULL,
					   "Windows of incremental exports that are over and not "
					   "complete, but for those that wait for their batch.",
					   false },
	[METRIC_EXPORT_AGE] = { "sluice_export_age_seconds", METRIC_GAUGE, "table", NULL,
				"Age of the last moment up to which all exports are complete.",
				true },
	[METRIC_EXPORTS_LATE] = { "sluice_exports_late", METRIC_GAUGE, "table", NULL,
				  "Exports that are not complete within their deadline.", false },
	[METRIC_EXPORT_ATTEMPTS] = { "sluice_export_attempts_total", METRIC_COUNTER, "table",
				     "result", "Exports that AWS ended: completed, failed.",
				     false },
	[METRIC_EXPORT_GAPS] = { "sluice_export_gaps_total", METRIC_COUNTER, "table", NULL,
				 "Exports that can never be made, as point-in-time recovery does "
				 "not reach back to them.",
				 false },
	[METRIC_EXPORT_BILLED_BYTES] = { "sluice_export_billed_bytes_total", METRIC_COUNTER,
					 "table", NULL, "Bytes that AWS bills for the exports.",
					 false },
	[METRIC_INFLIGHT_BYTES] = { "sluice_inflight_bytes", METRIC_GAUGE, NULL, NULL,
				    "Bytes read and not yet taken by the sinks.", false },
	[METRIC_INFLIGHT_LIMIT] = { "sluice_inflight_limit_bytes", METRIC_GAUGE, NULL, NULL,
				    "How many these may be: `worker.memory`.", false },
	[METRIC_CREDIT_WAITS] = { "sluice_credit_waits_total", METRIC_COUNTER, NULL, NULL,
				  "Times that a shard had to wait for memory.", false },
	[METRIC_AWS_CALLS] = { "sluice_aws_calls_total", METRIC_COUNTER, "operation", "result",
			       "Calls to AWS, by operation and result.", false },
	[METRIC_AWS_CLOCK_OFFSET] = { "sluice_aws_clock_offset_seconds", METRIC_GAUGE, NULL, NULL,
				      "AWS's clock minus this machine's.", true },
	[METRIC_CONNECTIONS] = { "sluice_connections_opened_total", METRIC_COUNTER, NULL, NULL,
				 "Connections to AWS that were opened.", false },
	[METRIC_CREDENTIALS_EXPIRY] = { "sluice_credentials_expiry_seconds", METRIC_GAUGE, NULL,
					NULL, "Time until the credentials in use expire.", true },
	[METRIC_CREDENTIAL_REFRESHES] = { "sluice_credential_refreshes_total", METRIC_COUNTER,
					  "result", NULL, "Attempts to get new credentials.",
					  false },
	[METRIC_SINK_RETRIES] = { "sluice_sink_retries_total", METRIC_COUNTER, "sink", "reason",
				  "Batches that had to be sent to the sink again.", false },
	[METRIC_LARGE_OBJECTS] = { "sluice_large_objects_total", METRIC_COUNTER, "sink", NULL,
				   "Objects with payloads that are too large for Kafka (`large`).",
				   false },
	[METRIC_LARGE_BYTES] = { "sluice_large_object_bytes_total", METRIC_COUNTER, "sink", NULL,
				 "Their bytes.", false },
	[METRIC_SINK_UNANSWERED_BYTES] = { "sluice_sink_unanswered_bytes", METRIC_GAUGE, "sink",
					   NULL, "Bytes given to the sink and not yet answered.",
					   false },
	[METRIC_ROLLS] = { "sluice_rolls_total", METRIC_COUNTER, "sink", "result",
			   "Rolls of files and transactions, by result.", false },
	[METRIC_ROLL_AGE] = { "sluice_roll_age_seconds", METRIC_GAUGE, "sink", NULL,
			      "Age of the oldest roll that readers cannot see yet.", true },
	[METRIC_LETTERS_OVER] = { "sluice_dead_letters_over", METRIC_GAUGE, "stream", NULL,
				  "1 while shards stand still as too many records go to the dead "
				  "letters (`dead_letter.max_ratio`).",
				  false },
	[METRIC_LETTERS_SENT] = { "sluice_dead_letters_sent_total", METRIC_COUNTER, "sink",
				  "result",
				  "Dead letters that got into `dead_letter.sink` (sent), that "
				  "never "
				  "can (refused), and attempts that failed (failed).",
				  false },
	[METRIC_CONTROL_EVENTS] = { "sluice_control_events_total", METRIC_COUNTER, "sink", "result",
				    "Control events that were told in the sink (told), and "
				    "attempts "
				    "that failed (failed).",
				    false },
	[METRIC_PARTITION_CHANGES] = { "sluice_partition_changes_total", METRIC_COUNTER, "stream",
				       "sink",
				       "Topics of the stream whose number of partitions changed: "
				       "the order of their keys is broken there.",
				       false },
	[METRIC_SAVES] = { "sluice_saves_total", METRIC_COUNTER, "result", NULL,
			   "Saves of positions, by result.", false },
	[METRIC_SAVE_SECONDS] = { "sluice_save_seconds_total", METRIC_COUNTER, NULL, NULL,
				  "Time spent saving positions.", true },
	[METRIC_STORE_ERRORS] = { "sluice_store_errors_total", METRIC_COUNTER, "kind", NULL,
				  "Calls to the checkpoint store that failed, by kind.", false },
	[METRIC_SESSIONS] = { "sluice_sessions_total", METRIC_COUNTER, NULL, NULL,
			      "Sessions that this process began.", false },
	[METRIC_SESSIONS_ENDED] = { "sluice_sessions_ended_total", METRIC_COUNTER, "reason", NULL,
				    "Sessions that ended: stopped, idle, lost (declared dead, or "
				    "in doubt), sink_silent, failed.",
				    false },
};

struct series {
	struct metric_cell cell;
	struct series *next;
	char *label1, *label2; /* NULL where the row has fewer labels */
};

struct row_series {
	struct series *first, **last; /* in the order of their making */
	size_t count;
	struct buf lines; /* of series that are replaced as a whole */
};

struct metrics {
	pthread_mutex_t lock;
	struct row_series rows[METRIC_COUNT];
};

struct metrics *metrics_new(void)
{
	struct metrics *m = memory_new(sizeof(*m));

	pthread_mutex_init(&m->lock, NULL);
	for (size_t i = 0; i < METRIC_COUNT; i++)
		m->rows[i].last = &m->rows[i].first;
	return m;
}

static void series_free(struct series *s)
{
	free(s->label1);
	free(s->label2);
	free(s);
}

void metrics_free(struct metrics *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < METRIC_COUNT; i++) {
		for (struct series *next, *s = m->rows[i].first; s; s = next) {
			next = s->next;
			series_free(s);
		}
		buf_release(&m->rows[i].lines);
	}
	pthread_mutex_destroy(&m->lock);
	free(m);
}

static bool label_is(const char *have, const char *want)
{
	return have == want || (have && want && !strcmp(have, want));
}

static struct series *series_find(const struct row_series *r, const char *label1,
				  const char *label2)
{
	for (struct series *s = r->first; s; s = s->next)
		if (label_is(s->label1, label1) && label_is(s->label2, label2))
			return s;
	return NULL;
}

static struct series *series_add(struct row_series *r, const char *label1, const char *label2)
{
	struct series *s = memory_new(sizeof(*s));

	s->label1 = memory_text(label1);
	s->label2 = memory_text(label2);
	*r->last = s;
	r->last = &s->next;
	r->count++;
	return s;
}

struct metric_cell *metrics_cell(struct metrics *m, enum metric row, const char *label1,
				 const char *label2)
{
	const struct metric_row *info = &rows[row];
	struct row_series *r = &m->rows[row];
	struct series *s;

	assert((size_t)row < METRIC_COUNT);
	assert(!info->label1 == !label1 && !info->label2 == !label2);
	pthread_mutex_lock(&m->lock);
	s = series_find(r, label1, label2);
	if (!s && r->count >= SERIES_PER_ROW_MAX) {
		label1 = OTHER;
		label2 = info->label2 ? OTHER : NULL;
		s = series_find(r, label1, label2);
	}
	if (!s)
		s = series_add(r, label1, label2);
	pthread_mutex_unlock(&m->lock);
	return &s->cell;
}

static void row_forget(struct row_series *r, const char *label1)
{
	struct series **at = &r->first;

	while (*at) {
		struct series *s = *at;

		if (strcmp(s->label1, label1) != 0) {
			at = &s->next;
			continue;
		}
		*at = s->next;
		r->count--;
		series_free(s);
	}
	r->last = at;
}

void metrics_forget_stream(struct metrics *m, const char *stream, enum metric_forget which)
{
	pthread_mutex_lock(&m->lock);
	for (size_t i = 0; i < METRIC_COUNT; i++)
		if (label_is(rows[i].label1, "stream") &&
		    (which == METRIC_FORGET_ALL || rows[i].type == METRIC_GAUGE))
			row_forget(&m->rows[i], stream);
	pthread_mutex_unlock(&m->lock);
}

static void print_label(struct buf *out, char before, const char *name, const char *value)
{
	buf_printf(out, "%c%s=\"", before, name);
	for (const char *p = value; *p; p++) {
		if (*p == '\n')
			buf_text(out, "\\n");
		else if (*p == '"' || *p == '\\')
			buf_printf(out, "\\%c", *p);
		else
			buf_printf(out, "%c", *p);
	}
	buf_text(out, "\"");
}

static void print_series(struct buf *out, const struct metric_row *row, const char *label1,
			 const char *label2, long long value)
{
	buf_text(out, row->name);
	if (row->label1)
		print_label(out, '{', row->label1, label1);
	if (row->label2)
		print_label(out, ',', row->label2, label2);
	if (row->label1)
		buf_text(out, "}");
	if (row->thousandths)
		buf_printf(out, " %s%lld.%03lld\n", value < 0 ? "-" : "", llabs(value / 1000),
			   llabs(value % 1000));
	else
		buf_printf(out, " %lld\n", value);
}

int64_t metrics_sum(struct metrics *m, enum metric row)
{
	int64_t sum = 0;

	pthread_mutex_lock(&m->lock);
	for (const struct series *s = m->rows[row].first; s; s = s->next)
		sum += metric_get(&s->cell);
	pthread_mutex_unlock(&m->lock);
	return sum;
}

void metric_line(enum metric row, const char *label1, const char *label2, int64_t value,
		 struct buf *lines)
{
	print_series(lines, &rows[row], label1, label2, value);
}

void metrics_replace(struct metrics *m, enum metric row, struct buf *lines)
{
	struct buf old;

	pthread_mutex_lock(&m->lock);
	old = m->rows[row].lines;
	m->rows[row].lines = *lines;
	pthread_mutex_unlock(&m->lock);
	buf_release(&old);
	*lines = (struct buf){ 0 };
}

static const char *type_name(enum metric_type type)
{
	return type == METRIC_COUNTER ? "counter" : "gauge";
}

void metrics_print(struct metrics *m, struct buf *out)
{
	pthread_mutex_lock(&m->lock);
	for (size_t i = 0; i < METRIC_COUNT; i++) {
		if (!m->rows[i].first && m->rows[i].lines.size == 0)
			continue;
		buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", rows[i].name, rows[i].help,
			   rows[i].name, type_name(rows[i].type));
		for (const struct series *s = m->rows[i].first; s; s = s->next)
			print_series(out, &rows[i], s->label1, s->label2, metric_get(&s->cell));
		buf_printf(out, "%.*s", STR_ARG(buf_str(&m->rows[i].lines)));
	}
	pthread_mutex_unlock(&m->lock);
}

void metrics_reference(struct buf *out)
{
	buf_text(out, "| metric | type | labels | meaning |\n|---|---|---|---|\n");
	for (size_t i = 0; i < METRIC_COUNT; i++)
		buf_printf(out, "| `%s` | %s | %s%s%s | %s |\n", rows[i].name,
			   type_name(rows[i].type), rows[i].label1 ? rows[i].label1 : "",
			   rows[i].label2 ? ", " : "", rows[i].label2 ? rows[i].label2 : "",
			   rows[i].help);
}
