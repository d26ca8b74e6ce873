#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"

/* Pure: which tables are read, which of a table's streams, and from where.
 *
 * A table has one stream at a time. One that is turned off and on again, or a table that is made
 * anew, gets another: the old one is read to its end first, then the new one from its first record.
 * The store has a row for each; the shards of one are added only once those before it are done, so
 * that the last row which has shards is the one to go on with, whoever looks. */

/* `*` is any text, `?` one letter. */
bool follow_matches(const char *pattern, const char *name);
/* The entry that reads the table of this name: one that names it goes before patterns, and of these
 * the first counts. NULL: none. *other: a second pattern that matches it, or NULL. */
const struct config_stream *follow_entry(const struct config *c, const char *table,
					 const struct config_stream **other);

struct follow_row {
	const char *arn;
	bool begun; /* it has shards in the store, so that those before it are over */
};
struct follow_choice {
	const char *arn;  /* what is read: of the rows, or `latest`; NULL: nothing is known */
	const char *next; /* what is read behind it, or NULL */
};
/* `rows`: the store's streams of this name and table, in the order that they were made. `latest`:
 * AWS's latest stream of the table, or NULL; an answer of AWS may be old. */
struct follow_choice follow_choose(const struct follow_row *rows, size_t count, const char *latest);

/* Where a stream of which nothing is known begins: AWS time, 0 is its oldest record. now_ms is the
 * time, `start` the configured one. One that was turned on (created_ms, -1: not known) after this
 * configuration began to follow its table is read whole: it has nothing that is older. */
int64_t follow_start_ms(enum config_start kind, int64_t start_ms, int64_t now_ms,
			int64_t created_ms, int64_t since_ms);
