#pragma once
#include "base/buf.h"
#include "base/rng.h"

/* Random pages for the decoder's tests. */

/* jansson knows no NUL in names. */
static inline void add_text(struct rng *r, bool name, struct buf *out)
{
	static const char *const pieces[] = {
		"a",
		"Z9",
		" ",
		"é",
		"日本",
		"\U0001f600",
		"\\n",
		"\\\"",
		"\\\\",
		"\\/",
		"\\u0000",
		"\\u00e9",
		"\\ud83d\\ude00",
		"\\u001f",
		"{\\\"",
		"quite a long run of plain letters, longer than one block",
		"\x7f",
		"]},",
		"''",
	};
	uint64_t count = rng_below(r, 4) ? rng_below(r, 4) : rng_below(r, 30);

	for (uint64_t i = 0; i < count; i++) {
		const char *piece = pieces[rng_below(r, sizeof(pieces) / sizeof(pieces[0]))];

		buf_text(out, name && strcmp(piece, "\\u0000") == 0 ? "" : piece);
	}
}

static inline void add_number(struct rng *r, struct buf *out)
{
	static const char *const signs[] = { "", "", "", "-", "+" };
	uint64_t whole = rng_below(r, 20), fraction = rng_below(r, 3) ? 0 : rng_below(r, 18);

	buf_text(out, signs[rng_below(r, 5)]);
	for (uint64_t i = 0; i < whole; i++)
		buf_printf(out, "%u", (unsigned)rng_below(r, 10));
	if (fraction || rng_below(r, 8) == 0 || whole == 0)
		buf_text(out, whole ? "." : "0.");
	for (uint64_t i = 0; i < fraction; i++)
		buf_printf(out, "%u", (unsigned)rng_below(r, 10));
	if (rng_below(r, 8) == 0)
		buf_printf(out, "%s%d", rng_below(r, 2) ? "e" : "E", (int)rng_below(r, 200) - 100);
}

static inline void add_space(struct rng *r, struct buf *out)
{
	if (rng_below(r, 40) == 0)
		buf_text(out, rng_below(r, 2) ? " " : "\r\n\t ");
}

static inline void add_strings(struct rng *r, const char *type, struct buf *out)
{
	uint64_t count = rng_below(r, 4) + 1;

	buf_printf(out, "\"%s\":[", type);
	for (uint64_t i = 0; i < count; i++) {
		buf_text(out, i ? ",\"" : "\"");
		if (*type == 'S')
			add_text(r, false, out);
		else if (*type == 'N')
			add_number(r, out);
		else
			buf_text(out, rng_below(r, 2) ? "AAEC/w==" : "");
		buf_text(out, "\"");
	}
	buf_text(out, "]");
}

static inline void add_value(struct rng *r, unsigned depth, struct buf *out);

static inline void add_container(struct rng *r, bool map, unsigned depth, struct buf *out)
{
	uint64_t count = rng_below(r, depth > 3 ? 2 : 5);

	buf_text(out, map ? "\"M\":{" : "\"L\":[");
	for (uint64_t i = 0; i < count; i++) {
		buf_text(out, i ? "," : "");
		add_space(r, out);
		if (map) {
			buf_printf(out, "\"%u", (unsigned)i);
			add_text(r, true, out);
			buf_text(out, "\":");
			add_space(r, out);
		}
		add_value(r, depth + 1, out);
		add_space(r, out);
	}
	buf_text(out, map ? "}" : "]");
}

static inline void add_value(struct rng *r, unsigned depth, struct buf *out)
{
	static const char *const sets[] = { "SS", "NS", "BS" };
	uint64_t kind = rng_below(r, depth < 30 ? 12 : 6);

	buf_text(out, "{");
	add_space(r, out);
	if (kind < 2) {
		buf_text(out, "\"S\":\"");
		add_text(r, false, out);
		buf_text(out, "\"");
	} else if (kind < 4) {
		buf_text(out, "\"N\":\"");
		add_number(r, out);
		buf_text(out, "\"");
	} else if (kind == 4) {
		buf_printf(out, "\"BOOL\":%s", rng_below(r, 2) ? "true" : "false");
	} else if (kind == 5) {
		buf_text(out, rng_below(r, 2) ? "\"NULL\":true" : "\"B\":\"q83v\"");
	} else if (kind < 8) {
		add_strings(r, sets[rng_below(r, 3)], out);
	} else {
		add_container(r, kind & 1, depth, out);
	}
	add_space(r, out);
	buf_text(out, "}");
}

#define ATTRIBUTES 12

/* Attribute i is made from seeds[i]; some are left out. */
static inline void add_item(struct rng *r, const uint64_t *seeds, struct buf *out)
{
	bool any = false;

	buf_text(out, "{");
	for (unsigned i = 0; i < ATTRIBUTES; i++) {
		struct rng own;

		if (rng_below(r, 6) == 0)
			continue;
		rng_seed(&own, seeds[i]);
		buf_printf(out, "%s\"attribute_%u\":", any ? "," : "", i);
		any = true;
		add_space(r, out);
		add_value(&own, 0, out);
	}
	buf_text(out, "}");
}

/* Members in their usual order or in any, each by its number; `at` is the place. */
static inline unsigned place(struct rng *r, bool usual, unsigned at, unsigned count,
			     unsigned *taken)
{
	unsigned k = usual ? at : (unsigned)rng_below(r, count);

	while (*taken & 1u << k)
		k = (k + 1) % count;
	*taken |= 1u << k;
	return k;
}

static inline void add_change(struct rng *r, bool usual, const uint64_t seeds[2][ATTRIBUTES],
			      struct buf *out)
{
	static const char *const constant[] = {
		"\"ApproximateCreationDateTime\":1763700000",
		"\"Keys\":{\"pk\":{\"S\":\"a\"},\"sk\":{\"N\":\"1\"}}",
		"\"SequenceNumber\":\"111111111111111111111\"",
		"\"StreamViewType\":\"NEW_AND_OLD_IMAGES\"",
	};
	bool without_old = rng_below(r, 5) == 0;
	unsigned taken = 0;

	buf_text(out, "{");
	for (unsigned i = 0; i < 7; i++) {
		unsigned k = place(r, usual, i, 7, &taken);

		buf_text(out, i ? "," : "");
		add_space(r, out);
		if (k < 4) {
			buf_text(out, constant[k]);
		} else if (k == 4) {
			buf_printf(out, "\"SizeBytes\":%u", (unsigned)rng_below(r, 2000));
		} else if (k == 5 || !without_old) {
			buf_text(out, k == 5 ? "\"NewImage\":" : "\"OldImage\":");
			add_item(r, seeds[k - 5], out);
		} else {
			buf_text(out, "\"Other\":[null,{\"a\":\"}\"}]");
		}
		add_space(r, out);
	}
	buf_text(out, "}");
}

static inline void add_record(struct rng *r, struct buf *out)
{
	static const char *const constant[] = { "\"awsRegion\":\"eu-west-1\"",
						"\"eventVersion\":\"1.1\"",
						"\"eventName\":\"MODIFY\"",
						"\"eventSource\":null" };
	uint64_t seeds[2][ATTRIBUTES];
	bool usual = rng_below(r, 3) > 0;
	unsigned taken = 0;

	/* Most attributes are the same before and after. */
	for (unsigned i = 0; i < ATTRIBUTES; i++) {
		seeds[0][i] = rng_next(r);
		seeds[1][i] = rng_below(r, 4) ? seeds[0][i] : rng_next(r);
	}
	buf_text(out, "{");
	for (unsigned i = 0; i < 6; i++) {
		unsigned k = place(r, usual, i, 6, &taken);

		buf_text(out, i ? "," : "");
		add_space(r, out);
		if (k < 4) {
			buf_text(out, constant[k]);
		} else if (k == 4) {
			buf_text(out, "\"dynamodb\":");
			add_change(r, usual, seeds, out);
		} else {
			buf_printf(out, "\"eventID\":\"%x\"", (unsigned)rng_next(r));
		}
	}
	buf_text(out, "}");
}

/* A page of updates by `r`: every type, odd strings and numbers, nesting, stray white space,
 * members out of order, images that differ in some attributes. Valid by DynamoDB's rules. */
static inline void random_page(struct rng *r, unsigned records, struct buf *out)
{
	buf_text(out, "{\"Records\":[");
	for (unsigned i = 0; i < records; i++) {
		buf_text(out, i ? "," : "");
		add_record(r, out);
	}
	buf_text(out, "]}");
}
