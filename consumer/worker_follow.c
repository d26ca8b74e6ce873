/* Tables that come and go. Each is looked up every so often: that tells whether it is there, and
 * which stream it has; the listing of all tables tells which ones match a pattern. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "config/sections.h"
#include "consumer/worker_exports.h"
#include "consumer/worker_internal.h"

#define TICK_MS       500
#define LOOKS_AT_ONCE 8
#define TABLES_MAX    1000
#define RETRY_BASE_MS 200
#define RETRY_MAX_MS  10000
#define LOG_EVERY_MS  10000
/* AWS's time, by which streams begin and gaps are seen, is known from its second answer on. */
#define ANSWERS_MIN     2
#define LISTED_PAGE_MAX 100 /* pages of a listing: 10,000 tables, AWS's own limit */

static int64_t follow_ms(struct worker *w)
{
	int64_t ms = w->settings.config->worker.follow_ms;

	return ms * 3 / 4 + (int64_t)rng_below(&w->rng, (uint64_t)ms / 2 + 1);
}

/* What a person may have to do about a table, in /readyz. NULL: nothing. */
static void table_health(struct worker *w, const struct worker_table *t, const char *trouble)
{
	char part[160];

	snprintf(part, sizeof(part), "table %s", t->config.name);
	if (trouble)
		health_set(w->settings.health, part, trouble);
	else
		health_forget(w->settings.health, part);
}

void worker_expect(struct worker *w)
{
	uint32_t n = w->opening + (w->has_patterns && !w->listed) + worker_loads_expected(w) +
		     w->control.unsettled + w->letters.unsettled;

	for (const struct worker_table *t = w->tables; t; t = t->next)
		n += !t->answered || t->beginning || t->unsettled;
	for (uint32_t i = 0; i < w->stream_count; i++)
		n += w->streams[i] && (w->streams[i]->unclaimed > 0 ||
				       (w->streams[i]->held && w->streams[i]->hold == 0));
	n += worker_exports_expected(w) + worker_joining_expected(w);
	core_expect(&w->core, n);
}

/* --- tables --- */

static struct worker_table *table_add(struct worker *w, const struct config_stream *entry)
{
	struct worker_table *t = memory_new(sizeof(*t)), **at = &w->tables;

	while (*at)
		at = &(*at)->next;
	*at = t;
	t->worker = w;
	t->config = *entry;
	return t;
}

static struct worker_table *table_of_pattern(struct worker *w, const struct config_stream *entry,
					     const char *table)
{
	char name[CONFIG_STREAM_NAME_MAX + 1];
	struct worker_table *t;
	struct error err = { 0 };
	unsigned count = 0;

	for (t = w->tables; t; t = t->next)
		count++;
	if (count >= TABLES_MAX)
		error_set(&err, ERROR_INVALID, "one worker follows %d tables", TABLES_MAX);
	else
		(void)!config_stream_name(entry, table, name, &err);
	if (err.kind != ERROR_NONE) {
		log_warn("a table that matches the pattern is not read", log_text("table", table),
			 log_text("error", err.message));
		return NULL;
	}
	t = table_add(w, entry);
	t->matched = true;
	snprintf(t->table, sizeof(t->table), "%s", table);
	memcpy(t->name, name, sizeof(t->name));
	t->config.table = t->table;
	t->config.name = t->name;
	return t;
}

static void table_free(struct worker *w, struct worker_table *t)
{
	struct worker_table **at = &w->tables;

	while (*at != t)
		at = &(*at)->next;
	*at = t->next;
	free(t);
}

static bool busy(const struct worker_table *t)
{
	return t->looking || t->beginning || t->announcing || t->check != CHECK_NONE ||
	       t->streams > 0;
}

/* One that matched a pattern and is no more, and of which nothing is left to read. */
static bool is_finished(const struct worker_table *t)
{
	return t->matched && t->gone && !t->stream && !*t->next_arn && !busy(t);
}

/* Another table of the configuration with this stream. One that is named goes before one that
 * matched, as long as nothing is read yet. */
static const struct worker_table *same_stream(const struct worker *w, const struct worker_table *t,
					      const char *arn)
{
	for (const struct worker_table *o = w->tables; o; o = o->next)
		if (o != t && strcmp(o->latest.arn, arn) == 0 &&
		    (t->matched || !o->matched || w->serving))
			return o;
	return NULL;
}

/* --- looking a table up --- */

/* Said once, until it is over. */
static void tell(struct worker *w, struct worker_table *t, const char *message,
		 const struct error *err)
{
	table_health(w, t, err->message);
	if (!t->told)
		log_warn(message, log_text("stream", t->config.name),
			 log_text("error", err->message));
	t->told = true;
}

static void see_off(struct worker *w, struct worker_table *t, bool off)
{
	struct error err = { 0 };

	if (off && !t->off) {
		error_set(&err, ERROR_INVALID, "the stream of %s is turned off", t->config.table);
		tell(w, t, "a table's stream is turned off: what is left in it is read", &err);
	} else if (!off && t->told) {
		table_health(w, t, NULL);
		t->told = false;
	}
	t->off = off;
}

static void look_again(struct worker *w, struct worker_table *t)
{
	uint64_t repeated;

	t->look_at_ms = loop_now_ms(w->loop) +
			rng_backoff_ms(&w->rng, t->failures++, RETRY_BASE_MS, RETRY_MAX_MS);
	if (!w->serving)
		health_set(w->settings.health, "aws", t->error.message);
	if (log_limit_pass(&w->look_log, loop_now_ms(w->loop), LOG_EVERY_MS, &repeated))
		log_warn("a stream could not be looked up, it is tried again",
			 log_text("stream", t->config.name), log_text("error", t->error.message),
			 log_int("repeated", (int64_t)repeated));
}

/* No table, no stream, no permission: what the answer means depends on what was read of it. */
static void missed(struct worker *w, struct worker_table *t)
{
	bool known = worker_has_rows(w, t);

	if (t->error.kind == ERROR_NOT_FOUND && known) {
		t->gone = true;
		tell(w, t, "a table or its stream is gone: what is left in it is read", &t->error);
	} else if (t->error.kind == ERROR_NOT_FOUND && t->matched) {
		t->gone = true; /* before anything was read of it */
	} else if (t->error.kind == ERROR_INVALID && known) {
		see_off(w, t, true);
	} else if (t->matched) {
		tell(w, t, "a table that matches the pattern is not read", &t->error);
	} else {
		tell(w, t, "a stream cannot be read", &t->error);
	}
}

static void looked(struct worker *w, struct worker_table *t, const struct resolved_stream *r)
{
	const struct worker_table *other = same_stream(w, t, r->arn);

	health_set(w->settings.health, "aws", NULL);
	t->gone = false;
	if (other)
		error_set(
			&t->error, ERROR_INVALID,
			"it is the same stream as %s: a stream is read once, and may have several "
			"sinks (%s)",
			other->config.name, r->arn);
	t->mistake = other || !worker_images_fit(w, t, r, &t->error);
	if (t->mistake) {
		if (w->serving && !(t->matched && other && !other->matched))
			tell(w, t, "a stream cannot be read", &t->error);
		return;
	}
	t->latest = *r;
	see_off(w, t, r->status == STREAM_DISABLED || r->status == STREAM_DISABLING);
}

static void on_looked(void *arg, const struct error *err, const struct resolved_stream *r)
{
	struct worker_table *t = arg;
	struct worker *w = t->worker;

	t->looking = false;
	w->looks--;
	if (err->kind == ERROR_CANCELLED)
		return;
	t->error = *err;
	t->look_at_ms = loop_now_ms(w->loop) + follow_ms(w);
	if (error_passes(err->kind)) {
		look_again(w, t);
		return;
	}
	t->answered = true;
	w->answers++;
	t->failures = 0;
	if (r)
		looked(w, t, r);
	else if (w->serving)
		missed(w, t);
	if (w->serving) {
		worker_expect(w);
		worker_choose(w, t);
		loop_timer_arm(w->follow, 0);
	}
}

static void look(struct worker *w, struct worker_table *t)
{
	t->looking = true;
	w->looks++;
	resolve_start(w->client, t->config.table, t->config.enable_stream, on_looked, t);
}

static void look_due(struct worker *w)
{
	int64_t now_ms = loop_now_ms(w->loop);

	for (struct worker_table *t = w->tables; t && w->looks < LOOKS_AT_ONCE; t = t->next)
		if (!t->looking && now_ms >= t->look_at_ms)
			look(w, t);
}

/* --- the listing of all tables --- */

struct listing {
	struct worker *worker;
	unsigned pages;
};

static void match(struct worker *w, const char *table)
{
	const struct config_stream *other, *entry;
	struct worker_table *t;

	for (t = w->tables; t; t = t->next)
		if (strcmp(t->config.table, table) == 0)
			return;
	entry = follow_entry(w->settings.config, table, &other);
	if (!entry || !entry->is_pattern)
		return;
	t = table_of_pattern(w, entry, table);
	if (!t)
		return;
	log_info("a table matches a pattern", log_text("table", table),
		 log_text("pattern", entry->table));
	if (other)
		log_warn("a table matches two patterns: the first one counts",
			 log_text("table", table), log_text("first", entry->table),
			 log_text("second", other->table));
}

static void list_done(struct worker *w, const struct error *err)
{
	uint64_t repeated;

	w->listing = false;
	if (err->kind == ERROR_CANCELLED)
		return;
	w->list_error = *err;
	w->list_at_ms = loop_now_ms(w->loop) + follow_ms(w);
	if (err->kind == ERROR_NONE) {
		w->list_failures = 0;
		w->listed = true;
		health_forget(w->settings.health, "tables");
	} else {
		if (error_passes(err->kind))
			w->list_at_ms =
				loop_now_ms(w->loop) + rng_backoff_ms(&w->rng, w->list_failures++,
								      RETRY_BASE_MS, RETRY_MAX_MS);
		health_set(w->settings.health, "tables", err->message);
		if ((w->serving || error_passes(err->kind)) &&
		    log_limit_pass(&w->look_log, loop_now_ms(w->loop), LOG_EVERY_MS, &repeated))
			log_warn("the tables could not be listed, it is tried again",
				 log_text("error", err->message),
				 log_int("repeated", (int64_t)repeated));
	}
	if (w->serving)
		worker_expect(w);
	look_due(w);
}

static void on_names(void *arg, const struct error *err, const struct dynamodb_names *n)
{
	struct listing *l = arg;
	struct worker *w = l->worker;

	for (size_t i = 0; n && i < n->count; i++)
		match(w, n->names[i]);
	if (n && *n->last && ++l->pages < LISTED_PAGE_MAX) {
		dynamodb_list_tables(w->client, n->last, on_names, l);
		return;
	}
	free(l);
	list_done(w, err);
}

static void list_due(struct worker *w)
{
	struct listing *l;

	if (!w->has_patterns || w->listing || loop_now_ms(w->loop) < w->list_at_ms)
		return;
	l = memory_new(sizeof(*l));
	l->worker = w;
	w->listing = true;
	dynamodb_list_tables(w->client, "", on_names, l);
}

/* --- the start --- */

/* Everything was asked for once, and something is known: what is left comes later. */
static bool enough_known(const struct worker *w)
{
	bool some = false, all = true;

	if (w->has_patterns && !w->listed)
		return w->list_error.kind != ERROR_NONE && !error_passes(w->list_error.kind);
	for (const struct worker_table *t = w->tables; t; t = t->next) {
		some = some || t->answered;
		all = all && (t->answered || t->failures > 0);
	}
	return all && (some || !w->tables);
}

bool worker_look_up(struct worker *w)
{
	const struct config *c = w->settings.config;

	w->since_ms = clock_boot_ms(w->settings.clock);
	rng_seed(&w->rng, (uint64_t)w->since_ms);
	for (size_t i = 0; i < c->stream_count; i++) {
		w->has_patterns = w->has_patterns || c->streams[i].is_pattern;
		if (!c->streams[i].is_pattern)
			table_add(w, &c->streams[i]);
	}
	while (!enough_known(w) || (w->tables && w->answers < ANSWERS_MIN)) {
		if (enough_known(w))
			w->tables->look_at_ms = 0;
		if (atomic_load(w->settings.stop))
			return error_set(&w->error, ERROR_CANCELLED, "stopped while starting");
		list_due(w);
		look_due(w);
		loop_once(w->loop, 50);
	}
	return true;
}

static void add_row(void *arg, const char *name, const char *arn, const struct store_stream *s)
{
	worker_row_add(arg, name, arn, s->id, s->start_ms, s->rooted);
}

/* What a pattern read before and is not listed any more may have something left. */
static void add_gone(struct worker *w)
{
	for (size_t i = 0; i < w->row_count; i++) {
		struct str table = config_table_name(w->rows[i].arn);
		char name[256], stream[CONFIG_STREAM_NAME_MAX + 1];
		const struct config_stream *other, *entry;
		struct error err;

		snprintf(name, sizeof(name), "%.*s", STR_ARG(table));
		entry = follow_entry(w->settings.config, name, &other);
		if (entry && entry->is_pattern && config_stream_name(entry, name, stream, &err) &&
		    strcmp(stream, w->rows[i].name) == 0)
			match(w, name);
	}
}

bool worker_judge(struct worker *w)
{
	if (!store_streams(w->settings.store, add_row, w, &w->error))
		return false;
	if (w->list_error.kind != ERROR_NONE) {
		w->error = w->list_error;
		return error_wrap(&w->error, "finding the tables of a pattern");
	}
	for (struct worker_table *t = w->tables; t; t = t->next) {
		bool gone = t->error.kind == ERROR_NOT_FOUND || t->error.kind == ERROR_INVALID;

		if (t->matched && same_stream(w, t, t->latest.arn)) {
			*t->latest.arn = '\0'; /* an entry names it */
			t->mistake = true;
		}
		if (!t->answered || t->error.kind == ERROR_NONE)
			continue;
		if (!t->matched && (t->mistake || !gone || !worker_has_rows(w, t))) {
			w->error = t->error;
			return error_wrap(&w->error, "stream %s", t->config.name);
		}
		if (t->mistake)
			tell(w, t, "a stream cannot be read", &t->error);
		else
			missed(w, t);
	}
	if (w->has_patterns)
		add_gone(w);
	return true;
}

/* --- serving --- */

static void tick(void *arg)
{
	struct worker *w = arg;

	list_due(w);
	look_due(w);
	for (struct worker_table *t = w->tables, *next; t; t = next) {
		next = t->next;
		worker_change(w, t);
		if (!is_finished(t))
			continue;
		log_info("a table that matched a pattern is gone, everything of it is read",
			 log_text("table", t->config.table));
		table_health(w, t, NULL);
		metrics_forget_stream(w->settings.metrics, t->config.name, METRIC_FORGET_ALL);
		table_free(w, t);
	}
	worker_joining(w);
	loop_timer_arm(w->follow, TICK_MS);
}

void worker_follow(struct worker *w)
{
	w->serving = true;
	w->follow = loop_timer_new(w->loop, tick, w);
	for (struct worker_table *t = w->tables; t; t = t->next)
		if (t->answered)
			worker_choose(w, t);
	worker_expect(w);
	loop_timer_arm(w->follow, 0);
}

void worker_follow_stop(struct worker *w)
{
	w->serving = false;
	loop_timer_free(w->follow);
	w->follow = NULL;
}

void worker_follow_opened(struct worker *w, struct worker_stream *s)
{
	struct worker_row *row = worker_row(w, s->config->name, s->resolved.arn);

	if (!row)
		row = worker_row_add(w, s->config->name, s->resolved.arn, s->stored.id,
				     s->stored.start_ms, true);
	row->begun = true;
}

void worker_follow_left(struct worker *w, struct worker_stream *s)
{
	log_info("a stream is read to its end, it is left", log_text("stream", s->config->name),
		 log_text("arn", s->resolved.arn));
	s->table->stream = NULL;
	s->table->look_at_ms = 0;
	if (w->serving)
		worker_change(w, s->table);
}

/* Series of a stream that has ended for good would be alarms that nobody can end; one that is
 * turned off may be turned on again, and is still counted. */
void worker_follow_freed(struct worker *w, struct worker_table *t)
{
	t->streams--;
	if (t->streams == 0 && !*t->next_arn && !t->beginning)
		metrics_forget_stream(w->settings.metrics, t->config.name,
				      t->gone ? METRIC_FORGET_ALL : METRIC_FORGET_GAUGES);
}

void worker_follow_lane(struct worker *w, struct worker_stream *s)
{
	s->left++;
	if (w->core.streams[s->lanes.index].lane_count > 0 || s->adding > 0)
		return;
	/* All of its shards have closed: it may be off. */
	s->table->look_at_ms = 0;
	s->table->check_at_ms = 0;
	s->table->check_failures = 0;
}

/* What was not done in the store is not here, or stands still here; as do shards that are not even
 * in the store. */
static bool others_have(const struct worker *w, const struct worker_table *t)
{
	struct core_view view;

	if (!t->stream || !t->stream->added)
		return false;
	core_view(&w->core, t->stream->lanes.index, &view);
	for (int state = 0; state < LANE_STATES; state++)
		if (state != LANE_ENDED && view.shards[state] > 0)
			return true;
	return t->stream->severed.count > 0 || (t->undone && t->check_left == t->stream->left);
}

bool worker_follow_idle(struct worker *w)
{
	bool idle = true;

	for (struct worker_table *t = w->tables; t; t = t->next) {
		if (!*t->next_arn || (t->waits && t->over) || others_have(w, t) ||
		    (t->stream && t->stream->hold != 0))
			continue;
		idle = false;
		t->unsettled = true;
		t->check_at_ms = 0;
	}
	worker_expect(w);
	return idle;
}

void worker_follow_release(struct worker *w)
{
	while (w->tables)
		table_free(w, w->tables);
	for (size_t i = 0; i < w->row_count; i++) {
		free(w->rows[i].name);
		free(w->rows[i].arn);
	}
	free(w->rows);
}
