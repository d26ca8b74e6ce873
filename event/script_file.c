/* Scripts of files. What was read stays for the process's life: a stream that is opened hours
 * later, or again, gets the script that was checked at the start, whatever became of the file. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/memory.h"
#include "event/script.h"

struct loaded_lookup {
	char *file;
	struct script_lookup *lookup;
	struct loaded_lookup *next;
};
struct loaded_script {
	char *key; /* all settings, as text */
	struct script *script;
	struct loaded_script *next;
};

/* A cache and not a state: nothing in it changes. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct loaded_lookup *lookups;
static struct loaded_script *scripts;

static bool read_file(const char *path, size_t most, struct buf *out, struct error *err)
{
	FILE *f = fopen(path, "re");
	char data[8192];
	bool ok = true;
	size_t n;

	if (!f)
		return error_set(
			err, ERROR_INVALID,
			"%.200s: cannot be read: %s; expected a file such as "
			"scripts/orders.lua, from the folder that the program is started in",
			path, strerror(errno));
	while (ok && (n = fread(data, 1, sizeof(data), f)) > 0)
		ok = buf_add(out, data, n);
	if (!ok)
		error_set(err, ERROR_INVALID, "%.200s: longer than %zu KiB", path, most >> 10);
	else if (ferror(f))
		ok = error_set(err, ERROR_INVALID, "%.200s: cannot be read: %s", path,
			       strerror(errno));
	fclose(f);
	return ok;
}

static bool ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);

	return n >= m && strcasecmp(text + n - m, end) == 0;
}

static const struct script_lookup *find_lookup(const char *file, struct error *err)
{
	struct script_lookup *made = NULL;
	struct loaded_lookup *l;
	struct buf text;

	for (l = lookups; l; l = l->next)
		if (strcmp(l->file, file) == 0)
			return l->lookup;
	if (!ends_with(file, ".csv") && !ends_with(file, ".json")) {
		error_set(err, ERROR_INVALID,
			  "%.200s: expected a file .json or .csv, such as data/towns.csv", file);
		return NULL;
	}
	buf_init(&text, SCRIPT_LOOKUP_MAX);
	if (read_file(file, SCRIPT_LOOKUP_MAX, &text, err)) {
		made = script_lookup_new(buf_str(&text), ends_with(file, ".csv"), err);
		if (!made) {
			struct error inner = *err;

			error_set(err, ERROR_INVALID, "%.200s:%s", file, inner.message);
		}
	}
	buf_release(&text);
	if (!made)
		return NULL;
	l = memory_new(sizeof(*l));
	*l = (struct loaded_lookup){ memory_text(file), made, lookups };
	lookups = l;
	return made;
}

static char *key_of(const struct script_files *f)
{
	struct buf key;
	char *text;

	buf_init(&key, 0);
	buf_printf(&key, "%s\n%llu\n%zu", f->file, (unsigned long long)f->instructions,
		   f->memory_bytes);
	for (size_t i = 0; i < f->lookup_count; i++)
		buf_printf(&key, "\n%s\n%s", f->lookups[i].name, f->lookups[i].file);
	text = buf_steal(&key);
	return text;
}

static struct script *make(const struct script_files *f, struct error *err)
{
	const struct script_lookup *found[SCRIPT_LOOKUPS_MAX];
	const char *names[SCRIPT_LOOKUPS_MAX];
	const char *base = strrchr(f->file, '/');
	struct script_setting setting = { .name = str_of(base ? base + 1 : f->file),
					  .instructions = f->instructions,
					  .memory_bytes = f->memory_bytes,
					  .lookup_names = names,
					  .lookups = found,
					  .lookup_count = f->lookup_count };
	struct script *made = NULL;
	struct buf source;

	for (size_t i = 0; i < f->lookup_count; i++) {
		names[i] = f->lookups[i].name;
		found[i] = find_lookup(f->lookups[i].file, err);
		if (!found[i])
			return NULL;
	}
	buf_init(&source, SCRIPT_SOURCE_MAX);
	if (read_file(f->file, SCRIPT_SOURCE_MAX, &source, err)) {
		setting.source = buf_str(&source);
		made = script_new(&setting, err);
	}
	buf_release(&source);
	return made;
}

struct script *script_load(const struct script_files *files, struct error *err)
{
	char *key = key_of(files);
	struct script *found = NULL;

	pthread_mutex_lock(&lock);
	for (struct loaded_script *s = scripts; s && !found; s = s->next)
		if (strcmp(s->key, key) == 0)
			found = s->script;
	if (!found) {
		found = make(files, err);
		if (found) {
			struct loaded_script *s = memory_new(sizeof(*s));

			*s = (struct loaded_script){ MOVE(key), found, scripts };
			scripts = s;
		}
	}
	pthread_mutex_unlock(&lock);
	free(key);
	return found;
}
