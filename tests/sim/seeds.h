#pragma once
#include <stddef.h>
#include <stdint.h>

/* What the simulators' programs have in common: [--seeds N] [--from S] runs seeds S … S+N-1, and
 * first those that ever failed. Without --seeds N is SLUICE_SIM_SEEDS, or the simulator's own. The
 * last words of an assertion name the seed. Prints how many seeds had each kind of fault, and fails
 * where one is too rare to be tested. */
struct seeds {
	const char *name;
	uint64_t count;
	const uint64_t *failed_once;
	size_t failed_count;
	/* counted[]: how often the seed had each fault; zeroed. */
	void (*run)(uint64_t seed, uint64_t *counted);
	const char *const *fault_texts;
	size_t fault_count;
	void (*told)(void); /* the last line's rest: what else there was */
};
int seeds_main(const struct seeds *s, int argc, char **argv);
