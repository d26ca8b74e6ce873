/* Sessions, saves, and what must hold of the database. */
#include "database.h"

#include <string.h>

void database_make(struct world *w)
{
	static struct database database;

	memset(&database, 0, sizeof(database));
	database.generation = 1;
	w->database = &database;
}

int64_t database_now_ms(const struct world *w)
{
	return w->now_ms + w->database->clock_offset_ms;
}

uint64_t database_new_session(struct world *w)
{
	assert(w->database->session_count < SESSIONS_MAX);
	return ++w->database->session_count;
}

bool database_live(const struct database *d, uint64_t session)
{
	return session && d->sessions[session].state == MEMBER_LIVE;
}

bool database_served(const struct database *d, uint64_t session)
{
	const struct session *s = &d->sessions[session];

	return s->sinks && s->sinks == d->sinks;
}

bool database_may(const struct database *d, uint64_t session)
{
	return database_served(d, session) && !d->hold && d->sessions[session].epoch == d->epoch;
}

int database_row(const struct database *d, int shard)
{
	for (int i = 0; i < d->row_count; i++)
		if (d->rows[i].shard == shard && !d->rows[i].removed)
			return i;
	return -1;
}

bool database_knows(const struct world *w, int shard)
{
	for (int i = 0; i < w->database->row_count; i++)
		if (w->database->rows[i].shard == shard && !w->database->rows[i].forgotten)
			return true;
	return false;
}

/* --- sessions --- */

static void begin(struct world *w, struct request *r)
{
	struct session *s = &w->database->sessions[r->session];

	if (s->state != MEMBER_NONE) {
		r->reply.how = HOW_FENCED;
		return;
	}
	*s = (struct session){ .state = MEMBER_LIVE,
			       .worker = r->worker,
			       .lease_ms = w->lease_ms,
			       .beaten_ms = w->now_ms,
			       .began_ms = database_now_ms(w) };
}

static void beat(struct world *w, struct request *r)
{
	struct session *s = &w->database->sessions[r->session];

	if (s->state != MEMBER_LIVE) {
		r->reply.how = HOW_FENCED;
		return;
	}
	s->beat++;
	s->beaten_ms = w->now_ms;
}

static void sessions_near(const struct world *w, struct request *r)
{
	const struct database *d = w->database;
	struct reply *out = &r->reply;

	for (uint64_t id = 1; id <= d->session_count; id++) {
		const struct session *s = &d->sessions[id];

		if (s->state != MEMBER_LIVE && s->state != MEMBER_DEAD)
			continue;
		assert(out->session_count < MEMBERS_MAX);
		out->sessions[out->session_count].id = id;
		out->sessions[out->session_count].beat = s->beat;
		out->sessions[out->session_count].lease_ms = s->lease_ms;
		out->sessions[out->session_count++].dead = s->state == MEMBER_DEAD;
	}
}

/* Who could have beaten and did not for a whole lease; nobody else is declared dead. */
static void check_is_silent(const struct world *w, const struct session *s)
{
	const struct database *d = w->database;

	if (s->beaten_ms < d->left_ms && d->left_ms - s->beaten_ms >= s->lease_ms)
		return;
	assert(w->now_ms - (s->beaten_ms < d->left_ms ? d->back_ms : s->beaten_ms) >= s->lease_ms);
}

static void kill_session(struct world *w, struct request *r)
{
	struct session *s = &w->database->sessions[r->other];

	if (s->state != MEMBER_LIVE || s->beat != r->beat)
		return;
	check_is_silent(w, s);
	s->state = MEMBER_DEAD;
	r->reply.done = true;
	count_fault(w, FAULT_DEAD);
}

static void rolls_of(struct world *w, struct request *r)
{
	struct reply *out = &r->reply;

	for (size_t i = 0; i < ROLLS_MAX; i++) {
		const struct roll *k = &w->rolls[i];

		if (k->state == ROLL_NONE || !k->row || k->session != r->other)
			continue;
		assert(out->roll_count < 2 * SINKS_MAX);
		out->rolls[out->roll_count].sink = k->sink;
		out->rolls[out->roll_count++].number = k->number;
	}
}

static void roll_finished(struct world *w, uint64_t session, uint32_t sink, uint64_t number)
{
	struct roll *k = roll_find(w, session, sink, number);

	if (!k || !k->row)
		return;
	assert(k->state == ROLL_VISIBLE);
	k->row = false;
	k->state = ROLL_NONE;
}

static void bury(struct world *w, struct request *r)
{
	struct database *d = w->database;
	struct session *s = &d->sessions[r->other];

	if (s->state == MEMBER_BURIED)
		return;
	rolls_of(w, r);
	if (r->reply.roll_count > 0) {
		r->reply.how = HOW_INVALID;
		return;
	}
	for (int i = 0; i < d->row_count; i++)
		if (d->rows[i].owner == r->other) {
			d->rows[i].owner = 0;
			database_check_visible(w, i);
		}
	s->sinks = 0;
	s->state = MEMBER_BURIED;
	rolls_forget(w, r->other);
}

static void join(struct world *w, struct request *r)
{
	if (!database_live(w->database, r->session)) {
		r->reply.how = HOW_FENCED;
		return;
	}
	w->database->sessions[r->session].sinks = r->sinks;
	w->database->sessions[r->session].epoch =
		!w->database->hold && r->epoch == w->database->epoch ? r->epoch : -1;
	database_settle(w, r->session);
}

/* --- saves --- */

static bool save_fits(const struct world *w, const struct request *r)
{
	const struct database *d = w->database;

	for (size_t i = 0; i < r->save.move_count; i++) {
		const struct store_step *m = &r->save.moves[i];
		const struct row *row = &d->rows[m->row];

		if (row->removed || row->owner != r->session || !row->at[m->sink].there)
			return false;
		if (!sequence_equal(&row->at[m->sink].sequence, &m->move.from))
			return false;
	}
	return true;
}

static void store_roll(struct world *w, uint64_t session, uint32_t sink, uint64_t number)
{
	struct roll *k = roll_find(w, session, sink, number);

	assert(k && k->state == ROLL_PREPARED);
	k->state = ROLL_STORED;
	k->row = true;
	for (size_t i = 0; i < k->count && !w->sinks[sink].transactions; i++) {
		bool *stored = &w->sinks[sink].stored[k->refs[i].shard][k->refs[i].index];

		assert(!*stored);
		*stored = true;
	}
}

static void store_pending(struct world *w, uint64_t session, const struct save *v)
{
	for (size_t i = 0; i < v->pending_count; i++)
		for (size_t n = 0; n < v->roll_count; n++) {
			struct roll *k;

			if (v->rolls[n].sink != v->pending[i].sink)
				continue;
			k = roll_find(w, session, v->rolls[n].sink, v->rolls[n].number);
			assert(k && w->sinks[k->sink].transactions);
			k->pending[k->pending_count].row = v->pending[i].row;
			k->pending[k->pending_count++].to = v->pending[i].to;
		}
}

/* A position only grows, and is never ahead of what the sink holds. */
static void move(struct world *w, struct row *row, const struct store_step *m)
{
	const struct shard *s = &w->shards[row->shard];
	struct position *at = &row->at[m->sink];

	assert(!at->done);
	assert(sequence_compare(&m->move.to, &at->sequence) >= 0);
	world_must_cover(w, m->sink, row->shard,
			 m->move.done ? s->count : world_index_after(s, &m->move.to));
	at->sequence = m->move.to;
	at->done = m->move.done;
}

/* What is done in all of the stream's sinks is nobody's any more. */
static void row_done(struct world *w, struct row *row, int64_t read_at_ms)
{
	for (uint32_t sink = 0; sink < w->sink_count; sink++)
		if (row->at[sink].there && !row->at[sink].done &&
		    (w->database->sinks & (1u << sink)))
			return;
	row->done = true;
	row->owner = row->wanted_by = 0;
	if (row->read_at_ms < read_at_ms)
		row->read_at_ms = read_at_ms;
}

/* Its burial knows what became of it. */
static void roll_buried(struct world *w, const struct request *r)
{
	struct roll *k = roll_find(w, r->other, r->sink, r->number);

	if (!k || !k->row)
		return;
	for (size_t i = 0; r->committed && i < k->pending_count; i++) {
		struct row *row = &w->database->rows[k->pending[i].row];
		struct store_step step = { .sink = k->sink, .move.to = k->pending[i].to };

		if (row->owner == r->other)
			move(w, row, &step);
	}
	if (r->committed) {
		roll_finished(w, r->other, r->sink, r->number);
	} else {
		k->row = false;
		k->state = ROLL_NEVER;
	}
}

static void save(struct world *w, struct request *r)
{
	struct database *d = w->database;
	struct session *s = &d->sessions[r->session];
	const struct save *v = &r->save;

	if (s->state != MEMBER_LIVE) {
		r->reply.how = HOW_FENCED;
		return;
	}
	if (s->saves == v->number)
		return; /* its reply was lost */
	if (s->saves + 1 != v->number || !save_fits(w, r)) {
		r->reply.how = HOW_FENCED;
		return;
	}
	s->saves = v->number;
	for (size_t i = 0; i < v->finished_count; i++)
		roll_finished(w, r->session, v->finished[i].sink, v->finished[i].number);
	for (size_t i = 0; i < v->roll_count; i++)
		store_roll(w, r->session, v->rolls[i].sink, v->rolls[i].number);
	store_pending(w, r->session, v);
	for (size_t i = 0; i < v->read_count; i++) {
		struct row *row = &d->rows[v->reads[i]];

		if (row->owner == r->session && row->read_at_ms < v->read_at_ms)
			row->read_at_ms = v->read_at_ms;
	}
	for (size_t i = 0; i < v->move_count; i++)
		move(w, &d->rows[v->moves[i].row], &v->moves[i]);
	for (size_t i = 0; i < v->move_count; i++)
		if (v->moves[i].move.done)
			row_done(w, &d->rows[v->moves[i].row], v->read_at_ms);
}

static void letter(struct world *w, const struct request *r)
{
	w->sinks[r->sink].lettered[r->shard][r->index] = true;
}

void database_execute(struct world *w, struct request *r)
{
	bool dead = r->session && w->database->sessions[r->session].state > MEMBER_LIVE;

	if (!r->awaited && dead)
		count_fault(w, FAULT_LATE_REFUSED);
	r->reply.how = HOW_OK;
	r->reply.done = false;
	r->reply.lane_count = r->reply.session_count = r->reply.roll_count = 0;
	r->reply.member_count = r->reply.wanted_count = 0;
	switch (r->call) {
	case CALL_BEGIN:
		begin(w, r);
		break;
	case CALL_STREAM:
		break;
	case CALL_JOIN:
		join(w, r);
		break;
	case CALL_SHARDS:
		database_shards(w, r);
		break;
	case CALL_BEAT:
		beat(w, r);
		break;
	case CALL_SAVE:
		save(w, r);
		break;
	case CALL_ADD:
		database_add(w, r);
		break;
	case CALL_LETTER:
		letter(w, r);
		break;
	case CALL_SESSIONS:
		sessions_near(w, r);
		break;
	case CALL_KILL:
		kill_session(w, r);
		break;
	case CALL_ROLLS:
		rolls_of(w, r);
		break;
	case CALL_ROLL_FINISHED:
		roll_buried(w, r);
		break;
	case CALL_BURY:
		bury(w, r);
		break;
	case CALL_ROUND:
		database_round(w, r);
		break;
	case CALL_CLAIM:
		database_claim(w, r);
		break;
	case CALL_WISH:
		database_wish(w, r);
		break;
	case CALL_RELEASE:
		database_release(w, r);
		break;
	case CALL_HELD:
		database_held(w, r);
		break;
	}
	r->reply.generation = w->database->generation;
	r->reply.start_ms = w->database->start_ms;
	r->reply.hold = w->database->hold;
	r->reply.epoch = w->database->epoch;
}

/* --- what must hold --- */

uint64_t database_owner(const struct world *w, int shard)
{
	int row = database_row(w->database, shard);

	return row < 0 ? 0 : w->database->rows[row].owner;
}

void database_check_landing(struct world *w, const struct event *e)
{
	const struct database *d = w->database;

	assert(database_owner(w, e->shard) == e->session);
	assert(e->generation == d->generation && e->generation > d->outdated);
	if (d->sessions[e->session].state != MEMBER_LIVE)
		count_fault(w, FAULT_LANDED_LATE);
}

/* What left a session may be read on by anybody: it has to be in the sinks, visible. */
void database_check_visible(struct world *w, int row)
{
	const struct row *r = &w->database->rows[row];
	const struct shard *s = &w->shards[r->shard];

	for (uint32_t sink = 0; sink < w->sink_count; sink++)
		if (r->at[sink].there)
			world_must_see(w, sink, r->shard,
				       r->at[sink].done
					       ? s->count
					       : world_index_after(s, &r->at[sink].sequence));
}

/* No position will ever be behind what is trimmed. */
static bool rest_is_trimmed(const struct world *w, const struct shard *s, int from)
{
	return from == s->count || world_first_kept(w, s) == s->count;
}

bool database_settled(const struct world *w, int shard)
{
	const struct database *d = w->database;
	const struct shard *s = &w->shards[shard];
	int row = database_row(d, shard);

	if (row < 0)
		return database_knows(w, shard); /* tidied */
	if (world_closed(w, s))
		return d->rows[row].done;
	for (uint32_t sink = 0; sink < w->sink_count; sink++)
		if ((d->sinks & (1u << sink)) &&
		    !rest_is_trimmed(w, s, world_index_after(s, &d->rows[row].at[sink].sequence)))
			return false;
	return d->rows[row].owner != 0;
}

bool database_balanced(const struct world *w)
{
	const struct database *d = w->database;
	uint32_t held[SESSIONS_MAX + 1] = { 0 }, least = UINT32_MAX, most = 0;
	bool serves[WORKERS_MAX] = { false };
	int live = 0;

	for (int i = 0; i < d->row_count; i++)
		held[d->rows[i].owner]++;
	for (uint64_t id = 1; id <= d->session_count; id++) {
		if (d->sessions[id].state == MEMBER_DEAD)
			return false;
		if (d->sessions[id].state != MEMBER_LIVE)
			continue;
		live++;
		if (serves[d->sessions[id].worker])
			return false; /* one of an earlier life is not known to be dead yet */
		serves[d->sessions[id].worker] = true;
		least = held[id] < least ? held[id] : least;
		most = held[id] > most ? held[id] : most;
	}
	if (d->hold || live != w->workers || d->sinks != w->worker[0].sinks)
		return false;
	/* What stands still cannot move. */
	for (int i = 0; i < w->shard_count; i++)
		if (world_stands(w, i))
			return true;
	return w->one_is_small || most - least <= 1;
}

void database_check_end(struct world *w)
{
	const struct database *d = w->database;

	assert(!d->hold);
	for (uint64_t id = 1; id <= d->session_count; id++)
		assert(d->sessions[id].state != MEMBER_LIVE &&
		       d->sessions[id].state != MEMBER_DEAD);
	for (int i = 0; i < d->row_count; i++)
		assert(d->rows[i].owner == 0);
}
