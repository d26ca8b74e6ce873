#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "ops/command.h"
#include "ops/export_command.h"
#include "ops/operator.h"
#include "sinks/sink.h"

static const struct flag flags[] = {
	{ .name = "config",
	  .letter = 'c',
	  .value = "FILE",
	  .help = "the configuration",
	  .required = true },
	{ .name = "table", .value = "T", .help = "of this table alone" },
	{ .name = "wait", .help = "full, incremental, load: follow it to its end" },
	{ .name = "json", .help = "status: one JSON object" },
	{ .name = "attempts", .help = "status: who tried what, and how it ended" },
	{ .name = "file", .value = "ID", .help = "retry: this data file alone, see status" },
	{ .name = "from",
	  .value = "URL",
	  .help = "load: s3://BUCKET/…/manifest-summary.json of an export that is there" },
	{ .name = "into", .value = "SINK", .help = "load: a sink of the configuration" },
	{ .name = "stream", .value = "S", .help = "baseline: the stream that is begun anew" },
	{ .name = "yes", .help = "without asking" },
	{ 0 },
};

/* --- what the subcommands share --- */

int export_failed(const struct error *err)
{
	fprintf(stderr, "sluice export: %s\n", err->message);
	return EXIT_FAILED;
}

bool export_sure(const struct export_context *x, const char *question)
{
	return operator_sure("export", question, arguments_get(x->arguments, "yes"));
}

/* --- which one --- */

static int full(struct export_context *x)
{
	return export_begin(x, STORE_EXPORT_FULL);
}

static int incremental(struct export_context *x)
{
	return export_begin(x, STORE_EXPORT_INCREMENTAL);
}

static const struct subcommand {
	const char *name;
	int (*run)(struct export_context *x);
	const char *allowed; /* flags beside --config, each between spaces */
	const char *needed;
} subcommands[] = {
	{ "full", full, " table wait yes ", "" },
	{ "incremental", incremental, " table wait yes ", "" },
	{ "status", export_status, " table json attempts ", "" },
	{ "retry", export_retry, " table file yes ", "" },
	{ "load", export_load, " from into table wait yes ", " from into table " },
	{ "baseline", export_baseline, " stream yes ", " stream " },
};

static bool is_in(const char *list, const char *name)
{
	char word[32];

	snprintf(word, sizeof(word), " %s ", name);
	return strstr(list, word) != NULL;
}

static bool flags_fit(const struct arguments *a, const struct subcommand *s, char *wrong,
		      size_t size)
{
	for (const struct flag *f = flags; f->name; f++) {
		bool given = arguments_get(a, f->name) != NULL;

		if (f->required)
			continue;
		if (given && !is_in(s->allowed, f->name)) {
			snprintf(wrong, size, "%s knows no --%s", s->name, f->name);
			return false;
		}
		if (!given && is_in(s->needed, f->name)) {
			snprintf(wrong, size, "%s needs --%s", s->name, f->name);
			return false;
		}
	}
	return true;
}

static int run_one(const struct arguments *a, const struct subcommand *s)
{
	struct error err = { 0 };
	AUTO(config)
	struct config *c = config_load(arguments_get(a, "config"), sink_config_types(), &err);
	struct export_context x = { .arguments = a, .config = c };
	int code;

	if (!c) {
		fprintf(stderr, "sluice export: %s\n", err.message);
		return EXIT_USAGE;
	}
	log_setup(LOG_ERROR, LOG_TEXT);
	clock_init(&x.clock);
	code = s->run(&x);
	service_client_close(&x.aws);
	return code;
}

static int run(const struct arguments *a)
{
	char wrong[80];

	if (a->word_count != 1)
		return command_usage_error(&command_export, "expected one of full, incremental, "
							    "status, retry, load, baseline");
	for (size_t i = 0; i < sizeof(subcommands) / sizeof(*subcommands); i++) {
		if (strcmp(a->words[0], subcommands[i].name) != 0)
			continue;
		if (!flags_fit(a, &subcommands[i], wrong, sizeof(wrong)))
			return command_usage_error(&command_export, "%s", wrong);
		return run_one(a, &subcommands[i]);
	}
	return command_usage_error(&command_export, "not understood: %s", a->words[0]);
}

const struct command command_export = {
	.name = "export",
	.usage = "-c FILE full|incremental [--table T] [--wait] [--yes]\n"
		 "                      | status [--table T] [--json] [--attempts]\n"
		 "                      | retry [--table T|--file ID] [--yes]\n"
		 "                      | load --from URL --table T --into SINK [--wait] [--yes]\n"
		 "                      | baseline --stream S [--yes]",
	.help = "Export tables to S3 and load the files: begin, follow, try again.",
	.more = "The workers do the work; what is begun without one waits for the first. On a "
		"sqlite store\nsomething is begun or tried again only while no worker has it.",
	.words = "full incremental status retry load baseline",
	.flags = flags,
	.run = run,
};
