#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "event/event.h"

/* A topic or a path with placeholders, parsed once and rendered often. Immutable after
 * template_new: any thread may render.
 *
 * Values are made to fit their place, so that a name can neither break a topic nor leave its
 * folder: in a topic every byte outside [a-zA-Z0-9._-] becomes '_'; in a path '/', '\', '%' and
 * controls become %XX, and so do the dots of a value that is "." or "..". An empty value is "_".
 * Text between placeholders is the operator's: checked for topics, taken as it is for paths. */
struct template;

enum template_use {
	TEMPLATE_TOPIC, /* ${table} ${stream} ${region} ${account} ${op} */
	TEMPLATE_PATH, /* ${table} ${stream} ${region} ${account} ${yyyy} ${MM} ${dd} ${HH} ${mm} */
};

/* What the rendered text changes with. */
enum template_needs {
	TEMPLATE_NEEDS_SOURCE = 1,
	TEMPLATE_NEEDS_OP = 2,   /* differs from event to event */
	TEMPLATE_NEEDS_TIME = 4, /* of the roll */
};

/* Only what template_needs names has to be set. */
struct template_values {
	const struct source *source;
	enum event_op op; /* rendered as c, u, d, r */
	int64_t time_ms;  /* epoch; rendered in UTC */
};

/* NULL and ERROR_INVALID on an unknown placeholder (the known ones are listed), one that is not
 * closed, or text that cannot be in a topic's name. */
struct template *template_new(const char *text, enum template_use use, struct error *err);
void template_free(struct template *t);
DEFINE_AUTO(template)
/* Bits of enum template_needs; 0: the text is constant. */
unsigned template_needs(const struct template *t);
/* Appends to `out`. ERROR_INVALID where the result cannot be a topic (empty, ".", "..", over 249
 * bytes) or passes the buffer's limit; what was appended then is undefined. */
bool template_render(const struct template *t, const struct template_values *v, struct buf *out,
		     struct error *err) MUST_CHECK;
