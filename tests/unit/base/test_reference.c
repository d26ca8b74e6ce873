/* docs/operations.md has the table of metrics as the program has it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/metrics.h"

#define PAGE  "docs/operations.md"
#define BEGIN "<!-- metrics -->\n"
#define END   "<!-- end -->"

static void read_page(struct buf *out)
{
	FILE *page = fopen(PAGE, "r");
	char part[4096];
	size_t n;

	assert_non_null(page);
	while ((n = fread(part, 1, sizeof(part), page)) > 0)
		assert_true(buf_add(out, part, n));
	fclose(page);
	buf_text(out, "");
}

static void the_table_is_in_the_documentation(void **state)
{
	struct buf page = { 0 }, table = { 0 };
	const char *begin, *end;

	(void)state;
	read_page(&page);
	metrics_reference(&table);
	begin = strstr(page.data, BEGIN);
	assert_non_null(begin);
	begin += strlen(BEGIN);
	end = strstr(begin, END);
	assert_non_null(end);
	if ((size_t)(end - begin) != table.size || memcmp(begin, table.data, table.size) != 0) {
		fputs(table.data, stdout);
		fail_msg("the table of " PAGE " is not this one");
	}
	buf_release(&page);
	buf_release(&table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_table_is_in_the_documentation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
