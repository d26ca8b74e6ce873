#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/store.h"
#include "ops/command.h"
#include "ops/deadletter_command.h"
#include "sinks/sink.h"

/* The store's table of records that could not be delivered. Works beside running workers. */

static const struct flag flags[] = {
	{ .name = "config",
	  .letter = 'c',
	  .value = "FILE",
	  .help = "the configuration",
	  .required = true },
	{ .name = "stream", .value = "S", .help = "retry: letters of this stream" },
	{ .name = "sink", .value = "K", .help = "retry: letters for this sink" },
	{ .name = "reason", .value = "R", .help = "retry: letters with this reason" },
	{ .name = "all", .help = "retry: all letters" },
	{ .name = "even-twice",
	  .help = "retry: also a batch of which nobody knows any more whether it was delivered" },
	{ .name = "yes", .help = "drop, load, retry: without asking" },
	{ 0 },
};

struct view {
	int64_t wanted; /* 0: list them all */
	uint64_t seen;
};

static const char *text_of(const json_t *letter, const char *name)
{
	const char *text = json_string_value(json_object_get(letter, name));

	return text ? text : "-";
}

static void list_one(int64_t id, struct str json)
{
	json_t *letter = json_loadb(json.p, json.n, JSON_ALLOW_NUL, NULL);

	printf("%" PRId64 "  %s  %s  %s  %s  %s  %s\n", id, text_of(letter, "time"),
	       text_of(letter, "stream"), text_of(letter, "sink"), text_of(letter, "sequence"),
	       text_of(letter, "reason"), text_of(letter, "error"));
	json_decref(letter);
}

static void on_letter(void *arg, int64_t id, struct str json)
{
	struct view *v = arg;

	if (v->wanted == 0)
		list_one(id, json);
	else if (v->wanted == id)
		printf("%.*s\n", STR_ARG(json));
	else
		return;
	v->seen++;
}

/* 0 where it is none. */
static int64_t number_of(const char *text)
{
	char *end;
	int64_t id = strtoll(text, &end, 10);

	return *end == '\0' && id > 0 && id < INT64_MAX ? id : 0;
}

static void on_dropped(void *arg, int64_t id, struct str json)
{
	struct view *v = arg;

	if (v->wanted != id)
		return;
	list_one(id, json);
	v->seen++;
}

static int look(struct store *store, int64_t id)
{
	struct error err = { 0 };
	struct view v = { .wanted = id };

	if (!store_letters(store, on_letter, &v, &err)) {
		fprintf(stderr, "sluice deadletter: %s\n", err.message);
		return EXIT_FAILED;
	}
	if (id != 0 && v.seen == 0) {
		fprintf(stderr, "sluice deadletter: there is no letter %" PRId64 "\n", id);
		return EXIT_FAILED;
	}
	return EXIT_DONE;
}

static int drop(const struct config *c, const struct arguments *a, int64_t id)
{
	struct error err = { 0 };
	struct view v = { .wanted = id };
	AUTO(store)
	struct store *store =
		store_open_reader(c->checkpoint.store, OPERATOR_STORE_TIMEOUT_MS, &err);

	if (!store || !store_letters(store, on_dropped, &v, &err)) {
		fprintf(stderr, "sluice deadletter: %s\n", err.message);
		return EXIT_FAILED;
	}
	if (v.seen == 0) {
		fprintf(stderr, "sluice deadletter: there is no letter %" PRId64 "\n", id);
		return EXIT_FAILED;
	}
	store_close(MOVE(store)); /* an exclusive one is opened again */
	if (!operator_sure("deadletter", "Drop it for good? The record is then nowhere.",
			   arguments_get(a, "yes")))
		return EXIT_USAGE;
	store = store_open(c->checkpoint.store, OPERATOR_STORE_TIMEOUT_MS, &err);
	if (store && store_letter_drop(store, id, &err))
		return EXIT_DONE;
	fprintf(stderr, "sluice deadletter: %s\n", err.message);
	return EXIT_FAILED;
}

static int run(const struct arguments *a)
{
	static const char *const choice[] = { "stream", "sink", "reason", "all", "even-twice" };
	const char *verb = a->word_count > 0 ? a->words[0] : "";
	bool one = strcmp(verb, "show") == 0 || strcmp(verb, "drop") == 0;
	int64_t id = one && a->word_count == 2 ? number_of(a->words[1]) : 0;
	struct error err = { 0 };
	AUTO(config) struct config *c = NULL;
	AUTO(store) struct store *store = NULL;

	bool retry = strcmp(verb, "retry") == 0;
	bool loads = strcmp(verb, "load") == 0 && a->word_count == 2;

	if (!retry && !loads && (one ? id <= 0 : strcmp(verb, "list") != 0 || a->word_count != 1))
		return command_usage_error(&command_deadletter,
					   "list, show ID, drop ID, load FILE or retry?");
	for (size_t i = 0; !retry && i < sizeof(choice) / sizeof(*choice); i++)
		if (arguments_get(a, choice[i]))
			return command_usage_error(&command_deadletter, "%s knows no --%s", verb,
						   choice[i]);
	c = config_load(arguments_get(a, "config"), sink_config_types(), &err);
	if (!c) {
		fprintf(stderr, "sluice deadletter: %s\n", err.message);
		return EXIT_USAGE;
	}
	if (retry)
		return deadletter_retry(c, a);
	if (loads)
		return deadletter_load(c, a);
	if (strcmp(verb, "drop") == 0)
		return drop(c, a, id);
	store = store_open_reader(c->checkpoint.store, OPERATOR_STORE_TIMEOUT_MS, &err);
	if (store)
		return look(store, id);
	fprintf(stderr, "sluice deadletter: %s\n", err.message);
	return EXIT_FAILED;
}

const struct command command_deadletter = {
	.name = "deadletter",
	.usage = "-c FILE list | show ID | drop ID [--yes] | load FILE|- [--yes]\n"
		 "                      | retry ID… [--yes]\n"
		 "                      | retry --stream S --sink K --reason R | --all [--yes]",
	.help = "Look at the records that could not be delivered, try them again, or make room.",
	.more = "retry delivers them by what the configuration says now, beside running workers. "
		"load "
		"takes\nlines that a sink of letters had. drop, load and retry write: on a sqlite "
		"store only while\nno worker has it.",
	.words = "list show drop load retry",
	.flags = flags,
	.run = run,
};
