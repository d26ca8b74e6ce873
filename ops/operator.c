#include "ops/operator.h"

#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "config/sections.h"
#include "consumer/follow.h"

void operator_name(char *out, size_t size)
{
	const struct passwd *p = getpwuid(geteuid());
	char host[256] = "";

	gethostname(host, sizeof(host) - 1);
	if (p)
		snprintf(out, size, "%s@%s", p->pw_name, host);
	else /* a container need not know its user */
		snprintf(out, size, "%u@%s", (unsigned)geteuid(), host);
}

bool operator_sure(const char *command, const char *question, bool yes)
{
	char answer[8] = "";

	if (yes)
		return true;
	fflush(stdout);
	if (!isatty(STDIN_FILENO)) {
		fprintf(stderr, "sluice %s: without a terminal it needs --yes\n", command);
		return false;
	}
	printf("%s [y/N] ", question);
	fflush(stdout);
	return fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y');
}

static void on_stream(void *arg, const char *name, const char *arn, const struct store_stream *s)
{
	struct operator_streams *streams = arg;

	if (strcmp(name, streams->name) != 0)
		return;
	if (streams->count == OPERATOR_STREAMS_MAX)
		memmove(streams->rows, streams->rows + 1,
			--streams->count * sizeof(streams->rows[0]));
	streams->rows[streams->count++] = *s;
	snprintf(streams->arn, sizeof(streams->arn), "%s", arn);
}

bool operator_streams(struct store *s, struct operator_streams *streams, struct error *err)
{
	return store_streams(s, on_stream, streams, err) &&
	       (streams->count > 0 ||
		error_set(err, ERROR_NOT_FOUND,
			  "the store has no stream %s; `sluice status` lists them", streams->name));
}

struct wanted {
	const char *name;
	int32_t id; /* 0: not seen */
};

static void on_sink(void *arg, int32_t id, const char *name)
{
	struct wanted *w = arg;

	if (strcmp(name, w->name) == 0)
		w->id = id;
}

bool operator_sink(struct store *s, const char *name, int32_t *id, struct error *err)
{
	struct wanted w = { .name = name };

	if (!store_sinks(s, on_sink, &w, err))
		return false;
	*id = w.id;
	return w.id != 0 || error_set(err, ERROR_NOT_FOUND, "the store has no sink %s", name);
}

const struct config_stream *operator_entry(const struct config *c,
					   const struct operator_streams *streams)
{
	struct str of_arn = config_table_name(streams->arn);
	const struct config_stream *entry, *other;
	char table[256], name[CONFIG_STREAM_NAME_MAX + 1];
	struct error err;

	for (size_t i = 0; i < c->stream_count; i++)
		if (!c->streams[i].is_pattern && strcmp(c->streams[i].name, streams->name) == 0)
			return &c->streams[i];
	snprintf(table, sizeof(table), "%.*s", STR_ARG(of_arn));
	entry = follow_entry(c, table, &other);
	return entry && entry->is_pattern && config_stream_name(entry, table, name, &err) &&
			       strcmp(name, streams->name) == 0
		       ? entry
		       : NULL;
}
