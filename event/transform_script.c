/* What a definition says of a script. */
#include <limits.h>
#include <stdlib.h>

#include "event/transform_internal.h"

#define EXAMPLE "lua: { file: scripts/orders.lua, lookup: { towns: towns.csv } }"

static bool expected(struct definer *d, const struct define *at, const char *what)
{
	return define_fail(d, at->at, "lua: expected %s, such as { %s }", what, EXAMPLE);
}

static const char *text_of(struct definer *d, struct str text)
{
	return arena_printf(&d->transform->arena, "%.*s", STR_ARG(text));
}

static bool is_path(const struct define *v)
{
	return v->kind == DEFINE_TEXT && v->text.n > 0 && v->text.n < PATH_MAX &&
	       !memchr(v->text.p, '\0', v->text.n);
}

static bool read_number(const struct define *v, unsigned long long *out)
{
	char digits[24], *end;

	if ((v->kind != DEFINE_NUMBER && v->kind != DEFINE_TEXT) || v->text.n == 0 ||
	    v->text.n >= sizeof(digits) || *v->text.p < '0' || *v->text.p > '9')
		return false;
	memcpy(digits, v->text.p, v->text.n);
	digits[v->text.n] = '\0';
	*out = strtoull(digits, &end, 10);
	if (v->kind == DEFINE_TEXT && !strcmp(end, "KiB"))
		*out <<= 10;
	else if (v->kind == DEFINE_TEXT && !strcmp(end, "MiB"))
		*out <<= 20;
	else if (v->kind == DEFINE_TEXT && !strcmp(end, "GiB"))
		*out <<= 30;
	else
		return *end == '\0';
	return true;
}

static bool is_name(struct str name)
{
	if (name.n == 0 || name.n > 60)
		return false;
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && c != '_' &&
		    !(i > 0 && c >= '0' && c <= '9'))
			return false;
	}
	return true;
}

static bool read_lookups(struct definer *d, const struct define *map, struct script_files *f)
{
	if (map->kind != DEFINE_MAP || map->count > SCRIPT_LOOKUPS_MAX)
		return expected(d, map, "a map of at most 16 names and files for lookup");
	for (const struct define *m = map->first; m; m = m->next) {
		if (!is_name(m->name))
			return expected(d, m, "a name of letters and digits for a lookup");
		if (!is_path(m))
			return expected(d, m, "a file .json or .csv for a lookup");
		f->lookups[f->lookup_count].name = text_of(d, m->name);
		f->lookups[f->lookup_count++].file = text_of(d, m->text);
	}
	return true;
}

static bool read_settings(struct definer *d, const struct define *value, struct script_files *f,
			  const struct define **file)
{
	for (const struct define *m = value->first; m; m = m->next) {
		unsigned long long n;

		if (str_equal(m->name, STR("file"))) {
			*file = m;
		} else if (str_equal(m->name, STR("lookup"))) {
			if (!read_lookups(d, m, f))
				return false;
		} else if (str_equal(m->name, STR("instructions"))) {
			if (!read_number(m, &n) || n < SCRIPT_INSTRUCTIONS_MIN ||
			    n > SCRIPT_INSTRUCTIONS_MAX)
				return expected(d, m, "1000 to 100000000 for instructions");
			f->instructions = n;
		} else if (str_equal(m->name, STR("memory"))) {
			if (!read_number(m, &n) || n < SCRIPT_MEMORY_MIN || n > SCRIPT_MEMORY_MAX)
				return expected(d, m, "1MiB to 1GiB for memory");
			f->memory_bytes = n;
		} else {
			return define_fail(d, m->at,
					   "lua: no such setting: '%.*s'; there are file, lookup, "
					   "instructions, memory, such as { %s }",
					   SHORT(m->name), EXAMPLE);
		}
	}
	return true;
}

bool define_script(struct definer *d, const struct define *value, struct transform_step *out)
{
	struct script_files files = { .instructions = SCRIPT_INSTRUCTIONS,
				      .memory_bytes = SCRIPT_MEMORY };
	const struct define *file = value;
	struct error inner = { 0 };

	if (value->kind == DEFINE_MAP) {
		file = NULL;
		if (!read_settings(d, value, &files, &file))
			return false;
	}
	if (!file || !is_path(file))
		return expected(d, file ? file : value, "a script's file");
	files.file = text_of(d, file->text);
	out->lua.script = script_load(&files, &inner);
	return out->lua.script || define_fail(d, value->at, "lua: %s", inner.message);
}
