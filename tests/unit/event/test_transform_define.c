/* Definitions that are refused: where, and in which words. */
#include "tests/unit/event/decoding.h"

#include "event/transform.h"

#define KEY "key\":\"0123456789abcdef\""

static const struct {
	const char *definition, *at, *message; /* at: what the place begins with */
} wrong[] = {
	{ "", "", "not JSON: expected a value" },
	{ "{\"drop\":[}", "}", "not JSON: expected a value" },
	{ "{\"drop\":\"a\"} x", " x", "not JSON: expected nothing behind it" },
	{ "[]", "[",
	  "drop: expected a map with one transform, such as { drop: [password, "
	  "\"lines[*].secret\"] }" },
	{ "{}", "{", "drop: expected a map with one transform, such as" },
	{ "{\"on_fail\":\"keep\"}", "{", "drop: expected a map with one transform, such as" },
	{ "\"drop\"", "\"drop", "drop: expected a map, such as { drop: [" },
	{ "\"strip\"", "\"strip",
	  "no such transform: 'strip'; there are keep, drop, rename, move, set, cast, "
	  "mask, hash, truncate, flatten, parse, split, strip_replication, lua; such as { drop: "
	  "[" },
	{ "{\"kep\":[\"a\"]}", "\"kep", "no such transform: 'kep'; there are keep, drop" },
	{ "{\"keep\":\"a\",\"drop\":\"b\"}", "\"drop",
	  "'drop' beside 'keep': each transform is an entry "
	  "of its own, so that their order is told, such as [{ keep: [total, address.town] }, { "
	  "drop: [" },
	{ "{\"keep\":\"a\",\"keep\":\"b\"}", "\"keep\":\"b", "'keep' is there twice" },
	{ "{\"set\":{\"a\":{\"b\":{\"c\":{\"d\":{\"e\":{}}}}}}}", "{\"e\"",
	  "maps and lists inside each other: no "
	  "transform has that many" },
	/* paths */
	{ "{\"drop\":[]}", "\"drop", "drop: expected paths of attributes, such as" },
	{ "{\"drop\":{\"a\":1}}", "\"drop", "drop: expected paths of attributes, such as" },
	{ "{\"drop\":[5]}", "5", "drop: expected an attribute's path, such as" },
	{ "{\"drop\":[\"\"]}", "\"\"", "drop: expected an attribute's path, such as" },
	{ "{\"drop\":[\"a..b\"]}", "\"a",
	  "drop: 'a..b': expected an attribute's path such as address.town or "
	  "lines[0].price, with a name at each place" },
	{ "{\"drop\":\".a\"}", "\"drop", "drop: '.a': expected an attribute's path such as" },
	{ "{\"drop\":\"a.\"}", "\"drop",
	  "drop: 'a.': a path that ends with '.'; expected one such as address.town" },
	{ "{\"drop\":\"[0]\"}", "\"drop", "drop: '[0]': expected an attribute's path such as" },
	{ "{\"drop\":\"a[\"}", "\"drop",
	  "drop: 'a[': '[' without its ']'; expected lines[0] or lines[*]; write \\[ for one in a "
	  "name" },
	{ "{\"drop\":\"a]\"}", "\"drop",
	  "drop: 'a]': ']' without its '['; write \\] for one in a name, as in c\\[1\\]" },
	{ "{\"drop\":\"a[]\"}", "\"drop",
	  "drop: 'a[]': expected [0], [1], … or [*] behind a list's name, such as lines[0]" },
	{ "{\"drop\":\"a[-1]\"}", "\"drop", "drop: 'a[-1]': expected [0], [1], … or [*]" },
	{ "{\"drop\":\"a[0]b\"}", "\"drop",
	  "drop: 'a[0]b': expected '.' or '[' behind ']', such as lines[0].price" },
	{ "{\"drop\":\"a.[0]\"}", "\"drop",
	  "drop: 'a.[0]': expected a name behind '.', such as lines[0].price" },
	{ "{\"drop\":\"a\\\\\"}", "\"drop",
	  "drop: 'a\\': a path that ends with '\\'; it stands before another character, as in "
	  "a\\.b" },
	{ "{\"keep\":{}}", "\"keep",
	  "keep: expected paths of attributes, such as { keep: [total, "
	  "address.town] }" },
	/* rename, move */
	{ "{\"rename\":\"a\"}", "\"rename",
	  "rename: expected a map of paths to names, such as { rename: { "
	  "custName: customer_name } }" },
	{ "{\"rename\":{}}", "\"rename", "rename: expected a map of paths to names" },
	{ "{\"rename\":{\"a\":\"b.c\"}}", "\"a",
	  "rename: 'b.c': a new name, not a path: use move for another "
	  "place, such as { move: { address.town: town } }, \\. for a dot in a name" },
	{ "{\"rename\":{\"a[0]\":\"b\"}}", "\"a", "rename: expected a path that ends with a name" },
	{ "{\"rename\":{\"a\":5}}", "\"a", "rename: expected an attribute's new name" },
	{ "{\"rename\":{\"a\":\"b\",\"b\":\"a\"}}", "\"b\":\"a",
	  "rename: 'b' is what another entry makes; write "
	  "the second as a transform of its own" },
	{ "{\"move\":{\"a\":\"b\",\"b\":\"c\"}}", "\"b\":\"c",
	  "move: 'b' is what another entry makes" },
	{ "{\"move\":{\"a\":\"a.b\"}}", "\"a", "move: expected a new place that is not in itself" },
	{ "{\"move\":{\"a\":\"b[0]\"}}", "\"a", "move: expected a new place in maps, without [ ]" },
	{ "{\"move\":{\"a[*]\":\"b\"}}", "\"a",
	  "move: expected the path of one attribute, without [*]" },
	/* set */
	{ "{\"set\":{\"a\":[]}}", "\"a",
	  "set: expected a text, number, true, false or null, such as { set: { "
	  "full: \"${attribute:first} ${attribute:last}\" } }" },
	{ "{\"set\":{\"a[0]\":1}}", "\"a", "set: expected a place in maps, without [ ]" },
	{ "{\"set\":{\"a\":1e999}}", "\"a", "set: expected a number as DynamoDB has them" },
	{ "{\"set\":{\"a\":\"${b}\"}}", "\"a",
	  "set: 'a': unknown placeholder ${b}; there are ${attribute:PATH}, "
	  "${attribute:PATH:-DEFAULT}, ${table}, ${stream}, ${region}, "
	  "${account}, ${op}, and $${ is a plain ${" },
	{ "{\"set\":{\"a\":\"${table\"}}", "\"a",
	  "set: 'a': ${ without its }, such as ${attribute:total}; $${ is a plain ${" },
	{ "{\"set\":{\"a\":\"${attribute:l[*]}\"}}", "\"a",
	  "set: 'a': a placeholder is of one attribute, "
	  "without [*]" },
	{ "{\"set\":{\"a\":\"${attribute:}\"}}", "\"a",
	  "set: 'a': unknown placeholder ${attribute:}" },
	/* cast, truncate */
	{ "{\"cast\":{\"a\":\"int\"}}", "\"a",
	  "cast: expected string, number or bool, such as { cast: { total: "
	  "string } }" },
	{ "{\"truncate\":{\"a\":0}}", "\"a",
	  "truncate: expected a length of 1 to 1000000, such as { truncate: "
	  "{ note: 100 } }" },
	{ "{\"truncate\":{\"a\":1.5}}", "\"a", "truncate: expected a length" },
	/* mask, hash, flatten, split */
	{ "{\"mask\":{\"paths\":\"a\",\"wiht\":\"#\"}}", "\"wiht",
	  "mask: no such setting: 'wiht'; such as { mask: { "
	  "paths: [card], keep_last: 4 } }" },
	{ "{\"mask\":{\"with\":\"#\"}}", "\"mask", "mask: expected paths" },
	{ "{\"mask\":{\"paths\":\"a\",\"keep_last\":\"4\"}}", "\"keep_last",
	  "mask: expected 0 to 1000 characters for "
	  "keep_last" },
	{ "{\"hash\":[\"a\"]}", "\"hash",
	  "hash: expected paths and a key, such as { hash: { paths: [email], key: "
	  "\"${file:/run/secrets/hash}\" } }" },
	{ "{\"hash\":{\"paths\":\"a\"}}", "\"hash", "hash: expected a key" },
	{ "{\"hash\":{\"paths\":\"a\",\"key\":\"hunter2\"}}", "\"key",
	  "hash: key: expected a secret of 16 bytes or "
	  "more, such as { hash:" },
	{ "{\"hash\":{\"paths\":\"a\",\"" KEY ",\"encoding\":\"hx\"}}", "\"encoding",
	  "hash: expected hex or base64 for "
	  "encoding" },
	{ "{\"flatten\":\"a[0]\"}", "\"flatten",
	  "flatten: expected paths that end with a name, such as { flatten: "
	  "[address] }" },
	{ "{\"split\":{\"paths\":\"a\",\"separator\":5}}", "\"separator",
	  "split: expected a short text for "
	  "separator" },
	{ "{\"strip_replication\":false}", "\"strip", "strip_replication: expected true" },
	/* on_fail */
	{ "{\"drop\":\"a\",\"on_fail\":\"keep\"}", "\"on_fail",
	  "on_fail: does not go with drop; only move, set, cast, flatten, parse and split have it, "
	  "such as" },
	{ "{\"cast\":{\"a\":\"number\"},\"on_fail\":\"nul\"}", "\"on_fail",
	  "on_fail: expected one of error, keep, null, "
	  "drop, such as { cast: { total: string "
	  "}, on_fail: keep }" },
	{ "{\"flatten\":\"a\",\"on_fail\":null}", "\"on_fail",
	  "on_fail: expected one of error, keep, such as" },
};

static void what_is_wrong_is_told_with_its_place(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		const char *text = wrong[i].definition;
		struct error err = { 0 };
		size_t at = SIZE_MAX;

		if (transform_check(str_of(text), &at, &err))
			fail_msg("%s is taken", text);
		if (err.kind != ERROR_INVALID ||
		    strncmp(err.message, wrong[i].message, strlen(wrong[i].message)) != 0)
			fail_msg("%s:\n%s\nexpected\n%s", text, err.message, wrong[i].message);
		assert_true(at <= strlen(text));
		if (strncmp(text + at, wrong[i].at, strlen(wrong[i].at)) != 0)
			fail_msg("%s: at %s", text, text + at);
		/* Nothing of a key. */
		assert_null(strstr(err.message, "hunter2"));
	}
}

static void limits_are_told(void **state)
{
	struct error err = { 0 };
	struct buf b;
	size_t at;

	(void)state;
	buf_init(&b, 0);
	buf_text(&b, "{\"drop\":\"a");
	for (unsigned i = 0; i < 32; i++)
		buf_text(&b, ".a");
	buf_text(&b, "\"}");
	assert_false(transform_check(buf_str(&b), &at, &err));
	assert_non_null(strstr(err.message, "a path has at most 32 parts"));
	buf_clear(&b);
	buf_text(&b, "{\"drop\":[\"a\"");
	for (unsigned i = 0; i < 1000; i++)
		buf_text(&b, ",\"a\"");
	buf_text(&b, "]}");
	assert_false(transform_check(buf_str(&b), &at, &err));
	assert_non_null(strstr(err.message, "at most 1000 of them; use a second transform"));
	buf_clear(&b);
	buf_printf(&b, "{\"drop\":\"%*s\"}", (int)TRANSFORM_DEFINITION_MAX, "a");
	assert_false(transform_check(buf_str(&b), &at, &err));
	assert_string_equal(err.message, "a transform is at most 65536 bytes long");
	assert_int_equal(at, 0);
	buf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_wrong_is_told_with_its_place),
		cmocka_unit_test(limits_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
