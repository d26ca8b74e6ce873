#pragma once
#include <stdbool.h>

#include "consumer/session.h"
#include "consumer/worker.h"

/* worker_stand_by. */
bool standby_wait(const struct session_settings *s, const struct worker_standby *y) MUST_CHECK;
