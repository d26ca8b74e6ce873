/* What becomes of dead letters by today's configuration, and what they say when they fail again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/memory.h"
#include "consumer/again.h"
#include "consumer/letter.h"

#define ARN    "arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/2026-11-21T02:29:59.277"
#define NOW_MS 1795228199349

#define RECORD(amount)                                                                             \
	"{\"eventID\":\"e1\",\"eventName\":\"MODIFY\",\"dynamodb\":{"                              \
	"\"ApproximateCreationDateTime\":1795227233,\"Keys\":{\"sk\":{\"N\":\"1\"},"               \
	"\"pk\":{\"S\":\"a\"}},\"NewImage\":{\"pk\":{\"S\":\"a\"},\"sk\":{\"N\":\"1\"},"           \
	"\"amount\":" amount "},\"SequenceNumber\":\"100001\",\"SizeBytes\":59,"                   \
	"\"StreamViewType\":\"NEW_IMAGE\"},\"eventSourceARN\":\"" ARN "\"}"
#define GOOD RECORD("{\"N\":\"12.90\"}")

/* The stream `orders` with these lines of its own, and a sink with these. */
struct world {
	struct config *config;
	struct again_stream stream;
	struct again *again;
	struct again_record *record;
};

static void open(struct world *w, const char *stream, const char *sink)
{
	struct error err = { 0 };
	struct buf text = { 0 };

	buf_printf(&text,
		   "streams: [{ table: orders, sinks: [k]%s }]\n"
		   "sinks: { k: { type: kafka, brokers: b, format: plain%s } }\n",
		   stream, sink);
	w->config = config_parse(buf_str(&text), "test", sink_config_types(), &err);
	buf_release(&text);
	if (!w->config)
		fail_msg("%s", err.message);
	w->stream = (struct again_stream){ .config = &w->config->streams[0],
					   .sink = &w->config->sinks[0],
					   .name = "orders",
					   .arn = "arn:latest",
					   .key_hash = "pk",
					   .key_range = "sk" };
	w->again = again_new(&w->stream, &err);
	assert_non_null(w->again);
}

static void close(struct world *w)
{
	again_record_free(w->record);
	again_free(w->again);
	config_free(w->config);
}
#define WORLD __attribute__((cleanup(close))) struct world

static char *letter(const char *record)
{
	const struct letter_head head = { .reason = "refused",
					  .error = "\",\\\"record\\\":1",
					  .stream = "orders",
					  .shard = "shard-1",
					  .sequence = "100001",
					  .time = "2026-11-21T02:30:01.429Z",
					  .sink = "k",
					  .attempts = 4 };
	struct buf json = { 0 };

	letter_begin(&head, &json);
	buf_printf(&json, "%s}", record);
	return buf_steal(&json);
}

static const struct again_record *make(struct world *w, const char *record)
{
	char *json = letter(record);
	const struct store_retried l = { .generation = 7,
					 .shard = "shard-1",
					 .json = str_of(json) };

	again_record_free(w->record);
	w->record = again_record_new(w->again, &l, NOW_MS);
	free(json);
	return w->record;
}

static void check_payload(const struct again_record *r, const char *wanted)
{
	struct str got = r->delivery.payloads[0];

	assert_int_equal(r->fate, AGAIN_EVENT);
	if (!str_equal(got, str_of(wanted)))
		fail_msg("%.*s", STR_ARG(got));
}

#define ADDED                                                                                      \
	",\"_op\":\"r\",\"_ts\":1795227233000,\"_seq\":\"100001\",\"_gen\":7,"                     \
	"\"_order\":\"0000000007-0000000000000000000000000000000000100001\"}"

/* Of its own stream, shard, sequence and generation, with the key in the table's order. */
static void it_is_the_event_that_it_was(void **state)
{
	WORLD w = { 0 };
	const struct again_record *r;

	(void)state;
	open(&w, "", "");
	r = make(&w, GOOD);
	check_payload(r, "{\"pk\":\"a\",\"sk\":1,\"amount\":12.90" ADDED);
	assert_true(str_equal(r->batch->events[0].key, STR("{\"pk\":\"a\",\"sk\":1}")));
	assert_string_equal(r->source.arn, ARN);
	assert_string_equal(r->source.account, "123456789012");
	assert_string_equal(r->source.table, "orders");
	assert_string_equal(r->batch->shard, "shard-1");
	assert_null(r->delivery.route);
}

static void it_goes_through_todays_transforms(void **state)
{
	WORLD w = { 0 };

	(void)state;
	open(&w, ", transform: [{ drop: [sk] }]", "");
	check_payload(make(&w, GOOD), "{\"pk\":\"a\",\"amount\":12.90" ADDED);
}

static void a_transform_that_fails_still(void **state)
{
	WORLD w = { 0 };
	const struct again_record *r;

	(void)state;
	open(&w, ", transform: [{ cast: { amount: number } }]", "");
	r = make(&w, RECORD("{\"S\":\"twelve\"}"));
	assert_int_equal(r->fate, AGAIN_BAD);
	assert_string_equal(r->reason, "transform");
	assert_non_null(strstr(r->error.message, "amount"));
	check_payload(make(&w, RECORD("{\"S\":\"12\"}")),
		      "{\"pk\":\"a\",\"sk\":1,\"amount\":12" ADDED);
}

static void a_filter_that_does_not_want_it(void **state)
{
	WORLD w = { 0 };

	(void)state;
	open(&w, ", filter: [{ eventName: [REMOVE] }]", "");
	assert_int_equal(make(&w, GOOD)->fate, AGAIN_NOTHING);
}

static void its_place_is_todays(void **state)
{
	WORLD w = { 0 };
	const struct again_record *r;

	(void)state;
	open(&w, "", ", topic: \"t.${attribute:amount}\", missing: dead_letter");
	r = make(&w, GOOD);
	assert_int_equal(r->fate, AGAIN_EVENT);
	assert_true(str_equal(batch_place(r->delivery.route, 0)[0], STR("12.9")));
	r = make(&w, RECORD("{\"NULL\":true}"));
	assert_int_equal(r->fate, AGAIN_BAD);
	assert_string_equal(r->reason, "route");
}

static void what_is_no_record_stays_undecodable(void **state)
{
	static const char *const records[] = { "\"bm90IGpzb24=\"", RECORD("{\"N\":\"12x\"}"), "{}",
					       GOOD "," GOOD, "[]" };
	WORLD w = { 0 };

	(void)state;
	open(&w, "", "");
	for (size_t i = 0; i < sizeof(records) / sizeof(*records); i++) {
		const struct again_record *r = make(&w, records[i]);

		assert_int_equal(r->fate, AGAIN_BAD);
		assert_string_equal(r->reason, "undecodable");
		assert_true(*r->error.message);
	}
}

/* --- letters --- */

static void a_letter_says_what_it_is(void **state)
{
	char *json = letter(GOOD), *row = letter("{\"dynamodb\":{},\"sluice\":{\"op\":\"r\"}}");
	struct again_letter l = { .id = 3 };
	struct error err = { 0 };

	(void)state;
	assert_true(again_letter_read(str_of(json), &l, &err));
	assert_int_equal(l.id, 3);
	assert_string_equal(l.stream, "orders");
	assert_string_equal(l.sink, "k");
	assert_string_equal(l.reason, "refused");
	assert_string_equal(l.error, "\",\\\"record\\\":1");
	assert_string_equal(l.time, "2026-11-21T02:30:01.429Z");
	assert_int_equal(l.attempts, 4);
	assert_false(l.row);
	again_letter_release(&l);
	assert_true(again_letter_read(str_of(row), &l, &err));
	assert_true(l.row);
	again_letter_release(&l);
	assert_false(again_letter_read(STR("{\"a\":1}"), &l, &err));
	assert_false(again_letter_read(STR(""), &l, &err));
	free(json);
	free(row);
}

static void one_that_failed_again_says_so(void **state)
{
	char *json = letter(GOOD);
	struct again_letter l = { 0 }, now = { 0 };
	struct error err = { 0 };
	struct buf out = { 0 };

	(void)state;
	assert_true(again_letter_read(str_of(json), &l, &err));
	again_letter_failed(&l, str_of(json), "schema", "no \"total\"", NOW_MS, &out);
	assert_true(again_letter_read(buf_str(&out), &now, &err));
	assert_string_equal(now.reason, "schema");
	assert_string_equal(now.error, "no \"total\"");
	assert_string_equal(now.time, "2026-11-21T02:29:59.349Z");
	assert_string_equal(now.sequence, "100001");
	assert_string_equal(now.sink, "k");
	assert_int_equal(now.attempts, 5);
	assert_true(str_equal(letter_record(buf_str(&out)), STR(GOOD)));
	again_letter_release(&now);
	buf_clear(&out);
	again_letter_for(&l, str_of(json), "other", &out);
	assert_true(again_letter_read(buf_str(&out), &now, &err));
	assert_string_equal(now.sink, "other");
	assert_string_equal(now.time, l.time);
	assert_int_equal(now.attempts, 4);
	assert_true(str_equal(letter_record(buf_str(&out)), STR(GOOD)));
	again_letter_release(&now);
	again_letter_release(&l);
	buf_release(&out);
	free(json);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_the_event_that_it_was),
		cmocka_unit_test(it_goes_through_todays_transforms),
		cmocka_unit_test(a_transform_that_fails_still),
		cmocka_unit_test(a_filter_that_does_not_want_it),
		cmocka_unit_test(its_place_is_todays),
		cmocka_unit_test(what_is_no_record_stays_undecodable),
		cmocka_unit_test(a_letter_says_what_it_is),
		cmocka_unit_test(one_that_failed_again_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
