#include <inttypes.h>

#include "consumer/joining.h"
#include "consumer/loss.h"
#include "ops/status.h"

static void json_member(struct buf *b, const char *name, const char *value)
{
	buf_printf(b, "\"%s\":", name);
	buf_json_text(b, str_of(value));
}

static void json_lane(struct buf *b, const struct status_lane *l)
{
	char sequence[SEQUENCE_TEXT_SIZE];

	buf_text(b, "{");
	json_member(b, "shard", l->lane.shard);
	buf_text(b, ",");
	json_member(b, "parent", l->lane.parent);
	buf_text(b, ",");
	json_member(b, "state", status_lane_state(l));
	buf_text(b, ",");
	json_member(b, "owner", l->lane.owner);
	buf_text(b, ",");
	json_member(b, "sequence", sequence_text(&l->sequence, sequence));
	buf_printf(b, ",\"event_ms\":%" PRId64 "}", l->event_ms);
}

static void json_gap(struct buf *b, const struct store_gap *g)
{
	char text[SEQUENCE_TEXT_SIZE];

	buf_text(b, "{");
	json_member(b, "shard", g->shard);
	buf_text(b, ",");
	json_member(b, "kind", store_gap_kind_name(g->kind));
	buf_text(b, ",");
	json_member(b, "state", store_gap_state_name(g->state));
	buf_text(b, ",");
	json_member(b, "how", store_gap_how_name(g->how));
	buf_text(b, ",");
	if (g->how == STORE_GAP_REPAIR)
		buf_printf(b, "\"deletes_may_lack_until_ms\":%" PRId64 ",",
			   g->from_ms ? g->from_ms + JOINING_MISSES_MS : 0);
	json_member(b, "from", sequence_text(&g->from, text));
	buf_text(b, ",");
	json_member(b, "to", sequence_text(&g->to, text));
	buf_printf(b,
		   ",\"from_ms\":%" PRId64 ",\"to_ms\":%" PRId64 ",\"found_ms\":%" PRId64
		   ",\"closed_ms\":%" PRId64 ",",
		   g->from_ms, g->to_ms, g->found_ms, g->closed_ms);
	json_member(b, "worker", g->worker);
	buf_text(b, ",");
	json_member(b, "session", g->session);
	buf_text(b, "}");
}

static void json_hold(struct buf *b, const struct status_stream *s)
{
	const struct store_hold *h = &s->stream.hold;

	if (h->id == 0) {
		buf_text(b, "\"hold\":null");
		return;
	}
	buf_text(b, "\"hold\":{");
	json_member(b, "why", store_hold_why_name(h->why));
	buf_text(b, ",");
	json_member(b, "who", h->who);
	buf_text(b, ",");
	json_member(b, "said", h->said);
	buf_printf(b, ",\"since_ms\":%" PRId64 ",\"shards_owned\":%zu}", h->since_ms,
		   status_owned(s));
}

static void json_audit(struct buf *b, const struct status_audit *r)
{
	buf_text(b, "{");
	json_member(b, "what", store_audit_what_name(r->audit.what));
	buf_text(b, ",");
	json_member(b, "why", store_hold_why_name(r->audit.why));
	buf_text(b, ",");
	json_member(b, "who", r->who);
	buf_text(b, ",");
	json_member(b, "said", r->said);
	buf_printf(b,
		   ",\"at_ms\":%" PRId64 ",\"from_generation\":%" PRIu64
		   ",\"to_generation\":%" PRIu64 ",\"from_ms\":%" PRId64 ",\"to_ms\":%" PRId64
		   ",\"shards\":%u}",
		   r->audit.at_ms, r->audit.from_generation, r->audit.to_generation,
		   r->audit.from_ms, r->audit.to_ms, r->audit.lanes);
}

static void json_retry(struct buf *b, const struct status_retry *r)
{
	buf_text(b, "{");
	json_member(b, "who", r->who);
	buf_text(b, ",");
	json_member(b, "said", r->said);
	buf_printf(b, ",\"at_ms\":%" PRId64 ",\"letters\":%" PRIu64 "}", r->audit.at_ms,
		   r->audit.letters);
}

static void json_stream(struct buf *b, const struct status_stream *s, int64_t now_ms)
{
	int64_t oldest = status_oldest_ms(s);

	buf_text(b, "{");
	json_member(b, "stream", s->name);
	buf_text(b, ",");
	json_member(b, "arn", s->arn);
	buf_printf(b, ",\"generation\":%" PRIu64 ",\"last_event_ms\":%" PRId64,
		   s->stream.generation, oldest);
	buf_printf(b, ",\"age_of_last_event_seconds\":%" PRId64 ",\"retention_seconds\":%d",
		   oldest ? (now_ms - oldest) / 1000 : 0, (int)(LOSS_RETENTION_MS / 1000));
	buf_printf(b, ",\"time_to_loss_seconds\":%" PRId64 ",", status_left_ms(s, now_ms) / 1000);
	json_hold(b, s);
	buf_text(b, ",\"audit\":[");
	for (size_t i = 0; i < s->audit_count; i++) {
		buf_text(b, i ? "," : "");
		json_audit(b, &s->audit[i]);
	}
	buf_text(b, "],\"retries\":[");
	for (size_t i = 0; i < s->retry_count; i++) {
		buf_text(b, i ? "," : "");
		json_retry(b, &s->retries[i]);
	}
	buf_text(b, "],\"gaps\":[");
	for (size_t i = 0; i < s->gap_count; i++) {
		buf_text(b, i ? "," : "");
		json_gap(b, &s->gaps[i]);
	}
	buf_text(b, "],\"shards\":[");
	for (size_t i = 0; i < s->lane_count; i++) {
		buf_text(b, i ? "," : "");
		json_lane(b, &s->lanes[i]);
	}
	buf_text(b, "]}");
}

void status_json(const struct status *t, struct buf *b)
{
	buf_text(b, "{");
	json_member(b, "store", store_describe(t->store));
	buf_text(b, ",\"workers\":[");
	for (size_t i = 0; i < t->session_count; i++) {
		buf_text(b, i ? ",{" : "{");
		json_member(b, "worker", t->sessions[i].worker);
		buf_text(b, ",");
		json_member(b, "session", t->sessions[i].id);
		buf_text(b, ",");
		json_member(b, "state", t->sessions[i].state == SESSION_LIVE ? "live" : "dead");
		buf_printf(b, ",\"beat\":%" PRId64 "}", t->sessions[i].beat);
	}
	buf_text(b, "],\"streams\":[");
	for (size_t i = 0; i < t->stream_count; i++) {
		buf_text(b, i ? "," : "");
		json_stream(b, &t->streams[i], t->now_ms);
	}
	buf_text(b, "],\"exports\":[");
	for (size_t i = 0; i < t->exports.count; i++) {
		buf_text(b, i ? ",{" : "{");
		exports_json(&t->exports.rows[i], t->exports.lacks[i], t->now_ms, b);
		buf_text(b, "}");
	}
	buf_printf(b, "],\"dead_letters\":%" PRIu64 "}", t->letters);
}
