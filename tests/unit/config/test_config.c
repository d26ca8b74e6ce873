/* Right configurations: values, defaults, and the machine behind them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/machine.h"
#include "types.h"

static struct config *parse(const char *text)
{
	struct error err = { 0 };
	struct config *c = config_parse(str_of(text), "sluice.yaml", &types, &err);

	if (!c)
		fail_msg("%s", err.message);
	return c;
}

static void the_least_configuration_has_all_defaults(void **state)
{
	AUTO(config)
	struct config *c = parse("streams: [{table: orders, sinks: [screen]}]\n"
				 "sinks: {screen: {type: screen}}\n"
				 "worker:\nlog: ~\n");
	const struct config_stream *s = &c->streams[0];

	(void)state;
	assert_string_equal(c->path, "sluice.yaml");
	assert_string_equal(c->worker.name, "host-1");
	assert_in_range(c->worker.threads, 1, 256);
	assert_in_range(c->worker.memory_bytes, 16 << 20, 1 << 30);
	assert_int_equal(c->worker.max_shards, 10000);
	assert_int_equal(c->worker.shutdown_ms, 20000);
	assert_string_equal(c->checkpoint.store, "sqlite:state.db");
	assert_int_equal(c->checkpoint.interval_ms, 1000);
	assert_int_equal(c->checkpoint.lease_ms, 10000);
	assert_null(c->aws.region);
	assert_int_equal(c->aws.read_price, 20000);
	assert_null(c->aws.endpoint_s3);
	assert_int_equal(c->stream_count, 1);
	assert_string_equal(s->table, "orders");
	assert_string_equal(s->name, "orders");
	assert_string_equal(s->start, "latest");
	assert_null(s->enable_stream);
	assert_int_equal(s->gap, GAP_STOP);
	assert_int_equal(s->on_error, ON_ERROR_DEAD_LETTER);
	assert_int_equal(s->poll_min_ms, 100);
	assert_int_equal(s->poll_max_ms, 5000);
	assert_int_equal(s->poll_budget, 0);
	assert_int_equal(s->sink_count, 1);
	assert_int_equal(c->sink_count, 1);
	assert_ptr_equal(c->sinks[0].type, &sink_types[2]);
	assert_int_equal(c->dead_letter.max_bytes, 256 << 20);
	assert_int_equal(c->dead_letter.max_ratio, 500000);
	assert_null(c->dead_letter.sink);
	assert_string_equal(c->http.listen, "127.0.0.1:8080");
	assert_int_equal(c->log.level, LOG_INFO);
	assert_int_equal(c->log.format, LOG_TEXT);
}

static void a_pattern_names_its_streams(void **state)
{
	struct config *c = parse("streams:\n"
				 "  - { table: 'orders-*', sinks: [screen] }\n"
				 "  - { table: 'a?', name: 'my.${table}.x', sinks: [screen] }\n"
				 "  - { table: abc, sinks: [screen] }\n"
				 "sinks: {screen: {type: screen}}\n"
				 "worker: { follow: 5s }\n");
	char name[CONFIG_STREAM_NAME_MAX + 1], longest[256] = "";
	struct error err = { 0 };

	(void)state;
	assert_int_equal(c->worker.follow_ms, 5000);
	assert_true(c->streams[0].is_pattern && c->streams[1].is_pattern);
	assert_false(c->streams[2].is_pattern);
	assert_null(c->streams[0].name);
	assert_true(config_stream_name(&c->streams[0], "orders-eu", name, &err));
	assert_string_equal(name, "orders-eu");
	assert_true(config_stream_name(&c->streams[1], "ab", name, &err));
	assert_string_equal(name, "my.ab.x");
	memset(longest, 'o', CONFIG_STREAM_NAME_MAX);
	assert_true(config_stream_name(&c->streams[0], longest, name, &err));
	assert_string_equal(name, longest);
	assert_false(config_stream_name(&c->streams[1], longest, name, &err));
	assert_non_null(strstr(err.message, "an entry of its own"));
	config_free(c);
}

/* What YAML means by a scalar without quotes is what JSON gets. */
static void patterns_become_json(void **state)
{
	AUTO(config)
	struct config *c =
		parse("streams:\n"
		      "  - table: orders\n"
		      "    filter:\n"
		      "      - eventName: [INSERT]\n"
		      "        $or: [{ a: [5, -0.5e+3, '5', 05, 1., .5, 1e] }, { b: [] }]\n"
		      "      - { c: [true, false, null, ~, 'true', \"\\n\", é, {}] }\n"
		      "      - g:\n          - ${T_ONE:-1}\n"
		      "      - '{\"d\": [ \"${T_ONE:-x}\" ]}'\n"
		      "      - |\n"
		      "        {\"e\":\n"
		      "         [1]}\n"
		      "    sinks: [screen, { name: other, filter: [{ f: [1] }] }]\n"
		      "sinks: {screen: {type: screen}, other: {type: screen}}\n");
	const struct option_list *l = &c->streams[0].filter;

	(void)state;
	assert_int_equal(l->count, 5);
	assert_string_equal(l->texts[0],
			    "{\"eventName\":[\"INSERT\"],\"$or\":[{\"a\":[5,-0.5e+3,\"5\",\"05\","
			    "\"1.\",\".5\",\"1e\"]},{\"b\":[]}]}");
	assert_string_equal(l->texts[1],
			    "{\"c\":[true,false,null,null,\"true\",\"\\n\",\"é\",{}]}");
	assert_string_equal(l->texts[2], "{\"g\":[1]}");
	assert_string_equal(l->texts[3], "{\"d\": [ \"x\" ]}");
	assert_string_equal(l->texts[4], "{\"e\":\n [1]}\n");
	l = &c->streams[0].sinks[1].filter;
	assert_int_equal(l->count, 1);
	assert_string_equal(l->texts[0], "{\"f\":[1]}");
	assert_int_equal(c->streams[0].sinks[0].filter.count, 0);
}

/* What `set` has are templates of the event; the key of a hash is a text, whatever it looks like,
 * and is not shown. */
static void transforms_become_json(void **state)
{
	AUTO(config)
	struct config *c = parse(
		"streams:\n"
		"  - table: orders\n"
		"    transform:\n"
		"      - set: { a: '${attribute:b} ${T_ONE:-1} ${env:T_ONE:-x} $$', n: 1.50 }\n"
		"      - hash: { paths: ['${T_ONE:-p}', '$$'], key: 1234567890123456 }\n"
		"      - strip_replication\n"
		"    sinks: [{ name: screen, transform: [{ cast: { a: number }, on_fail: null "
		"}] }]\n"
		"sinks: {screen: {type: screen}}\n");
	const struct option_list *l = &c->streams[0].transform;

	(void)state;
	assert_int_equal(l->count, 3);
	assert_string_equal(l->texts[0],
			    "{\"set\":{\"a\":\"${attribute:b} ${T_ONE:-1} x $$\",\"n\":1.50}}");
	assert_string_equal(l->texts[1],
			    "{\"hash\":{\"paths\":[\"p\",\"$\"],\"key\":\"1234567890123456\"}}");
	assert_string_equal(l->texts[2], "\"strip_replication\"");
	assert_string_equal(l->shown[0], l->texts[0]);
	assert_string_equal(l->shown[1], "{\"hash\":{\"paths\":[\"p\",\"$$\"],\"key\":\"***\"}}");
	l = &c->streams[0].sinks[0].transform;
	assert_int_equal(l->count, 1);
	assert_string_equal(l->texts[0], "{\"cast\":{\"a\":\"number\"},\"on_fail\":null}");
}

static void exports_arrive(void **state)
{
	AUTO(config)
	struct config *c = parse(
		"exports:\n"
		"  - table: arn:aws:dynamodb:eu-west-1:123456789012:table/orders\n"
		"    bucket: my-exports\n"
		"    bucket_owner: \"123456789012\"\n"
		"    incremental: 15m\n"
		"    full: 0 4 * * SAT\n"
		"    timezone: Europe/Berlin\n"
		"    view: NEW_IMAGE\n"
		"    load_every: 4\n"
		"    deadline: 36h\n"
		"    sinks: [a, { name: b }]\n"
		"  - { table: users, bucket: a.b-c, load: false, enable_pitr: true, prefix: x/y }\n"
		"sinks: { b: { type: screen }, a: { type: screen } }\n");
	const struct config_export *x = c->exports;

	(void)state;
	assert_int_equal(c->stream_count, 0);
	assert_int_equal(c->export_count, 2);
	assert_string_equal(x[0].bucket, "my-exports");
	assert_string_equal(x[0].bucket_owner, "123456789012");
	assert_string_equal(x[0].prefix, "sluice");
	assert_false(x[0].enable_pitr);
	assert_int_equal(x[0].incremental_ms, 900000);
	assert_string_equal(x[0].full, "0 4 * * SAT");
	assert_string_equal(x[0].timezone, "Europe/Berlin");
	assert_string_equal(x[0].view, "NEW_IMAGE");
	assert_true(x[0].load);
	assert_int_equal(x[0].load_every, 4);
	assert_int_equal(x[0].deadline_ms, 36 * 3600000);
	assert_int_equal(x[0].retries, 5);
	assert_int_equal(x[0].poll_ms, 30000);
	assert_int_equal(x[0].sink_count, 2);
	assert_int_equal(x[0].sinks[0].sink, 1);
	assert_int_equal(x[0].sinks[1].sink, 0);
	assert_string_equal(x[1].table, "users");
	assert_null(x[1].full);
	assert_string_equal(x[1].timezone, "UTC");
	assert_int_equal(x[1].incremental_ms, 0);
	assert_false(x[1].load);
	assert_true(x[1].enable_pitr);
	assert_string_equal(x[1].prefix, "x/y");
	assert_int_equal(x[1].sink_count, 0);
}

static void a_stream_begins_with_a_baseline(void **state)
{
	AUTO(config)
	struct config *c =
		parse("streams:\n"
		      "  - table: orders\n"
		      "    sinks: [a]\n"
		      "    start: baseline\n"
		      "    gap: repair\n"
		      "    baseline: { bucket: my-exports, bucket_owner: \"012345678901\", "
		      "prefix: p, enable_pitr: true, poll: 10s }\n"
		      "  - { table: users, sinks: [a] }\n"
		      "sinks: { a: { type: screen } }\n");
	const struct config_stream *s = c->streams;
	struct error err = { 0 };
	enum config_start kind;
	int64_t time_ms;

	(void)state;
	assert_true(config_start_is_baseline(s[0].start));
	assert_false(config_start_parse(s[0].start, 0, &kind, &time_ms, &err));
	assert_int_equal(s[0].gap, GAP_REPAIR);
	assert_string_equal(s[0].baseline.bucket, "my-exports");
	assert_string_equal(s[0].baseline.bucket_owner, "012345678901");
	assert_string_equal(s[0].baseline.prefix, "p");
	assert_true(s[0].baseline.enable_pitr);
	assert_int_equal(s[0].baseline.poll_ms, 10000);
	assert_false(config_start_is_baseline(s[1].start));
	assert_null(s[1].baseline.bucket);
}

static void everything_given_arrives(void **state)
{
	AUTO(config)
	struct config *c = parse(
		"worker: { name: w, threads: 3, memory: 64MiB, max_shards: 5, shutdown: 1m }\n"
		"checkpoint: { store: 'postgresql://u@h/d', interval: 2s, lease: 30s }\n"
		"aws:\n"
		"  region: eu-west-1\n"
		"  profile: p\n"
		"  role_arn: arn:aws:iam::123456789012:role/path/reader\n"
		"  external_id: 'a:/1'\n"
		"  role_session_name: s@1\n"
		"  role_duration: 15m\n"
		"  ca_bundle: /ca.pem\n"
		"  read_price: 0.0275\n"
		"  endpoint: { dynamodb: 'http://d:1', streams: 'https://t', s3: 'http://s',\n"
		"              sts: 'http://x' }\n"
		"streams:\n"
		"  - table: arn:aws:dynamodb:eu-west-1:123456789012:table/orders\n"
		"    sinks: [events, { name: lake }]\n"
		"    gap: oldest\n"
		"    on_error: drop\n"
		"  - table: "
		"arn:aws-cn:dynamodb:cn-north-1:1:table/users/stream/2026-01-01T00:00:00.000\n"
		"    name: people\n"
		"    start: -2h\n"
		"    enable_stream: NEW_IMAGE\n"
		"    on_error: stop\n"
		"    poll: { min: 10ms, max: 10ms, budget: 7 }\n"
		"    sinks: [lake]\n"
		"sinks:\n"
		"  lake: { type: folder, path: '${table}/${env:T_SET}', roll: { size: 1KiB, age: "
		"2s } }\n"
		"  events:\n"
		"    type: broker\n"
		"    brokers: ${T_SET}:9092,${T_UNSET:-b}:9092\n"
		"    password: \"$$ecret\"\n"
		"    format: debezium\n"
		"    batch: { linger: 1s, size: 2048 }\n"
		"    retries: \"0\"\n"
		"    tombstones: false\n"
		"    properties: { linger.ms: 5, sasl.password: '${T_SET}', empty: '', 'a.b': true "
		"}\n"
		"dead_letter: { max_bytes: 1MiB }\n"
		"http: { listen: '' }\n"
		"log: { level: debug, format: json }\n");
	const struct config_stream *orders = &c->streams[0], *people = &c->streams[1];
	const struct folder_settings *lake = c->sinks[0].settings;
	const struct broker_settings *events = c->sinks[1].settings;

	(void)state;
	assert_string_equal(c->worker.name, "w");
	assert_int_equal(c->worker.threads, 3);
	assert_int_equal(c->worker.memory_bytes, 64 << 20);
	assert_int_equal(c->worker.max_shards, 5);
	assert_int_equal(c->worker.shutdown_ms, 60000);
	assert_string_equal(c->checkpoint.store, "postgresql://u@h/d");
	assert_int_equal(c->checkpoint.interval_ms, 2000);
	assert_int_equal(c->checkpoint.lease_ms, 30000);
	assert_string_equal(c->aws.region, "eu-west-1");
	assert_string_equal(c->aws.profile, "p");
	assert_string_equal(c->aws.role_arn, "arn:aws:iam::123456789012:role/path/reader");
	assert_string_equal(c->aws.external_id, "a:/1");
	assert_string_equal(c->aws.role_session_name, "s@1");
	assert_int_equal(c->aws.role_duration_ms, 900000);
	assert_string_equal(c->aws.ca_bundle, "/ca.pem");
	assert_int_equal(c->aws.read_price, 27500);
	assert_string_equal(c->aws.endpoint_dynamodb, "http://d:1");
	assert_string_equal(c->aws.endpoint_streams, "https://t");
	assert_string_equal(c->aws.endpoint_s3, "http://s");
	assert_string_equal(c->aws.endpoint_sts, "http://x");
	assert_string_equal(orders->name, "orders");
	assert_int_equal(orders->line, 15);
	assert_int_equal(orders->gap, GAP_OLDEST);
	assert_int_equal(orders->on_error, ON_ERROR_DROP);
	assert_int_equal(orders->sink_count, 2);
	assert_int_equal(orders->sinks[0].sink, 1);
	assert_int_equal(orders->sinks[1].sink, 0);
	assert_string_equal(people->name, "people");
	assert_string_equal(people->start, "-2h");
	assert_string_equal(people->enable_stream, "NEW_IMAGE");
	assert_int_equal(people->on_error, ON_ERROR_STOP);
	assert_int_equal(people->poll_budget, 7);
	assert_string_equal(c->sinks[0].name, "lake");
	assert_string_equal(lake->path, "${table}/value");
	assert_int_equal(lake->roll_bytes, 1024);
	assert_int_equal(lake->roll_age_ms, 2000);
	assert_string_equal(events->brokers, "value:9092,b:9092");
	assert_string_equal(events->topic, "dynamodb.${table}");
	assert_string_equal(events->password, "$ecret");
	assert_int_equal(events->format, 0);
	assert_int_equal(events->batch_bytes, 2048);
	assert_int_equal(events->retries, 0);
	assert_false(events->tombstones);
	assert_int_equal(events->properties.count, 4);
	assert_string_equal(events->properties.pairs[0].key, "linger.ms");
	assert_string_equal(events->properties.pairs[0].value, "5");
	assert_string_equal(events->properties.pairs[1].value, "value");
	assert_string_equal(events->properties.pairs[2].value, "");
	assert_string_equal(events->properties.pairs[3].value, "true");
	assert_int_equal(c->dead_letter.max_bytes, 1 << 20);
	assert_string_equal(c->http.listen, "");
	assert_int_equal(c->log.level, LOG_DEBUG);
	assert_int_equal(c->log.format, LOG_JSON);
}

static void json_is_yaml(void **state)
{
	AUTO(config)
	struct config *c =
		parse("{\"streams\":[{\"table\":\"orders\",\"sinks\":[\"s\"]}],\n"
		      "\"sinks\":{\"s\":{\"type\":\"screen\"}},\"worker\":{\"threads\":2}}\n");

	(void)state;
	assert_int_equal(c->worker.threads, 2);
}

static void starts_are_read(void **state)
{
	static const struct {
		const char *text;
		enum config_start kind;
		int64_t time_ms;
	} all[] = {
		{ "latest", START_LATEST, 0 },
		{ "oldest", START_OLDEST, 0 },
		{ "-2h", START_TIME, 1000000000 - 7200000 },
		{ "-500ms", START_TIME, 1000000000 - 500 },
		{ "1970-01-01T00:00:00Z", START_TIME, 0 },
		{ "2026-11-21T10:11:12.345Z", START_TIME, 1795255872345 },
		{ "2026-11-21t10:11:12.345987654z", START_TIME, 1795255872345 },
		{ "2026-11-21T12:11:12+02:00", START_TIME, 1795255872000 },
		{ "2026-11-21T04:41:12-05:30", START_TIME, 1795255872000 },
		{ "2024-02-29T00:00:00Z", START_TIME, 1709164800000 },
		{ "2016-12-31T23:59:60Z", START_TIME, 1483228800000 },
	};
	static const char *const bad[] = {
		"",
		"now",
		"Latest",
		"2h",
		"-2",
		"-2 h",
		"--2h",
		"2026-11-21",
		"2026-11-21T10:11:12",
		"2026-11-21 10:11:12Z",
		"2026-02-29T00:00:00Z",
		"2026-04-31T00:00:00Z",
		"2026-00-01T00:00:00Z",
		"2026-13-01T00:00:00Z",
		"2026-11-00T00:00:00Z",
		"2026-11-21T24:00:00Z",
		"2026-11-21T10:60:00Z",
		"2026-11-21T10:11:61Z",
		"2026-11-21T10:11:12.Z",
		"2026-11-21T10:11:12+2:00",
		"2026-11-21T10:11:12+0200",
		"2026-11-21T10:11:12+24:00",
		"2026-11-21T10:11:12Zx",
		"02026-11-21T10:11:12Z",
	};
	enum config_start kind;
	struct error err = { 0 };
	int64_t time_ms;

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (!config_start_parse(all[i].text, 1000000000, &kind, &time_ms, &err))
			fail_msg("%s", err.message);
		assert_int_equal(kind, all[i].kind);
		assert_int_equal(time_ms, all[i].time_ms);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (config_start_parse(bad[i], 0, &kind, &time_ms, &err))
			fail_msg("'%s' was accepted", bad[i]);
		assert_int_equal(err.kind, ERROR_INVALID);
	}
}

/* A tree of /proc and /sys of the test's own. */
static char root[] = "/tmp/sluice-test-XXXXXX";

static void machine_file(const char *path, const char *text)
{
	char full[512], *p;
	FILE *f;

	snprintf(full, sizeof(full), "%s%s", root, path);
	for (p = strchr(full + sizeof(root), '/'); p; p = strchr(p + 1, '/')) {
		*p = 0;
		mkdir(full, 0700);
		*p = '/';
	}
	f = fopen(full, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static int machine_setup(void **state)
{
	(void)state;
	strcpy(root, "/tmp/sluice-test-XXXXXX");
	return mkdtemp(root) ? 0 : -1;
}

static int machine_teardown(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf '%s'", root);
	return system(command);
}

static void version_2_limits_hold_at_every_level(void **state)
{
	(void)state;
	machine_file("/proc/self/cgroup", "0::/a/b\n");
	machine_file("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
	machine_file("/sys/fs/cgroup/a/b/memory.max", "200000000\n");
	machine_file("/sys/fs/cgroup/a/cpu.max", "50000 100000\n");
	machine_file("/sys/fs/cgroup/a/memory.max", "100000000\n");
	assert_int_equal(machine_cpus(root), 1);
	assert_int_equal(machine_memory_bytes(root), 100000000);
	machine_file("/sys/fs/cgroup/a/memory.max", "max\n");
	assert_int_equal(machine_memory_bytes(root), 200000000);
}

static void version_1_limits_are_found_at_the_mount(void **state)
{
	(void)state;
	machine_file("/proc/self/cgroup", "5:memory:/docker/x\n4:cpu,cpuacct:/docker/x\n"
					  "3:cpuset:/docker/x\n");
	machine_file("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "100000\n");
	machine_file("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
	machine_file("/sys/fs/cgroup/cpuset/cpu.cfs_quota_us", "1\n");
	machine_file("/sys/fs/cgroup/memory/memory.limit_in_bytes", "64000000\n");
	assert_int_equal(machine_cpus(root), 1);
	assert_int_equal(machine_memory_bytes(root), 64000000);
}

static void without_a_limit_it_is_the_machine(void **state)
{
	long cpus = machine_cpus("/does/not/exist");
	int64_t bytes = machine_memory_bytes("/does/not/exist");

	(void)state;
	assert_true(cpus >= 1);
	assert_true(bytes >= 1 << 24);
	machine_file("/proc/self/cgroup", "0::/\n");
	machine_file("/sys/fs/cgroup/cpu.max", "-1 100000\n");
	machine_file("/sys/fs/cgroup/memory.max", "9223372036854771712\n");
	assert_int_equal(machine_cpus(root), cpus);
	assert_int_equal(machine_memory_bytes(root), bytes);
}

static int environment(void **state)
{
	(void)state;
	setenv("HOSTNAME", "host-1", 1);
	setenv("T_SET", "value", 1);
	unsetenv("T_UNSET");
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_least_configuration_has_all_defaults),
		cmocka_unit_test(a_pattern_names_its_streams),
		cmocka_unit_test(everything_given_arrives),
		cmocka_unit_test(patterns_become_json),
		cmocka_unit_test(transforms_become_json),
		cmocka_unit_test(exports_arrive),
		cmocka_unit_test(a_stream_begins_with_a_baseline),
		cmocka_unit_test(json_is_yaml),
		cmocka_unit_test(starts_are_read),
		cmocka_unit_test_setup_teardown(version_2_limits_hold_at_every_level, machine_setup,
						machine_teardown),
		cmocka_unit_test_setup_teardown(version_1_limits_are_found_at_the_mount,
						machine_setup, machine_teardown),
		cmocka_unit_test_setup_teardown(without_a_limit_it_is_the_machine, machine_setup,
						machine_teardown),
	};

	return cmocka_run_group_tests(tests, environment, NULL);
}
