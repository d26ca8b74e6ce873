#include "tests/emulator/fault.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

#define RULES_MAX       1000
#define OVERSIZED_BYTES ((int64_t)32 << 20)

static const struct kind {
	const char *name;
	enum fault_kind kind;
	int status;
	const char *code, *message;
} kinds[] = {
	{ "error", FAULT_ERROR, 500, "InternalServerError", "on order" },
	{ "throttle", FAULT_ERROR, 400, "ProvisionedThroughputExceededException",
	  "The level of configured provisioned throughput for the table was exceeded." },
	{ "limit", FAULT_ERROR, 400, "LimitExceededException", "Too many readers of this shard." },
	{ "expired", FAULT_ERROR, 400, "ExpiredIteratorException", "Iterator expired." },
	{ "trimmed", FAULT_ERROR, 400, "TrimmedDataAccessException",
	  "The operation attempted to read past the oldest stream record in a shard." },
	{ "not_found", FAULT_ERROR, 400, "ResourceNotFoundException",
	  "Requested resource not found: Shard does not exist" },
	{ "denied", FAULT_ERROR, 400, "AccessDeniedException",
	  "User is not authorized to perform this action." },
	{ "token", FAULT_ERROR, 400, "ExpiredTokenException",
	  "The security token included in the request is expired" },
	{ "unrecognized", FAULT_ERROR, 400, "UnrecognizedClientException",
	  "The security token included in the request is invalid." },
	{ "internal", FAULT_ERROR, 500, "InternalServerError", "Internal server error" },
	{ "unavailable", FAULT_ERROR, 503, "ServiceUnavailable", "Service is unavailable" },
	{ "delay", FAULT_DELAY, 0, NULL, NULL },
	{ "cut", FAULT_CUT, 0, NULL, NULL },
	{ "cut_body", FAULT_CUT_BODY, 0, NULL, NULL },
	{ "hang", FAULT_HANG, 0, NULL, NULL },
	{ "drip", FAULT_DRIP, 0, NULL, NULL },
	{ "wrong_crc", FAULT_WRONG_CRC, 0, NULL, NULL },
	{ "malformed", FAULT_MALFORMED, 0, NULL, NULL },
	{ "garbage", FAULT_GARBAGE, 0, NULL, NULL },
	{ "duplicate", FAULT_DUPLICATE, 0, NULL, NULL },
	{ "oversized", FAULT_OVERSIZED, 0, NULL, NULL },
	{ "empty", FAULT_EMPTY, 0, NULL, NULL },
	{ "skew", FAULT_SKEW, 0, NULL, NULL },
	{ "hide", FAULT_HIDE, 0, NULL, NULL },
	{ "open", FAULT_OPEN, 0, NULL, NULL },
	{ "stale", FAULT_STALE, 0, NULL, NULL },
	{ "parent", FAULT_PARENT, 0, NULL, NULL },
	{ "export_fails", FAULT_EXPORT_FAILS, 200, "InternalServerError", "on order" },
	{ "file_corrupt", FAULT_FILE_CORRUPT, 0, NULL, NULL },
	{ "file_missing", FAULT_FILE_MISSING, 0, NULL, NULL },
	{ "line_bad", FAULT_LINE_BAD, 0, NULL, NULL },
	{ "count_wrong", FAULT_COUNT_WRONG, 0, NULL, NULL },
	{ "md5_wrong", FAULT_MD5_WRONG, 0, NULL, NULL },
	{ "manifest_late", FAULT_MANIFEST_LATE, 0, NULL, NULL },
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

void fault_list_init(struct fault_list *l, uint64_t seed)
{
	*l = (struct fault_list){ .next_id = 1 };
	rng_seed(&l->rng, seed);
}

void fault_list_release(struct fault_list *l)
{
	free(l->rules);
}

static bool text_member(const json_t *rule, const char *name, char *out, size_t size,
			struct error *err)
{
	const json_t *value = json_object_get(rule, name);

	if (!value)
		return true;
	if (!json_is_string(value) || json_string_length(value) >= size)
		return error_set(err, ERROR_INVALID, "fault: \"%s\" must be a text below %zu bytes",
				 name, size);
	snprintf(out, size, "%s", json_string_value(value));
	return true;
}

static bool number_member(const json_t *rule, const char *name, int64_t *out, struct error *err)
{
	const json_t *value = json_object_get(rule, name);

	if (!value)
		return true;
	if (!json_is_integer(value))
		return error_set(err, ERROR_INVALID, "fault: \"%s\" must be an integer", name);
	*out = json_integer_value(value);
	return true;
}

static bool fault_parse(struct fault *f, const json_t *rule, struct error *err)
{
	const char *name = json_string_value(json_object_get(rule, "kind"));
	const json_t *probability = json_object_get(rule, "probability");
	int64_t status = 0, after = 0;
	size_t k = 0;

	while (k < KINDS && (!name || strcmp(kinds[k].name, name) != 0))
		k++;
	if (k == KINDS)
		return error_set(err, ERROR_INVALID, "fault: unknown kind \"%s\"",
				 name ? name : "");
	*f = (struct fault){ .kind = kinds[k].kind,
			     .operation = "*",
			     .count = probability ? -1 : 1,
			     .probability = probability ? json_number_value(probability) : 1,
			     .ms = 1000 };
	status = kinds[k].status;
	if (f->kind == FAULT_OVERSIZED)
		f->bytes = OVERSIZED_BYTES;
	if (f->kind == FAULT_DRIP)
		f->bytes = 100;
	if (kinds[k].code) {
		snprintf(f->code, sizeof(f->code), "%s", kinds[k].code);
		snprintf(f->message, sizeof(f->message), "%s", kinds[k].message);
	}
	if (!text_member(rule, "operation", f->operation, sizeof(f->operation), err) ||
	    !text_member(rule, "table", f->table, sizeof(f->table), err) ||
	    !text_member(rule, "shard", f->shard, sizeof(f->shard), err) ||
	    !text_member(rule, "parent", f->parent, sizeof(f->parent), err) ||
	    !text_member(rule, "code", f->code, sizeof(f->code), err) ||
	    !text_member(rule, "message", f->message, sizeof(f->message), err) ||
	    !number_member(rule, "count", &f->count, err) ||
	    !number_member(rule, "after", &after, err) ||
	    !number_member(rule, "status", &status, err) ||
	    !number_member(rule, "ms", &f->ms, err) ||
	    !number_member(rule, "bytes", &f->bytes, err) ||
	    !number_member(rule, "seconds", &f->seconds, err))
		return false;
	if (after < 0 || f->ms < 0 || f->bytes < 0 || status < 0 || status > 599 ||
	    (f->kind == FAULT_ERROR && status < 200) || (f->kind == FAULT_DRIP && f->bytes < 1))
		return error_set(err, ERROR_INVALID, "fault: a number is out of range");
	f->after = (uint64_t)after;
	f->status = (int)status;
	return true;
}

bool fault_list_add(struct fault_list *l, const json_t *rule, uint64_t *id, struct error *err)
{
	struct fault f;

	if (!fault_parse(&f, rule, err))
		return false;
	if (l->count == RULES_MAX)
		return error_set(err, ERROR_INVALID, "fault: %d rules are there already",
				 RULES_MAX);
	l->rules = memory_resize(l->rules, (l->count + 1) * sizeof(f));
	f.id = *id = l->next_id++;
	l->rules[l->count++] = f;
	return true;
}

void fault_list_clear(struct fault_list *l, uint64_t id)
{
	size_t kept = 0;

	for (size_t i = 0; i < l->count; i++)
		if (id && l->rules[i].id != id)
			l->rules[kept++] = l->rules[i];
	l->count = kept;
}

json_t *fault_list_json(const struct fault_list *l)
{
	json_t *rules = json_array();

	for (size_t i = 0; i < l->count; i++) {
		const struct fault *f = &l->rules[i];

		json_array_append_new(rules,
				      json_pack("{sI ss ss ss sI sI}", "id", (json_int_t)f->id,
						"operation", f->operation, "table", f->table,
						"shard", f->shard, "left", (json_int_t)f->count,
						"fired", (json_int_t)f->fired));
	}
	return rules;
}

/* Takes one of the rule's times, if its turn has come. */
static bool fault_fires(struct fault_list *l, struct fault *f)
{
	if (f->count == 0)
		return false;
	if (f->after) {
		f->after--;
		return false;
	}
	if (f->probability < 1 && rng_unit(&l->rng) >= f->probability)
		return false;
	if (f->count > 0)
		f->count--;
	f->fired++;
	return true;
}

static bool lies(const struct fault *f)
{
	return f->kind == FAULT_HIDE || f->kind == FAULT_OPEN || f->kind == FAULT_STALE ||
	       f->kind == FAULT_PARENT;
}

static bool of_export(const struct fault *f)
{
	return f->kind >= FAULT_EXPORT_FAILS;
}

void fault_match(struct fault_list *l, const char *operation, const char *table, const char *shard,
		 struct fault *out)
{
	bool export = strcmp(operation, FAULT_EXPORT) == 0;

	out->kind = FAULT_NONE;
	for (size_t i = 0; i < l->count; i++) {
		struct fault *f = &l->rules[i];

		if (lies(f) || of_export(f) != export ||
		    (strcmp(f->operation, "*") != 0 && strcmp(f->operation, operation) != 0) ||
		    (f->table[0] && strcmp(f->table, table) != 0) ||
		    (f->shard[0] && strcmp(f->shard, shard) != 0))
			continue;
		if (fault_fires(l, f)) {
			*out = *f;
			return;
		}
	}
}

void fault_listing(struct fault_list *l, const char *table)
{
	for (size_t i = 0; i < l->count; i++) {
		struct fault *f = &l->rules[i];

		if (lies(f) && (!f->table[0] || strcmp(f->table, table) == 0))
			f->active = fault_fires(l, f);
	}
}

const struct fault *fault_listed(const struct fault_list *l, enum fault_kind kind,
				 const char *shard)
{
	for (size_t i = 0; i < l->count; i++) {
		const struct fault *f = &l->rules[i];

		if (f->kind == kind && f->active && (!f->shard[0] || strcmp(f->shard, shard) == 0))
			return f;
	}
	return NULL;
}

int64_t fault_listing_age_ms(const struct fault_list *l)
{
	int64_t seconds = 0;

	for (size_t i = 0; i < l->count; i++)
		if (l->rules[i].kind == FAULT_STALE && l->rules[i].active &&
		    l->rules[i].seconds > seconds)
			seconds = l->rules[i].seconds;
	return seconds * 1000;
}
