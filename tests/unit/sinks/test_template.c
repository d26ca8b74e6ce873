#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sinks/template.h"

static const struct source orders = {
	.stream = "my/orders",
	.table = "orders",
	.arn = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/"
	       "2026-11-21T00:00:00.000",
	.account = "123456789012",
	.region = "eu-west-1",
};

static void renders(const char *text, enum template_use use, const struct template_values *v,
		    const char *expected)
{
	struct error err = { 0 };
	AUTO(template) struct template *t = template_new(text, use, &err);
	struct buf out = { 0 };

	if (!t)
		fail_msg("%s: %s", text, err.message);
	if (!template_render(t, v, &out, &err))
		fail_msg("%s: %s", text, err.message);
	assert_string_equal(out.data, expected);
	buf_release(&out);
}

static void refuses(const char *text, enum template_use use, const char *part_of_message)
{
	struct error err = { 0 };
	AUTO(template) struct template *t = template_new(text, use, &err);

	assert_null(t);
	assert_int_equal(err.kind, ERROR_INVALID);
	if (!strstr(err.message, part_of_message))
		fail_msg("%s: \"%s\" lacks \"%s\"", text, err.message, part_of_message);
}

static unsigned needs(const char *text, enum template_use use)
{
	struct error err = { 0 };
	AUTO(template) struct template *t = template_new(text, use, &err);

	assert_non_null(t);
	return template_needs(t);
}

static void test_topics(void **state)
{
	const struct str event[] = { STR("d"), { NULL, 0 }, STR("a/b \303\244") };
	const struct template_values v = { .source = &orders, .event = event };

	(void)state;
	renders("dynamodb.${table}", TEMPLATE_TOPIC, &v, "dynamodb.orders");
	renders("${region}.${account}.${table}-${op}", TEMPLATE_TOPIC, &v,
		"eu-west-1.123456789012.orders-d");
	renders("${op}.${schema}.${attribute:a\\.b.c}.${table}", TEMPLATE_TOPIC, &v,
		"d._missing.a_b___.orders");
	renders("${stream}", TEMPLATE_TOPIC, &v, "my_orders");
	renders("plain", TEMPLATE_TOPIC, &v, "plain");
}

/* 2026-03-07 04:05:06 UTC. */
#define A_TIME_MS 1772856306000

static void test_paths(void **state)
{
	const struct str event[] = { STR("2026"), STR("x=\"#{'*?^[]:}") };
	const struct template_values v = { .source = &orders,
					   .event = event,
					   .time_ms = A_TIME_MS };

	(void)state;
	renders("y=${event:yyyy}/v=${attribute:a}/${yyyy}", TEMPLATE_PATH, &v,
		"y=2026/v=x%3D%22%23%7B%27%2A%3F%5E%5B%5D%3A}/2026");
	renders("${table}/date=${yyyy}-${MM}-${dd}/hour=${HH}/", TEMPLATE_PATH, &v,
		"orders/date=2026-03-07/hour=04/");
	renders("/var/lake/${HH}${mm}", TEMPLATE_PATH, &v, "/var/lake/0405");
	renders("../a b/$x}", TEMPLATE_PATH, &v, "../a b/$x}");
}

static void test_value_cannot_leave_its_segment(void **state)
{
	struct source s = orders;
	const struct template_values v = { .source = &s };

	(void)state;
	renders("${stream}/", TEMPLATE_PATH, &v, "my%2Forders/");
	s.stream = "..";
	renders("a/${stream}/b", TEMPLATE_PATH, &v, "a/%2E%2E/b");
	s.stream = "../../etc";
	renders("a/${stream}/b", TEMPLATE_PATH, &v, "a/..%2F..%2Fetc/b");
	s.stream = "a%2Fb\\\n";
	renders("${stream}", TEMPLATE_PATH, &v, "a%252Fb%5C%0A");
	s.stream = "";
	renders("a/.${stream}./b", TEMPLATE_PATH, &v, "a/._./b");
	s.stream = "Größe";
	renders("${stream}", TEMPLATE_PATH, &v, "Größe");
	renders("${stream}", TEMPLATE_TOPIC, &v, "Gr____e");
}

static void test_needs(void **state)
{
	(void)state;
	assert_int_equal(needs("t", TEMPLATE_TOPIC), 0);
	assert_int_equal(needs("${table}", TEMPLATE_TOPIC), TEMPLATE_NEEDS_SOURCE);
	assert_int_equal(needs("x${op}", TEMPLATE_TOPIC), TEMPLATE_NEEDS_EVENT);
	assert_int_equal(needs("${event:mm}${mm}", TEMPLATE_PATH),
			 TEMPLATE_NEEDS_EVENT | TEMPLATE_NEEDS_TIME);
	assert_int_equal(needs("${account}/${mm}", TEMPLATE_PATH),
			 TEMPLATE_NEEDS_SOURCE | TEMPLATE_NEEDS_TIME);
}

static void test_refused(void **state)
{
	(void)state;
	refuses("a.${tabel}", TEMPLATE_TOPIC,
		"unknown placeholder ${tabel}; a topic may have ${table}, ${stream}, ${region}, "
		"${account}, ${op}, ${schema}, ${attribute:PATH}");
	refuses("${yyyy}", TEMPLATE_TOPIC, "unknown placeholder ${yyyy}");
	refuses("${event:yyyy}", TEMPLATE_TOPIC, "unknown placeholder ${event:yyyy}");
	refuses("${attribute:}", TEMPLATE_TOPIC, "unknown placeholder ${attribute:}");
	refuses("${attribute:a[*]}", TEMPLATE_TOPIC, "expected names with dots between");
	refuses("${ops}/", TEMPLATE_PATH, "unknown placeholder ${ops}; a path may have");
	refuses("${yyy}/", TEMPLATE_PATH,
		"${yyyy}, ${MM}, ${dd}, ${HH}, ${mm}, ${event:yyyy}, ${event:MM}");
	refuses("a${table", TEMPLATE_TOPIC, "${ without its }");
	refuses("${}", TEMPLATE_TOPIC, "unknown placeholder ${}");
	refuses("a b", TEMPLATE_TOPIC,
		"byte 2 of the text cannot be in a topic's name (a-z A-Z 0-9 . _ -); expected a "
		"text such as dynamodb.${table}");
	refuses("${table}/x", TEMPLATE_TOPIC, "byte 9");
	refuses("a\nb", TEMPLATE_PATH, "control character");
	refuses("", TEMPLATE_TOPIC, "it is empty; expected a text such as dynamodb.${table}");
	refuses("a${table", TEMPLATE_PATH, "expected a text such as ${table}/date=${yyyy}");
	refuses("${attribute:a:-b}", TEMPLATE_TOPIC, "has no default here, `missing` says");
	assert_int_equal(needs("${attribute:a\\:-b}", TEMPLATE_TOPIC), TEMPLATE_NEEDS_EVENT);
	/* What is wrong whatever the event says. */
	refuses("..", TEMPLATE_TOPIC, "gives a name that Kafka does not take");
	refuses("aaaaaaaaaabbbbbbbbbbaaaaaaaaaabbbbbbbbbbaaaaaaaaaabbbbbbbbbbaaaaaaaaaabbbbbbbbbb"
		"aaaaaaaaaabbbbbbbbbbaaaaaaaaaabbbbbbbbbbaaaaaaaaaabbbbbbbbbbaaaaaaaaaabbbbbbbbbb"
		"aaaaaaaaaabbbbbbbbbbaaaaaaaaaabbbbbbbbbbaaaaaaaaaabbbbbbbbbbaaaaaaaaaabbbbbbbbbb"
		"aaaaaaaaaa",
		TEMPLATE_TOPIC, "at most 249 bytes");
}

static void test_result_that_is_no_topic(void **state)
{
	char name[256];
	struct source s = orders;
	struct error err = { 0 };
	AUTO(template) struct template *t = template_new("${table}", TEMPLATE_TOPIC, &err);
	const struct template_values v = { .source = &s };
	struct buf out = { 0 };

	(void)state;
	memset(name, 'a', sizeof(name));
	name[249] = '\0';
	s.table = name;
	assert_true(template_render(t, &v, &out, &err));
	buf_clear(&out);
	name[249] = 'a';
	name[250] = '\0';
	assert_false(template_render(t, &v, &out, &err));
	assert_int_equal(err.kind, ERROR_INVALID);
	assert_non_null(strstr(err.message, "249"));
	buf_clear(&out);
	s.table = "..";
	assert_false(template_render(t, &v, &out, &err));
	buf_release(&out);
}

static void test_path_that_is_too_long(void **state)
{
	char value[512];
	struct error err = { 0 };
	AUTO(template)
	struct template *t = template_new("a/b=${attribute:a}/c/${op}", TEMPLATE_PATH, &err);
	const struct str event[] = { { value, 253 }, STR("c") };
	struct template_values v = { .event = event };
	struct buf out = { 0 };

	(void)state;
	memset(value, 'a', sizeof(value));
	assert_true(template_render(t, &v, &out, &err));
	buf_clear(&out);
	v.event = (const struct str[]){ { value, 254 }, STR("c") };
	assert_false(template_render(t, &v, &out, &err));
	assert_int_equal(err.kind, ERROR_INVALID);
	assert_non_null(strstr(err.message, "gives a path that is too long"));
	buf_release(&out);
}

static void may_be(const char *text, const char *topic, bool expected)
{
	struct error err = { 0 };
	AUTO(template) struct template *t = template_new(text, TEMPLATE_TOPIC, &err);

	assert_non_null(t);
	if (template_may_be(t, &orders, topic) != expected)
		fail_msg("%s of %s", topic, text);
}

/* Which topics of a cluster an event may have gone to. */
static void test_topics_that_may_be(void **state)
{
	char name[300];

	(void)state;
	may_be("dynamodb.${table}", "dynamodb.orders", true);
	may_be("dynamodb.${table}", "dynamodb.orders2", false);
	may_be("dynamodb.${table}", "dynamodb.order", false);
	may_be("${table}-${op}", "orders-d", true);
	may_be("${table}-${op}", "orders-x", false);
	may_be("${table}-${op}", "orders-", false);
	may_be("${table}.${schema}.x", "orders.a.b.x", true);
	may_be("${table}.${schema}.x", "orders..x", false);
	may_be("${attribute:a}${attribute:b}", "ab", true);
	may_be("${attribute:a}${attribute:b}", "a", false);
	may_be("${stream}", "my_orders", true);
	memset(name, 'a', sizeof(name));
	name[250] = '\0';
	may_be("${attribute:a}${attribute:b}${attribute:c}${attribute:d}-", name, false);
	name[249] = '\0';
	may_be("${attribute:a}${attribute:b}${attribute:c}${attribute:d}-", name, false);
	name[248] = '-';
	may_be("${attribute:a}${attribute:b}${attribute:c}${attribute:d}-", name, true);
}

static void test_too_many_parts(void **state)
{
	char text[64 * 10 + 1] = "";

	(void)state;
	for (int i = 0; i < 64; i++)
		strcat(text, "${table}-");
	refuses(text, TEMPLATE_TOPIC, "parts");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_topics),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_value_cannot_leave_its_segment),
		cmocka_unit_test(test_needs),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_result_that_is_no_topic),
		cmocka_unit_test(test_path_that_is_too_long),
		cmocka_unit_test(test_topics_that_may_be),
		cmocka_unit_test(test_too_many_parts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
