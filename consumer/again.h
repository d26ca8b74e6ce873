#pragma once
#include "checkpoint/letters.h"
#include "config/config.h"
#include "event/batch.h"
#include "sinks/sink.h"

/* What dead letters become when they are tried once more: the events that the filters, schemas,
 * transforms and the form of today's configuration make of their records, for one stream and one of
 * its sinks. One thread's. */
struct again_stream {
	const struct config_stream *config;
	size_t use; /* of config->sinks: which of them */
	const struct config_sink *sink;
	const char *name; /* the stream's */
	const char *arn;  /* of its latest stream */
	const char *key_hash, *key_range;
};
struct again;
/* The stream and what it points to outlive it. */
struct again *again_new(const struct again_stream *stream, struct error *err) MUST_CHECK;
void again_free(struct again *a);
DEFINE_AUTO(again)

enum again_fate {
	AGAIN_EVENT,   /* `delivery` */
	AGAIN_NOTHING, /* a filter keeps it from the sink, or a script makes nothing of it */
	AGAIN_BAD,     /* `reason`, `error` */
};
struct again_record {
	enum again_fate fate;
	struct delivery delivery;
	const char *reason; /* as of a letter */
	struct error error;

	struct source source; /* what its batch points to */
	struct batch *batch;
	char *arn, *table, *shard;
	char region[64], account[16];
};
/* now_ms: AWS time. */
struct again_record *again_record_new(struct again *a, const struct store_retried *letter,
				      int64_t now_ms);
void again_record_free(struct again_record *r);

/* What a list of letters shows of one, and its choice goes by. */
struct again_letter {
	int64_t id;
	char *stream, *sink; /* sink "": it is for every one */
	char *reason, *error, *shard, *sequence, *time;
	unsigned attempts;
	uint64_t generation; /* 0: it does not say */
	bool row;            /* of an export: it has no stream to come from */
};
/* INVALID: it is no letter. */
bool again_letter_read(struct str json, struct again_letter *out, struct error *err) MUST_CHECK;
void again_letter_release(struct again_letter *l);
/* More than what is made of any page has, and less than what buffers take. */
#define AGAIN_LETTER_BYTES_MAX (32 << 20)
/* A letter that comes back from a sink of letters, in any JSON form of it: `json` is the same
 * letter as the store has it, out->sequence what it is known by there. INVALID: nothing is made. */
bool again_letter_line(struct str line, struct again_letter *out, struct buf *json,
		       struct error *err) MUST_CHECK;
/* The same letter for one sink of those that it was for; and as one that failed once more. */
void again_letter_for(const struct again_letter *l, struct str json, const char *sink,
		      struct buf *out);
void again_letter_failed(const struct again_letter *l, struct str json, const char *reason,
			 const char *error, int64_t now_ms, struct buf *out);
