/* Pages of a lane: which records are for which sink, where the lane stops, what a shard costs. */
#include "lanes.h"

#include "consumer/core.h"
#include "consumer/lineage.h"

/* "1101": the records of the page that have a payload for the slot, from `first` on. */
static const char *marks(const struct lane_page *p, uint32_t slot)
{
	static char out[64];
	size_t n = 0;

	for (size_t i = 0; i < p->batch->count; i++)
		out[n++] = p->payloads[slot][i].p ? '1' : '0';
	out[n] = '\0';
	return out;
}

static struct lane *lane_at(uint32_t sinks, const int *positions)
{
	struct lane *l = lane_new(lanes_stream_new(sinks), LANES_SHARD);
	struct frontier_move at[CORE_SINKS_MAX] = { 0 };

	for (uint32_t i = 0; i < sinks; i++)
		if (positions && positions[i])
			at[i].to = lanes_sequence(positions[i]);
	lane_set_positions(l, at);
	return l;
}

static void everything_is_for_a_sink_that_has_nothing(void **state)
{
	AUTO(lane) struct lane *l = lane_at(2, NULL);
	struct batch *b = lanes_page(1, 4);
	struct lane_page *p = lane_add_page(l, b);

	(void)state;
	assert_int_equal(p->count, 4);
	assert_int_equal(p->next_letter, 4);
	for (uint32_t slot = 0; slot < 2; slot++) {
		/* No copy where nothing is left out. */
		assert_ptr_equal(p->payloads[slot], b->payloads[0]);
		assert_int_equal(lane_page_left(p, slot, 0), 4);
		assert_int_equal(lane_page_left(p, slot, 3), 1);
		assert_int_equal(lane_page_left(p, slot, 4), 0);
	}
}

static void the_lane_reads_from_the_sink_that_is_furthest_behind(void **state)
{
	struct sequence two = lanes_sequence(2);
	AUTO(lane) struct lane *l = lane_at(3, (int[]){ 6, 2, 4 });
	struct lane_page *p = lane_add_page(l, lanes_page(3, 4));

	(void)state;
	assert_true(sequence_equal(&l->read, &two));
	assert_string_equal(marks(p, 0), "0000");
	assert_string_equal(marks(p, 1), "1111");
	assert_string_equal(marks(p, 2), "0011");
	assert_int_equal(lane_page_left(p, 0, 0), 0);
	assert_int_equal(lane_page_left(p, 2, 0), 2);
	p = lane_add_page(l, lanes_page(7, 3));
	for (uint32_t slot = 0; slot < 3; slot++)
		assert_string_equal(marks(p, slot), "111");
}

static void what_a_filter_keeps_from_a_sink_is_counted_once(void **state)
{
	struct metric_cell cell = { 0 };
	AUTO(lane) struct lane *l = lane_at(2, (int[]){ 0, 2 });
	struct batch *b = lanes_page(1, 4);
	struct lane_page *p;

	(void)state;
	lanes_stream.sinks[1].filtered = &cell;
	for (size_t i = 0; i < 3; i++)
		b->events[i].unwanted = 1u << 1;
	p = lane_add_page(l, b);
	assert_string_equal(marks(p, 0), "1111");
	assert_string_equal(marks(p, 1), "0001");
	/* The sink has the first two from an earlier session: they were counted then. */
	assert_int_equal(metric_get(&cell), 1);
	/* A page of which nothing is for it costs it nothing. */
	b = lanes_page(5, 2);
	b->events[0].unwanted = b->events[1].unwanted = UINT32_MAX;
	p = lane_add_page(l, b);
	assert_int_equal(lane_page_left(p, 1, 0), 0);
	assert_int_equal(metric_get(&cell), 3);
}

static void a_page_that_passes_a_filter_whole_is_no_copy(void **state)
{
	struct metric_cell cell = { 0 };
	AUTO(lane) struct lane *l = lane_at(1, NULL);
	struct lane_page *p;

	(void)state;
	lanes_stream.sinks[0].filtered = &cell;
	p = lane_add_page(l, lanes_page(1, 2));
	assert_ptr_equal(p->payloads[0], p->batch->payloads[0]);
	assert_int_equal(metric_get(&cell), 0);
}

static void a_sink_without_a_place_makes_the_lane_begin_at_the_start(void **state)
{
	AUTO(lane) struct lane *l = lane_at(2, (int[]){ 5, 0 });

	(void)state;
	assert_true(sequence_is_none(&l->read));
	assert_string_equal(marks(lane_add_page(l, lanes_page(4, 3)), 0), "001");
}

static void a_sink_that_is_done_gets_nothing_and_holds_nothing_up(void **state)
{
	struct lane *l = lane_new(lanes_stream_new(2), LANES_SHARD);
	struct frontier_move at[2] = { { .to = lanes_sequence(9), .done = true },
				       { .to = lanes_sequence(3) } };
	struct sequence three = lanes_sequence(3);

	(void)state;
	lane_set_positions(l, at);
	assert_true(sequence_equal(&l->read, &three));
	assert_int_equal(l->slots[0].handover.state, HANDOVER_STOPPED);
	assert_non_null(lane_add_page(l, lanes_page(4, 2)));
	handover_sent(&l->slots[1].handover);
	handover_taken(&l->slots[1].handover);
	lane_release_pages(l);
	assert_int_equal(l->pages_released, 1);
	lane_free(l);
}

static void a_page_stays_until_every_sink_has_it(void **state)
{
	AUTO(lane) struct lane *l = lane_at(2, NULL);

	(void)state;
	lane_add_page(l, lanes_page(1, 2));
	lane_add_page(l, lanes_page(3, 2));
	handover_sent(&l->slots[0].handover);
	handover_taken(&l->slots[0].handover);
	lane_release_pages(l);
	assert_int_equal(l->pages_released, 0);
	handover_sent(&l->slots[1].handover);
	handover_taken(&l->slots[1].handover);
	lane_release_pages(l);
	assert_int_equal(l->pages_released, 1);
	/* A sink that stands still is not waited for. */
	handover_stop(&l->slots[0].handover);
	handover_sent(&l->slots[1].handover);
	handover_taken(&l->slots[1].handover);
	lane_release_pages(l);
	assert_int_equal(l->pages_released, 2);
}

static void what_is_older_than_the_start_is_left_out_to_the_second(void **state)
{
	AUTO(lane) struct lane *l = lane_at(1, NULL);
	struct batch *b = lanes_page(1, 4);

	(void)state;
	lanes_stream.sinks[0].start_ms = LANES_TIME;
	b->events[0].time_ms = LANES_TIME - 60000;
	b->events[1].time_ms = LANES_TIME - 1001;
	b->events[2].time_ms = LANES_TIME - 1000;
	b->events[3].time_ms = LANES_TIME;
	assert_string_equal(marks(lane_add_page(l, b), 0), "0011");
}

/* Some services keep times of whole minutes. */
static void where_times_are_whole_minutes_a_minute_is_allowed(void **state)
{
	AUTO(lane) struct lane *l = lane_at(1, NULL);
	int64_t minute = LANES_TIME - LANES_TIME % 60000;
	struct batch *b = lanes_page(1, 3);

	(void)state;
	lanes_stream.sinks[0].start_ms = LANES_TIME;
	b->events[0].time_ms = minute - 60000;
	b->events[1].time_ms = minute;
	b->events[2].time_ms = minute + 60000;
	assert_string_equal(marks(lane_add_page(l, b), 0), "011");
}

static void a_lane_ends_before_the_first_record_that_is_too_young(void **state)
{
	AUTO(lane) struct lane *l = lane_at(1, NULL);
	AUTO(batch) struct batch *b = lanes_page(1, 5);

	(void)state;
	assert_false(lane_ends_in(l, b));
	lanes_stream.until_ms = LANES_TIME;
	for (size_t i = 0; i < 5; i++)
		b->events[i].time_ms = LANES_TIME + 1;
	b->events[1].time_ms = LANES_TIME + 1000;
	assert_false(lane_ends_in(l, b));
	assert_int_equal(b->count, 5);
	lanes_spoil(b, 0);
	lanes_spoil(b, 4);
	b->events[3].time_ms = LANES_TIME + 1001;
	assert_true(lane_ends_in(l, b));
	assert_int_equal(b->count, 3);
	assert_int_equal(b->bad_count, 1);
	b->events[0].time_ms = LANES_TIME + 1001;
	assert_true(lane_ends_in(l, b));
	assert_int_equal(b->count, 0);
	assert_int_equal(b->bad_count, 0);
}

/* Times are rounded down: what is wanted is not younger by its time either. */
static void where_times_are_whole_minutes_the_end_is_none_later(void **state)
{
	AUTO(lane) struct lane *l = lane_at(1, NULL);
	AUTO(batch) struct batch *b = lanes_page(1, 2);
	int64_t minute = LANES_TIME - LANES_TIME % 60000;

	(void)state;
	lanes_stream.until_ms = minute + 30000;
	b->events[0].time_ms = minute;
	b->events[1].time_ms = minute + 60000;
	assert_true(lane_ends_in(l, b));
	assert_int_equal(b->count, 1);
}

static void faults_behind_the_end_are_not_told(void **state)
{
	AUTO(lane) struct lane *l = lane_at(1, NULL);
	AUTO(batch) struct batch *b = lanes_page(1, 3);
	struct batch_fault faults[] = { { .event = 0, .outputs = 1 },
					{ .event = 1, .outputs = 1 },
					{ .event = 2, .outputs = 1 } };

	(void)state;
	lanes_stream.until_ms = LANES_TIME;
	b->faults = faults;
	b->fault_count = 3;
	b->events[0].time_ms = LANES_TIME;
	b->events[1].time_ms = b->events[2].time_ms = LANES_TIME + 1001;
	assert_true(lane_ends_in(l, b));
	assert_int_equal(b->count, 1);
	assert_int_equal(b->fault_count, 1);
	b->fault_count = 0;
}

/* One that was added begins before the others, or behind them. */
static void each_sink_has_a_start_of_its_own(void **state)
{
	AUTO(lane) struct lane *l = lane_at(3, NULL);
	struct batch *b = lanes_page(1, 3);
	struct lane_page *p;

	(void)state;
	lanes_stream.sinks[1].start_ms = LANES_TIME;
	lanes_stream.sinks[2].start_ms = LANES_TIME + 60000;
	b->events[0].time_ms = LANES_TIME - 60000;
	b->events[2].time_ms = LANES_TIME + 60000;
	lanes_fault(b, 0); /* a letter of the first one alone */
	p = lane_add_page(l, b);
	assert_int_equal(p->fault_count, 1);
	assert_int_equal(p->faults[0].slot, 0);
	assert_string_equal(marks(p, 0), "011");
	assert_string_equal(marks(p, 1), "011");
	assert_string_equal(marks(p, 2), "001");
}

#define HOUR  (60LL * 60 * 1000)
#define ADDED INT64_C(1763800000000) /* 27 hours after the shard began */

/* The lane was last read at read_ms; its second sink, which has nothing of it, was added. */
static struct lane *lane_with_added(int64_t read_ms, bool first_done, int64_t added_ms,
				    int64_t now_ms)
{
	struct lane *l = lane_new(lanes_stream_new(2), LANES_SHARD);
	const struct frontier_move at[2] = { [0] = { .to = lanes_sequence(9),
						     .done = first_done } };

	lanes_stream.sinks[1].added_ms = added_ms;
	l->read_at_ms = read_ms;
	lane_set_positions(l, at);
	lane_begin_added(l, at, now_ms);
	return l;
}

static void a_sink_that_was_added_takes_what_is_left(void **state)
{
	static const struct {
		int64_t read_ms, added_ms, now_ms;
		bool first_done, takes;
		int64_t read_at_ms;
	} cases[] = {
		/* Nobody had to read it before. */
		{ ADDED - 23 * HOUR, ADDED, ADDED + HOUR, true, true, ADDED },
		{ 0, ADDED, ADDED + HOUR, true, true, 0 },
		/* All of it was there. */
		{ ADDED - 9 * HOUR, ADDED - 8 * HOUR, ADDED, true, false, ADDED - 8 * HOUR },
		/* It did not come for a day. */
		{ ADDED - HOUR, ADDED, ADDED + 23 * HOUR + 1, true, false, ADDED - HOUR },
		/* The other sink lacks something of it. */
		{ ADDED - HOUR, ADDED, ADDED, false, true, ADDED - HOUR },
		{ ADDED - 23 * HOUR, ADDED, ADDED + 1, false, false, ADDED - 23 * HOUR },
		/* None was added. */
		{ ADDED - 30 * HOUR, 0, ADDED, true, false, ADDED - 30 * HOUR },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		AUTO(lane)
		struct lane *l = lane_with_added(cases[i].read_ms, cases[i].first_done,
						 cases[i].added_ms, cases[i].now_ms);

		assert_int_equal(l->gap_accepted, cases[i].takes);
		assert_int_equal(l->may_be_gone, cases[i].takes && cases[i].first_done);
		assert_int_equal(l->read_at_ms, cases[i].read_at_ms);
	}
}

/* What the stream keeps is behind the first sink's place: all of it is read from there, so that
 * what it lacks is a gap. */
static void what_a_sink_lacks_shows_beside_one_that_was_added(void **state)
{
	static const struct {
		int64_t event_ms, added_ms;
		bool from_place;
	} cases[] = {
		{ ADDED - 24 * HOUR - 1, ADDED, true },
		{ ADDED - 24 * HOUR - 1, ADDED - 24 * HOUR, true },
		{ ADDED - 24 * HOUR, ADDED, false },
		{ 0, ADDED, false }, /* nothing is known of it */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		AUTO(lane) struct lane *l = lane_new(lanes_stream_new(3), LANES_SHARD);
		const struct frontier_move at[3] = {
			{ .to = lanes_sequence(9), .event_ms = cases[i].event_ms },
			{ .to = lanes_sequence(12), .event_ms = ADDED - HOUR }
		};
		struct sequence want = cases[i].from_place ? at[0].to : SEQUENCE_NONE;

		lanes_stream.sinks[2].added_ms = cases[i].added_ms;
		l->read_at_ms = ADDED - HOUR;
		lane_set_positions(l, at);
		lane_begin_added(l, at, ADDED);
		assert_true(sequence_equal(&l->read, &want));
		assert_int_equal(l->read_ms, cases[i].from_place ? cases[i].event_ms : 0);
		assert_int_equal(l->gap_accepted, !cases[i].from_place);
		assert_false(l->may_be_gone);
	}
}

static void a_bad_record_is_never_too_old(void **state)
{
	AUTO(lane) struct lane *l = lane_at(1, NULL);
	struct batch *b = lanes_page(1, 3);

	(void)state;
	lanes_stream.sinks[0].start_ms = LANES_TIME + 1000000;
	lanes_spoil(b, 1);
	b->payloads[0][1] = STR("seen"); /* to tell a hole of the lane from one of the decoder */
	assert_string_equal(marks(lane_add_page(l, b), 0), "010");
}

static void letters_come_before_the_page(void **state)
{
	AUTO(lane) struct lane *l = lane_at(1, NULL);
	struct batch *b = lanes_page(1, 4);
	struct lane_page *p;

	(void)state;
	lanes_spoil(b, 2);
	p = lane_add_page(l, b);
	assert_int_equal(p->next_letter, 0);
	assert_int_equal(p->count, 4);
	assert_string_equal(marks(p, 0), "1101");
	assert_int_equal(lane_page_left(p, 0, 0), 3);
}

/* A transform's fault is a letter of each sink that would have got the record. */
static void faults_are_letters_of_the_sinks_that_want_the_record(void **state)
{
	struct metric_cell cell = { 0 };
	AUTO(lane) struct lane *l = lane_at(4, (int[]){ 0, 2, 0, 0 });
	struct batch *b = lanes_page(1, 4);
	struct lane_page *p;

	(void)state;
	lanes_stream.outputs[3].encoding = 1;
	lanes_stream.sinks[2].filtered = &cell;
	b->encoding_count = 2;
	b->payloads[1] = arena_alloc(&b->arena, 4 * sizeof(**b->payloads));
	memcpy(b->payloads[1], b->payloads[0], 4 * sizeof(**b->payloads));
	lanes_fault(b, 1);
	lanes_fault(b, 2);
	b->events[2].unwanted = 1u << 2;
	p = lane_add_page(l, b);
	assert_int_equal(p->next_letter, 0);
	assert_int_equal(p->fault_count, 4);
	assert_int_equal(p->faults[0].record, 1);
	assert_int_equal(p->faults[0].slot, 0);
	assert_int_equal(p->faults[1].record, 1);
	assert_int_equal(p->faults[1].slot, 2); /* slot 1 has it already */
	assert_int_equal(p->faults[2].record, 2);
	assert_int_equal(p->faults[2].slot, 0);
	assert_int_equal(p->faults[3].slot, 1); /* and slot 2 does not want this one */
	assert_string_equal(p->faults[3].error, "cast: a: no number");
	assert_string_equal(marks(p, 0), "1001");
	assert_string_equal(marks(p, 1), "0001");
	assert_string_equal(marks(p, 3), "1111"); /* another encoding */
}

static void faults_that_no_sink_sees_hold_nothing_up(void **state)
{
	AUTO(lane) struct lane *l = lane_at(1, (int[]){ 2 });
	struct batch *b = lanes_page(1, 3);
	struct lane_page *p;

	(void)state;
	lanes_stream.on_error = ON_ERROR_STOP;
	lanes_fault(b, 1);
	p = lane_add_page(l, b);
	assert_int_equal(p->count, 3);
	assert_int_equal(p->next_letter, 3);
	assert_string_equal(marks(p, 0), "001");
}

static void stop_cuts_the_page_before_a_fault(void **state)
{
	AUTO(lane) struct lane *l = lane_at(1, NULL);
	struct batch *b = lanes_page(1, 4);
	struct lane_page *p;
	const struct batch_fault *fault;

	(void)state;
	lanes_stream.on_error = ON_ERROR_STOP;
	lanes_fault(b, 1);
	lanes_spoil(b, 2);
	p = lane_add_page(l, b);
	assert_int_equal(p->count, 1);
	assert_string_equal(lane_stopped_by(b, 1, &fault), "cast: a: no number");
	assert_ptr_equal(fault, b->faults);
	assert_string_equal(lane_stopped_by(b, 2, &fault), "a number that is none");
	assert_null(fault);
}

/* A fault of one sink: its payload is there, as others with the same encoding get it. */
static void a_fault_may_be_of_one_sink_alone(void **state)
{
	AUTO(lane) struct lane *l = lane_at(2, NULL);
	struct batch *b = lanes_page(1, 2);
	struct str payload = b->payloads[0][1];
	struct lane_page *p;

	(void)state;
	lanes_fault(b, 1);
	b->payloads[0][1] = payload;
	b->faults[0].outputs = b->events[1].faulty = 1;
	p = lane_add_page(l, b);
	assert_int_equal(p->fault_count, 1);
	assert_int_equal(p->faults[0].slot, 0);
	assert_string_equal(marks(p, 0), "10");
	assert_string_equal(marks(p, 1), "11");
}

static void new_attributes_are_told_of_once(void **state)
{
	AUTO(lane) struct lane *l = lane_at(1, NULL);
	bool last;

	(void)state;
	for (uint64_t hash = 1; hash <= LANE_NEWS_MAX; hash++) {
		assert_true(lane_is_news(l->stream, hash, &last));
		assert_int_equal(last, hash == LANE_NEWS_MAX);
		assert_false(lane_is_news(l->stream, hash, &last));
	}
	assert_false(lane_is_news(l->stream, 1000, &last));
}

static void drop_passes_bad_records_over(void **state)
{
	AUTO(lane) struct lane *l = lane_at(1, NULL);
	struct batch *b = lanes_page(1, 4);
	struct lane_page *p;

	(void)state;
	lanes_stream.on_error = ON_ERROR_DROP;
	lanes_spoil(b, 0);
	lanes_spoil(b, 3);
	p = lane_add_page(l, b);
	assert_int_equal(p->next_letter, 4);
	assert_string_equal(marks(p, 0), "0110");
}

static void stop_cuts_the_page_before_its_first_bad_record(void **state)
{
	AUTO(lane) struct lane *l = lane_at(2, (int[]){ 0, 2 });
	struct batch *b = lanes_page(1, 6);
	struct lane_page *p;

	(void)state;
	lanes_stream.on_error = ON_ERROR_STOP;
	lanes_spoil(b, 3);
	lanes_spoil(b, 5);
	p = lane_add_page(l, b);
	assert_int_equal(p->count, 3);
	assert_int_equal(p->next_letter, 3);
	assert_string_equal(marks(p, 0), "111000");
	assert_string_equal(marks(p, 1), "001000");
	assert_int_equal(lane_page_left(p, 0, 0), 3);
}

static void stop_at_the_first_record_leaves_no_page(void **state)
{
	AUTO(lane) struct lane *l = lane_at(1, NULL);
	AUTO(batch) struct batch *b = lanes_page(1, 3);

	(void)state;
	lanes_stream.on_error = ON_ERROR_STOP;
	lanes_spoil(b, 0);
	assert_null(lane_add_page(l, b));
	assert_int_equal(l->pages_read, 0);
}

/* Ten thousand idle shards have to fit in 96 MiB, all told (limits, "Goals"). What a shard costs in
 * the consumer is fixed here; whoever needs more says so by changing the number. */
static void a_shard_costs_little(void **state)
{
	size_t shard =
		sizeof(struct lane) + sizeof(struct core_lane) + sizeof(struct lineage_shard);

	(void)state;
	for (size_t sinks = 1; sinks <= 2; sinks++) {
		size_t bytes = shard + sinks * (sizeof(struct lane_slot) + sizeof(struct frontier));

		if (bytes > 1024 + 448 * sinks)
			fail_msg("%zu bytes with %zu sinks: lane %zu, core's %zu, lineage %zu, "
				 "frontier %zu",
				 bytes, sinks, sizeof(struct lane), sizeof(struct core_lane),
				 sizeof(struct lineage_shard), sizeof(struct frontier));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_is_for_a_sink_that_has_nothing),
		cmocka_unit_test(the_lane_reads_from_the_sink_that_is_furthest_behind),
		cmocka_unit_test(what_a_filter_keeps_from_a_sink_is_counted_once),
		cmocka_unit_test(a_page_that_passes_a_filter_whole_is_no_copy),
		cmocka_unit_test(a_sink_without_a_place_makes_the_lane_begin_at_the_start),
		cmocka_unit_test(a_sink_that_is_done_gets_nothing_and_holds_nothing_up),
		cmocka_unit_test(a_page_stays_until_every_sink_has_it),
		cmocka_unit_test(what_is_older_than_the_start_is_left_out_to_the_second),
		cmocka_unit_test(where_times_are_whole_minutes_a_minute_is_allowed),
		cmocka_unit_test(a_lane_ends_before_the_first_record_that_is_too_young),
		cmocka_unit_test(where_times_are_whole_minutes_the_end_is_none_later),
		cmocka_unit_test(faults_behind_the_end_are_not_told),
		cmocka_unit_test(each_sink_has_a_start_of_its_own),
		cmocka_unit_test(a_sink_that_was_added_takes_what_is_left),
		cmocka_unit_test(what_a_sink_lacks_shows_beside_one_that_was_added),
		cmocka_unit_test(a_bad_record_is_never_too_old),
		cmocka_unit_test(letters_come_before_the_page),
		cmocka_unit_test(faults_are_letters_of_the_sinks_that_want_the_record),
		cmocka_unit_test(faults_that_no_sink_sees_hold_nothing_up),
		cmocka_unit_test(stop_cuts_the_page_before_a_fault),
		cmocka_unit_test(a_fault_may_be_of_one_sink_alone),
		cmocka_unit_test(new_attributes_are_told_of_once),
		cmocka_unit_test(drop_passes_bad_records_over),
		cmocka_unit_test(stop_cuts_the_page_before_its_first_bad_record),
		cmocka_unit_test(stop_at_the_first_record_leaves_no_page),
		cmocka_unit_test(a_shard_costs_little),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
