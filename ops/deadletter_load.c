#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "checkpoint/letters.h"
#include "ops/command.h"
#include "ops/deadletter_command.h"

/* Letters that a sink of letters had come back into the store's table, a line of input each, and
 * are letters there as if they had stayed. */

#define NAMES_MAX 1024 /* of a letter's members, with all that is around them */

struct load {
	struct retry_plan plan;
	struct buf input;
	size_t bad; /* lines that are no letters */
	size_t loaded, there;
};

/* Workers have room for new letters beside those that are loaded. */
static int64_t room_of(const struct config *c)
{
	return c->dead_letter.max_bytes / 2;
}

static bool read_file(struct load *l, FILE *from, struct error *err)
{
	int64_t room = room_of(l->plan.config);
	char part[65536];
	size_t n;

	buf_init(&l->input, (size_t)room);
	while ((n = fread(part, 1, sizeof(part), from)) > 0)
		if (!buf_add(&l->input, part, n))
			return error_set(
				err, ERROR_INVALID,
				"it has more than %" PRId64 " bytes, half of "
				"dead_letter.max_bytes: load it in parts, and retry between",
				room);
	return !ferror(from) || error_set(err, ERROR_INVALID, "%s", strerror(errno));
}

static bool read_input(struct load *l, const char *name, struct error *err)
{
	bool standard = strcmp(name, "-") == 0, ok;
	FILE *from = standard ? stdin : fopen(name, "re");

	if (!from)
		return error_set(err, ERROR_INVALID, "%s: %s", name, strerror(errno));
	ok = read_file(l, from, err);
	if (!standard)
		fclose(from);
	return ok || error_wrap(err, "%s", standard ? "standard input" : name);
}

static void take_line(struct load *l, size_t number, struct str line)
{
	struct retry_letter letter = { .head.id = 0 };
	struct error err;

	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	if (line.n == 0)
		return;
	/* Of another form it may be longer than it came. */
	buf_init(&letter.json, 6 * line.n + NAMES_MAX);
	if (again_letter_line(line, &letter.head, &letter.json, &err)) {
		letter.head.id = (int64_t)number;
		retry_take(&l->plan, &letter);
		return;
	}
	printf("line %zu: not loaded, %s\n", number, err.message);
	buf_release(&letter.json);
	l->bad++;
}

static void take_lines(struct load *l)
{
	const char *at = l->input.data, *end = at + l->input.size;

	for (size_t number = 1; at < end; number++) {
		const char *line_end = memchr(at, '\n', (size_t)(end - at));

		if (!line_end)
			line_end = end;
		take_line(l, number, (struct str){ at, (size_t)(line_end - at) });
		at = line_end + 1;
	}
}

static bool know(struct load *l, struct error *err)
{
	AUTO(store)
	struct store *store =
		store_open_reader(l->plan.config->checkpoint.store, OPERATOR_STORE_TIMEOUT_MS, err);

	return store && retry_know(&l->plan, store, err);
}

static bool put_all(struct load *l, struct error *err)
{
	const struct config *c = l->plan.config;
	AUTO(store)
	struct store *store = store_open(c->checkpoint.store, OPERATOR_STORE_TIMEOUT_MS, err);
	bool ok = store != NULL;

	for (size_t i = 0; ok && i < l->plan.letter_count; i++) {
		const struct retry_letter *from = &l->plan.letters[i];
		const struct store_letter letter = { .stream = from->head.stream,
						     .sink = from->head.sink,
						     .shard = from->head.shard,
						     .sequence = from->head.sequence,
						     .reason = from->head.reason,
						     .json = buf_str(&from->json) };
		/* One that does not say sorts before whatever came since. */
		uint64_t generation = from->head.generation ? from->head.generation : 1;
		size_t first, count;
		const char *why;
		bool added;

		if (!retry_sinks(&l->plan, from, &first, &count, &why))
			continue;
		ok = store_letter_load(store, &letter, generation, room_of(c), &added, err);
		if (!ok)
			error_wrap(err, "line %" PRId64, from->head.id);
		else
			++*(added ? &l->loaded : &l->there);
	}
	return ok;
}

static int load(struct load *l, const struct arguments *a)
{
	struct error err = { 0 };
	bool ok;

	if (!read_input(l, a->words[1], &err)) {
		fprintf(stderr, "sluice deadletter: %s\n", err.message);
		return EXIT_FAILED;
	}
	take_lines(l);
	if (!know(l, &err)) {
		fprintf(stderr, "sluice deadletter: %s\n", err.message);
		return EXIT_FAILED;
	}
	retry_show(&l->plan);
	if (l->plan.letter_count == l->plan.left) {
		fprintf(stderr, "sluice deadletter: there is no letter that could be loaded\n");
		return EXIT_FAILED;
	}
	if (!operator_sure("deadletter", "Load them into the store?", arguments_get(a, "yes")))
		return EXIT_USAGE;
	ok = put_all(l, &err);
	printf("%zu loaded, %zu were letters already\n", l->loaded, l->there);
	if (!ok)
		fprintf(stderr, "sluice deadletter: %s\n", err.message);
	return ok && l->bad + l->plan.left == 0 ? EXIT_DONE : EXIT_FAILED;
}

int deadletter_load(const struct config *c, const struct arguments *a)
{
	struct load l = { .plan = { .config = c, .what = "loaded" } };
	int code = load(&l, a);

	retry_release(&l.plan);
	buf_release(&l.input);
	return code;
}
