#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "ops/command.h"
#include "ops/export_command.h"
#include "ops/exports.h"

#define POLL_MS      1000
#define SESSIONS_MAX 256
/* An export that does not move is told of again. */
#define AGAIN_MS 30000

bool export_say_workers(struct store *store, struct error *err)
{
	struct store_session *sessions = memory_array(SESSIONS_MAX, sizeof(*sessions));
	size_t count, live = 0;
	bool ok = store_sessions(store, sessions, SESSIONS_MAX, &count, err);

	for (size_t i = 0; ok && i < count; i++)
		live += sessions[i].state == SESSION_LIVE;
	free(sessions);
	if (ok && live == 0)
		fputs("sluice export: no worker is running; one has to be started: sluice run\n",
		      stderr);
	return ok;
}

struct followed {
	int64_t id;
	char said[512];
	int64_t said_ms;
	bool known, over, well;
};

struct looking {
	struct followed *f;
	int64_t now_ms;
};

static void say(struct followed *f, const char *text, int64_t now_ms)
{
	if (strncmp(text, f->said, sizeof(f->said) - 1) == 0 && now_ms < f->said_ms + AGAIN_MS)
		return;
	snprintf(f->said, sizeof(f->said), "%s", text);
	f->said_ms = now_ms;
	puts(text);
	fflush(stdout);
}

static void on_export(void *arg, const struct store_export *e)
{
	struct looking *l = arg;
	struct buf text = { 0 };

	l->f->known = true;
	l->f->well = e->status == STORE_EXPORT_COMPLETE && e->published_ms;
	l->f->over = l->f->well || e->status == STORE_EXPORT_FAILED ||
		     e->status == STORE_EXPORT_ABANDONED;
	exports_text(e, 0, l->now_ms, &text);
	say(l->f, text.data, l->now_ms);
	buf_release(&text);
}

static bool look(struct store *store, struct looking *l, struct error *err)
{
	struct store_exports_of of = { .id = l->f->id, .max = 1 };

	l->f->known = false;
	if (!store_exports(store, &of, on_export, l, err))
		return false;
	return l->f->known || error_set(err, ERROR_NOT_FOUND, "export %lld is not there any more",
					(long long)l->f->id);
}

static bool follow(struct export_context *x, struct store *store, struct followed *all,
		   size_t count, struct error *err)
{
	bool over;

	do {
		over = true;
		for (size_t i = 0; i < count; i++) {
			struct looking l = { &all[i], clock_aws_ms(&x->clock) };

			if (all[i].over)
				continue;
			if (!look(store, &l, err) && !error_passes(err->kind))
				return false;
			over = over && all[i].over;
		}
		if (!over)
			nanosleep(&(struct timespec){ .tv_sec = POLL_MS / 1000 }, NULL);
	} while (!over);
	return true;
}

int export_wait(struct export_context *x, const int64_t *ids, size_t count)
{
	struct followed *all = memory_array(count, sizeof(*all));
	struct error err = { 0 };
	AUTO(store)
	struct store *store =
		store_open_reader(x->config->checkpoint.store, OPERATOR_STORE_TIMEOUT_MS, &err);
	bool ok, well = true;

	for (size_t i = 0; i < count; i++)
		all[i].id = ids[i];
	ok = store && export_say_workers(store, &err) && follow(x, store, all, count, &err);
	for (size_t i = 0; i < count; i++)
		well = well && all[i].well;
	free(all);
	if (!ok)
		return export_failed(&err);
	return well ? EXIT_DONE : EXIT_FAILED;
}
