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
					  .alive = alive,
					  .arg = f };

	return http_server_start(&s, err);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct error err = { 0 };

	clock_init(&f->clock);
	f->health = health_new(&f->clock);
	f->metrics = metrics_new();
	f->alive = true;
	f->server = start(f, "127.0.0.1:0", &err);
	if (!f->server)
		fail_msg("%s", err.message);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	http_server_stop(f->server);
	metrics_free(f->metrics);
	health_free(f->health);
	free(f);
	return 0;
}

/* The status. */
static int ask(struct fixture *f, const char *method, const char *path)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons((uint16_t)http_server_port(f->server)),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0), status;
	char request[512];
	ssize_t size = snprintf(request, sizeof(request),
				"%s %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n"
				"Connection: close\r\n\r\n%s",
				method, path, strcmp(method, "POST") == 0 ? 4 : 0,
				strcmp(method, "POST") == 0 ? "body" : "");
	size_t got = 0;

	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(send(fd, request, (size_t)size, MSG_NOSIGNAL), size);
	while ((size = recv(fd, f->answer + got, sizeof(f->answer) - 1 - got, 0)) > 0)
		got += (size_t)size;
	f->answer[got] = '\0';
	close(fd);
	assert_int_equal(sscanf(f->answer, "HTTP/1.1 %d", &status), 1);
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

	for (size_t i = 0; i < sizeof(methods) / sizeof(*methods); i++)
		assert_int_equal(ask(f, methods[i], "/livez"), 405);
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
		cmocka_unit_test_setup_teardown(an_address_that_cannot_be_listened_on_is_named,
						setup, teardown),
		cmocka_unit_test_setup_teardown(it_may_listen_on_v6_and_everywhere, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
