#include "aws/skew.h"

#include <stdlib.h>

/* A Date says whole seconds: smaller differences mean nothing, and AWS tolerates minutes. */
#define TOLERATED_MS 3000
/* So many answers must say the same before one is believed: a cache's old answer speaks alone. */
#define AGREEING_MIN 2

bool skew_note(struct skew *s, int64_t wall_ms, int64_t date_ms, int64_t elapsed_ms, bool refused,
	       int64_t *offset_ms)
{
	/* Somewhere between asking and getting, and on average half a second into the second. */
	int64_t offset = date_ms + 500 - (wall_ms - elapsed_ms / 2);

	if (llabs(offset - s->seen_ms) > TOLERATED_MS)
		s->agreeing = 0;
	s->seen_ms = offset;
	s->agreeing++;
	if (llabs(offset - *offset_ms) <= (refused ? 0 : TOLERATED_MS))
		return false;
	if (s->agreeing < AGREEING_MIN && !refused)
		return false;
	*offset_ms = offset;
	return true;
}
