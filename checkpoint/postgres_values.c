#include <inttypes.h>
#include <stdlib.h>

#include "checkpoint/postgres_values.h"
#include "checkpoint/store_ops.h"

static void array_next(struct buf *b)
{
	buf_text(b, b->size ? "," : "{");
}

void array_int(struct buf *b, int64_t n)
{
	array_next(b);
	buf_printf(b, "%" PRId64, n);
}

void array_ints(struct buf *b, const int64_t *n, size_t count)
{
	for (size_t i = 0; i < count; i++)
		array_int(b, n[i]);
}

void array_bool(struct buf *b, bool value)
{
	array_next(b);
	buf_text(b, value ? "t" : "f");
}

void array_sequence(struct buf *b, const struct sequence *q)
{
	char text[SEQUENCE_TEXT_SIZE];

	array_next(b);
	buf_text(b, sequence_is_none(q) ? "NULL" : sequence_text(q, text));
}

void array_text(struct buf *b, const char *text)
{
	array_next(b);
	buf_text(b, "\"");
	for (; *text; text++) {
		char escaped[3] = { '\\', *text, 0 };

		buf_text(b, *text == '"' || *text == '\\' ? escaped : escaped + 1);
	}
	buf_text(b, "\"");
}

void array_bytes(struct buf *b, struct str bytes)
{
	static const char digits[] = "0123456789abcdef";

	array_next(b);
	buf_text(b, "\"\\\\x");
	for (size_t i = 0; i < bytes.n;) {
		char hex[1025];
		size_t n = 0;

		for (; n < sizeof(hex) - 1 && i < bytes.n; i++) {
			hex[n++] = digits[(unsigned char)bytes.p[i] >> 4];
			hex[n++] = digits[bytes.p[i] & 15];
		}
		hex[n] = 0;
		buf_text(b, hex);
	}
	buf_text(b, "\"");
}

const char *array_end(struct buf *b)
{
	buf_text(b, b->size ? "}" : "{}");
	return b->data;
}

void array_sinks(struct buf *b, const int32_t *sinks, size_t count)
{
	for (size_t i = 0; i < count; i++)
		array_int(b, sinks[i]);
}

/* --- results --- */
int64_t value_int(const PGresult *res, int row, int column)
{
	return strtoll(PQgetvalue(res, row, column), NULL, 10);
}

bool value_bool(const PGresult *res, int row, int column)
{
	return *PQgetvalue(res, row, column) == 't';
}

bool value_sequence(struct sequence *out, const PGresult *res, int row, int column,
		    struct error *err)
{
	return store_sequence_parse(
		out, PQgetisnull(res, row, column) ? NULL : PQgetvalue(res, row, column), err);
}
