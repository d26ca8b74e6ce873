#include "export/schedule.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define MINUTE_S ((int64_t)60)
#define DAY_S    ((int64_t)86400)
/* 29 February comes after eight years at the latest (1896, 1904). */
#define DAYS_MAX (9 * 366)

static const struct field {
	const char *name;
	int min, max;
	const char *names; /* of three letters, from `min` on */
} fields[] = {
	{ "minute", 0, 59, "" },
	{ "hour", 0, 23, "" },
	{ "day of the month", 1, 31, "" },
	{ "month", 1, 12, "JANFEBMARAPRMAYJUNJULAUGSEPOCTNOVDEC" },
	{ "day of the week", 0, 7, "SUNMONTUEWEDTHUFRISAT" },
};
#define FIELDS (sizeof(fields) / sizeof(fields[0]))

/* A number or a name at *p. */
static bool value_read(const struct field *f, const char **p, int *out)
{
	char *end;

	if (**p >= '0' && **p <= '9') {
		unsigned long v = strtoul(*p, &end, 10);

		*p = end;
		*out = (int)v;
		return v <= (unsigned long)f->max && *out >= f->min;
	}
	for (int i = 0; f->names[i * 3]; i++) {
		if (strncasecmp(*p, f->names + (size_t)i * 3, 3) != 0)
			continue;
		*p += 3;
		*out = f->min + i;
		return true;
	}
	return false;
}

/* One part of a list: *, 5, 1-5, each with a step where it is a range. NULL, or what is wrong. */
static const char *part_read(const struct field *f, const char **p, uint64_t *out)
{
	int from = f->min, to = f->max, step = 1;
	bool range = true;
	char *end;

	/* 7 stands for Sunday, but * does not mean it twice. */
	if (**p == '*') {
		++*p;
	} else {
		if (!value_read(f, p, &from))
			return "a number within its limits, or a name";
		to = from;
		range = **p == '-';
		if (range) {
			++*p;
			if (!value_read(f, p, &to))
				return "a range's end within its limits";
		}
		if (to < from)
			return "a range that rises";
	}
	if (**p == '/') {
		unsigned long v = strtoul(++*p, &end, 10);

		if (!range)
			return "a range before the step, like 0-59/15";
		if (end == *p || **p < '0' || **p > '9' || v < 1 || v > (unsigned long)f->max)
			return "a step from 1";
		*p = end;
		step = (int)v;
	}
	for (int i = from; i <= to; i += step)
		*out |= (uint64_t)1 << i;
	return NULL;
}

static bool field_read(const struct field *f, const char *text, uint64_t *out, struct error *err)
{
	const char *p = text, *wrong;

	*out = 0;
	for (;;) {
		wrong = part_read(f, &p, out);
		if (!wrong && *p && *p != ',')
			wrong = "',' or the end of the field";
		if (wrong)
			return error_set(err, ERROR_INVALID,
					 "the %s \"%.40s\" (%d to %d): %s is wanted at \"%.20s\"",
					 f->name, text, f->min, f->max, wrong, p);
		if (!*p++)
			return true;
	}
}

static int month_days(int month)
{
	static const int days[] = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

	return days[month - 1];
}

/* Whether one of the days is one of a month that is meant, in a leap year. */
static bool comes(const struct schedule *s)
{
	if (!s->any_weekday || s->any_day)
		return true; /* the day of the week comes each week */
	for (int month = 1; month <= 12; month++)
		if (s->months >> month & 1 && s->days & (((uint32_t)2 << month_days(month)) - 1))
			return true;
	return false;
}

bool schedule_parse(struct schedule *out, const char *text, struct error *err)
{
	char copy[256], *save = NULL, *parts[FIELDS];
	uint64_t bits[FIELDS];
	size_t count = 0;

	if ((size_t)snprintf(copy, sizeof(copy), "%s", text) >= sizeof(copy))
		return error_set(err, ERROR_INVALID, "a schedule of more than %zu bytes",
				 sizeof(copy) - 1);
	for (char *part = strtok_r(copy, " \t", &save); part; part = strtok_r(NULL, " \t", &save)) {
		if (count < FIELDS)
			parts[count] = part;
		count++;
	}
	if (count != FIELDS)
		return error_set(
			err, ERROR_INVALID,
			"\"%s\" has %zu fields, and a schedule has five: minute, hour, day "
			"of the month, month, day of the week",
			text, count);
	for (size_t i = 0; i < FIELDS; i++)
		if (!field_read(&fields[i], parts[i], &bits[i], err))
			return false;
	*out = (struct schedule){ .minutes = bits[0],
				  .hours = (uint32_t)bits[1],
				  .days = (uint32_t)bits[2],
				  .months = (uint32_t)bits[3],
				  .weekdays = (uint32_t)((bits[4] | bits[4] >> 7) & 0x7F),
				  .any_day = parts[2][0] == '*',
				  .any_weekday = parts[4][0] == '*' };
	if (!comes(out))
		return error_set(err, ERROR_INVALID, "\"%s\": no such month has that day", text);
	return true;
}

static bool day_meant(const struct schedule *s, int64_t day)
{
	time_t seconds = day * DAY_S;
	bool by_date, by_week;
	struct tm tm;

	gmtime_r(&seconds, &tm);
	if (!(s->months >> (tm.tm_mon + 1) & 1))
		return false;
	by_date = s->days >> tm.tm_mday & 1;
	by_week = s->weekdays >> tm.tm_wday & 1;
	return s->any_day || s->any_weekday ? by_date && by_week : by_date || by_week;
}

/* Of a day that is meant. */
static bool minute_meant(const struct schedule *s, int minute)
{
	return s->hours >> (minute / 60) & 1 && s->minutes >> (minute % 60) & 1;
}

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

/* The wall clock's minutes are gone through, and each has one moment: those moments never step
 * back, so that the first one on the right side is the answer. */
int64_t schedule_next(const struct schedule *s, const struct zone *z, int64_t time_ms)
{
	int64_t now_s = floor_div(time_ms, 1000), local_s = zone_local(z, now_s);
	int64_t first = floor_div(local_s, DAY_S);
	int minute = (int)((local_s - first * DAY_S) / MINUTE_S);

	for (int64_t day = first; day < first + DAYS_MAX; day++, minute = 0) {
		if (!day_meant(s, day))
			continue;
		for (; minute < 24 * 60; minute++) {
			int64_t at_s;

			if (!minute_meant(s, minute))
				continue;
			at_s = zone_utc(z, day * DAY_S + minute * MINUTE_S);
			if (at_s > now_s)
				return at_s * 1000;
		}
	}
	assert(false); /* schedule_parse refuses what never comes */
	return INT64_MAX;
}

int64_t schedule_previous(const struct schedule *s, const struct zone *z, int64_t time_ms)
{
	int64_t now_s = floor_div(time_ms, 1000);
	/* In the hour that comes twice, later minutes than the clock shows have been, too. */
	int64_t first = floor_div(zone_local(z, now_s), DAY_S) + 1;

	for (int64_t day = first; day > first - DAYS_MAX; day--) {
		if (!day_meant(s, day))
			continue;
		for (int minute = 24 * 60 - 1; minute >= 0; minute--) {
			int64_t at_s;

			if (!minute_meant(s, minute))
				continue;
			at_s = zone_utc(z, day * DAY_S + minute * MINUTE_S);
			if (at_s <= now_s)
				return at_s * 1000;
		}
	}
	assert(false);
	return INT64_MIN;
}
