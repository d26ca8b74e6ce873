#include "sinks/compress.h"

#include <assert.h>
#include <isa-l/igzip_lib.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "base/memory.h"

#define ZSTD_LEVEL 1
/* What ZSTD_estimateCStreamSize(1) says, rounded up: that function is not in the shared library's
 * stable part. */
#define ZSTD_CONTEXT_BYTES ((size_t)1400 << 10)

struct compressor {
	enum compression kind;
	ZSTD_CCtx *zstd;
	struct isal_zstream gzip; /* used by gzip alone */
	uint8_t gzip_level[];     /* ISA-L's working memory of level 1 */
};

static size_t compressor_size(enum compression kind)
{
	return kind == COMPRESSION_GZIP ? sizeof(struct compressor) + ISAL_DEF_LVL1_DEFAULT
					: sizeof(struct compressor);
}

static void gzip_start(struct compressor *c)
{
	isal_deflate_init(&c->gzip);
	c->gzip.level = 1;
	c->gzip.level_buf = c->gzip_level;
	c->gzip.level_buf_size = ISAL_DEF_LVL1_DEFAULT;
	c->gzip.gzip_flag = IGZIP_GZIP;
	c->gzip.flush = NO_FLUSH;
}

static void zstd_start(struct compressor *c)
{
	c->zstd = ZSTD_createCCtx();
	assert(c->zstd);
	ZSTD_CCtx_setParameter(c->zstd, ZSTD_c_compressionLevel, ZSTD_LEVEL);
	ZSTD_CCtx_setParameter(c->zstd, ZSTD_c_checksumFlag, 1);
}

struct compressor *compressor_new(enum compression kind)
{
	struct compressor *c = memory_new(compressor_size(kind));

	c->kind = kind;
	if (kind == COMPRESSION_GZIP)
		gzip_start(c);
	else if (kind == COMPRESSION_ZSTD)
		zstd_start(c);
	return c;
}

void compressor_free(struct compressor *c)
{
	if (!c)
		return;
	ZSTD_freeCCtx(c->zstd);
	free(c);
}

size_t compressor_bytes(enum compression kind)
{
	return compressor_size(kind) + (kind == COMPRESSION_ZSTD ? ZSTD_CONTEXT_BYTES : 0);
}

static size_t none_feed(struct str *in, char *out, size_t room)
{
	size_t n = in->n < room ? in->n : room;

	memcpy(out, in->p, n);
	in->p += n;
	in->n -= n;
	return n;
}

static size_t gzip_feed(struct compressor *c, struct str *in, char *out, size_t room, bool end)
{
	uint32_t take = in->n < UINT32_MAX / 2 ? (uint32_t)in->n : UINT32_MAX / 2;
	uint32_t space = room < UINT32_MAX / 2 ? (uint32_t)room : UINT32_MAX / 2;
	int rc;

	/* ISA-L reads its input through a pointer that is not const. */
	c->gzip.next_in = (uint8_t *)(uintptr_t)in->p;
	c->gzip.avail_in = take;
	c->gzip.next_out = (uint8_t *)out;
	c->gzip.avail_out = space;
	c->gzip.end_of_stream = end;
	rc = isal_deflate(&c->gzip);
	assert(rc == COMP_OK);
	in->p += take - c->gzip.avail_in;
	in->n -= take - c->gzip.avail_in;
	return space - c->gzip.avail_out;
}

static size_t zstd_feed(struct compressor *c, struct str *in, char *out, size_t room,
			ZSTD_EndDirective how, bool *done)
{
	ZSTD_inBuffer from = { in->p, in->n, 0 };
	ZSTD_outBuffer to = { out, room, 0 };
	size_t left = ZSTD_compressStream2(c->zstd, &to, &from, how);

	/* With valid parameters and buffers only memory can fail, which aborts here as elsewhere.
	 */
	assert(!ZSTD_isError(left));
	in->p += from.pos;
	in->n -= from.pos;
	*done = left == 0;
	return to.pos;
}

size_t compressor_feed(struct compressor *c, struct str *in, char *out, size_t room)
{
	size_t wrote = 0;
	bool flushed;

	while (in->n > 0 && wrote < room) {
		switch (c->kind) {
		case COMPRESSION_NONE:
			wrote += none_feed(in, out + wrote, room - wrote);
			break;
		case COMPRESSION_GZIP:
			wrote += gzip_feed(c, in, out + wrote, room - wrote, false);
			break;
		case COMPRESSION_ZSTD:
			wrote += zstd_feed(c, in, out + wrote, room - wrote, ZSTD_e_continue,
					   &flushed);
			break;
		}
	}
	return wrote;
}

size_t compressor_end(struct compressor *c, char *out, size_t room, bool *done)
{
	struct str nothing = { "", 0 };
	size_t wrote;

	switch (c->kind) {
	case COMPRESSION_GZIP:
		wrote = gzip_feed(c, &nothing, out, room, true);
		*done = c->gzip.internal_state.state == ZSTATE_END;
		return wrote;
	case COMPRESSION_ZSTD:
		return zstd_feed(c, &nothing, out, room, ZSTD_e_end, done);
	case COMPRESSION_NONE:
		break;
	}
	*done = true;
	return 0;
}

const char *compression_suffix(enum compression kind)
{
	return kind == COMPRESSION_ZSTD ? ".zst" : kind == COMPRESSION_GZIP ? ".gz" : "";
}

const char *compression_content_type(enum compression kind)
{
	return kind == COMPRESSION_ZSTD   ? "application/zstd"
	       : kind == COMPRESSION_GZIP ? "application/gzip"
					  : "application/x-ndjson";
}
