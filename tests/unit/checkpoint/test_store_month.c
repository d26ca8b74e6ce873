/* A month of a busy stream: sixty shards that are replaced every four hours, a worker that is
 * replaced as often. What is over goes from the store, and its tables stay as large as they were
 * after the first days. */
#include <sys/stat.h>

#include "tests/unit/checkpoint/store_world.h"

#define SHARDS       60
#define TURNS_A_DAY  6
#define DAYS         30
#define STEADY_DAYS  5
#define TURN_MS      (24LL * 3600 * 1000 / TURNS_A_DAY)
#define REMEMBERED   (2 * TURNS_A_DAY) /* turns: as a worker tidies, two days */
#define SAVES_A_TURN 2

struct month {
	struct world *w;
	int64_t stream, now_ms;
	struct store_lane lanes[SHARDS]; /* those that are read */
	char session[STORE_ID_SIZE];
	int turn;
};

static void save(struct month *m, int number, bool done)
{
	struct store_move moves[SHARDS];
	struct store_save save = save_of(m->session, (uint64_t)number, moves, SHARDS);
	char from[32] = "", to[32];

	if (number > 1)
		snprintf(from, sizeof(from), "1000000000%011d", m->turn * 10 + number - 1);
	snprintf(to, sizeof(to), "1000000000%011d", m->turn * 10 + number);
	for (int i = 0; i < SHARDS; i++)
		moves[i] = (struct store_move){ .lane = m->lanes[i].id,
						.sink = m->w->sink,
						.from = seq(from),
						.to = seq(to),
						.event_ms = m->now_ms,
						.done = done };
	save.read_at_ms = m->now_ms;
	assert_ok(store_save(m->w->s, &save, err));
}

/* Another worker has everything; the one before it is buried. */
static void change_session(struct month *m)
{
	char before[STORE_ID_SIZE];
	struct seen seen;

	memcpy(before, m->session, sizeof(before));
	snprintf(m->session, sizeof(m->session), "eeeeeeee-0000-4000-8000-%012d", m->turn);
	assert_ok(store_session_begin(m->w->s, m->session, "worker", "", 10000, err));
	assert_ok(store_session_beat(m->w->s, m->session, err));
	if (*before)
		assert_ok(store_session_bury(m->w->s, before, err));
	seen = claimed(m->w->s, m->session, m->stream, &m->w->sink, 1, 2 * SHARDS);
	assert_int_equal(seen.lane_count, m->turn ? SHARDS : 0);
	seen_release(&seen);
}

/* A child of each shard; or the first ones, which have no parents. */
static void add_shards(struct month *m, const struct store_lane *parents, struct store_lane *out)
{
	for (int i = 0; i < SHARDS; i++) {
		out[i] = lane_named((m->turn + (parents != NULL)) * SHARDS + i);
		if (parents)
			memcpy(out[i].parent, parents[i].shard, sizeof(out[i].parent));
	}
	assert_ok(store_lanes_add(m->w->s, m->session, m->stream, 0, true, out, SHARDS, &m->w->sink,
				  1, err));
}

/* Returns how many lanes went. */
static size_t turn(struct month *m)
{
	struct store_lane children[SHARDS];
	uint32_t removed;

	change_session(m);
	if (m->turn == 0)
		add_shards(m, NULL, m->lanes);
	for (int number = 1; number < SAVES_A_TURN; number++)
		save(m, number, false);
	add_shards(m, m->lanes, children);
	save(m, SAVES_A_TURN, true);
	memcpy(m->lanes, children, sizeof(children));
	assert_ok(store_tidy(m->w->s, m->stream, m->now_ms - REMEMBERED * TURN_MS, &removed, err));
	m->now_ms += TURN_MS;
	m->turn++;
	return removed;
}

/* Bytes; 0 of a database in memory. */
static long long stored_bytes(void)
{
	const char *path = store_url + strlen("sqlite:");
	struct stat st;
	long long bytes;
	char *text;

	if (strncmp(store_url, "postgres", 8) != 0)
		return stat(path, &st) == 0 ? (long long)st.st_size : 0;
	/* What the server's autovacuum does by itself, at a moment of its own. */
	postgres_run(store_url, "VACUUM sluice.lane");
	postgres_run(store_url, "VACUUM sluice.position");
	postgres_run(store_url, "VACUUM sluice.session");
	postgres_run(store_url, "VACUUM sluice.member");
	text = postgres_sql(store_url, "SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c "
				       "WHERE c.relnamespace = 'sluice'::regnamespace "
				       "AND c.relkind = 'r'");
	bytes = atoll(text);
	free(text);
	return bytes;
}

static void assert_few_sessions(void)
{
	char *text;

	if (strncmp(store_url, "postgres", 8) != 0)
		return;
	text = postgres_sql(store_url, "SELECT count(*) FROM sluice.session");
	assert_in_range(atoi(text), 1,
			STORE_BURIED_MAX + 3); /* ours, the one before, the world's */
	free(text);
}

static void the_store_does_not_grow(void **state)
{
	struct month m = { .w = *state, .now_ms = 1700000000000 };
	long long steady = 0;
	size_t removed = 0;
	struct seen seen = { 0 };

	m.stream = stream_named(m.w->s, "busy");
	for (int day = 1; day <= DAYS; day++) {
		for (int i = 0; i < TURNS_A_DAY; i++)
			removed += turn(&m);
		if (day == STEADY_DAYS)
			steady = stored_bytes();
		else
			assert_true(day < STEADY_DAYS || stored_bytes() <= steady + steady / 4);
	}
	/* Those that are read, and what was done in the last two days. */
	assert_ok(store_lanes_list(m.w->s, m.stream, seen_lane, seen_position, &seen, err));
	assert_int_equal(seen.lane_count, (REMEMBERED + 2) * SHARDS);
	assert_int_equal(seen.position_count, seen.lane_count);
	assert_int_equal(removed + seen.lane_count, (DAYS * TURNS_A_DAY + 1) * SHARDS);
	seen_release(&seen);
	assert_few_sessions();
}

static int run(const char *name)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_store_does_not_grow, world_up, world_down),
	};

	return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

int main(void)
{
	return every_store(run);
}
