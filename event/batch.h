#pragma once
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "event/event.h"

/* One page of a lane, decoded and encoded: the unit that travels to the sinks. It owns the page's
 * body and an arena in which every event, key and payload lives. One owner at a time: the reader
 * that made it; a sink looks into it between `write` and its answer.
 *
 * payloads[e][i] is event i in encoding e: a run of JSON followed by '\n' (not counted in n), and
 * the payloads of one encoding stand in the arena one behind the other, so that a file sink may
 * take many at once. p NULL: no payload (a bad record, one that no output of it wants, or of which
 * a script made no event). Where a script made several events of a record, its payload is a line
 * for each, with '\n' between: they go together, and the record is done when all of them are. */
#define BATCH_ENCODINGS_MAX 8
/* An event that was decoded, but that some outputs do not get. */
enum batch_why {
	FAULT_TRANSFORM, /* a transform cannot do with it */
	FAULT_SCHEMA,    /* it does not fit its schema */
	FAULT_ROUTE,     /* it lacks what says where it goes */
};
struct batch_fault {
	size_t event;
	uint32_t outputs; /* bits */
	enum batch_why why;
	const char *error;
	const char *script; /* what of a script it was, for a metric's label; NULL: no script's */
};
struct schema_news;
struct batch_route;
struct batch {
	struct arena arena;
	struct buf body;
	const struct source *source;
	const char *shard; /* NULL: lines of an export */
	uint64_t place;    /* of lines: where the body begins in its file, */
	bool numbered;     /* or the number of its first row */
	size_t count;
	struct event *events;
	size_t encoding_count;
	struct str *payloads[BATCH_ENCODINGS_MAX];
	/* By output, for those that have a route (route.h); NULL: none has. */
	struct batch_route *routes;
	struct str next_iterator; /* n 0: the shard is closed */
	bool closed;
	size_t bad_count;
	struct batch_fault *faults; /* by event, whose `faulty` has the same bits */
	size_t fault_count;
	bool several;             /* some payload holds several events */
	struct schema_news *news; /* attributes that schemas accepted and do not name (schema.h) */
	size_t news_count;
};

struct batch *batch_new(void);
/* As new, but the body keeps its memory. */
void batch_clear(struct batch *b);
void batch_free(struct batch *b);
DEFINE_AUTO(batch)
/* What it holds of the memory budget: body and arena. */
size_t batch_bytes(const struct batch *b);
