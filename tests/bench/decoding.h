#pragma once
#include "event/batch.h"
#include "event/transform.h"
#include "tests/bench/page.h"

/* What benches of decoding share. */

/* As the service sets malloc: pages are not given back to the kernel and faulted in again. */
void decoding_malloc(void);
/* A new batch with the page as its body. */
struct batch *decoding_batch(enum page_shape shape, const struct buf *page);
/* Ends the bench where the definitions are wrong. */
struct transform *decoding_transform(const char *const *definitions, size_t count);
