/* A data file from a scripted S3 server: every byte once and in order, whatever breaks; and damage
 * of any kind is told, with its place. */
#include "tests/unit/aws/s3_client.h"

#include <libdeflate.h>
#include <string.h>

#include "base/rng.h"
#include "export/file.h"

#define KEY "AWSDynamoDB/data/x.json.gz"

static struct buf text, packed;
static char md5[25];

static int setup(void **state)
{
	s3_client_up(state);
	buf_init(&text, 0);
	buf_init(&packed, 0);
	return 0;
}

static int teardown(void **state)
{
	s3_client_down(state);
	buf_release(&text);
	buf_release(&packed);
	return 0;
}

/* ---- files ---- */

static void make_text(size_t size)
{
	struct rng r;

	rng_seed(&r, size);
	buf_clear(&text);
	while (text.size < size) {
		buf_printf(&text, "{\"Item\":{\"pk\":{\"S\":\"%016llx\"},\"v\":{\"S\":\"",
			   (unsigned long long)rng_next(&r));
		for (uint64_t n = rng_below(&r, 40); n > 0; n--)
			buf_printf(&text, "%08x", (unsigned)rng_next(&r));
		buf_text(&text, "\"}}}\n");
	}
}

/* Adds a gzip member. */
static void pack(struct str s)
{
	struct libdeflate_compressor *c = libdeflate_alloc_compressor(1);
	size_t bound = libdeflate_gzip_compress_bound(c, s.n), n;
	char *out = memory_new(bound);

	n = libdeflate_gzip_compress(c, s.p, s.n, out, bound);
	assert_true(n > 0 && buf_add(&packed, out, n));
	libdeflate_free_compressor(c);
	free(out);
}

static void put_packed(void)
{
	unsigned char hash[EVP_MAX_MD_SIZE];

	assert_int_equal(EVP_Digest(packed.data, packed.size, hash, NULL, EVP_md5(), NULL), 1);
	EVP_EncodeBlock((unsigned char *)md5, hash, 16);
	s3_server_put(&server, KEY, buf_str(&packed));
}

static void put_text(size_t size)
{
	make_text(size);
	buf_clear(&packed);
	pack(buf_str(&text));
	put_packed();
}

static struct file_options usual(void)
{
	return (struct file_options){ .place = { S3_BUCKET, KEY, NULL },
				      .md5 = md5,
				      .range_bytes = FILE_RANGE_BYTES_MIN,
				      .block_bytes = 10000 };
}

/* ---- reading ---- */

struct reading {
	struct file *file;
	struct buf lines, all;
	struct error err;
	uint64_t places[1000];
	size_t blocks;
	bool done, stop;
};

static void on_block(void *arg, const struct error *err, const struct file_block *b)
{
	struct reading *r = arg;

	assert_true((b != NULL) == (err->kind == ERROR_NONE));
	r->err = *err;
	r->done = !b || b->end || r->stop;
	if (!b)
		return;
	assert_int_equal(b->end, r->lines.size == 0);
	assert_int_equal(b->to - b->from, r->lines.size);
	assert_true(r->lines.size == 0 || r->lines.data[r->lines.size - 1] == '\n');
	assert_true(buf_add(&r->all, r->lines.data ? r->lines.data : "", r->lines.size));
	if (r->blocks < 1000)
		r->places[r->blocks++] = b->to;
	buf_clear(&r->lines);
	if (!r->done)
		file_next(r->file, &r->lines, on_block, r);
}

static void reading_start(struct reading *r, const struct file_options *o)
{
	*r = (struct reading){ 0 };
	buf_init(&r->lines, 0);
	buf_init(&r->all, 0);
	r->file = file_new(client, o);
	file_next(r->file, &r->lines, on_block, r);
}

static void reading_end(struct reading *r)
{
	file_free(r->file);
	buf_release(&r->lines);
	buf_release(&r->all);
}

static void read_file(struct reading *r, const struct file_options *o)
{
	reading_start(r, o);
	aws_wait(client, &r->done);
}

static void assert_reads(const struct file_options *o)
{
	struct reading r;

	read_file(&r, o);
	if (r.err.kind != ERROR_NONE)
		fail_msg("%s", r.err.message);
	assert_int_equal(r.all.size, text.size - o->from);
	assert_memory_equal(r.all.data ? r.all.data : "", text.data + o->from, r.all.size);
	assert_int_equal(file_fetched(r.file), packed.size);
	assert_int_equal(file_total(r.file), packed.size);
	reading_end(&r);
}

static void assert_fails(const struct file_options *o, enum error_kind kind, const char *says)
{
	struct reading r;

	read_file(&r, o);
	if (r.err.kind != kind || !strstr(r.err.message, says))
		fail_msg("%s: %s", says, r.err.message);
	assert_non_null(strstr(r.err.message, "file " KEY));
	reading_end(&r);
}

static void whole_files(void **state)
{
	static const size_t sizes[] = { 1, 5000, 10000, 200000, 3000000 };
	static const size_t blocks[] = { 1, 777, 65536, 1 << 20 };

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		put_text(sizes[i]);
		for (size_t k = sizes[i] > 200000; k < 4; k++) {
			struct file_options o = usual();

			o.block_bytes = blocks[k];
			o.range_bytes += i;
			assert_reads(&o);
		}
	}
}

static void odd_files(void **state)
{
	struct file_options o = usual();

	(void)state;
	/* An empty partition: a gzip of nothing. */
	buf_clear(&text);
	buf_clear(&packed);
	pack(STR(""));
	put_packed();
	assert_reads(&o);
	/* No end of line at the end; blank lines; a line that is longer than a block. */
	make_text(15000);
	memset(text.data + 100, 'x', 14000);
	text.data[20] = text.data[21] = '\n';
	pack((struct str){ text.data, text.size - 1 });
	put_packed();
	o.block_bytes = 300;
	assert_reads(&o);
	/* Several members, an empty one among them. */
	make_text(300000);
	buf_clear(&packed);
	pack((struct str){ text.data, 100000 });
	pack(STR(""));
	pack((struct str){ text.data + 100000, text.size - 100000 });
	put_packed();
	o = usual();
	assert_reads(&o);
	o.md5 = NULL;
	assert_reads(&o);
}

/* Wherever the connections break, what came is not asked for again. */
static void a_connection_that_breaks_everywhere(void **state)
{
	struct file_options o = usual();

	(void)state;
	put_text(2000000);
	for (size_t tenth = 1; tenth < 10; tenth++) {
		size_t range = packed.size * tenth / 10;

		o.range_bytes =
			packed.size > FILE_RANGE_BYTES_MIN ? packed.size : FILE_RANGE_BYTES_MIN;
		server.served = 0;
		s3_server_fault(&server,
				(struct s3_fault){ "GET", "", S3_BREAK, (int)range, NULL, 1 });
		assert_reads(&o);
		assert_int_equal(server.served, packed.size);
	}
	/* Each connection gives a tenth. */
	server.served = server.gets = 0;
	s3_server_fault(&server, (struct s3_fault){ "GET", "", S3_BREAK,
						    (int)(packed.size / 10 + 1), NULL, 1000 });
	assert_reads(&o);
	assert_int_equal(server.gets, 10);
	assert_int_equal(server.served, packed.size);
	s3_server_let_go(&server);
	/* And each gives nothing at first. */
	s3_server_fault(&server, (struct s3_fault){ "GET", "", S3_CUT, 0, NULL, 2 });
	assert_reads(&o);
}

static void a_file_goes_on_at_any_place(void **state)
{
	struct file_options o = usual();
	struct reading whole;

	(void)state;
	put_text(400000);
	read_file(&whole, &o);
	assert_true(whole.blocks > 30);
	for (size_t i = 0; i < whole.blocks; i += 3) {
		o.from = whole.places[i];
		assert_reads(&o);
	}
	o.from = text.size + 1;
	assert_fails(&o, ERROR_INVALID, "before the place where it was to go on");
	reading_end(&whole);
}

/* A server that is away for longer than a call tries: the block is asked for again, and what was
 * fetched and inflated is not fetched anew. */
static void a_server_that_comes_back(void **state)
{
	struct file_options o = usual();
	struct reading r;

	(void)state;
	put_text(1000000);
	server.served = 0;
	reading_start(&r, &o);
	r.stop = true; /* behind the first block */
	aws_wait(client, &r.done);
	r.stop = false;
	for (unsigned i = 0; i < 2; i++) {
		s3_server_fault(&server, (struct s3_fault){ "GET", "", S3_CUT, 0, NULL, 1000 });
		r.done = false;
		file_next(r.file, &r.lines, on_block, &r);
		aws_wait(client, &r.done);
		assert_int_equal(r.err.kind, ERROR_RETRY);
		assert_non_null(strstr(r.err.message, "file " KEY));
		assert_int_equal(r.lines.size, 0);
		s3_server_let_go(&server);
	}
	r.done = false;
	file_next(r.file, &r.lines, on_block, &r);
	aws_wait(client, &r.done);
	assert_int_equal(r.err.kind, ERROR_NONE);
	assert_int_equal(r.all.size, text.size);
	assert_memory_equal(r.all.data, text.data, text.size);
	assert_int_equal(server.served, packed.size);
	reading_end(&r);
}

static void lines_that_are_passed_are_counted(void **state)
{
	static const char some[] = "{1}\n\n  \n{2}\n\t{3}\n{4}";
	struct file_options o = usual();
	struct reading r;

	(void)state;
	buf_clear(&text);
	for (unsigned i = 0; i < 20000; i++)
		buf_text(&text, some);
	buf_clear(&packed);
	pack(buf_str(&text));
	put_packed();
	for (size_t i = 0; i <= 20000; i += 5000) {
		o.from = i * (sizeof(some) - 1);
		read_file(&r, &o);
		/* {4}{1} is one line. */
		assert_int_equal(file_passed_lines(r.file), i ? 3 * i + 1 : 0);
		assert_int_equal(r.all.size, text.size - o.from + (i < 20000));
		reading_end(&r);
	}
}

/* All of it is looked at, and none of it is given. */
static void a_file_that_is_verified(void **state)
{
	struct file_options o = usual();
	struct reading r;

	(void)state;
	o.verify = true;
	put_text(400000);
	read_file(&r, &o);
	assert_int_equal(r.err.kind, ERROR_NONE);
	assert_int_equal(r.all.size, 0);
	assert_int_equal(r.blocks, 1);
	assert_true(file_passed_lines(r.file) > 1000);
	reading_end(&r);
	o.md5 = "kAFQmDzST7DWlj99KOF/cg==";
	assert_fails(&o, ERROR_INVALID, "the manifest says");
	o.md5 = md5;
	s3_server_put(&server, KEY, (struct str){ packed.data, packed.size / 2 });
	assert_fails(&o, ERROR_INVALID, "in the middle of its gzip data");
}

static void damaged_files(void **state)
{
	struct file_options o = usual();
	struct rng r;

	(void)state;
	put_text(400000);
	o.md5 = "kAFQmDzST7DWlj99KOF/cg==";
	assert_fails(&o, ERROR_INVALID, "the manifest says kAFQmDzST7DWlj99KOF/cg==");
	o.md5 = NULL; /* what gzip itself notices */
	s3_server_put(&server, KEY, (struct str){ packed.data, packed.size - 1 });
	assert_fails(&o, ERROR_INVALID, "in the middle of its gzip data");
	s3_server_put(&server, KEY, (struct str){ packed.data, packed.size / 2 });
	assert_fails(&o, ERROR_INVALID, "in the middle of its gzip data");
	s3_server_put(&server, KEY, (struct str){ packed.data, 5 });
	assert_fails(&o, ERROR_INVALID, "in the middle of its gzip data");
	s3_server_put(&server, KEY, buf_str(&text));
	assert_fails(&o, ERROR_INVALID, "it is not gzip");
	packed.data[packed.size - 6] ^= 1;
	s3_server_put(&server, KEY, buf_str(&packed));
	assert_fails(&o, ERROR_INVALID, "CRC-32 is wrong");
	packed.data[packed.size - 6] ^= 1;
	assert_true(buf_add(&packed, "something that trails", 21));
	s3_server_put(&server, KEY, buf_str(&packed));
	assert_fails(&o, ERROR_INVALID, "it is not gzip");
	packed.size -= 21;
	/* Any bit: noticed by the end at the latest. */
	o = usual();
	rng_seed(&r, 1);
	for (unsigned i = 0; i < 100; i++) {
		size_t at = rng_below(&r, packed.size);
		char bit = (char)(1 << rng_below(&r, 8));

		packed.data[at] ^= bit;
		s3_server_put(&server, KEY, buf_str(&packed));
		assert_fails(&o, ERROR_INVALID, "");
		packed.data[at] ^= bit;
	}
}

static void a_line_without_end(void **state)
{
	struct file_options o = usual();

	(void)state;
	buf_clear(&text);
	while (text.size <= FILE_LINE_BYTES_MAX)
		buf_printf(&text, "%0100000d", 1);
	buf_clear(&packed);
	pack(buf_str(&text));
	put_packed();
	assert_fails(&o, ERROR_INVALID, "a line of more than 16 MiB");
}

static void files_that_cannot_be_had(void **state)
{
	struct file_options o = usual();

	(void)state;
	assert_fails(&o, ERROR_NOT_FOUND, "NoSuchKey");
	put_text(400000);
	s3_server_fault(&server, (struct s3_fault){ "GET", "", S3_ANSWER, 403, "AccessDenied", 1 });
	assert_fails(&o, ERROR_REFUSED, "s3:GetObject");
	s3_server_fault(&server, (struct s3_fault){ "GET", "", S3_CUT, 0, NULL, 100 });
	assert_fails(&o, ERROR_RETRY, "");
	s3_server_let_go(&server);
	o.place.bucket = "elsewhere";
	assert_fails(&o, ERROR_REFUSED, "NoSuchBucket");
}

/* Another object in the file's place is not joined to the first half of the one before. */
static void a_file_that_is_replaced(void **state)
{
	struct file_options o = usual();
	struct reading r;

	(void)state;
	put_text(2000000);
	reading_start(&r, &o);
	r.stop = true;
	aws_wait(client, &r.done);
	assert_int_equal(r.err.kind, ERROR_NONE);
	s3_server_put(&server, KEY, buf_str(&packed));
	r.stop = r.done = false;
	file_next(r.file, &r.lines, on_block, &r);
	aws_wait(client, &r.done);
	assert_int_equal(r.err.kind, ERROR_INVALID);
	assert_non_null(strstr(r.err.message, "PreconditionFailed"));
	reading_end(&r);
}

/* Who does not ask gets no more: one range is being inflated, one waits. */
static void nobody_asks(void **state)
{
	struct file_options o = usual();
	struct reading r;

	(void)state;
	put_text(2000000);
	reading_start(&r, &o);
	r.stop = true;
	aws_wait(client, &r.done);
	for (unsigned i = 0; i < 20; i++)
		loop_once(loop, 5);
	assert_int_equal(server.gets, 2);
	assert_int_equal(file_fetched(r.file), 2 * FILE_RANGE_BYTES_MIN);
	reading_end(&r);
}

static bool held(void)
{
	bool any;

	pthread_mutex_lock(&server.lock);
	any = server.held > 0;
	pthread_mutex_unlock(&server.lock);
	return any;
}

static void free_at_once(void *arg, const struct error *err, const struct file_block *b)
{
	struct reading *r = arg;

	(void)err;
	assert_non_null(b);
	file_free(r->file);
	r->done = true;
}

static void files_that_are_given_up(void **state)
{
	struct file_options o = usual();
	struct reading r = { 0 };

	(void)state;
	put_text(2000000);
	/* Before anything, while a range is on its way, and inside the callback. */
	reading_start(&r, &o);
	reading_end(&r);
	s3_server_fault(&server, (struct s3_fault){ "GET", "", S3_HOLD, 0, NULL, 1 });
	reading_start(&r, &o);
	while (!held())
		loop_once(loop, 5);
	reading_end(&r);
	s3_server_let_go(&server);
	r = (struct reading){ .file = file_new(client, &o) };
	buf_init(&r.lines, 0);
	file_next(r.file, &r.lines, free_at_once, &r);
	aws_wait(client, &r.done);
	buf_release(&r.lines);
	file_free(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(whole_files),
		TEST(odd_files),
		TEST(a_connection_that_breaks_everywhere),
		TEST(a_file_goes_on_at_any_place),
		TEST(a_server_that_comes_back),
		TEST(lines_that_are_passed_are_counted),
		TEST(a_file_that_is_verified),
		TEST(damaged_files),
		TEST(a_line_without_end),
		TEST(files_that_cannot_be_had),
		TEST(a_file_that_is_replaced),
		TEST(nobody_asks),
		TEST(files_that_are_given_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
