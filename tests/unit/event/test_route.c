/* Where routes put records: their values, which places there are, and what is missing. */
#include "tests/unit/event/random_transforms.h"
#include "tests/unit/event/schemas.h"

#define KEYS "{\"pk\":{\"S\":\"a\"},\"sk\":{\"N\":\"1\"}}"

static struct route *route_of(const char *const *of)
{
	struct route *r = route_new();
	struct error err = { 0 };
	unsigned place;

	for (unsigned i = 0; of[i]; i++) {
		static const struct {
			const char *name;
			enum route_kind kind;
		} kinds[] = { { "op", ROUTE_OP },     { "schema", ROUTE_SCHEMA },
			      { "yyyy", ROUTE_YEAR }, { "MM", ROUTE_MONTH },
			      { "dd", ROUTE_DAY },    { "HH", ROUTE_HOUR },
			      { "mm", ROUTE_MINUTE } };
		enum route_kind kind = ROUTE_ATTRIBUTE;

		for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++)
			if (!strcmp(kinds[k].name, of[i]))
				kind = kinds[k].kind;
		if (!route_add(r, kind, str_of(of[i]), &place, &err))
			fail_msg("%s: %s", of[i], err.message);
		assert_int_equal(place, i);
	}
	return r;
}

static struct batch *decode_by(struct str page, const struct decode_output *outputs, size_t count,
			       const struct schemas *schemas)
{
	static const struct encoding plain = { .format = FORMAT_PLAIN };
	const struct decode_options o = { .encodings = &plain,
					  .encoding_count = 1,
					  .schemas = schemas,
					  .outputs = outputs,
					  .output_count = count };
	struct batch *b = decoding_batch(page, &decoding_source);
	struct error err = { 0 };

	if (!decode_page(b, &o, &err))
		fail_msg("%s", err.message);
	return b;
}

/* "a|-|…" of one record; - where a value is missing. */
static void place_text(const struct batch_route *r, size_t event, char out[256])
{
	const struct str *v = batch_place(r, event);
	size_t n = 0;

	for (size_t i = 0; i < r->values; i++)
		n += (size_t)snprintf(out + n, 256 - n, "%s%.*s", i ? "|" : "",
				      v[i].p ? (int)v[i].n : 1, v[i].p ? v[i].p : "-");
}

static const char *const kinds_of_values[] = { "op", "yyyy", "MM",    "dd", "HH", "mm",
					       "a",  "m.a",  "a\\.b", "pk", NULL };
static const struct {
	const char *name, *new_image, *old_image, *place;
} records[] = {
	{ "INSERT",
	  "{\"a\":{\"S\":\"x\"},\"m\":{\"M\":{\"a\":{\"N\":\"1.50\"}}},\"pk\":{\"S\":\"k\"}}", NULL,
	  "c|2025|11|21|04|40|x|1.5|-|k" },
	{ "MODIFY", "{\"a\":{\"BOOL\":true},\"a.b\":{\"S\":\"q\\\"\\u0041/\"}}",
	  "{\"pk\":{\"S\":\"o\"}}", "u|2025|11|21|04|40|true|-|q\"A/|-" },
	{ "MODIFY", "{\"a\":{\"B\":\"q83v\"},\"m\":{\"S\":\"\"}}", NULL,
	  "r|2025|11|21|04|40|q83v|-|-|-" },
	{ "INSERT", "{\"a\":{\"S\":\"\"},\"m\":{\"M\":{\"a\":{\"NULL\":true}}}}", NULL,
	  "c|2025|11|21|04|40||-|-|-" },
	{ "INSERT", "{\"a\":{\"L\":[]},\"m\":{\"M\":{\"a\":{\"BOOL\":false}}}}", NULL,
	  "c|2025|11|21|04|40|-|false|-|-" },
	{ "REMOVE", NULL, "{\"a\":{\"S\":\"old\"}}", "d|2025|11|21|04|40|old|-|-|-" },
	{ "REMOVE", NULL, NULL, "d|2025|11|21|04|40|-|-|-|a" },
};

static void values_are_of_the_record_as_it_came(void **state)
{
	AUTO(route) struct route *r = route_of(kinds_of_values);
	AUTO(transform) struct transform *t = transforming("[{\"drop\":[\"a\",\"m\",\"pk\"]}]");
	const struct decode_output output = { .route = r };

	(void)state;
	for (size_t i = 0; i < sizeof(records) / sizeof(records[0]); i++) {
		const struct encoding e = { .format = FORMAT_PLAIN, .transform = t };
		const struct decode_options o = {
			.encodings = &e, .encoding_count = 1, .outputs = &output, .output_count = 1
		};
		struct error err = { 0 };
		struct batch *b;
		struct buf page;
		char text[256];

		buf_init(&page, 0);
		transforming_page(&page, records[i].name, KEYS, records[i].new_image,
				  records[i].old_image);
		b = decoding_batch(buf_str(&page), &decoding_source);
		assert_true(decode_page(b, &o, &err));
		place_text(&b->routes[0], 0, text);
		assert_string_equal(text, records[i].place);
		batch_free(b);
		buf_release(&page);
	}
}

/* A page of records whose images are these. */
static void add_record(struct buf *page, unsigned n, const char *image)
{
	buf_printf(page,
		   "%s{\"eventName\":\"INSERT\",\"dynamodb\":{\"ApproximateCreationDateTime\":%u,"
		   "\"Keys\":" KEYS ",\"NewImage\":%s,\"SequenceNumber\":\"%u\"}}",
		   n ? "," : "{\"Records\":[", 1763700000 + n, image, 100 + n);
}

static void each_output_has_its_own_and_lacks_its_own(void **state)
{
	AUTO(route) struct route *by_a = route_of((const char *[]){ "a", NULL });
	AUTO(route) struct route *by_schema = route_of((const char *[]){ "schema", NULL });
	struct error err = { 0 };
	AUTO(schemas)
	struct schemas *s = schemas_try("[{\"name\":\"one\",\"when\":{\"a\":\"x\"}}]", &err);
	const struct decode_output outputs[] = {
		{ .route = by_a },
		{ .route = NULL },
		{ .route = by_schema },
		{ .route = by_a, .route_required = true },
		{ .route = by_schema, .route_required = true },
	};
	struct batch *b;
	struct buf page;
	char text[256];

	(void)state;
	buf_init(&page, 0);
	add_record(&page, 0, "{\"a\":{\"S\":\"x\"}}");
	add_record(&page, 1, "{\"a\":{\"S\":\"y\"}}");
	add_record(&page, 2, "{\"b\":{\"S\":\"x\"}}");
	buf_text(&page, "]}");
	b = decode_by(buf_str(&page), outputs, 5, s);
	assert_int_equal(b->routes[0].places, 3);
	assert_int_equal(b->routes[1].places, 0);
	assert_int_equal(b->routes[2].places, 2);
	place_text(&b->routes[2], 0, text);
	assert_string_equal(text, "one");
	place_text(&b->routes[2], 1, text);
	assert_string_equal(text, "-");
	assert_int_equal(b->routes[3].places, 2);
	assert_int_equal(b->events[0].faulty, 0);
	assert_int_equal(b->events[1].faulty, 1u << 4);
	assert_int_equal(b->events[2].faulty, 1u << 3 | 1u << 4);
	assert_int_equal(b->fault_count, 3);
	assert_int_equal(b->faults[0].why, FAULT_ROUTE);
	assert_string_equal(b->faults[0].error, "it has no schema, which says where it goes "
						"(missing: dead_letter)");
	assert_string_equal(b->faults[1].error, "there is no a that says where it goes (missing: "
						"dead_letter)");
	/* Others get it. */
	assert_non_null(b->payloads[0][2].p);
	batch_free(b);
	buf_release(&page);
}

/* What lacks a place is no fault of the transform as well. */
static void an_output_has_one_fault_of_a_record(void **state)
{
	AUTO(route) struct route *r = route_of((const char *[]){ "none", NULL });
	AUTO(transform) struct transform *t = transforming("[{\"cast\":{\"a\":\"number\"}}]");
	const struct encoding e = { .format = FORMAT_PLAIN, .transform = t };
	const struct decode_output outputs[] = { { .route = r, .route_required = true },
						 { .route = NULL } };
	const struct decode_options o = {
		.encodings = &e, .encoding_count = 1, .outputs = outputs, .output_count = 2
	};
	struct error err = { 0 };
	struct batch *b;
	struct buf page;

	(void)state;
	buf_init(&page, 0);
	add_record(&page, 0, "{\"a\":{\"S\":\"x\"}}");
	buf_text(&page, "]}");
	b = decoding_batch(buf_str(&page), &decoding_source);
	assert_true(decode_page(b, &o, &err));
	assert_int_equal(b->fault_count, 2);
	assert_int_equal(b->faults[0].why, FAULT_ROUTE);
	assert_int_equal(b->faults[0].outputs, 1);
	assert_int_equal(b->faults[1].why, FAULT_TRANSFORM);
	assert_int_equal(b->faults[1].outputs, 2);
	assert_int_equal(b->events[0].faulty, 3);
	batch_free(b);
	buf_release(&page);
}

/* The value at a path of two names at most. */
static json_t *value_at(json_t *item, const char *first, const char *second)
{
	json_t *v = json_object_get(item, first);

	return !second || !v ? v : is(v, "M") ? json_object_get(inside(v), second) : NULL;
}

static bool is_scalar(const json_t *v)
{
	return v && (is(v, "S") || is(v, "N") || is(v, "B") || is(v, "BOOL"));
}

/* As many places as there are different pairs of values, and each record at its own. */
static void places_are_the_pairs_that_differ(void **state)
{
	AUTO(route) struct route *r = route_of((const char *[]){ "a", "b.c", NULL });
	const struct decode_output output = { .route = r };
	struct rng rng;

	(void)state;
	rng_seed(&rng, 2);
	for (unsigned round = 0; round < 40; round++) {
		json_t *different = json_object();
		char(*expected)[256] = memory_array(400, sizeof(*expected)), text[256];
		struct batch *b;
		struct buf page;

		buf_init(&page, 0);
		for (unsigned n = 0; n < 400; n++) {
			json_t *item = random_item(&rng);
			char *image = json_dumps(item, 0);
			size_t at = 0;

			for (unsigned i = 0; i < 2; i++) {
				json_t *v =
					i ? value_at(item, "b", "c") : value_at(item, "a", NULL);
				char *said = is_scalar(v) ? as_text(v) : memory_text("-");

				at += (size_t)snprintf(expected[n] + at, 256 - at, "%s%s",
						       i ? "|" : "", said);
				free(said);
			}
			json_object_set_new(different, expected[n], json_true());
			add_record(&page, n, image);
			free(image);
			json_decref(item);
		}
		buf_text(&page, "]}");
		b = decode_by(buf_str(&page), &output, 1, NULL);
		assert_int_equal(b->count, 400);
		assert_int_equal(b->routes[0].places, json_object_size(different));
		for (unsigned n = 0; n < 400; n++) {
			place_text(&b->routes[0], n, text);
			assert_string_equal(text, expected[n]);
		}
		batch_free(b);
		buf_release(&page);
		free(expected);
		json_decref(different);
	}
}

static void what_is_no_path_is_refused(void **state)
{
	AUTO(route) struct route *r = route_new();
	struct error err = { 0 };
	unsigned place;

	(void)state;
	assert_false(route_add(r, ROUTE_ATTRIBUTE, STR("a[0]"), &place, &err));
	assert_non_null(strstr(err.message, "${attribute:a[0]}: expected names with dots between, "
					    "such as ${attribute:address.town}"));
	assert_false(route_add(r, ROUTE_ATTRIBUTE, STR("a..b"), &place, &err));
	assert_non_null(strstr(err.message, "${attribute:a..b}: expected an attribute's path"));
	for (unsigned i = 0; i < ROUTE_VALUES_MAX; i++)
		assert_true(route_add(r, ROUTE_OP, (struct str){ 0 }, &place, &err));
	assert_false(route_add(r, ROUTE_OP, (struct str){ 0 }, &place, &err));
	assert_string_equal(err.message, "over 16 placeholders of the event");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_are_of_the_record_as_it_came),
		cmocka_unit_test(each_output_has_its_own_and_lacks_its_own),
		cmocka_unit_test(an_output_has_one_fault_of_a_record),
		cmocka_unit_test(places_are_the_pairs_that_differ),
		cmocka_unit_test(what_is_no_path_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
