#include "aws/profile.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/memory.h"

#define FILE_BYTES_MAX ((size_t)1 << 20)

/* One setting; sections of both files are told apart by their kind, "profile NAME" or "services
 * NAME", and a nested setting's key is "outer.inner". */
struct entry {
	char *section, *key, *value;
	const char *path;
	int line;
};

struct profiles {
	char *config, *credentials; /* the files' paths */
	struct entry *entries; /* the credentials file's behind the other's: the last one counts */
	size_t count;
};

struct parser {
	struct profiles *out;
	const char *path;
	bool config; /* profiles are called [profile x] */
	int line;
	char *section; /* NULL: one that does not concern us */
	char *outer;   /* the setting that indented lines belong to */
};

static char *trim(char *text)
{
	char *end;

	while (isspace((unsigned char)*text))
		text++;
	end = text + strlen(text);
	while (end > text && isspace((unsigned char)end[-1]))
		*--end = '\0';
	return text;
}

/* "x # why": a comment needs a blank before it, as keys and URLs may hold the sign. */
static void cut_comment(char *text)
{
	for (char *at = text; *at; at++)
		if ((*at == '#' || *at == ';') && at > text && isspace((unsigned char)at[-1])) {
			*at = '\0';
			return;
		}
}

static char *join(const char *a, const char *separator, const char *b)
{
	char *out = NULL;

	if (asprintf(&out, "%s%s%s", a, separator, b) < 0)
		abort();
	return out;
}

static bool parse_section(struct parser *p, char *text, struct error *err)
{
	char *end = strchr(text, ']'), *name = text + 1, *rest;

	if (!end)
		return error_set(err, ERROR_INVALID, "%s:%d: a section without ]", p->path,
				 p->line);
	*end = '\0';
	name = trim(name);
	free(p->section);
	free(p->outer);
	p->section = p->outer = NULL;
	if (!p->config) {
		p->section = join("profile", " ", name);
		return true;
	}
	if (strcmp(name, "default") == 0) {
		p->section = memory_text("profile default");
		return true;
	}
	rest = name + strcspn(name, " \t");
	if (*rest)
		*rest++ = '\0';
	rest = trim(rest);
	if (*rest == '"' && strlen(rest) > 1 && rest[strlen(rest) - 1] == '"') {
		rest[strlen(rest) - 1] = '\0';
		rest++;
	}
	if (*rest && (strcmp(name, "profile") == 0 || strcmp(name, "services") == 0))
		p->section = join(name, " ", rest);
	return true;
}

static bool parse_setting(struct parser *p, char *text, bool indented, struct error *err)
{
	char *equals = strchr(text, '='), *key = text, *value;
	struct profiles *out = p->out;

	if (!equals && indented)
		return true; /* a value that goes on: none of ours does */
	if (!equals)
		return error_set(err, ERROR_INVALID, "%s:%d: neither a section nor name = value",
				 p->path, p->line);
	*equals = '\0';
	key = trim(key);
	cut_comment(equals + 1);
	value = trim(equals + 1);
	for (char *c = key; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	if (!indented) {
		free(p->outer);
		p->outer = *value ? NULL : memory_text(key);
	}
	if (!p->section || (indented && !p->outer))
		return true;
	if ((out->count & (out->count + 1)) == 0)
		out->entries =
			memory_resize(out->entries, (out->count + 1) * 2 * sizeof(out->entries[0]));
	out->entries[out->count++] = (struct entry){
		.section = memory_text(p->section),
		.key = indented ? join(p->outer, ".", key) : memory_text(key),
		.value = memory_text(value),
		.path = p->path,
		.line = p->line,
	};
	return true;
}

static bool parse_line(struct parser *p, char *line, struct error *err)
{
	bool indented = isspace((unsigned char)line[0]);
	char *text = trim(line);

	p->line++;
	if (!*text || *text == '#' || *text == ';')
		return true;
	if (*text == '[' && !indented)
		return parse_section(p, text, err);
	return parse_setting(p, text, indented, err);
}

static bool parse_file(struct profiles *out, const char *path, bool config, struct error *err)
{
	struct parser p = { .out = out, .path = path, .config = config };
	FILE *file = fopen(path, "re");
	char *line = NULL;
	size_t size = 0, total = 0;
	bool ok = true;

	if (!file && (errno == ENOENT || errno == ENOTDIR))
		return true;
	if (!file)
		return error_set(err, ERROR_INVALID, "%s: %m", path);
	for (ssize_t n; ok && (n = getline(&line, &size, file)) >= 0;) {
		total += (size_t)n;
		ok = total <= FILE_BYTES_MAX ? parse_line(&p, line, err)
					     : error_set(err, ERROR_INVALID, "%s: too large", path);
	}
	if (ok && ferror(file))
		ok = error_set(err, ERROR_INVALID, "%s: %m", path);
	free(line);
	free(p.section);
	free(p.outer);
	fclose(file);
	return ok;
}

/* The file that the variable names, else the one in the home directory. */
static char *path_of(const char *variable, const char *name)
{
	const char *set = getenv(variable), *home = getenv("HOME");

	if (set && set[0] == '~' && set[1] == '/' && home)
		return join(home, "", set + 1);
	if (set && *set)
		return memory_text(set);
	return join(home ? home : "", "/.aws/", name);
}

struct profiles *profiles_load(struct error *err)
{
	AUTO(profiles) struct profiles *p = memory_new(sizeof(*p));

	p->config = path_of("AWS_CONFIG_FILE", "config");
	p->credentials = path_of("AWS_SHARED_CREDENTIALS_FILE", "credentials");
	if (!parse_file(p, p->config, true, err) || !parse_file(p, p->credentials, false, err))
		return NULL;
	return MOVE(p);
}

void profiles_free(struct profiles *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->count; i++) {
		free(p->entries[i].section);
		free(p->entries[i].key);
		explicit_bzero(p->entries[i].value, strlen(p->entries[i].value));
		free(p->entries[i].value);
	}
	free(p->entries);
	free(p->config);
	free(p->credentials);
	free(p);
}

/* `kind` and `name` make the section. The key may be NULL: any. */
static const struct entry *find(const struct profiles *p, const char *kind, const char *name,
				const char *key)
{
	size_t n = strlen(kind);

	for (size_t i = p->count; i-- > 0;) {
		const struct entry *e = &p->entries[i];

		if (strncmp(e->section, kind, n) == 0 && e->section[n] == ' ' &&
		    strcmp(e->section + n + 1, name) == 0 && (!key || strcmp(e->key, key) == 0))
			return e;
	}
	return NULL;
}

static const char *value_of(const struct entry *e)
{
	return e && *e->value ? e->value : NULL;
}

bool profiles_has(const struct profiles *p, const char *profile)
{
	return find(p, "profile", profile, NULL) != NULL;
}

const char *profiles_get(const struct profiles *p, const char *profile, const char *key)
{
	return value_of(find(p, "profile", profile, key));
}

const char *profiles_where(const struct profiles *p, const char *profile, const char *key,
			   char out[PROFILES_WHERE_SIZE])
{
	const struct entry *e = find(p, "profile", profile, key);

	snprintf(out, PROFILES_WHERE_SIZE, "%.100s:%d", e ? e->path : "", e ? e->line : 0);
	return out;
}

const char *profiles_service(const struct profiles *p, const char *profile, const char *service,
			     const char *key)
{
	const char *section = profiles_get(p, profile, "services"), *value;
	char *full;

	if (!section)
		return NULL;
	full = join(service, ".", key);
	value = value_of(find(p, "services", section, full));
	free(full);
	return value;
}

const char *profile_name(const char *asked)
{
	const char *env = getenv("AWS_PROFILE");

	if (asked && *asked)
		return asked;
	return env && *env ? env : "default";
}
