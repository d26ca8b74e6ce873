/* From one stream of a table to the next: the old one is read to its end, by whoever has its
 * shards, before the new one is begun. What the workers of a stream have to agree on is in the
 * store: the rows of both streams, what is done, and the gap between them. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "config/sections.h"
#include "consumer/worker_internal.h"

#define CHECK_BASE_MS 500
#define CHECK_MAX_MS  30000
/* A gap that waits for a person is asked for so often. */
#define WAITS_MS 2000
/* Two listings that were begun after AWS had said that the stream is off; after this long without
 * them everything is asked anew. */
#define LISTINGS    2
#define LISTINGS_MS 60000

/* --- the store's streams --- */

struct worker_row *worker_row(struct worker *w, const char *name, const char *arn)
{
	for (size_t i = 0; i < w->row_count; i++)
		if (strcmp(w->rows[i].name, name) == 0 && strcmp(w->rows[i].arn, arn) == 0)
			return &w->rows[i];
	return NULL;
}

struct worker_row *worker_row_add(struct worker *w, const char *name, const char *arn, int64_t id,
				  int64_t start_ms, bool begun)
{
	struct worker_row *row;

	w->rows = memory_room(w->rows, w->row_count, sizeof(*w->rows));
	row = &w->rows[w->row_count++];
	*row = (struct worker_row){ .id = id,
				    .start_ms = start_ms,
				    .name = memory_text(name),
				    .arn = memory_text(arn),
				    .begun = begun };
	return row;
}

/* Of this table: not of another one that once had its name. Which table that is, AWS says; without
 * it the table that was read last under the name counts. */
static bool row_is_of(const struct worker *w, const struct worker_table *t,
		      const struct worker_row *row)
{
	const char *like = t->latest.arn;

	if (strcmp(row->name, t->config.name) != 0)
		return false;
	if (strstr(t->config.table, "/stream/"))
		return strcmp(row->arn, t->config.table) == 0;
	for (size_t i = w->row_count; !*like && i-- > 0;)
		if (strcmp(w->rows[i].name, t->config.name) == 0 &&
		    str_equal(config_table_name(w->rows[i].arn),
			      config_table_name(t->config.table)))
			like = w->rows[i].arn;
	return *like && resolve_same_table(row->arn, like);
}

bool worker_has_rows(const struct worker *w, const struct worker_table *t)
{
	for (size_t i = 0; i < w->row_count; i++)
		if (row_is_of(w, t, &w->rows[i]))
			return true;
	return false;
}

/* --- beginning --- */

/* What a pattern reads since its first start, and what an entry reads since this one. */
static int64_t followed_since_ms(const struct worker *w, const struct worker_table *t)
{
	const struct clock *clock = w->settings.clock;
	int64_t since_ms = clock_aws_ms(clock) - (clock_boot_ms(clock) - w->since_ms);
	const struct config_stream *other;

	for (size_t i = 0; t->matched && i < w->row_count; i++) {
		const struct worker_row *row = &w->rows[i];
		struct str table = config_table_name(row->arn);
		char name[256];

		snprintf(name, sizeof(name), "%.*s", STR_ARG(table));
		if (row->start_ms > 0 && row->start_ms < since_ms &&
		    follow_entry(w->settings.config, name, &other) ==
			    follow_entry(w->settings.config, t->config.table, &other))
			since_ms = row->start_ms;
	}
	return since_ms;
}

static int64_t start_ms(const struct worker *w, const struct worker_table *t, const char *arn)
{
	int64_t now_ms = clock_aws_ms(w->settings.clock), configured_ms;
	enum config_start kind;
	struct error err;

	if (worker_has_rows(w, t))
		return 0; /* it comes behind another one */
	if (!config_start_parse(t->config.start, now_ms, &kind, &configured_ms, &err))
		return now_ms; /* it was parsed before */
	return follow_start_ms(kind, configured_ms, now_ms, resolve_created_ms(arn),
			       followed_since_ms(w, t));
}

/* AWS may know nothing any more of a stream of which something is left to be told. */
static void from_arn(const struct worker_table *t, const char *arn, struct resolved_stream *out)
{
	struct str table = config_table_name(arn);

	*out = t->latest;
	out->status = STREAM_DISABLED;
	snprintf(out->arn, sizeof(out->arn), "%s", arn);
	snprintf(out->table, sizeof(out->table), "%.*s", STR_ARG(table));
	resolve_arn_parts(arn, out->region, out->account);
}

static void begin_with(struct worker *w, struct worker_table *t, const struct resolved_stream *r)
{
	t->over = t->undone = false;
	t->unsettled = false; /* that was asked of the one before */
	t->check_failures = 0;
	t->check_at_ms = 0;
	t->repairs = false;
	if (strcmp(t->next_arn, r->arn) == 0) {
		t->repairs = t->waits;
		*t->next_arn = '\0';
		t->next_id = 0;
		t->waits = false;
	}
	worker_open_stream(w, t, r, start_ms(w, t, r->arn));
}

static void on_looked(void *arg, const struct error *err, const struct resolved_stream *r)
{
	struct worker_table *t = arg;
	struct worker *w = t->worker;
	struct resolved_stream known;

	t->beginning = false;
	if (err->kind == ERROR_CANCELLED || !w->serving)
		return;
	worker_expect(w);
	if (error_passes(err->kind)) {
		t->look_at_ms = loop_now_ms(w->loop) + CHECK_BASE_MS;
		return; /* and then it is chosen again */
	}
	if (!r)
		from_arn(t, t->begin_arn, &known);
	begin_with(w, t, r ? r : &known);
}

static void begin(struct worker *w, struct worker_table *t, const char *arn)
{
	if (strcmp(arn, t->latest.arn) == 0) {
		begin_with(w, t, &t->latest);
		return;
	}
	snprintf(t->begin_arn, sizeof(t->begin_arn), "%s", arn);
	t->beginning = true;
	worker_expect(w);
	resolve_start(w->client, arn, NULL, on_looked, t);
}

/* --- a new stream is announced --- */

struct announcement {
	struct worker_task task;
	struct worker_table *table;
	const char *session;
	char name[CONFIG_STREAM_NAME_MAX + 1], arn[STREAMS_ARN_MAX + 1];
	bool accept, added;
	struct store_gap gap;
};

static void reenabled(void *arg, const struct store_gap *gap)
{
	struct store_gap *found = arg;

	if (gap->kind == STORE_GAP_REENABLED)
		*found = *gap;
}

/* Once: whoever sees it first, and however often. */
static bool announce_work(struct saver_task *task, struct store *store, struct error *err)
{
	struct announcement *a = (struct announcement *)task;
	struct store_gap found = { 0 };
	struct store_stream stream;

	if (!store_stream(store, a->name, a->arn, 0, &stream, err) ||
	    !store_gaps(store, stream.id, reenabled, &found, err))
		return error_wrap(err, "stream %s", a->name);
	a->gap.stream = stream.id;
	if (found.id != 0 && (found.state != STORE_GAP_OPEN || !a->accept)) {
		a->gap = found;
		return true;
	}
	return store_gap_put(store, a->session, &a->gap, a->accept, &a->added, err) ||
	       error_wrap(err, "stream %s", a->name);
}

static void tell_reenabled(const struct worker_table *t, const struct announcement *a)
{
	const struct log_field stream = log_text("stream", a->name), arn = log_text("arn", a->arn);

	if (t->config.gap == GAP_REPAIR)
		log_error("gap: a table's stream was turned off and on again: changes in between "
			  "are in neither; they are exported before the new one is read",
			  stream, arn);
	else if (a->accept)
		log_error("gap: a table's stream was turned off and on again: changes in between "
			  "are in neither; the new one is read behind the old one",
			  stream, arn);
	else
		log_error("gap: a table's stream was turned off and on again: changes in between "
			  "are in neither; the new one waits (gap: stop)",
			  stream, arn);
}

static void announced(struct worker *w, struct worker_task *task)
{
	struct announcement *a = (struct announcement *)task;
	struct worker_table *t = a->table;

	t->announcing = false;
	if (!task->saver.ok) {
		if (task->saver.error.kind != ERROR_CANCELLED &&
		    task->saver.error.kind != ERROR_FENCED)
			worker_end_with(w, WORKER_FAILED, &task->saver.error);
		return;
	}
	t->next_id = a->gap.stream;
	t->waits = a->gap.state == STORE_GAP_OPEN;
	if (!worker_row(w, a->name, a->arn))
		worker_row_add(w, a->name, a->arn, t->next_id, 0, false);
	if (a->added) {
		metric_add(metrics_cell(w->settings.metrics, METRIC_GAPS, a->name, NULL), 1);
		tell_reenabled(t, a);
	}
	if (w->serving)
		worker_change(w, t);
}

static void announce(struct worker *w, struct worker_table *t, const char *arn)
{
	struct announcement *a = memory_new(sizeof(*a));
	int64_t created_ms = resolve_created_ms(arn);

	*a = (struct announcement){ .task = { .saver.work = announce_work, .done = announced },
				    .table = t,
				    .session = w->session,
				    .accept = t->config.gap == GAP_OLDEST };
	a->gap = (struct store_gap){ .kind = STORE_GAP_REENABLED,
				     .to_ms = created_ms > 0 ? created_ms : 0,
				     .found_ms = clock_aws_ms(w->settings.clock) };
	snprintf(a->name, sizeof(a->name), "%s", t->config.name);
	snprintf(a->arn, sizeof(a->arn), "%s", arn);
	snprintf(t->next_arn, sizeof(t->next_arn), "%s", arn);
	t->next_id = 0;
	t->announcing = true;
	t->check_failures = 0;
	t->check_at_ms = 0;
	saver_work(w->saver, &a->task.saver);
}

void worker_choose(struct worker *w, struct worker_table *t)
{
	struct follow_row *rows;
	struct follow_choice c;
	size_t count = 0;

	if (t->mistake || t->beginning)
		return;
	rows = memory_array(w->row_count + 1, sizeof(*rows));
	for (size_t i = 0; i < w->row_count; i++)
		if (row_is_of(w, t, &w->rows[i]))
			rows[count++] = (struct follow_row){ .arn = w->rows[i].arn,
							     .begun = w->rows[i].begun };
	c = follow_choose(rows, count, *t->latest.arn ? t->latest.arn : NULL);
	free(rows);
	if (c.next && !t->announcing && strcmp(c.next, t->next_arn) != 0)
		announce(w, t, c.next);
	if (c.arn && !t->stream && !t->over && strcmp(c.arn, t->left_arn) != 0)
		begin(w, t, c.arn);
}

/* --- is it over? --- */

struct question {
	struct worker_task task;
	struct worker_table *table;
	int64_t stream, next; /* the store's; 0: not asked */
	bool undone;
	struct store_gap gap;
};

static void saw_shard(void *arg, int64_t lane, const char *shard, const char *parent, bool done)
{
	struct question *q = arg;

	(void)lane;
	(void)shard;
	(void)parent;
	q->undone = q->undone || !done;
}

static bool ask_work(struct saver_task *task, struct store *store, struct error *err)
{
	struct question *q = (struct question *)task;

	q->undone = false;
	return (q->stream == 0 || store_shards(store, q->stream, 0, saw_shard, q, err)) &&
	       (q->next == 0 || store_gaps(store, q->next, reenabled, &q->gap, err));
}

static void check_again(struct worker *w, struct worker_table *t)
{
	t->check = CHECK_NONE;
	t->check_at_ms = loop_now_ms(w->loop) +
			 rng_backoff_ms(&w->rng, t->check_failures++, CHECK_BASE_MS, CHECK_MAX_MS);
	t->unsettled = false;
	worker_expect(w);
}

static void check_over(struct worker *w, struct worker_table *t)
{
	t->check = CHECK_NONE;
	t->over = true;
	t->unsettled = false;
	worker_expect(w);
	worker_change(w, t);
}

static void on_status(void *arg, const struct error *err, const struct streams_description *d)
{
	struct worker_table *t = arg;
	struct worker *w = t->worker;

	if (err->kind == ERROR_CANCELLED || !w->serving)
		return;
	if (err->kind == ERROR_NOT_FOUND) {
		check_over(w, t); /* nothing can come of it any more */
	} else if (err->kind == ERROR_NONE && d->status == STREAM_DISABLED && !t->stream->held) {
		t->check = CHECK_LISTINGS;
		t->listed = t->stream->listings;
		discover_list(w->discover, t->stream->lanes.index);
	} else {
		check_again(w, t);
	}
}

static void ask(struct worker *w, struct worker_table *t, enum worker_check step);

static void asked(struct worker *w, struct worker_task *task)
{
	struct question *q = (struct question *)task;
	struct worker_table *t = q->table;
	bool again = t->check == CHECK_AGAIN;

	t->check = CHECK_NONE;
	if (!task->saver.ok) {
		if (task->saver.error.kind != ERROR_CANCELLED &&
		    task->saver.error.kind != ERROR_FENCED)
			worker_end_with(w, WORKER_FAILED, &task->saver.error);
		return;
	}
	if (!w->serving)
		return;
	if (q->next != 0 && q->next == t->next_id)
		t->waits = q->gap.state == STORE_GAP_OPEN;
	t->undone = q->undone;
	if (q->stream == 0) {
		t->check_at_ms = loop_now_ms(w->loop) + WAITS_MS;
		worker_change(w, t);
	} else if (q->undone || t->stream->held) {
		check_again(w, t);
	} else if (again) {
		check_over(w, t);
	} else {
		t->check = CHECK_STATUS;
		streams_describe(w->client, t->stream->resolved.arn, "", NULL, on_status, t);
	}
}

static void ask(struct worker *w, struct worker_table *t, enum worker_check step)
{
	struct question *q = memory_new(sizeof(*q));

	*q = (struct question){ .task = { .saver.work = ask_work, .done = asked },
				.table = t,
				.stream = t->over ? 0 : t->stream->stored.id,
				.next = t->next_id };
	t->check = step;
	t->check_since_ms = loop_now_ms(w->loop);
	if (t->stream)
		t->check_left = t->stream->left;
	saver_work(w->saver, &q->task.saver);
}

static bool has_lanes(const struct worker *w, const struct worker_stream *s)
{
	return w->core.streams[s->lanes.index].lane_count > 0 || s->adding > 0 ||
	       s->severed.count > 0;
}

static void see_listings(struct worker *w, struct worker_table *t)
{
	struct worker_stream *s = t->stream;

	if (s->adding == 0 && s->listings - t->listed >= LISTINGS) {
		ask(w, t, CHECK_AGAIN);
	} else if (loop_now_ms(w->loop) - t->check_since_ms > LISTINGS_MS) {
		check_again(w, t);
	} else if (s->listings != t->listed) {
		discover_list(w->discover, s->lanes.index);
	}
}

/* Its lanes are done, here and everywhere. */
static void leave(struct worker *w, struct worker_table *t)
{
	struct worker_stream *s = t->stream;

	if (s->removing || has_lanes(w, s))
		return;
	snprintf(t->left_arn, sizeof(t->left_arn), "%s", s->resolved.arn);
	worker_remove_stream(w, s);
}

void worker_follow_later(struct worker *w, struct worker_stream *s)
{
	if (s->table->check == CHECK_LISTINGS)
		check_again(w, s->table);
}

void worker_change(struct worker *w, struct worker_table *t)
{
	bool due = t->check == CHECK_NONE && loop_now_ms(w->loop) >= t->check_at_ms;

	if (t->stream && t->stream->held)
		return;
	if (t->over && t->stream) {
		leave(w, t);
	} else if (t->over && *t->next_arn && t->next_id != 0 && !t->beginning) {
		if (!t->waits || t->config.gap == GAP_REPAIR)
			begin(w, t, t->next_arn);
		else if (due)
			ask(w, t, CHECK_STORE);
	} else if (t->check == CHECK_LISTINGS) {
		see_listings(w, t);
	} else if (due && t->stream && t->stream->added && (*t->next_arn || t->gone || t->off) &&
		   !has_lanes(w, t->stream)) {
		ask(w, t, CHECK_STORE);
	}
}
