#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/memory.h"
#include "sinks/object.h"

/* A look at `stop` is due so often. */
#define LOOK_MS 100

struct telling {
	const struct place_ops *ops;
	struct place *place;
	struct loop *loop;
	const struct sink_host *host;
	char *folder;
	bool running;
	struct error err;
};

static void put_done(void *arg, const struct error *err)
{
	struct telling *t = arg;

	t->running = false;
	t->err = *err;
}

/* TIME-STREAM-KIND-PHASE-ID: the same whoever tells it. The id makes it unique, so that a stream's
 * name may lose what is not for files' names. */
static void event_name(const struct sink_control *c, struct buf *out)
{
	char time[OBJECT_TIME_SIZE];

	buf_printf(out, "%s-", object_time_text(c->time_ms, time));
	for (const char *p = c->source->stream; *p; p++)
		buf_printf(out, "%c", isalnum((unsigned char)*p) || strchr("._-", *p) ? *p : '_');
	buf_printf(out, "-%s-%s-%" PRId64 ".json", c->kind, c->phase, c->id);
}

static bool put(struct telling *t, const struct sink_control *c, struct str body,
		const _Atomic bool *stop, struct error *err)
{
	char time[OBJECT_TIME_SIZE];
	struct buf path, pending;

	buf_init(&path, 0);
	buf_init(&pending, 0);
	buf_text(&path, t->folder);
	event_name(c, &path);
	/* As unfinished files of rolls are called, so that a burial finds it. */
	buf_printf(&pending, "%s.%s-%s-control-%" PRId64, t->folder,
		   object_time_text(c->time_ms, time), t->host->session, c->id);
	t->running = true;
	t->ops->put(t->place, path.data, pending.data, body, put_done, t);
	while (t->running && !atomic_load(stop))
		loop_once(t->loop, LOOK_MS);
	if (t->running) {
		/* Before what it was given goes. */
		t->ops->close(t->place);
		t->place = NULL;
		error_set(&t->err, ERROR_CANCELLED, "stopped");
	}
	buf_release(&path);
	buf_release(&pending);
	*err = t->err;
	return err->kind == ERROR_NONE;
}

static bool tell(struct telling *t, const struct sink_control *c, const _Atomic bool *stop,
		 struct error *err)
{
	struct buf body;
	bool ok;

	buf_init(&body, 0);
	if (c->end)
		sink_control_with(c, "rolls", *c->rolls ? str_of(c->rolls) : STR("{}"), &body);
	else
		buf_printf(&body, "%.*s", STR_ARG(c->json));
	buf_text(&body, "\n");
	ok = put(t, c, buf_str(&body), stop, err);
	buf_release(&body);
	return ok;
}

bool object_tells(const void *settings)
{
	(void)settings;
	return true;
}

static bool open_place(struct telling *t, const struct object_settings *settings, struct error *err)
{
	char *base;
	size_t size;

	t->loop = loop_new(t->host->clock);
	t->place = t->ops->open(settings, t->host, t->loop, err);
	if (!t->place)
		return false;
	base = object_folder(t->place->prefix, settings->path);
	size = strlen(base) + sizeof("_control/");
	t->folder = memory_new(size);
	snprintf(t->folder, size, "%s_control/", base);
	free(base);
	return true;
}

bool object_control(const struct place_ops *ops, const void *settings, const struct sink_host *host,
		    const struct sink_control *events, size_t count, const _Atomic bool *stop,
		    size_t *told, struct error *err)
{
	struct telling t = { .ops = ops, .host = host };
	bool ok = open_place(&t, settings, err);

	*told = 0;
	for (size_t i = 0; ok && i < count; i++) {
		ok = tell(&t, &events[i], stop, err);
		*told += ok;
	}
	if (t.place)
		ops->close(t.place);
	loop_free(t.loop);
	free(t.folder);
	return ok || error_wrap(err, "sink %s", host->name);
}
