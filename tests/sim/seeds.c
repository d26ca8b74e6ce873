#include "seeds.h"

#include <assert.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FAULTS_MAX 64
/* In how many seeds each fault has to be, where there are enough of them to tell. */
#define TELLING_SEEDS 1000
#define COVERED_SHARE 100

static struct {
	const struct seeds *of;
	uint64_t running, run, with[FAULTS_MAX];
} all;

static void last_words(int number)
{
	char text[96];
	int n = snprintf(text, sizeof(text), "%s: seed %" PRIu64 " failed\n", all.of->name,
			 all.running);
	ssize_t written = write(2, text, (size_t)n);

	(void)written;
	signal(number, SIG_DFL);
	raise(number);
}

static void run(uint64_t seed)
{
	uint64_t counted[FAULTS_MAX] = { 0 };

	all.running = seed;
	all.of->run(seed, counted);
	all.run++;
	for (size_t f = 0; f < all.of->fault_count; f++)
		all.with[f] += counted[f] > 0;
}

static bool print_coverage(void)
{
	bool covered = true;

	printf("%7s  what the seeds had\n", "share");
	for (size_t f = 0; f < all.of->fault_count; f++) {
		bool enough = all.with[f] * COVERED_SHARE >= all.run;

		printf("%6.1f%%  %s%s\n", 100.0 * (double)all.with[f] / (double)all.run,
		       all.of->fault_texts[f], enough ? "" : "  <- too few");
		covered = covered && enough;
	}
	return covered || all.run < TELLING_SEEDS;
}

int seeds_main(const struct seeds *s, int argc, char **argv)
{
	const char *wanted = getenv("SLUICE_SIM_SEEDS");
	uint64_t count = wanted ? strtoull(wanted, NULL, 10) : s->count, from = 1;
	bool covered;

	assert(s->fault_count <= FAULTS_MAX);
	all.of = s;
	for (int i = 1; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--seeds") == 0)
			count = strtoull(argv[i + 1], NULL, 10);
		else if (strcmp(argv[i], "--from") == 0)
			from = strtoull(argv[i + 1], NULL, 10);
	}
	signal(SIGABRT, last_words);
	for (size_t i = 0; i < s->failed_count; i++)
		run(s->failed_once[i]);
	for (uint64_t seed = from; seed < from + count; seed++)
		run(seed);
	covered = print_coverage();
	printf("%s: %" PRIu64 " seeds, ", s->name, all.run);
	s->told();
	return covered ? 0 : 1;
}
