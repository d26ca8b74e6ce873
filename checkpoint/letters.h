#pragma once
#include "checkpoint/store.h"

/* Dead letters on their way out of the store's table into a sink, and records that a person sends
 * to them; in the same store and under the same rules as store.h.
 *
 * Letters go in batches, each of one stream and for one sink, one batch after the other. A batch
 * has a number and keeps its letters until all are sent, whoever sends them, so that a sink can
 * tell whether it has the batch already. What was sent is remembered for a while: the record may be
 * read again, and is no second letter then. */

#define STORE_OUTGOING_STREAMS   8                  /* whose batches are handed out at once */
#define STORE_OUTGOING_MAX       100                /* letters of a batch */
#define STORE_OUTGOING_BYTES_MAX ((int64_t)4 << 20) /* the same; one is always let in */
/* What was sent is remembered for so long: twice as long as a stream keeps its records. */
#define STORE_SENT_KEPT_MS (48LL * 60 * 60 * 1000)

struct store_outgoing {
	int64_t id;
	const char *stream, *arn; /* arn: of its latest stream; "": it has none */
	/* Unique for these two, stream and sink, and the same for ever; and the batch's number in
	 * it: it grows, and is about the time at which the batch was made (epoch ms). */
	const char *chain;
	int64_t batch;
	const char *shard, *sequence, *reason;
	struct str json; /* the whole letter */
};
typedef void store_outgoing_fn(void *arg, const struct store_outgoing *letter);
/* Calls back for the letters that the session is to send to the sink now: those of its batches that
 * are not sent yet, by stream and id; of a stream whose last batch is sent, a new one. Streams with
 * the oldest letters come first, STORE_OUTGOING_STREAMS of them. Nothing of a stream while another
 * live session has its batch. So it may be sent again. Cheap where there are
 * no letters. FENCED where the session is not live. */
bool store_letters_claim(struct store *s, const char *session, int32_t sink,
			 const char *const *streams, size_t count, int64_t at_ms,
			 store_outgoing_fn *fn, void *arg, struct error *err) MUST_CHECK;
/* The sink has them for good: they make room. */
bool store_letters_sent(struct store *s, const char *session, const int64_t *letters, size_t count,
			int64_t at_ms, struct error *err) MUST_CHECK;
/* The sink can never take it: it leaves its batch, stays in the table, and is tried again only once
 * the session is over. */
bool store_letter_keep(struct store *s, const char *session, int64_t letter,
		       struct error *err) MUST_CHECK;

/* --- trying letters once more (`sluice deadletter retry`) ---
 *
 * Letters of one stream and sink go in batches, one after the other, each known by its chain and
 * its number, as above: it keeps its letters until it is known what became of each, whoever tries.
 * Who tries is named by a UUID that is used once; the last to come goes on, one who came before is
 * FENCED with its next batch. */
struct store_retry {
	const char *owner;
	bool first; /* its first batch of these two: it takes over from whoever was there before */
	const char *stream;
	int32_t sink;
	const int64_t *letters; /* to be tried: all of them the stream's, for that sink */
	size_t count;
	int64_t at_ms;
};
struct store_retried {
	int64_t id;
	uint64_t generation; /* the stream's, as the record was read last */
	const char *chain;
	int64_t batch;
	const char *shard;
	struct str json; /* the whole letter */
	bool early;      /* only `id` is set: it is not tried yet */
};
typedef void store_retried_fn(void *arg, const struct store_retried *letter);
/* Calls back for the letters of the batch that is not over yet, by id; where there is none, of a
 * new one out of retry->letters, with the limits of the batches above. Nothing: all were tried.
 *
 * A letter is put before the place of its record is saved. Where its worker dies in between, the
 * record is read again, and may come to the sink by itself. So until its shard's saved place is
 * there a letter is not tried: it is in no new batch, and called back for as early. */
bool store_letters_retry(struct store *s, const struct store_retry *retry, store_retried_fn *fn,
			 void *arg, struct error *err) MUST_CHECK;
/* The sink has them for good, or is to get nothing of them: they are no letters any more. */
bool store_letters_gone(struct store *s, const int64_t *letters, size_t count,
			struct error *err) MUST_CHECK;
/* It failed again: it leaves its batch, and has this reason and text from now on. */
bool store_letter_again(struct store *s, int64_t letter, const char *reason, struct str json,
			struct error *err) MUST_CHECK;
/* A letter that is for every sink becomes one for each of these, in one call; one that is there
 * already stays as it is. Calls back for each. INVALID where the table would pass bytes_max: it
 * stays one. */
struct store_part {
	const char *sink;
	struct str json;
};
typedef void store_part_fn(void *arg, const char *sink, int64_t letter);
bool store_letter_split(struct store *s, int64_t letter, const struct store_part *parts,
			size_t count, int64_t bytes_max, store_part_fn *fn, void *arg,
			struct error *err) MUST_CHECK;
/* A letter comes back from a sink of letters, to be tried: it goes to no such sink again. *added:
 * it was none until now; else it stays as it is. INVALID where the table would pass bytes_max. */
bool store_letter_load(struct store *s, const struct store_letter *letter, uint64_t generation,
		       int64_t bytes_max, bool *added, struct error *err) MUST_CHECK;
/* Who had how many letters of a stream tried; kept as long as the audit of streams. */
struct store_retry_audit {
	const char *stream, *who, *said;
	int64_t at_ms; /* AWS time */
	uint64_t letters;
};
bool store_retry_audit_put(struct store *s, const struct store_retry_audit *a,
			   struct error *err) MUST_CHECK;
/* The newest first, at most `max`. */
typedef void store_retry_audit_fn(void *arg, const struct store_retry_audit *a);
bool store_retry_audit(struct store *s, const char *stream, uint32_t max, store_retry_audit_fn *fn,
		       void *arg, struct error *err) MUST_CHECK;

/* --- skipping: a person sends one record to the dead letters --- */
#define STORE_SKIP_KEPT_MS (7LL * 24 * 60 * 60 * 1000)
struct store_skip {
	char shard[STORE_SHARD_SIZE];
	struct sequence sequence;
	char who[STORE_NAME_MAX + 1];
	int64_t at_ms; /* AWS time */
};
/* Again is fine: the first one counts. NOT_FOUND where the stream is not known. */
bool store_skip_put(struct store *s, int64_t stream, const struct store_skip *skip,
		    struct error *err) MUST_CHECK;
typedef void store_skip_fn(void *arg, const struct store_skip *skip);
/* Of the stream, by shard and sequence; those of the last STORE_SKIP_KEPT_MS. */
bool store_skips(struct store *s, int64_t stream, store_skip_fn *fn, void *arg,
		 struct error *err) MUST_CHECK;
