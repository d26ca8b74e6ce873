#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"
#include "base/str.h"

/* One compressed file being written, as a stream: bytes go in, bytes come out wherever the caller
 * has room. None copies, gzip is ISA-L at level 1, zstd is level 1 with a checksum of the content.
 * The result is one gzip member or one zstd frame. One thread at a time. */
enum compression { COMPRESSION_NONE, COMPRESSION_GZIP, COMPRESSION_ZSTD };

struct compressor;

struct compressor *compressor_new(enum compression kind);
void compressor_free(struct compressor *c);
DEFINE_AUTO(compressor)
/* What one of this kind holds while it works, for memory limits. */
size_t compressor_bytes(enum compression kind);
/* Takes from `in` (moved forward past what was taken) and returns how many bytes it wrote to `out`,
 * at most `room`. Goes on until `in` is empty or `out` is full. */
size_t compressor_feed(struct compressor *c, struct str *in, char *out, size_t room);
/* Ends the file: to be called with fresh room until *done. Nothing may be fed afterwards. */
size_t compressor_end(struct compressor *c, char *out, size_t room, bool *done);

/* "", ".gz", ".zst" */
const char *compression_suffix(enum compression kind);
/* What a file of newline-delimited JSON, compressed so, is called on the web. */
const char *compression_content_type(enum compression kind);
