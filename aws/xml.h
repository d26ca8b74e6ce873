#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

/* The little XML that S3 and STS answer with: elements without attributes that matter. Slices point
 * into the document; nothing is allocated. */

/* Finds the next <tag …>…</tag> in `rest`, whatever its depth, and moves `rest` behind it; `inner`
 * is what is between, still escaped; it may be `rest` itself, which then moves inside. False,
 * `rest` untouched, where there is none or it is cut. An element inside another of the same name
 * ends the outer one early: AWS has none. */
bool xml_next(struct str *rest, const char *tag, struct str *inner);
/* The text of the first such element without its escapes, as a zero-terminated string. False where
 * there is none or it does not fit; `out` is "" then. */
bool xml_text(struct str document, const char *tag, char *out, size_t size);
