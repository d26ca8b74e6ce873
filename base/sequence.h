#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"

/* A stream's sequence number: up to 40 decimal digits without leading zeros (AWS gives 21 to 40,
 * DynamoDB Local pads with zeros). Never text, never 64 bits. length 0 is "none": before the first
 * record; it sorts lowest. */
#define SEQUENCE_DIGITS_MAX 40
struct sequence {
	uint8_t length;
	char digits[SEQUENCE_DIGITS_MAX];
};
#define SEQUENCE_NONE ((struct sequence){ 0 })

/* ERROR_INVALID where it is empty, too long or has something that is no digit. */
bool sequence_parse(struct sequence *out, struct str text, struct error *err) MUST_CHECK;
int sequence_compare(const struct sequence *a, const struct sequence *b);
static inline bool sequence_equal(const struct sequence *a, const struct sequence *b)
{
	return sequence_compare(a, b) == 0;
}
static inline bool sequence_is_none(const struct sequence *s)
{
	return s->length == 0;
}
#define SEQUENCE_TEXT_SIZE (SEQUENCE_DIGITS_MAX + 1)
/* The digits and a zero byte; "" for none. Returns out. */
char *sequence_text(const struct sequence *s, char out[SEQUENCE_TEXT_SIZE]);
