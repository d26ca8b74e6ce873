#pragma once
#include "base/error.h"
#include "event/batch.h"
#include "event/filter.h"
#include "event/route.h"
#include "event/schema.h"
#include "event/transform.h"

/* Decodes the GetRecords answer in b->body into b->events and b->payloads in one strict pass:
 * UTF-8, escapes, number syntax, 38 digits, depth, every byte of the page. Output goes straight to
 * the arena; no allocation per record (a few chunks per page). b->source and b->shard are set
 * before. The body may move: it gets zero bytes behind its end, which do not count as its size.
 *
 * strict: any fault of the page is ERROR_RETRY, and nothing may be used: fetch the page again.
 * lenient (after the page stayed bad): records whose borders can still be told are given one by
 * one, the faulty ones with `bad` set and, where it can be read, their sequence; ERROR_INVALID
 * where the page cannot even be split into records.
 *
 * Where the contract leaves a choice:
 * - An update without its old image is EVENT_READ, in every format.
 * - A record without the image that a format asks for (KEYS_ONLY streams, OLD_IMAGE ones) has its
 *   keys in that place: they are what is known of the item.
 * - `plain`: attributes that are called like the members it adds get one more underscore in front,
 *   and so do those that have one more already: _op, __op become __op, ___op.
 * - `dynamodb`: the record's bytes as they came, white space between tokens left out.
 * - Numbers that are no JSON ("+1", "007", ".5", "5.") are changed as little as JSON asks; with
 *   numbers_as_strings they stay as they came.
 * - A record has each member that we read at most once, and eventName, Keys, SequenceNumber and
 *   ApproximateCreationDateTime; eventID and userIdentity may be missing or null.
 *
 * encodings: at most BATCH_ENCODINGS_MAX; further ones of the same style of numbers cost little.
 * now_ms: AWS time, for `ts_ms` of the envelope.
 *
 * outputs: who gets the payloads, at most DECODE_OUTPUTS_MAX. A record that does not pass `filter`
 * is for none of them, one that does not pass an output's is not for that one: event.unwanted says
 * so. It was checked as strictly as others (a bad record passes no filter by), but is encoded only
 * for outputs that want it. Without outputs every record is encoded in every way.
 *
 * A record that some output wants is sorted by the schemas. One that does not fit its schema is a
 * fault of all these outputs, and has no payload; what its images lack that has a default is put
 * in, before any transform. `unfit` makes one that has no schema bad, too.
 *
 * Where the route of an output puts the record is said in batch.routes.
 *
 * An encoding's transform is applied to what a payload shows of the record's items: its images, or
 * the keys where they stand in for one, and the keys of the `dynamodb` form, to which nothing is
 * set. Where it fails, the event has no payload of that encoding: a fault of its outputs. Where a
 * script made several events of it, each of them says which it is: _part, source.part,
 * sluice.part. Keys, filters, schemas, routes and event.raw are of the record as it came. */
#define DECODE_OUTPUTS_MAX 32
struct decode_output {
	const struct filter *filter; /* NULL: all */
	unsigned encoding;
	const struct route *route; /* NULL: it goes where all of its stream goes */
	bool route_required;       /* a record that lacks a value of it is bad for this output */
};
struct decode_options {
	const struct encoding *encodings;
	size_t encoding_count;
	bool lenient;
	int64_t now_ms;
	const struct filter *filter;   /* NULL: all */
	const struct schemas *schemas; /* NULL: there are none */
	bool unfit;
	const struct decode_output *outputs;
	size_t output_count;
};
bool decode_page(struct batch *b, const struct decode_options *o, struct error *err) MUST_CHECK;

/* Decodes the lines of an export's data file in b->body (whole ones, each with its '\n', which the
 * last may lack) into b->events and b->payloads, as decode_page does with a page: one event a line,
 * with `bad` set where it is no row of such an export. Lines of white space are passed over.
 * b->source is set before, b->shard is NULL; source->arn may be NULL. lenient does not matter.
 *
 * A full export's rows are EVENT_READ. A window's are created, updated, deleted; without old images
 * EVENT_READ and deleted, and an old image that is there is not looked at. Their sequence is the
 * window's number, `snapshot` of the envelope "true" or "incremental", stream, shard and event_id
 * are null. In the `dynamodb` format they are INSERTs and REMOVEs with {"op":…,"window":…} as
 * `sluice`.
 */
void decode_lines(struct batch *b, const struct decode_options *o, const struct rows *rows);

/* The record in Lambda's form, as dead letters and the `dynamodb` format carry it: eventSourceARN
 * added. For any bytes: what is no valid JSON object goes in as a base64 string. */
void decode_letter_record(const struct source *source, struct str raw, struct buf *out);
/* The same of an export's line: in the `dynamodb` form where it is a row. */
void decode_letter_line(const struct source *source, const struct rows *rows, struct str raw,
			struct buf *out);
