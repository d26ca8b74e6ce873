#pragma once
#include "config/config.h"
#include "ops/operator.h"

/* A stream goes back further than it keeps: what its table's items became since then is exported
 * and loaded, by its workers, as a repair (docs/exports.md), behind which the stream is read on. */
struct replay_exports {
	const struct config *config;
	const struct operator_streams *streams;
	const struct store_stream *stream; /* the one of these that goes back */
	const char *from;                  /* as it was said */
	int64_t from_ms, now_ms;
};

/* Can they be had? REFUSED: the message says why not, and what brings what instead. */
bool replay_exports_look(const struct replay_exports *r, struct store *s,
			 struct error *err) MUST_CHECK;
void replay_exports_show(const struct replay_exports *r);
/* Holds the stream for it: its workers do the rest. */
bool replay_exports_begin(const struct replay_exports *r, struct error *err) MUST_CHECK;
