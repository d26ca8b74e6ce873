/* The second implementation of the pattern language (filter_solver.h) has to agree with the filter
 * on random patterns and records: those of half as many patterns as SLUICE_SIM_SEEDS, where that is
 * more than the usual number. */
#include "tests/unit/event/decoding.h"

#include "event/filter.h"
#include "event/scan.h"
#include "tests/unit/event/filter_solver.h"
#include "tests/unit/event/random_trees.h"

#define PATTERNS_MIN      1001
#define RECORDS_A_PATTERN 25

/* A pattern and its text. */
struct pattern {
	json_t *tree;
	struct buf text;
};

static struct pattern pattern_make(struct rng *r)
{
	struct pattern p = { .tree = maybe_or(r, random_pattern, 0) };

	buf_init(&p.text, 0);
	write_tree(r, p.tree, &p.text);
	return p;
}

static void pattern_release(struct pattern *p)
{
	json_decref(p->tree);
	buf_release(&p->text);
}

/* Of the patterns one that matches is enough. */
static bool compare(struct rng *r, const struct filter *f, const struct pattern *patterns,
		    size_t count)
{
	json_t *record = random_record(r);
	bool expected = false, found;
	struct buf b;
	size_t n;

	for (size_t i = 0; i < count; i++)
		expected |= reference(patterns[i].tree, record);
	buf_init(&b, 0);
	write_tree(r, record, &b);
	n = b.size;
	for (unsigned i = 0; i < SCAN_PADDING; i++)
		assert_true(buf_add(&b, "", 1));
	found = filter_match(f, b.data + strspn(b.data, " \n\t"), STR(DECODING_ARN));
	if (found != expected)
		fail_msg("%s\n%s\nof\n%.*s\nis expected to %s", patterns[0].text.data,
			 patterns[count - 1].text.data, (int)n, b.data,
			 expected ? "match" : "match not");
	buf_release(&b);
	json_decref(record);
	return expected;
}

static struct filter *filter_of(const struct pattern *patterns, size_t count, struct error *err)
{
	struct str both[2];

	for (size_t i = 0; i < count; i++)
		both[i] = buf_str(&patterns[i].text);
	return filter_new(both, count, err);
}

static unsigned wanted_patterns(void)
{
	const char *seeds = getenv("SLUICE_SIM_SEEDS");
	unsigned wanted = seeds ? (unsigned)strtoul(seeds, NULL, 10) / 2 : 0;

	return wanted > PATTERNS_MIN ? wanted : PATTERNS_MIN;
}

static void test_agree(void **state)
{
	const unsigned patterns = wanted_patterns();
	unsigned refused = 0, matched = 0, compared = 0, have = 0;
	struct pattern pair[2];
	struct rng r;

	(void)state;
	rng_seed(&r, 20261125);
	for (unsigned i = 0; i < patterns; i++) {
		struct error err = { 0 };
		struct filter *f;

		pair[have] = pattern_make(&r);
		f = filter_of(pair + have, 1, &err);
		/* Chance makes empty ranges and the like; it does not make bad JSON. */
		if (!f && (strstr(err.message, "JSON") || !strstr(err.message, ": ")))
			fail_msg("%s: %s", pair[have].text.data, err.message);
		refused += !f;
		for (unsigned k = 0; f && k < RECORDS_A_PATTERN; k++, compared++)
			matched += compare(&r, f, pair + have, 1);
		if (!f)
			pattern_release(&pair[have]);
		have += f != NULL;
		filter_free(f);
		if (have < 2)
			continue;
		/* What was taken by itself is taken together. */
		f = filter_of(pair, 2, &err);
		assert_non_null(f);
		for (unsigned k = 0; k < RECORDS_A_PATTERN; k++, compared++)
			matched += compare(&r, f, pair, 2);
		filter_free(f);
		for (; have > 0; have--)
			pattern_release(&pair[have - 1]);
	}
	if (have)
		pattern_release(&pair[0]);
	print_message("%u pairs, %u match; %u patterns are refused\n", compared, matched, refused);
	assert_true(refused < patterns / 4);
	assert_true(compared > RECORDS_A_PATTERN * patterns && matched > compared / 12);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_agree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
