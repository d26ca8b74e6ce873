#pragma once
#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"

/* Which records are wanted, in the language of AWS's event patterns, about the record as a Lambda
 * function gets it (the `dynamodb` format). Compiled once, then constant: any thread may ask it.
 *
 *     {"eventName": ["INSERT", "MODIFY"],
 *      "dynamodb": {"NewImage": {"total": {"N": [{"numeric": [">", 100]}]}}}}
 *
 * All members of a pattern have to match, and of each list one entry: a value, {"prefix": TEXT},
 * {"suffix": TEXT}, {"equals-ignore-case": TEXT}, {"anything-but": …}, {"numeric": [">", 0, "<=",
 * 5]}, {"exists": true or false}. {"$or": [{…}, {…}]} stands for one of several maps.
 *
 * As AWS has it:
 * - Text is compared byte for byte, numbers by their value.
 * - Of a list or set in the record one element has to match; what a pattern asks of the inside of
 *   an element, one and the same element has to fulfil.
 * - Every test but {"exists": false} needs the value to be there.
 * - anything-but is fulfilled by every other value, of whatever type.
 * Beyond it:
 * - N and NS are numbers, too: a number or `numeric` compares them by value, in all 38 digits; a
 *   text compares their text.
 * - `exists` of M and L asks for the map or list itself; {"exists": false} inside of a list means
 *   that no element has it.
 * - What could never match, or always would, is refused: names that a record does not have, an
 *   attribute without its type, a number for an S. */
#define FILTER_PATTERN_MAX ((size_t)64 << 10)
struct filter;

/* NULL and ERROR_INVALID: the message begins with the place inside the pattern. count > 0; a record
 * that one of the patterns matches is wanted. */
struct filter *filter_new(const struct str *patterns, size_t count, struct error *err);
void filter_free(struct filter *f);
DEFINE_AUTO(filter)
/* Whether a pattern may be used; *at: the byte in it that the message is about. */
bool filter_check(struct str pattern, size_t *at, struct error *err) MUST_CHECK;

/* record: a whole record of a page, from its '{', that was found valid (record.h) and lies in a
 * padded body. arn: the stream's, which a page's records do not carry; p NULL: there is none. */
bool filter_match(const struct filter *f, const char *record, struct str arn);
