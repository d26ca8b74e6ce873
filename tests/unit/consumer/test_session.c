/* Sessions' beginnings and ends, over a store in memory and a directory to write into. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "consumer/session.h"
#include "sinks/sink.h"

#define STRANGER "00000000-0000-4000-8000-000000000001"

struct fixture {
	char folder[64];
	struct clock clock;
	_Atomic bool stop;
	struct config *config;
	struct session_settings settings;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct error err = { 0 };
	char text[512];

	snprintf(f->folder, sizeof(f->folder), "/tmp/sluice-session-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	snprintf(text, sizeof(text),
		 "streams: [{table: orders, sinks: [files]}]\n"
		 "sinks: {files: {type: directory, path: %s/}}\n",
		 f->folder);
	clock_init(&f->clock);
	f->config = config_parse(str_of(text), "sluice.yaml", sink_config_types(), &err);
	if (!f->config)
		fail_msg("%s", err.message);
	f->settings = (struct session_settings){ .store = store_open("sqlite::memory:", 1000, &err),
						 .config = f->config,
						 .clock = &f->clock,
						 .metrics = metrics_new(),
						 .health = health_new(&f->clock),
						 .stop = &f->stop };
	assert_non_null(f->settings.store);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	store_close(f->settings.store);
	metrics_free(f->settings.metrics);
	health_free(f->settings.health);
	config_free(f->config);
	rmdir(f->folder);
	free(f);
	return 0;
}

/* An unfinished file, as a session's sink leaves it. */
static void leave_file(const struct fixture *f, const char *session, char path[160])
{
	FILE *file;

	snprintf(path, 160, "%s/.20200101T000000Z-%s-1-0.ndjson", f->folder, session);
	file = fopen(path, "w");
	assert_non_null(file);
	fclose(file);
}

static void an_end_removes_what_was_not_committed(void **state)
{
	struct fixture *f = *state;
	char id[STORE_ID_SIZE], path[160];
	int64_t beat_from_ms;
	struct error err = { 0 };

	assert_true(session_begin(&f->settings, id, &beat_from_ms, &err));
	leave_file(f, id, path);
	assert_true(session_end(&f->settings, id, true, &err));
	assert_int_equal(access(path, F_OK), -1);
}

/* As long as the store does not have it as ended, a save of it may still commit a roll with this
 * file. */
static void what_a_save_may_still_commit_is_left_alone(void **state)
{
	struct fixture *f = *state;
	struct error err = { 0 };
	char path[160];

	leave_file(f, STRANGER, path);
	assert_false(session_end(&f->settings, STRANGER, true, &err));
	assert_int_equal(err.kind, ERROR_NOT_FOUND);
	assert_int_equal(unlink(path), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_end_removes_what_was_not_committed, setup,
						teardown),
		cmocka_unit_test_setup_teardown(what_a_save_may_still_commit_is_left_alone, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
