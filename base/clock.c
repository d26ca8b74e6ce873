#include "base/clock.h"

#include <stdio.h>
#include <time.h>

static int64_t clock_read_ms(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int64_t machine_boot_ms(const struct clock *c)
{
	(void)c;
	return clock_read_ms(CLOCK_BOOTTIME);
}

static int64_t machine_wall_ms(const struct clock *c)
{
	(void)c;
	return clock_read_ms(CLOCK_REALTIME);
}

void clock_init(struct clock *c)
{
	*c = (struct clock){ .boot_ms = machine_boot_ms, .wall_ms = machine_wall_ms };
}

char *clock_text(int64_t epoch_ms, char out[CLOCK_TEXT_SIZE])
{
	int64_t ms = epoch_ms % 1000;
	time_t seconds = epoch_ms / 1000;
	struct tm tm = { 0 };
	size_t n;

	if (ms < 0) {
		ms += 1000;
		seconds--;
	}
	gmtime_r(&seconds, &tm);
	n = strftime(out, CLOCK_TEXT_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out + n, CLOCK_TEXT_SIZE - n, ".%03dZ", (int)ms);
	return out;
}
