#pragma once
#include "config/config.h"
#include "ops/operator.h"
#include "ops/replay_plan.h"

/* A stream is held, let go of by its workers, changed, and goes on: what `replay` and `checkpoint
 * set` do once the person has said yes. Whoever dies in between leaves the stream held: the same
 * command again takes it up, and `sluice resume` gives it up. */
struct rewind {
	const char *said;   /* for the audit: "from savepoint:monday" */
	const char *detail; /* of the control event, a JSON object */
	struct operator_streams streams;
	struct store_stream *stream; /* the one of these that goes back */
	/* What is done once nobody has its lanes. NULL: it is reset to start_ms. The plan is
	 * released by the caller. */
	bool (*plan)(const struct rewind *r, const struct replay_stream *now,
		     struct replay_plan *out, struct error *err);
	void *arg;
	int64_t read_at_ms; /* of the plan's lanes: as in savepoints.h */
	int64_t start_ms;
};
bool rewind_run(struct rewind *r, const struct config *c, struct error *err) MUST_CHECK;
/* The stream has gone back, and is held still: its readers are told, once a generation, however
 * often it is said. */
bool rewind_tell(struct store *s, int64_t stream, uint64_t generation, const char *detail,
		 int64_t now_ms, struct error *err) MUST_CHECK;
/* REFUSED where it is held for something that goes on by itself. */
bool rewind_allowed(const struct rewind *r, struct error *err) MUST_CHECK;
