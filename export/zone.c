#include "export/zone.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/memory.h"

#define FOLDER         "/usr/share/zoneinfo"
#define FILE_BYTES_MAX ((size_t)256 << 10)
#define HEADER_BYTES   44
#define DAY_S          ((int64_t)86400)
/* No clock was ever moved by more than this at once. */
#define SHIFT_MAX_S (26 * (int64_t)3600)
/* RFC 8536: offsets lie between. */
#define OFFSET_MAX_S (26 * 3600)

/* When the clock changes, year after year. */
enum rule_kind {
	RULE_MONTH,        /* M3.5.0: the last Sunday of March */
	RULE_DAY,          /* n: day of the year from 0, leap days counted */
	RULE_DAY_NO_LEAPS, /* Jn: from 1, 29 February never counted */
};
struct rule {
	enum rule_kind kind;
	int month, week, day;
	int64_t time_s; /* of that day, by the clock until then */
};

struct zone {
	size_t count;
	int64_t *times;   /* of the changes, ascending */
	int32_t *offsets; /* east of Greenwich, from that time on */
	int32_t before;   /* the first change */
	/* Behind the last one. */
	bool has_rule, has_summer;
	int32_t standard, summer;
	struct rule begin, end; /* of summer time */
};

/* ---- the text behind the table: CET-1CEST,M3.5.0,M10.5.0/3 ---- */

static bool number(const char **p, int64_t max, int64_t *out)
{
	int64_t v = 0;

	if (**p < '0' || **p > '9')
		return false;
	for (; **p >= '0' && **p <= '9'; ++*p) {
		v = v * 10 + (**p - '0');
		if (v > max)
			return false;
	}
	*out = v;
	return true;
}

/* [+-]h[:m[:s]] */
static bool clock_time(const char **p, int64_t hours_max, int64_t *out)
{
	int64_t sign = 1, hours, part;

	if (**p == '-' || **p == '+')
		sign = *(*p)++ == '-' ? -1 : 1;
	if (!number(p, hours_max, &hours))
		return false;
	*out = hours * 3600;
	for (int64_t unit = 60; unit > 0 && **p == ':'; unit /= 60) {
		++*p;
		if (!number(p, 59, &part))
			return false;
		*out += part * unit;
	}
	*out *= sign;
	return true;
}

static bool abbreviation(const char **p)
{
	const char *begin = *p;

	if (**p == '<') {
		*p = strchr(*p, '>');
		return *p && ++*p;
	}
	while ((**p | 0x20) >= 'a' && (**p | 0x20) <= 'z')
		++*p;
	return *p > begin;
}

/* West is positive there. */
static bool offset(const char **p, int32_t *out)
{
	int64_t v;

	if (!clock_time(p, 24, &v))
		return false;
	*out = (int32_t)-v;
	return true;
}

static bool rule_read(const char **p, struct rule *r)
{
	int64_t a, b, c;

	*r = (struct rule){ .kind = RULE_DAY, .time_s = 2 * 3600 };
	if (**p == 'M') {
		++*p;
		if (!number(p, 12, &a) || a < 1 || *(*p)++ != '.' || !number(p, 5, &b) || b < 1 ||
		    *(*p)++ != '.' || !number(p, 6, &c))
			return false;
		r->kind = RULE_MONTH;
		r->month = (int)a;
		r->week = (int)b;
		r->day = (int)c;
	} else {
		if (**p == 'J') {
			++*p;
			r->kind = RULE_DAY_NO_LEAPS;
		}
		if (!number(p, 365, &a) || (r->kind == RULE_DAY_NO_LEAPS && a < 1))
			return false;
		r->day = (int)a;
	}
	if (**p != '/')
		return true;
	++*p;
	return clock_time(p, 167, &r->time_s);
}

static bool footer_read(struct zone *z, const char *p)
{
	if (!*p)
		return true;
	z->has_rule = true;
	if (!abbreviation(&p) || !offset(&p, &z->standard))
		return false;
	if (!*p)
		return true;
	z->has_summer = true;
	if (!abbreviation(&p))
		return false;
	z->summer = z->standard + 3600;
	if (*p != ',' && !offset(&p, &z->summer))
		return false;
	return *p++ == ',' && rule_read(&p, &z->begin) && *p++ == ',' && rule_read(&p, &z->end) &&
	       !*p;
}

/* ---- days ---- */

static bool leap(int year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int64_t day_of(int year, int month, int day)
{
	struct tm tm = { .tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day };

	return timegm(&tm) / DAY_S;
}

static int64_t rule_day(const struct rule *r, int year)
{
	int64_t first, day;
	int weekday;

	switch (r->kind) {
	case RULE_DAY:
		return day_of(year, 1, 1) + r->day;
	case RULE_DAY_NO_LEAPS:
		return day_of(year, 1, 1) + r->day - 1 + (leap(year) && r->day >= 60);
	case RULE_MONTH:
	default:
		break;
	}
	first = day_of(year, r->month, 1);
	weekday = (int)(((first + 4) % 7 + 7) % 7); /* 1970 began with a Thursday */
	day = first + (r->day - weekday + 7) % 7 + 7 * (int64_t)(r->week - 1);
	while (day >= (r->month == 12 ? day_of(year + 1, 1, 1) : day_of(year, r->month + 1, 1)))
		day -= 7; /* the fifth where there are four: the last */
	return day;
}

static int32_t rule_offset(const struct zone *z, int64_t utc_s)
{
	time_t standard_s = utc_s + z->standard;
	int64_t begin, end;
	struct tm tm;
	bool summer;

	if (!z->has_summer || !gmtime_r(&standard_s, &tm))
		return z->standard;
	begin = rule_day(&z->begin, tm.tm_year + 1900) * DAY_S + z->begin.time_s - z->standard;
	end = rule_day(&z->end, tm.tm_year + 1900) * DAY_S + z->end.time_s - z->summer;
	if (begin < end)
		summer = utc_s >= begin && utc_s < end;
	else
		summer = utc_s < end || utc_s >= begin;
	return summer ? z->summer : z->standard;
}

/* ---- the file (RFC 8536) ---- */

static int64_t big_endian(const unsigned char *p, unsigned n)
{
	uint64_t v = p[0] & 0x80 ? UINT64_MAX : 0;

	for (unsigned i = 0; i < n; i++)
		v = v << 8 | p[i];
	return (int64_t)v;
}

struct counts {
	size_t utc, standard, leaps, times, types, characters;
};

static bool header_read(struct str file, size_t at, struct counts *c)
{
	const unsigned char *p = (const unsigned char *)file.p + at;
	size_t *all[] = { &c->utc, &c->standard, &c->leaps, &c->times, &c->types, &c->characters };

	if (file.n < at || file.n - at < HEADER_BYTES || memcmp(p, "TZif", 4) != 0 || p[4] < '2')
		return false;
	for (size_t i = 0; i < 6; i++) {
		int64_t v = big_endian(p + 20 + 4 * i, 4);

		if (v < 0 || v > (int64_t)FILE_BYTES_MAX)
			return false;
		*all[i] = (size_t)v;
	}
	return true;
}

static size_t block_bytes(const struct counts *c, size_t time_bytes)
{
	return c->times * (time_bytes + 1) + c->types * 6 + c->characters +
	       c->leaps * (time_bytes + 4) + c->standard + c->utc;
}

static bool table_read(struct zone *z, const unsigned char *p, const struct counts *c)
{
	const unsigned char *index = p + c->times * 8, *types = index + c->times;

	if (c->types == 0)
		return false;
	for (size_t i = 0; i < c->types; i++) {
		int64_t seconds = big_endian(types + i * 6, 4);

		if (seconds > OFFSET_MAX_S || seconds < -OFFSET_MAX_S)
			return false;
	}
	z->before = (int32_t)big_endian(types, 4);
	z->times = memory_array(c->times + 1, sizeof(z->times[0]));
	z->offsets = memory_array(c->times + 1, sizeof(z->offsets[0]));
	for (; z->count < c->times; z->count++) {
		size_t i = z->count;

		if (index[i] >= c->types)
			return false;
		z->times[i] = big_endian(p + i * 8, 8);
		z->offsets[i] = (int32_t)big_endian(types + index[i] * (size_t)6, 4);
		if (i > 0 && z->times[i] <= z->times[i - 1])
			return false;
	}
	return true;
}

struct zone *zone_parse(struct str file, struct error *err)
{
	struct zone *z = memory_new(sizeof(*z));
	struct counts first, c;
	size_t at = HEADER_BYTES;
	const char *end;
	bool good = file.n <= FILE_BYTES_MAX && header_read(file, 0, &first);

	if (good) {
		at += block_bytes(&first, 4);
		good = header_read(file, at, &c);
	}
	if (good) {
		at += HEADER_BYTES;
		good = file.n - at >= block_bytes(&c, 8) &&
		       table_read(z, (const unsigned char *)file.p + at, &c);
	}
	if (good) {
		at += block_bytes(&c, 8);
		end = file.n - at >= 2 && file.p[at] == '\n'
			      ? memchr(file.p + at + 1, '\n', file.n - at - 1)
			      : NULL;
		good = end != NULL;
	}
	if (good) {
		char *text = memory_text_n(file.p + at + 1, (size_t)(end - file.p) - at - 1);

		good = footer_read(z, text);
		free(text);
	}
	if (good)
		return z;
	zone_close(z);
	error_set(err, ERROR_INVALID, "this is no time zone file of version 2 or later");
	return NULL;
}

static bool name_good(const char *name)
{
	static const char letters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+-/";

	return *name && *name != '/' && strlen(name) < 128 && name[strspn(name, letters)] == '\0';
}

static bool file_read(const char *path, struct buf *out, struct error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char block[4096];
	ssize_t n = 0;
	bool good = fd >= 0;

	while (good && (n = read(fd, block, sizeof(block))) > 0)
		good = buf_add(out, block, (size_t)n);
	if (fd < 0 || n < 0)
		error_set(err, ERROR_INVALID, "%s: %s", path, strerror(errno));
	else if (!good)
		error_set(err, ERROR_INVALID, "%s is no time zone file", path);
	if (fd >= 0)
		close(fd);
	return good && n == 0;
}

struct zone *zone_open(const char *name, struct error *err)
{
	const char *folder = getenv("TZDIR");
	struct zone *z = NULL;
	struct buf file;
	char path[512];

	if (strcmp(name, "UTC") == 0)
		return memory_new(sizeof(*z));
	buf_init(&file, FILE_BYTES_MAX);
	snprintf(path, sizeof(path), "%s/%s", folder && *folder ? folder : FOLDER, name);
	if (!name_good(name))
		error_set(err, ERROR_INVALID, "a name like Europe/Berlin is wanted");
	else if (file_read(path, &file, err))
		z = zone_parse(buf_str(&file), err);
	buf_release(&file);
	if (!z)
		error_wrap(err, "time zone \"%s\"", name);
	return z;
}

void zone_close(struct zone *z)
{
	if (!z)
		return;
	free(z->times);
	free(z->offsets);
	free(z);
}

/* ---- questions ---- */

static int32_t offset_at(const struct zone *z, int64_t utc_s)
{
	size_t low = 0, high = z->count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (z->times[middle] <= utc_s)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == z->count && z->has_rule)
		return rule_offset(z, utc_s);
	return low ? z->offsets[low - 1] : z->before;
}

int64_t zone_local(const struct zone *z, int64_t utc_s)
{
	return utc_s + offset_at(z, utc_s);
}

int64_t zone_utc(const struct zone *z, int64_t local_s)
{
	int64_t low = local_s - SHIFT_MAX_S, high = local_s + SHIFT_MAX_S;
	int64_t early = local_s - offset_at(z, low), late = local_s - offset_at(z, high);
	int64_t first = early < late ? early : late, second = early < late ? late : early;

	if (zone_local(z, first) == local_s)
		return first;
	if (zone_local(z, second) == local_s)
		return second;
	/* The clock jumps over it, once within reach: the first moment that shows more. */
	while (high - low > 1) {
		int64_t middle = low + (high - low) / 2;

		if (zone_local(z, middle) > local_s)
			high = middle;
		else
			low = middle;
	}
	return high;
}
