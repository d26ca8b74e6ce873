/* docs/operations.md has the tables of AWS's answers as the program has them, and each of them is
 * judged as the table says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "aws/answer.h"

#define PAGE  "docs/operations.md"
#define BEGIN "<!-- answers -->\n"
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

static void the_tables_are_in_the_documentation(void **state)
{
	struct buf page = { 0 }, tables = { 0 };
	const char *begin, *end;

	(void)state;
	read_page(&page);
	answer_reference(&tables);
	begin = strstr(page.data, BEGIN);
	if (begin)
		begin += strlen(BEGIN);
	end = begin ? strstr(begin, END) : NULL;
	if (!end || (size_t)(end - begin) != tables.size ||
	    memcmp(begin, tables.data, tables.size) != 0) {
		fputs(tables.data, stdout);
		fail_msg("the tables of " PAGE " are not these");
	}
	buf_release(&page);
	buf_release(&tables);
}

/* What a shard's reader may get: nothing is left to the status alone. */
static void what_streams_answer_is_judged_by_its_code(void **state)
{
	static const char *const codes[] = {
		/* The service's model, and what all of AWS's services answer. */
		"ExpiredIteratorException",
		"TrimmedDataAccessException",
		"ResourceNotFoundException",
		"LimitExceededException",
		"ThrottlingException",
		"ProvisionedThroughputExceededException",
		"RequestLimitExceeded",
		"InternalServerError",
		"ValidationException",
		"SerializationException",
		"UnknownOperationException",
		"AccessDeniedException",
		"UnrecognizedClientException",
		"InvalidClientTokenId",
		"ExpiredTokenException",
		"ExpiredToken",
		"RequestExpired",
		"InvalidSignatureException",
		"MissingAuthenticationTokenException",
		"IncompleteSignatureException",
	};
	struct buf tables = { 0 };
	char row[100];

	(void)state;
	answer_reference(&tables);
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		struct answer_error e = { 0 };
		struct answer_verdict verdict;

		snprintf(e.code, sizeof(e.code), "%s", codes[i]);
		verdict = answer_judge(&e, 599);
		snprintf(row, sizeof(row), "| `%s` | `%s` | ", codes[i],
			 answer_result(verdict.kind));
		if (!strstr(tables.data, row))
			fail_msg("%s has no row that says %s", codes[i],
				 answer_result(verdict.kind));
	}
	buf_release(&tables);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_tables_are_in_the_documentation),
		cmocka_unit_test(what_streams_answer_is_judged_by_its_code),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
