/* The queue between threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/queue.h"

struct item {
	unsigned producer, number;
};

static bool readable(const struct queue *q)
{
	struct pollfd p = { .fd = queue_fd(q), .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

static void keeps_order_across_the_end_of_the_ring(void **state)
{
	struct queue *q = queue_new(sizeof(int), 5);
	int out[8], next_in = 0, next_out = 0;

	(void)state;
	for (int round = 0; round < 50; round++) {
		size_t n;

		while (queue_offer(q, &next_in))
			next_in++;
		n = queue_drain(q, out, 3);
		assert_int_equal(n, 3);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(out[i], next_out++);
	}
	assert_int_equal(queue_drain(q, out, 8), 2);
	assert_int_equal(queue_drain(q, out, 8), 0);
	queue_free(q);
}

static void fd_is_readable_exactly_while_something_waits(void **state)
{
	struct queue *q = queue_new(sizeof(int), 4);
	int v = 1;

	(void)state;
	assert_false(readable(q));
	assert_true(queue_push(q, &v));
	assert_true(queue_push(q, &v));
	assert_true(readable(q));
	assert_int_equal(queue_drain(q, &v, 1), 1);
	assert_true(readable(q));
	assert_int_equal(queue_drain(q, &v, 1), 1);
	assert_false(readable(q));
	queue_wait(q, 0);
	queue_free(q);
}

static void what_is_added_wakes_nobody_until_it_is_woken_for(void **state)
{
	struct queue *q = queue_new(sizeof(int), 4);
	int v = 1, out[4];

	(void)state;
	queue_wake(q);
	assert_false(readable(q)); /* there is nothing to wake for */
	assert_true(queue_add(q, &v));
	assert_true(queue_add(q, &v));
	assert_false(readable(q));
	assert_int_equal(queue_drain(q, out, 1), 1); /* who looks sees it */
	queue_wake(q);
	assert_true(readable(q));
	queue_wake(q);
	assert_int_equal(queue_drain(q, out, 4), 1);
	assert_false(readable(q));

	assert_true(queue_add(q, &v));
	assert_true(queue_push(q, &v)); /* wakes for both */
	assert_true(readable(q));
	assert_true(queue_add(q, &v));
	assert_int_equal(queue_drain(q, out, 4), 3);
	assert_false(readable(q));

	assert_true(queue_add(q, &v));
	queue_close(q);
	assert_true(readable(q));
	assert_false(queue_add(q, &v));
	queue_wake(q);
	assert_int_equal(queue_drain(q, out, 4), 1);
	assert_true(readable(q));
	queue_free(q);
}

static void closing_refuses_the_new_and_keeps_the_old(void **state)
{
	struct queue *q = queue_new(sizeof(int), 4);
	int v = 7;

	(void)state;
	assert_true(queue_push(q, &v));
	assert_false(queue_closed(q));
	queue_close(q);
	queue_close(q);
	assert_true(queue_closed(q));
	v = 8;
	assert_false(queue_push(q, &v));
	assert_false(queue_offer(q, &v));
	assert_int_equal(queue_drain(q, &v, 1), 1);
	assert_int_equal(v, 7);
	assert_true(readable(q)); /* so that a sleeper sees the end */
	queue_wait(q, -1);
	queue_free(q);
	queue_free(NULL);
}

#define PRODUCERS 4
#define EACH      5000u

struct producer {
	pthread_t thread;
	struct queue *q;
	unsigned number;
};

static void *produce(void *arg)
{
	struct producer *p = arg;

	for (unsigned i = 0; i < EACH; i++) {
		struct item item = { p->number, i };

		if (!queue_push(p->q, &item))
			abort();
	}
	return NULL;
}

static void many_producers_lose_nothing_and_keep_their_order(void **state)
{
	struct queue *q = queue_new(sizeof(struct item), PRODUCERS * EACH);
	struct producer producers[PRODUCERS];
	unsigned seen[PRODUCERS] = { 0 };
	size_t total = 0;

	(void)state;
	for (unsigned i = 0; i < PRODUCERS; i++) {
		producers[i] = (struct producer){ .q = q, .number = i };
		assert_int_equal(pthread_create(&producers[i].thread, NULL, produce, &producers[i]),
				 0);
	}
	while (total < PRODUCERS * EACH) {
		struct item items[64];
		size_t n;

		queue_wait(q, -1);
		n = queue_drain(q, items, 64);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(items[i].number, seen[items[i].producer]++);
		total += n;
	}
	for (unsigned i = 0; i < PRODUCERS; i++)
		pthread_join(producers[i].thread, NULL);
	assert_false(readable(q));
	queue_free(q);
}

static void *close_it(void *arg)
{
	queue_close(arg);
	return NULL;
}

static void closing_wakes_a_waiting_consumer(void **state)
{
	struct queue *q = queue_new(sizeof(int), 1);
	pthread_t thread;

	(void)state;
	pthread_create(&thread, NULL, close_it, q);
	while (!queue_closed(q))
		queue_wait(q, -1);
	pthread_join(thread, NULL);
	queue_free(q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_order_across_the_end_of_the_ring),
		cmocka_unit_test(fd_is_readable_exactly_while_something_waits),
		cmocka_unit_test(what_is_added_wakes_nobody_until_it_is_woken_for),
		cmocka_unit_test(closing_refuses_the_new_and_keeps_the_old),
		cmocka_unit_test(many_producers_lose_nothing_and_keep_their_order),
		cmocka_unit_test(closing_wakes_a_waiting_consumer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
