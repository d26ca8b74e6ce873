#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

/* A bounded queue of fixed-size items (copied in and out), many producers, one consumer. An eventfd
 * is readable while something waits, so that a loop can sleep on it. Capacity is chosen so that a
 * push never has to wait (credits); `queue_push` asserts it. To wake the other thread is most of
 * what an item costs: what can wait is added, and then all of it is woken for at once.
 * Any thread may push; one thread pops. */
struct queue;
struct queue *queue_new(size_t item_size, size_t capacity);
void queue_free(struct queue *q);
/* Copies the item in. False, and nothing taken, once the queue is closed. */
bool queue_push(struct queue *q, const void *item);
/* As queue_push, but false when full, too. */
bool queue_offer(struct queue *q, const void *item);
/* As queue_push, but the consumer may go on sleeping until queue_wake or the next push. */
bool queue_add(struct queue *q, const void *item);
void queue_wake(struct queue *q);
/* Copies up to `max` items out and returns how many; does not wait. */
size_t queue_drain(struct queue *q, void *items, size_t max);
/* Waits up to timeout_ms (-1: for ever) for something to drain or for closing; a signal may end it
 * earlier. */
void queue_wait(struct queue *q, int timeout_ms);
/* Readable from the first push, or queue_wake, until all is drained, and after closing. */
int queue_fd(const struct queue *q);
void queue_close(struct queue *q);
bool queue_closed(const struct queue *q);
