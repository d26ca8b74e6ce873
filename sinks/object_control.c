#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/memory.h"
#include "sinks/object.h"
#include "sinks/template.h"

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

static void add_name(const char *name, struct buf *out)
{
	for (const char *p = name; *p; p++)
		buf_printf(out, "%c", isalnum((unsigned char)*p) || strchr("._-", *p) ? *p : '_');
}

/* TIME-STREAM-KIND-PHASE-ID: the same whoever tells it. The id makes it unique, so that a stream's
 * name may lose what is not for files' names. */
static void event_name(const struct sink_control *c, struct buf *out)
{
	char time[OBJECT_TIME_SIZE];

	buf_printf(out, "%s-", object_time_text(c->time_ms, time));
	add_name(c->source->stream, out);
	buf_printf(out, "-%s-%s-%" PRId64 ".json", c->kind, c->phase, c->id);
}

/* `pending`: as unfinished files of rolls are called, so that a burial finds it. */
static bool put(struct telling *t, const char *path, const char *pending, struct str body,
		const _Atomic bool *stop, struct error *err)
{
	t->running = true;
	t->ops->put(t->place, path, pending, body, put_done, t);
	while (t->running && !atomic_load(stop))
		loop_once(t->loop, LOOK_MS);
	if (t->running) {
		/* Before what it was given goes. */
		t->ops->close(t->place);
		t->place = NULL;
		error_set(&t->err, ERROR_CANCELLED, "stopped");
	}
	*err = t->err;
	return err->kind == ERROR_NONE;
}

static bool put_event(struct telling *t, const struct sink_control *c, struct str body,
		      const _Atomic bool *stop, struct error *err)
{
	char time[OBJECT_TIME_SIZE];
	struct buf path, pending;
	bool ok;

	buf_init(&path, 0);
	buf_init(&pending, 0);
	buf_text(&path, t->folder);
	event_name(c, &path);
	buf_printf(&pending, "%s.%s-%s-control-%" PRId64, t->folder,
		   object_time_text(c->time_ms, time), t->host->session, c->id);
	ok = put(t, path.data, pending.data, body, stop, err);
	buf_release(&path);
	buf_release(&pending);
	return ok;
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
	ok = put_event(t, c, buf_str(&body), stop, err);
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
	t->loop = loop_new(t->host->clock);
	t->place = t->ops->open(settings, t->host, t->loop, err);
	return t->place != NULL;
}

static void close_place(struct telling *t)
{
	if (t->place)
		t->ops->close(t->place);
	loop_free(t->loop);
	free(t->folder);
}

static void control_folder(struct telling *t, const struct object_settings *settings)
{
	char *base = object_folder(t->place->prefix, settings->path);
	size_t size = strlen(base) + sizeof("_control/");

	t->folder = memory_new(size);
	snprintf(t->folder, size, "%s_control/", base);
	free(base);
}

bool object_control(const struct place_ops *ops, const void *settings, const struct sink_host *host,
		    const struct sink_control *events, size_t count, const _Atomic bool *stop,
		    size_t *told, struct error *err)
{
	struct telling t = { .ops = ops, .host = host };
	bool ok = open_place(&t, settings, err);

	*told = 0;
	if (ok)
		control_folder(&t, settings);
	for (size_t i = 0; ok && i < count; i++) {
		ok = tell(&t, &events[i], stop, err);
		*told += ok;
	}
	close_place(&t);
	return ok || error_wrap(err, "sink %s", host->name);
}

/* --- dead letters --- */

/* The folders of `path`, as at the time of the batch, so that they are the same whoever sends it.
 */
static bool letters_folder(struct telling *t, const struct object_settings *settings,
			   const struct sink_letters *b, struct buf *out, struct error *err)
{
	AUTO(template) struct template *path = template_new(settings->path, TEMPLATE_PATH, err);
	const struct template_values values = { .source = b->source, .time_ms = b->batch };

	buf_text(out, t->place->prefix);
	if (!path || !template_render(path, &values, out, err))
		return false;
	if (out->size > 0 && out->data[out->size - 1] != '/')
		buf_text(out, "/");
	return true;
}

/* One file: it is visible as a whole or not at all, and sent again it has the same name. */
static bool put_letters(struct telling *t, const struct object_settings *settings,
			const struct sink_letters *b, const _Atomic bool *stop, struct error *err)
{
	struct buf path, pending, body;
	char time[OBJECT_TIME_SIZE];
	bool ok;

	buf_init(&path, 0);
	buf_init(&pending, 0);
	buf_init(&body, 0);
	ok = letters_folder(t, settings, b, &path, err);
	buf_printf(&pending, "%.*s.%s-%s-letters-%" PRId64, STR_ARG(buf_str(&path)),
		   object_time_text(b->batch, time), t->host->session, b->batch);
	buf_printf(&path, "%s-", time);
	add_name(b->source->stream, &path);
	buf_printf(&path, "-letters-%s-%" PRId64 ".ndjson", b->chain, b->batch);
	for (size_t i = 0; i < b->count; i++)
		ok = ok && buf_add(&body, b->letters[i].json.p, b->letters[i].json.n) &&
		     buf_add(&body, "\n", 1);
	ok = ok && put(t, path.data, pending.data, buf_str(&body), stop, err);
	buf_release(&path);
	buf_release(&pending);
	buf_release(&body);
	return ok;
}

bool object_letters_validate(const void *settings, struct error *err)
{
	const struct object_settings *s = settings;
	const unsigned fine = TEMPLATE_NEEDS_SOURCE | TEMPLATE_NEEDS_TIME;
	AUTO(template) struct template *path = template_new(s->path, TEMPLATE_PATH, err);

	if (!path)
		return error_wrap(err, "path");
	return (template_needs(path) & ~fine) == 0 ||
	       error_set(err, ERROR_INVALID,
			 "path: a dead letter has ${stream}, ${table}, ${region}, ${account} and "
			 "the time at which it goes, and nothing else");
}

bool object_letters(const struct place_ops *ops, const void *settings, const struct sink_host *host,
		    const struct sink_letters *batch, const _Atomic bool *stop, size_t *sent,
		    size_t *refused, struct error *err)
{
	struct telling t = { .ops = ops, .host = host };
	bool ok = open_place(&t, settings, err) && put_letters(&t, settings, batch, stop, err);

	*sent = ok ? batch->count : 0;
	*refused = batch->count;
	close_place(&t);
	return ok || error_wrap(err, "sink %s", host->name);
}
