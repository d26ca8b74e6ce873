#include "consumer/follow.h"

#include <string.h>

bool follow_matches(const char *pattern, const char *name)
{
	const char *star = NULL, *from = NULL;

	while (*name) {
		if (*pattern == '*') {
			star = pattern++;
			from = name;
		} else if (*pattern == '?' || *pattern == *name) {
			pattern++;
			name++;
		} else if (star) {
			/* The last star takes one letter more. */
			pattern = star + 1;
			name = ++from;
		} else {
			return false;
		}
	}
	return pattern[strspn(pattern, "*")] == '\0';
}

const struct config_stream *follow_entry(const struct config *c, const char *table,
					 const struct config_stream **other)
{
	const struct config_stream *first = NULL;

	*other = NULL;
	for (size_t i = 0; i < c->stream_count; i++)
		if (!c->streams[i].is_pattern && strcmp(c->streams[i].table, table) == 0)
			return &c->streams[i];
	for (size_t i = 0; i < c->stream_count; i++) {
		const struct config_stream *s = &c->streams[i];

		if (!s->is_pattern || !follow_matches(s->table, table))
			continue;
		if (first && !*other)
			*other = s;
		if (!first)
			first = s;
	}
	return first;
}

struct follow_choice follow_choose(const struct follow_row *rows, size_t count, const char *latest)
{
	struct follow_choice choice = { 0 };
	size_t at = 0;

	if (count == 0)
		return (struct follow_choice){ .arn = latest };
	for (size_t i = 0; i < count; i++)
		if (rows[i].begun)
			at = i;
	choice.arn = rows[at].arn;
	choice.next = at + 1 < count ? rows[at + 1].arn : latest;
	for (size_t i = 0; choice.next && i <= at; i++)
		if (strcmp(rows[i].arn, choice.next) == 0)
			choice.next = NULL;
	return choice;
}

int64_t follow_start_ms(enum config_start kind, int64_t start_ms, int64_t now_ms,
			int64_t created_ms, int64_t since_ms)
{
	if (kind != START_LATEST)
		return start_ms;
	return created_ms >= 0 && created_ms >= since_ms ? 0 : now_ms;
}
