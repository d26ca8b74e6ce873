/* What the tables print: the effective configuration, the reference, the schema. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/sections.h"
#include "types.h"

static const char full[] =
	"worker: { name: \"a\\tb $${x} $\", threads: 3, memory: 64MiB }\n"
	"checkpoint: { store: 'postgres://me:hunter2@db:5432/x?sslmode=require&password=hunter2' "
	"}\n"
	"aws: { endpoint: { s3: 'http://me:hunter2@127.0.0.1:9000/p@q' } }\n"
	"streams:\n"
	"  - { table: orders, sinks: [events, { name: lake, filter: "
	"['{\"$or\": 1}'], transform: [{ hash: { key: hunter2, paths: [$$a] } }, one] }], poll: { "
	"max: 90s }, transform: [{ set: { \"a$\": '${b} $$ \"', n: 1.50 } }], "
	"schemas: [{ name: a, when: { set: $$b, hash: 1 } }] }\n"
	"  - { table: users, name: people, enable_stream: KEYS_ONLY, schemaless: dead_letter, "
	"schemas: [{ name: b }], "
	"sinks: [screen] }\n"
	"sinks:\n"
	"  lake: { type: folder, path: '${table}/$$${yyyy}', roll: { size: 1500 } }\n"
	"  events:\n"
	"    type: broker\n"
	"    brokers: b:9092\n"
	"    password: hunter2\n"
	"    properties: { sasl.password: hunter2, client.secret: hunter2, linger.ms: '$$5' }\n"
	"  screen: { type: screen }\n"
	"http: { listen: '' }\n"
	"log: { level: warn }\n";

static struct config *parse(const char *text)
{
	struct error err = { 0 };
	struct config *c = config_parse(str_of(text), "f", &types, &err);

	if (!c)
		fail_msg("%s\n%s", text, err.message);
	return c;
}

static void the_effective_configuration_reads_as_yaml(void **state)
{
	AUTO(config) struct config *c = parse(full);
	struct buf out;

	(void)state;
	buf_init(&out, 0);
	config_print(c, &out);
	assert_string_equal(
		out.data, "worker:\n"
			  "  name: \"a\\u0009b $${x} $$\"\n"
			  "  threads: 3\n"
			  "  memory: 64MiB\n"
			  "  max_shards: 10000\n"
			  "  follow: 1m\n"
			  "  shutdown: 20s\n"
			  "  sink_timeout: 5m\n"
			  "checkpoint:\n"
			  "  store: \"postgres://me:***@db:5432/x?sslmode=require&password=***\"\n"
			  "  interval: 1s\n"
			  "  lease: 10s\n"
			  "aws:\n"
			  "  endpoint:\n"
			  "    s3: \"http://me:***@127.0.0.1:9000/p@q\"\n"
			  "  read_price: 0.02\n"
			  "streams:\n"
			  "  - table: \"orders\"\n"
			  "    name: \"orders\"\n"
			  "    start: \"latest\"\n"
			  "    gap: stop\n"
			  "    warn_loss: 6h\n"
			  "    on_error: dead_letter\n"
			  "    filter: []\n"
			  "    transform:\n"
			  "      - {\"set\":{\"a$\":\"${b} $$ \\\"\",\"n\":1.50}}\n"
			  "    schemas:\n"
			  "      - {\"name\":\"a\",\"when\":{\"set\":\"$$b\",\"hash\":1}}\n"
			  "    schemaless: pass\n"
			  "    poll:\n"
			  "      min: 100ms\n"
			  "      max: 90s\n"
			  "      budget: 0\n"
			  "    sinks:\n"
			  "      - name: \"events\"\n"
			  "        start: \"latest\"\n"
			  "        filter: []\n"
			  "        transform: []\n"
			  "      - name: \"lake\"\n"
			  "        start: \"latest\"\n"
			  "        filter:\n"
			  "          - \"{\\\"$$or\\\": 1}\"\n"
			  "        transform:\n"
			  "          - {\"hash\":{\"key\":\"***\",\"paths\":[\"$$a\"]}}\n"
			  "          - \"one\"\n"
			  "  - table: \"users\"\n"
			  "    name: \"people\"\n"
			  "    start: \"latest\"\n"
			  "    enable_stream: \"KEYS_ONLY\"\n"
			  "    gap: stop\n"
			  "    warn_loss: 6h\n"
			  "    on_error: dead_letter\n"
			  "    filter: []\n"
			  "    transform: []\n"
			  "    schemas:\n"
			  "      - {\"name\":\"b\"}\n"
			  "    schemaless: dead_letter\n"
			  "    poll:\n"
			  "      min: 100ms\n"
			  "      max: 5s\n"
			  "      budget: 0\n"
			  "    sinks:\n"
			  "      - name: \"screen\"\n"
			  "        start: \"latest\"\n"
			  "        filter: []\n"
			  "        transform: []\n"
			  "sinks:\n"
			  "  \"lake\":\n"
			  "    type: folder\n"
			  "    path: \"${table}/$$${yyyy}\"\n"
			  "    roll:\n"
			  "      size: 1500\n"
			  "      age: 5m\n"
			  "  \"events\":\n"
			  "    type: broker\n"
			  "    brokers: \"b:9092\"\n"
			  "    topic: \"dynamodb.${table}\"\n"
			  "    password: \"***\"\n"
			  "    format: plain\n"
			  "    batch:\n"
			  "      linger: 5ms\n"
			  "      size: 1MiB\n"
			  "    retries: 5\n"
			  "    tombstones: true\n"
			  "    properties:\n"
			  "      \"sasl.password\": \"***\"\n"
			  "      \"client.secret\": \"***\"\n"
			  "      \"linger.ms\": \"$$5\"\n"
			  "  \"screen\":\n"
			  "    type: screen\n"
			  "dead_letter:\n"
			  "  max_bytes: 256MiB\n"
			  "  max_ratio: 0.5\n"
			  "http:\n"
			  "  listen: \"\"\n"
			  "  shard_metrics: false\n"
			  "log:\n"
			  "  level: warn\n"
			  "  format: text\n");
	assert_null(strstr(out.data, "hunter2"));
	buf_release(&out);
}

static void exports_and_baselines_are_printed(void **state)
{
	AUTO(config)
	struct config *c =
		parse("streams:\n"
		      "  - { table: orders, sinks: [s], gap: repair, "
		      "baseline: { bucket: my-exports, enable_pitr: true } }\n"
		      "sinks: { s: { type: screen } }\n"
		      "exports:\n"
		      "  - { table: orders, bucket: abc, full: 0 4 * * SAT, load: false }\n"
		      "  - { table: users, bucket: abc, incremental: 1h, sinks: [s] }\n");
	AUTO(config) struct config *again = NULL;
	struct buf out, second;

	(void)state;
	buf_init(&out, 0);
	buf_init(&second, 0);
	config_print(c, &out);
	assert_non_null(strstr(out.data, "    baseline:\n"
					 "      bucket: \"my-exports\"\n"
					 "      prefix: \"sluice\"\n"
					 "      enable_pitr: true\n"
					 "      poll: 30s\n"
					 "    gap: repair\n"));
	assert_non_null(strstr(out.data, "exports:\n"
					 "  - table: \"orders\"\n"
					 "    bucket: \"abc\"\n"
					 "    prefix: \"sluice\"\n"
					 "    enable_pitr: false\n"
					 "    full: \"0 4 * * SAT\"\n"
					 "    timezone: \"UTC\"\n"
					 "    view: \"NEW_AND_OLD_IMAGES\"\n"
					 "    load: false\n"
					 "    load_every: 1\n"
					 "    deadline: 24h\n"
					 "    retries: 5\n"
					 "    poll: 30s\n"
					 "  - table: \"users\"\n"));
	assert_non_null(strstr(out.data, "    incremental: 1h\n"));
	again = parse(out.data);
	config_print(again, &second);
	assert_string_equal(second.data, out.data);
	buf_release(&out);
	buf_release(&second);
}

static void what_is_printed_loads_and_prints_the_same(void **state)
{
	AUTO(config) struct config *c = parse(full);
	AUTO(config) struct config *again = NULL;
	struct buf first, second;

	(void)state;
	buf_init(&first, 0);
	buf_init(&second, 0);
	config_print(c, &first);
	again = parse(first.data);
	config_print(again, &second);
	assert_string_equal(first.data, second.data);
	assert_string_equal(again->worker.name, "a\tb ${x} $");
	buf_release(&first);
	buf_release(&second);
}

static void passwords_of_urls_are_never_printed(void **state)
{
	static const struct {
		const char *store, *printed;
	} all[] = {
		{ "postgres://u:p@h/d", "postgres://u:***@h/d" },
		{ "postgres://u@h/d", "postgres://u@h/d" },
		{ "postgres://h:5432/d", "postgres://h:5432/d" },
		{ "postgres://u:p@w/o:r@d@h/d", "postgres://u:***@h/d" },
		{ "postgresql:///d?user=u&password=p&sslpassword=q&x=y",
		  "postgresql:///d?user=u&password=***&sslpassword=***&x=y" },
		{ "postgresql://h?password=p@q", "postgresql://h?password=***" },
		{ "sqlite:/a:b@c", "sqlite:/a:b@c" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct config *c = parse(full);
		struct buf out, want;

		buf_init(&out, 0);
		buf_init(&want, 0);
		c->checkpoint.store = all[i].store;
		config_print(c, &out);
		buf_printf(&want, "  store: \"%s\"\n", all[i].printed);
		assert_non_null(strstr(out.data, want.data));
		buf_release(&out);
		buf_release(&want);
		config_free(c);
	}
}

/* The tables of sinks with their headings in the reference. */
static const struct {
	const struct option *options;
	const char *heading;
} tables[] = {
	{ broker_options, "### type: broker" },
	{ folder_options, "### type: folder" },
};

static void reference_has(const char *reference, const char *heading, const struct option *o)
{
	const char *section = strstr(reference, heading), *end, *row;
	char cell[128];

	assert_non_null(section);
	end = strstr(section + 3, "\n##");
	snprintf(cell, sizeof(cell), "\n| `%s` | ", o->name);
	row = strstr(section, cell);
	if (!row || (end && row > end))
		fail_msg("%s: no row of %s", heading, o->name);
	/* Four cells and no more. */
	for (int bars = 0; *++row != '\n';) {
		bars += *row == '|' && row[-1] != '\\';
		if (row[1] == '\n')
			assert_int_equal(bars, 5);
	}
}

static void the_reference_has_every_row(void **state)
{
	struct buf out;
	char heading[64];

	(void)state;
	buf_init(&out, 0);
	config_reference(&types, &out);
	for (const struct section *s = config_sections; s->name; s++)
		for (const struct option *o = s->options; o->name; o++) {
			snprintf(heading, sizeof(heading), "## %s\n", s->name);
			reference_has(out.data, heading, o);
		}
	for (const struct option *o = config_stream_section.options; o->name; o++)
		reference_has(out.data, "## streams\n", o);
	for (const struct option *o = config_stream_sink_section.options; o->name; o++)
		reference_has(out.data, "### streams[].sinks\n", o);
	for (const struct option *o = config_export_section.options; o->name; o++)
		reference_has(out.data, "## exports\n", o);
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		for (const struct option *o = tables[i].options; o->name; o++)
			reference_has(out.data, tables[i].heading, o);
	assert_non_null(strstr(out.data, "### type: screen\n\nNo settings.\n"));
	assert_non_null(strstr(out.data, "| `format` | debezium, plain or dynamodb | `plain` | "
					 "One of a\\|b. |\n"));
	assert_non_null(strstr(out.data, "| `brokers` | a text | required | Host:port. |\n"));
	assert_non_null(strstr(out.data, "| `password` | a text |  | Of the user. A secret: "
					 "printed as `***`. |\n"));
	assert_non_null(strstr(out.data, "Read again on SIGHUP."));
	buf_release(&out);
}

static json_t *schema(void)
{
	struct buf out;
	json_t *root;

	buf_init(&out, 0);
	config_schema(&types, &out);
	root = json_loads(out.data, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(root);
	buf_release(&out);
	return root;
}

static const json_t *member(const json_t *object, const char *path)
{
	size_t n = strcspn(path, "/");
	char key[64];

	snprintf(key, sizeof(key), "%.*s", (int)n, path);
	object = json_is_array(object) ? json_array_get(object, (size_t)atoi(key))
				       : json_object_get(object, key);
	if (!object)
		fail_msg("no %s", path);
	return path[n] ? member(object, path + n + 1) : object;
}

static bool lists(const json_t *array, const char *text)
{
	for (size_t i = 0; i < json_array_size(array); i++)
		if (!strcmp(json_string_value(json_array_get(array, i)), text))
			return true;
	return false;
}

/* Follows the row's dots through nested objects. */
static void schema_has(const json_t *object, const struct option *o)
{
	const char *name = o->name;

	for (;;) {
		size_t n = strcspn(name, ".");
		char key[64];

		snprintf(key, sizeof(key), "%.*s", (int)n, name);
		assert_true(json_is_false(json_object_get(object, "additionalProperties")));
		assert_int_equal(lists(json_object_get(object, "required"), key),
				 (o->flags & OPTION_REQUIRED) != 0);
		object = json_object_get(json_object_get(object, "properties"), key);
		if (!object)
			fail_msg("%s is not in the schema", o->name);
		if (!name[n])
			break;
		name += n + 1;
	}
	assert_non_null(strstr(json_string_value(json_object_get(object, "description")), o->help));
	assert_int_equal(json_object_get(object, "default") != NULL, o->def != NULL);
}

static void the_schema_has_every_row(void **state)
{
	json_t *root = schema();

	(void)state;
	for (const struct section *s = config_sections; s->name; s++)
		for (const struct option *o = s->options; o->name; o++)
			schema_has(member(member(root, "properties"), s->name), o);
	for (const struct option *o = config_export_section.options; o->name; o++)
		schema_has(member(root, "properties/exports/items"), o);
	for (const struct option *o = config_stream_section.options; o->name; o++)
		schema_has(member(root, "properties/streams/items"), o);
	for (const struct option *o = config_stream_sink_section.options; o->name; o++)
		schema_has(member(root, "properties/streams/items/properties/sinks/items/anyOf/1"),
			   o);
	for (size_t i = 0; sink_types[i].type; i++) {
		const json_t *one = json_array_get(
			member(root, "properties/sinks/additionalProperties/oneOf"), i);

		assert_string_equal(json_string_value(member(one, "properties/type/const")),
				    sink_types[i].type);
		assert_true(lists(member(one, "required"), "type"));
		for (const struct option *o = sink_types[i].options; o->name; o++)
			schema_has(one, o);
	}
	json_decref(root);
}

static void the_schema_states_types_and_bounds(void **state)
{
	json_t *root = schema();
	const json_t *broker = member(root, "properties/sinks/additionalProperties/oneOf/0/"
					    "properties");

	(void)state;
	assert_string_equal(json_string_value(member(root, "$schema")),
			    "https://json-schema.org/draft/2020-12/schema");
	assert_true(json_is_false(json_object_get(root, "additionalProperties")));
	assert_true(lists(member(root, "anyOf/0/required"), "streams"));
	assert_true(lists(member(root, "anyOf/0/required"), "sinks"));
	assert_true(lists(member(root, "anyOf/1/required"), "exports"));
	assert_int_equal(json_integer_value(member(broker, "retries/anyOf/0/maximum")), 100);
	assert_int_equal(json_integer_value(member(broker, "retries/default")), 5);
	assert_true(json_is_true(member(broker, "tombstones/default")));
	assert_true(lists(member(broker, "format/anyOf/0/enum"), "debezium"));
	assert_string_equal(json_string_value(member(broker, "batch/properties/linger/pattern")),
			    "^[0-9]+(ms|s|m|h)$|\\$\\{");
	assert_string_equal(json_string_value(member(broker, "brokers/type")), "string");
	assert_true(json_is_object(member(broker, "properties/additionalProperties")));
	assert_int_equal(json_integer_value(member(root, "properties/streams/minItems")), 1);
	json_decref(root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_effective_configuration_reads_as_yaml),
		cmocka_unit_test(exports_and_baselines_are_printed),
		cmocka_unit_test(what_is_printed_loads_and_prints_the_same),
		cmocka_unit_test(passwords_of_urls_are_never_printed),
		cmocka_unit_test(the_reference_has_every_row),
		cmocka_unit_test(the_schema_has_every_row),
		cmocka_unit_test(the_schema_states_types_and_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
