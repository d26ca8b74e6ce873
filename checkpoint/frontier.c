#include "checkpoint/frontier.h"

#include <assert.h>

void frontier_start(struct frontier *f, const struct sequence *saved, int64_t event_ms, bool done)
{
	*f = (struct frontier){ .saved = *saved,
				.saved_ms = event_ms,
				.end = *saved,
				.end_ms = event_ms,
				.closed = done,
				.done = done };
}

void frontier_answer(struct frontier *f, const struct sequence *end, int64_t end_ms, uint64_t roll)
{
	assert(!f->closed);
	assert(sequence_compare(end, &f->end) >= 0);
	f->end = *end;
	f->end_ms = end_ms;
	if (roll == 0)
		return;
	f->newest_roll = roll;
	if (f->roll_count == 0 || f->rolls[f->roll_count - 1].number != roll) {
		assert(f->roll_count < FRONTIER_ROLLS);
		assert(f->roll_count == 0 || roll > f->rolls[f->roll_count - 1].number);
		f->rolls[f->roll_count++].number = roll;
	}
	f->rolls[f->roll_count - 1].end = *end;
	f->rolls[f->roll_count - 1].end_ms = end_ms;
}

void frontier_close(struct frontier *f)
{
	f->closed = true;
}

bool frontier_move(const struct frontier *f, uint64_t roll, bool may_end,
		   struct frontier_move *move)
{
	bool with_roll = roll != 0 && f->roll_count > 0 && f->rolls[0].number == roll;

	if (f->roll_count > 0 && !with_roll)
		return false;
	if (f->roll_count > 1) {
		*move = (struct frontier_move){ .from = f->saved,
						.to = f->rolls[0].end,
						.event_ms = f->rolls[0].end_ms };
		return true;
	}
	*move = (struct frontier_move){ .from = f->saved,
					.to = f->end,
					.event_ms = f->end_ms,
					.done = f->done || (f->closed && may_end) };
	return with_roll || !sequence_equal(&f->saved, &f->end) || f->done != move->done;
}

bool frontier_pending(const struct frontier *f, uint64_t roll, struct frontier_move *move)
{
	if (roll == 0 || f->roll_count == 0 || f->rolls[f->roll_count - 1].number != roll)
		return false;
	*move = (struct frontier_move){ .to = f->end, .event_ms = f->end_ms };
	return true;
}

void frontier_saved(struct frontier *f, uint64_t roll, const struct frontier_move *move)
{
	assert(sequence_equal(&f->saved, &move->from));
	f->saved = move->to;
	f->saved_ms = move->event_ms;
	f->done = move->done;
	if (f->roll_count > 0 && f->rolls[0].number == roll) {
		f->rolls[0] = f->rolls[1];
		f->roll_count--;
	}
}

bool frontier_clean(const struct frontier *f)
{
	return f->roll_count == 0 && sequence_equal(&f->saved, &f->end) && f->done == f->closed;
}

bool frontier_visible(const struct frontier *f, uint64_t finished)
{
	return f->newest_roll <= finished;
}
