#include "sinks/s3_lifecycle.h"

#include <string.h>

#define TABLE "${table}"

/* A pattern goes on as a placeholder where it is no text any more. */
static void table_text(struct str table, struct buf *out)
{
	size_t n = 0;

	while (n < table.n && table.p[n] != '*' && table.p[n] != '?')
		n++;
	buf_printf(out, "%.*s%s", (int)n, table.p, n < table.n ? TABLE : "");
}

/* The keys' beginning, as a text in which the other placeholders stay. */
static void keys_text(const struct s3_keys *k, struct str table, struct buf *out)
{
	size_t n = strlen(k->path);
	const char *at = k->path, *found;

	buf_text(out, k->prefix);
	for (; (found = strstr(at, TABLE)); at = found + strlen(TABLE)) {
		buf_printf(out, "%.*s", (int)(found - at), at);
		table_text(table, out);
	}
	buf_printf(out, "%s%s", at, n && k->path[n - 1] != '/' ? "/" : "");
}

/* Behind the folder that `text` is in; a value has no '/'. */
static const char *folder_end(const char *text)
{
	while (*text && *text != '/') {
		const char *end = strncmp(text, "${", 2) == 0 ? strchr(text, '}') : NULL;

		text = end ? end + 1 : text + 1;
	}
	return text;
}

/* May a key begin with it? A placeholder is taken as anything to the end of its folder. */
static bool may_begin(const char *text, const char *prefix)
{
	while (*prefix) {
		if (strncmp(text, "${", 2) == 0 || !*text) { /* a value, or the file's name */
			text = folder_end(text);
			prefix += strcspn(prefix, "/");
			if (*prefix && !*text)
				return false;
		} else if (*text++ != *prefix++) {
			return false;
		}
	}
	return true;
}

/* Does every key begin with it? */
static bool must_begin(const char *text, const char *prefix)
{
	const char *placeholder = strstr(text, "${");
	size_t n = strlen(prefix);

	return n <= (placeholder ? (size_t)(placeholder - text) : strlen(text)) &&
	       memcmp(text, prefix, n) == 0;
}

struct tally {
	bool some, all;
	const struct lifecycle_rule *shortest, *covering;
};

static const struct lifecycle_rule *earlier(const struct lifecycle_rule *a,
					    const struct lifecycle_rule *b)
{
	return a && a->days <= b->days ? a : b;
}

/* One that is narrowed may do harm, and is not to be counted on. */
static void count_keys(const struct lifecycle *l, const char *text, struct tally *t)
{
	bool covered = false;

	for (size_t i = 0; i < l->count; i++) {
		const struct lifecycle_rule *r = &l->rules[i];

		if (!may_begin(text, r->prefix))
			continue;
		t->some = true;
		if (r->days < S3_LIFECYCLE_DAYS)
			t->shortest = earlier(t->shortest, r);
		if (!r->narrowed && must_begin(text, r->prefix)) {
			covered = true;
			t->covering = earlier(t->covering, r);
		}
	}
	t->all = t->all && covered;
}

struct s3_lifecycle_verdict s3_lifecycle_judge(const struct lifecycle *l, const struct s3_keys *k)
{
	const struct str any = STR("*");
	struct tally t = { .all = true };
	struct buf text = { 0 };

	for (size_t i = 0; i < k->table_count || i == 0; i++) {
		buf_clear(&text);
		keys_text(k, k->table_count ? k->tables[i] : any, &text);
		count_keys(l, text.data, &t);
	}
	buf_release(&text);
	if (k->manifests)
		count_keys(l, k->manifests, &t);
	if (t.shortest)
		return (struct s3_lifecycle_verdict){ S3_LIFECYCLE_SHORT, t.shortest };
	if (t.all)
		return (struct s3_lifecycle_verdict){ S3_LIFECYCLE_ALL, t.covering };
	return (struct s3_lifecycle_verdict){ t.some ? S3_LIFECYCLE_SOME : S3_LIFECYCLE_NONE,
					      NULL };
}

bool s3_lifecycle_say(const struct lifecycle *l, const struct s3_keys *k, struct buf *said,
		      struct error *err)
{
	struct s3_lifecycle_verdict v = s3_lifecycle_judge(l, k);

	switch (v.fit) {
	case S3_LIFECYCLE_SHORT:
		return error_set(
			err, ERROR_INVALID,
			"lifecycle rule '%.64s' aborts incomplete uploads%s%.100s after %d "
			"%s: where no worker is there for so long, records that are saved "
			"as delivered are lost; let it wait for %d days or more",
			v.rule->id, *v.rule->prefix ? " under " : "", v.rule->prefix, v.rule->days,
			v.rule->days == 1 ? "day" : "days", S3_LIFECYCLE_DAYS);
	case S3_LIFECYCLE_ALL:
		buf_printf(said, ", lifecycle rule '%.64s' aborts incomplete uploads after %d days",
			   v.rule->id, v.rule->days);
		return true;
	case S3_LIFECYCLE_SOME:
	case S3_LIFECYCLE_NONE:
		buf_printf(
			said,
			", %s, and what nobody clears away after a crash is paid for: set "
			"AbortIncompleteMultipartUpload for %s%s, with DaysAfterInitiation %d or "
			"more",
			v.fit == S3_LIFECYCLE_NONE
				? "no lifecycle rule aborts incomplete uploads"
				: "lifecycle rules abort some of its incomplete uploads only",
			*k->prefix ? "the prefix " : "the bucket", k->prefix, S3_LIFECYCLE_DAYS);
	}
	return true;
}
