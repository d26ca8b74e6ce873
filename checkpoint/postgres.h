#pragma once
#include <libpq-fe.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "checkpoint/store_ops.h"

/* A connection to Postgres that may sit behind a transaction pooler: nothing lives in the
 * database's session. One call is one round trip and one transaction. */
struct postgres {
	struct store base;
	PGconn *conn; /* NULL: connect at the next call */
	char *url;
	int64_t timeout_ms;
	struct clock clock;
};

struct store *postgres_open(const char *url, int64_t timeout_ms, bool reader, struct error *err);
void postgres_close(struct store *s);

static inline void pg_result_free(struct pg_result *r)
{
	PQclear(r);
}
DEFINE_AUTO(pg_result)

/* Runs one statement with a parameter for each letter of `types`: i int64_t, t const char * (NULL
 * is NULL), s struct str as the bytes of a text. The result is the caller's; NULL: err is set, and
 * nothing changed unless it is RETRY. */
PGresult *postgres_call(struct postgres *p, struct error *err, const char *sql, const char *types,
			...);
/* The same where only success matters. */
#define postgres_did(...)                                                                          \
	({                                                                                         \
		AUTO(pg_result) PGresult *did_ = postgres_call(__VA_ARGS__);                       \
		did_ != NULL;                                                                      \
	})
