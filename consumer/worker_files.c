/* Data files of exports: claimed, read as lanes, done, or failed and tried again. */
#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "consumer/worker_files.h"

/* So many more are claimed, at most, where files are small: what is read between so many looks. */
#define AHEAD_MAX     250
#define AHEAD_LOOKS   4
#define RETRY_BASE_MS 2000
#define RETRY_MAX_MS  (10 * 60 * 1000)

static struct worker_load *load_of(const struct lane *l)
{
	return (struct worker_load *)((char *)l->stream - offsetof(struct worker_load, lanes));
}

static struct worker_file *file_of(struct worker_load *l, uint32_t index)
{
	for (struct worker_file *f = l->first; f; f = f->next)
		if (f->index == index)
			return f;
	assert(false && "a lane without a file");
	return NULL;
}

static void file_free(struct worker_file *f)
{
	free(f->location);
	free(f->md5);
	free(f);
}

static void free_list(struct worker_file *f)
{
	while (f) {
		struct worker_file *next = f->next;

		file_free(f);
		f = next;
	}
}

void worker_free_files(struct worker_load *l)
{
	free_list(l->first);
	free_list(l->claimed);
	taken_free(l->positions);
}

static void forget(struct worker_load *l, struct worker_file *f)
{
	struct worker_file **at = &l->first;

	while (*at != f)
		at = &(*at)->next;
	*at = f->next;
	if (!f->next)
		l->last = at;
	l->held--;
	file_free(f);
}

static void stops_reading(struct worker *w, struct worker_load *l, struct worker_file *f)
{
	if (f->state != FILE_READ)
		return;
	f->state = FILE_OVER;
	l->reading--;
	w->loads->reading--;
	w->loads->merging -= l->window_count > 0;
	worker_pump_later(w);
}

/* --- claims --- */

struct claim {
	struct worker_task task; /* first */
	struct worker_load *load;
	const char *session;
	struct store_files_wanted wanted;
	int64_t at_ms;
};

static void on_file(void *arg, const struct store_file *from)
{
	struct worker_load *l = arg;
	struct worker_file *f = memory_new(sizeof(*f));

	f->next = l->claimed;
	l->claimed = f;
	f->lane = from->lane;
	f->index = CORE_NONE;
	memcpy(f->name, from->name, sizeof(f->name));
	f->location = memory_text(from->location);
	f->md5 = memory_text(from->checksum);
	f->items = from->items;
	f->retries = from->retries;
	f->suspect = *from->error != '\0';
}

static void on_position(void *arg, const struct store_position *p)
{
	struct worker_load *l = arg;

	taken_position(l->positions, p);
}

/* On the saver's thread, which alone has what is claimed meanwhile. */
static bool claim(struct saver_task *task, struct store *store, struct error *err)
{
	struct claim *c = (struct claim *)task;
	struct worker_load *l = c->load;

	free_list(l->claimed);
	l->claimed = NULL;
	taken_free(l->positions);
	l->positions = taken_new(0, true);
	return store_files_claim(store, c->session, l->id, l->attached.sink_ids,
				 l->lanes.sink_count, &c->wanted, c->at_ms, on_file, on_position, l,
				 err);
}

static bool has(const struct worker_load *l, int64_t lane)
{
	for (const struct worker_file *f = l->first; f; f = f->next)
		if (f->lane == lane)
			return true;
	return false;
}

/* Those of the claim that are new wait. In the store's order, the oldest first. */
static uint32_t take(struct worker_load *l)
{
	struct worker_file *rest = l->claimed, *ordered = NULL;
	uint32_t added = 0;

	l->claimed = NULL;
	while (rest) {
		struct worker_file *f = rest;

		rest = f->next;
		f->next = ordered;
		ordered = f;
	}
	while (ordered) {
		struct worker_file *f = ordered;

		ordered = f->next;
		f->next = NULL;
		if (has(l, f->lane)) {
			file_free(f);
			continue;
		}
		taken_positions(l->positions, f->lane, l->attached.sink_ids, l->lanes.sink_count,
				f->at);
		*l->last = f;
		l->last = &f->next;
		l->held++;
		l->waiting++;
		added++;
	}
	return added;
}

static void claimed(struct worker *w, struct worker_task *task)
{
	struct claim *c = (struct claim *)task;
	struct worker_load *l = c->load;
	uint64_t repeated;

	l->claiming = false;
	if (task->saver.ok) {
		l->dry = take(l) == 0;
	} else if (task->saver.error.kind != ERROR_CANCELLED &&
		   task->saver.error.kind != ERROR_FENCED) {
		l->dry = true;
		if (log_limit_pass(&l->log, loop_now_ms(w->loop), 10000, &repeated))
			log_warn("data files could not be claimed, it is tried again",
				 log_text("export", l->name),
				 log_text("error", task->saver.error.message),
				 log_int("repeated", (int64_t)repeated));
	}
	worker_pump_later(w);
}

static uint32_t least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* All lanes of the session, and what waits to become one. */
static uint32_t lanes_of(const struct worker *w)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < w->core.stream_count; i++)
		n += w->core.streams[i].lane_count;
	for (const struct worker_load *l = w->loads->first; l; l = l->next)
		n += l->waiting;
	return n;
}

static uint32_t loads_open(const struct worker *w)
{
	uint32_t n = 0;

	for (const struct worker_load *l = w->loads->first; l; l = l->next)
		n += l->open && l->status == STORE_EXPORT_LOADING;
	return n;
}

/* So many are read at a time; slowly at first, so that other workers get some where there are few.
 */
static uint32_t at_once(const struct worker *w, const struct worker_load *l)
{
	uint32_t share = w->loads->reading_max / loads_open(w);

	if (l->window_count > 0)
		return 1; /* the others are for other workers */
	return least(l->ramp, share ? share : 1);
}

/* Where files are small, what is read between some looks comes to it: a claim takes its time, and
 * the store's. */
static uint32_t wanted(const struct worker *w, const struct worker_load *l)
{
	uint32_t pace = l->quick > l->quick_before ? l->quick : l->quick_before;

	return at_once(w, l) + (l->window_count > 0 ? 0 : least(AHEAD_LOOKS * pace, AHEAD_MAX));
}

/* Half of what is wanted, at least; `all`: also what could be read now, however little. */
static void claim_more(struct worker *w, struct worker_load *l, bool all)
{
	uint32_t busy = l->reading + l->waiting, lanes = lanes_of(w), wants, room;
	uint32_t max = (uint32_t)w->settings.config->worker.max_shards;
	struct claim *c;

	if (!l->open || l->status != STORE_EXPORT_LOADING || l->claiming || l->dry ||
	    w->core.stopping)
		return;
	wants = wanted(w, l);
	/* One at least: an export comes to its end, however many shards there are. */
	room = lanes < max ? max - lanes : busy == 0;
	if (busy >= wants || room == 0 || l->held >= STORE_FILES_MAX ||
	    (busy > wants / 2 && !(all && busy < at_once(w, l))))
		return;
	c = memory_new(sizeof(*c));
	*c = (struct claim){ .task = { .saver.work = claim, .done = claimed },
			     .load = l,
			     .session = w->session,
			     .wanted = { .max = l->held + least(wants - busy, room),
					 .known = l->held },
			     .at_ms = clock_aws_ms(w->settings.clock) };
	l->claiming = true;
	saver_work(w->saver, &c->task.saver);
}

/* --- failures --- */

struct failure {
	struct worker_task task; /* first */
	struct worker_load *load;
	const char *session;
	int64_t lane, retry_at_ms, at_ms;
	bool anew;
	char error[sizeof(((struct error *)0)->message)];
};

static bool fail(struct saver_task *task, struct store *store, struct error *err)
{
	const struct failure *f = (const struct failure *)task;

	return store_file_failed(store, f->session, f->lane, f->error, f->retry_at_ms, f->anew,
				 f->at_ms, err);
}

static void drop(struct worker *w, struct worker_load *l, struct worker_file *f)
{
	struct lane *lane = w->lanes[f->index];

	core_drop_lane(&w->core, f->index);
	w->lanes[f->index] = NULL;
	worker_give_back(w, lane);
	forget(l, f);
}

static void failed(struct worker *w, struct worker_task *task)
{
	const struct failure *x = (const struct failure *)task;
	struct worker_load *l = x->load;
	struct worker_file *f = l->first;

	if (!task->saver.ok)
		return; /* the session ends */
	while (f->lane != x->lane)
		f = f->next;
	if (f->index != CORE_NONE)
		drop(w, l, f);
	else
		forget(l, f);
	worker_pump_later(w);
}

static void tell(struct worker *w, const struct worker_load *l, const struct worker_file *f,
		 const struct failure *x)
{
	if (x->retry_at_ms > 0) {
		log_warn("a data file failed, it is tried again", log_text("export", l->name),
			 log_text("file", f->name), log_int("failures", f->retries + 1),
			 log_text("error", x->error));
		return;
	}
	w->loads->failed++;
	memcpy(w->loads->failed_last, f->name, sizeof(f->name));
	log_error("a data file failed for good", log_text("export", l->name),
		  log_text("file", f->name), log_int("failures", f->retries + 1),
		  log_text("error", x->error));
}

/* Nothing of it is under way any more, and what was delivered is saved. */
static void give_up(struct worker *w, struct worker_load *l, const struct worker_file *f,
		    const char *error, bool again, bool anew)
{
	struct failure *x = memory_new(sizeof(*x));

	*x = (struct failure){ .task = { .saver.work = fail, .done = failed },
			       .load = l,
			       .session = w->session,
			       .lane = f->lane,
			       .at_ms = clock_aws_ms(w->settings.clock),
			       .anew = anew };
	snprintf(x->error, sizeof(x->error), "%s", error);
	if (again && f->retries < l->retries)
		x->retry_at_ms =
			x->at_ms + rng_backoff_ms(&w->rng, f->retries, RETRY_BASE_MS, RETRY_MAX_MS);
	tell(w, l, f, x);
	saver_work(w->saver, &x->task.saver);
}

void worker_file_left(struct worker *w, struct lane *lane)
{
	struct worker_load *l = load_of(lane);
	struct worker_file *f = file_of(l, lane->index);

	assert(lane->file->failed);
	stops_reading(w, l, f);
	give_up(w, l, f, lane->file->failure, !lane->file->stopped, lane->file->damaged);
}

/* --- reading --- */

void worker_file_event(struct worker *w, struct lane *lane, const struct core_event *e)
{
	struct worker_load *l = load_of(lane);

	if (!e->closed && !e->leaves)
		return;
	l->quick += e->closed;
	stops_reading(w, l, file_of(l, lane->index));
}

void worker_file_ended(struct worker *w, struct lane *lane)
{
	struct worker_load *l = load_of(lane);
	struct worker_file *f = file_of(l, lane->index);

	stops_reading(w, l, f);
	drop(w, l, f);
	worker_pump_later(w);
}

static void read_file(struct worker *w, struct worker_load *l, struct worker_file *f)
{
	struct lane *lane = lane_new_file(&l->lanes, f->name, f->location, f->md5, f->items);
	struct core_lane_start start = { .stream = l->lanes.index,
					 .parent = CORE_NONE,
					 .store_id = f->lane,
					 .since_ms = clock_aws_ms(w->settings.clock) };

	l->waiting--;
	f->state = lane ? FILE_READ : FILE_OVER;
	if (!lane) {
		give_up(w, l, f,
			l->window_count ? "its name is not one of a range"
					: "its location is not s3://BUCKET/KEY",
			false, false);
		return;
	}
	lane->file->suspect = f->suspect;
	lane_set_positions(lane, f->at);
	memcpy(start.at, f->at, l->lanes.sink_count * sizeof(*start.at));
	worker_put_lane(w, lane, &start);
	f->index = lane->index;
	l->reading++;
	w->loads->reading++;
	w->loads->merging += l->window_count > 0;
}

static struct worker_file *next_file(const struct worker_load *l)
{
	struct worker_file *f = l->first;

	while (f && f->state != FILE_WAITS)
		f = f->next;
	return f;
}

/* Of the exports that have files to read the one that reads least. */
static struct worker_load *next_load(const struct worker *w)
{
	struct worker_load *next = NULL;

	for (struct worker_load *l = w->loads->first; l; l = l->next)
		if (l->waiting > 0 && (l->window_count == 0 || w->loads->merging == 0) &&
		    (!next || l->reading < next->reading))
			next = l;
	return next;
}

void worker_pump_later(struct worker *w)
{
	loop_timer_arm(w->loads->pump, 0);
}

void worker_pump(void *arg)
{
	struct worker *w = arg;
	struct core_event tick = { .type = CORE_TICK, .now_ms = loop_now_ms(w->loop) };
	struct worker_load *l;

	if (w->core.stopping)
		return;
	while (w->loads->reading < w->loads->reading_max && (l = next_load(w)))
		read_file(w, l, next_file(l));
	for (l = w->loads->first; l; l = l->next)
		claim_more(w, l, false);
	worker_feed(w, &tick);
}

/* All that this session has is read, and maybe others wait for the export's end: no roll stays open
 * for its size or age. */
static void hurry(struct worker *w, const struct worker_load *l)
{
	struct core_event e = { .type = CORE_HURRY,
				.now_ms = loop_now_ms(w->loop),
				.stream = l->lanes.index };

	if (l->held > 0 && l->reading + l->waiting == 0)
		worker_feed(w, &e);
}

void worker_files_look(struct worker *w, struct worker_load *l)
{
	if (!l->open)
		return;
	if (l->dry || l->held == STORE_FILES_MAX)
		hurry(w, l);
	l->dry = false;
	l->ramp += w->reader_count;
	l->quick_before = l->quick;
	l->quick = 0;
	claim_more(w, l, true);
}
