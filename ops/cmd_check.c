#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws/credentials.h"
#include "base/memory.h"
#include "checkpoint/store.h"
#include "config/sections.h"
#include "ops/arguments.h"
#include "ops/check.h"
#include "ops/command.h"
#include "sinks/sink.h"

/* A line each for everything that `run` will need, and what to do about what is not there. */

static const struct flag flags[] = {
	{ .name = "config",
	  .letter = 'c',
	  .value = "FILE",
	  .help = "the configuration",
	  .required = true },
	{ 0 },
};

void check_say(struct check *k, enum check_state state, const char *part, const char *name,
	       const char *text)
{
	static const char *const words[] = { "ok", "FAIL", "--" };

	printf("%-4s  %-11s %s%s%s\n", words[state], part, name, *name && *text ? ": " : "", text);
	k->failed += state == CHECK_FAILED;
}

void check_permission(void *arg, const struct permission *p)
{
	static const struct {
		enum check_state state;
		const char *said;
	} of[] = {
		[PERMISSION_GIVEN] = { CHECK_OK, "" },
		[PERMISSION_MISSING] = { CHECK_FAILED, "" },
		[PERMISSION_UNTRIED] = { CHECK_UNTRIED, ": not tried" },
		[PERMISSION_OPTIONAL] = { CHECK_UNTRIED, ": not allowed" },
	};
	struct check *k = arg;
	struct buf line = { 0 }, key = { 0 };

	buf_printf(&line, "%s%s%s", p->action, *p->resource ? " on " : "", p->resource);
	buf_printf(&key, "\n%d %s\n", (int)p->state, line.data);
	if (!k->told.size || !strstr(k->told.data, key.data)) {
		buf_text(&k->told, key.data);
		buf_text(&line, of[p->state].said);
		check_say(k, of[p->state].state, "permission", line.data, p->why);
	}
	k->missing += p->state == PERMISSION_MISSING;
	buf_release(&key);
	buf_release(&line);
}

void check_part(struct check *k, unsigned missing, bool ok, const char *part, const char *name,
		const char *text)
{
	char lacks[80];

	if (k->missing > missing) {
		snprintf(lacks, sizeof(lacks), "permissions are missing: %u, see above",
			 k->missing - missing);
		text = lacks;
		ok = false;
	}
	check_say(k, ok ? CHECK_OK : CHECK_FAILED, part, name, text);
}

static void check_credentials(struct check *k)
{
	struct error err = { 0 };
	bool open = service_client_open(&k->client, k->config, &k->clock, &err);
	const struct service_aws *aws = &k->client.aws;
	char text[256];

	if (aws->credentials)
		snprintf(text, sizeof(text), "%s, region %s", credentials_source(aws->credentials),
			 aws->region);
	check_say(k, aws->credentials ? CHECK_OK : CHECK_FAILED, "credentials", "",
		  aws->credentials ? text : err.message);
	if (aws->credentials && !open)
		check_say(k, CHECK_FAILED, "aws", "", err.message);
}

static void check_store(struct check *k)
{
	struct error err = { 0 };
	AUTO(store)
	struct store *s = store_open(k->config->checkpoint.store,
				     k->config->checkpoint.lease_ms / 2 - 1, &err);

	check_say(k, s ? CHECK_OK : CHECK_FAILED, "store", "", s ? store_describe(s) : err.message);
}

static bool goes_to(const struct config_stream_sink *sinks, size_t count, unsigned index)
{
	for (size_t i = 0; i < count; i++)
		if (sinks[i].sink == index)
			return true;
	return false;
}

/* The tables whose records go to a sink; the array is the caller's. */
static struct str *tables_of(const struct config *c, unsigned index, size_t *count)
{
	struct str *tables = memory_array(c->stream_count + c->export_count, sizeof(*tables));

	*count = 0;
	for (size_t i = 0; i < c->stream_count; i++) {
		const struct config_stream *s = &c->streams[i];

		if (goes_to(s->sinks, s->sink_count, index))
			tables[(*count)++] =
				s->is_pattern ? str_of(s->table) : config_table_name(s->table);
	}
	for (size_t i = 0; i < c->export_count; i++) {
		const struct config_export *x = &c->exports[i];

		if (goes_to(x->sinks, x->sink_count, index))
			tables[(*count)++] = config_table_name(x->table);
	}
	return tables;
}

static void check_sink(struct check *k, const struct config_sink *sink, unsigned index)
{
	struct sink_host host = { .index = index,
				  .name = sink->name,
				  .session = "check",
				  .readers = 1,
				  .lease_ms = k->config->checkpoint.lease_ms,
				  .memory_bytes = (size_t)k->config->worker.memory_bytes,
				  .clock = &k->clock,
				  .metrics = k->client.metrics,
				  .aws = &k->client.aws.settings,
				  .credentials = k->client.aws.credentials,
				  .permission = check_permission,
				  .permission_arg = k };
	struct str *tables = tables_of(k->config, index, &host.table_count);
	unsigned missing = k->missing;
	struct buf said = { 0 };
	struct error err = { 0 };
	bool ok;

	host.tables = tables;
	ok = sink_ops_find(sink->type->type)->check(sink->settings, &host, &said, &err);
	free(tables);
	buf_text(&said, "");
	check_part(k, missing, ok, "sink", sink->name, ok ? said.data : err.message);
	buf_release(&said);
}

static int run(const struct arguments *a)
{
	struct error err = { 0 };
	struct check k = { 0 };
	AUTO(config)
	struct config *c = config_load(arguments_get(a, "config"), sink_config_types(), &err);

	if (!c) {
		fprintf(stderr, "sluice check: %s\n", err.message);
		return EXIT_USAGE;
	}
	log_setup(LOG_ERROR, LOG_TEXT);
	k.config = c;
	clock_init(&k.clock);
	check_say(&k, CHECK_OK, "config", "", c->path);
	check_credentials(&k);
	if (k.client.client) {
		check_tables(&k, k.client.client);
		check_exports(&k, k.client.client);
	}
	check_store(&k);
	for (size_t i = 0; i < c->sink_count; i++)
		check_sink(&k, &c->sinks[i], (unsigned)i);
	buf_release(&k.told);
	service_client_close(&k.client);
	return k.failed ? EXIT_FAILED : EXIT_DONE;
}

const struct command command_check = {
	.name = "check",
	.usage = "-c FILE",
	.help = "Validate the configuration, then reach each part: a line each.",
	.flags = flags,
	.run = run,
};
