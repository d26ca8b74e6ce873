#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"

/* One thread's event loop: epoll, timers, and a heartbeat that others may read. Everything but
 * loop_wake, loop_stop and loop_beat_ms belongs to the loop's thread. */
struct loop;
struct loop_timer;
struct clock;

typedef void loop_fd_fn(void *arg, int fd, uint32_t events); /* EPOLLIN, EPOLLOUT, … */
typedef void loop_timer_fn(void *arg);

struct loop *loop_new(const struct clock *clock);
void loop_free(struct loop *l);
/* Adds the fd or changes what it waits for; events 0 removes it. */
void loop_watch(struct loop *l, int fd, uint32_t events, loop_fd_fn *fn, void *arg);
/* For an fd that is watched and removed again and again: what was removed stays in the kernel's
 * set until something happens to it, so that watching it again costs nothing. Until loop_forget,
 * which has to come before the fd is closed. */
void loop_keep(struct loop *l, int fd);
void loop_forget(struct loop *l, int fd);
/* A timer is made once and armed as often as needed; arming again moves it. */
struct loop_timer *loop_timer_new(struct loop *l, loop_timer_fn *fn, void *arg);
void loop_timer_free(struct loop_timer *t);
void loop_timer_arm(struct loop_timer *t, int64_t delay_ms); /* < 0 disarms */
/* Waits at most max_wait_ms (-1: until something happens), runs what is due, returns. */
void loop_once(struct loop *l, int max_wait_ms);
/* Until loop_stop. Turns at least each LOOP_TURN_MS, so that an idle loop's beat stays fresh. */
#define LOOP_TURN_MS 200
void loop_run(struct loop *l);
void loop_stop(struct loop *l);             /* any thread */
void loop_wake(struct loop *l);             /* any thread */
int64_t loop_now_ms(const struct loop *l);  /* boot time at the last wake-up */
int64_t loop_beat_ms(const struct loop *l); /* any thread: boot time when it last turned */
