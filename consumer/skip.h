#pragma once
#include "consumer/lane.h"

/* Records of a shard that a person sends to the dead letters (`sluice skip`): they are bad for
 * every sink, whatever on_error says. */

/* Marks those that the page has. */
void skip_records(const struct lane *l, struct batch *b);
/* Of a page with one record, which cannot be used however often it is fetched: whether it is one
 * that is skipped. Then the page holds it, whole, and nothing else. */
bool skip_page(const struct lane *l, struct batch *b);
/* What looks like the number of a record in a page that cannot be used; "": nothing does. */
char *skip_number(const struct batch *b, char out[SEQUENCE_TEXT_SIZE]);
/* Is anything behind the lane's place to be skipped? Then the record at fault is looked for. */
bool skip_waits(const struct lane *l);
