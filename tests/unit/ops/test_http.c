/* The endpoints: what they answer, and that they only read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "ops/http.h"

struct fixture {
	struct clock clock;
	struct health *health;
	struct metrics *metrics;
	struct http_server *server;
	struct snapshot *snapshot;
	bool alive;
	char answer[65536]; /* head and body of the last one */
};

static bool alive(void *arg, char *stuck, size_t size)
{
	struct fixture *f = arg;

	if (!f->alive)
		snprintf(stuck, size, "reader 3");
	return f->alive;
}

static struct http_server *start(struct fixture *f, const char *listen, struct error *err)
{
	struct http_server_settings s = { .listen = listen,
					  .health = f->health,
					  .metrics = f->metrics,
					  .snapshot = f->snapshot,
					  .alive = alive,
					  .arg = f };

	return http_server_start(&s, err);
}

/* A store that nobody has made. */
static const struct config no_store = { .checkpoint.store = "sqlite:/no/such/folder/state.db" };

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct error err = { 0 };

	clock_init(&f->clock);
	f->health = health_new(&f->clock);
	f->metrics = metrics_new();
	f->alive = true;
	f->snapshot = snapshot_start(&no_store);
	assert_non_null(f->snapshot);
	f->server = start(f, "127.0.0.1:0", &err);
	if (!f->server)
		fail_msg("%s", err.message);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	snapshot_end(f->snapshot);
	http_server_stop(f->server);
	snapshot_free(f->snapshot);
	metrics_free(f->metrics);
	health_free(f->health);
	free(f);
	return 0;
}

static int connected(struct fixture *f)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons((uint16_t)http_server_port(f->server)),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

/* The status. */
static int ask(struct fixture *f, const char *method, const char *path)
{
	int fd = connected(f), status;
	char request[512];
	ssize_t size = snprintf(request, sizeof(request),
				"%s %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n"
				"Connection: close\r\n\r\n%s",
				method, path, strcmp(method, "POST") == 0 ? 4 : 0,
				strcmp(method, "POST") == 0 ? "body" : "");
	size_t got = 0;

	assert_int_equal(send(fd, request, (size_t)size, MSG_NOSIGNAL), size);
	while ((size = recv(fd, f->answer + got, sizeof(f->answer) - 1 - got, 0)) > 0)
		got += (size_t)size;
	f->answer[got] = '\0';
	close(fd);
	assert_int_equal(sscanf(f->answer, "HTTP/1.1 %d", &status), 1);
	return status;
}

/* 0: it was turned away. */
static int ask_softly(struct fixture *f)
{
	static const char request[] = "GET /livez HTTP/1.0\r\n\r\n";
	int fd = connected(f), status = 0;
	ssize_t got;

	if (send(fd, request, strlen(request), MSG_NOSIGNAL) > 0) {
		got = recv(fd, f->answer, sizeof(f->answer) - 1, 0);
		f->answer[got > 0 ? got : 0] = '\0';
		sscanf(f->answer, "HTTP/1.1 %d", &status);
		sscanf(f->answer, "HTTP/1.0 %d", &status);
	}
	close(fd);
	return status;
}

static const char *body(const struct fixture *f)
{
	const char *end = strstr(f->answer, "\r\n\r\n");

	assert_non_null(end);
	return end + 4;
}

static void livez_asks_whether_the_loops_turn(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(ask(f, "GET", "/livez"), 200);
	assert_string_equal(body(f), "ok\n");
	f->alive = false;
	assert_int_equal(ask(f, "GET", "/livez"), 503);
	assert_non_null(strstr(body(f), "reader 3"));
	f->alive = true;
	assert_int_equal(ask(f, "GET", "/livez"), 200);
}

static void readyz_waits_for_the_first_time_only(void **state)
{
	struct fixture *f = *state;

	health_require(f->health, "store");
	assert_int_equal(ask(f, "GET", "/readyz"), 503);
	assert_non_null(strstr(body(f), "\"ready\":false"));
	health_set(f->health, "store", "refused");
	assert_int_equal(ask(f, "GET", "/readyz"), 503);
	health_set(f->health, "store", NULL);
	assert_int_equal(ask(f, "GET", "/readyz"), 200);
	health_set(f->health, "store", "away");
	assert_int_equal(ask(f, "GET", "/readyz"), 200);
	assert_non_null(strstr(body(f), "\"reason\":\"away\""));
	assert_non_null(strstr(f->answer, "application/json"));
}

static void metrics_are_prometheus_text(void **state)
{
	struct fixture *f = *state;

	metric_add(metrics_cell(f->metrics, METRIC_GAPS, "or\"ders\\\n", NULL), 3);
	assert_int_equal(ask(f, "GET", "/metrics"), 200);
	assert_non_null(strstr(f->answer, "text/plain; version=0.0.4"));
	assert_non_null(strstr(body(f), "# TYPE sluice_gaps_total counter"));
	assert_non_null(strstr(body(f), "sluice_gaps_total{stream=\"or\\\"ders\\\\\\n\"} 3"));
}

static void head_is_get_without_a_body(void **state)
{
	static const char *const paths[] = { "/livez", "/readyz", "/metrics" };
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
		assert_int_equal(ask(f, "HEAD", paths[i]), 200);
		assert_string_equal(body(f), "");
	}
}

static void other_paths_are_not_there(void **state)
{
	static const char *const paths[] = { "/", "/livez/", "/livezx", "/LIVEZ",
					     "/../etc/passwd" };
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
		assert_int_equal(ask(f, "GET", paths[i]), 404);
		assert_non_null(strstr(body(f), "/livez"));
	}
	assert_int_equal(ask(f, "GET", "/livez?full=1"), 200);
}

static void nothing_can_be_changed(void **state)
{
	static const char *const methods[] = { "POST", "PUT", "DELETE", "PATCH", "OPTIONS" };
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(methods) / sizeof(*methods); i++) {
		assert_int_equal(ask(f, methods[i], "/livez"), 405);
		assert_non_null(strstr(f->answer, "Allow: GET, HEAD"));
	}
}

static void answers_are_not_kept_nor_framed(void **state)
{
	static const char *const headers[] = { "Cache-Control: no-store",
					       "X-Content-Type-Options: nosniff",
					       "X-Frame-Options: DENY",
					       "Content-Security-Policy: default-src 'none'" };
	struct fixture *f = *state;

	ask(f, "GET", "/livez");
	for (size_t i = 0; i < sizeof(headers) / sizeof(*headers); i++)
		if (!strcasestr(f->answer, headers[i]))
			fail_msg("%s is missing: %s", headers[i], f->answer);
}

/* The store is asked on another thread: whoever waits for it keeps nobody else waiting. */
static void the_status_says_why_there_is_none(void **state)
{
	struct fixture *f = *state;

	for (int again = 0; again < 2; again++) {
		assert_int_equal(ask(f, "GET", "/status.json"), 503);
		assert_non_null(strstr(body(f), "{\"error\":\"sqlite /no/such/folder/state.db: "));
	}
	assert_int_equal(ask(f, "GET", "/livez"), 200);
	assert_int_equal(ask(f, "GET", "/status"), 200);
	assert_non_null(strcasestr(f->answer, "frame-ancestors 'none'"));
	snapshot_end(f->snapshot);
	assert_int_equal(ask(f, "GET", "/status.json"), 503);
	assert_non_null(strstr(body(f), "the worker stops"));
	http_server_stop(f->server);
	snapshot_free(f->snapshot);
	f->snapshot = NULL;
	f->server = start(f, "127.0.0.1:0", &(struct error){ 0 });
	assert_int_equal(ask(f, "GET", "/status"), 404); /* where there is no store to look at */
	f->snapshot = snapshot_start(&no_store);         /* for teardown */
}

static void note_stop(void *arg, bool ok, struct str json)
{
	const struct str stops = STR("{\"error\":\"the worker stops\"}");

	assert_false(ok);
	*(bool *)arg = str_equal(json, stops);
}

/* Else somebody who asks all the time, of a store that does not answer, would keep it for ever. */
static void nothing_is_read_once_it_ends(void **state)
{
	bool stopped = false;

	(void)state;
	/* Its thread may be quicker than the end, but not every time. */
	for (int i = 0; i < 1000 && !stopped; i++) {
		struct snapshot *s = snapshot_start(&no_store);

		snapshot_ask(s, note_stop, &stopped);
		snapshot_end(s);
		snapshot_free(s);
	}
	assert_true(stopped);
}

/* Until the other side closes; how many bytes it sent. */
static size_t until_closed(int fd)
{
	char some[4096];
	size_t all = 0;
	ssize_t n;

	while ((n = recv(fd, some, sizeof(some), 0)) > 0)
		all += (size_t)n;
	close(fd);
	return all;
}

static void garbage_is_closed(void **state)
{
	static const char *const garbage[] = { "\x16\x03\x01\x02\x01\r\n\r\n", "GET\r\n\r\n",
					       "GET /livez HTTP/9.9\r\n\r\n",
					       "\r\n\r\n\r\n: :\r\n\r\n" };
	struct fixture *f = *state;
	char line[1024];
	int fd;

	for (size_t i = 0; i < sizeof(garbage) / sizeof(*garbage); i++) {
		fd = connected(f);
		assert_true(send(fd, garbage[i], strlen(garbage[i]), MSG_NOSIGNAL) > 0);
		shutdown(fd, SHUT_WR);
		assert_true(until_closed(fd) < 1024);
	}
	/* A header without an end: it is not kept. */
	fd = connected(f);
	memset(line, 'x', sizeof(line));
	assert_true(send(fd, "GET /livez HTTP/1.1\r\nX: ", 24, MSG_NOSIGNAL) > 0);
	for (int i = 0; i < 1000; i++)
		if (send(fd, line, sizeof(line), MSG_NOSIGNAL) < 0)
			break;
	(void)until_closed(fd);
	assert_int_equal(ask(f, "GET", "/livez"), 200);
}

/* Each of them may be the slowest: what it has not said yet costs the others nothing. */
static void slow_senders_keep_nobody_waiting(void **state)
{
	enum { SLOW = 20 };
	static const char first[] = "GET /livez HT", rest[] = "TP/1.0\r\n\r\n";
	struct fixture *f = *state;
	int fds[SLOW];

	for (int i = 0; i < SLOW; i++) {
		fds[i] = connected(f);
		for (size_t n = 0; n < strlen(first); n++)
			assert_int_equal(send(fds[i], first + n, 1, MSG_NOSIGNAL), 1);
	}
	for (int i = 0; i < SLOW; i++) {
		char answer[1024];
		ssize_t n;

		assert_int_equal(ask(f, "GET", "/readyz"), 200);
		assert_true(send(fds[i], rest, strlen(rest), MSG_NOSIGNAL) > 0);
		n = recv(fds[i], answer, sizeof(answer) - 1, 0);
		assert_true(n > 0);
		answer[n] = '\0';
		assert_non_null(strstr(answer, " 200 "));
		close(fds[i]);
	}
}

/* More than may be there at a time are turned away, and once they are gone there is room again. */
static void a_thousand_connections(void **state)
{
	enum { MANY = 1000 };
	struct fixture *f = *state;
	int fds[MANY], turned_away = 0;

	for (int i = 0; i < MANY; i++)
		fds[i] = connected(f);
	while (turned_away < MANY / 2) {
		for (int i = 0; i < MANY; i++) {
			char c;

			if (fds[i] < 0 ||
			    (recv(fds[i], &c, 1, MSG_DONTWAIT) < 0 && errno != ECONNRESET))
				continue;
			turned_away++;
			close(fds[i]);
			fds[i] = -1;
		}
		usleep(1000);
	}
	for (int i = 0; i < MANY; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	while (ask_softly(f) != 200)
		usleep(10000);
}

static void an_address_that_cannot_be_listened_on_is_named(void **state)
{
	static const char *const wrong[] = { "8080", "127.0.0.1:port", "no.such.host.invalid:0",
					     "203.0.113.1:0" };
	struct fixture *f = *state;
	char taken[64];
	struct error err = { 0 };

	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		assert_null(start(f, wrong[i], &err));
		assert_int_equal(err.kind, ERROR_INVALID);
		assert_non_null(strstr(err.message, wrong[i]));
	}
	snprintf(taken, sizeof(taken), "127.0.0.1:%d", http_server_port(f->server));
	assert_null(start(f, taken, &err));
	assert_non_null(strstr(err.message, "another port"));
}

static void it_may_listen_on_v6_and_everywhere(void **state)
{
	static const char *const right[] = { "[::1]:0", ":0", "localhost:0" };
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(right) / sizeof(*right); i++) {
		struct error err = { 0 };
		struct http_server *s = start(f, right[i], &err);

		if (!s && strstr(right[i], "::") && strstr(err.message, strerror(EAFNOSUPPORT)))
			continue; /* a machine without IPv6 */
		if (!s)
			fail_msg("%s", err.message);
		assert_true(http_server_port(s) > 0);
		http_server_stop(s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(livez_asks_whether_the_loops_turn, setup, teardown),
		cmocka_unit_test_setup_teardown(readyz_waits_for_the_first_time_only, setup,
						teardown),
		cmocka_unit_test_setup_teardown(metrics_are_prometheus_text, setup, teardown),
		cmocka_unit_test_setup_teardown(head_is_get_without_a_body, setup, teardown),
		cmocka_unit_test_setup_teardown(other_paths_are_not_there, setup, teardown),
		cmocka_unit_test_setup_teardown(nothing_can_be_changed, setup, teardown),
		cmocka_unit_test_setup_teardown(answers_are_not_kept_nor_framed, setup, teardown),
		cmocka_unit_test_setup_teardown(the_status_says_why_there_is_none, setup, teardown),
		cmocka_unit_test(nothing_is_read_once_it_ends),
		cmocka_unit_test_setup_teardown(garbage_is_closed, setup, teardown),
		cmocka_unit_test_setup_teardown(slow_senders_keep_nobody_waiting, setup, teardown),
		cmocka_unit_test_setup_teardown(a_thousand_connections, setup, teardown),
		cmocka_unit_test_setup_teardown(an_address_that_cannot_be_listened_on_is_named,
						setup, teardown),
		cmocka_unit_test_setup_teardown(it_may_listen_on_v6_and_everywhere, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
