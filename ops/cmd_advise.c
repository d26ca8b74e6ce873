#include <stdio.h>
#include <stdlib.h>

#include "aws/dynamodb.h"
#include "aws/exports.h"
#include "aws/streams.h"
#include "base/log.h"
#include "ops/advise.h"
#include "ops/arguments.h"
#include "ops/command.h"
#include "ops/service.h"
#include "sinks/sink.h"

/* Which way of moving a table's data fits, and what it costs. */

#define PRICES_BYTES_MAX 4096

static const struct flag flags[] = {
	{ .name = "importance",
	  .value = "LIST",
	  .help = "1 to 5 each: freshness=3,engineering=3,cost=3,volume=3,downstream=3" },
	{ .name = "table",
	  .value = "T",
	  .help = "looks at this table, and names what a month costs" },
	{ .name = "prices",
	  .value = "FILE",
	  .help = "a JSON object with prices and what is known of the load" },
	{ 0 },
};

struct advice {
	struct advise_importance importance;
	struct advise_prices prices;
	struct advise_table table;
	struct dynamodb_table described;
	char after[STREAMS_SHARD_MAX + 1];
	bool done;
	struct error err;
};

/* --- the table --- */

static void on_table(void *arg, const struct error *err, const struct dynamodb_table *t)
{
	struct advice *v = arg;

	v->done = true;
	v->err = *err;
	if (t)
		v->described = *t;
}

static void on_recovery(void *arg, const struct error *err, const struct exports_recovery *r)
{
	struct advice *v = arg;

	v->done = true;
	v->err = *err;
	v->table.recovery = r && r->enabled;
}

static void on_shards(void *arg, const struct error *err, const struct streams_description *d)
{
	struct advice *v = arg;

	v->done = true;
	v->err = *err;
	if (err->kind != ERROR_NONE)
		return;
	for (size_t i = 0; i < d->shard_count; i++)
		v->table.shards += !d->shards[i].closed;
	snprintf(v->after, sizeof(v->after), "%s", d->last_shard);
}

static bool wait_for(struct advice *v, struct aws_client *client)
{
	aws_wait(client, &v->done);
	v->done = false;
	return v->err.kind == ERROR_NONE;
}

static bool ask(struct advice *v, struct aws_client *client, const char *table)
{
	dynamodb_describe_table(client, table, on_table, v);
	if (!wait_for(v, client))
		return false;
	v->table.name = v->described.name;
	v->table.items = v->described.items;
	v->table.bytes = v->described.bytes;
	v->table.stream = v->described.stream_enabled;
	exports_recovery_get(client, v->described.arn, on_recovery, v);
	if (!wait_for(v, client))
		return false;
	while (v->table.stream) {
		streams_describe(client, v->described.stream_arn, v->after, NULL, on_shards, v);
		if (!wait_for(v, client))
			return false;
		if (!*v->after)
			break;
	}
	return true;
}

static bool look(struct advice *v, const char *table, struct error *err)
{
	struct buf text = { 0 };
	AUTO(config) struct config *c = NULL;
	struct service_client aws = { 0 };
	struct clock clock;
	bool ok = false;

	/* What there is to say to AWS: a table named by its ARN has a region. */
	buf_text(&text, "{\"streams\":[{\"table\":");
	buf_json_text(&text, str_of(table));
	buf_text(&text, ",\"sinks\":[\"s\"]}],\"sinks\":{\"s\":{\"type\":\"stdout\"}}}");
	c = config_parse(buf_str(&text), "--table", sink_config_types(), err);
	buf_release(&text);
	clock_init(&clock);
	if (c && service_client_open(&aws, c, &clock, err)) {
		ok = ask(v, aws.client, table);
		if (!ok)
			*err = v->err;
	}
	service_client_close(&aws);
	return ok;
}

/* --- what is said --- */

static void show_sums(const struct advice *v)
{
	printf("%-20s", "");
	for (int d = 0; d < ADVISE_DRIVERS; d++)
		printf("%14s", advise_driver_name((enum advise_driver)d));
	printf("%8s\n%-20s", "sum", "importance");
	for (int d = 0; d < ADVISE_DRIVERS; d++)
		printf("%14d", v->importance.of[d]);
	puts("");
	for (int way = 0; way < ADVISE_WAYS; way++) {
		printf("%-20s", advise_way_name((enum advise_way)way));
		for (int d = 0; d < ADVISE_DRIVERS; d++)
			printf("%14d", advise_fit((enum advise_way)way, (enum advise_driver)d));
		printf("%8d\n", advise_sum(&v->importance, (enum advise_way)way));
	}
}

static void show_table(const struct advice *v)
{
	struct buf text = { 0 };

	printf("\n%s: %lld items, %lld bytes, %u open shards\n", v->table.name,
	       (long long)v->table.items, (long long)v->table.bytes, v->table.shards);
	advise_thresholds(&v->table, &v->importance, &text);
	fputs(text.data, stdout);
	puts("\nA month costs about, without S3 and what reads it:");
	for (int way = 0; way < ADVISE_WAYS; way++)
		printf("  %-20s$%.2f\n", advise_way_name((enum advise_way)way),
		       advise_cost(&v->table, &v->prices, (enum advise_way)way));
	buf_clear(&text);
	advise_prices_print(&v->prices, &text);
	printf("  (%s; --prices says otherwise)\n", text.data);
	buf_release(&text);
}

static void show(const struct advice *v)
{
	enum advise_way best = advise_best(&v->importance);
	struct buf config = { 0 };

	show_sums(v);
	if (v->table.name)
		show_table(v);
	printf("\nRecommended: %s, above all for its %s. A configuration that does it:\n\n",
	       advise_way_name(best), advise_driver_name(advise_reason(&v->importance, best)));
	advise_config(v->table.name, best, &config);
	fputs(config.data, stdout);
	buf_release(&config);
}

static bool read_prices(struct advice *v, const char *path, struct error *err)
{
	char text[PRICES_BYTES_MAX];
	FILE *f = fopen(path, "r");
	size_t n;

	if (!f)
		return error_set(err, ERROR_INVALID, "%s: %m", path);
	n = fread(text, 1, sizeof(text), f);
	fclose(f);
	return advise_prices_parse((struct str){ text, n }, &v->prices, err) ||
	       error_wrap(err, "%s", path);
}

static int run(const struct arguments *a)
{
	const char *importance = arguments_get(a, "importance"), *path = arguments_get(a, "prices"),
		   *table = arguments_get(a, "table");
	struct advice v = { .prices = advise_prices_default };
	struct error err = { 0 };

	if (!advise_importance_parse(importance ? importance : "", &v.importance, &err))
		return command_usage_error(&command_advise, "--importance: %s", err.message);
	if (path && !read_prices(&v, path, &err))
		return command_usage_error(&command_advise, "--prices: %s", err.message);
	log_setup(LOG_ERROR, LOG_TEXT);
	if (table && !look(&v, table, &err)) {
		fprintf(stderr, "sluice advise: %s\n", err.message);
		return EXIT_FAILED;
	}
	show(&v);
	return EXIT_DONE;
}

const struct command command_advise = {
	.name = "advise",
	.usage = "[--importance LIST] [--table T] [--prices FILE]",
	.help = "Which way fits: full exports, incremental ones, or the stream; and what it costs.",
	.more = "Region, credentials and endpoints come from the environment and the shared AWS "
		"files.",
	.flags = flags,
	.run = run,
};
