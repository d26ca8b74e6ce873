#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "checkpoint/store.h"
#include "config/config.h"

/* The person at the command line: who it is, whether they mean it, and what they mean. */

#define OPERATOR_STORE_TIMEOUT_MS 10000

/* "name@host", for the store's audit. */
void operator_name(char *out, size_t size);
/* Asks, unless `yes`; false: no, or there is no terminal to ask at, which is then said. */
bool operator_sure(const char *command, const char *question, bool yes);

#define OPERATOR_STREAMS_MAX 64 /* a stream's name may have had several ARNs */
struct operator_streams {
	const char *name;
	struct store_stream
		rows[OPERATOR_STREAMS_MAX]; /* the newest, in the order they were made */
	char arn[1025];                     /* of the last one */
	size_t count;
};
/* What the store has of streams.name. NOT_FOUND where that is nothing. */
bool operator_streams(struct store *s, struct operator_streams *streams,
		      struct error *err) MUST_CHECK;
/* The entry of the configuration that reads it; NULL: none does. */
const struct config_stream *operator_entry(const struct config *c,
					   const struct operator_streams *streams);
/* The id of a sink's name. NOT_FOUND where the store does not know it. */
bool operator_sink(struct store *s, const char *name, int32_t *id, struct error *err) MUST_CHECK;
