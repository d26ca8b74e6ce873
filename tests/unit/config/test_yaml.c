/* The tree with its lines, and what stands for the environment and files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/expand.h"
#include "config/yaml.h"

static void the_tree_keeps_kinds_lines_and_paths(void **state)
{
	struct arena a;
	struct error err = { 0 };
	const struct yaml_node *root, *list, *n;
	struct buf path;

	(void)state;
	arena_init(&a);
	buf_init(&path, 0);
	root = yaml_parse(&a,
			  STR("# first\na: 1\nb:\n  - x\n  - { c: 'y', d: }\n"
			      "e: \"null\"\nf: ~\ng: {\"h\": [1, 2]}\n"),
			  "f", &err);
	assert_non_null(root);
	assert_int_equal(root->kind, YAML_MAP);
	assert_int_equal(root->count, 5);
	n = yaml_find(root, "a");
	assert_string_equal(n->text, "1");
	assert_int_equal(n->line, 2);
	list = yaml_find(root, "b");
	assert_int_equal(list->kind, YAML_LIST);
	assert_int_equal(list->count, 2);
	n = yaml_find(list->last, "c");
	assert_string_equal(n->text, "y");
	assert_int_equal(n->line, 5);
	assert_false(n->plain);
	yaml_path(n, &path);
	assert_string_equal(path.data, "b[1].c");
	assert_true(yaml_is_null(yaml_find(list->last, "d")));
	assert_false(yaml_is_null(yaml_find(root, "e")));
	assert_true(yaml_is_null(yaml_find(root, "f")));
	assert_null(yaml_find(root, "zz"));
	assert_string_equal(yaml_find(yaml_find(root, "g"), "h")->last->text, "2");
	buf_release(&path);
	arena_release(&a);
}

static void an_empty_document_is_an_empty_map(void **state)
{
	static const char *const all[] = { "",   "# nothing\n",  "---\n",         "null\n",
					   "{}", "\xef\xbb\xbf", "\xef\xbb\xbf{}" };

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct arena a;
		struct error err = { 0 };
		const struct yaml_node *root;

		arena_init(&a);
		root = yaml_parse(&a, str_of(all[i]), "f", &err);
		assert_non_null(root);
		assert_int_equal(root->kind, YAML_MAP);
		assert_int_equal(root->count, 0);
		arena_release(&a);
	}
}

static void what_is_refused_names_its_line(void **state)
{
	static const struct {
		const char *text, *message;
	} all[] = {
		{ "a: &x 1\n", "f:1: anchors and tags are not supported" },
		{ "a: 1\nb: *x\n", "f:2: aliases are not supported" },
		{ "a: !!int 1\n", "f:1: anchors and tags are not supported" },
		{ "a: &x [1]\n", "f:1: anchors and tags are not supported" },
		{ "a: &x {b: 1}\n", "f:1: anchors and tags are not supported" },
		{ "a: 1\n---\nb: 2\n", "f:2: there is more than one document" },
		{ "a: 1\nb: 2\na: 3\n", "f:3: a: given twice, first in line 1" },
		{ "a:\n  b: 1\n  b: 2\n", "f:3: a.b: given twice, first in line 2" },
		{ "? [x]\n: 1\n", "f:1: a key must be a text" },
		{ "\"\": 1\n", "f:1: a key is empty" },
		{ "a: \"x\\0y\"\n", "f:1: a text holds a zero byte" },
		{ "a: 1\n b: [\n", "f:2: not valid YAML: mapping values are not allowed in this "
				   "context" },
		{ "a: [1, 2\n", "f:2: not valid YAML: did not find expected ',' or ']'" },
		{ "\xef\xbb\xbf"
		  "a: 1\nb: 2\na: 3\n",
		  "f:3: a: given twice, first in line 1" },
		{ "a:\n  { b: ${N} }\nc: 1\n",
		  "f:2: not valid YAML: did not find expected ',' or '}'; inside { } and [ ] a "
		  "text with ${…} needs quotes" },
		{ "a: \"\xff\"\n", "f:1: not valid YAML: invalid leading UTF-8 octet" },
		{ "[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]", "f:1: nested more than 20 deep" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct arena a;
		struct error err = { 0 };

		arena_init(&a);
		assert_null(yaml_parse(&a, str_of(all[i].text), "f", &err));
		assert_int_equal(err.kind, ERROR_INVALID);
		assert_string_equal(err.message, all[i].message);
		arena_release(&a);
	}
}

static void sizes_are_bounded(void **state)
{
	struct arena a;
	struct error err = { 0 };
	struct buf text;

	(void)state;
	arena_init(&a);
	buf_init(&text, 0);
	for (int i = 0; i < 1001; i++)
		buf_printf(&text, "k%d: 1\n", i);
	assert_null(yaml_parse(&a, buf_str(&text), "f", &err));
	assert_string_equal(err.message, "f:1001: a map has more than 1000 keys");
	buf_clear(&text);
	for (int i = 0; i < 100001; i++)
		buf_text(&text, "- 1\n");
	assert_null(yaml_parse(&a, buf_str(&text), "f", &err));
	assert_string_equal(err.message, "f:100000: more than 100000 values");
	buf_clear(&text);
	buf_text(&text, "# ");
	while (text.size <= YAML_BYTES_MAX)
		buf_text(&text, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
	assert_null(yaml_parse(&a, buf_str(&text), "f", &err));
	assert_string_equal(err.message, "f: larger than 1MiB");
	buf_release(&text);
	arena_release(&a);
}

static void quoted_text_reads_as_the_same_text(void **state)
{
	static const char *const all[] = {
		"",
		"plain",
		"null",
		"a\"b\\c: #d",
		"tab\tline\nreturn\rbell\a",
		"\x7f"
		" \xc2\x85 \u00a0 \u00fc \u2028 \u2029 \ufeff \ufffd \uffff \U0001f600 "
		"\U0010ffff",
		"  spaces  ",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct arena a;
		struct error err = { 0 };
		const struct yaml_node *root;
		struct buf text;

		arena_init(&a);
		buf_init(&text, 0);
		buf_text(&text, "k: ");
		yaml_quote(&text, all[i]);
		root = yaml_parse(&a, buf_str(&text), "f", &err);
		if (!root)
			fail_msg("%s: %s", text.data, err.message);
		assert_string_equal(root->first->text, all[i]);
		buf_release(&text);
		arena_release(&a);
	}
}

static void utf8_is_strict(void **state)
{
	static const struct {
		const char *bytes;
		size_t length;
	} all[] = {
		{ "a", 1 },
		{ "\u00fc", 2 },
		{ "\u20ac", 3 },
		{ "\U0001f600", 4 },
		{ "\xc0\x80", 0 },
		{ "\xc1\xbf", 0 },
		{ "\xe0\x9f\xbf", 0 },
		{ "\xed\xa0\x80", 0 },
		{ "\xf0\x8f\xbf\xbf", 0 },
		{ "\xf4\x90\x80\x80", 0 },
		{ "\xf5\x80\x80\x80", 0 },
		{ "\x80", 0 },
		{ "\xe2\x82", 0 },
		{ "\xe2\x28\xa1", 0 },
	};
	uint32_t code;

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		assert_int_equal(
			yaml_utf8(all[i].bytes, all[i].bytes + strlen(all[i].bytes), &code),
			all[i].length);
}

static void variables_and_dollars_are_expanded(void **state)
{
	static const struct {
		enum expand_kind kind;
		const char *text, *value;
	} all[] = {
		{ EXPAND_VALUE, "plain", "plain" },
		{ EXPAND_VALUE, "${T_SET}", "value" },
		{ EXPAND_VALUE, "a-${T_SET}-${T_SET}.", "a-value-value." },
		{ EXPAND_VALUE, "${T_UNSET:-other}", "other" },
		{ EXPAND_VALUE, "${T_EMPTY:-other}", "other" },
		{ EXPAND_VALUE, "${T_EMPTY}", "" },
		{ EXPAND_VALUE, "${T_UNSET:-}", "" },
		{ EXPAND_VALUE, "${T_UNSET:-a:-b}", "a:-b" },
		{ EXPAND_VALUE, "$${T_SET}", "${T_SET}" },
		{ EXPAND_VALUE, "5$ $x $$ $", "5$ $x $ $" },
		{ EXPAND_VALUE, "${T_NESTED}", "${T_SET}" }, /* not looked at again */
		{ EXPAND_TEMPLATE, "${table}/${env:T_SET}/${yyyy}", "${table}/value/${yyyy}" },
		{ EXPAND_TEMPLATE, "${env:T_UNSET:-x}$$ $y", "x$$ $y" },
		{ EXPAND_TEMPLATE, "${T_SET} ${open", "${T_SET} ${open" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		size_t left = EXPAND_BYTES_MAX;
		struct error err = { 0 };
		struct arena a;
		const char *value;

		arena_init(&a);
		value = expand_text(&a, all[i].text, all[i].kind, &left, &err);
		if (!value)
			fail_msg("%s: %s", all[i].text, err.message);
		assert_string_equal(value, all[i].value);
		arena_release(&a);
	}
}

static void what_cannot_be_expanded_is_named(void **state)
{
	static const struct {
		enum expand_kind kind;
		const char *text, *message;
	} all[] = {
		{ EXPAND_VALUE, "x${T_UNSET}",
		  "the environment variable T_UNSET is not set; set it or write a default: "
		  "${T_UNSET:-…}" },
		{ EXPAND_TEMPLATE, "${env:T_UNSET}",
		  "the environment variable T_UNSET is not set; set it or write a default: "
		  "${env:T_UNSET:-…}" },
		{ EXPAND_VALUE, "${env:T_SET}",
		  "${env:T_SET} is not a variable's name; write ${NAME} or ${NAME:-default}, "
		  "$$ for a plain $" },
		{ EXPAND_VALUE, "${}",
		  "${} is not a variable's name; write ${NAME} or ${NAME:-default}, $$ for a "
		  "plain $" },
		{ EXPAND_VALUE, "${1A}",
		  "${1A} is not a variable's name; write ${NAME} or ${NAME:-default}, $$ for a "
		  "plain $" },
		{ EXPAND_VALUE, "a${T_SET", "'${T_SET' has no closing }; $$ is a plain $" },
		{ EXPAND_VALUE, "${A:-${B}}", "'${A:-${B}': a default cannot hold another ${" },
		{ EXPAND_VALUE, "${file:/does/not/exist}",
		  "${file:/does/not/exist} cannot be read: No such file or directory" },
		{ EXPAND_VALUE, "${file:/}", "${file:/} is not a regular file" },
		{ EXPAND_VALUE, "${file:/dev/zero}", "${file:/dev/zero} is not a regular file" },
		{ EXPAND_VALUE, "${T_BINARY}",
		  "'${T_BINARY}' gives bytes that are not UTF-8 text" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		size_t left = EXPAND_BYTES_MAX;
		struct error err = { 0 };
		struct arena a;

		arena_init(&a);
		assert_null(expand_text(&a, all[i].text, all[i].kind, &left, &err));
		assert_int_equal(err.kind, ERROR_INVALID);
		assert_string_equal(err.message, all[i].message);
		arena_release(&a);
	}
}

static void files_are_read_without_their_last_newline(void **state)
{
	char path[] = "/tmp/sluice-test-XXXXXX", text[64];
	static const struct {
		const char *content, *value;
	} all[] = {
		{ "secret\n", "secret" },
		{ "secret\r\n", "secret" },
		{ "secret", "secret" },
		{ "two\nlines\n\n", "two\nlines\n" },
		{ "", "" },
		{ "\n", "" },
		{ "has ${T_SET}", "has ${T_SET}" },
	};
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	snprintf(text, sizeof(text), "<${file:%s}>", path);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		size_t left = EXPAND_BYTES_MAX, n = strlen(all[i].content);
		struct error err = { 0 };
		char want[64];
		struct arena a;

		arena_init(&a);
		assert_int_equal(ftruncate(fd, 0), 0);
		assert_int_equal(pwrite(fd, all[i].content, n, 0), n);
		snprintf(want, sizeof(want), "<%s>", all[i].value);
		assert_string_equal(expand_text(&a, text, EXPAND_VALUE, &left, &err), want);
		arena_release(&a);
	}
	close(fd);
	unlink(path);
}

static void expansion_is_bounded(void **state)
{
	char path[] = "/tmp/sluice-test-XXXXXX", text[64];
	size_t left = 100;
	struct error err = { 0 };
	struct arena a;
	int fd = mkstemp(path);

	(void)state;
	arena_init(&a);
	setenv("T_LONG", "0123456789012345678901234567890123456789", 1);
	assert_non_null(expand_text(&a, "${T_LONG}${T_LONG}", EXPAND_VALUE, &left, &err));
	assert_int_equal(left, 20);
	assert_null(expand_text(&a, "${T_LONG}", EXPAND_VALUE, &left, &err));
	assert_string_equal(err.message, "the variables and files of the configuration are larger "
					 "than 4MiB together");
	assert_int_equal(ftruncate(fd, (64 << 10) + 1), 0);
	close(fd);
	snprintf(text, sizeof(text), "${file:%s}", path);
	left = EXPAND_BYTES_MAX;
	assert_null(expand_text(&a, text, EXPAND_VALUE, &left, &err));
	assert_non_null(strstr(err.message, "is larger than 64KiB"));
	unlink(path);
	arena_release(&a);
}

static int environment(void **state)
{
	(void)state;
	setenv("T_SET", "value", 1);
	setenv("T_EMPTY", "", 1);
	setenv("T_NESTED", "${T_SET}", 1);
	setenv("T_BINARY", "\xff\xfe", 1);
	unsetenv("T_UNSET");
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_tree_keeps_kinds_lines_and_paths),
		cmocka_unit_test(an_empty_document_is_an_empty_map),
		cmocka_unit_test(what_is_refused_names_its_line),
		cmocka_unit_test(sizes_are_bounded),
		cmocka_unit_test(quoted_text_reads_as_the_same_text),
		cmocka_unit_test(utf8_is_strict),
		cmocka_unit_test(variables_and_dollars_are_expanded),
		cmocka_unit_test(what_cannot_be_expanded_is_named),
		cmocka_unit_test(files_are_read_without_their_last_newline),
		cmocka_unit_test(expansion_is_bounded),
	};

	return cmocka_run_group_tests(tests, environment, NULL);
}
