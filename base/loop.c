#include "base/loop.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/heap.h"
#include "base/memory.h"

#define EVENTS_MAX 128

struct watch {
	loop_fd_fn *fn; /* NULL: not watched */
	void *arg;
	uint32_t generation; /* an event of an earlier watch of the same fd number is stale */
	uint32_t set;        /* what the kernel has been told to wait for; 0: nothing */
	bool kept;           /* loop_keep */
};

struct loop_timer {
	struct loop *loop;
	loop_timer_fn *fn;
	void *arg;
	uint32_t id;
	bool due; /* taken off the heap in this turn, not yet run */
};

struct loop {
	const struct clock *clock;
	int epoll_fd, wake_fd;
	struct watch *watches; /* by fd */
	size_t watch_count;
	struct loop_timer **timers; /* by id; NULL: free */
	uint32_t *due;              /* scratch of one turn, as long as timers */
	size_t timer_count;
	struct heap heap;
	int64_t now_ms;
	_Atomic int64_t beat_ms;
	_Atomic bool stop;
};

static void loop_die(const char *what)
{
	fprintf(stderr, "sluice: %s: %s\n", what, strerror(errno));
	abort();
}

static void loop_turned(struct loop *l)
{
	l->now_ms = clock_boot_ms(l->clock);
	atomic_store_explicit(&l->beat_ms, l->now_ms, memory_order_relaxed);
}

static void loop_woken(void *arg, int fd, uint32_t events)
{
	eventfd_t value;

	(void)arg;
	(void)events;
	(void)eventfd_read(fd, &value);
}

struct loop *loop_new(const struct clock *clock)
{
	struct loop *l = memory_new(sizeof(*l));

	l->clock = clock;
	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	l->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (l->epoll_fd < 0 || l->wake_fd < 0)
		loop_die("epoll");
	heap_init(&l->heap, 0);
	loop_turned(l);
	loop_watch(l, l->wake_fd, EPOLLIN, loop_woken, NULL);
	return l;
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	for (size_t i = 0; i < l->timer_count; i++)
		free(l->timers[i]);
	free(l->timers);
	free(l->due);
	free(l->watches);
	heap_release(&l->heap);
	close(l->wake_fd);
	close(l->epoll_fd);
	free(l);
}

static struct watch *loop_watch_of(struct loop *l, int fd)
{
	size_t count = l->watch_count;

	assert(fd >= 0);
	if ((size_t)fd >= count) {
		while ((size_t)fd >= count)
			count = count ? count * 2 : 64;
		l->watches = memory_resize(l->watches, count * sizeof(l->watches[0]));
		memset(l->watches + l->watch_count, 0,
		       (count - l->watch_count) * sizeof(l->watches[0]));
		l->watch_count = count;
	}
	return &l->watches[fd];
}

/* The fd may be closed already, which took it out of the epoll set. */
static void loop_unset(struct loop *l, struct watch *w, int fd)
{
	if (w->set)
		(void)epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
	w->set = 0;
	w->generation++;
}

static void loop_set(struct loop *l, struct watch *w, int fd, uint32_t events)
{
	struct epoll_event e = { .events = events };
	int op = w->set ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

	if (w->kept && w->set == events)
		return;
	w->set = events;
	e.data.u64 = (uint64_t)w->generation << 32 | (uint32_t)fd;
	if (epoll_ctl(l->epoll_fd, op, fd, &e) == 0)
		return;
	/* Closed and opened again under the same number without being told. */
	if (op == EPOLL_CTL_MOD && errno == ENOENT &&
	    epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &e) == 0)
		return;
	loop_die("epoll_ctl");
}

void loop_watch(struct loop *l, int fd, uint32_t events, loop_fd_fn *fn, void *arg)
{
	struct watch *w = loop_watch_of(l, fd);

	assert(fn || events == 0);
	w->fn = events ? fn : NULL;
	w->arg = arg;
	if (events)
		loop_set(l, w, fd, events);
	else if (!w->kept)
		loop_unset(l, w, fd);
}

void loop_keep(struct loop *l, int fd)
{
	loop_watch_of(l, fd)->kept = true;
}

void loop_forget(struct loop *l, int fd)
{
	struct watch *w = loop_watch_of(l, fd);

	w->fn = NULL;
	w->kept = false;
	loop_unset(l, w, fd);
}

struct loop_timer *loop_timer_new(struct loop *l, loop_timer_fn *fn, void *arg)
{
	struct loop_timer *t = memory_new(sizeof(*t));
	size_t id = 0;

	while (id < l->timer_count && l->timers[id])
		id++;
	if (id == l->timer_count) {
		size_t count = l->timer_count ? l->timer_count * 2 : 16;

		l->timers = memory_resize(l->timers, count * sizeof(struct loop_timer *));
		l->due = memory_resize(l->due, count * sizeof(l->due[0]));
		memset(l->timers + id, 0, (count - id) * sizeof(struct loop_timer *));
		l->timer_count = count;
		heap_resize(&l->heap, count);
	}
	*t = (struct loop_timer){ .loop = l, .fn = fn, .arg = arg, .id = (uint32_t)id };
	l->timers[id] = t;
	return t;
}

void loop_timer_free(struct loop_timer *t)
{
	if (!t)
		return;
	loop_timer_arm(t, -1);
	t->loop->timers[t->id] = NULL;
	free(t);
}

void loop_timer_arm(struct loop_timer *t, int64_t delay_ms)
{
	int64_t at;

	t->due = false;
	if (delay_ms < 0) {
		heap_remove(&t->loop->heap, t->id);
		return;
	}
	if (__builtin_add_overflow(clock_boot_ms(t->loop->clock), delay_ms, &at))
		at = INT64_MAX;
	heap_set(&t->loop->heap, t->id, at);
}

static int loop_timeout_ms(struct loop *l, int max_wait_ms)
{
	uint32_t id;
	int64_t at, wait;

	if (!heap_top(&l->heap, &id, &at))
		return max_wait_ms;
	wait = at - clock_boot_ms(l->clock);
	if (wait < 0)
		wait = 0;
	if (max_wait_ms >= 0 && wait > max_wait_ms)
		wait = max_wait_ms;
	return wait > INT_MAX ? INT_MAX : (int)wait;
}

/* Those that are due are collected first: one that arms itself again at once runs in the next turn,
 * behind the others and the fds. */
static void loop_run_timers(struct loop *l)
{
	size_t count = 0;
	uint32_t id;
	int64_t at;

	while (heap_top(&l->heap, &id, &at) && at <= l->now_ms) {
		heap_remove(&l->heap, id);
		l->timers[id]->due = true;
		l->due[count++] = id;
	}
	for (size_t i = 0; i < count; i++) {
		struct loop_timer *t = l->timers[l->due[i]];

		if (!t || !t->due)
			continue;
		t->due = false;
		t->fn(t->arg);
	}
}

void loop_once(struct loop *l, int max_wait_ms)
{
	struct epoll_event events[EVENTS_MAX];
	int n;

	n = epoll_wait(l->epoll_fd, events, EVENTS_MAX, loop_timeout_ms(l, max_wait_ms));
	if (n < 0 && errno != EINTR)
		loop_die("epoll_wait");
	loop_turned(l);
	for (int i = 0; i < n; i++) {
		int fd = (int)(uint32_t)events[i].data.u64;
		struct watch w = l->watches[fd];

		if (w.generation != (uint32_t)(events[i].data.u64 >> 32))
			continue;
		if (w.fn)
			w.fn(w.arg, fd, events[i].events);
		else
			loop_unset(l, &l->watches[fd], fd);
	}
	loop_run_timers(l);
}

void loop_run(struct loop *l)
{
	while (!atomic_load(&l->stop))
		loop_once(l, LOOP_TURN_MS);
}

void loop_stop(struct loop *l)
{
	atomic_store(&l->stop, true);
	loop_wake(l);
}

void loop_wake(struct loop *l)
{
	/* Fails only where the counter is full, and then it is readable anyway. */
	(void)eventfd_write(l->wake_fd, 1);
}

int64_t loop_now_ms(const struct loop *l)
{
	return l->now_ms;
}

int64_t loop_beat_ms(const struct loop *l)
{
	return atomic_load_explicit(&l->beat_ms, memory_order_relaxed);
}
