/* A stream that is held, or was reset: what worker_hold.c does. */
#include <string.h>

#include "process.h"

void process_hold(struct world *w, struct process *p)
{
	p->held = true;
	p->lister = false;
	p->unclaimed = 0;
	core_expect(&p->core, 0);
	memset(p->severed, 0, sizeof(p->severed));
	process_feed(w, p, (struct core_event){ .type = CORE_HOLD });
}

/* Nothing of it is left here or in the database. */
static bool is_clear(const struct process *p, const struct reply *view)
{
	return view->held == 0 && p->core.streams[0].lane_count == 0 && p->adding == 0;
}

bool process_hold_see(struct world *w, struct process *p, const struct reply *view)
{
	if (!p->held && (view->hold || view->stale))
		process_hold(w, p);
	if (!p->held)
		return false;
	if (!view->hold && p->phase == PHASE_RUN && !p->opening && is_clear(p, view)) {
		p->opening = true;
		saver_job(p, JOB_STREAM);
		saver_run(w, p);
	}
	return true;
}

/* What the database said of the stream just before it was joined. */
void process_stream(struct process *p, const struct reply *r)
{
	p->generation = r->generation;
	p->epoch = r->epoch;
	p->start_ms = r->start_ms;
	p->found_held = r->hold != 0;
}

void process_opened(struct world *w, struct process *p, const struct reply *r)
{
	core_remove_stream(&p->core, 0);
	process_core_stream(w, p);
	lineage_release(&p->lineage);
	lineage_init(&p->lineage);
	p->opened++;
	p->known_rows = 0;
	p->rooted = p->lister = p->listing_waits = false;
	p->settled_count = 0;
	p->differs = p->empties = 0;
	p->held = p->opening = false;
	p->steward.held = p->found_held;
	process_known(w, p, r);
	process_feed(w, p, (struct core_event){ .type = CORE_CHILDREN, .lane = CORE_NONE });
	if (p->found_held)
		process_hold(w, p);
}
