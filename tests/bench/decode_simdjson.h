#pragma once
#include <stddef.h>

/* simdjson's DOM parser, its fastest kernel for this machine, one parser reused. */
#ifdef __cplusplus
extern "C" {
#endif
const char *decode_simdjson_kernel(void);
/* page has decode_simdjson_padding() readable bytes behind it. Aborts where it is not valid. */
void decode_simdjson_parse(const char *page, size_t n);
size_t decode_simdjson_padding(void);
#ifdef __cplusplus
}
#endif
