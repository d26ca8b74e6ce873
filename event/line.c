#include "event/line.h"

#include <stdio.h>

#include "base/arena.h"
#include "base/buf.h"

#define IS(name, literal) str_equal((name), STR(literal))
#define TIME_US_MAX       ((int64_t)253402300799999999) /* the end of the year 9999 */
/* Both images, in the reader's style; one behind the other in the scratch. */
struct texts {
	char *at;
};

static void head(struct line_reader *l, unsigned i, const char *name, struct arena *arena)
{
	struct buf text;

	l->names[i] = name;
	if (!*name)
		return;
	buf_init(&text, 0);
	buf_json_text(&text, str_of(name));
	buf_text(&text, ":");
	l->heads[i] = scan_keep(buf_str(&text), arena);
	buf_release(&text);
}

void line_reader_init(struct line_reader *l, struct record_reader *records,
		      const struct source *source, const struct rows *rows, struct arena *arena)
{
	char number[24];
	struct error unused;
	bool good;

	*l = (struct line_reader){ .records = records, .rows = rows };
	snprintf(number, sizeof(number), "%llu", (unsigned long long)rows->window);
	good = sequence_parse(&l->sequence, str_of(number), &unused);
	(void)good; /* digits */
	head(l, 0, source->key_hash, arena);
	head(l, 1, source->key_range, arena);
	l->lacks_key = arena_printf(arena, "an item with %s%s%s", source->key_hash,
				    *source->key_range ? " and " : "", source->key_range);
}

/* The next member of an object, from behind its '{' (`first`) or a value; the place of its value.
 * name->p NULL: there is none, and the place is behind the '}'. */
static const char *member(struct scan *s, const char *p, bool first, struct str *name)
{
	p = scan_space(s, p);
	if (*p == '}') {
		name->p = NULL;
		return p + 1;
	}
	if (first)
		return scan_name(s, p, name);
	if (*p != ',')
		return scan_fail(s, p, "',' or '}'");
	return scan_name(s, scan_space(s, p + 1), name);
}

static const char *item(struct line_reader *l, struct value_style style,
			struct value_memory *memory, struct texts *t, const char *p,
			struct item *out)
{
	struct span span;

	if (out->raw.p)
		return scan_fail(&l->records->scan, p, "each member of a line once");
	span = value_item(&l->records->scan, style, memory, p, t->at);
	if (!span.in)
		return NULL;
	out->raw = (struct str){ p, (size_t)(span.in - p) };
	out->text = (struct str){ t->at, (size_t)(span.out - t->at) };
	t->at = span.out;
	return span.in;
}

/* which: the new image or the old one. */
static const char *image(struct line_reader *l, struct texts *t, const char *p, struct item *out,
			 unsigned which)
{
	struct record_reader *r = l->records;

	p = item(l, r->style, &r->images, t, p, out);
	if (p && r->kept)
		record_keep(r, out, which);
	return p;
}

/* ---- a key out of an item ---- */

/* The attribute as it stands in the line, name and value; the item was read before. */
static struct str attribute_any(struct line_reader *l, const struct item *image, unsigned i)
{
	struct scan *s = &l->records->scan;
	struct str name, wanted = str_of(l->names[i]);
	const char *p = scan_space(s, image->raw.p + 1);
	char plain[2048];

	for (bool first = true; (p = member(s, p, first, &name)) && name.p; first = false) {
		const char *begin = name.p - 1;

		p = scan_skip(s, p);
		if (name.n <= sizeof(plain) &&
		    str_equal((struct str){ plain, scan_unescape(name, plain) }, wanted))
			return (struct str){ begin, (size_t)(p - begin) };
	}
	return (struct str){ 0 };
}

/* What was seen in the item stands in the memory, in its order; the key mostly where it stood in
 * the item before. NULL: it is not remembered, or written in another way. */
static const struct value_seen *attribute(struct line_reader *l, const struct item *image,
					  unsigned i)
{
	const struct value_seen *seen = l->records->images.seen;
	struct str name = l->heads[i];
	unsigned slot = l->slots[i];

	if (name.n > 32)
		return NULL;
	if (LIKELY(seen[slot].in > image->raw.p && scan_common(seen[slot].in, name.p) >= name.n))
		return &seen[slot];
	for (slot = 0; slot < VALUE_MEMORY_MAX && seen[slot].in > image->raw.p; slot++) {
		if (scan_common(seen[slot].in, name.p) < name.n)
			continue;
		l->slots[i] = slot;
		return &seen[slot];
	}
	return NULL;
}

/* The key attributes as an item of their own, as they stand in the line. False where one is not
 * there. `texts`: as plain JSON, too, if that is what was made of them; *have says so. */
static bool keys_copy(struct line_reader *l, struct texts *t, const struct item *image,
		      struct item *out, bool *have)
{
	char *raw = t->at + SCAN_PADDING, *text, *o = raw;
	const struct value_seen *seen[2] = { NULL, NULL };

	for (unsigned i = 0; i < 2 && *l->names[i]; i++) {
		struct str any;

		seen[i] = attribute(l, image, i);
		any = seen[i] ? (struct str){ seen[i]->in, seen[i]->in_n }
			      : attribute_any(l, image, i);
		if (!any.p)
			return false;
		*have &= seen[i] != NULL;
		*o++ = i ? ',' : '{';
		o = scan_copy(o, any.p, any.n);
	}
	*o++ = '}';
	out->raw = (struct str){ raw, (size_t)(o - raw) };
	text = o = t->at = o + SCAN_PADDING;
	for (unsigned i = 0; i < 2 && *have && seen[i]; i++) {
		*o++ = i ? ',' : '{';
		o = scan_copy(o, seen[i]->out, seen[i]->out_n);
	}
	*o++ = '}';
	out->text = (struct str){ text, (size_t)(o - text) };
	return true;
}

static bool keys_make(struct line_reader *l, struct texts *t, const struct item *image,
		      struct item *out)
{
	struct value_style style = l->records->style;
	const struct value_style exact = { 0 };
	struct item keys = { 0 };
	/* What the key is made of has numbers as numbers, and the names as they are. */
	bool have = !style.numbers_as_strings && !style.escape_names;

	if (!keys_copy(l, t, image, &keys, &have)) {
		scan_fail(&l->records->scan, image->raw.p, l->lacks_key);
		return false;
	}
	if (LIKELY(have)) {
		*out = keys;
		return true;
	}
	return item(l, exact, NULL, t, keys.raw.p, out) != NULL;
}

/* ---- lines ---- */

static const char *full(struct line_reader *l, struct texts *t, const char *p, struct record *out)
{
	struct record_reader *r = l->records;
	struct str name;

	out->time_ms = l->rows->time_ms;
	out->op = EVENT_READ;
	for (bool first = true;; first = false) {
		p = member(&r->scan, p, first, &name);
		if (!p || !name.p)
			break;
		p = IS(name, "Item") ? image(l, t, p, &out->new_image, 0) : scan_skip(&r->scan, p);
		if (!p)
			return NULL;
	}
	return p;
}

/* {"N":"1768387654353205"}; documents show the bare string and the bare number, too. */
static const char *time_value(struct scan *s, const char *p, int64_t *us)
{
	bool quoted = *p == '"';
	int64_t v = 0;

	p += quoted;
	if (*p < '0' || *p > '9')
		return scan_fail(s, p, "microseconds since 1970");
	for (; *p >= '0' && *p <= '9'; p++) {
		v = v * 10 + (*p - '0');
		if (v > TIME_US_MAX)
			return scan_fail(s, p, "microseconds before the year 10000");
	}
	if (quoted && *p != '"')
		return scan_fail(s, p, "'\"'");
	*us = v;
	return p + quoted;
}

static const char *time_read(struct scan *s, const char *p, int64_t *us)
{
	struct str name;

	if (*p != '{')
		return time_value(s, p, us);
	p = member(s, p + 1, true, &name);
	if (!p || !name.p || !IS(name, "N"))
		return p ? scan_fail(s, p, "a number, {\"N\":\"…\"}") : NULL;
	p = time_value(s, p, us);
	p = p ? scan_space(s, p) : NULL;
	if (p && *p != '}')
		return scan_fail(s, p, "'}'");
	return p ? p + 1 : NULL;
}

static const char *metadata(struct scan *s, const char *p, int64_t *us)
{
	struct str name;

	if (*p != '{')
		return scan_fail(s, p, "'{'");
	p++;
	for (bool first = true;; first = false) {
		p = member(s, p, first, &name);
		if (!p || !name.p)
			return p;
		p = IS(name, "WriteTimestampMicros") ? time_read(s, p, us) : scan_skip(s, p);
		if (!p)
			return NULL;
	}
}

/* Of a merged line: the window that it is of. */
static const char *number_read(struct scan *s, const char *p, struct sequence *out)
{
	struct error unused;
	struct str digits = { p, 0 };

	while (p[digits.n] >= '0' && p[digits.n] <= '9')
		digits.n++;
	if (!sequence_parse(out, digits, &unused))
		return scan_fail(s, p, "a window's number");
	return p + digits.n;
}

static const char *window_member(struct line_reader *l, struct texts *t, struct str name,
				 const char *p, int64_t *us, struct record *out)
{
	struct record_reader *r = l->records;
	const struct value_style exact = { 0 };

	if (IS(name, "Metadata"))
		return *us < 0 ? metadata(&r->scan, p, us)
			       : scan_fail(&r->scan, p, "each member of a line once");
	if (IS(name, "Keys"))
		return item(l, exact, &r->keys, t, p, &out->keys);
	if (IS(name, "NewImage"))
		return image(l, t, p, &out->new_image, 0);
	if (IS(name, "OldImage"))
		return image(l, t, p, &out->old_image, 1);
	if (l->rows->merged && IS(name, "Window"))
		return number_read(&r->scan, p, &out->sequence);
	return scan_skip(&r->scan, p);
}

/* Without old images an insert and an update look alike. */
static enum event_op window_op(const struct rows *rows, const struct record *r)
{
	if (!r->new_image.raw.p)
		return EVENT_DELETE;
	if (!rows->old_images)
		return EVENT_READ;
	return r->old_image.raw.p ? EVENT_UPDATE : EVENT_CREATE;
}

static const char *window(struct line_reader *l, struct texts *t, const char *p, struct record *out)
{
	struct scan *s = &l->records->scan;
	struct str name;
	int64_t us = -1;

	for (bool first = true;; first = false) {
		p = member(s, p, first, &name);
		if (!p || !name.p)
			break;
		p = window_member(l, t, name, p, &us, out);
		if (!p)
			return NULL;
	}
	if (!l->rows->old_images)
		out->old_image.raw.p = NULL;
	out->op = window_op(l->rows, out);
	out->time_ms = us / 1000;
	return p && us < 0 ? scan_fail(s, p - 1, "Metadata with WriteTimestampMicros") : p;
}

const char *line_read(struct line_reader *l, const char *p, struct record *out)
{
	struct record_reader *r = l->records;
	struct texts t = { r->scratch };
	const char *end;

	*out = (struct record){ .sequence = l->sequence };
	r->scan.spaced = false;
	/* Behind the '{': the first line begins where what was never seen is said to be. */
	r->images.since = r->keys.since = p + 1;
	if (*p != '{')
		return scan_fail(&r->scan, p, "a row of an export, '{'");
	end = l->rows->window ? window(l, &t, p + 1, out) : full(l, &t, p + 1, out);
	if (!end)
		return NULL;
	if (l->rows->window && !out->keys.raw.p)
		return scan_fail(&r->scan, p, "a row with Keys");
	if (!l->rows->window && !out->new_image.raw.p)
		return scan_fail(&r->scan, p, "a row with an Item");
	if (!l->rows->window && !keys_make(l, &t, &out->new_image, &out->keys))
		return NULL;
	out->raw = (struct str){ p, (size_t)(end - p) };
	out->spaced = r->scan.spaced;
	return end;
}

struct line_parts line_parts(const char *p)
{
	struct line_parts parts = { 0 };
	struct scan s = { 0 };
	struct str name;

	p = scan_space(&s, p) + 1;
	for (bool first = true; (p = member(&s, p, first, &name)) && name.p; first = false) {
		struct str *part = IS(name, "Keys")       ? &parts.keys
				   : IS(name, "NewImage") ? &parts.new_image
				   : IS(name, "OldImage") ? &parts.old_image
							  : NULL;
		const char *end = scan_skip(&s, p);

		if (part)
			*part = (struct str){ p, (size_t)(end - p) };
		p = end;
	}
	return parts;
}
