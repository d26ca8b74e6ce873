/* Which way fits, and what it costs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "config/config.h"
#include "ops/advise.h"
#include "sinks/sink.h"

static struct advise_importance importance(const char *text)
{
	struct advise_importance out;
	struct error err;

	if (!advise_importance_parse(text, &out, &err))
		fail_msg("%s", err.message);
	return out;
}

static void the_guides_example(void **state)
{
	struct advise_importance i =
		importance("freshness=5,engineering=4,cost=3,volume=4,downstream=3");

	(void)state;
	assert_int_equal(advise_sum(&i, ADVISE_FULL), 48);
	assert_int_equal(advise_sum(&i, ADVISE_INCREMENTAL), 64);
	assert_int_equal(advise_sum(&i, ADVISE_STREAM), 70);
	assert_int_equal(advise_best(&i), ADVISE_STREAM);
	assert_int_equal(advise_reason(&i, ADVISE_STREAM), ADVISE_FRESHNESS);
}

static void what_is_not_named_is_3(void **state)
{
	struct advise_importance i = importance("engineering=5,freshness=1");

	(void)state;
	assert_int_equal(i.of[ADVISE_FRESHNESS], 1);
	assert_int_equal(i.of[ADVISE_ENGINEERING], 5);
	assert_int_equal(i.of[ADVISE_COST], 3);
	assert_int_equal(advise_sum(&i, ADVISE_FULL), 1 + 25 + 3 + 6 + 12);
	i = importance("freshness=1,engineering=5,cost=1,volume=1,downstream=5");
	assert_int_equal(advise_best(&i), ADVISE_FULL);
	assert_int_equal(advise_reason(&i, ADVISE_FULL), ADVISE_ENGINEERING);
}

static void nonsense_is_refused(void **state)
{
	static const char *const wrong[] = { "fresh=5",          "freshness=6",
					     "freshness=0",      "freshness",
					     "freshness=55",     "freshness=x",
					     "cost=3,,volume=2", "=3" };

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		struct advise_importance out;
		struct error err;

		if (advise_importance_parse(wrong[i], &out, &err))
			fail_msg("%s was taken", wrong[i]);
		assert_non_null(strstr(err.message, "freshness=5,cost=2"));
	}
}

static void expect_cost(const struct advise_table *t, const struct advise_prices *p,
			enum advise_way way, double dollars)
{
	double cost = advise_cost(t, p, way);

	if (cost < dollars * 0.999 - 0.0001 || cost > dollars * 1.001 + 0.0001)
		fail_msg("%s: %f, not %f", advise_way_name(way), cost, dollars);
}

/* 100 GB of a billion items of 100 bytes, 100 changes a second. */
static void a_months_cost(void **state)
{
	struct advise_table t = {
		.name = "t", .items = 1000000000, .bytes = 100000000000, .shards = 10
	};
	struct advise_prices p = advise_prices_default;

	(void)state;
	p.changes_second = 100;
	/* 4 × 100 GB × 0.10, and 100 GB × 0.20 for recovery. */
	expect_cost(&t, &p, ADVISE_FULL, 40 + 20);
	/* 100/s × 3,600 s × 100 B × 2 images = 72 MB a window, 720 windows. */
	expect_cost(&t, &p, ADVISE_INCREMENTAL, 0.072 * 720 * 0.10 + 20);
	/* 10 shards × 10 reads/s × 2,592,000 s, less 2.5 M. */
	expect_cost(&t, &p, ADVISE_STREAM, (259.2e6 - 2.5e6) / 1e5 * 0.02);
	t.recovery = true; /* it is paid already */
	expect_cost(&t, &p, ADVISE_FULL, 40);
	p.changes_second = 0;
	expect_cost(&t, &p, ADVISE_INCREMENTAL, 0.01 * 720 * 0.10); /* the least of an export */
	expect_cost(&t, &p, ADVISE_STREAM, (10 * 0.2 * 2592000 - 2.5e6) / 1e5 * 0.02);
	t.shards = 1;
	expect_cost(&t, &p, ADVISE_STREAM, 0); /* what is free is enough */
}

static void prices_may_be_set(void **state)
{
	static const char *const wrong[] = { "",
					     "[]",
					     "{\"gold\":1}",
					     "{\"export_gb\":\"x\"}",
					     "{\"export_gb\":-1}",
					     "{\"window_hours\":0}" };
	struct advise_prices p = advise_prices_default;
	struct error err;

	(void)state;
	assert_true(advise_prices_parse(STR("{\"export_gb\": 0.25, \"reads_free\": 0}"), &p, &err));
	assert_true(p.export_gb > 0.24 && p.export_gb < 0.26);
	assert_true(p.reads_free < 1 && p.recovery_gb > 0.1);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		if (advise_prices_parse(str_of(wrong[i]), &p, &err))
			fail_msg("%s was taken", wrong[i]);
}

static void thresholds_by_size(void **state)
{
	struct advise_importance i = importance("freshness=5");
	struct advise_table t = { .name = "t", .bytes = 999999999, .stream = true };
	struct buf text = { 0 };

	(void)state;
	advise_thresholds(&t, &i, &text);
	assert_non_null(strstr(text.data, "seconds count"));
	assert_non_null(strstr(text.data, "under 1 GB"));
	assert_non_null(strstr(text.data, "recovery is off"));
	assert_null(strstr(text.data, "no stream"));
	t = (struct advise_table){ .name = "t", .bytes = 1000000000000, .recovery = true };
	i = importance("freshness=3");
	buf_clear(&text);
	advise_thresholds(&t, &i, &text);
	assert_non_null(strstr(text.data, "between 1 GB and 1 TB"));
	assert_non_null(strstr(text.data, "15 minutes to an hour"));
	assert_non_null(strstr(text.data, "no stream"));
	t.bytes++;
	buf_clear(&text);
	advise_thresholds(&t, &i, &text);
	assert_non_null(strstr(text.data, "over 1 TB"));
	buf_release(&text);
}

static void what_is_recommended_can_be_run(void **state)
{
	(void)state;
	for (int way = 0; way < ADVISE_WAYS; way++) {
		struct buf text = { 0 };
		struct error err;
		struct config *c;

		advise_config(way ? "people" : NULL, (enum advise_way)way, &text);
		c = config_parse(buf_str(&text), "advice", sink_config_types(), &err);
		if (!c)
			fail_msg("%s: %s", advise_way_name((enum advise_way)way), err.message);
		assert_int_equal(c->stream_count, way == ADVISE_STREAM);
		assert_int_equal(c->export_count, way != ADVISE_STREAM);
		config_free(c);
		buf_release(&text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_guides_example),
		cmocka_unit_test(what_is_not_named_is_3),
		cmocka_unit_test(nonsense_is_refused),
		cmocka_unit_test(a_months_cost),
		cmocka_unit_test(prices_may_be_set),
		cmocka_unit_test(thresholds_by_size),
		cmocka_unit_test(what_is_recommended_can_be_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
