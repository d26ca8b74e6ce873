/* Saves as a worker with many busy shards makes them: all positions in one call, again and again.
 * Prints how long each call took, in ms; what the database itself took, it says in its log. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/memory.h"
#include "checkpoint/store.h"

#define SESSION    "aaaaaaaa-0000-4000-8000-000000000001"
#define TIMEOUT_MS 60000

static void must(bool ok, const struct error *err)
{
	if (ok)
		return;
	fprintf(stderr, "save: %s\n", err->message);
	exit(1);
}

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static struct sequence place(uint64_t number)
{
	struct sequence s;
	struct error err;
	char text[32];

	snprintf(text, sizeof(text), "1000000000%012llu", (unsigned long long)number);
	must(sequence_parse(&s, str_of(text), &err), &err);
	return s;
}

static struct store_lane *lanes_new(size_t count)
{
	struct store_lane *lanes = memory_array(count, sizeof(*lanes));

	for (size_t i = 0; i < count; i++)
		snprintf(lanes[i].shard, sizeof(lanes[i].shard), "shardId-%020zu-abcdef01", i);
	return lanes;
}

int main(int argc, char **argv)
{
	size_t count = argc == 4 ? strtoul(argv[2], NULL, 10) : 0;
	uint64_t saves = argc == 4 ? strtoul(argv[3], NULL, 10) : 0;
	struct error err = { 0 };
	struct store_stream stream;
	int32_t sink;

	if (count == 0 || saves == 0) {
		fprintf(stderr, "usage: bench_save URL LANES SAVES\n");
		return 2;
	}

	AUTO(store) struct store *s = store_open(argv[1], TIMEOUT_MS, &err);
	struct store_lane *lanes = lanes_new(count);
	struct store_move *moves = memory_array(count, sizeof(*moves));

	must(s && store_session_begin(s, SESSION, "bench", "", TIMEOUT_MS, &err) &&
		     store_sink(s, "events", &sink, &err) &&
		     store_stream(s, "orders", "arn:bench", 0, &stream, &err) &&
		     store_join(s, SESSION, stream.id, 0, &sink, 1, &err) &&
		     store_lanes_add(s, SESSION, stream.id, 0, true, lanes, count, &sink, 1, &err),
	     &err);
	for (size_t i = 0; i < count; i++)
		moves[i] = (struct store_move){ .lane = lanes[i].id, .sink = sink };
	for (uint64_t number = 1; number <= saves; number++) {
		struct store_save save = {
			.session = SESSION, .number = number, .moves = moves, .move_count = count
		};
		double begin;

		for (size_t i = 0; i < count; i++) {
			moves[i].from = moves[i].to;
			moves[i].to = place(number);
			moves[i].event_ms = 1700000000000 + (int64_t)number;
		}
		begin = now_ms();
		must(store_save(s, &save, &err), &err);
		printf("%.1f\n", now_ms() - begin);
	}
	free(lanes);
	free(moves);
	return 0;
}
