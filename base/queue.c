#include "base/queue.h"

#include <assert.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/memory.h"

struct queue {
	pthread_mutex_t lock;
	int fd;     /* counts above zero exactly while woken or closed */
	bool woken; /* only while count > 0 */
	bool closed;
	size_t item_size, head, count, capacity;
	char items[];
};

struct queue *queue_new(size_t item_size, size_t capacity)
{
	struct queue *q;
	size_t bytes;
	bool overflow = __builtin_mul_overflow(item_size, capacity, &bytes);

	assert(item_size > 0 && capacity > 0 && !overflow);
	q = memory_new(sizeof(*q) + bytes);
	q->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (q->fd < 0) {
		perror("sluice: eventfd");
		abort();
	}
	pthread_mutex_init(&q->lock, NULL);
	q->item_size = item_size;
	q->capacity = capacity;
	return q;
}

void queue_free(struct queue *q)
{
	if (!q)
		return;
	close(q->fd);
	pthread_mutex_destroy(&q->lock);
	free(q);
}

/* Called with the lock, so that the fd's state always agrees with the queue's. */
static void queue_signal(struct queue *q)
{
	int failed = eventfd_write(q->fd, 1);

	assert(!failed);
}

static void queue_unsignal(struct queue *q)
{
	eventfd_t value;
	int failed = eventfd_read(q->fd, &value);

	assert(!failed);
}

/* Called with the lock. */
static void queue_rouse(struct queue *q)
{
	if (q->count > 0 && !q->woken && !q->closed)
		queue_signal(q);
	q->woken = q->count > 0;
}

static bool queue_take(struct queue *q, const void *item, bool wake)
{
	bool taken;

	pthread_mutex_lock(&q->lock);
	taken = !q->closed && q->count < q->capacity;
	if (taken) {
		size_t at = (q->head + q->count++) % q->capacity;

		memcpy(q->items + at * q->item_size, item, q->item_size);
		if (wake)
			queue_rouse(q);
	}
	pthread_mutex_unlock(&q->lock);
	return taken;
}

bool queue_offer(struct queue *q, const void *item)
{
	return queue_take(q, item, true);
}

/* Not taken and not closed: full, so that somebody handed out more credits than places. */
static bool queue_must(const struct queue *q, bool taken)
{
	assert(taken || queue_closed(q));
	return taken;
}

bool queue_push(struct queue *q, const void *item)
{
	return queue_must(q, queue_take(q, item, true));
}

bool queue_add(struct queue *q, const void *item)
{
	return queue_must(q, queue_take(q, item, false));
}

void queue_wake(struct queue *q)
{
	pthread_mutex_lock(&q->lock);
	queue_rouse(q);
	pthread_mutex_unlock(&q->lock);
}

size_t queue_drain(struct queue *q, void *items, size_t max)
{
	size_t n, first;

	pthread_mutex_lock(&q->lock);
	n = q->count < max ? q->count : max;
	first = q->capacity - q->head;
	if (first > n)
		first = n;
	memcpy(items, q->items + q->head * q->item_size, first * q->item_size);
	memcpy((char *)items + first * q->item_size, q->items, (n - first) * q->item_size);
	q->head = (q->head + n) % q->capacity;
	q->count -= n;
	if (q->woken && q->count == 0) {
		q->woken = false;
		if (!q->closed)
			queue_unsignal(q);
	}
	pthread_mutex_unlock(&q->lock);
	return n;
}

void queue_wait(struct queue *q, int timeout_ms)
{
	struct pollfd p = { .fd = q->fd, .events = POLLIN };

	poll(&p, 1, timeout_ms);
}

int queue_fd(const struct queue *q)
{
	return q->fd;
}

void queue_close(struct queue *q)
{
	pthread_mutex_lock(&q->lock);
	if (!q->closed) {
		q->closed = true;
		queue_signal(q);
	}
	pthread_mutex_unlock(&q->lock);
}

bool queue_closed(const struct queue *q)
{
	/* The lock is the one thing that a reader changes. */
	pthread_mutex_t *lock = (pthread_mutex_t *)(uintptr_t)&q->lock;
	bool closed;

	pthread_mutex_lock(lock);
	closed = q->closed;
	pthread_mutex_unlock(lock);
	return closed;
}
