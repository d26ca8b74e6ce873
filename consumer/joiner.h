#pragma once
#include "consumer/joining.h"

/* Takes the steps of a stream's join (joining.h) on the store: what is known of it is read there,
 * and the step that this asks for is taken, in one go. Blocking, on the thread that has the store.
 * Any worker of the stream may do it, and several at once: then it is done once. */
struct joiner {
	const char *session, *worker;
	const char *name, *arn; /* the stream's, as in store_stream */
	const char *table;      /* for people */
	bool repairs;           /* its gaps are to be repaired */
	bool enabled;           /* AWS has it on, … */
	int64_t enabled_ms;     /* since then */
	bool pitr_known, pitr, may_enable_pitr;
	int64_t earliest_ms, latest_ms; /* what can be restored */
	int64_t now_ms;                 /* AWS time */
};

struct joiner_step {
	enum joining_act act;
	enum joining_kind kind;
	int64_t until_ms; /* see joining.h */
	uint64_t generation;
	int64_t start_ms;
	size_t begun;        /* exports, by this call */
	bool done;           /* HOLD, START and GO_ON: by this call */
	struct error error;  /* STOP; GO_ON where it cannot be joined: for people */
	size_t gaps, places; /* open ones, and lanes that are not read on from where they stand */
	int64_t oldest_ms;   /* the oldest of these places */
	struct joining_progress progress;
};
bool joiner_take(struct store *s, const struct joiner *j, struct joiner_step *out,
		 struct error *err) MUST_CHECK;
