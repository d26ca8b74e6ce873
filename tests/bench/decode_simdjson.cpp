#include "tests/bench/decode_simdjson.h"

#include <cstdlib>
#include <simdjson.h>

static simdjson::dom::parser parser;

const char *decode_simdjson_kernel(void)
{
	static std::string name;

	decode_simdjson_parse("[]", 2);
	name = simdjson::get_active_implementation()->name();
	return name.c_str();
}

void decode_simdjson_parse(const char *page, size_t n)
{
	simdjson::dom::element root;

	if (parser.parse(page, n, n < simdjson::SIMDJSON_PADDING).get(root))
		abort();
}

size_t decode_simdjson_padding(void)
{
	return simdjson::SIMDJSON_PADDING;
}
