#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "ops/deadletter_command.h"

/* --- streams --- */

static bool find_stream(const struct retry_plan *p, struct store *store, struct retry_stream *s,
			struct error *err)
{
	struct operator_streams *rows = memory_new(sizeof(*rows));
	bool ok;

	rows->name = s->name;
	ok = operator_streams(store, rows, err);
	snprintf(s->arn, sizeof(s->arn), "%s", rows->arn);
	if (ok)
		s->config = operator_entry(p->config, rows);
	free(rows);
	if (!ok && err->kind != ERROR_NOT_FOUND)
		return false;
	if (!s->config)
		snprintf(s->why, sizeof(s->why), "%s",
			 ok ? "the configuration has no such stream"
			    : "the store has no such stream");
	return true;
}

static bool stream_of(struct retry_plan *p, struct store *store, const char *name, size_t *out,
		      struct error *err)
{
	struct retry_stream *s;

	for (*out = 0; *out < p->stream_count; ++*out)
		if (strcmp(p->streams[*out].name, name) == 0)
			return true;
	p->streams = memory_room(p->streams, p->stream_count, sizeof(*p->streams));
	s = &p->streams[p->stream_count++];
	*s = (struct retry_stream){ .name = memory_text(name) };
	return find_stream(p, store, s, err);
}

/* --- which letters --- */

struct reading {
	struct retry_plan *plan;
	bool ok;
	struct error err;
};

static bool is_chosen(const struct retry_plan *p, const struct again_letter *l)
{
	bool chosen = p->id_count == 0;

	for (size_t i = 0; i < p->id_count && !chosen; i++)
		chosen = p->by_id[i] == l->id;
	/* A letter for every sink is one for that one, too. */
	return chosen && (!p->by_stream || strcmp(p->by_stream, l->stream) == 0) &&
	       (!p->by_sink || !*l->sink || strcmp(p->by_sink, l->sink) == 0) &&
	       (!p->by_reason || strcmp(p->by_reason, l->reason) == 0);
}

void retry_take(struct retry_plan *p, const struct retry_letter *l)
{
	p->letters = memory_room(p->letters, p->letter_count, sizeof(*p->letters));
	p->letters[p->letter_count++] = *l;
}

static void on_letter(void *arg, int64_t id, struct str json)
{
	struct reading *r = arg;
	struct retry_plan *p = r->plan;
	struct retry_letter l = { .head.id = id };

	if (!r->ok)
		return;
	if (!again_letter_read(json, &l.head, &r->err)) {
		r->ok = error_wrap(&r->err, "letter %" PRId64, id);
		return;
	}
	if (!is_chosen(p, &l.head)) {
		again_letter_release(&l.head);
		return;
	}
	if (!*l.head.sink)
		buf_printf(&l.json, "%.*s", STR_ARG(json));
	retry_take(p, &l);
}

static size_t use_of(const struct config_stream *c, const char *sink)
{
	size_t use = 0;

	while (use < c->sink_count && strcmp(c->sinks[use].name, sink) != 0)
		use++;
	return use;
}

bool retry_sinks(const struct retry_plan *p, const struct retry_letter *l, size_t *first,
		 size_t *count, const char **why)
{
	const struct retry_stream *s = &p->streams[l->stream];
	const char *sink = *l->head.sink ? l->head.sink : p->by_sink;

	*why = s->why;
	if (!s->config)
		return false;
	*why = "they are rows of an export: load it again";
	if (l->head.row)
		return false;
	*first = sink ? use_of(s->config, sink) : 0;
	*count = *l->head.sink ? 1 : s->config->sink_count;
	*why = "the configuration's stream has no such sink";
	return *first < s->config->sink_count;
}

static bool has_letter(const struct retry_plan *p, int64_t id)
{
	size_t i = 0;

	while (i < p->letter_count && p->letters[i].head.id != id)
		i++;
	return i < p->letter_count;
}

bool retry_know(struct retry_plan *p, struct store *store, struct error *err)
{
	for (size_t i = 0; i < p->letter_count; i++) {
		struct retry_letter *l = &p->letters[i];
		size_t first, count;
		const char *why;

		if (!stream_of(p, store, l->head.stream, &l->stream, err))
			return false;
		p->left += !retry_sinks(p, l, &first, &count, &why);
	}
	return true;
}

bool retry_choose(struct retry_plan *p, struct store *store, struct error *err)
{
	struct reading r = { .plan = p, .ok = true };

	if (!store_letters(store, on_letter, &r, err))
		return false;
	*err = r.err;
	if (!r.ok || !retry_know(p, store, err))
		return false;
	for (size_t i = 0; i < p->id_count; i++)
		p->absent += !has_letter(p, p->by_id[i]);
	return true;
}

/* --- groups --- */

static struct retry_group *group_of(struct retry_plan *p, size_t stream, size_t use)
{
	struct retry_group *g;

	for (size_t i = 0; i < p->group_count; i++)
		if (p->groups[i].stream == stream && p->groups[i].use == use)
			return &p->groups[i];
	p->groups = memory_room(p->groups, p->group_count, sizeof(*p->groups));
	g = &p->groups[p->group_count++];
	*g = (struct retry_group){ .stream = stream, .use = use };
	return g;
}

void retry_add(struct retry_plan *p, const struct retry_letter *l, size_t use, int64_t id)
{
	struct retry_group *g = group_of(p, l->stream, use);

	g->ids = memory_room(g->ids, g->count, sizeof(*g->ids));
	g->ids[g->count++] = id;
}

static int ascending(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

void retry_begin(struct retry_group *g)
{
	qsort(g->ids, g->count, sizeof(*g->ids), ascending);
	g->tried = memory_array(g->count, sizeof(*g->tried));
}

size_t retry_window(struct retry_group *g, int64_t ids[RETRY_WINDOW])
{
	size_t n = 0;

	while (g->first < g->count && g->tried[g->first])
		g->first++;
	for (size_t i = g->first; i < g->count && n < RETRY_WINDOW; i++)
		if (!g->tried[i])
			ids[n++] = g->ids[i];
	return n;
}

void retry_tried(struct retry_group *g, int64_t id)
{
	const int64_t *at = bsearch(&id, g->ids, g->count, sizeof(id), ascending);

	if (at)
		g->tried[at - g->ids] = true;
}

/* --- what is shown --- */

static void show_row(const struct retry_plan *p, const struct retry_letter *l, size_t count,
		     const char *first, const char *last)
{
	size_t at, sinks;
	const char *why;
	bool tried = retry_sinks(p, l, &at, &sinks, &why);

	printf("%6zu  %s  %s  %s  from %s to %s%s%s%s%s\n", count, l->head.stream,
	       *l->head.sink ? l->head.sink
	       : p->by_sink  ? p->by_sink
			     : "every sink",
	       l->head.reason, first, last, tried ? "" : ": not ", tried ? "" : p->what,
	       tried ? "" : ", ", tried ? "" : why);
}

static bool are_alike(const struct retry_letter *a, const struct retry_letter *b)
{
	return a->stream == b->stream && strcmp(a->head.sink, b->head.sink) == 0 &&
	       strcmp(a->head.reason, b->head.reason) == 0 && a->head.row == b->head.row;
}

/* A line for all that are alike. */
void retry_show(const struct retry_plan *p)
{
	bool *shown = memory_array(p->letter_count + 1, sizeof(*shown));

	for (size_t i = 0; i < p->letter_count; i++) {
		const struct retry_letter *l = &p->letters[i];
		const char *first = l->head.time, *last = l->head.time;
		size_t count = 0;

		if (shown[i])
			continue;
		for (size_t k = i; k < p->letter_count; k++) {
			const char *time = p->letters[k].head.time;

			if (!are_alike(l, &p->letters[k]))
				continue;
			shown[k] = true;
			count++;
			first = strcmp(time, first) < 0 ? time : first;
			last = strcmp(time, last) > 0 ? time : last;
		}
		show_row(p, l, count, first, last);
	}
	free(shown);
	for (size_t i = 0; i < p->id_count; i++)
		if (!has_letter(p, p->by_id[i]))
			printf("letter %" PRId64 ": there is none of this choice\n", p->by_id[i]);
}

void retry_release(struct retry_plan *p)
{
	for (size_t i = 0; i < p->letter_count; i++) {
		again_letter_release(&p->letters[i].head);
		buf_release(&p->letters[i].json);
	}
	for (size_t i = 0; i < p->stream_count; i++)
		free(p->streams[i].name);
	for (size_t i = 0; i < p->group_count; i++) {
		free(p->groups[i].ids);
		free(p->groups[i].tried);
	}
	free(p->letters);
	free(p->streams);
	free(p->groups);
}
