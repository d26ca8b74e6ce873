#pragma once
#include "base/error.h"
#include "event/batch.h"

/* Decodes the GetRecords answer in b->body into b->events and b->payloads in one strict pass:
 * UTF-8, escapes, number syntax, 38 digits, depth, every byte of the page. Output goes straight to
 * the arena; no allocation per record (a few chunks per page). b->source and b->shard are set
 * before.
 *
 * strict: any fault of the page is ERROR_RETRY, and nothing may be used: fetch the page again.
 * lenient (after the page stayed bad): records whose borders can still be told are given one by
 * one, the faulty ones with `bad` set and, where it can be read, their sequence; ERROR_INVALID
 * where the page cannot even be split into records. now_ms: AWS time, for `ts_ms` of the envelope.
 */
struct decode_options {
	const struct encoding *encodings;
	size_t encoding_count;
	bool lenient;
	int64_t now_ms;
};
bool decode_page(struct batch *b, const struct decode_options *o, struct error *err) MUST_CHECK;

/* The record in Lambda's form, as dead letters and the `dynamodb` format carry it: eventSourceARN
 * added. For any bytes: what is not valid JSON goes in as a base64 string. */
void decode_letter_record(const struct source *source, struct str raw, struct buf *out);
