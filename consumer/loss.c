#include "consumer/loss.h"

#include "consumer/lineage.h"

/* A start, or lanes between two workers, look worse than they are for a moment. */
#define WATCHES 5
/* Over the limit by this part of it, and it is over. */
#define MARGIN 10

int64_t loss_place_ms(const char *shard, int64_t event_ms, int64_t start_ms, int64_t read_at_ms)
{
	int64_t created_ms = lineage_created_ms(shard);
	int64_t from_ms = created_ms > start_ms ? created_ms : start_ms;

	if (event_ms > 0)
		return event_ms;
	return from_ms > 0 ? from_ms : read_at_ms;
}

int64_t loss_unread_ms(const char *shard, int64_t read_at_ms, int64_t begin_ms, int64_t now_ms)
{
	int64_t created_ms = lineage_created_ms(shard);

	/* Where a shard or a stream begins is known to the second; when one was last read is not.
	 */
	if (read_at_ms > 0 && created_ms > read_at_ms) {
		if (now_ms - created_ms > LOSS_RETENTION_MS)
			return created_ms;
	} else if (read_at_ms > 0 && now_ms - read_at_ms > LOSS_UNREAD_MAX_MS) {
		return read_at_ms;
	}
	return begin_ms > 0 && now_ms - begin_ms > LOSS_RETENTION_MS ? begin_ms : 0;
}

int64_t loss_set_back_ms(int64_t place_ms)
{
	return place_ms + LOSS_RETENTION_MS - LOSS_UNREAD_MAX_MS;
}

bool loss_may_have_begun(const char *shard, int64_t at_ms)
{
	return lineage_created_ms(shard) < at_ms - LOSS_UNREAD_MAX_MS;
}

void loss_unheld(void *arg, const char *shard, int64_t event_ms, int64_t read_at_ms)
{
	struct loss_unheld *u = arg;
	int64_t place_ms = loss_place_ms(shard, event_ms, u->start_ms, read_at_ms);

	if (place_ms > 0 && (u->place_ms == 0 || place_ms < u->place_ms))
		u->place_ms = place_ms;
}

int64_t loss_left_ms(int64_t age_ms)
{
	return age_ms >= LOSS_RETENTION_MS ? 0 : LOSS_RETENTION_MS - age_ms;
}

enum loss_word loss_watch(struct loss *l, int64_t left_ms, int64_t limit_ms)
{
	l->under = left_ms < limit_ms ? l->under + 1 : 0;
	if (!l->near && l->under >= WATCHES) {
		l->near = true;
		return LOSS_NEAR;
	}
	if (l->near && (left_ms >= LOSS_RETENTION_MS || left_ms >= limit_ms + limit_ms / MARGIN)) {
		l->near = false;
		return LOSS_AVERTED;
	}
	return LOSS_NOTHING;
}
