/* What export.py measures: data files of an export, made; one of them inflated alone, or loaded
 * from an S3 server into nothing. The last two print what it took, in CPU seconds of the whole
 * process. */
#include <isa-l/igzip_lib.h>
#include <libdeflate.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "aws/credentials.h"
#include "base/clock.h"
#include "base/loop.h"
#include "base/metrics.h"
#include "event/decode.h"
#include "export/file.h"
#include "tests/bench/page.h"

#define MEMBER_BYTES ((size_t)64 << 20)
/* Such items become five times smaller. */
#define LEVEL 2
/* As igzip reads and writes. */
#define BLOCK_BYTES ((size_t)10 << 20)

/* VmHWM: what rusage has of it counts who started this process, too. */
static double hwm_mib(void)
{
	FILE *f = fopen("/proc/self/status", "r");
	double kib = 0;
	char line[256];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "VmHWM: %lf", &kib) == 1)
			break;
	if (f)
		fclose(f);
	return kib / 1024;
}

static double cpu_s(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e-6;
}

static void *checked(void *p)
{
	if (!p) {
		perror("bench_export");
		exit(1);
	}
	return p;
}

struct maker {
	struct libdeflate_compressor *compressor;
	struct buf text;
	char *packed;
	size_t items; /* of all files so far: no two are alike */
};

/* Items as the other benches have them. */
static void make_file(struct maker *m, const char *path, size_t bytes)
{
	size_t made = 0, written = 0, first = m->items;
	FILE *f = checked(fopen(path, "wb"));

	while (made < bytes) {
		size_t n;

		buf_clear(&m->text);
		for (; m->text.size < MEMBER_BYTES && made + m->text.size < bytes; m->items++) {
			buf_text(&m->text, "{\"Item\":");
			page_item(1, m->items, &m->text);
			buf_text(&m->text, "}\n");
		}
		n = libdeflate_gzip_compress(m->compressor, m->text.data, m->text.size, m->packed,
					     2 * MEMBER_BYTES);
		written += fwrite(m->packed, 1, n, f);
		made += m->text.size;
	}
	fclose(f);
	printf("{\"bytes\":%zu,\"packed\":%zu,\"items\":%zu}\n", made, written, m->items - first);
}

/* A line about each: PREFIX0, PREFIX1, … */
static int make(const char *prefix, size_t count, size_t bytes)
{
	struct maker m = { .compressor = checked(libdeflate_alloc_compressor(LEVEL)),
			   .packed = checked(malloc(2 * MEMBER_BYTES)) };
	char path[4096];

	buf_init(&m.text, 2 * MEMBER_BYTES);
	for (size_t i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "%s%zu", prefix, i);
		make_file(&m, path, bytes);
	}
	buf_release(&m.text);
	free(m.packed);
	libdeflate_free_compressor(m.compressor);
	return 0;
}

/* What `igzip -dc FILE > /dev/null` does. */
static int inflate_alone(const char *path)
{
	FILE *in = checked(fopen(path, "rb")), *out = checked(fopen("/dev/null", "wb"));
	struct inflate_state *s = checked(malloc(sizeof(*s)));
	uint8_t *from = checked(malloc(BLOCK_BYTES)), *to = checked(malloc(BLOCK_BYTES));
	double begin = cpu_s();
	size_t bytes = 0;

	isal_inflate_init(s);
	s->crc_flag = ISAL_GZIP;
	s->avail_in = 0;
	for (;;) {
		if (s->avail_in == 0) {
			s->next_in = from;
			s->avail_in = (uint32_t)fread(from, 1, BLOCK_BYTES, in);
			if (s->avail_in == 0)
				break;
		}
		if (s->block_state == ISAL_BLOCK_FINISH)
			isal_inflate_reset(s);
		s->next_out = to;
		s->avail_out = BLOCK_BYTES;
		if (isal_inflate(s) != ISAL_DECOMP_OK)
			return 1;
		bytes += fwrite(to, 1, (size_t)(s->next_out - to), out);
	}
	printf("{\"bytes\":%zu,\"cpu_s\":%.4f}\n", bytes, cpu_s() - begin);
	return 0;
}

struct load {
	struct file *file;
	struct batch *batch;
	uint64_t rows, bytes, payload_bytes;
	bool done;
};

static void on_block(void *arg, const struct error *err, const struct file_block *b)
{
	const struct encoding encoding = { .format = FORMAT_DEBEZIUM };
	const struct decode_options o = { .encodings = &encoding,
					  .encoding_count = 1,
					  .lenient = false,
					  .now_ms = 1763700009876 };
	const struct rows rows = { .time_ms = 1763700000000 };
	struct load *l = arg;

	if (!b || b->end) {
		if (!b)
			fprintf(stderr, "bench_export: %s\n", err->message);
		l->done = true;
		return;
	}
	l->batch->source = page_source(PAGE_MAIN);
	decode_lines(l->batch, &o, &rows);
	if (l->batch->bad_count) {
		fprintf(stderr, "bench_export: %s\n", l->batch->events[0].bad);
		exit(1);
	}
	l->rows += l->batch->count;
	l->bytes += b->to - b->from;
	for (size_t i = 0; i < l->batch->count; i++)
		l->payload_bytes += l->batch->payloads[0][i].n;
	batch_free(l->batch);
	l->batch = batch_new();
	file_next(l->file, &l->batch->body, on_block, l);
}

/* from: a place near the end, for what is thrown away before it. */
static int load(const char *url, const char *bucket, const char *key, const char *md5,
		uint64_t from)
{
	struct file_options o = { .place = { bucket, key, NULL },
				  .md5 = md5,
				  .from = from,
				  .range_bytes = (size_t)4 << 20,
				  .block_bytes = (size_t)1 << 20 };
	struct aws_settings settings = { .region = getenv("AWS_REGION"), .connections_max = 4 };
	struct metrics *metrics = metrics_new();
	struct load l = { .batch = batch_new() };
	struct credentials *credentials;
	struct aws_client *client;
	struct error err = { 0 };
	struct clock clock;
	struct loop *loop;
	double begin;

	mallopt(M_MMAP_THRESHOLD, 32 << 20); /* as the service */
	mallopt(M_TRIM_THRESHOLD, 64 << 20);
	clock_init(&clock);
	settings.endpoints[AWS_S3] = url;
	credentials = checked(credentials_open(&settings, NULL, &clock, metrics, &err));
	loop = loop_new(&clock);
	client = checked(aws_client_new(loop, &settings, credentials, &clock, metrics, &err));
	begin = cpu_s();
	l.file = file_new(client, &o);
	file_next(l.file, &l.batch->body, on_block, &l);
	aws_wait(client, &l.done);
	printf("{\"rows\":%llu,\"bytes\":%llu,\"payload_bytes\":%llu,\"cpu_s\":%.4f,"
	       "\"hwm_mib\":%.1f}\n",
	       (unsigned long long)l.rows, (unsigned long long)l.bytes,
	       (unsigned long long)l.payload_bytes, cpu_s() - begin, hwm_mib());
	file_free(l.file);
	batch_free(l.batch);
	aws_client_free(client);
	loop_free(loop);
	credentials_close(credentials);
	metrics_free(metrics);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 5 && strcmp(argv[1], "make") == 0)
		return make(argv[2], strtoull(argv[3], NULL, 10), strtoull(argv[4], NULL, 10));
	if (argc == 3 && strcmp(argv[1], "inflate") == 0)
		return inflate_alone(argv[2]);
	if (argc == 7 && strcmp(argv[1], "load") == 0)
		return load(argv[2], argv[3], argv[4], argv[5], strtoull(argv[6], NULL, 10));
	fprintf(stderr, "usage: bench_export make PREFIX COUNT BYTES | inflate FILE |\n"
			"       load URL BUCKET KEY MD5 FROM\n");
	return 2;
}
