#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <ftw.h>
#include <inttypes.h>
#include <isa-l/igzip_lib.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "base/memory.h"
#include "sinks/object.h"

/* What the tests of file sinks share: a host that writes the answers down in order, deliveries made
 * of text, and the bytes of a file as its reader gets them. */

#define SESSION "4f5c6d7e-0000-4000-8000-00000000000a"
#define OTHER   "4f5c6d7e-0000-4000-8000-00000000000b"
/* 2026-11-21T10:11:12.345Z */
#define WALL_MS     INT64_C(1795255872345)
#define ANSWERS_MAX 4096

struct noted {
	enum sink_answer_kind kind;
	struct delivery *delivery;
	uint64_t roll;
	size_t first;
	char *blob;
	struct error err;
};

struct fixture {
	struct sink_host host;
	struct clock clock;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct noted answers[ANSWERS_MAX];
	size_t count;
	char root[64];
};

/* A delivery of its own batch; freed by the test. */
struct parcel {
	struct delivery delivery;
	struct batch batch;
	struct str *payloads;
	char *text;
	struct batch_route route;
};

static const struct source source_orders = {
	.stream = "orders",
	.table = "orders",
	.arn = "arn:aws:dynamodb:eu-west-1:1:table/orders/stream/1",
	.account = "1",
	.region = "eu-west-1"
};
static const struct source source_users = {
	.stream = "users",
	.table = "users",
	.arn = "arn:aws:dynamodb:eu-west-1:1:table/users/stream/1",
	.account = "1",
	.region = "eu-west-1"
};

static inline int64_t fixed_wall_ms(const struct clock *c)
{
	(void)c;
	return WALL_MS;
}

static inline void note(void *arg, const struct sink_answer *a)
{
	struct fixture *x = arg;

	pthread_mutex_lock(&x->lock);
	assert_true(x->count < ANSWERS_MAX);
	x->answers[x->count++] =
		(struct noted){ a->kind,
				a->delivery,
				a->roll,
				a->first,
				a->kind == SINK_PREPARED ? memory_text_n(a->blob.p, a->blob.n)
							 : NULL,
				a->err };
	pthread_cond_broadcast(&x->changed);
	pthread_mutex_unlock(&x->lock);
}

/* Waits for the n-th answer (from 0) of all. */
static inline struct noted *answer_at(struct fixture *x, size_t n)
{
	pthread_mutex_lock(&x->lock);
	while (x->count <= n)
		pthread_cond_wait(&x->changed, &x->lock);
	pthread_mutex_unlock(&x->lock);
	return &x->answers[n];
}

static inline void expect_answer(struct fixture *x, size_t n, enum sink_answer_kind kind,
				 uint64_t roll)
{
	const struct noted *a = answer_at(x, n);

	if (a->kind != kind)
		print_error("answer %zu: %s\n", n, a->err.message);
	assert_int_equal(a->kind, kind);
	if (kind != SINK_FAILED)
		assert_int_equal(a->roll, roll);
}

static inline void fixture_init(struct fixture *x)
{
	memset(x, 0, sizeof(*x));
	clock_init(&x->clock);
	x->clock.wall_ms = fixed_wall_ms;
	pthread_mutex_init(&x->lock, NULL);
	pthread_cond_init(&x->changed, NULL);
	snprintf(x->root, sizeof(x->root), "/tmp/sluice-object-XXXXXX");
	assert_non_null(mkdtemp(x->root));
	x->host = (struct sink_host){ .name = "lake",
				      .session = SESSION,
				      .readers = 1,
				      .lease_ms = 10000,
				      .memory_bytes = (size_t)64 << 20,
				      .clock = &x->clock,
				      .metrics = metrics_new(),
				      .answer = note,
				      .arg = x };
}

static inline int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static inline void fixture_release(struct fixture *x)
{
	nftw(x->root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	for (size_t i = 0; i < x->count; i++)
		free(x->answers[i].blob);
	metrics_free(x->host.metrics);
	pthread_cond_destroy(&x->changed);
	pthread_mutex_destroy(&x->lock);
}

static inline struct parcel *parcel_new(const struct source *source, size_t capacity)
{
	struct parcel *p = memory_new(sizeof(*p));

	p->payloads = memory_array(capacity, sizeof(struct str));
	p->batch.source = source;
	p->delivery = (struct delivery){ .batch = &p->batch, .payloads = p->payloads };
	return p;
}

static inline void parcel_free(struct parcel *p)
{
	free(p->payloads);
	free(p->route.of);
	free(p->text);
	free(p);
}

/* `count` records of `size` bytes with their newline, numbered from `from`; not all alike, so that
 * they compress as real ones do. */
static inline struct parcel *parcel_of(const struct source *source, size_t from, size_t count,
				       size_t size)
{
	struct parcel *p = parcel_new(source, count);
	uint64_t x = from * 2654435761u + 1;

	p->text = memory_new(count * size + 1);
	for (size_t i = 0; i < count; i++) {
		char *at = p->text + i * size;
		int n = snprintf(at, size, "{\"n\":%zu,\"t\":\"", from + i);

		for (size_t k = (size_t)n; k < size - 3; k++) {
			x = x * 6364136223846793005u + 1442695040888963407u;
			at[k] = (char)('a' + (x >> 60));
		}
		memcpy(at + size - 3, "\"}\n", 3);
		p->payloads[i] = (struct str){ at, size - 1 };
	}
	p->batch.count = p->delivery.count = count;
	return p;
}

static inline void parcel_text(const struct parcel *p, struct buf *out)
{
	for (size_t i = p->delivery.first; i < p->batch.count; i++)
		if (p->payloads[i].p)
			assert_true(buf_add(out, p->payloads[i].p, p->payloads[i].n + 1));
}

/* --- files --- */

static inline void unzstd(struct str in, struct buf *out)
{
	ZSTD_DCtx *d = ZSTD_createDCtx();
	ZSTD_inBuffer from = { in.p, in.n, 0 };
	char room[65536];
	size_t left = 1;

	while (from.pos < from.size) {
		ZSTD_outBuffer to = { room, sizeof(room), 0 };

		left = ZSTD_decompressStream(d, &to, &from);
		assert_false(ZSTD_isError(left));
		assert_true(buf_add(out, room, to.pos));
	}
	assert_int_equal(left, 0);
	ZSTD_freeDCtx(d);
}

static inline void ungzip(struct str in, struct buf *out)
{
	struct inflate_state z;
	uint8_t room[65536];

	isal_inflate_init(&z);
	z.crc_flag = ISAL_GZIP;
	z.next_in = (uint8_t *)(uintptr_t)in.p;
	z.avail_in = (uint32_t)in.n;
	while (z.block_state != ISAL_BLOCK_FINISH) {
		z.next_out = room;
		z.avail_out = sizeof(room);
		assert_int_equal(isal_inflate(&z), ISAL_DECOMP_OK);
		assert_true(z.avail_out < sizeof(room) || z.block_state == ISAL_BLOCK_FINISH);
		assert_true(buf_add(out, room, sizeof(room) - z.avail_out));
	}
	assert_int_equal(z.avail_in, 0);
}

static inline void decompress(enum compression kind, struct str in, struct buf *out)
{
	if (kind == COMPRESSION_ZSTD)
		unzstd(in, out);
	else if (kind == COMPRESSION_GZIP)
		ungzip(in, out);
	else
		assert_true(buf_add(out, in.p, in.n));
}

static inline void read_whole(const char *path, struct buf *out)
{
	FILE *f = fopen(path, "rb");
	char room[65536];
	size_t n;

	assert_non_null(f);
	while ((n = fread(room, 1, sizeof(room), f)) > 0)
		assert_true(buf_add(out, room, n));
	fclose(f);
}

/* How many entries of a folder are visible (or, with `dots`, unfinished); 0 where there is none. */
static inline size_t folder_count(const char *folder, bool dots)
{
	DIR *d = opendir(folder);
	size_t n = 0;

	for (struct dirent *e; d && (e = readdir(d));)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			n += (e->d_name[0] == '.') == dots;
	if (d)
		closedir(d);
	return n;
}
