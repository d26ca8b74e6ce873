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

bool postgres_place(const char *url, char *out, size_t size);
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
static inline struct postgres *postgres_of(struct store *s)
{
	return (struct postgres *)s;
}

/* The same where only success matters. */
#define postgres_did(...)                                                                          \
	({                                                                                         \
		AUTO(pg_result) PGresult *did_ = postgres_call(__VA_ARGS__);                       \
		did_ != NULL;                                                                      \
	})

/* Of struct store_ops, in postgres_lanes.c. */
bool postgres_sinks_start(struct store *s, int64_t stream, struct store_start *starts, size_t count,
			  int64_t at_ms, struct error *err);
bool postgres_join(struct store *s, const char *session, int64_t stream, int64_t epoch,
		   const int32_t *sinks, size_t count, struct error *err);
bool postgres_leave(struct store *s, const char *session, int64_t stream, struct error *err);
bool postgres_round(struct store *s, const char *session, const struct store_round_fns *fns,
		    void *arg, struct error *err);
bool postgres_lanes_add(struct store *s, const char *session, int64_t stream, int64_t epoch,
			bool own, struct store_lane *lanes, size_t count, const int32_t *sinks,
			size_t sink_count, struct error *err);
bool postgres_lanes_claim(struct store *s, const char *session, int64_t stream,
			  const int32_t *sinks, size_t sink_count, uint32_t max, int64_t *claim,
			  struct error *err);
bool postgres_lanes_list(struct store *s, int64_t stream, const struct store_of *of,
			 store_lane_fn *lane, store_position_fn *position, void *arg,
			 struct error *err);
bool postgres_unheld(struct store *s, int64_t stream, store_unheld_fn *fn, void *arg,
		     struct error *err);
bool postgres_lanes_wish(struct store *s, const char *session, const char *from, int64_t stream,
			 uint32_t max, uint32_t *wished, struct error *err);
bool postgres_lanes_release(struct store *s, const char *session, const int64_t *lanes,
			    size_t count, struct error *err);
bool postgres_shards(struct store *s, int64_t stream, int64_t after, store_shard_fn *fn, void *arg,
		     struct error *err);
bool postgres_tidy(struct store *s, int64_t stream, int64_t before_ms, uint32_t *removed,
		   struct error *err);

/* The same, in postgres_holds.c. */
bool postgres_stream_hold(struct store *s, int64_t stream, uint64_t generation, int64_t instead,
			  struct store_hold *hold, bool *done, struct error *err);
bool postgres_stream_owned(struct store *s, int64_t stream, uint32_t *owned, struct error *err);
bool postgres_stream_reset(struct store *s, int64_t stream, struct store_reset *r, bool *done,
			   struct error *err);
bool postgres_stream_rewind(struct store *s, int64_t stream, struct store_rewind *r, bool *done,
			    struct error *err);
bool postgres_stream_go_on(struct store *s, int64_t stream, int64_t hold, const char *who,
			   int64_t at_ms, bool *ended, struct error *err);
bool postgres_audit(struct store *s, int64_t stream, uint32_t max, store_audit_fn *fn, void *arg,
		    struct error *err);
/* Columns of a stream's hold, from `column` on: those of an audit row a. */
#define POSTGRES_HOLD "a.id, a.why, a.who, a.said, a.at_ms, a.from_generation, a.to_ms"
bool postgres_hold_at(const PGresult *res, int row, int column, struct store_hold *out,
		      struct error *err) MUST_CHECK;

/* The same, in postgres_gaps.c. */
bool postgres_gap_put(struct store *s, const char *session, struct store_gap *gap, bool accept,
		      bool *added, struct error *err);
bool postgres_gaps(struct store *s, int64_t stream, store_gap_fn *fn, void *arg, struct error *err);
bool postgres_gaps_accept(struct store *s, int64_t stream, int64_t newest, int64_t at_ms,
			  uint32_t *accepted, struct error *err);
bool postgres_gaps_accepted(struct store *s, const int64_t *streams, size_t count, store_gap_fn *fn,
			    void *arg, struct error *err);
bool postgres_gap_close(struct store *s, int64_t id, enum store_gap_how how,
			const struct sequence *to, int64_t to_ms, int64_t at_ms, struct error *err);
