/* Records as dead letters carry them, from any bytes. */
#include "tests/unit/event/decoding.h"

#define ARN "\"eventSourceARN\":\"" DECODING_ARN "\""

static void assert_letter(struct str raw, const char *want)
{
	struct buf out;

	buf_init(&out, 0);
	decode_letter_record(&decoding_source, raw, &out);
	assert_str(buf_str(&out), want);
	buf_release(&out);
}

static void objects_get_the_arn(void **state)
{
	(void)state;
	assert_letter(STR("{}"), "{" ARN "}");
	assert_letter(STR(" {\"a\": [1, \"x y\"]}\n"), "{\"a\":[1,\"x y\"]," ARN "}");
	assert_letter(STR("{\"userIdentity\":{\"PrincipalId\":\"p\",\"Type\":\"t\"},\"b\":1}"),
		      "{\"userIdentity\":{\"type\":\"t\",\"principalId\":\"p\"},\"b\":1," ARN "}");
	assert_letter(STR("{\"userIdentity\":{\"Type\":\"t\"}}"),
		      "{\"userIdentity\":{\"type\":\"t\"}," ARN "}");
	/* What is there already, or is not as it should be, stays. */
	assert_letter(STR("{\"eventSourceARN\":\"x\"}"), "{\"eventSourceARN\":\"x\"}");
	assert_letter(STR("{\"userIdentity\":7}"), "{\"userIdentity\":7," ARN "}");
	assert_letter(STR("{\"dynamodb\":{\"Keys\":{\"a\":{\"N\":\"x\"}}}}"),
		      "{\"dynamodb\":{\"Keys\":{\"a\":{\"N\":\"x\"}}}," ARN "}");
}

static void other_bytes_become_base64(void **state)
{
	(void)state;
	assert_letter(STR(""), "\"\"");
	assert_letter(STR("{"), "\"ew==\"");
	assert_letter(STR("{\"a\":\"\xff\"}"), "\"eyJhIjoi/yJ9\"");
	assert_letter(STR("{}{}"), "\"e317fQ==\"");
	assert_letter(STR("12"), "\"MTI=\"");
	assert_letter(STR("{\0}"), "\"ewB9\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(objects_get_the_arn),
		cmocka_unit_test(other_bytes_become_base64),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
