/* Who has which shard. */
#include <string.h>

#include "database.h"

static struct row *parent_of(const struct world *w, const struct row *row)
{
	struct database *d = w->database;
	int parent = w->shards[row->shard].parent, at = parent < 0 ? -1 : database_row(d, parent);

	return at < 0 ? NULL : &d->rows[at];
}

static bool is_begun(const struct world *w, const struct row *r)
{
	bool begun = r->read_at_ms > 0;

	for (uint32_t sink = 0; sink < w->sink_count; sink++)
		begun = begun || r->at[sink].done ||
			sequence_compare(&r->at[sink].sequence, &SEQUENCE_NONE) != 0;
	return begun;
}

static void give(const struct world *w, int row, struct given *out)
{
	const struct row *r = &w->database->rows[row];
	const struct row *parent = parent_of(w, r);

	*out = (struct given){ .row = row,
			       .shard = r->shard,
			       .root = r->root,
			       .done = r->done,
			       .waits = parent && !parent->done,
			       .begun = is_begun(w, r),
			       .owner = r->owner,
			       .read_at_ms = r->read_at_ms };
	memcpy(out->at, r->at, sizeof(out->at));
}

static bool fenced(const struct world *w, struct request *r)
{
	bool live = database_live(w->database, r->session);

	r->reply.how = live ? HOW_OK : HOW_FENCED;
	return !live;
}

/* --- members --- */

static bool set_is_served(const struct database *d)
{
	for (uint64_t id = 1; id <= d->session_count; id++)
		if (database_live(d, id) && database_served(d, id))
			return true;
	return false;
}

static bool has_place(const struct world *w, uint32_t sink)
{
	const struct database *d = w->database;

	for (int i = 0; i < d->row_count; i++)
		if (!d->rows[i].removed && d->rows[i].at[sink].there)
			return true;
	return false;
}

/* What 2.9_starts.sql does. What is trimmed by then is not for it. */
static void place_new(struct world *w, uint32_t sink)
{
	struct database *d = w->database;
	int64_t aws_ms = AWS_EPOCH_MS + w->now_ms;

	for (int i = 0; i < d->row_count; i++) {
		struct row *row = &d->rows[i];

		if (row->removed ||
		    (row->done && row->read_at_ms > 0 && row->read_at_ms < aws_ms - RETENTION_MS))
			continue;
		row->at[sink] = (struct position){ .there = true };
	}
	for (int i = 0; i < w->shard_count; i++) {
		const struct shard *s = &w->shards[i];
		bool tidied = database_knows(w, i) && database_row(d, i) < 0;

		world_exempt(w, sink, i, tidied ? s->count : world_first_kept(w, s));
	}
	w->sinks[sink].added_ms = aws_ms;
	count_fault(w, FAULT_ADDED);
}

/* What is done is told anew: of what is done for a sink that is new, too, nothing comes, but for
 * those that were placed. */
static void tell_done(struct world *w, struct row *row, unsigned placed)
{
	struct database *d = w->database;
	const struct shard *s = &w->shards[row->shard];
	bool any = false, all = true;

	for (uint32_t sink = 0; sink < w->sink_count; sink++)
		any = any || (row->at[sink].there && row->at[sink].done);
	for (uint32_t sink = 0; sink < w->sink_count; sink++) {
		const struct position *at = &row->at[sink];

		if (!(d->sinks & (1u << sink)))
			continue;
		all = all && (at->there ? at->done : any);
		if (!at->there && any && !(placed & (1u << sink)))
			world_exempt(w, sink, row->shard, s->count);
	}
	if (all == row->done)
		return;
	row->done = all;
	row->wanted_by = 0;
	if (all)
		row->owner = 0;
}

void database_settle(struct world *w, uint64_t session)
{
	struct database *d = w->database;
	unsigned own = d->sessions[session].sinks, fresh = own & ~d->sinks, placed = 0;

	if (d->sinks != own && !set_is_served(d)) {
		for (uint32_t sink = 0; sink < w->sink_count; sink++)
			if (d->sinks & ~own & (1u << sink))
				w->sinks[sink].given_up = true;
		d->sinks = own;
		for (uint32_t sink = 0; sink < w->sink_count && d->rooted; sink++)
			if ((fresh & (1u << sink)) && w->sinks[sink].oldest &&
			    !has_place(w, sink)) {
				place_new(w, sink);
				placed |= 1u << sink;
			}
		for (int i = 0; i < d->row_count; i++)
			tell_done(w, &d->rows[i], placed);
	}
	if (d->sinks == own && !database_live(d, d->lister))
		d->lister = session;
}

/* What a claim may begin with. */
static bool is_head(const struct world *w, const struct row *row, uint64_t session)
{
	const struct database *d = w->database;
	const struct row *parent = parent_of(w, row);

	if (row->removed || row->owner != 0 || row->done)
		return false;
	if (row->wanted_by && row->wanted_by != session && database_live(d, row->wanted_by))
		return false;
	return !parent || parent->done || parent->owner == session;
}

static void show_member(const struct world *w, uint64_t id, struct reply *out)
{
	const struct database *d = w->database;

	assert(out->member_count < MEMBERS_MAX);
	out->members[out->member_count].session = id;
	out->members[out->member_count].served = database_served(d, id);
	out->members[out->member_count].held = out->members[out->member_count].leaving =
		out->members[out->member_count].coming = 0;
	for (int i = 0; i < d->row_count; i++) {
		const struct row *row = &d->rows[i];
		bool wanted = database_live(d, row->wanted_by);

		out->members[out->member_count].held += row->owner == id;
		out->members[out->member_count].leaving += row->owner == id && wanted;
		out->members[out->member_count].coming += wanted && row->wanted_by == id;
	}
	out->member_count++;
}

void database_round(struct world *w, struct request *r)
{
	struct database *d = w->database;
	struct reply *out = &r->reply;

	if (fenced(w, r))
		return;
	database_settle(w, r->session);
	out->rooted = d->rooted;
	out->served = database_served(d, r->session);
	out->lister = d->lister == r->session;
	out->stale = d->sessions[r->session].epoch != d->epoch;
	out->claimable = out->held = 0;
	out->held_sum = 0;
	for (int i = 0; i < d->row_count; i++) {
		const struct row *row = &d->rows[i];

		out->claimable += database_may(d, r->session) && is_head(w, row, r->session);
		if (row->owner != r->session)
			continue;
		out->held++;
		out->held_sum += (uint64_t)i + 1;
		if (database_live(d, row->wanted_by))
			out->wanted[out->wanted_count++] = i;
	}
	for (uint64_t id = 1; id <= d->session_count; id++)
		if (database_live(d, id) && d->sessions[id].sinks)
			show_member(w, id, out);
}

/* --- lanes --- */

void database_add(struct world *w, struct request *r)
{
	struct database *d = w->database;

	if (fenced(w, r) || d->hold || r->epoch != d->epoch)
		return;
	for (size_t i = 0; i < r->found_count && !d->rooted; i++)
		w->shards[r->found[i].shard].first = true;
	/* What was lost before the first listing is not missed: reading begins there. But after a
	 * reset what came again before is cut short. */
	for (int i = 0; i < w->shard_count && !d->rooted; i++) {
		int kept = world_first_kept(w, &w->shards[i]);

		world_tell(w, i, kept);
		w->shards[i].gap = w->shards[i].gap || (d->generation > 1 && kept > 0);
	}
	d->rooted = true;
	for (size_t i = 0; i < r->found_count; i++) {
		int shard = r->found[i].shard, at = database_row(d, shard);

		if (at < 0) {
			const struct row *parent;
			struct row *row;

			at = d->row_count++;
			assert(at < ROWS_MAX);
			row = &d->rows[at];
			*row = (struct row){ .shard = shard,
					     .root = r->found[i].root,
					     .done = r->found[i].done };
			parent = parent_of(w, row);
			if (!row->done && (r->own || (parent && parent->owner == r->session)))
				row->owner = r->session;
			assert(!row->owner || !d->hold);
			for (uint32_t sink = 0; sink < w->sink_count; sink++) {
				row->at[sink].there = r->sinks & (1u << sink);
				row->at[sink].done = row->done && row->at[sink].there;
				if (row->at[sink].done) /* nothing of it is wanted */
					world_must_cover(w, sink, shard, w->shards[shard].count);
			}
		}
		give(w, at, &r->reply.lanes[r->reply.lane_count++]);
	}
}

/* Where the lane's furthest position is. */
static void fill_positions(struct world *w, struct row *row, unsigned sinks)
{
	const struct shard *s = &w->shards[row->shard];
	struct position far = { 0 };

	for (uint32_t sink = 0; sink < w->sink_count; sink++) {
		const struct position *at = &row->at[sink];

		if (at->there &&
		    (at->done > far.done ||
		     (at->done == far.done && sequence_compare(&at->sequence, &far.sequence) > 0)))
			far = *at;
	}
	far.there = true;
	for (uint32_t sink = 0; sink < w->sink_count; sink++) {
		if (row->at[sink].there || !(sinks & (1u << sink)))
			continue;
		row->at[sink] = far;
		world_exempt(w, sink, row->shard,
			     far.done ? s->count : world_index_after(s, &far.sequence));
	}
}

static void take(struct world *w, struct request *r, int at)
{
	struct database *d = w->database;
	struct row *row = &d->rows[at], *parent = parent_of(w, row);

	assert(!d->hold && d->sessions[r->session].epoch == d->epoch);
	database_check_visible(w, at);
	if (parent && parent->done)
		database_check_visible(w, (int)(parent - d->rows));
	if (row->wanted_by == r->session)
		count_fault(w, FAULT_REBALANCED);
	row->owner = r->session;
	row->wanted_by = 0;
	fill_positions(w, row, r->sinks);
}

static bool is_taken(const struct row *row, const bool *taken, const struct database *d)
{
	return row && taken[row - d->rows];
}

/* A shard is its parent's owner's until the parent is done; all who have shards have the same
 * sinks.
 */
static void check_claim(const struct world *w, uint64_t session, const bool *taken)
{
	const struct database *d = w->database;

	for (int i = 0; i < d->row_count; i++) {
		const struct row *row = &d->rows[i], *parent = parent_of(w, row);

		if (taken[i])
			assert(!parent || parent->done || parent->owner == session);
		if (database_live(d, row->owner))
			assert(d->sessions[row->owner].sinks == d->sinks);
	}
}

void database_claim(struct world *w, struct request *r)
{
	struct database *d = w->database;
	bool taken[ROWS_MAX] = { false }, more = true;
	uint32_t heads = 0;

	if (fenced(w, r) || !database_may(d, r->session))
		return;
	for (int wished = 1; wished >= 0; wished--)
		for (int i = 0; i < d->row_count && heads < r->max; i++) {
			const struct row *row = &d->rows[i];

			if ((row->wanted_by == r->session) == (wished == 1) && !taken[i] &&
			    is_head(w, row, r->session)) {
				taken[i] = true;
				heads++;
			}
		}
	while (more) { /* with what descends from them and is free */
		more = false;
		for (int i = 0; i < d->row_count; i++) {
			const struct row *row = &d->rows[i];

			if (taken[i] || row->removed || row->owner || row->done ||
			    !is_taken(parent_of(w, row), taken, d))
				continue;
			taken[i] = more = true;
		}
	}
	for (int i = 0; i < d->row_count; i++)
		if (taken[i])
			take(w, r, i);
	check_claim(w, r->session, taken);
	for (int i = 0; i < d->row_count; i++)
		if (taken[i])
			give(w, i, &r->reply.lanes[r->reply.lane_count++]);
}

void database_held(struct world *w, struct request *r)
{
	const struct database *d = w->database;

	for (int i = 0; i < d->row_count; i++)
		if (d->rows[i].owner == r->session)
			give(w, i, &r->reply.lanes[r->reply.lane_count++]);
}

void database_wish(struct world *w, struct request *r)
{
	struct database *d = w->database;
	uint32_t wished = 0;

	if (fenced(w, r) || r->other == r->session || !database_live(d, r->other) ||
	    !database_may(d, r->session))
		return;
	for (int i = d->row_count; i-- > 0 && wished < r->max;) {
		struct row *row = &d->rows[i];
		const struct row *parent = parent_of(w, row);

		if (row->owner != r->other || database_live(d, row->wanted_by) ||
		    (parent && !parent->done))
			continue;
		row->wanted_by = r->session;
		wished++;
	}
}

void database_release(struct world *w, struct request *r)
{
	struct database *d = w->database;

	if (fenced(w, r))
		return;
	for (size_t i = 0; i < r->row_count; i++) {
		struct row *row = &d->rows[r->rows[i]];

		if (row->owner != r->session)
			continue;
		row->owner = 0;
		database_check_visible(w, r->rows[i]);
	}
}

/* --- what is known --- */

static bool has_child(const struct world *w, int shard)
{
	for (int i = 0; i < w->shard_count; i++)
		if (w->shards[i].parent == shard && database_row(w->database, i) >= 0)
			return true;
	return false;
}

static void tidy(struct world *w, int64_t before_ms)
{
	struct database *d = w->database;
	int64_t newest_ms = 0;

	for (int i = 0; i < d->row_count; i++)
		if (d->rows[i].read_at_ms > newest_ms)
			newest_ms = d->rows[i].read_at_ms;
	for (int i = 0; i < d->row_count; i++) {
		struct row *row = &d->rows[i];

		if (row->done && row->read_at_ms == 0)
			row->read_at_ms = newest_ms;
		if (row->done && row->read_at_ms > 0 && row->read_at_ms < before_ms &&
		    has_child(w, row->shard))
			row->removed = true;
	}
}

void database_shards(struct world *w, struct request *r)
{
	const struct database *d = w->database;

	tidy(w, r->tidy_before_ms);
	for (int i = r->after; i < d->row_count; i++)
		if (!d->rows[i].removed)
			give(w, i, &r->reply.lanes[r->reply.lane_count++]);
	r->reply.done = d->rooted;
}
