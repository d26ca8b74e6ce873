#pragma once
#include <stdbool.h>

#include "base/str.h"

/* Text without regard to case: each letter of Latin, Greek, Cyrillic and Armenian, and of their
 * accented and full-width forms, stands for its small one. One character becomes one, so that "ß"
 * is not "ss". Text is valid UTF-8. */

/* The small form; out holds FOLD_GROWTH times text.n. Returns its length. */
#define FOLD_GROWTH 2
size_t fold_text(struct str text, char *out);
/* `folded` came from fold_text; `text` is anybody's. */
bool fold_equal(struct str folded, struct str text);
bool fold_prefix(struct str folded, struct str text);
bool fold_suffix(struct str folded, struct str text);
