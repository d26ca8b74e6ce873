#include "sinks/object_post.h"

#include <ctype.h>
#include <stdatomic.h>
#include <string.h>

/* A look at `stop` is due so often. */
#define LOOK_MS 100

bool object_post_open(struct object_post *p, const void *settings, struct error *err)
{
	p->loop = loop_new(p->host->clock);
	p->place = p->ops->open(settings, p->host, p->loop, err);
	return p->place != NULL;
}

void object_post_close(struct object_post *p)
{
	if (p->place)
		p->ops->close(p->place);
	loop_free(p->loop);
}

static void put_done(void *arg, const struct error *err)
{
	struct object_post *p = arg;

	p->running = false;
	p->err = *err;
}

bool object_post_put(struct object_post *p, const char *path, const char *pending,
		     const char *content_type, struct str body, const _Atomic bool *stop,
		     struct error *err)
{
	p->running = true;
	p->ops->put(p->place, path, pending, content_type, body, put_done, p);
	while (p->running && !atomic_load(stop))
		loop_once(p->loop, LOOK_MS);
	if (p->running) {
		/* Before what it was given goes. */
		p->ops->close(p->place);
		p->place = NULL;
		error_set(&p->err, ERROR_CANCELLED, "stopped");
	}
	*err = p->err;
	return err->kind == ERROR_NONE;
}

void object_post_name(const char *name, struct buf *out)
{
	for (const char *p = name; *p; p++)
		buf_printf(out, "%c", isalnum((unsigned char)*p) || strchr("._-", *p) ? *p : '_');
}
