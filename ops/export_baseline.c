#include <stdio.h>
#include <string.h>

#include "checkpoint/store.h"
#include "ops/command.h"
#include "ops/export_command.h"

/* A stream is begun anew: it is held for a baseline, which its workers then make. */

struct plan {
	const char *name;
	struct store_stream stream; /* the table's last one */
};

static bool has_bucket(const struct config *c, const char *name)
{
	for (size_t i = 0; i < c->stream_count; i++)
		if (c->streams[i].baseline.bucket &&
		    (c->streams[i].is_pattern || strcmp(c->streams[i].name, name) == 0))
			return true;
	return false;
}

static bool show(struct export_context *x, struct plan *p, struct error *err)
{
	AUTO(store)
	struct store *store =
		store_open_reader(x->config->checkpoint.store, OPERATOR_STORE_TIMEOUT_MS, err);
	const struct store_hold *h = &p->stream.hold;
	struct operator_streams all = { .name = p->name };

	if (!store || !operator_streams(store, &all, err))
		return false;
	p->stream = all.rows[all.count - 1];
	if (h->id != 0 && (h->why == STORE_HOLD_PAUSE || h->why == STORE_HOLD_REWIND))
		return error_set(err, ERROR_REFUSED,
				 "%s is held (%s, by %s): when that is over, try again", p->name,
				 store_hold_why_name(h->why), h->who);
	printf("A baseline of %s: its workers let go of all its shards, the whole table is "
	       "exported and\nloaded again, and the stream is read from then on. What the table "
	       "does not have any more is\nfor readers to drop: see docs/exports.md.\n",
	       p->name);
	if (h->id != 0)
		printf("It is held for a %s since it was begun by %s: that is given up.\n",
		       store_hold_why_name(h->why), h->who);
	return true;
}

static bool hold(struct export_context *x, const struct plan *p, struct error *err)
{
	AUTO(store)
	struct store *store =
		store_open(x->config->checkpoint.store, OPERATOR_STORE_TIMEOUT_MS, err);
	struct store_hold h = { .why = STORE_HOLD_BASELINE, .since_ms = clock_aws_ms(&x->clock) };
	bool done;

	operator_name(h.who, sizeof(h.who));
	if (!store ||
	    !store_stream_hold_instead(store, p->stream.id, 0, p->stream.hold.id, &h, &done, err))
		return false;
	if (!done)
		return error_set(
			err, ERROR_RETRY,
			"%s is held for something else since a moment ago; look at `sluice "
			"status`, and try again",
			p->name);
	printf("%s is held for its baseline\n", p->name);
	return export_say_workers(store, err);
}

int export_baseline(struct export_context *x)
{
	struct plan plan = { .name = arguments_get(x->arguments, "stream") };
	struct error err = { 0 };

	if (!has_bucket(x->config, plan.name)) {
		fprintf(stderr,
			"sluice export: the configuration has no stream %s with a baseline block\n",
			plan.name);
		return EXIT_USAGE;
	}
	if (!show(x, &plan, &err))
		return export_failed(&err);
	if (!export_sure(x, "Begin anew?"))
		return EXIT_USAGE;
	return hold(x, &plan, &err) ? EXIT_DONE : export_failed(&err);
}
