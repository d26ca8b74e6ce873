/* Log lines as text and JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"

/* stderr goes to a file in memory between log_capture and log_captured. */
static int saved_fd, capture_fd;

static void log_capture(void)
{
	fflush(stderr);
	capture_fd = memfd_create("log", 0);
	saved_fd = dup(STDERR_FILENO);
	dup2(capture_fd, STDERR_FILENO);
}

static char *log_captured(void)
{
	off_t size = lseek(capture_fd, 0, SEEK_END);
	char *text = calloc(1, (size_t)size + 1);

	dup2(saved_fd, STDERR_FILENO);
	close(saved_fd);
	assert_int_equal(pread(capture_fd, text, (size_t)size, 0), size);
	close(capture_fd);
	return text;
}

static void text_lines_quote_what_needs_it(void **state)
{
	char *text;

	(void)state;
	log_setup(LOG_INFO, LOG_TEXT);
	log_capture();
	log_info("shard closed", log_text("stream", "orders"), log_int("records", -12),
		 log_real("ratio", 0.5), log_text("blank", "a b"), log_text("empty", ""),
		 log_text("lines", "a\nb\"c\\"), log_text("equals", "a=b"),
		 log_str("utf8", STR("gr\u00fcn")), log_real("none", NAN));
	text = log_captured();
	/* 2026-11-21T10:11:12.345Z */
	assert_int_equal(text[10], 'T');
	assert_int_equal(text[23], 'Z');
	assert_string_equal(text + 24, " INFO  shard closed stream=orders records=-12 ratio=0.5 "
				       "blank=\"a b\" empty=\"\" lines=\"a\\nb\\\"c\\\\\" "
				       "equals=\"a=b\" utf8=gr\u00fcn none=none\n");
	free(text);
}

static void json_lines_are_json(void **state)
{
	char *text;

	(void)state;
	log_setup(LOG_DEBUG, LOG_JSON);
	log_capture();
	log_debug("say \"x\"", log_text("a", "1\t2"), log_int("n", 9000000000),
		  log_real("inf", INFINITY));
	log_error("bare");
	text = log_captured();
	assert_memory_equal(text, "{\"time\":\"", 9);
	assert_non_null(strstr(text, "Z\",\"level\":\"debug\",\"message\":\"say \\\"x\\\"\","
				     "\"a\":\"1\\t2\",\"n\":9000000000,\"inf\":null}\n"));
	assert_non_null(strstr(text, "\"level\":\"error\",\"message\":\"bare\"}\n"));
	free(text);
}

static void lines_below_the_level_are_not_written(void **state)
{
	char *text;

	(void)state;
	log_setup(LOG_WARN, LOG_TEXT);
	log_capture();
	log_debug("no");
	log_info("no");
	errno = 42;
	log_warn("yes");
	assert_int_equal(errno, 42);
	text = log_captured();
	assert_null(strstr(text, "no"));
	assert_non_null(strstr(text, " WARN  yes\n"));
	free(text);
}

static void long_values_are_cut_between_characters(void **state)
{
	struct buf value;
	char *text;

	(void)state;
	buf_init(&value, 0);
	buf_text(&value, "x");
	for (int i = 0; i < 5000; i++)
		buf_text(&value, "\u00fc");
	log_setup(LOG_INFO, LOG_TEXT);
	log_capture();
	log_info("long", log_str("v", buf_str(&value)), log_int("after", 1));
	text = log_captured();
	assert_in_range(strlen(text), 4096, 4200);
	assert_non_null(strstr(text, "\u00fc after=1\n"));
	free(text);
	buf_release(&value);
}

#define LINES 300

static void *write_lines(void *arg)
{
	for (int i = 0; i < LINES; i++)
		log_info("line", log_text("thread", arg), log_int("i", i));
	return NULL;
}

static void threads_do_not_mix_lines(void **state)
{
	static char names[4][2] = { "a", "b", "c", "d" };
	pthread_t threads[4];
	int lines = 0;
	char *text;

	(void)state;
	log_setup(LOG_INFO, LOG_TEXT);
	log_capture();
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, write_lines, names[i]);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	text = log_captured();
	for (char *end, *line = text; *line; line = end + 1) {
		char thread, rest;
		int i;

		end = strchr(line, '\n');
		assert_non_null(end);
		*end = 0;
		assert_int_equal(
			sscanf(line + 24, " INFO line thread=%c i=%d%c", &thread, &i, &rest), 2);
		lines++;
	}
	assert_int_equal(lines, 4 * LINES);
	free(text);
}

static void levels_are_read_by_name(void **state)
{
	enum log_level level;

	(void)state;
	assert_true(log_level_parse("debug", &level));
	assert_int_equal(level, LOG_DEBUG);
	assert_true(log_level_parse("ERROR", &level));
	assert_int_equal(level, LOG_ERROR);
	assert_false(log_level_parse("loud", &level));
	assert_false(log_level_parse("", &level));
}

static void what_repeats_is_counted(void **state)
{
	struct log_limit l = { 0 };
	uint64_t repeated = 99;

	(void)state;
	assert_true(log_limit_pass(&l, 1000, 500, &repeated));
	assert_int_equal(repeated, 0);
	assert_false(log_limit_pass(&l, 1001, 500, &repeated));
	assert_false(log_limit_pass(&l, 1499, 500, &repeated));
	assert_true(log_limit_pass(&l, 1500, 500, &repeated));
	assert_int_equal(repeated, 2);
	assert_true(log_limit_pass(&l, 9999, 500, &repeated));
	assert_int_equal(repeated, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_lines_quote_what_needs_it),
		cmocka_unit_test(json_lines_are_json),
		cmocka_unit_test(lines_below_the_level_are_not_written),
		cmocka_unit_test(long_values_are_cut_between_characters),
		cmocka_unit_test(threads_do_not_mix_lines),
		cmocka_unit_test(levels_are_read_by_name),
		cmocka_unit_test(what_repeats_is_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
