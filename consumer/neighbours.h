#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "consumer/session.h"

/* Who else lives in the store and probably should not: another worker of the same name, other
 * workers that read the same stream under another name. What is kept takes no harm from either; a
 * person is told, in the log and the health. Of one session and one thread. */
struct neighbours {
	int64_t look_at_ms;
	bool namesake_told;
	struct log_limit log;
	char **twice; /* names of streams that are told to be read twice */
	size_t twice_count;
};

void neighbours_release(struct neighbours *n, const struct session_settings *s);
/* Another live session, seen to beat. */
void neighbours_see(struct neighbours *n, const struct session_settings *s,
		    const struct store_session *o);
/* Now and then a look for streams that are read under two names, for the session `id`. */
bool neighbours_look(struct neighbours *n, const struct session_settings *s, const char *id,
		     struct error *err) MUST_CHECK;
