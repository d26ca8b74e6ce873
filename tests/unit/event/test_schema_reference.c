/* Schemas agree with a second implementation, written for clarity on jansson's trees, on random
 * schemas and records. */
#include "tests/unit/event/random_transforms.h"
#include "tests/unit/event/schemas.h"

#define ROUNDS         2500
#define ITEMS_A_SCHEMA 6

static const char *const column_paths[] = { "a", "b", "c", "d", "a.a", "a.b", "b.c", "b.c.a" };
static const char *const type_names[] = { "string", "number",     "integer",    "boolean",
					  "binary", "list",       "map",        "string_set",
					  "set",    "number_set", "binary_set", "any" };

/* ---- random ones ---- */

static json_t *random_test(struct rng *r)
{
	static const char *const beginnings[] = { "x", "tr", "17", "4000" };

	switch (rng_below(r, 8)) {
	case 0:
		return json_pack("{s:b}", "exists", (int)rng_below(r, 2));
	case 1:
		return json_pack("{s:s}", "prefix", PICK(r, beginnings));
	case 2:
		return json_pack("{s:[s,i]}", "anything-but", PICK(r, texts), 17);
	case 3:
		return json_integer(atoi(PICK(r, numbers)));
	case 4:
		return json_boolean(rng_below(r, 2));
	case 5:
		return json_null();
	default:
		return json_string(PICK(r, texts));
	}
}

static json_t *random_column(struct rng *r, const char *path)
{
	const char *type = PICK(r, type_names);
	json_t *c = json_pack("{s:s,s:s}", "path", path, "type", type);

	if (rng_below(r, 4) == 0)
		json_object_set_new(c, "required", json_true());
	if (rng_below(r, 3) > 0)
		return c;
	if (!strcmp(type, "string") || !strcmp(type, "any"))
		json_object_set_new(c, "default", json_string(PICK(r, texts)));
	else if (!strcmp(type, "number") || !strcmp(type, "integer"))
		json_object_set_new(c, "default", json_integer(7));
	else if (!strcmp(type, "boolean"))
		json_object_set_new(c, "default", json_false());
	return c;
}

static json_t *random_schema(struct rng *r, unsigned n)
{
	json_t *s = json_object(), *columns = json_array(), *when = json_object();
	char name[] = { 's', (char)('0' + n), 0 };

	json_object_set_new(s, "name", json_string(name));
	for (size_t i = 0; i < sizeof(column_paths) / sizeof(column_paths[0]); i++)
		if (rng_below(r, 2))
			json_array_append_new(columns, random_column(r, column_paths[i]));
	for (uint64_t i = rng_below(r, 2) + 1; i > 0; i--)
		json_object_set_new(when, PICK(r, column_paths), random_test(r));
	if (json_array_size(columns) > 0 && rng_below(r, 2))
		json_object_set_new(s, "mode", json_string("evolve"));
	json_object_set_new(s, "columns", columns);
	if (rng_below(r, 4) > 0)
		json_object_set_new(s, "when", when);
	else
		json_decref(when);
	if (rng_below(r, 5) == 0)
		json_object_set_new(s, "append_only", json_true());
	return s;
}

/* ---- the reference ---- */

/* The attribute at a path with dots. */
static json_t *at_path(json_t *item, const char *path)
{
	char name[64];
	size_t n = strcspn(path, ".");
	json_t *v;

	snprintf(name, sizeof(name), "%.*s", (int)n, path);
	v = json_object_get(item, name);
	if (!v || !path[n])
		return v;
	return is(v, "M") ? at_path(inside(v), path + n + 1) : NULL;
}

static bool passes(json_t *test, json_t *v)
{
	json_t *arg, *e;
	size_t i;

	if ((arg = json_object_get(test, "exists")))
		return json_is_true(arg) == (v != NULL);
	if (!v)
		return false;
	if ((arg = json_object_get(test, "prefix")))
		return is(v, "S") && !strncmp(json_string_value(inside(v)), json_string_value(arg),
					      strlen(json_string_value(arg)));
	if ((arg = json_object_get(test, "anything-but"))) {
		json_array_foreach(arg, i, e) if (passes(e, v)) return false;
		return true;
	}
	if (json_is_string(test))
		return is(v, "S") && json_equal(inside(v), test);
	if (json_is_integer(test))
		return is(v, "N") &&
		       atoll(json_string_value(inside(v))) == json_integer_value(test);
	if (json_is_null(test))
		return is(v, "NULL");
	return is(v, "BOOL") && json_equal(inside(v), test);
}

static json_t *schema_for(json_t *all, json_t *item)
{
	json_t *s, *test;
	const char *path;
	size_t i;

	json_array_foreach(all, i, s)
	{
		bool fits = true;

		json_object_foreach(json_object_get(s, "when"), path, test) fits =
			fits && passes(test, at_path(item, path));
		if (fits)
			return s;
	}
	return NULL;
}

static bool has_type(json_t *v, const char *type)
{
	static const struct {
		const char *name, *types;
	} rows[] = { { "string", "S" },     { "number", "N" },      { "integer", "N" },
		     { "map", "M" },        { "list", "L" },        { "boolean", "BOOL" },
		     { "binary", "B" },     { "string_set", "SS" }, { "number_set", "NS" },
		     { "binary_set", "BS" } };

	if (!strcmp(type, "any"))
		return true;
	if (!strcmp(type, "set"))
		return is_set(v);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (!strcmp(rows[i].name, type))
			return is(v, rows[i].types);
	return false;
}

static json_t *column_of(json_t *s, const char *path)
{
	json_t *c;
	size_t i;

	json_array_foreach(
		json_object_get(s, "columns"), i,
		c) if (!strcmp(json_string_value(json_object_get(c, "path")), path)) return c;
	return NULL;
}

/* Some column is in the map at this path. */
static bool has_columns_below(json_t *s, const char *path)
{
	size_t n = strlen(path), i;
	json_t *c;

	json_array_foreach(json_object_get(s, "columns"), i, c)
	{
		const char *p = json_string_value(json_object_get(c, "path"));

		if (!strncmp(p, path, n) && p[n] == '.')
			return true;
	}
	return false;
}

/* Whether all that is in a map fits; names of what is new into `news`. */
static bool map_fits(json_t *s, json_t *map, const char *prefix, bool whole, json_t *news)
{
	const char *name;
	json_t *v;

	json_object_foreach(map, name, v)
	{
		char path[128];
		json_t *c;
		bool below;

		snprintf(path, sizeof(path), "%s%s%s", prefix, *prefix ? "." : "", name);
		c = column_of(s, path);
		below = has_columns_below(s, path);
		if (!c && !below) {
			if (whole || (!*prefix && (!strcmp(name, "pk") || !strcmp(name, "sk"))))
				continue;
			if (strcmp(json_string_value(json_object_get(s, "mode")) ?: "", "evolve"))
				return false;
			json_object_set_new(news, path, json_true());
			continue;
		}
		if (is(v, "NULL")) {
			if (json_is_true(json_object_get(c, "required")))
				return false;
			continue;
		}
		if (c && !has_type(v, json_string_value(json_object_get(c, "type"))))
			return false;
		if (below && !is(v, "M"))
			return false;
		if (below && !map_fits(s, inside(v), path, c != NULL, news))
			return false;
	}
	return true;
}

static bool new_image_fits(json_t *s, json_t *item, json_t *news)
{
	json_t *columns = json_object_get(s, "columns"), *c;
	size_t i;

	if (json_is_true(json_object_get(s, "append_only")))
		return false;
	if (json_array_size(columns) == 0)
		return true;
	if (!map_fits(s, item, "", false, news))
		return false;
	json_array_foreach(columns, i, c)
	{
		json_t *v = at_path(item, json_string_value(json_object_get(c, "path")));

		if (json_is_true(json_object_get(c, "required")) && !v &&
		    !json_object_get(c, "default"))
			return false;
	}
	return true;
}

static void fill_at(json_t *item, const char *path, json_t *value)
{
	char name[64];
	size_t n = strcspn(path, ".");
	json_t *v;

	snprintf(name, sizeof(name), "%.*s", (int)n, path);
	v = json_object_get(item, name);
	if (!path[n]) {
		if (!v)
			json_object_set(item, name, value);
		return;
	}
	if (!v) {
		v = typed("M", json_object());
		json_object_set_new(item, name, v);
	}
	if (is(v, "M"))
		fill_at(inside(v), path + n + 1, value);
}

static json_t *filled(json_t *all, json_t *item)
{
	json_t *out = json_deep_copy(item), *c, *s = schema_for(all, item);
	size_t i;

	json_array_foreach(json_object_get(s, "columns"), i, c)
	{
		json_t *d = json_object_get(c, "default"), *value = structured(d ? d : json_null());

		if (d)
			fill_at(out, json_string_value(json_object_get(c, "path")), value);
		json_decref(value);
	}
	return out;
}

/* ---- both ---- */

static json_t *payload_of(const struct batch *b)
{
	return json_loadb(b->payloads[0][0].p, b->payloads[0][0].n, JSON_REJECT_DUPLICATES, NULL);
}

static void same_payload(json_t *all, const struct batch *b, json_t *one, json_t *two,
			 enum event_format format, const char *text)
{
	struct encoding encoding = { .format = format };
	json_t *new_image = filled(all, one), *old_image = filled(all, two), *got, *wanted;
	char *texts_of[2] = { json_dumps(new_image, 0), json_dumps(old_image, 0) };
	struct batch *reference =
		schemas_page(NULL, false, "MODIFY", texts_of[0], texts_of[1], encoding);

	got = payload_of(b);
	wanted = payload_of(reference);
	if (!json_equal(got, wanted))
		fail_msg("%s\n%s\n%s\ngives\n%s\nexpected\n%s", text, json_dumps(one, 0),
			 json_dumps(two, 0), json_dumps(got, 0), json_dumps(wanted, 0));
	json_decref(got);
	json_decref(wanted);
	json_decref(new_image);
	json_decref(old_image);
	free(texts_of[0]);
	free(texts_of[1]);
	batch_free(reference);
}

static bool agree(const char *text, json_t *all, const struct schemas *schemas, json_t *one,
		  json_t *two, enum event_format format)
{
	struct encoding encoding = { .format = format };
	char *texts_of[2] = { json_dumps(one, 0), json_dumps(two, 0) };
	struct batch *b =
		schemas_page(schemas, false, "MODIFY", texts_of[0], texts_of[1], encoding);
	json_t *s = schema_for(all, one), *news = json_object();
	bool good = !s || new_image_fits(s, one, news);

	if (good != (b->fault_count == 0))
		fail_msg("%s\n%s\n%s: %s", text, texts_of[0], texts_of[1],
			 b->fault_count ? b->faults[0].error : "no fault");
	if (!good) {
		char begin[16];

		snprintf(begin, sizeof(begin),
			 "schema %s: ", json_string_value(json_object_get(s, "name")));
		assert_int_equal(strncmp(b->faults[0].error, begin, strlen(begin)), 0);
	} else {
		same_payload(all, b, one, two, format, text);
		assert_int_equal(b->news_count, json_object_size(news));
		for (size_t i = 0; i < b->news_count; i++)
			assert_non_null(json_object_get(news, b->news[i].attribute));
	}
	batch_free(b);
	json_decref(news);
	free(texts_of[0]);
	free(texts_of[1]);
	return good;
}

static void both_agree_on_random_schemas(void **state)
{
	size_t good = 0, all_of = 0;
	struct rng r;

	(void)state;
	rng_seed(&r, 1);
	for (unsigned i = 0; i < ROUNDS; i++) {
		json_t *all = json_array();
		struct error err = { 0 };
		struct schemas *s;
		char *text;

		for (unsigned n = 0, count = (unsigned)rng_below(&r, 3) + 1; n < count; n++)
			json_array_append_new(all, random_schema(&r, n));
		text = json_dumps(all, JSON_COMPACT);
		/* Some are refused: columns in what is no map, ones that are never reached. */
		s = schemas_try(text, &err);
		for (unsigned k = 0; s && k < ITEMS_A_SCHEMA; k++) {
			json_t *one = random_item(&r), *two = random_item(&r);

			good += agree(text, all, s, one, two, (enum event_format)(k % 3));
			all_of++;
			json_decref(one);
			json_decref(two);
		}
		schemas_free(s);
		free(text);
		json_decref(all);
	}
	/* Enough of both. */
	assert_true(all_of > ROUNDS);
	assert_true(good > all_of / 5);
	assert_true(good < all_of * 4 / 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_agree_on_random_schemas),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
