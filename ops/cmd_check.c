#include <stdio.h>
#include <string.h>

#include "aws/credentials.h"
#include "checkpoint/store.h"
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
	static const enum check_state states[] = { CHECK_OK, CHECK_FAILED, CHECK_UNTRIED };
	struct check *k = arg;
	struct buf line = { 0 }, key = { 0 };

	buf_printf(&line, "%s%s%s", p->action, *p->resource ? " on " : "", p->resource);
	buf_printf(&key, "\n%d %s\n", (int)p->state, line.data);
	if (!k->told.size || !strstr(k->told.data, key.data)) {
		buf_text(&k->told, key.data);
		if (p->state == PERMISSION_UNTRIED)
			buf_text(&line, ": not tried");
		check_say(k, states[p->state], "permission", line.data, p->why);
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
	unsigned missing = k->missing;
	struct buf said = { 0 };
	struct error err = { 0 };
	bool ok = sink_ops_find(sink->type->type)->check(sink->settings, &host, &said, &err);

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

	if (a->word_count > 0)
		return command_usage_error(&command_check, "not understood: %s", a->words[0]);
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
