#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "checkpoint/store.h"
#include "consumer/balance.h"
#include "consumer/session.h"
#include "consumer/taken.h"

/* The thread that shares the lanes with the other workers. Each tenth of a lease it makes a round:
 * it claims what is free up to its share, asks the richest for more, tells which lanes others want,
 * watches the others' beats, and buries who died. It has a connection to the store of its own, so
 * that a burial that takes long holds up neither beats nor saves; what must not wait for it, like
 * the release of a lane, waits for it all the same, and no longer than a sink's requests take.
 *
 * Not for a store that only one process can have open. Callbacks come from its thread. */
struct steward;

/* What a round saw: for the worker, which frees it. */
struct steward_view {
	/* By the worker's index; one that the steward does not have has no id. */
	struct store_round_stream *streams;
	uint32_t stream_count;
	struct balance_part *parts; /* the same; NULL: the session claims nothing any more */
	int64_t *wanted;            /* the store's ids of lanes that others want, ascending */
	size_t wanted_count, wanted_capacity;
	int64_t *unheld_ms; /* by the worker's index, of the streams that the session lists: place
			       of the oldest lane that nobody has (loss.h); 0: none */
	struct store_gap *gaps; /* that are accepted and not closed */
	size_t gap_count;
	bool claimed; /* the round took lanes, which this does not show */
	/* Other sessions that may be dead: they have not beaten since this one first saw them, or
	 * they wait for their burial. Their lanes may soon be free. */
	unsigned silent;
	/* Other sessions that beat and serve one of its streams: they could take its lanes. */
	unsigned others;
};
void steward_view_free(struct steward_view *v);

/* Lanes to let go of; the worker's, given back once they are. */
struct steward_release {
	int64_t *lanes;    /* the store's ids */
	uint32_t *indices; /* the worker's */
	size_t count, capacity;
};
void steward_release_free(struct steward_release *r);

/* A stream that the session joined. */
struct steward_stream {
	int64_t id; /* the store's; 0: none */
	int64_t start_ms;
	/* Or reset since, or it has other sinks than ours: nothing of it is claimed until it is
	 * added again. */
	bool held;
	int32_t sinks[CONFIG_SINKS_MAX];
	size_t sink_count;
	int64_t unheld_ms; /* the steward's: as of the last time that it asked */
};

struct steward_settings {
	struct session_settings session; /* its store is the steward's until steward_stop */
	const char *id;                  /* of the session */
	uint32_t held_max;               /* worker.max_shards */
	uint64_t seed;
	void (*viewed)(void *arg, struct steward_view *view);
	void (*taken)(void *arg, struct taken *t); /* the worker's then */
	void (*released)(void *arg, struct steward_release *job);
	/* The session has left the stream: the last that is heard of this index. */
	void (*removed)(void *arg, uint32_t stream);
	/* The session is over: it was declared dead. Once. */
	void (*lost)(void *arg, const struct error *err);
	void *arg;
};

/* The first round comes at once. */
struct steward *steward_start(const struct steward_settings *settings);
/* Ends after the call under way; releases that are still queued are given back undone. Frees. */
void steward_stop(struct steward *s);

/* From any thread. The worker's index of the stream; one that was removed may be used again. */
void steward_add_stream(struct steward *s, uint32_t stream, const struct steward_stream *what);
/* Nothing of it is claimed any more, and the session leaves it. */
void steward_remove_stream(struct steward *s, uint32_t stream);
void steward_let_go(struct steward *s, struct steward_release *job);
/* Asks what the session holds of the stream: comes as `taken` with `all`. */
void steward_ask_held(struct steward *s, uint32_t stream);
/* A round now: something may be free. */
void steward_poke(struct steward *s);
/* Claims and asks for nothing more. */
void steward_quiet(struct steward *s);
