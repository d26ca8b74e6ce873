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

/* A member as it stood in the last record: the next has mostly the same names in the same order,
 * and much of the same values. */
#define RECORD_MEMORY_MAX 12
struct record_seen {
	const char *in;
	uint32_t head_n; /* its name and colon */
	uint32_t n; /* all of it and the byte behind, where that is short and may be compared */
	unsigned member;
};
struct record_reader {
	struct scan scan;
	struct value_style style;
	struct value_memory images, keys;
	struct record_seen record[RECORD_MEMORY_MAX];
	struct record_seen change[RECORD_MEMORY_MAX];
	struct record_seen identity[RECORD_MEMORY_MAX];
	int64_t time_ms; /* the last time that was read */
	/* Holds the items' texts of one record. */
	char *scratch;
};

/* For one page. scratch: of the caller, as many bytes as the page and 2 * SCAN_PADDING. */
void record_reader_init(struct record_reader *r, struct value_style style, char *scratch);
/* p at the record's '{'; the place behind it, or NULL: see scan.fault. */
const char *record_read(struct record_reader *r, const char *p, struct record *out);
/* Only what the `dynamodb` form changes (raw, identity, has_source_arn, spaced), of any valid JSON
 * object; scratch is not used. */
const char *record_outline(struct record_reader *r, const char *p, struct record *out);
/* The sequence of a record that cannot be read, if it stands where it should. */
bool record_salvage_sequence(struct str raw, struct sequence *out);
