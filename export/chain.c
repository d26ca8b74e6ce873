#include "export/chain.h"

#include "base/clock.h"

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t floor_to(int64_t ms, int64_t step_ms)
{
	int64_t rest = ms % step_ms;

	return rest < 0 ? ms - rest - step_ms : ms - rest;
}

static int64_t ceil_to(int64_t ms, int64_t step_ms)
{
	return floor_to(ms + step_ms - 1, step_ms);
}

/* The earliest T of which everything can be exported. */
static int64_t reach_ms(const struct chain_rules *r, const struct recovery *pitr)
{
	return r->length_ms ? window_cut_earliest(pitr->earliest_ms) : pitr->earliest_ms;
}

/* True where the answer is found. */
static bool next_full(const struct chain_rules *r, const struct chain *c,
		      const struct recovery *pitr, int64_t now_ms, struct chain_next *n)
{
	int64_t t_ms;

	if (!r->full)
		return false;
	n->look_at_ms = schedule_next(r->full, r->zone, now_ms);
	t_ms = schedule_previous(r->full, r->zone, now_ms);
	if (t_ms <= c->full_ms)
		return false;
	n->due_ms = t_ms;
	/* Where one takes longer than its schedule allows, the last minute is done behind it. */
	if (c->full_open)
		return false;
	if (pitr->state != RECOVERY_ON) {
		n->what = CHAIN_ASK;
		return true;
	}
	if (t_ms < reach_ms(r, pitr)) {
		n->due_ms = 0;
		n->left_out_ms = t_ms;
		return false;
	}
	n->what = CHAIN_FULL;
	n->window = (struct window){ 0, t_ms };
	return true;
}

/* A chain that nothing was begun of, and that gets no full export: it is begun at once, so that
 * where it began does not depend on the next start. */
static void first_of_all(const struct chain_rules *r, const struct recovery *pitr, int64_t now_ms,
			 struct chain_next *n)
{
	int64_t from_ms = floor_to(now_ms, r->length_ms);

	if (pitr->state != RECOVERY_ON) {
		n->what = CHAIN_ASK;
		return;
	}
	if (from_ms < pitr->earliest_ms)
		from_ms = ceil_to(pitr->earliest_ms, r->length_ms);
	n->what = CHAIN_WINDOW;
	n->window = window_next(from_ms, r->length_ms);
}

static struct window next_window(const struct chain_rules *r, const struct chain *c)
{
	return c->end_ms ? window_next(c->end_ms, r->length_ms) : window_first(c->full_ms);
}

struct chain_next chain_next(const struct chain_rules *r, const struct chain *c,
			     const struct recovery *pitr, int64_t now_ms)
{
	struct chain_next n = { .look_at_ms = INT64_MAX };
	struct window w;

	if (next_full(r, c, pitr, now_ms, &n) || r->length_ms == 0 || c->open)
		return n;
	if (c->full_ms == 0 && c->end_ms == 0) {
		if (!r->full)
			first_of_all(r, pitr, now_ms, &n);
		return n;
	}
	w = next_window(r, c);
	if (now_ms < w.to_ms) {
		n.look_at_ms = earlier(n.look_at_ms, w.to_ms);
		return n;
	}
	n.what = CHAIN_WINDOW;
	n.window = w;
	if (n.due_ms == 0)
		n.due_ms = w.to_ms;
	return n;
}

int64_t chain_behind(const struct chain_rules *r, const struct chain *c, int64_t latest_ms)
{
	int64_t end_ms = c->end_ms;

	if (r->length_ms == 0 || (c->full_ms == 0 && end_ms == 0))
		return 0;
	if (end_ms == 0) {
		end_ms = window_first(c->full_ms).to_ms;
		return latest_ms < end_ms ? 0 : 1 + window_behind(end_ms, r->length_ms, latest_ms);
	}
	return (c->window_undone && latest_ms >= end_ms) +
	       window_behind(end_ms, r->length_ms, latest_ms);
}

int64_t chain_full_now(const struct chain_rules *r, const struct recovery *pitr, int64_t now_ms)
{
	int64_t t_ms = floor_to(now_ms, WINDOW_MINUTE_MS);

	if (pitr->state == RECOVERY_ON && t_ms < reach_ms(r, pitr))
		t_ms = ceil_to(reach_ms(r, pitr), WINDOW_MINUTE_MS);
	return t_ms;
}

bool chain_window_now(const struct chain *c, int64_t length_ms, int64_t now_ms, struct window *out,
		      struct error *err)
{
	int64_t to_ms = floor_to(now_ms, WINDOW_MINUTE_MS);
	char time[CLOCK_TEXT_SIZE];

	if (c->full_ms == 0 && c->end_ms == 0)
		return error_set(err, ERROR_INVALID,
				 "windows follow a full export, and there is none: begin with "
				 "`sluice export full`");
	if (c->open)
		return error_set(err, ERROR_INVALID,
				 "the export before it is not complete; windows are exported one "
				 "by one, see `sluice export status`");
	if (c->end_ms == 0) {
		*out = window_first(c->full_ms);
		return true;
	}
	*out = window_next(c->end_ms, length_ms);
	if (out->to_ms > to_ms)
		out->to_ms = to_ms;
	if (out->to_ms - out->from_ms < WINDOW_SHORTEST_MS)
		return error_set(err, ERROR_INVALID,
				 "everything up to %s was exported, and AWS exports at least "
				 "%d minutes",
				 clock_text(c->end_ms, time),
				 (int)(WINDOW_SHORTEST_MS / WINDOW_MINUTE_MS));
	return true;
}
