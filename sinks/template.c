#include "sinks/template.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"

/* Kafka's limit for a topic's name. */
#define TOPIC_BYTES_MAX 249
/* More is a mistake: bounds what a template takes. */
#define PARTS_MAX 64

enum part_kind {
	PART_TEXT,
	PART_TABLE,
	PART_STREAM,
	PART_REGION,
	PART_ACCOUNT,
	PART_OP,
	PART_YEAR,
	PART_MONTH,
	PART_DAY,
	PART_HOUR,
	PART_MINUTE,
};

enum { IN_TOPIC = 1, IN_PATH = 2 };

static const struct placeholder {
	const char *name;
	enum part_kind kind;
	unsigned where, needs;
} placeholders[] = {
	{ "table", PART_TABLE, IN_TOPIC | IN_PATH, TEMPLATE_NEEDS_SOURCE },
	{ "stream", PART_STREAM, IN_TOPIC | IN_PATH, TEMPLATE_NEEDS_SOURCE },
	{ "region", PART_REGION, IN_TOPIC | IN_PATH, TEMPLATE_NEEDS_SOURCE },
	{ "account", PART_ACCOUNT, IN_TOPIC | IN_PATH, TEMPLATE_NEEDS_SOURCE },
	{ "op", PART_OP, IN_TOPIC, TEMPLATE_NEEDS_OP },
	{ "yyyy", PART_YEAR, IN_PATH, TEMPLATE_NEEDS_TIME },
	{ "MM", PART_MONTH, IN_PATH, TEMPLATE_NEEDS_TIME },
	{ "dd", PART_DAY, IN_PATH, TEMPLATE_NEEDS_TIME },
	{ "HH", PART_HOUR, IN_PATH, TEMPLATE_NEEDS_TIME },
	{ "mm", PART_MINUTE, IN_PATH, TEMPLATE_NEEDS_TIME },
};
#define PLACEHOLDERS (sizeof(placeholders) / sizeof(placeholders[0]))

struct part {
	enum part_kind kind;
	struct str text; /* PART_TEXT: a slice of template.text */
};

struct template
{
	enum template_use use;
	unsigned needs;
	size_t count;
	struct part parts[PARTS_MAX];
	char *text;
};

static unsigned use_bit(enum template_use use)
{
	return use == TEMPLATE_TOPIC ? IN_TOPIC : IN_PATH;
}

static bool topic_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '.' || c == '_' || c == '-';
}

static bool unknown_placeholder(struct str name, enum template_use use, struct error *err)
{
	struct buf known = { 0 };

	for (size_t i = 0; i < PLACEHOLDERS; i++)
		if (placeholders[i].where & use_bit(use))
			buf_printf(&known, "%s${%s}", known.size ? ", " : "", placeholders[i].name);
	error_set(err, ERROR_INVALID, "unknown placeholder ${%.*s}; a %s may have %s",
		  STR_ARG(name), use == TEMPLATE_TOPIC ? "topic" : "path", known.data);
	buf_release(&known);
	return false;
}

static bool add_text(struct template *t, struct str text, struct error *err)
{
	if (text.n == 0)
		return true;
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];

		if (t->use == TEMPLATE_TOPIC ? !topic_byte(c) : iscntrl((unsigned char)c) != 0)
			return error_set(err, ERROR_INVALID,
					 "\"%s\": byte %zu of the text cannot be in a %s", t->text,
					 (size_t)(text.p + i - t->text) + 1,
					 t->use == TEMPLATE_TOPIC
						 ? "topic's name (a-z A-Z 0-9 . _ -)"
						 : "path (control character)");
	}
	t->parts[t->count++] = (struct part){ PART_TEXT, text };
	return true;
}

static bool add_placeholder(struct template *t, struct str name, struct error *err)
{
	for (size_t i = 0; i < PLACEHOLDERS; i++) {
		const struct placeholder *p = &placeholders[i];

		if (!(p->where & use_bit(t->use)) || !str_equal(str_of(p->name), name))
			continue;
		t->parts[t->count++] = (struct part){ .kind = p->kind };
		t->needs |= p->needs;
		return true;
	}
	return unknown_placeholder(name, t->use, err);
}

static bool parse(struct template *t, struct error *err)
{
	const char *at = t->text;

	while (*at) {
		const char *open = strstr(at, "${"), *close;

		if (t->count + 2 > PARTS_MAX)
			return error_set(err, ERROR_INVALID, "it has over %d parts", PARTS_MAX);
		if (!open)
			return add_text(t, str_of(at), err);
		if (!add_text(t, (struct str){ at, (size_t)(open - at) }, err))
			return false;
		close = strchr(open, '}');
		if (!close)
			return error_set(err, ERROR_INVALID, "\"%s\": ${ without its }", t->text);
		if (!add_placeholder(t, (struct str){ open + 2, (size_t)(close - open - 2) }, err))
			return false;
		at = close + 1;
	}
	return t->count > 0 || error_set(err, ERROR_INVALID, "it is empty");
}

struct template *template_new(const char *text, enum template_use use, struct error *err)
{
	AUTO(template) struct template *t = memory_new(sizeof(*t));

	t->use = use;
	t->text = memory_text(text);
	if (!parse(t, err))
		return NULL;
	return MOVE(t);
}

void template_free(struct template *t)
{
	if (!t)
		return;
	free(t->text);
	free(t);
}

unsigned template_needs(const struct template *t)
{
	return t->needs;
}

static bool add_value(const struct template *t, struct buf *out, struct str value)
{
	static const char hex[] = "0123456789ABCDEF";
	bool dots = str_equal(value, STR(".")) || str_equal(value, STR(".."));

	if (value.n == 0)
		value = STR("_");
	for (size_t i = 0; i < value.n; i++) {
		unsigned char c = (unsigned char)value.p[i];
		char plain = (char)c, escaped[3] = { '%', hex[c >> 4], hex[c & 15] };
		bool bad = dots || c == '/' || c == '\\' || c == '%' || iscntrl(c);

		if (t->use == TEMPLATE_TOPIC)
			plain = topic_byte(plain) ? plain : '_';
		if (t->use == TEMPLATE_PATH && bad ? !buf_add(out, escaped, sizeof(escaped))
						   : !buf_add(out, &plain, 1))
			return false;
	}
	return true;
}

static bool add_number(struct buf *out, int number, int digits)
{
	char text[16];
	int n = snprintf(text, sizeof(text), "%0*d", digits, number);

	return buf_add(out, text, (size_t)n);
}

static bool add_part(const struct template *t, const struct part *p,
		     const struct template_values *v, const struct tm *tm, struct buf *out)
{
	char op;

	switch (p->kind) {
	case PART_TEXT:
		return buf_add(out, p->text.p, p->text.n);
	case PART_TABLE:
		return add_value(t, out, str_of(v->source->table));
	case PART_STREAM:
		return add_value(t, out, str_of(v->source->stream));
	case PART_REGION:
		return add_value(t, out, str_of(v->source->region));
	case PART_ACCOUNT:
		return add_value(t, out, str_of(v->source->account));
	case PART_OP:
		op = event_op_letter(v->op);
		return buf_add(out, &op, 1);
	case PART_YEAR:
		return add_number(out, tm->tm_year + 1900, 4);
	case PART_MONTH:
		return add_number(out, tm->tm_mon + 1, 2);
	case PART_DAY:
		return add_number(out, tm->tm_mday, 2);
	case PART_HOUR:
		return add_number(out, tm->tm_hour, 2);
	case PART_MINUTE:
		return add_number(out, tm->tm_min, 2);
	}
	return false;
}

bool template_render(const struct template *t, const struct template_values *v, struct buf *out,
		     struct error *err)
{
	size_t before = out->size;
	struct tm tm = { 0 };
	struct str result;

	if (t->needs & TEMPLATE_NEEDS_TIME) {
		time_t seconds = (time_t)(v->time_ms / 1000);

		gmtime_r(&seconds, &tm);
	}
	assert(!(t->needs & TEMPLATE_NEEDS_SOURCE) || v->source);
	for (size_t i = 0; i < t->count; i++)
		if (!add_part(t, &t->parts[i], v, &tm, out))
			return error_set(err, ERROR_INVALID, "\"%s\" becomes longer than %zu bytes",
					 t->text, out->limit);
	if (t->use != TEMPLATE_TOPIC)
		return true;
	result = (struct str){ out->data + before, out->size - before };
	if (result.n > TOPIC_BYTES_MAX || str_equal(result, STR(".")) ||
	    str_equal(result, STR("..")))
		return error_set(err, ERROR_INVALID,
				 "\"%s\" gives a name that Kafka does not take for a topic "
				 "(at most %d bytes, not . or ..): %.*s",
				 t->text, TOPIC_BYTES_MAX, STR_ARG(result));
	return true;
}
