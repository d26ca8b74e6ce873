/* Streams that are joined to exports: one live session takes the steps of a join (joiner.h), and
 * any other can go on where it stopped. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "config/sections.h"
#include "consumer/joiner.h"
#include "consumer/worker_exports.h"
#include "consumer/worker_internal.h"

#define LOOK_MS    15000 /* whether something is to be joined */
#define STEP_MS    4000  /* while something is */
#define AT_ONCE_MS 200   /* behind a step */
/* Whether point-in-time recovery is (still) on, where nothing else asks. */
#define RECOVERY_MS (60LL * 60 * 1000)

struct asking {
	struct worker_task task; /* first */
	struct worker_stream *stream;
	struct joiner joiner;
	struct joiner_step step;
};

static const char *kind_name(enum joining_kind kind)
{
	return kind == JOINING_BASELINE ? "baseline" : "repair";
}

/* --- told --- */

static void stopped_health(const struct worker *w, const struct worker_stream *s, const char *why)
{
	char part[CONFIG_STREAM_NAME_MAX + 16];

	snprintf(part, sizeof(part), "join %s", s->config->name);
	if (why)
		health_set(w->settings.health, part, why);
	else
		health_forget(w->settings.health, part);
}

static void tell_stop(struct worker *w, struct worker_stream *s, const struct joiner_step *step)
{
	bool stopped = step->act == JOINING_STOP;

	if (stopped && !s->join.stopped)
		log_error("a stream cannot be joined to exports: a person has to act",
			  log_text("stream", s->config->name),
			  log_text("join", kind_name(step->kind)),
			  log_text("error", step->error.message));
	/* Also what a session before this one has told. */
	stopped_health(w, s, stopped ? step->error.message : NULL);
	s->join.stopped = stopped;
}

/* As soon as there is something to tell it by. */
static void tell_slow(struct worker_stream *s, const struct joining_progress *p)
{
	char text[WINDOW_FORECAST_TEXT_SIZE];

	if (!p->foreseen || p->forecast.arrives || s->join.slow == p->generation)
		return;
	s->join.slow = p->generation;
	log_error("exports are loaded too slowly: the stream will never be joined to them",
		  log_text("stream", s->config->name), log_text("join", kind_name(p->kind)),
		  log_text("forecast", window_forecast_text(&p->forecast, text)));
}

static void tell_step(struct worker *w, const struct worker_stream *s,
		      const struct joiner_step *step)
{
	const struct log_field stream = log_text("stream", s->config->name),
			       join = log_text("join", kind_name(step->kind)),
			       generation = log_int("generation", (int64_t)step->generation);
	char time[CLOCK_TEXT_SIZE];

	switch (step->act) {
	case JOINING_HOLD:
		if (step->done)
			log_info("gaps are repaired from exports: the stream is held", stream,
				 log_int("gaps", (int64_t)step->gaps),
				 log_text("from", clock_text(step->oldest_ms, time)));
		break;
	case JOINING_BEGIN:
		if (step->begun && step->kind == JOINING_REPAIR && step->progress.exports == 0)
			metric_add(metrics_cell(w->settings.metrics, METRIC_REPAIRS,
						s->config->name, NULL),
				   1);
		if (step->begun)
			log_info("exports that a stream is joined to are begun", stream, join,
				 generation, log_int("exports", (int64_t)step->begun));
		break;
	case JOINING_START:
		if (step->done)
			log_info("a stream is joined to its exports: it is read again", stream,
				 join, generation,
				 log_text("from", clock_text(step->start_ms, time)));
		break;
	case JOINING_GO_ON:
		/* Of gaps it is said for as long as they are open. */
		if (step->done && step->error.kind != ERROR_NONE && step->gaps == 0)
			log_error("a stream cannot be joined to exports: a person has to act",
				  stream, join, log_text("error", step->error.message));
		if (step->done)
			log_info("nothing is to be joined any more: the stream goes on", stream);
		break;
	case JOINING_LEAVE:
		log_warn("what is left of a join that was given up is cleared away", stream,
			 generation);
		break;
	case JOINING_NOTHING:
	case JOINING_WAIT:
	case JOINING_ENABLE_PITR:
	case JOINING_STOP:
		break;
	}
}

/* --- a step --- */

static bool take(struct saver_task *task, struct store *store, struct error *err)
{
	struct asking *a = (struct asking *)task;

	return joiner_take(store, &a->joiner, &a->step, err);
}

static bool is_under_way(const struct joiner_step *step)
{
	return step->act != JOINING_NOTHING && step->act != JOINING_STOP;
}

static int64_t pause_ms(const struct joiner_step *step)
{
	if (!is_under_way(step))
		return LOOK_MS;
	return step->act == JOINING_WAIT || step->act == JOINING_ENABLE_PITR ? STEP_MS : AT_ONCE_MS;
}

static void taken(struct worker *w, struct worker_task *task)
{
	struct asking *a = (struct asking *)task;
	struct worker_stream *s = a->stream;

	s->join.asking = false;
	s->adding--;
	worker_report_settled(w, s);
	if (!task->saver.ok) {
		if (task->saver.error.kind != ERROR_CANCELLED &&
		    task->saver.error.kind != ERROR_FENCED)
			worker_end_with(w, WORKER_FAILED, &task->saver.error);
		return;
	}
	tell_step(w, s, &a->step);
	tell_stop(w, s, &a->step);
	tell_slow(s, &a->step.progress);
	s->join.due = is_under_way(&a->step);
	s->join.look_at_ms = loop_now_ms(w->loop) + pause_ms(&a->step);
	if (a->step.begun > 0)
		worker_exports_look(w);
	if (a->step.done)
		worker_hold_look(w);
	worker_expect(w);
}

/* Nothing is asked of AWS for a stream that stands well. */
static void ask_recovery(const struct worker *w, const struct worker_stream *s,
			 struct worker_target *t)
{
	int64_t age_ms = clock_aws_ms(w->settings.clock) - t->pitr.asked_ms;

	if (t->pitr.state == RECOVERY_UNKNOWN || age_ms >= RECOVERY_MS ||
	    ((s->join.due || s->join.stopped) && age_ms >= t->drive.poll_ms))
		worker_target_ask(t);
}

/* Where its name does not tell since when it is on: since this session knows of it. */
static int64_t enabled_ms(const struct worker *w, const struct worker_stream *s)
{
	const struct clock *clock = w->settings.clock;
	int64_t created_ms = resolve_created_ms(s->resolved.arn);

	return created_ms > 0 ? created_ms
			      : clock_aws_ms(clock) - (clock_boot_ms(clock) - w->since_ms);
}

static bool is_enabled(const struct worker_stream *s)
{
	const struct resolved_stream *latest = &s->table->latest;

	return (strcmp(latest->arn, s->resolved.arn) == 0 ? latest->status : s->resolved.status) ==
	       STREAM_ENABLED;
}

static void ask(struct worker *w, struct worker_stream *s, const struct worker_target *t)
{
	struct asking *a = memory_new(sizeof(*a));

	*a = (struct asking){ .task = { .saver.work = take, .done = taken }, .stream = s };
	a->joiner = (struct joiner){
		.session = w->session,
		.worker = w->settings.config->worker.name,
		.name = s->config->name,
		.arn = s->resolved.arn,
		.table = s->resolved.table,
		.repairs = s->config->gap == GAP_REPAIR,
		.enabled = is_enabled(s),
		.enabled_ms = enabled_ms(w, s),
		.pitr_known = t->pitr.state != RECOVERY_UNKNOWN,
		.pitr = t->pitr.state == RECOVERY_ON,
		.may_enable_pitr = t->enable_pitr,
		.earliest_ms = t->pitr.earliest_ms,
		.latest_ms = t->pitr.latest_ms,
		.now_ms = clock_aws_ms(w->settings.clock),
	};
	s->join.asking = true;
	s->adding++; /* it stays until then */
	saver_work(w->saver, &a->task.saver);
}

static void see_to(struct worker *w, struct worker_stream *s)
{
	char arn[STREAMS_ARN_MAX + 1];
	const struct store_export any = { .kind = STORE_EXPORT_BASELINE,
					  .name = s->config->name,
					  .table_arn = arn };
	struct worker_target *t;

	if (!s->added || s->removing || s->join.asking || !s->config->baseline.bucket ||
	    !(s->join.leads || s->join.due) || !worker_exports_timed(w))
		return;
	resolve_table_arn(s->resolved.arn, arn);
	t = worker_target_of(w, &any);
	if (!t)
		return;
	ask_recovery(w, s, t);
	if (loop_now_ms(w->loop) >= s->join.look_at_ms)
		ask(w, s, t);
}

void worker_joining(struct worker *w)
{
	for (uint32_t i = 0; w->exports && i < w->stream_count; i++)
		if (w->streams[i])
			see_to(w, w->streams[i]);
}

void worker_joining_wanted(struct worker_stream *s)
{
	s->join.due = true;
	s->join.look_at_ms = 0;
}

static bool is_joined(const struct worker_stream *s)
{
	return s->hold != 0 &&
	       (s->hold_why == STORE_HOLD_BASELINE || s->hold_why == STORE_HOLD_REPAIR);
}

uint32_t worker_joining_expected(const struct worker *w)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < w->stream_count; i++) {
		const struct worker_stream *s = w->streams[i];

		n += s && s->config->baseline.bucket && !s->join.stopped &&
		     (s->join.due || is_joined(s));
	}
	return n;
}

enum store_hold_why worker_joining_hold(const struct worker *w, const struct worker_table *t)
{
	if (t->repairs && t->config.baseline.bucket)
		return STORE_HOLD_REPAIR;
	return config_start_is_baseline(t->config.start) && !worker_has_rows(w, t)
		       ? STORE_HOLD_BASELINE
		       : STORE_HOLD_NONE;
}
