#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws/dynamodb.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/memory.h"
#include "base/rng.h"
#include "checkpoint/letters.h"
#include "consumer/resolve.h"
#include "ops/command.h"
#include "ops/deadletter_command.h"
#include "ops/service.h"
#include "ops/signals.h"

/* Letters are tried by the command itself, beside running workers, in batches that the store keeps
 * until it is known what became of each: whoever comes after a command that died goes on with the
 * batch that it left, which a sink that delivers exactly once knows by its number. */

struct retry {
	const struct config *config;
	struct retry_plan plan;
	struct clock clock;
	struct metrics *metrics;
	struct signals *signals;
	struct service_aws aws;
	struct loop *loop;
	struct aws_client *client;
	struct store *store;
	char owner[STORE_ID_SIZE];
	bool even_twice;
	size_t roomless; /* letters for every sink that the store has no room for as several */
};

/* --- the choice --- */

static bool read_ids(const struct arguments *a, struct retry_plan *p, int64_t *ids)
{
	for (size_t i = 1; i < a->word_count; i++) {
		char *end;

		ids[i - 1] = strtoll(a->words[i], &end, 10);
		if (*end || ids[i - 1] <= 0)
			return false;
	}
	p->by_id = ids;
	p->id_count = a->word_count - 1;
	return true;
}

/* What was asked for, for the audit. */
static void describe(const struct arguments *a, char *out, size_t size)
{
	static const char *const names[] = { "stream", "sink", "reason", "all", "even-twice" };
	struct buf text;

	buf_init(&text, 0);
	buf_text(&text, "deadletter retry");
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		const char *value = arguments_get(a, names[i]);

		if (value)
			buf_printf(&text, " --%s%s%s", names[i], *value ? " " : "", value);
	}
	for (size_t i = 1; i < a->word_count; i++)
		buf_printf(&text, " %s", a->words[i]);
	snprintf(out, size, "%.*s", STR_ARG(buf_str(&text)));
	buf_release(&text);
}

/* --- getting ready --- */

static void on_hangup(void *arg)
{
	(void)arg;
}

static bool open_all(struct retry *r, struct error *err)
{
	r->metrics = metrics_new();
	if (!service_aws_open(&r->aws, r->config, &r->clock, r->metrics, NULL, err))
		return false;
	r->loop = loop_new(&r->clock);
	r->client = aws_client_new(r->loop, &r->aws.settings, r->aws.credentials, &r->clock,
				   r->metrics, err);
	if (!r->client)
		return false;
	r->store = store_open(r->config->checkpoint.store, OPERATOR_STORE_TIMEOUT_MS, err);
	return r->store != NULL;
}

static void close_all(struct retry *r)
{
	store_free(r->store);
	aws_client_free(r->client);
	loop_free(r->loop);
	service_aws_close(&r->aws);
	metrics_free(r->metrics);
	if (r->signals)
		signals_stop(r->signals);
}

struct answer {
	bool done;
	struct error err;
	struct dynamodb_table table;
};

static void on_table(void *arg, const struct error *err, const struct dynamodb_table *t)
{
	struct answer *a = arg;

	a->err = *err;
	if (t)
		a->table = *t;
	a->done = true;
}

/* What a table's key is, AWS alone says in the right order. */
static bool ask_table(struct retry *r, const struct retry_stream *s, struct dynamodb_table *out,
		      struct error *err)
{
	char table[STREAMS_ARN_MAX + 1];
	struct answer a = { 0 };

	resolve_table_arn(s->arn, table);
	dynamodb_describe_table(r->client, table, on_table, &a);
	aws_wait(r->client, &a.done);
	*out = a.table;
	*err = a.err;
	return err->kind == ERROR_NONE || error_wrap(err, "stream %s", s->name);
}

/* --- letters for every sink --- */

struct parts {
	struct retry *retry;
	const struct retry_letter *letter;
};

static void on_part(void *arg, const char *sink, int64_t id)
{
	struct parts *p = arg;
	struct retry_plan *plan = &p->retry->plan;
	const struct config_stream *c = plan->streams[p->letter->stream].config;

	for (size_t use = 0; use < c->sink_count; use++)
		if (strcmp(c->sinks[use].name, sink) == 0 &&
		    (!plan->by_sink || strcmp(plan->by_sink, sink) == 0))
			retry_add(plan, p->letter, use, id);
}

/* It becomes one for each sink, as one may take what another does not. */
static bool split(struct retry *r, const struct retry_letter *l, struct error *err)
{
	const struct config_stream *c = r->plan.streams[l->stream].config;
	struct parts to = { .retry = r, .letter = l };
	struct store_part parts[CONFIG_SINKS_MAX];
	struct buf texts[CONFIG_SINKS_MAX];
	bool ok;

	for (size_t i = 0; i < c->sink_count; i++) {
		buf_init(&texts[i], 0);
		again_letter_for(&l->head, buf_str(&l->json), c->sinks[i].name, &texts[i]);
		parts[i] = (struct store_part){ c->sinks[i].name, buf_str(&texts[i]) };
	}
	ok = store_letter_split(r->store, l->head.id, parts, c->sink_count,
				r->config->dead_letter.max_bytes, on_part, &to, err);
	for (size_t i = 0; i < c->sink_count; i++)
		buf_release(&texts[i]);
	return ok;
}

/* There may be some once the others are delivered. */
static bool has_no_room(struct retry *r, const struct retry_letter *l, const struct error *err)
{
	if (err->kind != ERROR_INVALID)
		return false;
	printf("%" PRId64 "  not tried: it would become a letter for each sink: %s, or raise "
	       "dead_letter.max_bytes\n",
	       l->head.id, err->message);
	r->roomless++;
	return true;
}

static bool make_groups(struct retry *r, struct error *err)
{
	for (size_t i = 0; i < r->plan.letter_count; i++) {
		const struct retry_letter *l = &r->plan.letters[i];
		size_t first, count;
		const char *why;

		if (!retry_sinks(&r->plan, l, &first, &count, &why))
			continue;
		if (*l->head.sink)
			retry_add(&r->plan, l, first, l->head.id);
		else if (!split(r, l, err) && !has_no_room(r, l, err))
			return false;
	}
	return true;
}

/* --- a batch --- */

struct batch_row {
	int64_t id;
	uint64_t generation;
	char *shard;
	struct buf json;
	struct again_record *record;
};

struct retry_batch {
	struct retry *retry;
	struct retry_group *group;
	char chain[STORE_ID_SIZE];
	int64_t number;
	struct batch_row *rows;
	size_t count;
	/* Of those that make events: the deliveries, and whose. */
	const struct delivery **records;
	size_t *row_of;
	size_t record_count;
	int64_t *gone;
	size_t gone_count;
};

static void on_row(void *arg, const struct store_retried *l)
{
	struct retry_batch *b = arg;
	struct batch_row *row;

	if (l->early) {
		retry_tried(b->group, l->id);
		b->group->early++;
		return;
	}
	b->rows = memory_room(b->rows, b->count, sizeof(*b->rows));
	row = &b->rows[b->count++];
	*row = (struct batch_row){ .id = l->id,
				   .generation = l->generation,
				   .shard = memory_text(l->shard) };
	buf_init(&row->json, 0);
	buf_printf(&row->json, "%.*s", STR_ARG(l->json));
	snprintf(b->chain, sizeof(b->chain), "%s", l->chain);
	b->number = l->batch;
}

static void batch_release(struct retry_batch *b)
{
	for (size_t i = 0; i < b->count; i++) {
		free(b->rows[i].shard);
		buf_release(&b->rows[i].json);
		again_record_free(b->rows[i].record);
	}
	free(b->rows);
	free(b->records);
	free(b->row_of);
	free(b->gone);
}

/* The letter stays, and says why. */
static bool failed(struct retry_batch *b, const struct batch_row *row, const char *reason,
		   const char *error, struct error *err)
{
	struct again_letter head = { 0 };
	struct buf json;
	bool ok;

	buf_init(&json, 0);
	ok = again_letter_read(buf_str(&row->json), &head, err);
	if (ok) {
		again_letter_failed(&head, buf_str(&row->json), reason, error,
				    clock_aws_ms(&b->retry->clock), &json);
		printf("%" PRId64 "  %s  %s\n", row->id, reason, error);
		b->group->failed++;
		ok = store_letter_again(b->retry->store, row->id, reason, buf_str(&json), err);
	}
	again_letter_release(&head);
	buf_release(&json);
	return ok;
}

static bool make_events(struct retry_batch *b, struct again *again, struct error *err)
{
	int64_t now_ms = clock_aws_ms(&b->retry->clock);

	b->records = memory_array(b->count, sizeof(struct delivery *));
	b->row_of = memory_array(b->count, sizeof(*b->row_of));
	b->gone = memory_array(b->count, sizeof(*b->gone));
	for (size_t i = 0; i < b->count; i++) {
		struct batch_row *row = &b->rows[i];
		const struct store_retried letter = { .generation = row->generation,
						      .shard = row->shard,
						      .json = buf_str(&row->json) };

		row->record = again_record_new(again, &letter, now_ms);
		switch (row->record->fate) {
		case AGAIN_EVENT:
			b->row_of[b->record_count] = i;
			b->records[b->record_count++] = &row->record->delivery;
			break;
		case AGAIN_NOTHING:
			b->gone[b->gone_count++] = row->id;
			b->group->filtered++;
			break;
		case AGAIN_BAD:
			if (!failed(b, row, row->record->reason, row->record->error.message, err))
				return false;
		}
	}
	return true;
}

/* All that is known of the batch in one call: a part of it would be another batch of that number.
 */
static bool send(struct retry_batch *b, const struct again_stream *s, struct error *err)
{
	struct retry *r = b->retry;
	const struct sink_ops *ops = sink_ops_find(s->sink->type->type);
	const struct sink_host host = { .index = (unsigned)(s->sink - r->config->sinks),
					.name = s->sink->name,
					.session = b->chain,
					.lease_ms = r->config->checkpoint.lease_ms,
					.clock = &r->clock,
					.metrics = r->metrics,
					.aws = &r->aws.settings,
					.credentials = r->aws.credentials };
	const struct sink_again batch = { .chain = b->chain,
					  .batch = b->number,
					  .stream = s->name,
					  .records = b->records,
					  .count = b->record_count,
					  .even_twice = r->even_twice };
	size_t sent = 0, refused = b->record_count;
	struct error why = { 0 };
	bool ok =
		b->record_count == 0 || ops->again(s->sink->settings, &host, &batch,
						   signals_flag(r->signals), &sent, &refused, &why);

	for (size_t i = 0; i < sent; i++)
		b->gone[b->gone_count++] = b->rows[b->row_of[i]].id;
	b->group->delivered += sent;
	if (b->gone_count > 0 && !store_letters_gone(r->store, b->gone, b->gone_count, err))
		return false;
	if (!ok && refused < b->record_count)
		return failed(b, &b->rows[b->row_of[refused]], "refused", why.message, err);
	if (ok)
		return true;
	*err = why;
	return error_wrap(err, "letters %" PRId64 " to %" PRId64, b->rows[0].id,
			  b->rows[b->count - 1].id);
}

/* Each is in one batch; what is left of that comes by itself. */
static bool run_batch(struct retry *r, struct retry_group *g, const struct again_stream *s,
		      struct again *again, int32_t sink, bool first, bool *over, struct error *err)
{
	struct retry_batch b = { .retry = r, .group = g };
	int64_t ids[RETRY_WINDOW];
	const struct store_retry want = { .owner = r->owner,
					  .first = first,
					  .stream = s->name,
					  .sink = sink,
					  .letters = ids,
					  .count = retry_window(g, ids),
					  .at_ms = clock_aws_ms(&r->clock) };
	bool ok = store_letters_retry(r->store, &want, on_row, &b, err);

	*over = ok && b.count == 0 && want.count == 0;
	for (size_t i = 0; ok && i < b.count; i++)
		retry_tried(g, b.rows[i].id);
	for (size_t i = 0; ok && b.count == 0 && i < want.count; i++)
		retry_tried(g, ids[i]); /* they are no letters any more */
	if (ok && b.count > 0)
		ok = make_events(&b, again, err) && send(&b, s, err);
	batch_release(&b);
	return ok;
}

/* --- a group --- */

static bool run_group(struct retry *r, struct retry_group *g, struct error *err)
{
	const struct retry_stream *stream = &r->plan.streams[g->stream];
	const struct config_stream_sink *use = &stream->config->sinks[g->use];
	struct dynamodb_table table;
	struct again_stream s = { .config = stream->config,
				  .use = g->use,
				  .sink = &r->config->sinks[use->sink],
				  .name = stream->name,
				  .arn = stream->arn,
				  .key_hash = table.key_hash,
				  .key_range = table.key_range };
	AUTO(again) struct again *again = NULL;
	bool first = true, over = false, ok;
	int32_t sink;

	retry_begin(g);
	ok = ask_table(r, stream, &table, err) && store_sink(r->store, use->name, &sink, err) &&
	     (again = again_new(&s, err));
	while (ok && !over && !atomic_load(signals_flag(r->signals))) {
		ok = run_batch(r, g, &s, again, sink, first, &over, err);
		first = false;
	}
	printf("%s, %s: %zu delivered, %zu failed again", stream->name, use->name, g->delivered,
	       g->failed);
	if (g->filtered > 0)
		printf(", %zu that are not for it any more", g->filtered);
	if (g->early > 0)
		printf(", %zu not tried yet: the place of their records is not saved, and they may "
		       "be read again",
		       g->early);
	puts("");
	fflush(stdout);
	if (ok && !over)
		return error_set(err, ERROR_CANCELLED, "stopped");
	return ok || error_wrap(err, "%s, %s", stream->name, use->name);
}

static bool write_audit(struct retry *r, const char *said, struct error *err)
{
	char who[STORE_NAME_MAX + 1];

	operator_name(who, sizeof(who));
	for (size_t s = 0; s < r->plan.stream_count; s++) {
		struct store_retry_audit a = { .stream = r->plan.streams[s].name,
					       .who = who,
					       .said = said,
					       .at_ms = clock_aws_ms(&r->clock) };
		size_t first, count;
		const char *why;

		for (size_t i = 0; i < r->plan.letter_count; i++)
			a.letters +=
				r->plan.letters[i].stream == s &&
				retry_sinks(&r->plan, &r->plan.letters[i], &first, &count, &why);
		if (a.letters > 0 && !store_retry_audit_put(r->store, &a, err))
			return false;
	}
	return true;
}

static void new_owner(char id[STORE_ID_SIZE])
{
	unsigned char b[16];

	rng_random(b, sizeof(b));
	for (size_t i = 0, at = 0; i < sizeof(b); i++) {
		const char *dash = i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "";

		at += (size_t)snprintf(id + at, STORE_ID_SIZE - at, "%s%02x", dash, b[i]);
	}
}

/* Every group is tried, also behind one whose sink is away. */
static int deliver(struct retry *r, const char *said)
{
	struct error err = { 0 };
	int code;

	new_owner(r->owner);
	r->signals = signals_start(on_hangup, NULL);
	if (!open_all(r, &err) || !write_audit(r, said, &err) || !make_groups(r, &err)) {
		fprintf(stderr, "sluice deadletter: %s\n", err.message);
		return EXIT_FAILED;
	}
	code = r->roomless > 0 ? EXIT_FAILED : EXIT_DONE;
	for (size_t i = 0; i < r->plan.group_count; i++) {
		if (!run_group(r, &r->plan.groups[i], &err)) {
			fprintf(stderr, "sluice deadletter: %s\n", err.message);
			code = EXIT_FAILED;
		}
		if (r->plan.groups[i].failed + r->plan.groups[i].early > 0)
			code = EXIT_FAILED;
	}
	return code;
}

/* --- the command --- */

static bool choose(struct retry_plan *p, const char *url, struct error *err)
{
	AUTO(store) struct store *store = store_open_reader(url, OPERATOR_STORE_TIMEOUT_MS, err);

	return store && retry_choose(p, store, err);
}

static int try_all(struct retry *r, const struct arguments *a)
{
	struct retry_plan *p = &r->plan;
	char said[STORE_NAME_MAX + 1];
	struct error err = { 0 };
	int code;

	if (!choose(p, r->config->checkpoint.store, &err)) {
		fprintf(stderr, "sluice deadletter: %s\n", err.message);
		return EXIT_FAILED;
	}
	retry_show(p);
	if (p->letter_count == p->left) {
		fprintf(stderr, "sluice deadletter: there is no such letter that could be tried\n");
		return EXIT_FAILED;
	}
	puts("They are older than what was delivered since: an item steps back to what it was, "
	     "for a\nconsumer that does not keep the highest _order of a key.");
	if (!operator_sure("deadletter", "Try them once more?", arguments_get(a, "yes")))
		return EXIT_USAGE;
	describe(a, said, sizeof(said));
	code = deliver(r, said);
	return code == EXIT_DONE && p->id_count > 0 && p->left + p->absent > 0 ? EXIT_FAILED : code;
}

int deadletter_retry(const struct config *c, const struct arguments *a)
{
	int64_t ids[ARGUMENTS_WORDS_MAX];
	struct retry r = { .config = c,
			   .even_twice = arguments_get(a, "even-twice") != NULL,
			   .plan = { .config = c,
				     .what = "tried",
				     .by_stream = arguments_get(a, "stream"),
				     .by_sink = arguments_get(a, "sink"),
				     .by_reason = arguments_get(a, "reason") } };
	bool some = a->word_count > 1 || r.plan.by_stream || r.plan.by_sink || r.plan.by_reason;
	int code;

	if (!read_ids(a, &r.plan, ids) || some == (arguments_get(a, "all") != NULL))
		return command_usage_error(&command_deadletter,
					   "retry ID…, --stream S, --sink K, --reason R or --all?");
	clock_init(&r.clock);
	log_setup(LOG_ERROR, LOG_TEXT);
	code = try_all(&r, a);
	close_all(&r);
	retry_release(&r.plan);
	return code;
}
