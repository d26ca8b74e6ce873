#include "config/yaml.h"

#include <assert.h>
#include <string.h>
#include <yaml.h>

struct builder {
	struct arena *arena;
	const char *name;
	struct str bytes;
	struct yaml_node *root, *open; /* open: the list or map that is being filled */
	const char *key;               /* given, its value still to come */
	int key_line;
	int depth;
	size_t nodes;
	struct error *err;
};

static bool builder_fail(struct builder *b, const yaml_event_t *e, const char *what)
{
	return error_set(b->err, ERROR_INVALID, "%s:%zu: %s", b->name, e->start_mark.line + 1,
			 what);
}

size_t yaml_utf8(const char *p, const char *end, uint32_t *code)
{
	unsigned char c = (unsigned char)*p;
	size_t n = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;
	uint32_t value = n <= 1 ? c : c & (0x7fu >> n);

	if (n == 0 || (size_t)(end - p) < n)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if (((unsigned char)p[i] & 0xc0) != 0x80)
			return 0;
		value = value << 6 | ((unsigned char)p[i] & 0x3f);
	}
	if ((n == 3 && value < 0x800) || (n == 4 && (value < 0x10000 || value > 0x10ffff)) ||
	    (value >= 0xd800 && value <= 0xdfff))
		return 0;
	*code = value;
	return n;
}

void yaml_quote(struct buf *out, const char *text)
{
	const char *end = text + strlen(text);
	uint32_t code = 0;

	buf_text(out, "\"");
	for (size_t n; text < end; text += n) {
		n = yaml_utf8(text, end, &code);
		if (n == 0)
			n = 1, code = 0xfffd;
		if (code == '"' || code == '\\')
			buf_printf(out, "\\%c", (int)code);
		else if (code == '\n')
			buf_text(out, "\\n");
		else if (code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x2028 ||
			 code == 0x2029 || code == 0xfeff || code >= 0xfffd)
			buf_printf(out, code > 0xffff ? "\\U%08x" : "\\u%04x", code);
		else
			buf_printf(out, "%.*s", (int)n, text);
	}
	buf_text(out, "\"");
}

static bool key_take(struct builder *b, const yaml_event_t *e)
{
	const char *key = (const char *)e->data.scalar.value;
	struct buf path;

	if (e->data.scalar.length == 0)
		return builder_fail(b, e, "a key is empty");
	if (b->open->count >= YAML_KEYS_MAX)
		return builder_fail(b, e, "a map has more than 1000 keys");
	for (const struct yaml_node *n = b->open->first; n; n = n->next) {
		if (strcmp(n->key, key) != 0)
			continue;
		buf_init(&path, 0);
		yaml_path(n, &path);
		error_set(b->err, ERROR_INVALID, "%s:%zu: %s: given twice, first in line %d",
			  b->name, e->start_mark.line + 1, path.data, n->line);
		buf_release(&path);
		return false;
	}
	b->key = arena_printf(b->arena, "%s", key);
	b->key_line = (int)e->start_mark.line + 1;
	return true;
}

static struct yaml_node *node_add(struct builder *b, const yaml_event_t *e, enum yaml_kind kind)
{
	struct yaml_node *n = arena_alloc(b->arena, sizeof(*n));

	*n = (struct yaml_node){
		.kind = kind, .line = (int)e->start_mark.line + 1, .text = "", .parent = b->open
	};
	b->nodes++;
	if (!b->open) {
		b->root = n;
		return n;
	}
	/* A map or list begins on the line after its key, but people look for the key. */
	if (b->key && kind != YAML_TEXT)
		n->line = b->key_line;
	n->key = b->key;
	n->index = b->open->count++;
	b->key = NULL;
	if (b->open->last)
		b->open->last->next = n;
	else
		b->open->first = n;
	b->open->last = n;
	return n;
}

static bool scalar_take(struct builder *b, const yaml_event_t *e)
{
	const char *text = (const char *)e->data.scalar.value;
	struct yaml_node *n;

	if (e->data.scalar.anchor || e->data.scalar.tag)
		return builder_fail(b, e, "anchors and tags are not supported");
	if (strlen(text) != e->data.scalar.length)
		return builder_fail(b, e, "a text holds a zero byte");
	if (b->open && b->open->kind == YAML_MAP && !b->key)
		return key_take(b, e);
	n = node_add(b, e, YAML_TEXT);
	n->text = arena_printf(b->arena, "%s", text);
	n->plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	return true;
}

static bool collection_open(struct builder *b, const yaml_event_t *e, enum yaml_kind kind,
			    bool marked)
{
	if (marked)
		return builder_fail(b, e, "anchors and tags are not supported");
	if (b->open && b->open->kind == YAML_MAP && !b->key)
		return builder_fail(b, e, "a key must be a text");
	if (++b->depth > YAML_DEPTH_MAX)
		return builder_fail(b, e, "nested more than 20 deep");
	b->open = node_add(b, e, kind);
	return true;
}

static bool event_take(struct builder *b, const yaml_event_t *e)
{
	if (b->nodes >= YAML_NODES_MAX)
		return builder_fail(b, e, "more than 100000 values");
	switch (e->type) {
	case YAML_SCALAR_EVENT:
		return scalar_take(b, e);
	case YAML_SEQUENCE_START_EVENT:
		return collection_open(b, e, YAML_LIST,
				       e->data.sequence_start.anchor || e->data.sequence_start.tag);
	case YAML_MAPPING_START_EVENT:
		return collection_open(b, e, YAML_MAP,
				       e->data.mapping_start.anchor || e->data.mapping_start.tag);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		assert(b->open); /* libyaml's events are balanced */
		b->open = b->open->parent;
		b->depth--;
		return true;
	case YAML_ALIAS_EVENT:
		return builder_fail(b, e, "aliases are not supported");
	case YAML_DOCUMENT_START_EVENT:
		return !b->root || builder_fail(b, e, "there is more than one document");
	case YAML_NO_EVENT:
	case YAML_STREAM_START_EVENT:
	case YAML_STREAM_END_EVENT:
	case YAML_DOCUMENT_END_EVENT:
		return true;
	}
	return true;
}

/* The brace of ${…} ends a text without quotes inside { } and [ ]. */
static bool has_placeholder(struct str bytes, size_t line)
{
	const char *p = bytes.p, *end = bytes.p + bytes.n, *stop;

	for (; line > 0 && p; line--) {
		p = memchr(p, '\n', (size_t)(end - p));
		p = p ? p + 1 : NULL;
	}
	if (!p)
		return false;
	stop = memchr(p, '\n', (size_t)(end - p));
	return memmem(p, (size_t)((stop ? stop : end) - p), "${", 2) != NULL;
}

static bool invalid_yaml(struct builder *b, const yaml_parser_t *parser)
{
	size_t line = parser->problem_mark.line;

	return error_set(b->err, ERROR_INVALID, "%s:%zu: not valid YAML: %s%s", b->name, line + 1,
			 parser->problem ? parser->problem : "out of memory",
			 has_placeholder(b->bytes, line)
				 ? "; inside { } and [ ] a text with ${…} needs quotes"
				 : "");
}

static bool events_take(struct builder *b, yaml_parser_t *parser)
{
	for (bool more = true; more;) {
		yaml_event_t e;
		bool ok;

		if (!yaml_parser_parse(parser, &e))
			return invalid_yaml(b, parser);
		ok = event_take(b, &e);
		more = e.type != YAML_STREAM_END_EVENT;
		yaml_event_delete(&e);
		if (!ok)
			return false;
	}
	return true;
}

const struct yaml_node *yaml_parse(struct arena *a, struct str bytes, const char *name,
				   struct error *err)
{
	static const char bom[] = "\xef\xbb\xbf"; /* some editors put it before UTF-8 */
	struct builder b = { .arena = a, .name = name, .err = err };
	yaml_parser_t parser;
	bool ok;

	if (bytes.n > YAML_BYTES_MAX) {
		error_set(err, ERROR_INVALID, "%s: larger than 1MiB", name);
		return NULL;
	}
	if (!yaml_parser_initialize(&parser)) {
		error_set(err, ERROR_INVALID, "%s: the YAML parser has no memory", name);
		return NULL;
	}
	if (bytes.n >= strlen(bom) && memcmp(bytes.p, bom, strlen(bom)) == 0)
		bytes = (struct str){ bytes.p + strlen(bom), bytes.n - strlen(bom) };
	b.bytes = bytes;
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&parser, (const unsigned char *)bytes.p, bytes.n);
	ok = events_take(&b, &parser);
	yaml_parser_delete(&parser);
	if (!ok)
		return NULL;
	if (!b.root || yaml_is_null(b.root)) {
		b.root = arena_alloc(a, sizeof(*b.root));
		*b.root = (struct yaml_node){ .kind = YAML_MAP, .line = 1, .text = "" };
	}
	return b.root;
}

const struct yaml_node *yaml_find(const struct yaml_node *map, const char *key)
{
	for (const struct yaml_node *n = map->first; n; n = n->next)
		if (n->key && !strcmp(n->key, key))
			return n;
	return NULL;
}

bool yaml_is_null(const struct yaml_node *n)
{
	return n->kind == YAML_TEXT && n->plain &&
	       (!n->text[0] || !strcmp(n->text, "~") || !strcmp(n->text, "null"));
}

void yaml_path(const struct yaml_node *n, struct buf *out)
{
	if (!n->parent) {
		buf_text(out, "");
		return;
	}
	yaml_path(n->parent, out);
	if (n->key)
		buf_printf(out, "%s%.*s", out->size ? "." : "", 80, n->key);
	else
		buf_printf(out, "[%zu]", n->index);
}
