#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "sinks/sink.h"

static const char *const names[] = { "kafka", "s3", "directory", "stdout" };
#define NAMES (sizeof(names) / sizeof(names[0]))

static void test_find(void **state)
{
	(void)state;
	for (size_t i = 0; i < NAMES; i++) {
		const struct sink_ops *ops = sink_ops_find(names[i]);

		assert_non_null(ops);
		assert_string_equal(ops->config.type, names[i]);
	}
	assert_null(sink_ops_find("Kafka"));
	assert_null(sink_ops_find(""));
}

static void test_config_types(void **state)
{
	const struct config_sink_type *types = sink_config_types()->sinks;

	(void)state;
	for (size_t i = 0; i < NAMES; i++) {
		assert_string_equal(types[i].type, names[i]);
		assert_non_null(types[i].options);
	}
	assert_null(types[NAMES].type);
	assert_ptr_equal(types, sink_config_types()->sinks);
}

static void test_schedules(void **state)
{
	const struct config_types *t = sink_config_types();
	struct error err = { 0 };

	(void)state;
	assert_true(t->schedule("0 4 * * SAT", &err) && t->timezone("UTC", &err));
	assert_false(t->schedule("0 24 * * *", &err));
	assert_int_equal(err.kind, ERROR_INVALID);
	assert_false(t->timezone("Mars/Crater", &err));
	assert_int_equal(err.kind, ERROR_INVALID);
}

/* What the contract asks of every kind, and of those that have rolls. */
static void test_every_function_is_there(void **state)
{
	(void)state;
	for (size_t i = 0; i < NAMES; i++) {
		const struct sink_ops *o = sink_ops_find(names[i]);
		bool rolls = i == 1 || i == 2;

		assert_true(o->commit && o->encoding && o->open && o->write && o->purge);
		assert_true(o->check && o->trouble && o->close);
		assert_true(!rolls || (o->prepare && o->finish && o->bury && o->sweep));
	}
}

/* Rows inside the settings, defaults that their own rows take, a sentence of help each. */
static void test_options(void **state)
{
	(void)state;
	for (size_t i = 0; i < NAMES; i++) {
		const struct config_sink_type *t = &sink_config_types()->sinks[i];
		_Alignas(max_align_t) char settings[1024];
		struct error err = { 0 };

		assert_true(t->settings_size <= sizeof(settings));
		if (!option_defaults(t->options, settings, &err))
			fail_msg("%s: %s", t->type, err.message);
		for (const struct option *o = t->options; o->name; o++) {
			assert_true(o->offset < t->settings_size);
			assert_non_null(o->help);
		}
	}
}

static void set(const struct config_sink_type *t, void *settings, const char *name,
		const char *value)
{
	struct error err;

	for (const struct option *o = t->options; o->name; o++)
		if (strcmp(o->name, name) == 0)
			assert_true(option_set(o, settings, value, &err));
}

/* Every kind can give the members of the plain form other names, and no other form. */
static void test_fields(void **state)
{
	(void)state;
	for (size_t i = 0; i < NAMES; i++) {
		const struct sink_ops *ops = sink_ops_find(names[i]);
		const struct config_sink_type *t = &ops->config;
		_Alignas(max_align_t) char settings[1024] = { 0 };
		struct error err = { 0 };

		assert_true(option_defaults(t->options, settings, &err));
		for (const struct option *o = t->options; o->name; o++)
			if (o->flags & OPTION_REQUIRED)
				set(t, settings, o->name, "abc");
		set(t, settings, "format", "plain");
		assert_true(t->validate(settings, &err));
		assert_null(ops->encoding(settings).fields);
		set(t, settings, "fields.op", "kind");
		assert_true(t->validate(settings, &err));
		assert_string_equal(ops->encoding(settings).fields->op, "kind");
		assert_string_equal(ops->encoding(settings).fields->order, "_order");
		set(t, settings, "fields.ts", "_kind");
		assert_false(t->validate(settings, &err));
		assert_memory_equal(err.message, "fields: ", 8);
		set(t, settings, "fields.ts", "at");
		set(t, settings, "format", "debezium");
		assert_false(t->validate(settings, &err));
		assert_non_null(strstr(err.message, "format: plain"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find),      cmocka_unit_test(test_config_types),
		cmocka_unit_test(test_schedules), cmocka_unit_test(test_every_function_is_there),
		cmocka_unit_test(test_options),   cmocka_unit_test(test_fields),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
