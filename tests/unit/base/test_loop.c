/* The event loop under a clock of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/loop.h"

struct world {
	struct clock clock;
	int64_t now_ms;
	struct loop *loop;
	struct loop_timer *timers[4];
	char order[64];
	size_t count;
};

static int64_t world_now(const struct clock *c)
{
	return ((const struct world *)c->arg)->now_ms;
}

static int world_setup(void **state)
{
	static struct world w;

	w = (struct world){ .clock = { .boot_ms = world_now, .wall_ms = world_now, .arg = &w },
			    .now_ms = 1000 };
	w.loop = loop_new(&w.clock);
	*state = &w;
	return 0;
}

static int world_teardown(void **state)
{
	loop_free(((struct world *)*state)->loop);
	return 0;
}

static void note(struct world *w, char c)
{
	if (w->count < sizeof(w->order) - 1)
		w->order[w->count++] = c;
}

static void note_a(void *arg)
{
	note(arg, 'a');
}
static void note_b(void *arg)
{
	note(arg, 'b');
}

static void again_at_once(void *arg)
{
	struct world *w = arg;

	note(w, 'z');
	loop_timer_arm(w->timers[0], 0);
}

static void turn(struct world *w, int64_t ms)
{
	w->now_ms += ms;
	loop_once(w->loop, 0);
}

static void timers_run_when_due_and_in_order(void **state)
{
	struct world *w = *state;
	struct loop_timer *a = loop_timer_new(w->loop, note_a, w);
	struct loop_timer *b = loop_timer_new(w->loop, note_b, w);

	loop_timer_arm(a, 100);
	loop_timer_arm(b, 50);
	turn(w, 49);
	assert_string_equal(w->order, "");
	turn(w, 100);
	assert_string_equal(w->order, "ba");
	turn(w, 1000);
	assert_string_equal(w->order, "ba"); /* once each arming */
	loop_timer_arm(a, 10);
	loop_timer_arm(a, 200); /* moved */
	loop_timer_arm(b, 20);
	loop_timer_arm(b, -1);
	turn(w, 100);
	assert_string_equal(w->order, "ba");
	turn(w, 100);
	assert_string_equal(w->order, "baa");
	assert_int_equal(loop_now_ms(w->loop), w->now_ms);
	assert_int_equal(loop_beat_ms(w->loop), w->now_ms);
}

static void one_that_arms_itself_does_not_starve_the_rest(void **state)
{
	struct world *w = *state;
	struct loop_timer *a;

	w->timers[0] = loop_timer_new(w->loop, again_at_once, w);
	a = loop_timer_new(w->loop, note_a, w);
	loop_timer_arm(w->timers[0], 0);
	loop_timer_arm(a, 0);
	turn(w, 0);
	assert_string_equal(w->order, "za");
	turn(w, 0);
	assert_string_equal(w->order, "zaz");
}

static void frees_the_other(void *arg)
{
	struct world *w = arg;

	note(w, 'f');
	loop_timer_free(w->timers[1]);
	loop_timer_free(w->timers[0]);
}

static void a_timer_may_free_itself_and_others_that_are_due(void **state)
{
	struct world *w = *state;

	w->timers[0] = loop_timer_new(w->loop, frees_the_other, w);
	w->timers[1] = loop_timer_new(w->loop, note_b, w);
	loop_timer_arm(w->timers[0], 0);
	loop_timer_arm(w->timers[1], 0);
	turn(w, 0);
	turn(w, 10);
	assert_string_equal(w->order, "f");
	for (int i = 0; i < 40; i++) /* places are used again, and grow */
		loop_timer_arm(loop_timer_new(w->loop, note_a, w), i % 2);
	turn(w, 1);
	assert_int_equal(w->count, 41);
}

struct pipe_end {
	struct world *world;
	int fds[2], other;
	uint32_t events;
};

static void read_one(void *arg, int fd, uint32_t events)
{
	struct pipe_end *p = arg;
	char c;

	p->events = events;
	assert_int_equal(read(fd, &c, 1), 1);
	note(p->world, c);
	if (p->other >= 0) /* the other's event, collected already, must not be delivered */
		loop_watch(p->world->loop, p->other, 0, NULL, NULL);
}

static void fds_run_their_function_until_removed(void **state)
{
	struct world *w = *state;
	struct pipe_end p = { .world = w, .other = -1 };

	assert_int_equal(pipe(p.fds), 0);
	loop_watch(w->loop, p.fds[0], EPOLLIN, read_one, &p);
	turn(w, 0);
	assert_string_equal(w->order, "");
	assert_int_equal(write(p.fds[1], "xyz", 3), 3);
	turn(w, 0);
	assert_true(p.events & EPOLLIN);
	turn(w, 0);
	assert_string_equal(w->order, "xy");
	loop_watch(w->loop, p.fds[0], EPOLLOUT, read_one, &p); /* changed */
	loop_watch(w->loop, p.fds[0], 0, NULL, NULL);
	loop_watch(w->loop, p.fds[0], 0, NULL, NULL);
	turn(w, 0);
	assert_string_equal(w->order, "xy");
	close(p.fds[0]);
	close(p.fds[1]);
}

static void a_removed_fd_gets_no_stale_event(void **state)
{
	struct world *w = *state;
	struct pipe_end a = { .world = w }, b = { .world = w };

	assert_int_equal(pipe(a.fds), 0);
	assert_int_equal(pipe(b.fds), 0);
	a.other = b.fds[0];
	b.other = a.fds[0];
	loop_watch(w->loop, a.fds[0], EPOLLIN, read_one, &a);
	loop_watch(w->loop, b.fds[0], EPOLLIN, read_one, &b);
	assert_int_equal(write(a.fds[1], "1", 1), 1);
	assert_int_equal(write(b.fds[1], "2", 1), 1);
	turn(w, 0);
	turn(w, 0);
	assert_int_equal(w->count, 1);
	for (int i = 0; i < 2; i++) {
		close(a.fds[i]);
		close(b.fds[i]);
	}
}

/* Another pipe under the same numbers, watched, from which "n" is read. */
static void open_again(struct pipe_end *p)
{
	int number = p->fds[0];

	close(p->fds[0]);
	close(p->fds[1]);
	assert_int_equal(pipe(p->fds), 0);
	assert_int_equal(p->fds[0], number);
	loop_watch(p->world->loop, number, EPOLLIN, read_one, p);
	assert_int_equal(write(p->fds[1], "n", 1), 1);
	turn(p->world, 0);
}

/* Whether an epoll of this process would tell of it: fdinfo lists what each waits for. */
static bool in_a_set(int fd)
{
	DIR *all = opendir("/proc/self/fdinfo");
	bool found = false;

	assert_non_null(all);
	for (struct dirent *one; (one = readdir(all));) {
		char path[300], line[256];
		FILE *info;
		int watched;

		snprintf(path, sizeof(path), "/proc/self/fdinfo/%s", one->d_name);
		info = fopen(path, "r");
		while (info && fgets(line, sizeof(line), info))
			found = found || (sscanf(line, "tfd: %d", &watched) == 1 && watched == fd);
		if (info)
			fclose(info);
	}
	closedir(all);
	return found;
}

static void a_kept_fd_stays_in_the_set_until_something_happens(void **state)
{
	struct world *w = *state;
	struct pipe_end p = { .world = w, .other = -1 };
	int number;

	assert_int_equal(pipe(p.fds), 0);
	number = p.fds[0];
	loop_keep(w->loop, number);
	loop_watch(w->loop, number, 0, NULL, NULL);
	assert_false(in_a_set(number));
	loop_watch(w->loop, number, EPOLLIN, read_one, &p);
	loop_watch(w->loop, number, 0, NULL, NULL);
	turn(w, 0);
	assert_true(in_a_set(number));
	loop_watch(w->loop, number, EPOLLIN, read_one, &p);
	assert_int_equal(write(p.fds[1], "abc", 3), 3);
	turn(w, 0);
	assert_string_equal(w->order, "a");
	loop_watch(w->loop, number, 0, NULL, NULL);
	turn(w, 0); /* nobody reads it: else it would wake the loop for ever */
	assert_string_equal(w->order, "a");
	assert_false(in_a_set(number));
	loop_watch(w->loop, number, EPOLLOUT | EPOLLIN, read_one, &p);
	turn(w, 0);
	assert_string_equal(w->order, "ab");

	loop_watch(w->loop, number, EPOLLIN, read_one, &p);
	loop_watch(w->loop, number, 0, NULL, NULL);
	loop_forget(w->loop, number);
	open_again(&p);
	assert_string_equal(w->order, "abn");
	loop_watch(w->loop, number, 0, NULL, NULL);
	assert_false(in_a_set(number));
	close(p.fds[0]);
	close(p.fds[1]);
}

static void an_fd_closed_behind_the_loop_is_watched_anew(void **state)
{
	struct world *w = *state;
	struct pipe_end p = { .world = w, .other = -1 };
	int number;

	assert_int_equal(pipe(p.fds), 0);
	number = p.fds[0];
	loop_watch(w->loop, number, EPOLLIN, read_one, &p);
	open_again(&p);
	assert_string_equal(w->order, "n");
	close(p.fds[0]);
	loop_watch(w->loop, number, 0, NULL, NULL); /* gone already: fine */
	close(p.fds[1]);
}

static void *stop_it(void *arg)
{
	loop_wake(arg);
	loop_stop(arg);
	return NULL;
}

static void another_thread_wakes_and_stops_it(void **state)
{
	struct world *w = *state;
	pthread_t thread;

	pthread_create(&thread, NULL, stop_it, w->loop);
	loop_run(w->loop);
	pthread_join(thread, NULL);
	loop_wake(w->loop);
	loop_once(w->loop, -1); /* would wait for ever without the wake */
	loop_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(timers_run_when_due_and_in_order, world_setup,
						world_teardown),
		cmocka_unit_test_setup_teardown(one_that_arms_itself_does_not_starve_the_rest,
						world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(a_timer_may_free_itself_and_others_that_are_due,
						world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(fds_run_their_function_until_removed, world_setup,
						world_teardown),
		cmocka_unit_test_setup_teardown(a_removed_fd_gets_no_stale_event, world_setup,
						world_teardown),
		cmocka_unit_test_setup_teardown(a_kept_fd_stays_in_the_set_until_something_happens,
						world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(an_fd_closed_behind_the_loop_is_watched_anew,
						world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(another_thread_wakes_and_stops_it, world_setup,
						world_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
