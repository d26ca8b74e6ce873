#include "consumer/neighbours.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

#define LOOK_EVERY_MS 10000
#define LOG_EVERY_MS  (10 * 60 * 1000)

void neighbours_see(struct neighbours *n, const struct session_settings *s,
		    const struct store_session *o)
{
	if (n->namesake_told || strcmp(o->worker, s->config->worker.name) != 0)
		return;
	n->namesake_told = true;
	log_warn("another live worker has the same worker.name: both work, but status and logs do "
		 "not tell them apart",
		 log_text("worker", o->worker), log_text("session", o->id),
		 log_text("address", o->address));
}

/* --- one stream, two names --- */

#define PART_SIZE 300
static void part_name(char out[PART_SIZE], const char *stream)
{
	snprintf(out, PART_SIZE, "stream %s twice", stream);
}

static bool has(char *const *names, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

static void names_free(char **names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(names[i]);
	free(names);
}

void neighbours_release(struct neighbours *n, const struct session_settings *s)
{
	char part[PART_SIZE];

	for (size_t i = 0; i < n->twice_count; i++) {
		part_name(part, n->twice[i]);
		health_forget(s->health, part);
	}
	names_free(n->twice, n->twice_count);
}

struct looking {
	struct neighbours *neighbours;
	const struct session_settings *settings;
	char **twice;
	size_t count;
};

static void twin(void *arg, const char *name, const char *other)
{
	struct looking *l = arg;
	const struct session_settings *s = l->settings;
	char part[PART_SIZE], said[400];
	uint64_t repeated;

	if (has(l->twice, l->count, name))
		return;
	l->twice = memory_resize(l->twice, (l->count + 1) * sizeof(*l->twice));
	l->twice[l->count++] = memory_text(name);
	part_name(part, name);
	snprintf(said, sizeof(said),
		 "other workers of this store read it as %s, and everything is delivered once more",
		 other);
	health_set(s->health, part, said);
	if (log_limit_pass(&l->neighbours->log, clock_boot_ms(s->clock), LOG_EVERY_MS, &repeated))
		log_warn("a stream is read under two names: give it one name in all "
			 "configurations, or stop the workers of one",
			 log_text("stream", name), log_text("also", other),
			 log_int("repeated", (int64_t)repeated));
}

bool neighbours_look(struct neighbours *n, const struct session_settings *s, const char *id,
		     struct error *err)
{
	int64_t now_ms = clock_boot_ms(s->clock);
	struct looking l = { .neighbours = n, .settings = s };
	char part[PART_SIZE];

	if (now_ms < n->look_at_ms)
		return true;
	n->look_at_ms = now_ms + LOOK_EVERY_MS;
	if (!store_twins(s->store, id, twin, &l, err)) {
		names_free(l.twice, l.count);
		return false;
	}
	for (size_t i = 0; i < n->twice_count; i++) {
		part_name(part, n->twice[i]);
		if (!has(l.twice, l.count, n->twice[i]))
			health_forget(s->health, part);
	}
	names_free(n->twice, n->twice_count);
	n->twice = l.twice;
	n->twice_count = l.count;
	return true;
}
