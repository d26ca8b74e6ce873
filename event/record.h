#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "event/event.h"
#include "event/scan.h"
#include "event/value.h"

/* One record of a page as GetRecords gives it, its images as plain JSON. Unknown members are
 * checked and passed over; known ones may come in any order, but once. */
struct item {
	struct str raw;  /* in the page; p NULL: the record has none */
	struct str text; /* as plain JSON, in the reader's style; of Keys in the plain one */
	/* Of an image, where the reader keeps them: its attributes; 0: only the whole is known. */
	const struct value_seen *seen;
	uint32_t seen_n;
	uint32_t changes; /* of the memory, then */
};
struct record {
	struct str raw;
	struct str id;       /* p NULL: none */
	struct str identity; /* the member userIdentity's value; p NULL: none */
	struct str identity_type, identity_principal; /* with their quotes; p NULL: none */
	bool has_source_arn;                          /* Lambda's eventSourceARN is there already */
	bool ttl;
	bool spaced; /* white space between its tokens */
	enum event_op op;
	int64_t time_ms;
	struct sequence sequence;
	struct item keys, new_image, old_image;
};

/* What a record consists of: values that matter, and gaps between them that hold names, punctuation
 * and members that nobody asks for. The gaps are mostly the same in record after record, so each is
 * compared with the last one at its place before it is read. */
#define RECORD_STEPS_MAX 16
struct record_step {
	const char *gap;   /* in the page; the value or the record's end stands behind it */
	uint32_t n;        /* UINT32_MAX: not known, or too long to be remembered */
	unsigned member;   /* which value */
	unsigned state[2]; /* which members there were and where we stand, before the gap and behind
			    */
};
struct record_reader {
	struct scan scan;
	struct value_style style;
	struct value_memory images, keys;
	struct record_step steps[RECORD_STEPS_MAX];
	struct str time; /* the last time's text, what stands behind it included, */
	int64_t time_ms; /* and what it says */
	/* Holds the items' texts of one record. */
	char *scratch;
	/* NULL, or room for the attributes of one record's new and old image. */
	struct value_seen (*kept)[VALUE_MEMORY_MAX];
};

/* For one page, padded, which begins before its first record. scratch: of the caller, as many bytes
 * as the page and 2 * SCAN_PADDING. Attributes are not kept unless `kept` is set then. */
void record_reader_init(struct record_reader *r, struct value_style style, const char *page,
			char *scratch);
/* p at the record's '{'; the place behind it, or NULL: see scan.fault. */
const char *record_read(struct record_reader *r, const char *p, struct record *out);
/* An image was read just now, the new or the old one (0, 1): its attributes are kept. */
void record_keep(struct record_reader *r, struct item *image, unsigned which);
/* Only what the `dynamodb` form changes (raw, identity, has_source_arn, spaced), of any valid JSON
 * object; scratch is not used. */
const char *record_outline(struct record_reader *r, const char *p, struct record *out);
/* The sequence of a record that cannot be read, if it stands where it should. */
bool record_salvage_sequence(struct str raw, struct sequence *out);
