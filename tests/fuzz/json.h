#pragma once
#include <assert.h>
#include <jansson.h>

/* That what came out is JSON, by another parser. jansson turns numbers into doubles and knows no
 * NUL in names; DynamoDB has both. */
static inline void check_json(const char *p, size_t n)
{
	json_error_t why;
	json_t *tree = json_loadb(p, n, JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &why);

	assert(tree || json_error_code(&why) == json_error_numeric_overflow ||
	       json_error_code(&why) == json_error_null_byte_in_key);
	json_decref(tree);
}
