#pragma once
#include <stdatomic.h>
#include <stdint.h>

/* Two times (design, "Time"): `boot` never steps and goes on in suspend, leases and pauses are
 * measured by it; `aws` is the local wall clock corrected by the Date header of AWS's answers, ages
 * and windows are measured by it. Thread safe. */
struct clock {
	int64_t (*boot_ms)(const struct clock *c); /* CLOCK_BOOTTIME */
	int64_t (*wall_ms)(const struct clock *c); /* epoch ms, uncorrected */
	_Atomic int64_t aws_offset_ms;
	void *arg;
};

void clock_init(struct clock *c); /* the machine's clocks */
static inline int64_t clock_boot_ms(const struct clock *c)
{
	return c->boot_ms(c);
}
static inline int64_t clock_aws_ms(const struct clock *c)
{
	return c->wall_ms(c) + atomic_load_explicit(&c->aws_offset_ms, memory_order_relaxed);
}
/* RFC 3339 in UTC, "2026-11-21T10:11:12.345Z"; returns out. */
#define CLOCK_TEXT_SIZE 32
char *clock_text(int64_t epoch_ms, char out[CLOCK_TEXT_SIZE]);
