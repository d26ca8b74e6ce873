#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "consumer/lane.h"

/* What tests of lanes share: a stream with sinks that take nothing, and pages made by hand. */
#define LANES_SHARD "shardId-00000001763700000000-0a1b2c3d"
#define LANES_ARN   "arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/2026-11-21T21:21:33"
#define LANES_TIME  INT64_C(1763700007123)

static struct lane_stream lanes_stream;

static inline struct lane_stream *lanes_stream_new(uint32_t sinks)
{
	static const char *const names[] = { "one",  "two", "three", "four",
					     "five", "six", "seven", "eight" };

	memset(&lanes_stream, 0, sizeof(lanes_stream));
	lanes_stream.source = (struct source){ .stream = "orders",
					       .table = "orders",
					       .arn = LANES_ARN,
					       .account = "123456789012",
					       .region = "eu-west-1",
					       .key_hash = "pk",
					       .key_range = "sk",
					       .generation = 1,
					       .new_images = true,
					       .old_images = true };
	lanes_stream.encoding_count = 1;
	lanes_stream.sink_count = sinks;
	for (uint32_t i = 0; i < sinks; i++)
		lanes_stream.sinks[i] = (struct lane_sink){ .index = i, .name = names[i] };
	return &lanes_stream;
}

static inline struct sequence lanes_sequence(int n)
{
	char text[32];
	struct sequence s;
	struct error err;
	int length = snprintf(text, sizeof(text), "%d", 100000 + n);

	assert_true(sequence_parse(&s, (struct str){ text, (size_t)length }, &err));
	return s;
}

/* Records from, from + 1, …, each a millisecond after the last. */
static inline struct batch *lanes_page(int from, size_t count)
{
	struct batch *b = batch_new();

	b->source = &lanes_stream.source;
	b->shard = LANES_SHARD;
	b->count = count;
	b->encoding_count = 1;
	b->events = arena_alloc(&b->arena, count * sizeof(*b->events));
	b->payloads[0] = arena_alloc(&b->arena, count * sizeof(**b->payloads));
	for (size_t i = 0; i < count; i++) {
		char *text = arena_printf(&b->arena, "{\"n\":%d}", from + (int)i);

		b->events[i] = (struct event){ .sequence = lanes_sequence(from + (int)i),
					       .time_ms = LANES_TIME + from + (int)i,
					       .raw = str_of(text) };
		b->payloads[0][i] = str_of(text);
	}
	return b;
}

/* The transform of encoding 0 failed, which the first outputs have. */
#define LANES_FAULTY 7
static inline void lanes_fault(struct batch *b, size_t record)
{
	if (!b->faults)
		b->faults = arena_alloc(&b->arena, b->count * sizeof(*b->faults));
	b->faults[b->fault_count++] = (struct batch_fault){ .event = record,
							    .outputs = LANES_FAULTY,
							    .why = FAULT_TRANSFORM,
							    .error = "cast: a: no number" };
	b->events[record].faulty = LANES_FAULTY;
	b->payloads[0][record] = (struct str){ 0 };
}

/* As the decoder leaves it. */
static inline void lanes_spoil(struct batch *b, size_t record)
{
	b->events[record].bad = "a number that is none";
	b->payloads[0][record] = (struct str){ 0 };
	b->bad_count++;
}
