/* Any bytes as a Lua script, once whole and once as the body of transform(event): it is refused, or
 * run on an item that has every type, twice in one state. Whatever it does to it comes out as JSON.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "event/script.h"
#include "tests/fuzz/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct source source = { .stream = "orders", .table = "orders" };
static const char item[] =
	"{\"pk\":{\"S\":\"a\\u00e9\\\"\"},\"n\":{\"N\":\"12.50\"},\"big\":{\"N\":"
	"\"12345678901234567890123456789012345678\"},\"b\":{\"B\":\"aGk=\"},\"t\":{\"BOOL\":true},"
	"\"z\":{\"NULL\":true},\"s\":{\"SS\":[\"x\",\"y\"]},\"ns\":{\"NS\":[\"1\",\"2.5\"]},"
	"\"m\":{\"M\":{\"k\":{\"M\":{\"l\":{\"L\":[{\"N\":\"1\"},{\"S\":\"two\"}]}}}}}}"
	"                                                                ";

static void run(struct script *script)
{
	struct script_state *state = script_take(script);
	struct tree_memory memory = { .left = TREE_BYTES_MAX };
	struct script_event in = { 0 }, *made = NULL;
	struct sequence sequence = { .length = 1, .digits = "7" };
	struct script_facts facts = { .op = EVENT_UPDATE,
				      .time_ms = 1763700000000,
				      .sequence = &sequence,
				      .source = &source };
	struct tree_out text = { 0 };
	struct tree roots[SCRIPT_ITEMS];
	char message[400];
	size_t count = 0;
	enum script_fault fault;

	arena_init(&memory.arena);
	for (int i = 0; i < SCRIPT_ITEMS; i++) {
		roots[i] = (struct tree){ .settled = true };
		if (!tree_members(&memory, &roots[i], item))
			abort();
		in.items[i] = &roots[i];
	}
	fault = script_run(state, &memory, &facts, &in, &made, &count, message, sizeof(message));
	assert(fault == SCRIPT_FINE || *message);
	for (size_t k = 0; fault == SCRIPT_FINE && k < count; k++)
		for (int i = 0; i < SCRIPT_ITEMS; i++) {
			size_t begin = (size_t)(text.at - text.begin);

			tree_write_item(&text, made[k].items[i], false);
			if (!text.full)
				check_json(text.begin + begin,
					   (size_t)(text.at - text.begin) - begin);
		}
	tree_out_release(&text);
	arena_release(&memory.arena);
	script_give(script, state);
}

static void try_script(struct str text)
{
	struct script_setting setting = { .name = STR("f.lua"),
					  .source = text,
					  .instructions = 5000,
					  .memory_bytes = SCRIPT_MEMORY_MIN };
	struct error err = { 0 };
	struct script *s = script_new(&setting, &err);

	if (!s) {
		assert(err.kind == ERROR_INVALID && *err.message);
		return;
	}
	run(s);
	run(s);
	script_free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char before[] = "function transform(event) ", behind[] = "\nend";
	char *text = malloc(sizeof(before) + size + sizeof(behind));
	size_t n = sizeof(before) - 1;

	try_script((struct str){ (const char *)data, size });
	memcpy(text, before, n);
	if (size)
		memcpy(text + n, data, size);
	memcpy(text + n + size, behind, sizeof(behind));
	try_script((struct str){ text, n + size + sizeof(behind) - 1 });
	free(text);
	return 0;
}
