#include "consumer/balance.h"

#include <string.h>

/* What one session holds and is about to hold, over all streams of the round. */
struct load {
	const char *session;
	uint32_t held, leaving, coming;
	uint32_t parting; /* of streams that are held: nobody's soon, and nobody's share */
};

static uint32_t least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* The rows of the session whose first one is `at`; moves *at behind them. */
static struct load load_of(const struct balance_round *r, uint32_t *at, bool *served)
{
	struct load l = { .session = r->members[*at].session };

	*served = false;
	for (; *at < r->member_count && strcmp(r->members[*at].session, l.session) == 0; ++*at) {
		const struct store_round_member *m = &r->members[*at];

		if (m->stream_held) {
			l.parting += m->held;
			continue;
		}
		*served = *served || m->served;
		l.held += m->held;
		l.leaving += m->leaving;
		l.coming += m->coming;
	}
	return l;
}

static uint32_t stays(const struct load *l)
{
	return l->held - least(l->leaving, l->held);
}

static void claim(const struct balance_round *r, uint32_t room, struct balance_plan *plan)
{
	while (room > 0) {
		uint32_t most = r->stream_count;

		for (uint32_t i = 0; i < r->stream_count; i++)
			if (r->streams[i].served && plan->claims[i] < r->streams[i].claimable &&
			    (most == r->stream_count ||
			     r->streams[i].claimable - plan->claims[i] >
				     r->streams[most].claimable - plan->claims[most]))
				most = i;
		if (most == r->stream_count)
			return;

		uint32_t take = least(room, r->streams[most].claimable - plan->claims[most]);

		plan->claims[most] += take;
		room -= take;
	}
}

/* Of the richest the stream of which it holds most, so that no stream is stripped. */
static void wish(const struct balance_round *r, const struct load *rich, uint32_t count,
		 struct balance_plan *plan)
{
	uint32_t most = 0;

	for (uint32_t i = 0; i < r->member_count; i++) {
		const struct store_round_member *m = &r->members[i];
		uint32_t there = m->held - least(m->leaving, m->held);

		if (!m->served || m->stream_held || strcmp(m->session, rich->session) != 0 ||
		    there <= most)
			continue;
		most = there;
		plan->wish_stream = m->stream;
	}
	plan->wish = least(least(count, most), BALANCE_MOVES);
	memcpy(plan->from, rich->session, sizeof(plan->from));
}

void balance_decide(const struct balance_round *r, struct balance_plan *plan)
{
	struct load mine = { .session = r->session }, rich = { 0 };
	uint32_t total = 0, free = 0, peers = 0, low, have, held_max;

	if (r->stream_count > 0)
		memset(plan->claims, 0, r->stream_count * sizeof(*plan->claims));
	plan->wish = 0;
	for (uint32_t i = 0; i < r->stream_count; i++)
		free += r->streams[i].served ? r->streams[i].claimable : 0;
	for (uint32_t at = 0; at < r->member_count;) {
		bool served;
		struct load l = load_of(r, &at, &served);

		if (!served)
			continue;
		peers++;
		total += l.held;
		if (strcmp(l.session, r->session) == 0)
			mine = l;
		if (!rich.session || stays(&l) > stays(&rich))
			rich = l;
	}
	if (peers == 0)
		peers = 1;
	total += free;
	plan->share = (total + peers - 1) / peers;
	low = total / peers;
	have = stays(&mine);
	held_max = r->held_max - least(mine.parting, r->held_max);
	if (free > 0) {
		uint32_t room = least(plan->share, held_max);

		room -= least(room, have);
		if (room == 0 && r->patience >= BALANCE_PATIENCE && mine.held < held_max)
			room = least((free + peers - 1) / peers, held_max - mine.held);
		/* What it asked for waits for nobody else. */
		if (room < mine.coming)
			room = least(mine.coming, free);
		claim(r, room, plan);
	} else if (rich.session && strcmp(rich.session, r->session) != 0) {
		/* Up to the share rounded down; to the one more only from who has too many. */
		uint32_t aim = stays(&rich) > plan->share ? plan->share : low;
		uint32_t want = least(aim, held_max), will_have = have + mine.coming;

		if (will_have < want && stays(&rich) > aim)
			wish(r, &rich, least(want - will_have, stays(&rich) - aim), plan);
	}
}

struct balance_part balance_part(const struct balance_round *r, const struct balance_plan *plan,
				 uint32_t stream)
{
	struct balance_part p = { plan->claims[stream], plan->claims[stream] };

	for (uint32_t i = 0; i < r->member_count; i++) {
		const struct store_round_member *m = &r->members[i];

		if (m->stream != r->streams[stream].stream)
			continue;
		p.all += m->held;
		if (strcmp(m->session, r->session) == 0)
			p.own += m->held;
	}
	return p;
}
