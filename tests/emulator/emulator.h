#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"

/* A server that speaks DynamoDB Streams on 127.0.0.1, with shards that split, data that is trimmed
 * and faults on order: README.md has the tables, the control calls and the command line. A test may
 * run it in its own process and control it over its port as everybody does. */

#define EMULATOR_TABLES_MAX 64

struct emulator_options {
	int port;         /* 0: any that is free */
	unsigned threads; /* 0: one */
	uint64_t seed;    /* of request ids and of what happens with a probability */
	const char *tables[EMULATOR_TABLES_MAX]; /* spec.h; ends with NULL */
	const char *config;     /* a JSON file: {"tables":[…],"faults":[…]}; NULL: none */
	const char *cert, *key; /* PEM files; NULL: no TLS */
	const char *verify_key; /* AKID:SECRET[:TOKEN]; NULL: signatures are not verified */
	const char *s3;         /* URL of the server that exports go to; NULL: they all fail */
	const char *s3_key;     /* AKID:SECRET for it */
	const char *s3_region;  /* NULL: the emulator's own */
};

struct emulator;
/* Starts its threads and ignores SIGPIPE; NULL with err where it cannot. The options' texts may go
 * afterwards. */
struct emulator *emulator_start(const struct emulator_options *options, struct error *err);
int emulator_port(const struct emulator *e);
/* Cuts all connections and joins the threads. NULL is fine. */
void emulator_stop(struct emulator *e);
static inline void emulator_free(struct emulator *e)
{
	emulator_stop(e);
}
DEFINE_AUTO(emulator)
