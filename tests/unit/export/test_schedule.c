/* Schedules and time zones: vectors, the C library's own opinion on each zone, and every minute of
 * a year counted by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/rng.h"
#include "export/schedule.h"

static struct zone *zone(const char *name)
{
	struct error err;
	struct zone *z = zone_open(name, &err);

	if (!z)
		fail_msg("%s", err.message);
	return z;
}

static int64_t utc(const char *text)
{
	struct tm tm = { 0 };

	assert_non_null(strptime(text, "%Y-%m-%d %H:%M", &tm));
	return (int64_t)timegm(&tm) * 1000;
}

static void assert_time(int64_t ms, const char *want)
{
	time_t s = ms / 1000;
	char text[32];
	struct tm tm;

	gmtime_r(&s, &tm);
	strftime(text, sizeof(text), "%Y-%m-%d %H:%M", &tm);
	assert_string_equal(text, want);
}

/* ---- zones ---- */

static const char *const zones[] = {
	"UTC",
	"Europe/Berlin",
	"Europe/Dublin", /* summer time is the standard there, winter less */
	"Europe/London",
	"America/New_York",
	"America/Nuuk", /* an hour before midnight, the day before */
	"America/Sao_Paulo",
	"Asia/Kolkata",
	"Asia/Tehran",
	"Asia/Gaza",           /* a rule in hours beyond a day */
	"Australia/Lord_Howe", /* half an hour */
	"Australia/Sydney",
	"Africa/Casablanca",
	"Pacific/Apia", /* lost a day */
	"Pacific/Chatham",
	"Etc/GMT+12",
};
#define ZONES (sizeof(zones) / sizeof(zones[0]))

static void zones_are_what_the_c_library_says(void **state)
{
	struct rng rng;

	(void)state;
	rng_seed(&rng, 1);
	for (size_t i = 0; i < ZONES; i++) {
		struct zone *z = zone(zones[i]);

		setenv("TZ", zones[i], 1);
		tzset();
		for (unsigned k = 0; k < 20000; k++) {
			time_t s = (time_t)rng_below(&rng, (uint64_t)150 * 366 * 86400);
			struct tm tm;

			localtime_r(&s, &tm);
			if (zone_local(z, s) != s + tm.tm_gmtoff)
				fail_msg("%s at %lld: %lld, not %ld", zones[i], (long long)s,
					 (long long)(zone_local(z, s) - s), tm.tm_gmtoff);
		}
		zone_close(z);
	}
	unsetenv("TZ");
	tzset();
}

/* Every local minute has one moment, and these never step back. */
static void local_times_have_one_moment(void **state)
{
	(void)state;
	for (size_t i = 0; i < ZONES; i++) {
		struct zone *z = zone(zones[i]);
		int64_t last = INT64_MIN, begin = utc("2011-01-01 00:00") / 1000;

		for (int64_t local = begin; local < begin + (int64_t)800 * 86400; local += 900) {
			int64_t at = zone_utc(z, local), shown = zone_local(z, at);

			assert_true(at >= last);
			last = at;
			/* The first to show it, or the first behind the gap. */
			assert_true(shown >= local);
			assert_true(zone_local(z, at - 1) < local || zone_local(z, at - 1) > shown);
			if (shown > local)
				assert_true(zone_local(z, at - 1) < local);
		}
		zone_close(z);
	}
}

static void zones_that_are_none(void **state)
{
	static const char *const names[] = {
		"",       "Europe/Nowhere", "../../../etc/passwd", "/etc/localtime",
		"Europe", "CET-1CEST",      "Europe/Berlin ",      "tzdata.zi"
	};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct error err = { 0 };

		assert_null(zone_open(names[i], &err));
		assert_int_equal(err.kind, ERROR_INVALID);
		assert_non_null(strstr(err.message, "time zone"));
	}
}

static void file_read(const char *path, struct buf *out)
{
	FILE *f = fopen(path, "rb");
	char block[4096];
	size_t n;

	assert_non_null(f);
	while ((n = fread(block, 1, sizeof(block), f)) > 0)
		assert_true(buf_add(out, block, n));
	fclose(f);
}

static void broken_zone_files_are_refused(void **state)
{
	struct error err;
	struct buf file;
	struct rng rng;

	(void)state;
	buf_init(&file, 0);
	file_read("/usr/share/zoneinfo/Europe/Berlin", &file);
	for (size_t n = 0; n < file.size; n++) {
		char *part = malloc(n + 1);

		memcpy(part, file.data, n);
		assert_null(zone_parse((struct str){ part, n }, &err));
		free(part);
	}
	rng_seed(&rng, 2);
	for (unsigned i = 0; i < 20000; i++) {
		size_t at = rng_below(&rng, file.size);
		char was = file.data[at];
		struct zone *z;

		file.data[at] = (char)rng_below(&rng, 256);
		z = zone_parse(buf_str(&file), &err);
		if (z) /* some other zone: any answer, but an answer */
			(void)zone_utc(z, zone_local(z, (int64_t)rng_below(&rng, 1u << 31)));
		zone_close(z);
		file.data[at] = was;
	}
	buf_release(&file);
}

/* ---- schedules ---- */

static void schedules(void **state)
{
	static const struct {
		const char *schedule, *zone, *after, *next;
	} rows[] = {
		{ "0 4 * * SAT", "UTC", "2024-03-13 12:00", "2024-03-16 04:00" },
		{ "0 4 * * sat", "UTC", "2024-03-16 04:00", "2024-03-23 04:00" },
		{ "0 4 * * 6", "UTC", "2024-03-16 03:59", "2024-03-16 04:00" },
		{ "* * * * *", "UTC", "2024-12-31 23:59", "2025-01-01 00:00" },
		{ "*/15 * * * *", "UTC", "2024-01-01 00:01", "2024-01-01 00:15" },
		{ "5-50/15 * * * *", "UTC", "2024-01-01 00:36", "2024-01-01 00:50" },
		{ "0 9-17/4,22 * * MON-FRI", "UTC", "2024-03-15 17:00", "2024-03-15 22:00" },
		{ "0 9-17/4,22 * * MON-FRI", "UTC", "2024-03-15 22:00", "2024-03-18 09:00" },
		{ "30 1 1 JAN,jul *", "UTC", "2024-01-01 01:30", "2024-07-01 01:30" },
		{ "0 0 * * 7", "UTC", "2024-03-15 00:00", "2024-03-17 00:00" },
		{ "0 0 * * 5-7", "UTC", "2024-03-16 00:00", "2024-03-17 00:00" },
		{ "0 0 31 * *", "UTC", "2024-03-31 00:00", "2024-05-31 00:00" },
		{ "0 0 29 2 *", "UTC", "2023-03-01 00:00", "2024-02-29 00:00" },
		{ "0 0 29 2 *", "UTC", "2096-02-29 00:00", "2104-02-29 00:00" },
		/* Both days given: either is enough; one with a star: both count. */
		{ "0 0 13 * FRI", "UTC", "2024-03-13 00:00", "2024-03-15 00:00" },
		{ "0 0 13 * FRI", "UTC", "2024-04-12 00:00", "2024-04-13 00:00" },
		{ "0 0 */2 * FRI", "UTC", "2024-03-15 00:00", "2024-03-29 00:00" },
		{ "0 0 30 2 FRI", "UTC", "2024-02-02 00:00", "2024-02-09 00:00" },
		/* Berlin: winter, summer, and the nights in which the clock changes. */
		{ "0 4 * * *", "Europe/Berlin", "2024-01-10 00:00", "2024-01-10 03:00" },
		{ "0 4 * * *", "Europe/Berlin", "2024-07-10 00:00", "2024-07-10 02:00" },
		{ "30 2 * * *", "Europe/Berlin", "2024-03-30 12:00", "2024-03-31 01:00" },
		{ "30 2 * * *", "Europe/Berlin", "2024-03-31 01:00", "2024-04-01 00:30" },
		{ "30 2 * * *", "Europe/Berlin", "2024-10-26 12:00", "2024-10-27 00:30" },
		{ "30 2 * * *", "Europe/Berlin", "2024-10-27 00:30", "2024-10-28 01:30" },
		{ "0,30 2 * * *", "Europe/Berlin", "2024-03-30 12:00", "2024-03-31 01:00" },
		{ "0,30 2 * * *", "Europe/Berlin", "2024-03-31 01:00", "2024-04-01 00:00" },
		{ "0 3 * * *", "Europe/Berlin", "2024-03-30 12:00", "2024-03-31 01:00" },
		{ "0 3 * * *", "Europe/Berlin", "2024-10-26 12:00", "2024-10-27 02:00" },
		{ "0 * * * *", "Europe/Berlin", "2024-10-27 00:00", "2024-10-27 02:00" },
		/* New York: 2:00 to 3:00, and 2:00 back to 1:00. */
		{ "15 2 * * *", "America/New_York", "2024-03-10 00:00", "2024-03-10 07:00" },
		{ "15 1 * * *", "America/New_York", "2024-11-03 00:00", "2024-11-03 05:15" },
		{ "15 1 * * *", "America/New_York", "2024-11-03 05:15", "2024-11-04 06:15" },
		{ "0 12 * * *", "Asia/Kolkata", "2024-01-01 00:00", "2024-01-01 06:30" },
		/* The day that Apia never had is made up for when the next one begins. */
		{ "0 12 30 12 *", "Pacific/Apia", "2011-12-01 00:00", "2011-12-30 10:00" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct zone *z = zone(rows[i].zone);
		int64_t after = utc(rows[i].after), next;
		struct schedule s;
		struct error err;

		if (!schedule_parse(&s, rows[i].schedule, &err))
			fail_msg("%s", err.message);
		next = schedule_next(&s, z, after);
		assert_time(next, rows[i].next);
		/* Seconds do not matter, and two workers that ask a little apart agree. */
		assert_int_equal(schedule_next(&s, z, after + 29999), next);
		assert_int_equal(schedule_next(&s, z, next - 1), next);
		assert_int_equal(schedule_previous(&s, z, next), next);
		assert_true(schedule_previous(&s, z, next - 1) <= after);
		zone_close(z);
	}
}

/* Minute by minute: it is due when the clock shows what is meant for the first time, or has just
 * jumped over it. */
static void assert_year(const char *text, const char *name, const char *from)
{
	struct zone *z = zone(name);
	struct schedule s;
	struct error err;
	int64_t begin = utc(from) / 1000, last, shown_most, previous;
	unsigned runs = 0;

	assert_true(schedule_parse(&s, text, &err));
	last = schedule_next(&s, z, (begin - 1) * 1000);
	previous = schedule_previous(&s, z, (begin - 1) * 1000);
	shown_most = zone_local(z, begin - 60);
	for (int64_t at = begin; at < begin + (int64_t)250 * 86400; at += 60) {
		bool due = false;

		for (int64_t local = shown_most + 60; local <= zone_local(z, at); local += 60) {
			time_t t = local;
			struct tm tm;
			bool day, week;

			gmtime_r(&t, &tm);
			day = s.days >> tm.tm_mday & 1;
			week = s.weekdays >> tm.tm_wday & 1;
			due |= s.minutes >> tm.tm_min & 1 && s.hours >> tm.tm_hour & 1 &&
			       s.months >> (tm.tm_mon + 1) & 1 &&
			       (s.any_day || s.any_weekday ? day && week : day || week);
			shown_most = local;
		}
		if (!due)
			continue;
		assert_int_equal(last, at * 1000);
		assert_int_equal(schedule_previous(&s, z, at * 1000), at * 1000);
		assert_int_equal(schedule_previous(&s, z, at * 1000 - 1), previous);
		previous = last;
		last = schedule_next(&s, z, at * 1000);
		runs++;
	}
	assert_true(runs > 0);
	zone_close(z);
}

static void every_minute_of_a_year(void **state)
{
	static const char *const texts[] = { "17 2 * * *", "*/30 * * * *", "0 0-4/2 1,15 * SUN",
					     "0 3 * * MON-FRI", "59 23 * 2-5 *" };

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		assert_year(texts[i], "Europe/Berlin", "2024-01-05 00:00");
		assert_year(texts[i], "America/New_York", "2037-08-01 00:00");
		assert_year(texts[i], "Australia/Lord_Howe", "2024-01-05 00:00");
	}
	assert_year("0 12 * * *", "Pacific/Apia", "2011-06-01 10:00");
}

static void schedules_that_are_none(void **state)
{
	static const struct {
		const char *text, *says;
	} rows[] = {
		{ "", "five" },
		{ "0 4 * *", "has 4 fields" },
		{ "0 4 * * SAT 2024", "has 6 fields" },
		{ "60 4 * * *", "minute" },
		{ "0 24 * * *", "hour" },
		{ "0 4 0 * *", "day of the month" },
		{ "0 4 32 * *", "day of the month" },
		{ "0 4 * 13 *", "month" },
		{ "0 4 * * 8", "day of the week" },
		{ "0 4 * * SATURDAY", "end of the field" },
		{ "0 4 * * FOO", "day of the week" },
		{ "5/10 * * * *", "a range before the step" },
		{ "*/0 * * * *", "a step" },
		{ "*/ * * * *", "a step" },
		{ "10-5 * * * *", "a range that rises" },
		{ "1- * * * *", "a range's end" },
		{ "1,,2 * * * *", "minute" },
		{ "1, * * * *", "minute" },
		{ "-1 * * * *", "minute" },
		{ "? * * * *", "minute" },
		{ "99999999999999999999 * * * *", "minute" },
		{ "0 0 30 2 *", "no such month" },
		{ "0 0 31 4,6,9,11 *", "no such month" },
		{ "0 0 31 2 */2", "no such month" },
		{ "@daily", "five" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct schedule s;
		struct error err = { 0 };

		if (schedule_parse(&s, rows[i].text, &err) || !strstr(err.message, rows[i].says))
			fail_msg("\"%s\" gave \"%s\"", rows[i].text, err.message);
		assert_int_equal(err.kind, ERROR_INVALID);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(zones_are_what_the_c_library_says),
		cmocka_unit_test(local_times_have_one_moment),
		cmocka_unit_test(zones_that_are_none),
		cmocka_unit_test(broken_zone_files_are_refused),
		cmocka_unit_test(schedules),
		cmocka_unit_test(every_minute_of_a_year),
		cmocka_unit_test(schedules_that_are_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
