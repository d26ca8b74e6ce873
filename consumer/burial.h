#pragma once
#include <stdbool.h>

#include "consumer/session.h"

enum burial_end {
	BURIAL_DONE,
	BURIAL_LEFT,    /* a sink failed, or the store refused it */
	BURIAL_UNHEARD, /* the store did not answer */
};

/* What an ended session left is brought to its end, then its lanes are free: its committed rolls
 * are finished, the session is buried, and what it had begun and not committed is removed. Every
 * step may be repeated, by anyone. Blocking: as long as the sinks take. `litter`: it may have left
 * unfinished files. RETRY also where a sink of its rolls is not configured here. */
enum burial_end burial_try(const struct session_settings *s, const char *id, bool litter,
			   struct error *err) MUST_CHECK;
/* Removes what the buried session had begun and not committed. Blocking; what cannot be removed is
 * told in the log. */
void burial_sweep(const struct session_settings *s, const char *session);
