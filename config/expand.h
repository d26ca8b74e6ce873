#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/error.h"

/* Puts the environment and files into a value. In a value ${NAME} and ${NAME:-default} are the
 * environment (the default also where NAME is empty), ${file:PATH} is a file without the newline at
 * its end, $$ is one $, and any other $ is itself. In a template only ${env:NAME} and
 * ${env:NAME:-default} are replaced; all else belongs to the event's placeholders.
 * What was put in is not looked at again. */
enum expand_kind { EXPAND_VALUE, EXPAND_TEMPLATE };

/* `left` is how many bytes expansion may still make, so that a small file cannot ask for gigabytes;
 * it counts down. The result is UTF-8 without zero bytes, in the arena (or is `text`). NULL and
 * ERROR_INVALID naming the variable or file. */
#define EXPAND_BYTES_MAX ((size_t)4 << 20)
const char *expand_text(struct arena *a, const char *text, enum expand_kind kind, size_t *left,
			struct error *err);
