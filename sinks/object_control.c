#include <inttypes.h>
#include <stdlib.h>

#include "base/memory.h"
#include "sinks/object_post.h"
#include "sinks/template.h"

struct telling {
	struct object_post post;
	char *folder;
};

/* TIME-STREAM-KIND-PHASE-ID: the same whoever tells it. The id makes it unique, so that a stream's
 * name may lose what is not for files' names. */
static void event_name(const struct sink_control *c, struct buf *out)
{
	char time[OBJECT_TIME_SIZE];

	buf_printf(out, "%s-", object_time_text(c->time_ms, time));
	object_post_name(c->source->stream, out);
	buf_printf(out, "-%s-%s-%" PRId64 ".json", c->kind, c->phase, c->id);
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
		   object_time_text(c->time_ms, time), t->post.host->session, c->id);
	ok = object_post_put(&t->post, path.data, pending.data, "application/json", body, stop,
			     err);
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

static void control_folder(struct telling *t, const struct object_settings *settings)
{
	char *base = object_folder(t->post.place->prefix, settings->path);
	size_t size = strlen(base) + sizeof("_control/");

	t->folder = memory_new(size);
	snprintf(t->folder, size, "%s_control/", base);
	free(base);
}

bool object_control(const struct place_ops *ops, const void *settings, const struct sink_host *host,
		    const struct sink_control *events, size_t count, const _Atomic bool *stop,
		    size_t *told, struct error *err)
{
	struct telling t = { .post = { .ops = ops, .host = host } };
	bool ok = object_post_open(&t.post, settings, err);

	*told = 0;
	if (ok)
		control_folder(&t, settings);
	for (size_t i = 0; ok && i < count; i++) {
		ok = tell(&t, &events[i], stop, err);
		*told += ok;
	}
	object_post_close(&t.post);
	free(t.folder);
	return ok || error_wrap(err, "sink %s", host->name);
}

/* --- dead letters --- */

/* The folders of `path`, as at the time of the batch, so that they are the same whoever sends it.
 */
static bool letters_folder(struct object_post *p, const struct object_settings *settings,
			   const struct sink_letters *b, struct buf *out, struct error *err)
{
	AUTO(template) struct template *path = template_new(settings->path, TEMPLATE_PATH, err);
	const struct template_values values = { .source = b->source, .time_ms = b->batch };

	buf_text(out, p->place->prefix);
	if (!path || !template_render(path, &values, out, err))
		return false;
	if (out->size > 0 && out->data[out->size - 1] != '/')
		buf_text(out, "/");
	return true;
}

/* One file: it is visible as a whole or not at all, and sent again it has the same name. */
static bool put_letters(struct object_post *p, const struct object_settings *settings,
			const struct sink_letters *b, const _Atomic bool *stop, struct error *err)
{
	struct buf path, pending, body;
	char time[OBJECT_TIME_SIZE];
	bool ok;

	buf_init(&path, 0);
	buf_init(&pending, 0);
	buf_init(&body, 0);
	ok = letters_folder(p, settings, b, &path, err);
	buf_printf(&pending, "%.*s.%s-%s-letters-%" PRId64, STR_ARG(buf_str(&path)),
		   object_time_text(b->batch, time), p->host->session, b->batch);
	buf_printf(&path, "%s-", time);
	object_post_name(b->source->stream, &path);
	buf_printf(&path, "-letters-%s-%" PRId64 ".ndjson", b->chain, b->batch);
	for (size_t i = 0; i < b->count; i++)
		ok = ok && buf_add(&body, b->letters[i].json.p, b->letters[i].json.n) &&
		     buf_add(&body, "\n", 1);
	ok = ok && object_post_put(p, path.data, pending.data, "application/json", buf_str(&body),
				   stop, err);
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
	struct object_post p = { .ops = ops, .host = host };
	bool ok =
		object_post_open(&p, settings, err) && put_letters(&p, settings, batch, stop, err);

	*sent = ok ? batch->count : 0;
	*refused = batch->count;
	object_post_close(&p);
	return ok || error_wrap(err, "sink %s", host->name);
}
