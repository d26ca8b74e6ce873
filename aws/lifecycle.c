#include "aws/lifecycle.h"

#include <limits.h>
#include <stdlib.h>

#include "aws/xml.h"
#include "base/memory.h"

#define ID_SIZE     1025 /* AWS's have up to 255 bytes */
#define PREFIX_SIZE 1025 /* as long as a key is */

static bool has(struct str rule, const char *tag)
{
	struct str inner;

	return xml_next(&rule, tag, &inner);
}

/* Absent is as good as empty; what does not fit is not. */
static bool read_text(struct str rule, const char *tag, char *out, size_t size)
{
	return xml_text(rule, tag, out, size) || !has(rule, tag);
}

static bool read_days(struct str abort, int *days)
{
	char text[16], *end;
	long n;

	if (!xml_text(abort, "DaysAfterInitiation", text, sizeof(text)))
		return false;
	n = strtol(text, &end, 10);
	*days = n <= INT_MAX ? (int)n : INT_MAX;
	return end != text && !*end && n > 0;
}

/* The prefix is a filter, one of its conditions, or the rule's own, as it was before there were
 * filters: it is there once. *counts: it is enabled, and aborts uploads. */
static bool read_rule(struct str rule, struct lifecycle_rule *out, bool *counts)
{
	char id[ID_SIZE], prefix[PREFIX_SIZE], status[16];
	struct str rest = rule, abort;

	*counts = xml_next(&rest, "AbortIncompleteMultipartUpload", &abort);
	if (!*counts)
		return true;
	if (!xml_text(rule, "Status", status, sizeof(status)))
		return false;
	*counts = strcmp(status, "Enabled") == 0;
	if (!*counts)
		return true;
	*out = (struct lifecycle_rule){ .narrowed = has(rule, "Tag") ||
						    has(rule, "ObjectSizeGreaterThan") ||
						    has(rule, "ObjectSizeLessThan") };
	if (!read_text(rule, "ID", id, sizeof(id)) ||
	    !read_text(rule, "Prefix", prefix, sizeof(prefix)) || !read_days(abort, &out->days))
		return false;
	out->id = memory_text(id);
	out->prefix = memory_text(prefix);
	return true;
}

bool lifecycle_parse(struct str xml, struct lifecycle *out)
{
	struct str all, rule;
	bool counts;

	*out = (struct lifecycle){ 0 };
	if (!xml_next(&xml, "LifecycleConfiguration", &all))
		return false;
	while (xml_next(&all, "Rule", &rule)) {
		out->rules = memory_room(out->rules, out->count, sizeof(*out->rules));
		if (!read_rule(rule, &out->rules[out->count], &counts)) {
			lifecycle_release(out);
			return false;
		}
		out->count += counts;
	}
	return true;
}

void lifecycle_release(struct lifecycle *l)
{
	for (size_t i = 0; i < l->count; i++) {
		free(l->rules[i].id);
		free(l->rules[i].prefix);
	}
	free(l->rules);
	*l = (struct lifecycle){ 0 };
}
