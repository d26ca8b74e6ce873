#pragma once
#include "config/config.h"
#include "consumer/again.h"
#include "ops/arguments.h"
#include "ops/operator.h"

/* Between the files of `sluice deadletter`: cmd_deadletter.c (which subcommand, list, show, drop),
 * deadletter_plan.c (which letters are tried once more, and where), deadletter_retry.c (that they
 * are) and deadletter_load.c (letters that a sink of letters had). */

/* A stream of which letters are tried, as the configuration and the store know it. */
struct retry_stream {
	char *name;
	const struct config_stream *config; /* NULL: `why` */
	char arn[1025];                     /* of its latest stream */
	char why[300];
};

/* Letters of one stream for one of its sinks. */
struct retry_group {
	size_t stream; /* of the plan */
	size_t use;    /* of its configuration's sinks */
	int64_t *ids;
	size_t count;
	bool *tried;  /* by place in `ids`: was in a batch of this command */
	size_t first; /* all before it were */
	/* What became of them. */
	size_t delivered, filtered, failed, early;
};

struct retry_letter {
	struct again_letter head;
	size_t stream;   /* of the plan */
	struct buf json; /* of one for every sink, or that is loaded: the whole letter */
};

struct retry_plan {
	const struct config *config;
	/* The choice; NULL, 0: any. */
	const char *by_stream, *by_sink, *by_reason;
	const int64_t *by_id;
	size_t id_count;

	struct retry_letter *letters; /* that are chosen */
	size_t letter_count;
	struct retry_stream *streams;
	size_t stream_count;
	struct retry_group *groups;
	size_t group_count;
	const char *what; /* becomes of them: "tried" */
	size_t left;      /* chosen, and not to be: `retry_show` says why */
	size_t absent;    /* of by_id: nothing of the choice has that number */
};
/* What of the store's letters is chosen. */
bool retry_choose(struct retry_plan *p, struct store *store, struct error *err) MUST_CHECK;
/* Letters that are offered to the store for a batch: some more than one has. */
#define RETRY_WINDOW 1000
/* The group is complete: nothing of it was tried yet. */
void retry_begin(struct retry_group *g);
/* The next of its letters that were in no batch yet: the store looks at all that it is handed. */
size_t retry_window(struct retry_group *g, int64_t ids[RETRY_WINDOW]);
void retry_tried(struct retry_group *g, int64_t id);
/* To be tried: the letter's id is `id` by now. */
void retry_add(struct retry_plan *p, const struct retry_letter *l, size_t use, int64_t id);
/* Whether it is for one sink: which of its stream's; or for all of them. False: it is not tried,
 * and `why` says it. */
bool retry_sinks(const struct retry_plan *p, const struct retry_letter *l, size_t *first,
		 size_t *count, const char **why);
void retry_show(const struct retry_plan *p);
void retry_release(struct retry_plan *p);

/* The letter is chosen; takes it. */
void retry_take(struct retry_plan *p, const struct retry_letter *l);
/* What the configuration and the store know of the streams of those that are chosen. */
bool retry_know(struct retry_plan *p, struct store *store, struct error *err) MUST_CHECK;

/* Exit codes. */
int deadletter_load(const struct config *c, const struct arguments *a);
int deadletter_retry(const struct config *c, const struct arguments *a);
