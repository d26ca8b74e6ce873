#pragma once
/* What the store's tests share: databases of their own, and short ways to say a session, a lane, a
 * position. Every name is static: a test uses what it needs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <libpq-fe.h>

#include "base/memory.h"
#include "checkpoint/store.h"

#define FIXTURE    static __attribute__((unused))

#define SESSION_A  "aaaaaaaa-0000-4000-8000-000000000001"
#define SESSION_B  "bbbbbbbb-0000-4000-8000-000000000002"
#define SESSION_C  "cccccccc-0000-4000-8000-000000000003"
#define TIMEOUT_MS 5000

#define assert_ok(call)                                                                            \
	do {                                                                                       \
		struct error err_ = { 0 }, *err = &err_;                                           \
		if (!(call))                                                                       \
			fail_msg("%s: %s: %s", #call, error_kind_name(err->kind), err->message);   \
	} while (0)
#define assert_kind(wanted, call)                                                                  \
	do {                                                                                       \
		struct error err_ = { 0 }, *err = &err_;                                           \
		if (call)                                                                          \
			fail_msg("%s: succeeded", #call);                                          \
		if (err->kind != (wanted))                                                         \
			fail_msg("%s: %s: %s", #call, error_kind_name(err->kind), err->message);   \
	} while (0)

#define assert_not_opened(open, where, wanted, words)                                              \
	do {                                                                                       \
		struct error err_ = { 0 };                                                         \
		assert_null(open(where, TIMEOUT_MS, &err_));                                       \
		if (err_.kind != (wanted) || !strstr(err_.message, words))                         \
			fail_msg("%s: %s", error_kind_name(err_.kind), err_.message);              \
	} while (0)

/* --- Postgres --- */

/* The URL of a running server that tests may make databases in. Where there is none, NULL and
 * *failed: whether that is a failure. */
FIXTURE const char *postgres_admin(int *failed)
{
	const char *url = getenv("SLUICE_TEST_POSTGRES");
	const char *must = getenv("SLUICE_TEST_REQUIRE_POSTGRES");

	if (!url)
		fprintf(stderr, "SLUICE_TEST_POSTGRES is not set: Postgres was not tested\n");
	*failed += !url && must && strcmp(must, "1") == 0;
	return url;
}

FIXTURE void postgres_quiet(void *arg, const char *message)
{
	(void)arg;
	(void)message;
}

/* Runs one statement as an outsider; returns the first column of the first row ("" for none), to
 * be freed. */
FIXTURE char *postgres_sql(const char *url, const char *sql)
{
	PGconn *conn = PQconnectdb(url);
	PGresult *res;
	char *value;

	PQsetNoticeProcessor(conn, postgres_quiet, NULL);
	res = PQexec(conn, sql);
	if (PQresultStatus(res) != PGRES_TUPLES_OK && PQresultStatus(res) != PGRES_COMMAND_OK)
		fail_msg("%s: %s", sql, PQerrorMessage(conn));
	value = memory_text(PQntuples(res) > 0 ? PQgetvalue(res, 0, 0) : "");
	PQclear(res);
	PQfinish(conn);
	return value;
}

FIXTURE void postgres_run(const char *url, const char *sql)
{
	free(postgres_sql(url, sql));
}

/* The same server, another database. */
FIXTURE void postgres_url(const char *admin, const char *database, char *out, size_t size)
{
	const char *authority = strstr(admin, "://") + 3;
	size_t head = strcspn(authority, "/?");
	const char *query = strchr(authority, '?');

	snprintf(out, size, "%.*s/%s%s", (int)(authority + head - admin), admin, database,
		 query ? query : "");
}

FIXTURE void postgres_create(const char *admin, char *url, size_t size)
{
	char name[64], sql[128];

	snprintf(name, sizeof(name), "sluice_test_%d", (int)getpid());
	snprintf(sql, sizeof(sql), "CREATE DATABASE %s", name);
	postgres_run(admin, sql);
	postgres_url(admin, name, url, size);
}

FIXTURE void postgres_drop(const char *admin)
{
	char sql[128];

	snprintf(sql, sizeof(sql), "DROP DATABASE sluice_test_%d WITH (FORCE)", (int)getpid());
	postgres_run(admin, sql);
}

/* --- short words --- */
FIXTURE struct store *opened(const char *url)
{
	struct error err = { 0 };
	struct store *s = store_open(url, TIMEOUT_MS, &err);

	if (!s)
		fail_msg("%s", err.message);
	return s;
}

FIXTURE struct store *opened_reader(const char *url)
{
	struct error err = { 0 };
	struct store *s = store_open_reader(url, TIMEOUT_MS, &err);

	if (!s)
		fail_msg("%s", err.message);
	return s;
}

FIXTURE struct sequence seq(const char *digits)
{
	struct sequence q = SEQUENCE_NONE;

	if (*digits)
		assert_ok(sequence_parse(&q, str_of(digits), err));
	return q;
}

FIXTURE struct store_lane lane_named(int n)
{
	struct store_lane l = { 0 };

	snprintf(l.shard, sizeof(l.shard), "shardId-%020d-abcdef01", n);
	return l;
}

FIXTURE int64_t stream_named(struct store *s, const char *name)
{
	struct store_stream stream;

	assert_ok(store_stream(s, name, "arn:aws:dynamodb:eu-west-1:1:table/t/stream/x", 0, &stream,
			       err));
	return stream.id;
}

FIXTURE int32_t sink_named(struct store *s, const char *name)
{
	int32_t id = 0;

	assert_ok(store_sink(s, name, &id, err));
	return id;
}

/* What a claim or a list called back with. */
struct seen {
	struct store_lane *lanes;
	struct store_position *positions;
	size_t lane_count, position_count;
};

FIXTURE void seen_lane(void *arg, const struct store_lane *lane)
{
	struct seen *seen = arg;

	assert_int_equal(seen->position_count, 0); /* all lanes come first */
	seen->lanes = memory_room(seen->lanes, seen->lane_count, sizeof(*lane));
	seen->lanes[seen->lane_count++] = *lane;
}

FIXTURE void seen_position(void *arg, const struct store_position *p)
{
	struct seen *seen = arg;

	seen->positions = memory_room(seen->positions, seen->position_count, sizeof(*p));
	seen->positions[seen->position_count++] = *p;
}

FIXTURE void seen_release(struct seen *seen)
{
	free(seen->lanes);
	free(seen->positions);
	*seen = (struct seen){ 0 };
}

/* Joins with the sinks and takes up to `max` heads. */
FIXTURE struct seen claimed(struct store *s, const char *session, int64_t stream,
			    const int32_t *sinks, size_t count, uint32_t max)
{
	struct seen seen = { 0 };

	assert_ok(store_join(s, session, stream, 0, sinks, count, err));
	assert_ok(store_lanes_claim(s, session, stream, sinks, count, max, seen_lane, seen_position,
				    &seen, err));
	return seen;
}

FIXTURE struct store_position position_of(struct store *s, int64_t stream, int64_t lane,
					  int32_t sink)
{
	struct store_position found = { .lane = -1 };
	struct seen seen = { 0 };

	assert_ok(store_lanes_list(s, stream, seen_lane, seen_position, &seen, err));
	for (size_t i = 0; i < seen.position_count; i++)
		if (seen.positions[i].lane == lane && seen.positions[i].sink == sink)
			found = seen.positions[i];
	seen_release(&seen);
	return found;
}

FIXTURE void assert_at(struct store *s, int64_t stream, int64_t lane, int32_t sink,
		       const char *digits)
{
	char text[SEQUENCE_TEXT_SIZE];
	struct store_position p = position_of(s, stream, lane, sink);

	assert_int_equal(p.lane, lane);
	assert_string_equal(sequence_text(&p.sequence, text), digits);
}

/* --- a database of the first version --- */

/* Rows of a worker that was stopped: lane 1 done in both sinks, 2 its child, 3 done in one of two,
 * 4 done unread and free, 5 without positions. For both kinds of SQL, after `before`. */
FIXTURE const char *first_version_rows(const char *before)
{
	static char sql[2000];

	snprintf(sql, sizeof(sql),
		 "%s INSERT INTO session (id, worker, address) VALUES ('" SESSION_A "', 'a', '');"
		 "INSERT INTO sink (name) VALUES ('events'), ('lake');"
		 "INSERT INTO stream (name, arn, start_ms, rooted) VALUES "
		 "('orders', 'arn:aws:dynamodb:eu-west-1:1:table/t/stream/x', 0, '1');"
		 "INSERT INTO lane (stream, shard, parent, starting, root, owner) VALUES "
		 "(1, 'one', '', '1', '1', '" SESSION_A "'), "
		 "(1, 'two', 'one', '5', '0', '" SESSION_A "'), "
		 "(1, 'three', '', '1', '1', '" SESSION_A "'), (1, 'four', '', '1', '1', NULL), "
		 "(1, 'five', '', '1', '1', '" SESSION_A "');"
		 "INSERT INTO position (lane, sink, sequence, event_ms, done) VALUES "
		 "(1, 1, '4', 7, '1'), (1, 2, '4', 7, '1'), (2, 1, NULL, 0, '0'), "
		 "(2, 2, '6', 8, '0'), (3, 1, '9', 9, '1'), (3, 2, '8', 8, '0'), "
		 "(4, 1, NULL, 0, '1'), (4, 2, NULL, 0, '1');",
		 before);
	return sql;
}

FIXTURE void assert_first_version_came_along(struct store *s)
{
	int64_t stream = stream_named(s, "orders");
	int32_t both[2] = { sink_named(s, "events"), sink_named(s, "lake") };
	struct seen seen = { 0 };

	assert_ok(store_lanes_list(s, stream, seen_lane, seen_position, &seen, err));
	assert_int_equal(seen.lane_count, 5);
	assert_int_equal(seen.position_count, 8);
	for (size_t i = 0; i < 5; i++) {
		bool done = i == 0 || i == 3;

		assert_int_equal(seen.lanes[i].done, done);
		assert_string_equal(seen.lanes[i].owner, done ? "" : SESSION_A);
	}
	seen_release(&seen);
	assert_ok(store_session_begin(s, SESSION_B, "b", "", 10000, err));
	seen = claimed(s, SESSION_B, stream, both, 2, 9);
	assert_int_equal(seen.lane_count, 0); /* until the old session is buried */
	assert_ok(store_session_bury(s, SESSION_A, err));
	seen = claimed(s, SESSION_B, stream, both, 2, 9);
	assert_int_equal(seen.lane_count, 3);
	assert_string_equal(seen.lanes[0].shard, "two");
	assert_string_equal(seen.lanes[1].shard, "three");
	assert_int_equal(seen.position_count, 6);
	seen_release(&seen);
	assert_at(s, stream, 2, both[1], "6");
	assert_at(s, stream, 3, both[1], "8");
}

/* --- a database of 2.0 --- */

/* As its last worker left it: session A live with lane 1, a child of it free. For both kinds of
 * SQL, after `before`. */
FIXTURE const char *second_version_rows(const char *before)
{
	static char sql[2000];

	snprintf(sql, sizeof(sql),
		 "%s INSERT INTO session (id, worker, address, lease_ms) VALUES "
		 "('" SESSION_A "', 'a', '', 10000);"
		 "INSERT INTO sink (name) VALUES ('events');"
		 "INSERT INTO stream (name, arn, start_ms, rooted) VALUES "
		 "('orders', 'arn:aws:dynamodb:eu-west-1:1:table/t/stream/x', 0, '1');"
		 "INSERT INTO lane (stream, shard, parent, starting, root, owner) VALUES "
		 "(1, 'one', '', '1', '1', '" SESSION_A "'), (1, 'two', 'one', '5', '0', NULL);"
		 "INSERT INTO position (lane, sink, sequence, event_ms) VALUES "
		 "(1, 1, '4', 7), (2, 1, NULL, 0);",
		 before);
	return sql;
}

FIXTURE void assert_second_version_came_along(struct store *s)
{
	int64_t stream = stream_named(s, "orders");
	int32_t sink = sink_named(s, "events");
	struct store_gap gap = {
		.stream = stream, .shard = "one", .from = seq("4"), .found_ms = 9
	};
	struct store_move m = { .lane = 1, .sink = sink, .from = seq("4"), .to = seq("6") };
	struct store_save save = {
		.session = SESSION_A, .number = 1, .moves = &m, .move_count = 1
	};
	bool added;

	assert_ok(store_session_beat(s, SESSION_A, err)); /* it goes on as it was */
	assert_ok(store_save(s, &save, err));
	assert_at(s, stream, 1, sink, "6");
	assert_ok(store_gap_put(s, SESSION_A, &gap, false, &added, err));
	assert_true(added);
}
