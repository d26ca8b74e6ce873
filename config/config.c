#include "config/config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "config/expand.h"
#include "config/fill.h"
#include "config/machine.h"
#include "config/sections.h"
#include "config/yaml.h"

#define STREAMS_MAX    1000
#define EXPORTS_MAX    1000
#define MEMORY_MIN     (16L << 20)
#define MEMORY_DEFAULT (1L << 30)
#define THREADS_MAX    256

struct loader {
	struct fill fill;
	struct config *c;
	const struct config_types *types;
};

static const struct config_sink_type *type_find(const struct config_sink_type *types,
						const char *name)
{
	for (; types->type; types++)
		if (!strcmp(types->type, name))
			return types;
	return NULL;
}

static bool type_unknown(struct loader *l, const struct yaml_node *n, const char *name)
{
	struct nearest near;
	struct buf known;
	bool ok;

	nearest_init(&near, name);
	buf_init(&known, 0);
	for (const struct config_sink_type *t = l->types->sinks; t->type; t++) {
		nearest_offer(&near, t->type);
		buf_printf(&known, "%s%s",
			   t == l->types->sinks ? ""
			   : t[1].type          ? ", "
						: " or ",
			   t->type);
	}
	ok = fill_fail(&l->fill, n, NULL, "expected %s, not '%.60s'%s%s%s", known.data, name,
		       near.best ? "; did you mean '" : "", near.best ? near.best : "",
		       near.best ? "'?" : "");
	buf_release(&known);
	return ok;
}

static bool load_sink(struct loader *l, const struct yaml_node *n, struct config_sink *s)
{
	const struct yaml_node *type;
	const char *name;

	s->name = n->key;
	s->line = n->line;
	if (!config_name_is_valid(s->name))
		return fill_fail(&l->fill, n, NULL,
				 "expected a name of 1 to 128 of a-z A-Z 0-9 _ . -");
	if (n->kind != YAML_MAP)
		return fill_fail(&l->fill, n, NULL, "expected a map of settings with a type");
	type = yaml_find(n, "type");
	if (!type || yaml_is_null(type))
		return fill_fail(&l->fill, n, "type", "is required");
	name = fill_text(&l->fill, type, false);
	if (!name)
		return false;
	s->type = type_find(l->types->sinks, name);
	if (!s->type)
		return type_unknown(l, type, name);
	s->settings = arena_alloc(&l->c->memory, s->type->settings_size);
	memset(s->settings, 0, s->type->settings_size);
	return fill_table(&l->fill, s->type->options, s->settings, n, "type") &&
	       fill_check(&l->fill, s->type->options, s->settings, s->type->validate, n);
}

static bool load_sinks(struct loader *l, const struct yaml_node *sinks)
{
	struct config *c = l->c;

	if (!sinks || yaml_is_null(sinks))
		return true; /* each stream will miss its own */
	if (sinks->kind != YAML_MAP)
		return fill_fail(&l->fill, sinks, NULL, "expected a map of sinks by name");
	if (sinks->count > CONFIG_SINKS_MAX)
		return fill_fail(&l->fill, sinks, NULL, "expected at most %d sinks, not %zu",
				 CONFIG_SINKS_MAX, sinks->count);
	c->sinks = arena_alloc(&c->memory, sinks->count * sizeof(c->sinks[0]));
	for (const struct yaml_node *n = sinks->first; n; n = n->next) {
		c->sinks[c->sink_count] = (struct config_sink){ 0 };
		if (!load_sink(l, n, &c->sinks[c->sink_count]))
			return false;
		c->sink_count++;
	}
	return true;
}

/* The sinks of a stream or of exports. */
struct uses {
	struct config_stream_sink *sinks;
	size_t count;
};

/* `at` is where the name stands. */
static bool sink_resolve(struct loader *l, const struct yaml_node *at, const struct uses *u,
			 struct config_stream_sink *use)
{
	struct nearest near;

	nearest_init(&near, use->name);
	for (size_t i = 0; i < u->count; i++)
		if (!strcmp(u->sinks[i].name, use->name))
			return fill_fail(&l->fill, at, NULL, "the sink '%.60s' is named twice",
					 use->name);
	for (use->sink = 0; use->sink < l->c->sink_count; use->sink++) {
		if (!strcmp(l->c->sinks[use->sink].name, use->name))
			return true;
		nearest_offer(&near, l->c->sinks[use->sink].name);
	}
	return fill_fail(&l->fill, at, NULL, "there is no sink '%.60s'%s%.128s%s", use->name,
			 near.best ? "; did you mean '" : " in sinks", near.best ? near.best : "",
			 near.best ? "'?" : "");
}

static bool load_use(struct loader *l, const struct yaml_node *n, struct uses *u)
{
	const struct section *section = &config_stream_sink_section;
	struct config_stream_sink *use = &u->sinks[u->count];
	const struct yaml_node *at = n;

	*use = (struct config_stream_sink){ .start = "latest" };
	if (n->kind == YAML_MAP) {
		if (!fill_table(&l->fill, section->options, use, n, NULL) ||
		    !fill_check(&l->fill, section->options, use, section->check, n))
			return false;
		at = yaml_find(n, "name");
	} else if (n->kind == YAML_LIST || yaml_is_null(n)) {
		return fill_fail(&l->fill, n, NULL, "expected a sink's name, or { name }");
	} else {
		use->name = fill_text(&l->fill, n, false);
	}
	if (!use->name || !sink_resolve(l, at, u, use))
		return false;
	u->count++;
	return true;
}

static bool load_uses(struct loader *l, const struct yaml_node *owner, struct uses *u)
{
	const struct yaml_node *sinks = yaml_find(owner, "sinks");

	if (!sinks || yaml_is_null(sinks))
		return fill_fail(&l->fill, owner, "sinks", "is required: a list of sinks");
	if (sinks->kind != YAML_LIST)
		return fill_fail(&l->fill, sinks, NULL, "expected a list such as [events]");
	if (sinks->count == 0)
		return fill_fail(&l->fill, sinks, NULL, "expected at least one sink");
	u->sinks = arena_alloc(&l->c->memory, sinks->count * sizeof(u->sinks[0]));
	for (const struct yaml_node *n = sinks->first; n; n = n->next)
		if (!load_use(l, n, u))
			return false;
	return true;
}

static bool load_stream(struct loader *l, const struct yaml_node *n, struct config_stream *s)
{
	const struct section *section = &config_stream_section;
	const struct config *c = l->c;
	struct uses uses = { 0 };

	s->line = n->line;
	if (n->kind != YAML_MAP)
		return fill_fail(&l->fill, n, NULL, "expected a map with a table and its sinks");
	if (!fill_table(&l->fill, section->options, s, n, "sinks") ||
	    !fill_check(&l->fill, section->options, s, section->check, n) ||
	    !load_uses(l, n, &uses))
		return false;
	s->sinks = uses.sinks;
	s->sink_count = uses.count;
	s->is_pattern = config_table_is_pattern(s->table);
	if (!s->name && !s->is_pattern) {
		struct str name = config_table_name(s->table);

		s->name = arena_printf(&l->c->memory, "%.*s", STR_ARG(name));
	}
	for (size_t i = 0; i < c->stream_count; i++)
		if (!strcmp(c->streams[i].table, s->table))
			return fill_fail(&l->fill, n, "table",
					 "the stream of line %d reads '%.150s', too: a stream is "
					 "read once, and may have several sinks",
					 c->streams[i].line, s->table);
	for (size_t i = 0; i < c->stream_count; i++)
		if (s->name && c->streams[i].name && !strcmp(c->streams[i].name, s->name))
			return fill_fail(&l->fill, n, "name",
					 "the stream of line %d is called '%s', too; give one of "
					 "them another name",
					 c->streams[i].line, s->name);
	return true;
}

/* --- exports --- */
static bool check_text(struct loader *l, const struct yaml_node *map, const char *key,
		       const char *text, bool (*check)(const char *text, struct error *err))
{
	struct error inner = { 0 };

	return !text || check(text, &inner) || fill_fail(&l->fill, map, key, "%s", inner.message);
}

static bool load_export(struct loader *l, const struct yaml_node *n, struct config_export *x)
{
	const struct section *section = &config_export_section;
	const struct yaml_node *sinks;
	struct config *c = l->c;
	struct uses uses = { 0 };
	struct str name;

	if (n->kind != YAML_MAP)
		return fill_fail(&l->fill, n, NULL, "expected a map with a table and a bucket");
	if (!fill_table(&l->fill, section->options, x, n, "sinks") ||
	    !fill_check(&l->fill, section->options, x, section->check, n) ||
	    !check_text(l, n, "full", x->full, l->types->schedule) ||
	    !check_text(l, n, "timezone", x->timezone, l->types->timezone))
		return false;
	x->line = n->line;
	sinks = yaml_find(n, "sinks");
	if (!x->load && sinks && !yaml_is_null(sinks))
		return fill_fail(&l->fill, n, "sinks", "has no meaning with load: false");
	if (x->load && !load_uses(l, n, &uses))
		return false;
	for (size_t i = 0; i < uses.count; i++)
		if (strcmp(uses.sinks[i].start, "latest") != 0)
			return fill_fail(&l->fill, sinks, NULL,
					 "start of %s: has no meaning for exports",
					 uses.sinks[i].name);
	x->sinks = uses.sinks;
	x->sink_count = uses.count;
	name = config_table_name(x->table);
	for (size_t i = 0; i < c->export_count; i++)
		if (str_equal(config_table_name(c->exports[i].table), name))
			return fill_fail(
				&l->fill, n, "table",
				"the exports of line %d are of this table, too: one entry a "
				"table",
				c->exports[i].line);
	return true;
}

static bool load_exports(struct loader *l, const struct yaml_node *exports)
{
	struct config *c = l->c;

	if (!exports || yaml_is_null(exports))
		return true;
	if (exports->kind != YAML_LIST)
		return fill_fail(&l->fill, exports, NULL, "expected a list of exports");
	if (exports->count > EXPORTS_MAX)
		return fill_fail(&l->fill, exports, NULL, "expected at most %d exports, not %zu",
				 EXPORTS_MAX, exports->count);
	c->exports = arena_alloc(&c->memory, exports->count * sizeof(c->exports[0]));
	for (const struct yaml_node *n = exports->first; n; n = n->next) {
		c->exports[c->export_count] = (struct config_export){ 0 };
		if (!load_export(l, n, &c->exports[c->export_count]))
			return false;
		c->export_count++;
	}
	return true;
}

/* A letter is no change: whoever reads changes would stumble over it. And what a sink refused, it
 * would refuse again. */
static bool load_letters(struct loader *l, const struct yaml_node *root)
{
	const struct yaml_node *map = yaml_find(root, "dead_letter");
	struct config *c = l->c;
	struct config_dead_letter *d = &c->dead_letter;
	struct config_stream_sink use = { .name = d->sink };
	const struct uses none = { 0 };

	if (!d->sink)
		return true;
	if (!sink_resolve(l, yaml_find(map, "sink"), &none, &use))
		return false;
	d->sink_at = use.sink;
	for (size_t i = 0; i < c->stream_count; i++)
		for (size_t k = 0; k < c->streams[i].sink_count; k++)
			if (c->streams[i].sinks[k].sink == d->sink_at)
				return fill_fail(&l->fill, map, "sink",
						 "the stream of line %d delivers to %s, too: dead "
						 "letters need a sink of their own",
						 c->streams[i].line, d->sink);
	for (size_t i = 0; i < c->export_count; i++)
		for (size_t k = 0; k < c->exports[i].sink_count; k++)
			if (c->exports[i].sinks[k].sink == d->sink_at)
				return fill_fail(&l->fill, map, "sink",
						 "the exports of line %d go to %s, too: dead "
						 "letters need a sink of their own",
						 c->exports[i].line, d->sink);
	return fill_check(&l->fill, c->sinks[use.sink].type->options, c->sinks[use.sink].settings,
			  c->sinks[use.sink].type->letters,
			  yaml_find(yaml_find(root, "sinks"), d->sink));
}

static bool load_streams(struct loader *l, const struct yaml_node *root)
{
	const struct yaml_node *streams = yaml_find(root, "streams");
	struct config *c = l->c;

	if ((!streams || yaml_is_null(streams)) && c->export_count > 0)
		return true;
	if (!streams || yaml_is_null(streams))
		return fill_fail(&l->fill, root, "streams",
				 "is required: a list of tables to read");
	if (streams->kind != YAML_LIST)
		return fill_fail(&l->fill, streams, NULL, "expected a list of streams");
	if (streams->count == 0 || streams->count > STREAMS_MAX)
		return fill_fail(&l->fill, streams, NULL, "expected 1 to %d streams, not %zu",
				 STREAMS_MAX, streams->count);
	c->streams = arena_alloc(&c->memory, streams->count * sizeof(c->streams[0]));
	for (const struct yaml_node *n = streams->first; n; n = n->next) {
		c->streams[c->stream_count] = (struct config_stream){ 0 };
		if (!load_stream(l, n, &c->streams[c->stream_count]))
			return false;
		c->stream_count++;
	}
	return true;
}

static bool load_sections(struct loader *l, const struct yaml_node *root)
{
	for (const struct section *s = config_sections; s->name; s++) {
		const struct yaml_node *n = yaml_find(root, s->name);
		void *settings = (char *)l->c + s->offset;

		if (!fill_table(&l->fill, s->options, settings, n, NULL) ||
		    !fill_check(&l->fill, s->options, settings, s->check, n ? n : root))
			return false;
	}
	return true;
}

static bool check_keys(struct loader *l, const struct yaml_node *root)
{
	if (root->kind != YAML_MAP)
		return fill_fail(&l->fill, root, NULL, "expected a map of settings");
	for (const struct yaml_node *n = root->first; n; n = n->next) {
		bool known = !strcmp(n->key, "streams") || !strcmp(n->key, "sinks") ||
			     !strcmp(n->key, "exports");
		struct nearest near;

		nearest_init(&near, n->key);
		nearest_offer(&near, "streams");
		nearest_offer(&near, "sinks");
		nearest_offer(&near, "exports");
		for (const struct section *s = config_sections; s->name; s++) {
			known = known || !strcmp(n->key, s->name);
			nearest_offer(&near, s->name);
		}
		if (!known)
			return fill_unknown(&l->fill, n, &near);
	}
	return true;
}

/* What the file leaves to the machine. */
static void fill_worker(struct config *c)
{
	struct config_worker *w = &c->worker;
	const char *host = getenv("HOSTNAME");

	if (!w->name && host && *host)
		w->name = arena_printf(&c->memory, "%.255s", host);
	if (!w->name) {
		char name[256] = "";

		gethostname(name, sizeof(name) - 1);
		w->name = arena_printf(&c->memory, "%s", *name ? name : "localhost");
	}
	if (w->threads == 0) {
		w->threads = machine_cpus("");
		if (w->threads > THREADS_MAX)
			w->threads = THREADS_MAX;
	}
	if (w->memory_bytes == 0) {
		w->memory_bytes = machine_memory_bytes("") / 4;
		if (w->memory_bytes > MEMORY_DEFAULT)
			w->memory_bytes = MEMORY_DEFAULT;
		if (w->memory_bytes < MEMORY_MIN)
			w->memory_bytes = MEMORY_MIN;
	}
}

struct config *config_parse(struct str bytes, const char *name, const struct config_types *types,
			    struct error *err)
{
	AUTO(config) struct config *c = memory_new(sizeof(*c));
	struct loader l = { .c = c, .types = types };
	const struct yaml_node *root;

	arena_init(&c->memory);
	c->path = arena_printf(&c->memory, "%s", name);
	l.fill = (struct fill){ .arena = &c->memory,
				.file = c->path,
				.expand_left = EXPAND_BYTES_MAX,
				.pattern = types->pattern,
				.transform = types->transform,
				.schemas = types->schemas,
				.err = err };
	root = yaml_parse(&c->memory, bytes, c->path, err);
	if (!root || !check_keys(&l, root) || !load_sections(&l, root) ||
	    !load_sinks(&l, yaml_find(root, "sinks")) ||
	    !load_exports(&l, yaml_find(root, "exports")) || !load_streams(&l, root) ||
	    !load_letters(&l, root))
		return NULL;
	fill_worker(c);
	return MOVE(c);
}

static bool read_all(FILE *f, struct buf *out)
{
	char data[8192];
	size_t n;

	while ((n = fread(data, 1, sizeof(data), f)) > 0)
		if (!buf_add(out, data, n))
			return true; /* longer than may be; parsing says so */
	return !ferror(f);
}

struct config *config_load(const char *path, const struct config_types *types, struct error *err)
{
	struct config *c = NULL;
	struct buf bytes;
	FILE *f = fopen(path, "re");

	if (!f) {
		error_set(err, ERROR_INVALID, "%.300s: cannot be read: %s", path, strerror(errno));
		return NULL;
	}
	buf_init(&bytes, YAML_BYTES_MAX + 8192);
	if (read_all(f, &bytes))
		c = config_parse(buf_str(&bytes), path, types, err);
	else
		error_set(err, ERROR_INVALID, "%.300s: cannot be read: %s", path, strerror(errno));
	fclose(f);
	buf_release(&bytes);
	return c;
}

void config_free(struct config *c)
{
	if (!c)
		return;
	arena_release(&c->memory);
	free(c);
}
