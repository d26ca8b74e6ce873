/* The metrics table and its text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/metrics.h"

static void prints_rows_labels_and_values(void **state)
{
	struct metrics *m = metrics_new();
	struct buf out;

	(void)state;
	buf_init(&out, 0);
	metrics_print(m, &out);
	assert_int_equal(out.size, 0);
	metric_add(metrics_cell(m, METRIC_RECORDS, "orders", "c"), 3);
	metric_add(metrics_cell(m, METRIC_RECORDS, "orders", "u"), 1);
	metric_add(metrics_cell(m, METRIC_RECORDS, "orders", "c"), 4);
	metric_set(metrics_cell(m, METRIC_INFLIGHT_BYTES, NULL, NULL), 17);
	metrics_print(m, &out);
	assert_string_equal(
		out.data,
		"# HELP sluice_records_total Records read from the stream, by operation "
		"(c u d r).\n"
		"# TYPE sluice_records_total counter\n"
		"sluice_records_total{stream=\"orders\",op=\"c\"} 7\n"
		"sluice_records_total{stream=\"orders\",op=\"u\"} 1\n"
		"# HELP sluice_inflight_bytes Bytes read and not yet taken by the sinks.\n"
		"# TYPE sluice_inflight_bytes gauge\n"
		"sluice_inflight_bytes 17\n");
	buf_release(&out);
	metrics_free(m);
	metrics_free(NULL);
}

static void lines_are_replaced_as_a_whole(void **state)
{
	struct metrics *m = metrics_new();
	struct buf lines = { 0 }, out = { 0 };

	(void)state;
	metric_line(METRIC_SHARD_LAG, "orders", "s1", 1500, &lines);
	metric_line(METRIC_SHARD_LAG, "orders", "s2", 0, &lines);
	metrics_replace(m, METRIC_SHARD_LAG, &lines);
	assert_null(lines.data);
	metrics_print(m, &out);
	assert_non_null(strstr(out.data, "# TYPE sluice_shard_lag_seconds gauge\n"
					 "sluice_shard_lag_seconds{stream=\"orders\",shard=\"s1\"} "
					 "1.500\n"
					 "sluice_shard_lag_seconds{stream=\"orders\",shard=\"s2\"} "
					 "0.000\n"));
	metric_line(METRIC_SHARD_LAG, "orders", "s2", 1, &lines);
	metrics_replace(m, METRIC_SHARD_LAG, &lines);
	buf_clear(&out);
	metrics_print(m, &out);
	assert_null(strstr(out.data, "s1"));
	assert_non_null(strstr(out.data, "s2"));
	metrics_replace(m, METRIC_SHARD_LAG, &lines);
	buf_clear(&out);
	metrics_print(m, &out);
	assert_int_equal(out.size, 0);
	buf_release(&out);
	metrics_free(m);
}

static void a_row_has_a_sum(void **state)
{
	struct metrics *m = metrics_new();

	(void)state;
	assert_int_equal(metrics_sum(m, METRIC_RECORDS), 0);
	metric_add(metrics_cell(m, METRIC_RECORDS, "orders", "c"), 3);
	metric_add(metrics_cell(m, METRIC_RECORDS, "users", "u"), 4);
	metric_add(metrics_cell(m, METRIC_GAPS, "orders", NULL), 9);
	assert_int_equal(metrics_sum(m, METRIC_RECORDS), 7);
	metrics_free(m);
}

static void dollars_are_kept_in_tenths_of_a_cent(void **state)
{
	struct metrics *m = metrics_new();
	struct buf out;

	(void)state;
	buf_init(&out, 0);
	metric_set(metrics_cell(m, METRIC_POLL_COST_MONTH, "orders", NULL), 10368);
	metric_set(metrics_cell(m, METRIC_POLL_UNITS_MONTH, "orders", NULL), 51840000);
	metrics_print(m, &out);
	assert_non_null(
		strstr(out.data, "sluice_poll_cost_dollars_month{stream=\"orders\"} 10.368\n"));
	assert_non_null(strstr(out.data, "sluice_poll_units_month{stream=\"orders\"} 51840000\n"));
	buf_release(&out);
	metrics_free(m);
}

static void seconds_are_kept_in_milliseconds(void **state)
{
	static const struct {
		int64_t ms;
		const char *line;
	} all[] = {
		{ 0, "sluice_aws_clock_offset_seconds 0.000\n" },
		{ 1500, "sluice_aws_clock_offset_seconds 1.500\n" },
		{ -1, "sluice_aws_clock_offset_seconds -0.001\n" },
		{ -2030, "sluice_aws_clock_offset_seconds -2.030\n" },
		{ 86400000, "sluice_aws_clock_offset_seconds 86400.000\n" },
	};
	struct metrics *m = metrics_new();
	struct buf out;

	(void)state;
	buf_init(&out, 0);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		buf_clear(&out);
		metric_set(metrics_cell(m, METRIC_AWS_CLOCK_OFFSET, NULL, NULL), all[i].ms);
		metrics_print(m, &out);
		assert_non_null(strstr(out.data, all[i].line));
	}
	buf_release(&out);
	metrics_free(m);
}

static void label_values_are_escaped(void **state)
{
	struct metrics *m = metrics_new();
	struct buf out;

	(void)state;
	buf_init(&out, 0);
	metric_add(metrics_cell(m, METRIC_GAPS, "a\"b\\c\nd", NULL), 1);
	metrics_print(m, &out);
	assert_non_null(strstr(out.data, "{stream=\"a\\\"b\\\\c\\nd\"} 1\n"));
	buf_release(&out);
	metrics_free(m);
}

static void series_are_bounded(void **state)
{
	struct metrics *m = metrics_new();
	struct metric_cell *first = NULL, *cell = NULL;
	struct buf out;
	char name[32];

	(void)state;
	buf_init(&out, 0);
	for (int i = 0; i < 12000; i++) {
		snprintf(name, sizeof(name), "stream-%d", i);
		cell = metrics_cell(m, METRIC_SHARDS, name, "reading");
		if (i == 0)
			first = cell;
	}
	assert_ptr_equal(metrics_cell(m, METRIC_SHARDS, "stream-0", "reading"), first);
	assert_ptr_equal(metrics_cell(m, METRIC_SHARDS, "another", "x"), cell);
	metric_set(cell, 5);
	metrics_print(m, &out);
	assert_non_null(strstr(out.data, "sluice_shards{stream=\"_other\",state=\"_other\"} 5\n"));
	buf_release(&out);
	metrics_free(m);
}

/* Users' dashboards and alerts know these. */
static void names_that_are_promised_are_in_the_reference(void **state)
{
	static const char *const promised[] = {
		"| `sluice_lag_seconds` | gauge | stream |",
		"| `sluice_time_to_loss_seconds` | gauge | stream |",
		"| `sluice_records_total` | counter | stream, op |",
		"| `sluice_delivered_total` | counter | sink |",
		"| `sluice_dead_letters_total` | counter | sink, reason |",
		"| `sluice_dropped_total` | counter | reason |",
		"| `sluice_gaps_total` | counter | stream |",
		"| `sluice_polls_total` | counter | stream, result |",
		"| `sluice_shards` | gauge | stream, state |",
		"| `sluice_inflight_bytes` | gauge |  |",
	};
	struct buf out;
	size_t lines = 0;

	(void)state;
	buf_init(&out, 0);
	metrics_reference(&out);
	for (size_t i = 0; i < sizeof(promised) / sizeof(promised[0]); i++)
		assert_non_null(strstr(out.data, promised[i]));
	for (char *save, *line = strtok_r(out.data, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		bool counter = strstr(line, "| counter |") != NULL;

		if (lines++ < 2)
			continue;
		assert_memory_equal(line, "| `sluice_", 10);
		assert_int_equal(strstr(line, "_total`") != NULL, counter);
		assert_null(strstr(line, "|  |  |"));
	}
	assert_int_equal(lines, METRIC_COUNT + 2);
	buf_release(&out);
}

static void a_stream_is_forgotten(void **state)
{
	struct metrics *m = metrics_new();
	struct buf out;

	(void)state;
	buf_init(&out, 0);
	metric_add(metrics_cell(m, METRIC_POLLS, "orders", "empty"), 1);
	metric_add(metrics_cell(m, METRIC_POLLS, "users", "empty"), 2);
	metric_add(metrics_cell(m, METRIC_GAPS, "orders", NULL), 3);
	metric_add(metrics_cell(m, METRIC_DELIVERED, "orders", NULL), 4); /* a sink */
	metric_set(metrics_cell(m, METRIC_LAG, "orders", NULL), 5);
	metrics_forget_stream(m, "orders", METRIC_FORGET_GAUGES);
	assert_int_equal(metric_get(metrics_cell(m, METRIC_GAPS, "orders", NULL)), 3);
	assert_int_equal(metric_get(metrics_cell(m, METRIC_LAG, "orders", NULL)), 0);
	metrics_forget_stream(m, "orders", METRIC_FORGET_ALL);
	metric_add(metrics_cell(m, METRIC_POLLS, "items", "empty"), 5);
	metrics_print(m, &out);
	assert_null(strstr(out.data, "stream=\"orders\""));
	assert_non_null(strstr(out.data, "stream=\"users\",result=\"empty\"} 2\n"));
	assert_non_null(strstr(out.data, "stream=\"items\",result=\"empty\"} 5\n"));
	assert_non_null(strstr(out.data, "sink=\"orders\"} 4\n"));
	assert_int_equal(metric_get(metrics_cell(m, METRIC_GAPS, "orders", NULL)), 0);
	buf_release(&out);
	metrics_free(m);
}

static void *count(void *arg)
{
	for (int i = 0; i < 1000; i++) {
		metric_add(metrics_cell(arg, METRIC_POLLS, "orders", i % 2 ? "ok" : "empty"), 1);
		metric_add(metrics_cell(arg, METRIC_SAVES, "ok", NULL), 2);
	}
	return NULL;
}

static void threads_share_cells(void **state)
{
	struct metrics *m = metrics_new();
	pthread_t threads[4];
	struct buf out;

	(void)state;
	buf_init(&out, 0);
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, count, m);
	metrics_print(m, &out);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(metric_get(metrics_cell(m, METRIC_POLLS, "orders", "ok")), 2000);
	assert_int_equal(metric_get(metrics_cell(m, METRIC_POLLS, "orders", "empty")), 2000);
	assert_int_equal(metric_get(metrics_cell(m, METRIC_SAVES, "ok", NULL)), 8000);
	buf_release(&out);
	metrics_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(prints_rows_labels_and_values),
		cmocka_unit_test(lines_are_replaced_as_a_whole),
		cmocka_unit_test(a_row_has_a_sum),
		cmocka_unit_test(seconds_are_kept_in_milliseconds),
		cmocka_unit_test(dollars_are_kept_in_tenths_of_a_cent),
		cmocka_unit_test(label_values_are_escaped),
		cmocka_unit_test(series_are_bounded),
		cmocka_unit_test(names_that_are_promised_are_in_the_reference),
		cmocka_unit_test(a_stream_is_forgotten),
		cmocka_unit_test(threads_share_cells),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
