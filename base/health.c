#include "base/health.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"

struct part {
	char name[160];
	char trouble[512];
	bool required, known, ok, was_ok;
	int64_t since_ms; /* wall time of the last change between well and not */
};

struct health {
	const struct clock *clock;
	pthread_mutex_t lock;
	struct part *parts;
	size_t count;
};

struct health *health_new(const struct clock *clock)
{
	struct health *h = memory_new(sizeof(*h));

	h->clock = clock;
	pthread_mutex_init(&h->lock, NULL);
	return h;
}

void health_free(struct health *h)
{
	if (!h)
		return;
	pthread_mutex_destroy(&h->lock);
	free(h->parts);
	free(h);
}

static struct part *part_of(struct health *h, const char *name)
{
	struct part *p;

	for (size_t i = 0; i < h->count; i++)
		if (strcmp(h->parts[i].name, name) == 0)
			return &h->parts[i];
	if (h->count == HEALTH_PARTS_MAX)
		return NULL;
	h->parts = memory_room(h->parts, h->count, sizeof(*h->parts));
	p = &h->parts[h->count++];
	*p = (struct part){ .since_ms = h->clock->wall_ms(h->clock) };
	snprintf(p->name, sizeof(p->name), "%s", name);
	return p;
}

void health_require(struct health *h, const char *part)
{
	struct part *p;

	pthread_mutex_lock(&h->lock);
	p = part_of(h, part);
	if (p)
		p->required = true;
	pthread_mutex_unlock(&h->lock);
}

void health_set(struct health *h, const char *part, const char *trouble)
{
	struct part *p;

	pthread_mutex_lock(&h->lock);
	p = part_of(h, part);
	if (p) {
		if (!p->known || p->ok != !trouble)
			p->since_ms = h->clock->wall_ms(h->clock);
		p->known = true;
		p->ok = !trouble;
		p->was_ok = p->was_ok || p->ok;
		snprintf(p->trouble, sizeof(p->trouble), "%s", trouble ? trouble : "");
	}
	pthread_mutex_unlock(&h->lock);
}

void health_forget(struct health *h, const char *part)
{
	size_t kept = 0;

	pthread_mutex_lock(&h->lock);
	for (size_t i = 0; i < h->count; i++)
		if (strcmp(h->parts[i].name, part) != 0)
			h->parts[kept++] = h->parts[i];
	h->count = kept;
	pthread_mutex_unlock(&h->lock);
}

static bool ready(const struct health *h)
{
	for (size_t i = 0; i < h->count; i++)
		if (h->parts[i].required && !h->parts[i].was_ok)
			return false;
	return true;
}

bool health_ready(struct health *h)
{
	bool is;

	pthread_mutex_lock(&h->lock);
	is = ready(h);
	pthread_mutex_unlock(&h->lock);
	return is;
}

void health_print(struct health *h, struct buf *out)
{
	int64_t now_ms = h->clock->wall_ms(h->clock);
	char since[CLOCK_TEXT_SIZE];

	pthread_mutex_lock(&h->lock);
	buf_printf(out, "{\"ready\":%s,\"parts\":[", ready(h) ? "true" : "false");
	for (size_t i = 0; i < h->count; i++) {
		const struct part *p = &h->parts[i];

		buf_text(out, i ? ",{\"part\":" : "{\"part\":");
		buf_json_text(out, str_of(p->name));
		buf_printf(out,
			   ",\"ok\":%s,\"since\":\"%s\",\"age_seconds\":%" PRId64 ",\"reason\":",
			   p->ok ? "true" : "false", clock_text(p->since_ms, since),
			   (now_ms - p->since_ms) / 1000);
		if (p->ok)
			buf_text(out, "null}");
		else {
			buf_json_text(out, str_of(p->known ? p->trouble : "not reached yet"));
			buf_text(out, "}");
		}
	}
	buf_text(out, "]}\n");
	pthread_mutex_unlock(&h->lock);
}
