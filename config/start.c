#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "config/config.h"

static bool digits(const char **p, int count, int *out)
{
	*out = 0;
	for (int i = 0; i < count; i++, (*p)++) {
		if (**p < '0' || **p > '9')
			return false;
		*out = *out * 10 + (**p - '0');
	}
	return true;
}

static bool skip(const char **p, char c, char or)
{
	if (**p != c && **p != or)
		return false;
	(*p)++;
	return true;
}

static bool date_time(const char **p, struct tm *tm)
{
	if (!digits(p, 4, &tm->tm_year) || !skip(p, '-', '-') || !digits(p, 2, &tm->tm_mon) ||
	    !skip(p, '-', '-') || !digits(p, 2, &tm->tm_mday) || !skip(p, 'T', 't') ||
	    !digits(p, 2, &tm->tm_hour) || !skip(p, ':', ':') || !digits(p, 2, &tm->tm_min) ||
	    !skip(p, ':', ':') || !digits(p, 2, &tm->tm_sec))
		return false;
	tm->tm_year -= 1900;
	tm->tm_mon -= 1;
	return tm->tm_hour <= 23 && tm->tm_min <= 59 && tm->tm_sec <= 60;
}

/* Milliseconds of ".345…", further digits are cut. */
static bool fraction(const char **p, int *ms)
{
	int scale = 100;

	*ms = 0;
	if (**p != '.')
		return true;
	(*p)++;
	if (**p < '0' || **p > '9')
		return false;
	for (; **p >= '0' && **p <= '9'; (*p)++, scale /= 10)
		*ms += (**p - '0') * scale;
	return true;
}

static bool zone(const char **p, int *minutes)
{
	int sign = **p == '-' ? -1 : 1, hour, minute;

	*minutes = 0;
	if (skip(p, 'Z', 'z'))
		return true;
	if (!skip(p, '+', '-') || !digits(p, 2, &hour) || !skip(p, ':', ':') ||
	    !digits(p, 2, &minute) || hour > 23 || minute > 59)
		return false;
	*minutes = sign * (hour * 60 + minute);
	return true;
}

static bool rfc3339(const char *text, int64_t *time_ms)
{
	struct tm tm = { 0 }, again;
	int ms, offset;
	time_t seconds;

	if (!date_time(&text, &tm) || !fraction(&text, &ms) || !zone(&text, &offset) || *text)
		return false;
	again = tm;
	seconds = timegm(&again);
	/* A day that the month does not have comes back as another one; a leap second moves on. */
	if (tm.tm_sec < 60 && (again.tm_mday != tm.tm_mday || again.tm_mon != tm.tm_mon))
		return false;
	*time_ms = ((int64_t)seconds - offset * 60) * 1000 + ms;
	return true;
}

bool config_start_is_baseline(const char *text)
{
	return !strcmp(text, "baseline");
}

bool config_start_parse(const char *text, int64_t now_ms, enum config_start *kind, int64_t *time_ms,
			struct error *err)
{
	long back;

	*time_ms = 0;
	if (!strcmp(text, "latest")) {
		*kind = START_LATEST;
		return true;
	}
	if (!strcmp(text, "oldest")) {
		*kind = START_OLDEST;
		return true;
	}
	*kind = START_TIME;
	if (text[0] == '-' && option_parse_ms(text + 1, &back)) {
		*time_ms = now_ms - back;
		return true;
	}
	return rfc3339(text, time_ms) ||
	       error_set(err, ERROR_INVALID,
			 "expected latest, oldest, a time such as 2026-11-21T10:00:00Z or a "
			 "duration back such as -2h, not '%.60s'",
			 text);
}
