#pragma once
/* What the tests of the contract share: a small world on the store under test, and a way to run
 * them on every store. */
#include "tests/unit/checkpoint/store_fixture.h"

static char store_url[600];
static char directory[64];

/* A worker's usual start: session A, a stream, two sinks, three lanes. */
struct world {
	struct store *s;
	int64_t stream;
	int32_t sink, other;
	struct store_lane lanes[3];
};

FIXTURE int world_up(void **state)
{
	struct world *w = memory_new(sizeof(*w));

	if (strncmp(store_url, "postgres", 8) == 0)
		postgres_run(store_url, "DROP SCHEMA IF EXISTS sluice CASCADE");
	w->s = opened(store_url);
	assert_ok(store_session_begin(w->s, SESSION_A, "worker-a", "10.0.0.1:8080", 10000, err));
	w->stream = stream_named(w->s, "orders");
	w->sink = sink_named(w->s, "events");
	w->other = sink_named(w->s, "lake");
	for (int i = 0; i < 3; i++)
		w->lanes[i] = lane_named(i);
	assert_ok(store_lanes_add(w->s, SESSION_A, w->stream, 0, true, w->lanes, 3, &w->sink, 1,
				  err));
	*state = w;
	return 0;
}

FIXTURE int world_down(void **state)
{
	struct world *w = *state;

	store_close(w->s);
	free(w);
	if (strncmp(store_url, "sqlite:/", 8) == 0) {
		const char *path = store_url + strlen("sqlite:");
		char more[700];

		for (const char **end = (const char *[]){ "", "-wal", "-shm", ".lock", NULL }; *end;
		     end++) {
			snprintf(more, sizeof(more), "%s%s", path, *end);
			unlink(more);
		}
	}
	return 0;
}

FIXTURE struct store_move move(const struct world *w, int lane, const char *from, const char *to)
{
	return (struct store_move){ .lane = w->lanes[lane].id,
				    .sink = w->sink,
				    .from = seq(from),
				    .to = seq(to),
				    .event_ms = 1700000000123 };
}

FIXTURE struct store_save save_of(const char *session, uint64_t number,
				  const struct store_move *moves, size_t count)
{
	return (struct store_save){
		.session = session, .number = number, .moves = moves, .move_count = count
	};
}

FIXTURE void bury_a(struct world *w)
{
	bool done;

	assert_ok(store_session_kill(w->s, SESSION_A, 0, &done, err));
	assert_true(done);
	assert_ok(store_session_bury(w->s, SESSION_A, err));
}

/* The same tests against sqlite in memory, a sqlite file and Postgres; how many failed. */
FIXTURE int every_store(int (*run)(const char *name))
{
	const char *admin;
	int failed;

	snprintf(store_url, sizeof(store_url), "sqlite::memory:");
	failed = run("sqlite in memory");

	snprintf(directory, sizeof(directory), "/tmp/sluice-store-XXXXXX");
	if (!mkdtemp(directory))
		return failed + 1;
	snprintf(store_url, sizeof(store_url), "sqlite:%s/state.db", directory);
	failed += run("sqlite file");
	rmdir(directory);

	admin = postgres_admin(&failed);
	if (!admin)
		return failed;
	postgres_create(admin, store_url, sizeof(store_url));
	failed += run("postgres");
	postgres_drop(admin);
	return failed;
}
