#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/sequence.h"
#include "base/str.h"

/* c, u, d of a stream; r of an export, or where an update's old image is not to be had. */
enum event_op { EVENT_CREATE, EVENT_UPDATE, EVENT_DELETE, EVENT_READ };
char event_op_letter(enum event_op op);

/* Whose records these are: constant for a lane, owned by its stream, read from any thread. */
struct source {
	const char *stream;               /* configured name */
	const char *table;                /* table's name */
	const char *arn;                  /* the stream's ARN */
	const char *account, *region;     /* out of the ARN */
	const char *key_hash, *key_range; /* attribute names; key_range "" where there is none */
	const char *version;              /* of the program */
	uint64_t generation;
	bool new_images, old_images; /* by the stream's view type */
};

/* What all rows of one export have in common; they have neither stream nor shard. */
struct rows {
	uint64_t window; /* its number, which is their sequence; 0: a full export */
	int64_t time_ms; /* a full export's, as its rows have none of their own */
	/* The window tells the old image wherever there was one. Else nobody knows what was new. */
	bool old_images;
	/* They are of several windows, up to this one, and each line says of which (merge.h). */
	bool merged;
};

/* One record of a page as decoded. Every slice lives in the batch. */
struct event {
	enum event_op op;
	bool ttl; /* deleted by time to live */
	struct sequence sequence;
	int64_t time_ms; /* ApproximateCreationDateTime */
	struct str id;   /* eventID's bytes inside the JSON quotes; n 0: it has none */
	struct str key;  /* canonical key (contract, "Events"); n 0: nobody wants it */
	struct str raw;  /* the record as it came, in the page's body */
	const char *bad; /* NULL, or why it could not be decoded: goes to the dead letters */
	bool skipped;    /* bad, as a person says so */
	/* Bits: outputs (decode.h) whose filters it does not pass, or whose scripts made nothing of
	 * it. */
	uint32_t unwanted;
	uint32_t faulty; /* bits: outputs that it is bad for (batch.faults) */
};

struct transform;
enum event_format { FORMAT_DEBEZIUM, FORMAT_PLAIN, FORMAT_DYNAMODB };

/* What the members are called that the plain form adds (`fields`). */
#define EVENT_FIELD_MAX 32 /* bytes of a name */
struct event_fields {
	const char *op, *ts, *seq, *gen, *order;
};
extern const struct event_fields event_fields_default;
/* Whether an attribute of this name may not keep it: it is a field's, or `_part`, with any number
 * of underscores in front. fields NULL: the default ones. */
bool event_fields_reserve(const struct event_fields *fields, struct str name);
/* NULL, or what is wrong with names that were set. */
const char *event_fields_fault(const struct event_fields *fields);
/* NULL where all have their default names. */
const struct event_fields *event_fields_set(const struct event_fields *fields);

/* What a sink wants the payload to be. Equal ones are encoded once. */
struct encoding {
	enum event_format format;
	bool numbers_as_strings;           /* `numbers: string` */
	const struct event_fields *fields; /* of FORMAT_PLAIN; NULL: the default ones */
	const struct transform *transform; /* of its items; NULL: as they came */
};

/* Generation and sequence as text that sorts as they do: 10 digits, '-', 40 digits. Returns out. */
#define EVENT_ORDER_SIZE 52
char *event_order_text(uint64_t generation, const struct sequence *s, char out[EVENT_ORDER_SIZE]);
