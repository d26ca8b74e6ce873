#pragma once
/* A core with one sink, fed by hand: for tests of what it does step by step. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "consumer/core.h"

#define ACTIONS_MAX 64

static struct {
	struct core core;
	uint32_t sink;
	int64_t now_ms;
	struct core_action actions[ACTIONS_MAX]; /* of the last step */
	size_t count;
} t;

static inline struct sequence at(int n)
{
	struct sequence s;
	struct error err;
	char text[16];
	int length = snprintf(text, sizeof(text), "%d", 100000 + n);

	assert_true(sequence_parse(&s, (struct str){ text, (size_t)length }, &err));
	return s;
}

static inline void begin(enum sink_commit commit, int64_t idle_ms)
{
	struct core_settings settings = { .memory_bytes = 1 << 30,
					  .save_interval_ms = 10,
					  .idle_ms = idle_ms,
					  .fetches_max = 16,
					  .lanes_max = 16 };
	struct pacing_limits limits = { .min_ms = 50, .max_ms = 50 };

	memset(&t, 0, sizeof(t));
	t.now_ms = 1000;
	core_init(&t.core, &settings);
	t.sink = core_add_sink(&t.core, commit);
	core_add_stream(&t.core, &limits, &t.sink, 1);
}

static inline uint32_t add(uint32_t parent)
{
	struct core_lane_start start = { .parent = parent, .store_id = 1 };

	return core_add_lane(&t.core, &start, t.now_ms);
}

static inline void feed(struct core_event e)
{
	e.now_ms = t.now_ms += 20;
	t.count = core_step(&t.core, &e, t.actions, ACTIONS_MAX);
}

static inline void tick(void)
{
	feed((struct core_event){ .type = CORE_TICK });
}

static inline bool did(enum core_action_type type, uint32_t lane)
{
	for (size_t i = 0; i < t.count; i++)
		if (t.actions[i].type == type && (lane == CORE_NONE || t.actions[i].lane == lane))
			return true;
	return false;
}

static inline void page(uint32_t lane, int end, bool closed)
{
	struct core_event e = { .type = CORE_PAGE, .lane = lane, .closed = closed };

	if (end > 0) {
		e.end = at(end);
		e.records = 1;
		e.bytes = 100;
		e.end_ms = 1;
	}
	feed(e);
}

static inline void release(uint32_t lane)
{
	feed((struct core_event){ .type = CORE_RELEASE, .lane = lane });
}

static inline void answer(uint32_t lane, uint64_t roll)
{
	feed((struct core_event){
		.type = CORE_ANSWER, .lane = lane, .sink = t.sink, .roll = roll });
}

static inline void prepared(uint64_t roll, uint64_t deliveries)
{
	feed((struct core_event){
		.type = CORE_PREPARED, .sink = t.sink, .roll = roll, .deliveries = deliveries });
}

static inline void finished(uint64_t roll)
{
	feed((struct core_event){ .type = CORE_FINISHED, .sink = t.sink, .roll = roll });
}

static inline void saved(void)
{
	feed((struct core_event){ .type = CORE_SAVED });
}

static inline void fail_with(uint32_t lane, enum error_kind failure)
{
	feed((struct core_event){ .type = CORE_FETCH_FAILED, .lane = lane, .failure = failure });
}

static inline void gap(uint32_t lane, bool accepted)
{
	feed((struct core_event){ .type = CORE_GAP, .lane = lane, .accepted = accepted });
}
