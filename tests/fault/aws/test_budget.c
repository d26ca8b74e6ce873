#include <signal.h>

#include "aws/streams.h"
#include "tests/allocations.h"
#include "tests/fault/aws/world.h"

/* What a poll may take of memory: ten thousand shards at rest make thousands a second. Counted is
 * what this program's own code asks for; libcurl has its own. */

#define ITERATOR                                                                                   \
	"arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/2026-11-21T21:21:33.123|1|"   \
	"AAAAAAAAAAHrdYSMNmUVpeoVS2GxAbWc5DyKYFn5n8LTcVPMDTDNuqsmAaaVAAg9oqP0h9kBBAzDT3KLbVrDYfRb" \
	"DB"
#define WARM  4
#define POLLS 32

static void got_records(void *arg, const struct error *err, struct streams_records *r)
{
	assert_int_equal(err->kind, ERROR_NONE);
	assert_true(r->body->size > 0);
	*(bool *)arg = true;
}

static void poll(struct world *w)
{
	bool done = false;

	streams_records(w->client, ITERATOR, 1000, 1 << 20, got_records, &done);
	aws_wait(w->client, &done);
}

static void a_poll_takes_no_memory_of_ours(void **state)
{
	static const char page[] = "{\"Records\":[],\"NextShardIterator\":\"" ITERATOR "\"}";
	static const struct reply script[] = {
		{ 200, "x-amzn-RequestId: REQ1\r\n", { page, sizeof(page) - 1 }, REPLY_WHOLE },
	};
	struct world w;

	(void)state;
	world_open(&w, script, 1, 1, NULL, NULL);
	for (int i = 0; i < WARM; i++)
		poll(&w);
	allocations = 0;
	for (int i = 0; i < POLLS; i++)
		poll(&w);
	assert_int_equal(allocations, 0);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_poll_takes_no_memory_of_ours),
	};

	return cmocka_run_group_tests(tests, world_environment, NULL);
}
