#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "export/zone.h"

/* A cron schedule, `0 4 * * SAT`: minute, hour, day of the month, month, day of the week. A plain
 * value, pure: whoever asks with the same zone gets the same minutes.
 *
 * Fields are lists of numbers, names (JAN, SUN; 7 is Sunday, too) and ranges, all with steps
 * (0-59/15; * stands for all). Where both days are given, either is enough; a field that begins
 * with
 * * does not count as given. A time that the clock jumps over is the next moment that there is; one
 * that comes twice is the first. */
struct schedule {
	uint64_t minutes;
	uint32_t hours, days, weekdays; /* a bit each; days from 1, Sunday 0 */
	uint32_t months;                /* from 1 */
	bool any_day, any_weekday;
};

/* ERROR_INVALID names the field that is wrong, and refuses what never comes (30 February). */
bool schedule_parse(struct schedule *out, const char *text, struct error *err) MUST_CHECK;
/* The first minute behind time_ms, the last one at it or before. Epoch ms. */
int64_t schedule_next(const struct schedule *s, const struct zone *z, int64_t time_ms);
int64_t schedule_previous(const struct schedule *s, const struct zone *z, int64_t time_ms);
