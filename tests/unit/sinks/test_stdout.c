#include <assert.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/memory.h"
#include "sinks/sink.h"

#define ANSWERS_MAX 2048
#define PATIENCE_S  120

/* Stands in for stdout: a pipe, whose other end the test reads. */
struct world {
	struct clock clock;
	struct metrics *metrics;
	struct sink_host host;
	struct sink *sink;
	int saved, read_end;
	pthread_mutex_t lock;
	pthread_cond_t answered;
	size_t answer_count;
	struct sink_answer answers[ANSWERS_MAX];
};

static void world_answer(void *arg, const struct sink_answer *a)
{
	struct world *w = arg;

	pthread_mutex_lock(&w->lock);
	assert(w->answer_count < ANSWERS_MAX);
	w->answers[w->answer_count++] = *a;
	pthread_cond_broadcast(&w->answered);
	pthread_mutex_unlock(&w->lock);
}

static struct sink_answer world_wait(struct world *w, size_t n)
{
	struct sink_answer a;
	struct timespec until;
	int failed = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PATIENCE_S;
	pthread_mutex_lock(&w->lock);
	while (w->answer_count <= n && !failed)
		failed = pthread_cond_timedwait(&w->answered, &w->lock, &until);
	a = w->answers[n];
	pthread_mutex_unlock(&w->lock);
	assert(!failed);
	return a;
}

static struct world *world_new(void)
{
	struct world *w = memory_new(sizeof(*w));
	struct error err = { 0 };
	int ends[2];

	fflush(stdout);
	clock_init(&w->clock);
	w->metrics = metrics_new();
	w->host = (struct sink_host){ .index = 2,
				      .name = "screen",
				      .readers = 1,
				      .clock = &w->clock,
				      .metrics = w->metrics,
				      .answer = world_answer,
				      .arg = w };
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->answered, NULL);
	assert(pipe2(ends, O_CLOEXEC) == 0);
	w->saved = dup(STDOUT_FILENO);
	assert(dup2(ends[1], STDOUT_FILENO) == STDOUT_FILENO);
	close(ends[1]);
	w->read_end = ends[0];
	w->sink = sink_stdout.open(NULL, &w->host, &err);
	assert(w->sink);
	return w;
}

static void world_close(struct world *w)
{
	if (w->sink)
		sink_stdout.close(w->sink);
	w->sink = NULL;
	if (w->saved >= 0) {
		assert(dup2(w->saved, STDOUT_FILENO) == STDOUT_FILENO);
		close(w->saved);
	}
	w->saved = -1;
}

static void world_free(struct world *w)
{
	world_close(w);
	close(w->read_end);
	metrics_free(w->metrics);
	pthread_cond_destroy(&w->answered);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

/* `count` lines, "0:xxx…" and so on, of `size` bytes each, one behind the other. */
static struct delivery *delivery_new(size_t count, size_t size)
{
	struct delivery *d = memory_new(sizeof(*d));
	struct batch *b = batch_new();
	struct str *payloads = arena_alloc(&b->arena, (count + 1) * sizeof(*payloads));
	char *text = arena_alloc(&b->arena, count * (size + 1) + 64);

	b->count = count;
	for (size_t i = 0; i < count; i++, text += size + 1) {
		memset(text, 'x', size);
		text[size] = '\n';
		text[snprintf(text, 32, "%zu:", i)] = 'x';
		payloads[i] = (struct str){ text, size };
	}
	*d = (struct delivery){ .batch = b, .payloads = payloads, .count = count };
	return d;
}

static void delivery_free(struct delivery *d)
{
	batch_free(d->batch);
	free(d);
}

/* One line without its newline, or NULL at the end; free(). */
static char *read_line(FILE *f)
{
	char *line = NULL;
	size_t size = 0;
	ssize_t n = getline(&line, &size, f);

	if (n > 0) {
		assert_int_equal(line[n - 1], '\n');
		line[n - 1] = '\0';
		return line;
	}
	free(line);
	return NULL;
}

static void expect_line(FILE *f, size_t number, size_t size)
{
	char *line = read_line(f), *end;

	assert_non_null(line);
	assert_int_equal(strlen(line), size);
	assert_int_equal(strtoul(line, &end, 10), number);
	assert_int_equal(*end, ':');
	assert_int_equal(strspn(end + 1, "x"), size - (size_t)(end + 1 - line));
	free(line);
}

static void test_lines(void **state)
{
	struct world *w = world_new();
	struct delivery *d = delivery_new(5, 30), *big = delivery_new(40, 20000);
	struct str *payloads = memory_array(5, sizeof(*payloads));
	FILE *f = fdopen(dup(w->read_end), "r");
	struct sink_answer a;

	(void)state;
	memcpy(payloads, d->payloads, 5 * sizeof(*payloads));
	payloads[0].p = payloads[2].p = payloads[4].p = NULL;
	d->payloads = payloads;
	sink_stdout.write(w->sink, d);
	sink_stdout.write(w->sink, big); /* more than a pipe holds */
	expect_line(f, 1, 30);
	expect_line(f, 3, 30);
	for (size_t i = 0; i < 40; i++)
		expect_line(f, i, 20000);
	a = world_wait(w, 0);
	assert_int_equal(a.kind, SINK_TAKEN);
	assert_ptr_equal(a.delivery, d);
	assert_int_equal(a.roll, 0);
	assert_int_equal(a.sink, 2);
	assert_int_equal(world_wait(w, 1).kind, SINK_TAKEN);
	assert_int_equal(metric_get(metrics_cell(w->metrics, METRIC_DELIVERED, "screen", NULL)),
			 42);
	d->first = 3;
	sink_stdout.write(w->sink, d);
	expect_line(f, 3, 30);
	assert_int_equal(world_wait(w, 2).kind, SINK_TAKEN);
	world_close(w);
	assert_null(read_line(f));
	fclose(f);
	world_free(w);
	free(payloads);
	delivery_free(d);
	delivery_free(big);
}

/* Said once, in words; what comes later fails, and nothing kills the process. */
static void test_closed_pipe(void **state)
{
	struct world *w = world_new();
	struct delivery *d = delivery_new(3, 10), *later = delivery_new(3, 10);
	struct sink_answer a;
	char text[200];

	(void)state;
	assert_null(sink_stdout.trouble(w->sink, text, sizeof(text)));
	close(w->read_end);
	w->read_end = dup(w->saved);
	sink_stdout.write(w->sink, d);
	a = world_wait(w, 0);
	assert_int_equal(a.kind, SINK_FATAL);
	assert_non_null(strstr(a.err.message, "closed"));
	a = world_wait(w, 1);
	assert_int_equal(a.kind, SINK_FAILED);
	assert_int_equal(a.first, 0);
	sink_stdout.write(w->sink, later);
	a = world_wait(w, 2);
	assert_int_equal(a.kind, SINK_FAILED);
	assert_ptr_equal(a.delivery, later);
	assert_non_null(sink_stdout.trouble(w->sink, text, sizeof(text)));
	world_free(w);
	delivery_free(d);
	delivery_free(later);
}

/* Nobody reads: purge gets everything back, and says how far it came. */
static void test_purge_with_a_full_pipe(void **state)
{
	struct world *w = world_new();
	struct delivery *d = delivery_new(1000, 1000), *next = delivery_new(1, 10);
	struct sink_answer a;
	FILE *f = fdopen(dup(w->read_end), "r");

	(void)state;
	sink_stdout.write(w->sink, d);
	sink_stdout.write(w->sink, next);
	expect_line(f, 0, 1000);
	sink_stdout.purge(w->sink);
	a = world_wait(w, 0);
	assert_int_equal(a.kind, SINK_FAILED);
	assert_int_equal(a.err.kind, ERROR_CANCELLED);
	assert_in_range(a.first, 1, 999);
	assert_int_equal(world_wait(w, 1).first, 0);
	world_close(w);
	/* Exactly the whole lines before `first` are out. */
	for (size_t i = 1; i < a.first; i++)
		expect_line(f, i, 1000);
	assert_null(read_line(f));
	fclose(f);
	world_free(w);
	delivery_free(d);
	delivery_free(next);
}

static void test_queue_full_and_close(void **state)
{
	struct world *w = world_new();
	struct delivery *d[1100];
	size_t throttled = 0;

	(void)state;
	for (size_t i = 0; i < 1100; i++) {
		d[i] = delivery_new(1, 100000); /* more than the pipe: nothing gets through */
		sink_stdout.write(w->sink, d[i]);
	}
	world_close(w);
	assert_int_equal(w->answer_count, 1100);
	for (size_t i = 0; i < 1100; i++) {
		assert_int_equal(w->answers[i].kind, SINK_FAILED);
		throttled += w->answers[i].err.kind == ERROR_THROTTLED;
	}
	assert_in_range(throttled, 1100 - 1024 - 1, 1100 - 1024);
	world_free(w);
	for (size_t i = 0; i < 1100; i++)
		delivery_free(d[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_closed_pipe),
		cmocka_unit_test(test_purge_with_a_full_pipe),
		cmocka_unit_test(test_queue_full_and_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
