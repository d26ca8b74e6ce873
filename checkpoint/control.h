#pragma once
#include "checkpoint/store.h"

/* Control events: what readers of a sink are told beside the data (docs/delivery.md), in the same
 * store and under the same rules as store.h. An event is put once, in the transaction of what it
 * tells of: gaps put theirs themselves (a gap that is found, and one that is closed; of a whole
 * stream, one that is accepted). Then it is handed out to the sinks of the stream, and some live
 * session tells it in each: at least once, and those of streams with one name in the order in which
 * they were put. */
enum store_control_kind {
	STORE_CONTROL_BASELINE,
	STORE_CONTROL_REPAIR,
	STORE_CONTROL_REWIND,
	STORE_CONTROL_GAP,
	STORE_CONTROL_REENABLED,
	STORE_CONTROL_PARTITIONS,
};
enum store_control_phase { STORE_CONTROL_BEGIN, STORE_CONTROL_END };
const char *store_control_kind_name(enum store_control_kind kind);
const char *store_control_phase_name(enum store_control_phase phase);

#define STORE_CONTROL_CLAIM_MAX 100 /* events of one stream and sink that a session is to tell */
/* What was told everywhere is kept for so long, and what could not be told for so long. */
#define STORE_CONTROL_KEPT_MS (7LL * 24 * 60 * 60 * 1000)
#define STORE_CONTROL_LATE_MS (30LL * 24 * 60 * 60 * 1000)

struct store_control {
	int64_t stream;
	enum store_control_kind kind;
	enum store_control_phase phase;
	uint64_t generation; /* put with 0: the stream's */
	int64_t time_ms;     /* AWS time */
	const char *key;     /* what it tells of: of a stream there is one event with this key */
	int32_t sink;        /* put: the only one that it is for, 0: all; else the one to tell it */
	const char *detail;  /* a JSON object, what the kind has to say; NULL or "": nothing */

	/* Given by the store. */
	int64_t id; /* grows with the order */
	const char *name, *arn;
	/* Of the end of a baseline, a repair or a rewind: {SESSION:NUMBER,…}, the last roll of each
	 * session in this sink when the event was put; else "". */
	const char *rolls;
};

/* *added: by this call; again, and with a key that is there already, is fine. The end of a
 * baseline, a repair or a rewind is put once the positions of all before it are saved: then it is
 * not told in a sink before all rolls that it had are visible. session NULL: a person's command.
 * FENCED where the session is not live, NOT_FOUND where the stream is not known. */
bool store_control_put(struct store *s, const char *session, const struct store_control *event,
		       bool *added, struct error *err) MUST_CHECK;

/* A stream that the session follows, and one of its sinks that can tell; 0: none can. */
struct store_control_of {
	const char *name;
	int32_t sink;
};
typedef void store_control_fn(void *arg, const struct store_control *event);
/* Calls back for all events that the session is to tell now, these and earlier ones: by sink, then
 * in their order. So it may be sent again. It tells nothing of a stream and sink while another live
 * session has some of that. *waits: an end is left that waits for rolls. Where it hands something
 * out, what is older than the times above goes. Cheap where there is nothing to tell. */
bool store_control_claim(struct store *s, const char *session, const struct store_control_of *of,
			 size_t count, int64_t at_ms, bool *waits, store_control_fn *fn, void *arg,
			 struct error *err) MUST_CHECK;
/* The sink has them for good. */
bool store_control_told(struct store *s, const char *session, int32_t sink, const int64_t *events,
			size_t count, int64_t at_ms, struct error *err) MUST_CHECK;

/* The topic that the stream's records go to has so many partitions: where it had another number
 * before (*before, else 0), that is an event for this sink. A call sent again (session and at_ms
 * are the same) says the same. */
struct store_topic {
	int64_t stream;
	int32_t sink;
	const char *topic;
	uint32_t partitions;
};
bool store_topic_seen(struct store *s, const char *session, const struct store_topic *topic,
		      int64_t at_ms, uint32_t *before, struct error *err) MUST_CHECK;
