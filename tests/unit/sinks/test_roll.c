#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/memory.h"
#include "sinks/roll.h"

static struct roll *example(void)
{
	struct roll *r = roll_new(7, "session", "my-lake", "123456789012");
	struct roll_file *f = roll_file_add(r, "a \"b\"/\xc3\xa9\\x.ndjson.zst", "session/7/0");
	const struct s3_part second = { 2, 17, "e\"tag2", "AAAAAA==" };
	const struct s3_part first = { 1, UINT64_C(5) << 30, "etag1", "BBBBBB==" };

	f->pending = memory_text("upload&1");
	f->bytes = (UINT64_C(5) << 30) + 17;
	f->records = 12345;
	roll_part_add(f, &second);
	roll_part_add(f, &first);
	f = roll_file_add(r, "/abs/.x", "session/7/1");
	f->pending = memory_text("p");
	return r;
}

static void test_round_trip(void **state)
{
	AUTO(roll) struct roll *r = example();
	struct error err = { 0 };
	struct buf blob;

	(void)state;
	buf_init(&blob, 0);
	roll_encode(r, "s3", &blob);
	AUTO(roll) struct roll *back = roll_decode(buf_str(&blob), "s3", &err);
	assert_non_null(back);
	assert_int_equal(back->number, 7);
	assert_string_equal(back->session, "session");
	assert_string_equal(back->place, "my-lake");
	assert_string_equal(back->owner, "123456789012");
	assert_int_equal(back->file_count, 2);
	assert_string_equal(back->files[0]->path, r->files[0]->path);
	assert_string_equal(back->files[0]->pending, "upload&1");
	assert_string_equal(back->files[0]->mark, "session/7/0");
	assert_int_equal(back->files[0]->bytes, (UINT64_C(5) << 30) + 17);
	assert_int_equal(back->files[0]->records, 12345);
	assert_int_equal(back->files[0]->part_count, 2);
	assert_int_equal(back->files[0]->parts[0].number, 1);
	assert_int_equal(back->files[0]->parts[0].size, UINT64_C(5) << 30);
	assert_string_equal(back->files[0]->parts[1].etag, "e\"tag2");
	assert_string_equal(back->files[0]->parts[1].checksum, "AAAAAA==");
	assert_int_equal(back->files[1]->part_count, 0);
	buf_release(&blob);
}

static void test_without_owner(void **state)
{
	AUTO(roll) struct roll *r = roll_new(1, "s", "", NULL);
	struct error err = { 0 };
	struct buf blob;

	(void)state;
	buf_init(&blob, 0);
	roll_encode(r, "directory", &blob);
	AUTO(roll) struct roll *back = roll_decode(buf_str(&blob), "directory", &err);
	assert_non_null(back);
	assert_null(back->owner);
	assert_int_equal(back->file_count, 0);
	buf_release(&blob);
}

static void refuse(const char *text, const char *said)
{
	struct error err = { 0 };

	assert_null(roll_decode(str_of(text), "s3", &err));
	assert_int_equal(err.kind, ERROR_INVALID);
	if (!strstr(err.message, said))
		fail_msg("%s", err.message);
}

#define HEAD                                                                                       \
	"{\"version\":1,\"type\":\"s3\",\"session\":\"s\",\"place\":\"b\","                        \
	"\"roll\":1,\"files\":"
#define FILE_(parts)                                                                               \
	"[{\"bytes\":1,\"records\":1,\"path\":\"p\",\"pending\":\"u\",\"mark\":\"m\","             \
	"\"parts\":" parts "}]}"

static void test_refuses_what_it_cannot_finish(void **state)
{
	struct error err = { 0 };

	(void)state;
	AUTO(roll)
	struct roll *fine = roll_decode(STR(HEAD FILE_("[[1,1,\"e\",\"c\"]]")), "s3", &err);
	assert_non_null(fine);
	refuse("", "cannot be read");
	refuse("[]", "version");
	refuse("{\"version\":2}", "form 2");
	refuse("{\"version\":1}", "member");
	refuse(HEAD "7}", "member");
	refuse(HEAD "[{}]}", "lacks");
	refuse(HEAD FILE_("{}"), "lacks");
	refuse(HEAD FILE_("[[1,1,\"e\"]]"), "part");
	refuse(HEAD FILE_("[[0,1,\"e\",\"c\"]]"), "part");
	refuse(HEAD FILE_("[[10001,1,\"e\",\"c\"]]"), "part");
	refuse(HEAD FILE_("[[1,-1,\"e\",\"c\"]]"), "part");
	refuse(HEAD FILE_("[[1,1,\"e\",\"a checksum that is too long\"]]"), "part");
	assert_null(roll_decode(STR(HEAD "[]}"), "directory", &err));
	assert_non_null(strstr(err.message, "type s3, this one is directory"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_without_owner),
		cmocka_unit_test(test_refuses_what_it_cannot_finish),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
