/* The transforms agree with their second implementation on random chains and items, in every form.
 */
#include "tests/unit/event/random_transforms.h"

#define CHAINS        1000
#define ITEMS_A_CHAIN 6

static json_t *payload_of(const char *new_image, const char *old_image, struct encoding encoding,
			  bool *fault)
{
	struct buf page;
	struct batch *b;
	json_t *payload = NULL;

	buf_init(&page, 0);
	transforming_page(&page, "MODIFY", "{\"pk\":{\"S\":\"a\"},\"sk\":{\"N\":\"1\"}}", new_image,
			  old_image);
	b = transforming_decode(buf_str(&page), encoding);
	*fault = b->fault_count > 0;
	if (!*fault) {
		payload = json_loadb(b->payloads[0][0].p, b->payloads[0][0].n,
				     JSON_REJECT_DUPLICATES, NULL);
		assert_non_null(payload);
	} else {
		assert_null(b->payloads[0][0].p);
	}
	batch_free(b);
	buf_release(&page);
	return payload;
}

/* {"M": item}; NULL: a fault. */
static json_t *reference(const json_t *chain, const json_t *item)
{
	struct work w = { .root = typed("M", json_deep_copy(item)) };
	json_t *definition, *out = NULL;
	size_t i;

	json_array_foreach(chain, i, definition) if (!w.fault) apply(&w, definition);
	if (!w.fault)
		out = json_incref(inside(w.root));
	json_decref(w.root);
	return out;
}

static size_t agree(const char *chain_text, const json_t *chain, const struct transform *t,
		    const json_t *one, const json_t *two, enum event_format format)
{
	struct encoding encoding = { .format = format };
	char *texts_of[2] = { json_dumps(one, JSON_COMPACT), json_dumps(two, JSON_COMPACT) };
	json_t *first = reference(chain, one), *second = reference(chain, two), *wanted = NULL,
	       *got;
	bool good = first && (second || format == FORMAT_PLAIN), fault, unused;

	if (good) {
		char *a = json_dumps(first, JSON_COMPACT);
		char *b = json_dumps(second ? second : two, JSON_COMPACT);

		wanted = payload_of(a, b, encoding, &unused);
		free(a);
		free(b);
	}
	encoding.transform = t;
	got = payload_of(texts_of[0], texts_of[1], encoding, &fault);
	/* The keys of the dynamodb form are not this test's. */
	json_object_del(json_object_get(got, "dynamodb"), "Keys");
	json_object_del(json_object_get(wanted, "dynamodb"), "Keys");
	if (format != FORMAT_DYNAMODB && fault != !good)
		fail_msg("%s\n%s\n%s: %s", chain_text, texts_of[0], texts_of[1],
			 fault ? "a fault" : "no fault");
	if (!fault && good && !json_equal(got, wanted))
		fail_msg("%s\n%s\n%s\ngives\n%s\nexpected\n%s", chain_text, texts_of[0],
			 texts_of[1], json_dumps(got, JSON_COMPACT),
			 json_dumps(wanted, JSON_COMPACT));
	json_decref(got);
	json_decref(wanted);
	json_decref(first);
	json_decref(second);
	free(texts_of[0]);
	free(texts_of[1]);
	return good;
}

/* The same attributes in the same order, some of them with another value of the same type. */
static json_t *changed(struct rng *r, const json_t *item)
{
	json_t *copy = json_deep_copy(item), *value;
	const char *name;

	json_object_foreach(copy, name, value)
	{
		const char *type = json_object_iter_key(json_object_iter(value));

		if (strcmp(name, "pk") == 0 || strcmp(name, "sk") == 0 || rng_below(r, 3))
			continue;
		for (unsigned i = 0; i < 20; i++) {
			json_t *other = random_value(r, 1), *inside = json_object_get(other, type);

			if (inside)
				json_object_set(value, type, inside);
			json_decref(other);
			if (inside)
				break;
		}
	}
	return copy;
}

static void both_agree_on_random_chains(void **state)
{
	size_t good = 0, all = 0;
	struct rng r;

	(void)state;
	rng_seed(&r, 1);
	for (unsigned i = 0; i < CHAINS; i++) {
		json_t *chain = json_array();
		struct error err = { 0 };
		struct transform *t;
		char *text;

		for (uint64_t n = rng_below(&r, 5) + 1; n > 0; n--)
			json_array_append_new(chain, random_definition(&r));
		text = json_dumps(chain, JSON_COMPACT);
		t = transforming_try(text, &err);
		for (unsigned k = 0; t && k < ITEMS_A_CHAIN; k++) {
			json_t *one = random_item(&r);
			json_t *two = rng_below(&r, 2) ? random_item(&r) : changed(&r, one);

			for (int format = FORMAT_DEBEZIUM; format <= FORMAT_DYNAMODB; format++) {
				good += agree(text, chain, t, one, two, (enum event_format)format);
				all++;
			}
			json_decref(one);
			json_decref(two);
		}
		transform_free(t);
		free(text);
		json_decref(chain);
	}
	/* Most of them come to an end, so that something is compared. */
	assert_true(all > CHAINS * ITEMS_A_CHAIN);
	assert_true(good > all / 2);
}

/* The same with other texts in it. */
static json_t *another(const json_t *item)
{
	json_t *copy = json_deep_copy(item), *value;
	const char *name;

	json_object_foreach(copy, name, value)
	{
		const char *text = json_string_value(json_object_get(value, "S"));
		char more[64];

		if (!text || strcmp(name, "pk") == 0)
			continue;
		snprintf(more, sizeof(more), "%s, more", text);
		json_object_set_new(value, "S", json_string(more));
	}
	return copy;
}

/* Each record of the page becomes what it becomes alone. */
static void assert_alone(const char *chain_text, const struct batch *b, struct encoding encoding)
{
	for (size_t i = 0; i < b->count; i++) {
		struct batch *single;
		struct buf alone;

		buf_init(&alone, 0);
		buf_printf(&alone, "{\"Records\":[%.*s]}", STR_ARG(b->events[i].raw));
		single = transforming_decode(buf_str(&alone), encoding);
		if (!str_equal(single->payloads[0][0], b->payloads[0][i]))
			fail_msg("%s\nrecord %zu: %.*s\ngives %.*s\nalone %.*s", chain_text, i,
				 STR_ARG(b->events[i].raw), STR_ARG(b->payloads[0][i]),
				 STR_ARG(single->payloads[0][0]));
		batch_free(single);
		buf_release(&alone);
	}
}

/* What items that are alike have in common is found out once. */
static void records_are_what_they_are_alone(void **state)
{
	struct rng r;

	(void)state;
	rng_seed(&r, 2);
	for (unsigned i = 0; i < CHAINS; i++) {
		json_t *chain = json_array(), *one = random_item(&r), *two = another(one);
		char *first = json_dumps(one, JSON_COMPACT),
		     *second = json_dumps(two, JSON_COMPACT);
		struct error err = { 0 };
		struct transform *t;
		struct buf page;
		char *text;

		for (uint64_t n = rng_below(&r, 5) + 1; n > 0; n--)
			json_array_append_new(chain, random_definition(&r));
		text = json_dumps(chain, JSON_COMPACT);
		t = transforming_try(text, &err);
		buf_init(&page, 0);
		buf_text(&page, "{\"Records\":[");
		for (unsigned k = 0; k < 4; k++) {
			buf_text(&page, k ? "," : "");
			transforming_record(&page, "MODIFY",
					    "{\"pk\":{\"S\":\"a\"},\"sk\":{\"N\":\"1\"}}",
					    k % 2 ? first : second, k < 2 ? first : second);
		}
		buf_text(&page, "]}");
		for (int format = FORMAT_DEBEZIUM; t && format <= FORMAT_DYNAMODB; format++) {
			struct encoding encoding = { .format = (enum event_format)format,
						     .transform = t };
			struct batch *b = transforming_decode(buf_str(&page), encoding);

			assert_int_equal(b->count, 4);
			assert_alone(text, b, encoding);
			batch_free(b);
		}
		buf_release(&page);
		transform_free(t);
		free(text);
		free(first);
		free(second);
		json_decref(one);
		json_decref(two);
		json_decref(chain);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_agree_on_random_chains),
		cmocka_unit_test(records_are_what_they_are_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
