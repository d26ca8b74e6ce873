#!/usr/bin/env python3
"""Breaks the pure core in known ways, one at a time, and demands that the simulator catches each.

A mutant that survives means that the simulator tests nothing there. A text that is no longer in the
source means that the mutant has to be rewritten: both fail.
"""

import argparse
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
PURE = [
    "consumer/core.c",
    "consumer/core_due.c",
    "consumer/core_lane.c",
    "consumer/core_pages.c",
    "consumer/core_save.c",
    "consumer/core_view.c",
    "consumer/handover.c",
    "consumer/lineage.c",
    "consumer/loss.c",
    "consumer/pacing.c",
    "consumer/balance.c",
    "consumer/watch.c",
    "checkpoint/frontier.c",
]
REST = [f"base/{n}.c" for n in ("memory", "heap", "rng", "sequence", "error")]
SIM = sorted(str(p.relative_to(ROOT)) for p in (ROOT / "tests/sim").glob("*.c"))

# name, what stands there (in one of PURE, once), what the mutant has instead
MUTANTS = [
    (
        "a child does not wait for its parent",
        "return l->parent == CORE_NONE || c->lanes[l->parent].state == LANE_ENDED;",
        "return l->parent == CORE_NONE || c->lanes[l->parent].state <= LANE_ENDED;",
    ),
    (
        "a shard is done while its pages are under way",
        "		if (core_outstanding(l) == 0)\n			lane_ended",
        "		if (core_outstanding(l) <= 1)\n			lane_ended",
    ),
    (
        "a position is saved past an open roll",
        "	if (f->roll_count > 0 && !with_roll)\n		return false;",
        "	if (f->roll_count > 1 && !with_roll)\n		return false;",
    ),
    (
        "the older roll takes the younger one's range",
        ".to = f->rolls[0].end,",
        ".to = f->rolls[1].end,",
    ),
    (
        "a saved roll stays in the frontier",
        "		f->roll_count--;\n",
        "",
    ),
    (
        "done is saved before the last page was answered",
        "	l->closed = e->closed;\n",
        "	l->closed = e->closed;\n	for (uint32_t s = 0; l->closed && s < core_stream_of(c, l)->sink_count; s++)\n		if (!l->frontiers[s].done)\n			l->frontiers[s].closed = true;\n",
    ),
    (
        "a page's credit is lost",
        "		credit_return(c, l->pages[l->pages_released++ % CORE_PAGES].charge);",
        "		l->pages_released++;",
    ),
    (
        "a failed fetch keeps its credit",
        "	c->fetches--;\n	credit_return(c, l->charge);\n	l->stopping =",
        "	c->fetches--;\n	l->stopping =",
    ),
    (
        "fetches are not limited by credit",
        "if (c->charged > 0 && c->credit < (int64_t)charge_of(l)) {",
        "if (c->charged < 0) {",
    ),
    (
        "more lanes are busy than there is room for",
        "	if (!l->busy && c->busy >= c->settings.lanes_max)\n		return false;\n",
        "",
    ),
    (
        "a lane that is done with its pages stays busy",
        "		core_lane_settle(c, lane, now_ms, 0);\n	lane_busy(c, l);\n",
        "		core_lane_settle(c, lane, now_ms, 0);\n",
    ),
    (
        "more pages of a lane under way than there is room for",
        "	} else if (core_outstanding(l) == CORE_PAGES) {",
        "	} else if (core_outstanding(l) == CORE_PAGES + 1) {",
    ),
    (
        "a page is released at the first sink's answer",
        "		if (!l->stood[slot] && l->answered[slot] < least)",
        "		if (!l->stood[slot] && l->answered[slot] > 0 && slot == 0 && l->answered[slot] < least)",
    ),
    (
        "a failure is skipped over",
        "	handover_move(h, HANDOVER_RETRY);\n	progress(h, first);",
        "	handover_move(h, HANDOVER_RETRY);\n	progress(h, first + 1);",
    ),
    (
        "what follows a failure is not sent again",
        "void handover_again(struct handover *h)\n{\n	handover_move(h, HANDOVER_IDLE);",
        "void handover_again(struct handover *h)\n{\n	handover_move(h, HANDOVER_IDLE);\n	h->page++;\n	h->first = 0;",
    ),
    (
        "a refused record is sent again for ever",
        "	handover_move(h, HANDOVER_IDLE);\n	h->first++;",
        "	handover_move(h, HANDOVER_IDLE);\n	h->first += 2;",
    ),
    (
        "two pages of a lane in a sink",
        "	return h->state == HANDOVER_IDLE && h->page < pages_read;",
        "	return h->state != HANDOVER_STOPPED && h->page < pages_read;",
    ),
    (
        "a roll is saved before all its answers are here",
        "k->rolls_open[k->prepared % FRONTIER_ROLLS].answers == k->deliveries;",
        "true;",
    ),
    (
        "a lane that waits for its roll is forgotten",
        "		if (waits)\n			core_mark_dirty(c, lane);",
        "",
    ),
    (
        "what was answered during a save is forgotten",
        "		if (!frontier_clean(f))\n			core_mark_dirty(c, m->lane);",
        "",
    ),
    (
        "a finished roll's row is never removed",
        "			k->reporting = k->finished;",
        "			k->reporting = k->reported;",
    ),
    (
        "a sink that is ahead goes back",
        "	if (sequence_compare(end, &f->end) <= 0)\n		return;",
        "",
    ),
    (
        "a lane that stands still is read on",
        "	l->stopping = l->stopping || !e->leaves;",
        "	l->stopping = l->stopping && !e->leaves;",
    ),
    (
        "a stop does not ask the sinks to roll",
        "(c->stopping ? k->taken_roll : k->leaving)",
        "k->leaving",
    ),
    (
        "a stop is over before its last save",
        "	if (c->fetches > 0 || c->saving || c->charged > 0 || c->dirty_first != CORE_NONE)",
        "	if (c->fetches > 0 || c->charged > 0)",
    ),
    (
        "two saves at a time",
        "	if (!c->saving && core_save_build(c, e->now_ms)) {",
        "	if (core_save_build(c, e->now_ms)) {",
    ),
    (
        "a lane leaves before its positions are saved",
        "		if (!frontier_clean(&l->frontiers[slot]) ||\n",
        "		if (",
    ),
    (
        "a lane leaves before its rolls are visible",
        "		    !frontier_visible(&l->frontiers[slot], c->sinks[s->sinks[slot]].finished))",
        "		    false)",
    ),
    (
        "a child stays when its parent leaves",
        "		if (at != lane && (d->state != LANE_WAITING || !c->lanes[d->parent].leaving))\n			continue;",
        "		if (at != lane)\n			continue;",
    ),
    (
        "a child that is found while its parent leaves stays",
        "	return l->parent != CORE_NONE &&\n	       (c->lanes[l->parent].leaving",
        "	return false && l->parent != CORE_NONE &&\n	       (c->lanes[l->parent].leaving",
    ),
    (
        "a lane that was closed on its way out leaves",
        "	else if (l->leaving && (core_stands(l) || l->closed))\n		stay(c, lane);",
        "",
    ),
    (
        "a lane that leaves does not ask the sinks to roll",
        "(c->stopping ? k->taken_roll : k->leaving)",
        "(c->stopping ? k->taken_roll : 0)",
    ),
    (
        "what a lane that leaves was answered late does not hurry",
        "	if (c->lanes[lane].leaving)\n		core_lane_hurry(c, &c->lanes[lane]);\n",
        "",
    ),
    (
        "a lane has ended before its end is in the store",
        "		return l->state != LANE_ENDED || (l->children_known && settled(c, l));",
        "		return l->state != LANE_ENDED || l->children_known;",
    ),
    (
        "a lane has ended before its children are known",
        "		return l->state != LANE_ENDED || (l->children_known && settled(c, l));",
        "		return l->state != LANE_ENDED || settled(c, l);",
    ),
    (
        "a dropped lane's children keep it as their parent",
        "		c->lanes[child].parent = c->lanes[child].next_sibling = CORE_NONE;\n",
        "		c->lanes[child].next_sibling = CORE_NONE;\n",
    ),
    (
        "a dropped lane stays its parent's child",
        "	if (l->parent != CORE_NONE)\n		unlink_child(c, l->parent, lane);\n",
        "",
    ),
    (
        "a lane that leaves is fetched again",
        "		core_due_remove(c, lane);\n		core_lane_move(l, LANE_DRAINING);\n	}\n	core_lane_hurry",
        "		core_lane_move(l, LANE_DRAINING);\n	}\n	core_lane_hurry",
    ),
    (
        "a lane leaves before its pages are answered",
        "l->state == LANE_STOPPED) &&\n		core_outstanding(l) == 0);",
        "l->state == LANE_STOPPED) &&\n		core_outstanding(l) >= 0);",
    ),
    (
        "an end is saved before its parent's",
        "for (uint32_t up = lane; up != CORE_NONE; up = c->lanes[up].parent) {\n		const struct frontier *f",
        "for (uint32_t up = lane; up == lane; up = c->lanes[up].parent) {\n		const struct frontier *f",
    ),
    (
        "an end is saved before all of it is visible",
        "		if (!f->closed || !frontier_visible(f, c->sinks[sink].finished))",
        "		if (!f->closed)",
    ),
    (
        "a shard whose parent was never seen is taken for a root",
        ": LINEAGE_ORPHAN",
        ": LINEAGE_ROOT",
    ),
    (
        "more calls are made than the budget has",
        "	b->tokens -= CALL;\n",
        "",
    ),
    (
        "a stream that waited for its budget is forgotten",
        "	while (heap_top(&c->paused, &id, &at_ms) && at_ms <= now_ms)\n		stream_resume(c, id);\n",
        "",
    ),
    (
        "a lane that is ready stays so when it leaves",
        "	if (c->lanes[lane].ready)\n		ready_remove(c, lane);\n",
        "",
    ),
    (
        "a ring forgets all but its first lane",
        "		*first = l->ready_next == lane ? CORE_NONE : l->ready_next;\n",
        "		*first = CORE_NONE;\n",
    ),
    (
        "a lane that stands still stays due",
        "		if (l->state == LANE_DUE)\n			core_due_remove(c, lane);\n		if (l->state != LANE_STOPPED)",
        "		if (l->state != LANE_STOPPED)",
    ),
    (
        "a child leaves before its parent",
        "	return is_quiet(l) && settled(c, l) &&\n	       (l->parent == CORE_NONE || !c->lanes[l->parent].leaving);",
        "	return is_quiet(l) && settled(c, l);",
    ),
    (
        "a session emits beyond its lease",
        "return sent_ms + lease_ms * 3 / 4;",
        "return sent_ms + lease_ms * 7 / 4;",
    ),
    (
        "a watcher kills without a whole lease seen",
        ">= r->lease_ms ? WATCH_KILL",
        ">= r->lease_ms / 4 ? WATCH_KILL",
    ),
    (
        "a beat that moves is no sign of life",
        "\t\tr->beat = o->beat;\n\t\tr->since_ms = w->looked_at_ms;\n",
        "\t\tr->beat = o->beat;\n",
    ),
    (
        "what nobody looked at counts against a session",
        "\t\tif (paused)\n\t\t\tw->rows[i].since_ms = now_ms;\n",
        "",
    ),
    (
        "a burial that the store left unanswered is no pause in looking",
        "	if (!w->unheard)\n		w->looked_at_ms = now_ms;",
        "	w->looked_at_ms = now_ms;",
    ),
    (
        "a dead session is buried while its messages may land",
        "r->bury_at_ms = now_ms + r->lease_ms / 2;",
        "r->bury_at_ms = now_ms;",
    ),
    (
        "the wait for a burial begins anew with each look",
        "\tif (!r->dead)\n\t\tr->bury_at_ms",
        "\tr->bury_at_ms",
    ),
    (
        "the others are forgotten after each look",
        "\t\tif (!w->rows[i].listed)\n\t\t\tforget(w, i);",
        "\t\tforget(w, i);",
    ),
    (
        "who has too little asks nobody",
        "\t} else if (rich.session && strcmp(rich.session, r->session) != 0) {",
        "\t} else if (!rich.session) {",
    ),
    (
        "free shards are claimed by nobody who has its share",
        "r->patience >= BALANCE_PATIENCE && mine.held",
        "false && mine.held",
    ),
    (
        "that a shard was read is known only minutes later",
        "		if (!c->lanes[moves[i].lane].read_saved)\n			collect_read(c, moves[i].lane);\n",
        "		continue;\n",
    ),
    (
        "a page keeps its credit until it is saved",
        "		if (!l->stood[slot] && l->answered[slot] < least)\n			least = l->answered[slot];\n	while",
        "		if (l->frontiers[slot].roll_count > 0)\n			least = l->pages_released;\n		else if (!l->stood[slot] && l->answered[slot] < least)\n			least = l->answered[slot];\n	while",
    ),
    (
        "a transaction's positions move before it is committed",
        "	return k->commit == SINK_TRANSACTION ? k->reporting : k->saving;",
        "	return k->saving;",
    ),
    (
        "a transaction has no pending places",
        "			collect_pending(c, lane, slot);\n",
        "",
    ),
    (
        "a part of a page does not count for its transaction",
        "	count_roll(&c->sinks[e->sink], e->roll);\n	frontier_forward(c,",
        "	count_roll(&c->sinks[e->sink], e->roll);\n	if (false)\n		frontier_forward(c,",
    ),
    (
        "what is pending leaves out what was settled behind it",
        "	*move = (struct frontier_move){ .to = f->end, .event_ms = f->end_ms };",
        "	*move = (struct frontier_move){ .to = f->saved, .event_ms = f->saved_ms };",
    ),
    (
        "a shard whose parent is not listed is taken for a root",
        "	if (parent_known)\n		return LINEAGE_CHILD;\n	return d->first || late",
        "	if (parent_known && d->parents[i] != SIZE_MAX)\n		return LINEAGE_CHILD;\n	return d->first || parent_known || late",
    ),
    (
        "what stands still stays when the stream is held",
        "	l->leaving = core_stands(l) || !l->closed;",
        "	l->leaving = !core_stands(l) && !l->closed;",
    ),
    (
        "what closes on its way out has its children read",
        "	if (core_stream_of(c, l)->held)\n		leave_held(c, lane);\n	else if (l->leaving && (core_stands(l) || l->closed))",
        "	if (l->leaving && (core_stands(l) || l->closed))",
    ),
    (
        "the rolls of a held stream are not asked for",
        "		core_lane_hurry(c, l);\n		if (l->state == LANE_WAITING || l->state == LANE_FETCHING)",
        "		if (l->state == LANE_WAITING || l->state == LANE_FETCHING)",
    ),
    (
        "a shard leaves before it is known of its gap whether it is accepted",
        "	if (l->state == LANE_STOPPED && l->at_gap && !l->gap_open)\n		return false;\n",
        "",
    ),
    (
        "a shard that was open at the start is not read",
        "d->newest_child[i] < d->start_ms - CREATED_SLACK_MS;",
        "d->newest_child[i] < d->start_ms + CREATED_SLACK_MS;",
    ),
]

# Rules that stand in SQL (2.0_workers.sql) or between threads and neighbours: the simulator has its
# own copy of them, and it is that copy which is broken. name, file of tests/sim, what stands there
# (once), what the mutant has instead; where one rule has two guards, both
GLUE_MUTANTS = [
    (
        "a beat does not ask for the session's state",
        "database.c",
        "\tif (s->state != MEMBER_LIVE) {\n\t\tr->reply.how = HOW_FENCED;\n\t\treturn;\n\t}\n\ts->beat++;",
        "\ts->beat++;",
    ),
    (
        "a session is killed whatever its beat is by now",
        "database.c",
        "s->state != MEMBER_LIVE || s->beat != r->beat",
        "s->state != MEMBER_LIVE",
    ),
    (
        "a dead session's shards are free before its burial",
        "database.c",
        "\ts->state = MEMBER_DEAD;\n",
        "\ts->state = MEMBER_DEAD;\n\tfor (int i = 0; i < w->database->row_count; i++)\n\t\tif (w->database->rows[i].owner == r->other)\n\t\t\tw->database->rows[i].owner = 0;\n",
    ),
    (
        "a session is buried before its rolls are finished",
        "database.c",
        "\tif (r->reply.roll_count > 0) {\n\t\tr->reply.how = HOW_INVALID;\n\t\treturn;\n\t}\n",
        "",
    ),
    (
        "a burial leaves the rolls alone",
        "requests.c",
        "\tif (b->at < b->roll_count) {",
        "\tif (b->at > b->roll_count) {",
    ),
    (
        "a save is not compared with what is there",
        "database.c",
        "if (s->saves + 1 != v->number || !save_fits(w, r)) {",
        "if (v->number == 0) {",
    ),
    (
        "a dead session's save counts",
        "database.c",
        "	if (s->state != MEMBER_LIVE) {\n		r->reply.how = HOW_FENCED;\n		return;\n	}\n	if (s->saves == v->number)",
        "	if (s->saves == v->number)",
        "if (row->removed || row->owner != r->session || !row->at[m->sink].there)",
        "if (row->removed || !row->at[m->sink].there)",
    ),
    (
        "a shard is done with the first of its sinks",
        "database.c",
        "\t\tif (row->at[sink].there && !row->at[sink].done &&\n\t\t    (w->database->sinks & (1u << sink)))\n\t\t\treturn;\n",
        "",
    ),
    (
        "a dead session's wishes are honoured",
        "database_lanes.c",
        "row->wanted_by != session && database_live(d, row->wanted_by)",
        "row->wanted_by != session",
    ),
    (
        "a shard is stolen from a living session",
        "database_lanes.c",
        "row->removed || row->owner != 0 || row->done",
        "row->removed || (row->owner != 0 && row->wanted_by != session) || row->done",
    ),
    (
        "a child is claimed while its parent is not done",
        "database_lanes.c",
        "return !parent || parent->done || parent->owner == session;",
        "return true;",
    ),
    (
        "a release frees what is another's",
        "database_lanes.c",
        "\t\tif (row->owner != r->session)\n\t\t\tcontinue;\n\t\trow->owner = 0;",
        "\t\trow->owner = 0;",
    ),
    (
        "a stream's lister is never replaced",
        "database_lanes.c",
        "!database_live(d, d->lister)",
        "d->lister == 0",
    ),
    (
        "a worker with other sinks claims",
        "database_lanes.c",
        "if (fenced(w, r) || !database_may(d, r->session))\n\t\treturn;\n\tfor (int wished",
        "if (fenced(w, r) || d->hold || d->sessions[r->session].epoch != d->epoch)\n\t\treturn;\n\tfor (int wished",
        "	out->served = database_served(d, r->session);",
        "	out->served = true;",
        "		out->claimable += database_may(d, r->session) &&",
        "		out->claimable += !d->hold && !out->stale &&",
    ),
    (
        "a claim whose reply was lost is never found",
        "process_lanes.c",
        "\tif (++p->differs % DIFFERS_ASK == 0)\n\t\tsteward_ask_held(w, p);\n\tif (p->differs >= DIFFERS_END)\n\t\tprocess_lost(w, p);\n",
        "",
    ),
    (
        "a child does not wait for a parent that another worker has",
        "process_lanes.c",
        "return g->waits && parent_lane(w, p, g->shard) == CORE_NONE;",
        "return false;",
    ),
    (
        "what other workers found is taken for news",
        "process_saver.c",
        "\t\tprocess_known(w, p, &r->reply);\n\t\tp->listing_waits",
        "\t\tp->listing_waits",
    ),
    (
        "what is done is forgotten while it is still listed",
        "process_saver.c",
        "#define REMEMBER_MS   (48 * HOUR_MS)",
        "#define REMEMBER_MS   (8 * HOUR_MS)",
    ),
    (
        "the lease is counted from the beat's reply",
        "process_saver.c",
        "watch_emit_until_ms(p->saver.beat_sent_ms, w->lease_ms)",
        "watch_emit_until_ms(process_now(w, p), w->lease_ms)",
    ),
    (
        "without a beat's answer a worker emits for ever",
        "process_pages.c",
        "\tif (process_now(w, p) < p->emit_until_ms)\n\t\treturn false;",
        "\tif (p->emit_until_ms > 0)\n\t\treturn false;",
    ),
    (
        "a child is read from the oldest record that is left",
        "process_pages.c",
        "(l->root && l->next == 0)",
        "l->next == 0",
    ),
    (
        "how long a shard was left alone does not matter",
        "process_pages.c",
        "process_aws_now(w, p) - l->read_at_ms > UNREAD_MAX",
        "process_aws_now(w, p) < 0",
    ),
    (
        "the database's clock says who is dead",
        "process_steward.c",
        "\tverdict(w, p, watch_see(&s->watch, &o));",
        "\tverdict(w, p, o.state == SESSION_LIVE && database_now_ms(w) - w->database->sessions[id_number(o.id)].beaten_ms > o.lease_ms ? WATCH_KILL : watch_see(&s->watch, &o));",
    ),
    (
        "a shard comes back while its release may be under way",
        "process_steward.c",
        "if (p->steward.doubtful[r->lanes[i].row]) {",
        "if (false) {",
    ),
    (
        "a session's unfinished files go before its burial",
        "process_life.c",
        "\tburial_start(w, p, &p->burial,",
        "\trolls_sweep(w, p->session);\n\tburial_start(w, p, &p->burial,",
    ),
    (
        "a burial does not fence the producer",
        "requests.c",
        "\t\tproducer_fence(w, b->session, b->rolls[b->at].sink);\n",
        "",
    ),
    (
        "a burial reads the count before it fences",
        "requests.c",
        "\t\tproducer_fence(w, b->session, b->rolls[b->at].sink);\n",
        "\t\tb->committed = producer_committed(w, b->session, b->rolls[b->at].sink, b->rolls[b->at].number);\n",
        "\t\tb->committed = producer_committed(w, b->session, b->rolls[b->at].sink,\n\t\t\t\t\t\t  b->rolls[b->at].number);\n",
        "\t\tproducer_fence(w, b->session, b->rolls[b->at].sink);\n",
        "\tb->committed = true;\n\tk = roll_find",
        "\tk = roll_find",
    ),
    (
        "a burial takes every transaction for committed",
        "requests.c",
        "\t\tb->committed = producer_committed(w, b->session, b->rolls[b->at].sink,\n\t\t\t\t\t\t  b->rolls[b->at].number);\n",
        "",
    ),
    (
        "a burial forgets what was pending",
        "database.c",
        "\tfor (size_t i = 0; r->committed && i < k->pending_count; i++) {",
        "\tfor (size_t i = 0; false && i < k->pending_count; i++) {",
    ),
    (
        "a burial moves what was never committed",
        "database.c",
        "\tfor (size_t i = 0; r->committed && i < k->pending_count; i++) {",
        "\tfor (size_t i = 0; i < k->pending_count; i++) {",
    ),
    (
        "an aborted transaction's records are taken for delivered",
        "process_pages.c",
        "\t\t\te.outcome = OUTCOME_FAILED;\n\t\t\te.first = l->handovers[sink].first;\n\t\t\te.roll = 0;",
        "\t\t\te.roll = 0;",
    ),
    (
        "a fenced producer takes its id again and goes on",
        "process.c",
        "	if (w->sinks[p->sinks[e->sink]].transactions &&\n	    (noise(w, FAULT_COMMIT_UNKNOWN) ||",
        "	if (w->sinks[p->sinks[e->sink]].fenced[p->session]) {\n		w->sinks[p->sinks[e->sink]].fenced[p->session] = false;\n		producer_commit(w, &(struct event){ .session = p->session, .sink = p->sinks[e->sink], .roll = e->roll });\n	}\n	if (w->sinks[p->sinks[e->sink]].transactions &&\n	    (noise(w, FAULT_COMMIT_UNKNOWN) ||",
    ),
    (
        "a commit of which nothing is known is sent again",
        "process.c",
        "	if (w->sinks[p->sinks[e->sink]].transactions &&\n	    (noise(w, FAULT_COMMIT_UNKNOWN) ||\n	     !producer",
        "	struct roll *sent = roll_find(w, p->session, p->sinks[e->sink], e->roll);\n	struct open_roll *o = &p->open[e->sink];\n	if (w->sinks[p->sinks[e->sink]].transactions && noise(w, FAULT_COMMIT_UNKNOWN))\n		for (size_t i = 0; sent && i < sent->count && o->count < ROLL_MAX; i++)\n			o->refs[o->count++] = sent->refs[i];\n	else if (w->sinks[p->sinks[e->sink]].transactions &&\n	    (!producer",
    ),
    (
        "an added sink begins where the others are",
        "database_lanes.c",
        "		row->at[sink] = (struct position){ .there = true };",
        "		row->at[sink] = row->at[sink ? 0 : 1];\n		row->at[sink].there = true;",
    ),
    (
        "an added sink takes the others back with it",
        "database_lanes.c",
        "		row->at[sink] = (struct position){ .there = true };",
        "		for (uint32_t k = 0; k < w->sink_count; k++)\n			row->at[k] = (struct position){ .there = row->at[k].there || k == sink };",
    ),
    (
        "an added sink leaves alone what is done",
        "database_lanes.c",
        "		    (row->done && row->read_at_ms > 0 && row->read_at_ms < aws_ms - RETENTION_MS))",
        "		    row->done)",
    ),
    (
        "what others lack is taken for what an added sink does not miss",
        "process_lanes.c",
        "			if (now_ms - l->read_at_ms > LOSS_UNREAD_MAX_MS)\n				return;\n",
        "",
    ),
    (
        "an ended session's messages are left in the sink's queue",
        "process_life.c",
        "\tif (p->again) /* nothing more may be sent, whatever else takes its time */\n\t\tsinks_cut(w, p->life, true);\n",
        "",
    ),
    (
        "a stream is reset before all of it is released",
        "database_holds.c",
        "d->generation != generation || database_owned(w) > 0)",
        "d->generation != generation)",
    ),
    (
        "what was found before the stream was held is added",
        "database_lanes.c",
        "if (fenced(w, r) || d->hold || r->epoch != d->epoch)",
        "if (fenced(w, r) || d->hold)",
    ),
    (
        "a join that comes late joins what there is",
        "database.c",
        "!w->database->hold && r->epoch == w->database->epoch ? r->epoch : -1;",
        "!w->database->hold ? w->database->epoch : -1;",
    ),
    (
        "who served a stream before it was held claims",
        "database.c",
        " && d->sessions[session].epoch == d->epoch;",
        ";",
    ),
    (
        "a hold begins no epoch",
        "database_holds.c",
        "	d->hold = d->epoch = ++d->hold_count;",
        "	d->hold = ++d->hold_count;",
    ),
    (
        "a reset does not wait for a dead session's burial",
        "database_holds.c",
        "owned += d->rows[i].owner != 0;",
        "owned += database_live(d, d->rows[i].owner);",
    ),
    (
        "a reset raises no generation",
        "database_holds.c",
        "		d->generation = h->generation + 1;",
        "		d->generation = h->generation;",
    ),
    (
        "a rewind leaves the descendants as they are",
        "database_holds.c",
        "if (row->removed || !world_descends(w, row->shard, shard))",
        "if (row->removed || row->shard != shard)",
    ),
    (
        "a reset that is said again is made again",
        "database_holds.c",
        "if (h->reset && h->reset_from == generation && h->start_ms == start_ms)\n		return true;",
        "if (h->reset && h->reset_from == generation && h->start_ms == start_ms) {\n		reset_all(w, start_ms);\n		return true;\n	}",
    ),
    (
        "a hold that is said again after its end holds",
        "database_holds.c",
        "return d->hold == i ? i : 0;",
        "return d->hold = i;",
    ),
    (
        "the end of an older hold ends the next one",
        "database_holds.c",
        "	if (w->database->hold == hold)\n		w->database->hold = 0;",
        "	w->database->hold = 0;",
    ),
    (
        "a stream is opened again with what was known of its shards",
        "process_hold.c",
        "	lineage_release(&p->lineage);\n	lineage_init(&p->lineage);\n",
        "",
    ),
]


LIBRARIES: list[str] = []
CC = ["cc", "-std=gnu17", "-O1", "-w", "-D_GNU_SOURCE", f"-I{ROOT}", f"-I{ROOT}/tests/sim"]


def compile_all(folder: pathlib.Path) -> dict[str, str]:
    """Every source once; a mutant compiles its own file only."""
    objects = {}
    for name in PURE + REST + SIM:
        objects[name] = str(folder / (name.replace("/", "_") + ".o"))
    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        jobs = [
            pool.submit(subprocess.run, CC + ["-c", str(ROOT / name), "-o", o], check=True)
            for name, o in objects.items()
        ]
    for job in jobs:
        job.result()
    return objects


def run(
    folder: pathlib.Path, objects: dict[str, str], file: str, text: str, seeds: int
) -> str:
    """What stopped the simulator: "" where nothing did."""
    source, program = folder / pathlib.Path(file).name, folder / "sim"
    source.write_text(text)
    rest = [o for name, o in objects.items() if name != file]
    subprocess.run(CC + [str(source)] + rest + LIBRARIES + ["-o", str(program)], check=True)
    try:
        done = subprocess.run(
            [str(program), "--seeds", str(seeds)],
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "it gets nowhere"
    if done.returncode >= 0:
        return ""  # that a kind of fault is rarer now does not count
    said = re.search(r"(\w+): Assertion .*\n.*seed (\d+) failed", done.stderr)
    return f"seed {said[2]}, {said[1]}" if said else f"signal {-done.returncode}"


def mutate(mutant: tuple[str, ...]) -> tuple[str, str]:
    """The file, and its text as the mutant has it."""
    if mutant in GLUE_MUTANTS:
        files, changes = [f"tests/sim/{mutant[1]}"], mutant[2:]
    else:
        files, changes = PURE, mutant[1:]
    pairs = list(zip(changes[::2], changes[1::2]))
    found = [f for f in files for _ in range((ROOT / f).read_text().count(pairs[0][0]))]
    if len(found) != 1:
        raise LookupError(f"its text stands {len(found)} times in the sources")
    text = (ROOT / found[0]).read_text()
    for old, new in pairs:
        if text.count(old) != 1:
            raise LookupError(f"its text stands {text.count(old)} times in {found[0]}")
        text = text.replace(old, new)
    return found[0], text


def hunt(mutant: tuple[str, ...], objects: dict[str, str], seeds: int) -> tuple[bool, str]:
    """Was it caught, and how or why not."""
    try:
        file, text = mutate(mutant)
    except LookupError as wrong:
        return False, str(wrong)
    with tempfile.TemporaryDirectory() as tmp:
        how = run(pathlib.Path(tmp), objects, file, text, seeds)
    return how != "", how or f"survived {seeds} seeds"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2000)
    parser.add_argument("--only", default="", help="mutants with this in their name")
    args = parser.parse_args()
    chosen = [m for m in MUTANTS + GLUE_MUTANTS if args.only in m[0]]
    failed = 0
    with (
        tempfile.TemporaryDirectory() as folder,
        concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as pool,
    ):
        objects = compile_all(pathlib.Path(folder))
        hunts = pool.map(lambda m: hunt(m, objects, args.seeds), chosen)
        for mutant, (caught, how) in zip(chosen, hunts):
            print(f"{'caught  ' if caught else 'SURVIVED'}  {mutant[0]}: {how}", flush=True)
            failed += not caught
    print(f"mutants: {len(chosen) - failed} caught, {failed} not")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
