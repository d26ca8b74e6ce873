#pragma once
#include <libpq-fe.h>

#include "base/buf.h"
#include "base/sequence.h"
#include "base/str.h"

/* Values on their way to Postgres and back: array parameters, built as text ({1,2,NULL}), and the
 * columns of results. */

#define POSTGRES_ARRAY_BYTES_MAX ((size_t)512 << 20) /* ten million moves */
/* Declares an array parameter that is freed at the end of the scope. */
#define POSTGRES_ARRAY(name)                                                                       \
	__attribute__((                                                                            \
		cleanup(buf_release))) struct buf name = { .limit = POSTGRES_ARRAY_BYTES_MAX }

void array_int(struct buf *b, int64_t n);
void array_ints(struct buf *b, const int64_t *n, size_t count);
void array_bool(struct buf *b, bool value);
void array_sequence(struct buf *b, const struct sequence *q); /* none is NULL */
void array_text(struct buf *b, const char *text);
void array_bytes(struct buf *b, struct str bytes);
void array_sinks(struct buf *b, const int32_t *sinks, size_t count);
/* Closes it; the text lives as long as the buffer. */
const char *array_end(struct buf *b);

int64_t value_int(const PGresult *res, int row, int column); /* NULL is 0 */
bool value_bool(const PGresult *res, int row, int column);   /* NULL is false */
/* NULL is none. */
bool value_sequence(struct sequence *out, const PGresult *res, int row, int column,
		    struct error *err);
