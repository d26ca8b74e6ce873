#pragma once
#include <stdatomic.h>
#include <stdbool.h>

#include "base/cleanup.h"

/* SIGTERM and SIGINT ask the process to stop, a second one ends it at once; SIGHUP calls back.
 * SIGPIPE is ignored. One thread waits for them; every other thread has them blocked, so
 * signals_start comes before any other thread. */
struct signals;

struct signals *signals_start(void (*hangup)(void *arg), void *arg);
void signals_stop(struct signals *s);
/* Set once the process shall end. */
const _Atomic bool *signals_flag(const struct signals *s);
/* Readable from then on. */
int signals_fd(const struct signals *s);
