#include "export/window.h"

#include <assert.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"

#define SECOND_MS ((int64_t)1000)
/* A forecast that needs more rounds than this is one that never arrives. */
#define ROUNDS_MAX 1000

static int64_t whole_seconds(int64_t ms)
{
	int64_t rest = ms % SECOND_MS;

	return rest < 0 ? ms - rest - SECOND_MS : ms - rest;
}

struct window window_first(int64_t t_ms)
{
	t_ms = whole_seconds(t_ms);
	return (struct window){ t_ms - WINDOW_BEFORE_CUT_MS, t_ms + WINDOW_AFTER_CUT_MS };
}

int64_t window_cut_earliest(int64_t earliest_ms)
{
	return whole_seconds(earliest_ms + SECOND_MS - 1) + WINDOW_BEFORE_CUT_MS;
}

struct window window_next(int64_t end_ms, int64_t length_ms)
{
	assert(length_ms >= WINDOW_SHORTEST_MS && length_ms <= WINDOW_LONGEST_MS);
	return (struct window){ end_ms, end_ms + length_ms };
}

int64_t window_behind(int64_t end_ms, int64_t length_ms, int64_t latest_ms)
{
	assert(length_ms >= WINDOW_SHORTEST_MS && length_ms <= WINDOW_LONGEST_MS);
	return latest_ms > end_ms ? (latest_ms - end_ms) / length_ms : 0;
}

enum window_state window_state(const struct window *w, int64_t earliest_ms, int64_t latest_ms)
{
	if (w->from_ms < earliest_ms)
		return WINDOW_LOST;
	return w->to_ms > latest_ms ? WINDOW_EARLY : WINDOW_READY;
}

bool window_lost(const struct window *w, int64_t earliest_ms, const char *table, struct error *err)
{
	char from[CLOCK_TEXT_SIZE], earliest[CLOCK_TEXT_SIZE];

	return error_set(
		err, ERROR_TRIMMED,
		"table %s: point-in-time recovery reaches back to %s only, and the changes "
		"from %s on are wanted: what happened in between can never be exported "
		"(was PITR off?); begin anew with a full export",
		table, clock_text(earliest_ms, earliest), clock_text(w->from_ms, from));
}

void window_plan_release(struct window_plan *p)
{
	free(p->windows);
	*p = (struct window_plan){ 0 };
}

int64_t window_plan_end(const struct window_plan *p)
{
	assert(p->count > 0);
	return p->windows[p->count - 1].to_ms;
}

void window_plan_add(struct window_plan *p, const struct window *w)
{
	int64_t length_ms = w->to_ms - w->from_ms;

	assert(length_ms >= WINDOW_SHORTEST_MS && length_ms <= WINDOW_LONGEST_MS);
	assert(p->count == 0 || window_plan_end(p) == w->from_ms);
	p->windows = memory_room(p->windows, p->count, sizeof(p->windows[0]));
	p->windows[p->count++] = *w;
}

/* As few windows as AWS allows, all about as long: a rest below the shortest cannot be left. */
static void add_span(struct window_plan *p, int64_t from_ms, int64_t to_ms)
{
	int64_t seconds = (to_ms - from_ms) / SECOND_MS;
	int64_t longest = WINDOW_LONGEST_MS / SECOND_MS;
	int64_t count = (seconds + longest - 1) / longest, at_ms = from_ms;

	for (int64_t i = 1; i <= count; i++) {
		int64_t next_ms = from_ms + seconds * i / count * SECOND_MS;

		window_plan_add(p, &(struct window){ at_ms, next_ms });
		at_ms = next_ms;
	}
}

void window_plan_baseline(struct window_plan *p, int64_t t_ms, int64_t latest_ms)
{
	struct window first = window_first(t_ms);

	*p = (struct window_plan){ 0 };
	latest_ms = whole_seconds(latest_ms);
	assert(latest_ms >= first.to_ms);
	window_plan_add(p, &first);
	if (latest_ms - first.to_ms >= WINDOW_SHORTEST_MS)
		add_span(p, first.to_ms, latest_ms);
}

void window_plan_more(struct window_plan *p, int64_t latest_ms)
{
	int64_t end_ms = window_plan_end(p);

	latest_ms = whole_seconds(latest_ms);
	if (latest_ms - end_ms >= WINDOW_SHORTEST_MS)
		add_span(p, end_ms, latest_ms);
}

static int by_time(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* The end, or as far behind it as a window from at_ms on has to be long. */
static int64_t end_behind(int64_t at_ms, int64_t end_ms)
{
	return end_ms > at_ms && end_ms < at_ms + WINDOW_SHORTEST_MS ? at_ms + WINDOW_SHORTEST_MS
								     : end_ms;
}

void window_plan_repair(struct window_plan *p, const int64_t *positions_ms, size_t count,
			int64_t end_ms)
{
	int64_t *sorted = memory_array(count + 1, sizeof(*sorted));
	int64_t at_ms, cut_ms;

	assert(count > 0 || p->count > 0);
	memcpy(sorted, positions_ms, count * sizeof(*sorted));
	qsort(sorted, count, sizeof(*sorted), by_time);
	end_ms = whole_seconds(end_ms);
	at_ms = p->count > 0 ? window_plan_end(p) : whole_seconds(sorted[0]) - WINDOW_BEFORE_CUT_MS;
	for (size_t i = 0; i < count; i++) {
		/* Positions that a cut is behind already share it. */
		cut_ms = whole_seconds(sorted[i] + SECOND_MS - 1) + WINDOW_AFTER_CUT_MS;
		if (cut_ms <= at_ms)
			continue;
		/* From here on the stream begins before them: nothing is jumped over. */
		if (p->count > 0 &&
		    sorted[i] >= end_behind(at_ms, end_ms) - WINDOW_STREAM_OVERLAP_MS)
			break;
		if (cut_ms < at_ms + WINDOW_SHORTEST_MS)
			cut_ms = at_ms + WINDOW_SHORTEST_MS;
		add_span(p, at_ms, cut_ms);
		at_ms = cut_ms;
	}
	free(sorted);
	end_ms = end_behind(at_ms, end_ms);
	if (end_ms > at_ms)
		add_span(p, at_ms, end_ms);
}

bool window_plan_misses(const struct window_plan *p, int64_t position_ms, bool fuzzy_position,
			int64_t born_ms, int64_t deleted_ms, int64_t fuzz_ms)
{
	int64_t position_fuzz_ms = fuzzy_position ? fuzz_ms : 0;

	if (born_ms > position_ms + position_fuzz_ms ||
	    deleted_ms < position_ms - position_fuzz_ms ||
	    deleted_ms >= window_plan_end(p) - WINDOW_STREAM_OVERLAP_MS)
		return false;
	for (size_t i = 0; i < p->count; i++)
		if (born_ms >= p->windows[i].from_ms - fuzz_ms &&
		    deleted_ms < p->windows[i].to_ms + fuzz_ms)
			return true;
	return false;
}

struct window_forecast window_forecast(const struct window_pace *pace, int64_t age_ms)
{
	struct window_forecast f = { .settles_ms = INT64_MAX };
	double age = (double)age_ms, took = 0, fixed = (double)pace->fixed_ms;

	assert(pace->covered_ms > 0 && pace->load_ms >= 0 && pace->fixed_ms >= 0);
	f.ratio = (double)pace->load_ms / (double)pace->covered_ms;
	if (f.ratio < 1)
		f.settles_ms = (int64_t)(fixed / (1 - f.ratio));
	/* A round covers what the end is old, and takes what the next one has to cover. */
	while (age >= (double)WINDOW_NEAR_MS && f.rounds < ROUNDS_MAX &&
	       f.settles_ms < WINDOW_NEAR_MS) {
		age = fixed + f.ratio * age;
		took += age;
		f.rounds++;
	}
	f.arrives = age < (double)WINDOW_NEAR_MS;
	f.took_ms = f.arrives ? (int64_t)took : INT64_MAX;
	return f;
}

char *window_forecast_text(const struct window_forecast *f, char out[WINDOW_FORECAST_TEXT_SIZE])
{
	const double hour = (double)WINDOW_HOUR_MS;
	const double near = (double)WINDOW_NEAR_MS / hour;
	const char *cure = "more workers, or a faster sink, are needed";

	if (f->arrives)
		snprintf(out, WINDOW_FORECAST_TEXT_SIZE,
			 "loading an hour of changes takes %.1f minutes; %u more round%s of "
			 "windows, "
			 "about %.1f hours",
			 f->ratio * 60, f->rounds, f->rounds == 1 ? "" : "s",
			 (double)f->took_ms / hour);
	else if (f->settles_ms == INT64_MAX)
		snprintf(out, WINDOW_FORECAST_TEXT_SIZE,
			 "loading an hour of changes takes %.1f minutes: the table changes faster "
			 "than it is loaded, and this will never catch up; %s",
			 f->ratio * 60, cure);
	else
		snprintf(out, WINDOW_FORECAST_TEXT_SIZE,
			 "loading an hour of changes takes %.1f minutes: the windows' end will "
			 "never "
			 "be younger than %.1f hours, and %.0f are needed to join the stream; %s",
			 f->ratio * 60, (double)f->settles_ms / hour, near, cure);
	return out;
}

char *window_token(const struct window_request *r, char out[WINDOW_TOKEN_SIZE])
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	char rest[80];
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	const char *texts[] = { r->table_arn, r->bucket, r->prefix, r->view, rest };
	int n = 0;

	snprintf(rest, sizeof(rest), "%lld %lld %u", (long long)r->window.from_ms,
		 (long long)r->window.to_ms, r->attempt);
	if (!md || EVP_DigestInit_ex(md, EVP_sha256(), NULL) != 1)
		abort();
	/* The zero bytes keep texts apart. */
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		EVP_DigestUpdate(md, texts[i], strlen(texts[i]) + 1);
	EVP_DigestFinal_ex(md, hash, NULL);
	EVP_MD_CTX_free(md);
	n = snprintf(out, WINDOW_TOKEN_SIZE, "sluice-");
	for (int i = 0; i < 20; i++)
		n += snprintf(out + n, WINDOW_TOKEN_SIZE - (size_t)n, "%02x", hash[i]);
	return out;
}
