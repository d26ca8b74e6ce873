/* Records that a person sends to the dead letters: those, whole, and no other. */
#include "lanes.h"

#include "consumer/skip.h"

static struct store_skip skips[2];

/* A lane behind record 10; records 12 and 15 are skipped. */
static struct lane *lane_skipping(void)
{
	struct lane_stream *s = lanes_stream_new(1);
	struct lane *l;

	for (int i = 0; i < 2; i++) {
		skips[i] = (struct store_skip){ .sequence = lanes_sequence(i == 0 ? 12 : 15) };
		snprintf(skips[i].shard, sizeof(skips[i].shard), LANES_SHARD);
		snprintf(skips[i].who, sizeof(skips[i].who), "me@here");
	}
	s->skips = skips;
	s->skip_count = 2;
	l = lane_new(s, LANES_SHARD);
	l->read = lanes_sequence(10);
	return l;
}

static struct batch *page_of(const char *text)
{
	struct batch *b = batch_new();

	b->source = &lanes_stream.source;
	assert_true(buf_add(&b->body, text, strlen(text)));
	return b;
}

static void those_of_the_page_are_marked(void **state)
{
	AUTO(lane) struct lane *l = lane_skipping();
	AUTO(batch) struct batch *b = lanes_page(11, 5);

	(void)state;
	lanes_fault(b, 1);
	lanes_fault(b, 2);
	lanes_spoil(b, 4);
	skip_records(l, b);
	assert_string_equal(b->events[1].bad, "skipped by me@here");
	assert_string_equal(b->events[4].bad, "skipped by me@here: a number that is none");
	assert_int_equal(b->bad_count, 2);
	for (size_t i = 0; i < 5; i++) {
		assert_int_equal(b->events[i].skipped, i == 1 || i == 4);
		assert_int_equal(b->payloads[0][i].p == NULL, i == 1 || i == 2 || i == 4);
	}
	assert_int_equal(b->fault_count, 1);
	assert_int_equal(b->faults[0].event, 2);
}

static void they_do_not_stop_a_lane(void **state)
{
	AUTO(lane) struct lane *l = lane_skipping();
	struct batch *b = lanes_page(11, 5);
	struct lane_page *p;

	(void)state;
	l->stream->on_error = ON_ERROR_STOP;
	lanes_spoil(b, 1);
	lanes_spoil(b, 3);
	skip_records(l, b);
	p = lane_add_page(l, b);
	assert_non_null(p);
	assert_int_equal(p->count, 3); /* the next bad one does */
	assert_int_equal(p->next_letter, 0);
}

static void of_another_shard_nothing_is(void **state)
{
	AUTO(lane) struct lane *l = lane_skipping();
	AUTO(batch) struct batch *b = lanes_page(11, 5);

	(void)state;
	snprintf(skips[0].shard, sizeof(skips[0].shard), "shardId-1");
	snprintf(skips[1].shard, sizeof(skips[1].shard), "shardId-1");
	assert_false(skip_waits(l));
	skip_records(l, b);
	assert_int_equal(b->bad_count, 0);
}

static void a_page_that_cannot_be_used_is_one_that_names_it(void **state)
{
	AUTO(lane) struct lane *l = lane_skipping();
	AUTO(batch) struct batch *other = page_of("{\"Records\":[{\"SequenceNumber\":\"100011\"");
	AUTO(batch) struct batch *b = page_of("{\"Records\":[{\"SequenceNumber\":\"100012\"");
	struct sequence want = lanes_sequence(12);

	(void)state;
	char number[SEQUENCE_TEXT_SIZE];

	assert_string_equal(skip_number(b, number), "100012");
	assert_true(skip_waits(l));
	assert_false(skip_page(l, other)); /* the record before it */
	assert_true(skip_page(l, b));
	assert_int_equal(b->count, 1);
	assert_true(sequence_equal(&b->events[0].sequence, &want));
	assert_true(str_equal(b->events[0].raw, buf_str(&b->body)));
	assert_true(b->events[0].skipped);
	assert_false(b->closed);
	assert_null(b->payloads[0][0].p);
	l->read = lanes_sequence(12);
	assert_false(skip_page(l, b)); /* it is behind the lane */
	l->read = lanes_sequence(15);
	assert_false(skip_waits(l));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(those_of_the_page_are_marked),
		cmocka_unit_test(they_do_not_stop_a_lane),
		cmocka_unit_test(of_another_shard_nothing_is),
		cmocka_unit_test(a_page_that_cannot_be_used_is_one_that_names_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
