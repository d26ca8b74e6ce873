#pragma once
#include "event/record.h"
#include "event/transform.h"
#include "event/tree.h"

/* A transform at work, for one page and one encoding: applies its steps to the items of one record
 * after the other. Not thread safe. */
struct transformer;

/* A record's items as the encoding has them: plain JSON, or DynamoDB's for the `dynamodb` form.
 * Those that the form does not show are left out: p NULL. They live until the next record. */
struct transformed {
	struct str keys, new_image, old_image;
	unsigned part; /* of several events that a script made of the record: 1, 2, …; 0: the only
			  one */
};

/* An attribute that is put into items that have none at its place, before the first step. Maps are
 * made on the way; where something else is in the way, nothing is done. */
struct record_fill {
	const struct str *names; /* of its path, as JSON writes them in their one spelling */
	const struct str *plain; /* the same, what they say */
	size_t count;
	struct str raw; /* the value in DynamoDB's JSON, padded */
	enum tree_type type;
	const struct record_fill *next;
};
/* Of one record's images; NULL: nothing. */
struct record_fills {
	const struct record_fill *new_image, *old_image;
};

/* t NULL: nothing is changed but by what is filled in. have: the style that records are read with.
 */
struct transformer *transformer_new(const struct transform *t, const struct source *source,
				    enum event_format format, struct value_style have,
				    struct value_style want);
void transformer_free(struct transformer *x);
/* NULL, or why the record cannot be delivered: text that lives until the next record. What became
 * of it is in *out, *count of them: one, but where a script says otherwise. */
const char *transformer_apply(struct transformer *x, const struct record *r,
			      const struct record_fills *fills, const struct transformed **out,
			      size_t *count);
/* After a fault: NULL, or what of a script it was ("instructions"), for a metric's label. */
const char *transformer_script_fault(const struct transformer *x);
