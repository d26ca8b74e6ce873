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
/* Of file systems and, with the name of the file and a prefix, of S3. */
#define FOLDER_BYTES_MAX 255
#define PATH_BYTES_MAX   800
/* More is a mistake: bounds what a template takes. */
#define PARTS_MAX 64

enum part_kind {
	PART_TEXT,
	PART_TABLE,
	PART_STREAM,
	PART_REGION,
	PART_ACCOUNT,
	PART_EVENT, /* a value of the route */
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
	enum route_kind of_event; /* of EVENT; the others need none */
} placeholders[] = {
	{ "table", PART_TABLE, IN_TOPIC | IN_PATH, TEMPLATE_NEEDS_SOURCE, ROUTE_OP },
	{ "stream", PART_STREAM, IN_TOPIC | IN_PATH, TEMPLATE_NEEDS_SOURCE, ROUTE_OP },
	{ "region", PART_REGION, IN_TOPIC | IN_PATH, TEMPLATE_NEEDS_SOURCE, ROUTE_OP },
	{ "account", PART_ACCOUNT, IN_TOPIC | IN_PATH, TEMPLATE_NEEDS_SOURCE, ROUTE_OP },
	{ "op", PART_EVENT, IN_TOPIC | IN_PATH, TEMPLATE_NEEDS_EVENT, ROUTE_OP },
	{ "schema", PART_EVENT, IN_TOPIC | IN_PATH, TEMPLATE_NEEDS_EVENT, ROUTE_SCHEMA },
	{ "attribute:PATH", PART_EVENT, IN_TOPIC | IN_PATH, TEMPLATE_NEEDS_EVENT, ROUTE_ATTRIBUTE },
	{ "yyyy", PART_YEAR, IN_PATH, TEMPLATE_NEEDS_TIME, ROUTE_OP },
	{ "MM", PART_MONTH, IN_PATH, TEMPLATE_NEEDS_TIME, ROUTE_OP },
	{ "dd", PART_DAY, IN_PATH, TEMPLATE_NEEDS_TIME, ROUTE_OP },
	{ "HH", PART_HOUR, IN_PATH, TEMPLATE_NEEDS_TIME, ROUTE_OP },
	{ "mm", PART_MINUTE, IN_PATH, TEMPLATE_NEEDS_TIME, ROUTE_OP },
	{ "event:yyyy", PART_EVENT, IN_PATH, TEMPLATE_NEEDS_EVENT, ROUTE_YEAR },
	{ "event:MM", PART_EVENT, IN_PATH, TEMPLATE_NEEDS_EVENT, ROUTE_MONTH },
	{ "event:dd", PART_EVENT, IN_PATH, TEMPLATE_NEEDS_EVENT, ROUTE_DAY },
	{ "event:HH", PART_EVENT, IN_PATH, TEMPLATE_NEEDS_EVENT, ROUTE_HOUR },
	{ "event:mm", PART_EVENT, IN_PATH, TEMPLATE_NEEDS_EVENT, ROUTE_MINUTE },
};
#define PLACEHOLDERS (sizeof(placeholders) / sizeof(placeholders[0]))

struct part {
	enum part_kind kind;
	struct str text;         /* PART_TEXT: a slice of template.text */
	enum route_kind kind_of; /* PART_EVENT */
	unsigned place;          /* the same: in the route */
};

struct template
{
	enum template_use use;
	unsigned needs;
	size_t count;
	struct part parts[PARTS_MAX];
	struct route *route; /* NULL: nothing is of the event */
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

static const char *example_of(enum template_use use)
{
	return use == TEMPLATE_TOPIC ? "dynamodb.${table}" : "${table}/date=${yyyy}-${MM}-${dd}/";
}

static bool unknown_placeholder(struct str name, enum template_use use, struct error *err)
{
	struct buf known = { 0 };

	for (size_t i = 0; i < PLACEHOLDERS; i++)
		if (placeholders[i].where & use_bit(use))
			buf_printf(&known, "%s${%s}", known.size ? ", " : "", placeholders[i].name);
	error_set(err, ERROR_INVALID, "unknown placeholder ${%.*s}; a %s may have %s, such as %s",
		  STR_ARG(name), use == TEMPLATE_TOPIC ? "topic" : "path", known.data,
		  example_of(use));
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
					 "\"%s\": byte %zu of the text cannot be in a %s; expected "
					 "a text such as %s",
					 t->text, (size_t)(text.p + i - t->text) + 1,
					 t->use == TEMPLATE_TOPIC
						 ? "topic's name (a-z A-Z 0-9 . _ -)"
						 : "path (control character)",
					 example_of(t->use));
	}
	t->parts[t->count++] = (struct part){ .kind = PART_TEXT, .text = text };
	return true;
}

static bool is_called(const struct placeholder *p, struct str name, struct str *path)
{
	static const char prefix[] = "attribute:";
	const size_t n = sizeof(prefix) - 1;

	*path = (struct str){ 0 };
	if (p->kind != PART_EVENT || p->of_event != ROUTE_ATTRIBUTE)
		return str_equal(str_of(p->name), name);
	if (name.n <= n || memcmp(name.p, prefix, n) != 0)
		return false;
	*path = (struct str){ name.p + n, name.n - n };
	return true;
}

static bool add_placeholder(struct template *t, struct str name, struct error *err)
{
	for (size_t i = 0; i < PLACEHOLDERS; i++) {
		const struct placeholder *p = &placeholders[i];
		struct part *part = &t->parts[t->count];
		struct str path;

		if (!(p->where & use_bit(t->use)) || !is_called(p, name, &path))
			continue;
		*part = (struct part){ .kind = p->kind, .kind_of = p->of_event };
		t->count++;
		t->needs |= p->needs;
		if (p->kind != PART_EVENT)
			return true;
		if (!t->route)
			t->route = route_new();
		return route_add(t->route, p->of_event, path, &part->place, err);
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
			return error_set(err, ERROR_INVALID,
					 "\"%s\": ${ without its }; expected a text such as %s",
					 t->text, example_of(t->use));
		if (!add_placeholder(t, (struct str){ open + 2, (size_t)(close - open - 2) }, err))
			return false;
		at = close + 1;
	}
	return t->count > 0 ||
	       error_set(err, ERROR_INVALID, "it is empty; expected a text such as %s",
			 example_of(t->use));
}

/* What no event changes is known now. */
static bool constant_fits(const struct template *t, struct error *err)
{
	struct buf out;
	bool ok;

	if (t->needs)
		return true;
	buf_init(&out, 0);
	ok = template_render(t, &(struct template_values){ 0 }, &out, err);
	buf_release(&out);
	return ok;
}

struct template *template_new(const char *text, enum template_use use, struct error *err)
{
	AUTO(template) struct template *t = memory_new(sizeof(*t));

	t->use = use;
	t->text = memory_text(text);
	if (!parse(t, err) || !constant_fits(t, err))
		return NULL;
	return MOVE(t);
}

void template_free(struct template *t)
{
	if (!t)
		return;
	route_free(t->route);
	free(t->text);
	free(t);
}

const struct route *template_route(const struct template *t)
{
	return t->route;
}

unsigned template_needs(const struct template *t)
{
	return t->needs;
}

bool template_of_table(const struct template *t)
{
	for (size_t i = 0; i < t->count; i++)
		if (t->parts[i].kind != PART_TEXT && t->parts[i].kind != PART_TABLE)
			return false;
	return true;
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
		bool bad = dots || iscntrl(c) || (c && strchr("/\\%\"#'*:=?[]^{", c));

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
	case PART_EVENT:
		return add_value(t, out,
				 v->event[p->place].p ? v->event[p->place] : STR("_missing"));
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

/* What a file system and S3 take; what an operator writes is the operator's. */
static bool path_fits(const struct template *t, struct str path, struct error *err)
{
	size_t folder = 0, longest = 0;

	if (!(t->needs & TEMPLATE_NEEDS_EVENT))
		return true;
	for (size_t i = 0; i < path.n; i++) {
		folder = path.p[i] == '/' ? 0 : folder + 1;
		longest = folder > longest ? folder : longest;
	}
	return (longest <= FOLDER_BYTES_MAX && path.n <= PATH_BYTES_MAX) ||
	       error_set(err, ERROR_INVALID,
			 "\"%s\" gives a path that is too long (a folder at most %d bytes, all of "
			 "it %d): %.100s…",
			 t->text, FOLDER_BYTES_MAX, PATH_BYTES_MAX, path.p);
}

/* The places of a topic's name that may be reached behind some parts. */
struct reached {
	bool at[TOPIC_BYTES_MAX + 1];
};

/* Behind one more part. */
static void reach(const struct template *t, const struct part *p, const struct source *source,
		  struct str topic, const struct reached *before, struct reached *out)
{
	const struct template_values v = { .source = source };
	const struct tm none = { 0 };
	struct buf text;

	*out = (struct reached){ 0 };
	buf_init(&text, 0);
	if (p->kind != PART_EVENT && !add_part(t, p, &v, &none, &text))
		text.size = SIZE_MAX;
	for (size_t i = 0; i <= topic.n; i++) {
		size_t n = p->kind == PART_EVENT ? 1 : text.size;

		if (!before->at[i] || n > topic.n - i)
			continue;
		if (p->kind != PART_EVENT)
			out->at[i + n] |= memcmp(topic.p + i, text.data, n) == 0;
		else if (p->kind_of == ROUTE_OP)
			out->at[i + 1] |= strchr("cudr", topic.p[i]) != NULL;
		else
			memset(out->at + i + 1, true, topic.n - i);
	}
	buf_release(&text);
}

bool template_may_be(const struct template *t, const struct source *source, const char *topic)
{
	struct reached now = { .at = { true } }, next;
	struct str name = str_of(topic);

	if (name.n > TOPIC_BYTES_MAX)
		return false;
	for (size_t i = 0; i < t->count; i++) {
		reach(t, &t->parts[i], source, name, &now, &next);
		now = next;
	}
	return now.at[name.n];
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
	assert(!(t->needs & TEMPLATE_NEEDS_EVENT) || v->event);
	for (size_t i = 0; i < t->count; i++)
		if (!add_part(t, &t->parts[i], v, &tm, out))
			return error_set(err, ERROR_INVALID, "\"%s\" becomes longer than %zu bytes",
					 t->text, out->limit);
	result = (struct str){ out->data + before, out->size - before };
	if (t->use != TEMPLATE_TOPIC)
		return path_fits(t, result, err);
	if (result.n > TOPIC_BYTES_MAX || str_equal(result, STR(".")) ||
	    str_equal(result, STR("..")))
		return error_set(
			err, ERROR_INVALID,
			"\"%s\" gives a name that Kafka does not take for a topic "
			"(at most %d bytes, not . or .., but such as dynamodb.orders): %.*s",
			t->text, TOPIC_BYTES_MAX, STR_ARG(result));
	return true;
}
