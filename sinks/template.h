#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "event/event.h"
#include "event/route.h"

/* A topic or a path with placeholders, parsed once and rendered often. Immutable after
 * template_new: any thread may render.
 *
 * Values are made to fit their place, so that a name can neither break a topic nor leave its
 * folder: in a topic every byte outside [a-zA-Z0-9._-] becomes '_'; in a path '/', '\', '%',
 * controls and what else Hive escapes (" # ' * : = ? [ ] ^ {) become %XX, and so do the dots of a
 * value that is "." or "..". An empty value is "_", one that an event does not have "_missing".
 * Text between placeholders is the operator's: checked for topics, taken as it is for paths. */
struct template;

enum template_use {
	/* Both: ${table} ${stream} ${region} ${account}, and of the event ${op} ${schema}
	 * ${attribute:PATH} */
	TEMPLATE_TOPIC,
	/* ${yyyy} ${MM} ${dd} ${HH} ${mm} of the roll, ${event:yyyy} and so on of the event */
	TEMPLATE_PATH,
};

/* What the rendered text changes with. */
enum template_needs {
	TEMPLATE_NEEDS_SOURCE = 1,
	TEMPLATE_NEEDS_EVENT = 2, /* differs from event to event */
	TEMPLATE_NEEDS_TIME = 4,  /* of the roll */
};

/* Only what template_needs names has to be set. */
struct template_values {
	const struct source *source;
	const struct str *event; /* the values of its route; p NULL: missing */
	int64_t time_ms;         /* epoch; rendered in UTC */
};

/* NULL and ERROR_INVALID on an unknown placeholder (the known ones are listed), one that is not
 * closed, or text that cannot be in a topic's name. */
struct template *template_new(const char *text, enum template_use use, struct error *err);
void template_free(struct template *t);
DEFINE_AUTO(template)
/* Bits of enum template_needs; 0: the text is constant. */
unsigned template_needs(const struct template *t);
/* Whether it needs the table's name at most: of a source nothing else is asked then. */
bool template_of_table(const struct template *t);
/* What it asks of events; NULL: nothing. The template's. */
const struct route *template_route(const struct template *t);
/* Whether some event of the source may go to a topic of this name. */
bool template_may_be(const struct template *t, const struct source *source, const char *topic);
/* Appends to `out`. ERROR_INVALID where the result cannot be a topic (empty, ".", "..", over 249
 * bytes) or has a folder that events make longer than 255 bytes or 800 together, or passes the
 * buffer's limit; what was appended then is undefined. */
bool template_render(const struct template *t, const struct template_values *v, struct buf *out,
		     struct error *err) MUST_CHECK;
