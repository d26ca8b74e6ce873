/* jansson as the second opinion: the same documents through both, and the same faults found. */
#include "tests/unit/event/decoding.h"

#include <jansson.h>

#include "base/rng.h"
#include "tests/unit/event/random_page.h"

#define FLAGS (JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL)

/* --- DynamoDB's rules, read from jansson's tree --- */

static bool valid_number(const char *p)
{
	int first = -1, last = -1, digits = 0, point = -1;
	long exponent = 0;

	p += *p == '-' || *p == '+';
	for (; (*p >= '0' && *p <= '9') || (*p == '.' && point < 0); p++) {
		if (*p == '.') {
			point = digits;
			continue;
		}
		if (*p != '0') {
			first = first < 0 ? digits : first;
			last = digits;
		}
		digits++;
	}
	if (digits == 0)
		return false;
	if (*p == 'e' || *p == 'E') {
		const char *begin = ++p;
		char *end;

		begin += *p == '-' || *p == '+';
		if (*begin < '0' || *begin > '9')
			return false;
		exponent = strtol(p, &end, 10); /* saturates, which is as good */
		p = end;
	}
	if (*p)
		return false;
	if (first < 0)
		return true;
	if (exponent > 100000 || exponent < -100000)
		return false;
	exponent += (point < 0 ? digits : point) - 1 - first;
	return last - first < 38 && exponent >= -130 && exponent <= 125;
}

static bool valid_base64(const char *p, size_t n)
{
	size_t symbols =
		strspn(p, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");

	return n % 4 == 0 && n - symbols <= 2 && strspn(p + symbols, "=") == n - symbols;
}

static bool valid_text(char type, const json_t *v)
{
	const char *text = json_string_value(v);

	if (!text)
		return false;
	if (type == 'N')
		return strlen(text) == json_string_length(v) && valid_number(text);
	return type == 'S' || valid_base64(text, json_string_length(v));
}

static bool valid_value(json_t *v, unsigned depth);

static bool valid_item(json_t *item, unsigned depth)
{
	const char *name;
	json_t *v;

	if (!json_is_object(item) || depth > 32)
		return false;
	json_object_foreach(item, name, v) if (!valid_value(v, depth)) return false;
	return true;
}

static bool valid_list(json_t *list, unsigned depth)
{
	size_t i;
	json_t *v;

	if (!json_is_array(list) || depth > 32)
		return false;
	json_array_foreach(list, i, v) if (!valid_value(v, depth)) return false;
	return true;
}

static bool valid_set(char type, json_t *set)
{
	size_t i;
	json_t *v;

	json_array_foreach(set, i, v) if (!valid_text(type, v)) return false;
	return json_array_size(set) > 0;
}

static bool valid_value(json_t *v, unsigned depth)
{
	void *only = json_object_iter(v);
	const char *type = only ? json_object_iter_key(only) : "";
	json_t *x = only ? json_object_iter_value(only) : NULL;

	if (json_object_size(v) != 1)
		return false;
	if (strcmp(type, "S") == 0 || strcmp(type, "N") == 0 || strcmp(type, "B") == 0)
		return valid_text(*type, x);
	if (strcmp(type, "SS") == 0 || strcmp(type, "NS") == 0 || strcmp(type, "BS") == 0)
		return valid_set(*type, x);
	if (strcmp(type, "M") == 0)
		return valid_item(x, depth + 1);
	if (strcmp(type, "L") == 0)
		return valid_list(x, depth + 1);
	return (strcmp(type, "BOOL") == 0 && json_is_boolean(x)) ||
	       (strcmp(type, "NULL") == 0 && json_is_true(x));
}

static bool valid_key(json_t *keys, const char *name)
{
	json_t *v = json_object_get(keys, name);

	return json_object_get(v, "S") || json_object_get(v, "N") || json_object_get(v, "B");
}

static bool optional_item(json_t *item)
{
	return !item || json_is_null(item) || valid_item(item, 0);
}

static bool optional_string(json_t *v, bool null)
{
	return !v || (null && json_is_null(v)) || json_is_string(v);
}

static bool valid_identity(json_t *identity)
{
	if (!identity || json_is_null(identity))
		return true;
	return json_is_object(identity) &&
	       optional_string(json_object_get(identity, "Type"), false) &&
	       optional_string(json_object_get(identity, "PrincipalId"), false) &&
	       optional_string(json_object_get(identity, "type"), false) &&
	       optional_string(json_object_get(identity, "principalId"), false);
}

static bool valid_record(json_t *record)
{
	json_t *d = json_object_get(record, "dynamodb"), *keys = json_object_get(d, "Keys");
	const char *name = json_string_value(json_object_get(record, "eventName"));
	json_t *sequence = json_object_get(d, "SequenceNumber");
	json_t *time = json_object_get(d, "ApproximateCreationDateTime");
	const char *digits = json_string_value(sequence);

	if (!name || !digits || !json_is_number(time) || !valid_item(keys, 0))
		return false;
	if (strcmp(name, "INSERT") != 0 && strcmp(name, "MODIFY") != 0 &&
	    strcmp(name, "REMOVE") != 0)
		return false;
	if (strspn(digits, "0123456789") != json_string_length(sequence) || !*digits)
		return false;
	digits += strspn(digits, "0");
	if (strlen(digits) > 40)
		return false;
	if (json_number_value(time) < 0 || json_number_value(time) >= 253402300800.0)
		return false;
	return valid_key(keys, "pk") && valid_key(keys, "sk") &&
	       optional_item(json_object_get(d, "NewImage")) &&
	       optional_item(json_object_get(d, "OldImage")) &&
	       optional_string(json_object_get(record, "eventID"), true) &&
	       valid_identity(json_object_get(record, "userIdentity"));
}

static bool valid_page(json_t *page)
{
	json_t *records = json_object_get(page, "Records"), *record;
	json_t *iterator = json_object_get(page, "NextShardIterator");
	size_t i;

	if (!json_is_array(records))
		return false;
	json_array_foreach(records, i, record) if (!valid_record(record)) return false;
	return !iterator || json_is_null(iterator) ||
	       (json_is_string(iterator) && json_string_length(iterator) > 0);
}

/* --- the same item as plain JSON, made from jansson's tree; numbers as their text --- */

static json_t *plain_value(json_t *v);

static json_t *plain_item(json_t *item)
{
	json_t *out = json_object(), *v;
	const char *name;

	json_object_foreach(item, name, v) json_object_set_new(out, name, plain_value(v));
	return out;
}

static json_t *plain_value(json_t *v)
{
	void *only = json_object_iter(v);
	const char *type = json_object_iter_key(only);
	json_t *x = json_object_iter_value(only), *out, *each;
	size_t i;

	if (strcmp(type, "M") == 0)
		return plain_item(x);
	if (strcmp(type, "NULL") == 0)
		return json_null();
	if (strcmp(type, "L") != 0)
		return json_incref(x);
	out = json_array();
	json_array_foreach(x, i, each) json_array_append_new(out, plain_value(each));
	return out;
}

/* What the number's text becomes in JSON, worked out another way than the decoder does. */
static void legal_number(const char *text, struct buf *out)
{
	size_t whole = strspn(text + strspn(text, "+-"), "0123456789");
	const char *p = text + strspn(text, "+-");

	buf_text(out, *text == '-' ? "-" : "");
	while (whole > 1 && *p == '0') {
		p++;
		whole--;
	}
	buf_printf(out, "%s%.*s", whole ? "" : "0", (int)whole, p);
	p += whole;
	if (*p == '.' && p[1] >= '0' && p[1] <= '9')
		buf_printf(out, ".%.*s", (int)strspn(p + 1, "0123456789"), p + 1);
	p += strcspn(p, "eE");
	if (*p)
		buf_printf(out, "E%s", p + 1);
}

/* In `exact` bare numbers stand where `strings` has their text as a string. */
static void assert_same_digits(struct str exact, struct str strings)
{
	const char *p = exact.p, *q = strings.p;
	bool quoted = false;

	while (p < exact.p + exact.n) {
		if (!quoted && *q == '"' && (*p == '-' || (*p >= '0' && *p <= '9'))) {
			size_t n = strcspn(++q, "\"");
			char *text = memory_text_n(q, n);
			struct buf legal;

			buf_init(&legal, 0);
			legal_number(text, &legal);
			assert_memory_equal(p, legal.data, legal.size);
			p += legal.size;
			q += n + 1;
			buf_release(&legal);
			free(text);
			continue;
		}
		if (*p == '"')
			quoted = !quoted;
		if (*p == '\\')
			assert_int_equal(*p++, *q++);
		assert_int_equal(*p++, *q++);
	}
}

static void assert_images(const struct batch *b, size_t i, json_t *record)
{
	json_t *d = json_object_get(record, "dynamodb");
	json_t *image = json_object_get(d, "OldImage");
	json_t *old = image ? plain_item(image) : json_null();
	json_t *new = plain_item(json_object_get(d, "NewImage"));
	json_error_t why;
	json_t *exact = json_loadb(b->payloads[0][i].p, b->payloads[0][i].n, FLAGS, &why);
	json_t *strings = json_loadb(b->payloads[1][i].p, b->payloads[1][i].n, FLAGS, &why);
	json_t *lambda = json_loadb(b->payloads[2][i].p, b->payloads[2][i].n, FLAGS, &why);

	assert_non_null(exact);
	assert_non_null(strings);
	assert_non_null(lambda);
	assert_true(json_equal(json_object_get(strings, "before"), old));
	assert_true(json_equal(json_object_get(strings, "after"), new));
	assert_true(json_equal(json_object_get(lambda, "dynamodb"), d));
	assert_same_digits(b->payloads[0][i], b->payloads[1][i]);
	assert_int_equal(b->events[i].op, image ? EVENT_UPDATE : EVENT_READ);
	json_decref(exact);
	json_decref(strings);
	json_decref(lambda);
	json_decref(old);
	json_decref(new);
}

static void random_documents_agree(void **state)
{
	const struct encoding encodings[] = { { .format = FORMAT_DEBEZIUM },
					      { .format = FORMAT_DEBEZIUM,
						.numbers_as_strings = true },
					      { .format = FORMAT_DYNAMODB } };
	struct decode_options o = {
		.encodings = encodings, .encoding_count = 3, .lenient = false, .now_ms = 1
	};

	(void)state;
	for (uint64_t seed = 0; seed < 300; seed++) {
		struct rng r;
		struct buf page;
		struct batch *b;
		struct error err;
		json_t *tree;

		rng_seed(&r, seed);
		buf_init(&page, 0);
		random_page(&r, 8, &page);
		tree = json_loadb(page.data, page.size, FLAGS, NULL);
		assert_non_null(tree);
		assert_true(valid_page(tree));
		b = decoding_batch(buf_str(&page), &decoding_source);
		if (!decode_page(b, &o, &err))
			fail_msg("seed %u: %s", (unsigned)seed, err.message);
		assert_int_equal(b->count, 8);
		for (size_t i = 0; i < b->count; i++)
			assert_images(b, i, json_array_get(json_object_get(tree, "Records"), i));
		json_decref(tree);
		batch_free(b);
		buf_release(&page);
	}
}

/* --- mutations --- */

static void mutate(struct rng *r, struct buf *page)
{
	static const char bytes[] = "\"\\{}[]:,0129.-+eEuSNBLM tfn\x01\x7f\x80\xc3\xa9\xed\xff/=A";
	size_t at = rng_below(r, page->size), from = rng_below(r, page->size);
	size_t n = rng_below(r, 12) + 1;

	n = n > page->size - at ? page->size - at : n;
	n = n > page->size - from ? page->size - from : n;
	switch (rng_below(r, 4)) {
	case 0: /* another byte */
		page->data[at] = bytes[rng_below(r, sizeof(bytes) - 1)];
		break;
	case 1: /* some are gone */
		memmove(page->data + at, page->data + at + n, page->size - at - n + 1);
		page->size -= n;
		break;
	case 2: /* a piece from elsewhere */
		memmove(page->data + at, page->data + from, n);
		break;
	default: /* one more */
		buf_text(page, " ");
		memmove(page->data + at + 1, page->data + at, page->size - at - 1);
		page->data[at] = bytes[rng_below(r, sizeof(bytes) - 1)];
	}
}

static void assert_agree(const struct buf *page, uint64_t seed)
{
	const struct encoding encoding = { .format = FORMAT_DEBEZIUM };
	json_error_t why;
	json_t *tree = json_loadb(page->data, page->size, FLAGS, &why);
	struct error err = { 0 };
	struct batch *b = decoding_try(buf_str(page), false, encoding, &err);
	bool valid = tree && valid_page(tree);

	/* jansson turns numbers into doubles and finds some too large; and where a name comes
	 * twice, ours looks only at members that it reads. */
	if (!tree && (json_error_code(&why) == json_error_numeric_overflow ||
		      json_error_code(&why) == json_error_null_byte_in_key ||
		      json_error_code(&why) == json_error_duplicate_key))
		valid = b != NULL;
	if (valid != (b != NULL))
		fail_msg("seed %u: jansson and DynamoDB's rules say %s (%s), ours says %s\n%s",
			 (unsigned)seed, valid ? "good" : "bad", tree ? "a rule" : why.text,
			 b ? "good" : err.message, page->data);
	/* What is good strictly is good leniently. */
	if (b) {
		struct batch *again = decoding_try(buf_str(page), true, encoding, &err);

		assert_non_null(again);
		assert_int_equal(again->bad_count, 0);
		assert_int_equal(again->count, b->count);
		batch_free(again);
	}
	json_decref(tree);
	batch_free(b);
}

static void random_mutations_agree(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 12000; seed++) {
		struct rng r;
		struct buf page;

		rng_seed(&r, seed);
		buf_init(&page, 0);
		random_page(&r, 2, &page);
		for (uint64_t n = rng_below(&r, 3); n < 3; n++)
			mutate(&r, &page);
		assert_agree(&page, seed);
		buf_release(&page);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_documents_agree),
		cmocka_unit_test(random_mutations_agree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
