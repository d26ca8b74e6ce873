#include "tests/emulator/exporter.h"

#include <curl/curl.h>
#include <libdeflate.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "tests/emulator/history.h"

#define POLL_MS        20
#define PUT_TIMEOUT_MS 60000L
#define FILE_BYTES_MAX ((size_t)1 << 31)
/* What AWS bills at least for a window. */
#define BILLED_FLOOR 10000000

struct exporter {
	struct world *world;
	char *url, *user, *provider;
	CURL *easy;
	pthread_t thread;
	atomic_bool stop;
};

/* One export that is being written. */
struct writing {
	struct exporter *exporter;
	struct export *export;
	struct fault fault; /* on order, for this export */
	struct history_file *files;
	struct buf list; /* manifest-files.json */
	uint64_t items, bytes;
	char code[80], message[400]; /* why it failed; "" */
};

void export_free(struct export *e)
{
	free(e->bucket);
	free(e->owner);
	free(e->prefix);
	free(e->encryption);
	free(e->kms_key);
	free(e->token);
	json_decref(e->request);
	free(e);
}

static void add_root(const struct export *e, struct buf *out)
{
	if (e->prefix)
		buf_printf(out, "%s/", e->prefix);
	buf_text(out, "AWSDynamoDB/");
}

void export_key(const struct export *e, const char *name, struct buf *out)
{
	add_root(e, out);
	buf_printf(out, "%s/%s", e->id, name);
}

/* ---- S3 ---- */

static size_t on_answer(char *data, size_t size, size_t n, void *arg)
{
	(void)size;
	(void)!buf_add(arg, data, n);
	return n;
}

static void hex_of(const unsigned char *p, size_t n, char *out)
{
	for (size_t i = 0; i < n; i++)
		snprintf(out + 2 * i, 3, "%02x", p[i]);
}

static void url_of(const struct exporter *x, const char *bucket, const char *key, struct buf *out)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
				    "-._~/";

	buf_printf(out, "%s/%s/", x->url, bucket);
	for (const char *p = key; *p; p++)
		if (strchr(plain, *p))
			buf_printf(out, "%c", *p);
		else
			buf_printf(out, "%%%02X", (unsigned char)*p);
}

static bool fail(struct writing *w, const char *code, const char *message)
{
	snprintf(w->code, sizeof(w->code), "%s", code);
	snprintf(w->message, sizeof(w->message), "%s", message);
	return false;
}

/* PutObject, signed by libcurl. */
static bool put(struct writing *w, const char *key, struct str body)
{
	struct exporter *x = w->exporter;
	unsigned char hash[EVP_MAX_MD_SIZE];
	char sha[64 + 32] = "x-amz-content-sha256: ";
	struct buf url = { 0 }, answer = { 0 };
	struct curl_slist *headers = NULL;
	long status = 0;
	CURLcode code;

	if (!x->url)
		return fail(w, "S3Unreachable", "the emulator was started without --s3");
	EVP_Digest(body.p, body.n, hash, NULL, EVP_sha256(), NULL);
	hex_of(hash, 32, sha + strlen(sha));
	headers = curl_slist_append(headers, sha);
	headers = curl_slist_append(headers, "Expect:");
	headers = curl_slist_append(headers, "Content-Type: binary/octet-stream");
	url_of(x, w->export->bucket, key, &url);
	curl_easy_reset(x->easy);
	curl_easy_setopt(x->easy, CURLOPT_URL, url.data);
	curl_easy_setopt(x->easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(x->easy, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(x->easy, CURLOPT_TIMEOUT_MS, PUT_TIMEOUT_MS);
	curl_easy_setopt(x->easy, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(x->easy, CURLOPT_AWS_SIGV4, x->provider);
	curl_easy_setopt(x->easy, CURLOPT_USERPWD, x->user);
	curl_easy_setopt(x->easy, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(x->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.n);
	curl_easy_setopt(x->easy, CURLOPT_POSTFIELDS, body.n ? body.p : "");
	curl_easy_setopt(x->easy, CURLOPT_CUSTOMREQUEST, "PUT");
	curl_easy_setopt(x->easy, CURLOPT_WRITEFUNCTION, on_answer);
	curl_easy_setopt(x->easy, CURLOPT_WRITEDATA, &answer);
	code = curl_easy_perform(x->easy);
	curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_slist_free_all(headers);
	buf_release(&url);
	if (code != CURLE_OK)
		fail(w, "S3Unreachable", curl_easy_strerror(code));
	else if (status == 404)
		fail(w, "S3NoSuchBucket", "The specified bucket does not exist");
	else if (status >= 300)
		fail(w, status == 403 ? "S3AccessDenied" : "S3Error",
		     answer.data ? answer.data : "");
	buf_release(&answer);
	return !w->code[0];
}

/* ---- files ---- */

static void md5_of(struct str s, unsigned char hash[EVP_MAX_MD_SIZE], char text[25])
{
	EVP_Digest(s.p, s.n, hash, NULL, EVP_md5(), NULL);
	EVP_EncodeBlock((unsigned char *)text, hash, 16);
}

/* 26 letters that nobody can foresee. */
static void file_name(struct writing *w, bool shared, struct buf *out)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567";
	struct world *world = w->exporter->world;

	add_root(w->export, out);
	if (!shared)
		buf_printf(out, "%s/", w->export->id);
	buf_text(out, "data/");
	pthread_mutex_lock(&world->lock);
	for (int i = 0; i < 26; i++)
		buf_printf(out, "%c", letters[rng_below(&world->rng, 32)]);
	pthread_mutex_unlock(&world->lock);
	buf_printf(out, ".%s.gz", w->export->ion ? "ion" : "json");
}

static void gzip(struct str text, struct buf *out)
{
	struct libdeflate_compressor *c = libdeflate_alloc_compressor(6);
	size_t bound = libdeflate_gzip_compress_bound(c, text.n);

	buf_init(out, FILE_BYTES_MAX);
	out->data = memory_new(bound + 1);
	out->capacity = bound + 1;
	out->size = libdeflate_gzip_compress(c, text.p, text.n, out->data, bound);
	libdeflate_free_compressor(c);
}

/* The last three bytes of the first line are gone. */
static void break_line(struct buf *lines)
{
	char *end = memchr(lines->data, '\n', lines->size);

	memmove(end - 3, end, lines->size - (size_t)(end - lines->data));
	lines->size -= 3;
}

/* `order`: the fault that is on order shows in this file. */
static bool write_file(struct writing *w, struct history_file *f, bool order)
{
	enum fault_kind fault = order ? w->fault.kind : FAULT_NONE;
	unsigned char hash[EVP_MAX_MD_SIZE], twice[EVP_MAX_MD_SIZE];
	char md5[25], etag[40], unused[25];
	struct buf key = { 0 }, packed;
	bool good = true;

	if (fault == FAULT_LINE_BAD)
		break_line(&f->lines);
	gzip(buf_str(&f->lines), &packed);
	md5_of(buf_str(&packed), hash, md5);
	md5_of((struct str){ (char *)hash, 16 }, twice, unused);
	hex_of(twice, 16, etag);
	file_name(w, !w->export->full, &key);
	if (fault == FAULT_FILE_CORRUPT)
		packed.data[packed.size / 2] ^= 0x10;
	if (fault != FAULT_FILE_MISSING)
		good = put(w, key.data, buf_str(&packed));
	buf_printf(&w->list,
		   "{\"itemCount\":%llu,\"md5Checksum\":\"%s\",\"etag\":\"%s-1\","
		   "\"dataFileS3Key\":",
		   (unsigned long long)f->items + (fault == FAULT_COUNT_WRONG), md5, etag);
	buf_json_text(&w->list, buf_str(&key));
	buf_text(&w->list, "}\n");
	w->items += f->items;
	w->bytes += f->lines.size;
	buf_release(&packed);
	buf_release(&key);
	return good;
}

static bool write_files(struct writing *w)
{
	bool ordered = false, good = true;

	for (uint64_t i = 0; good && i < w->export->table->spec.partitions; i++) {
		bool order = !ordered && w->files[i].items > 0;

		ordered |= order;
		good = write_file(w, &w->files[i], order);
	}
	return good;
}

/* ---- manifests ---- */

static void member(struct buf *out, const char *name, const char *value)
{
	buf_printf(out, "%s\"%s\":", out->size > 1 ? "," : "", name);
	if (value)
		buf_json_text(out, str_of(value));
	else
		buf_text(out, "null");
}

static void member_time(struct buf *out, const char *name, int64_t ms)
{
	char text[CLOCK_TEXT_SIZE];

	member(out, name, clock_text(ms, text));
}

static void table_id(const struct table *t, char out[37])
{
	uint64_t a = generate_mix(t->spec.seed, (uint64_t)t->created_ms, 41);
	uint64_t b = generate_mix(a, 1, 43);

	snprintf(out, 37, "%08x-%04x-4%03x-a%03x-%012llx", (unsigned)a,
		 (unsigned)(a >> 32) & 0xffff, (unsigned)(a >> 48) & 0xfff, (unsigned)b & 0xfff,
		 (unsigned long long)b >> 16);
}

static void summary(const struct writing *w, struct buf *out)
{
	const struct export *e = w->export;
	char table[ARN_SIZE], id[37];
	struct buf files = { 0 };

	table_arn(e->table, table);
	table_id(e->table, id);
	buf_text(out, "{");
	member(out, "version", e->full ? "2020-06-30" : "2023-08-01");
	member(out, "exportArn", e->arn);
	member_time(out, "startTime", e->start_ms);
	member_time(out, "endTime", world_now_ms(w->exporter->world));
	member(out, "tableArn", table);
	member(out, "tableId", id);
	if (e->full) {
		member_time(out, "exportTime", e->at_ms);
	} else {
		member_time(out, "exportFromTime", e->from_ms);
		member_time(out, "exportToTime", e->to_ms);
	}
	member(out, "s3Bucket", e->bucket);
	member(out, "s3Prefix", e->prefix);
	member(out, "s3SseAlgorithm", e->encryption ? e->encryption : "AES256");
	member(out, "s3SseKmsKeyId", e->kms_key);
	export_key(e, "manifest-files.json", &files);
	member(out, "manifestFilesS3Key", files.data);
	buf_printf(out, ",\"billedSizeBytes\":%llu,\"itemCount\":%llu",
		   (unsigned long long)e->billed_bytes, (unsigned long long)w->items);
	member(out, "outputFormat", e->ion ? "ION" : "DYNAMODB_JSON");
	if (!e->full) {
		member(out, "outputView", e->old_images ? "NEW_AND_OLD_IMAGES" : "NEW_IMAGE");
		member(out, "exportType", "INCREMENTAL_EXPORT");
	}
	buf_text(out, "}");
	buf_release(&files);
}

/* The file NAME.json and, beside it, NAME.md5. */
static bool put_checked(struct writing *w, const char *name, struct str body)
{
	bool wrong = w->fault.kind == FAULT_MD5_WRONG && strcmp(name, "manifest-files") == 0;
	unsigned char hash[EVP_MAX_MD_SIZE];
	char md5[25], file[64];
	struct buf key = { 0 };
	bool good;

	md5_of(wrong ? STR("another") : body, hash, md5);
	snprintf(file, sizeof(file), "%s.json", name);
	export_key(w->export, file, &key);
	good = put(w, key.data, body);
	buf_clear(&key);
	snprintf(file, sizeof(file), "%s.md5", name);
	export_key(w->export, file, &key);
	good = good && put(w, key.data, str_of(md5));
	buf_release(&key);
	return good;
}

/* ---- one export ---- */

static void finish(struct writing *w, enum export_status status)
{
	struct world *world = w->exporter->world;
	struct export *e = w->export;

	pthread_mutex_lock(&world->lock);
	snprintf(e->failure_code, sizeof(e->failure_code), "%s", w->code);
	snprintf(e->failure_message, sizeof(e->failure_message), "%s", w->message);
	e->items = w->items;
	e->end_ms = world_now_ms(world);
	e->status = status;
	pthread_mutex_unlock(&world->lock);
}

static void pause_ms(const struct exporter *x, int64_t ms)
{
	for (; ms > 0 && !x->stop; ms -= POLL_MS)
		nanosleep(&(struct timespec){ .tv_nsec = POLL_MS * 1000000L }, NULL);
}

/* Everything is made under the lock, and written outside. */
static void make_files(struct writing *w)
{
	struct export *e = w->export;
	struct table *t = e->table;
	struct world *world = w->exporter->world;

	w->files = memory_array(t->spec.partitions, sizeof(w->files[0]));
	for (uint64_t i = 0; i < t->spec.partitions; i++)
		buf_init(&w->files[i].lines, FILE_BYTES_MAX);
	pthread_mutex_lock(&world->lock);
	world_turn(world);
	fault_match(&world->faults, FAULT_EXPORT, t->spec.name, "", &w->fault);
	if (e->full)
		history_full(t, e->at_ms, w->files);
	else
		history_window(t, e->from_ms, e->to_ms, e->old_images, w->files);
	pthread_mutex_unlock(&world->lock);
}

static void write_export(struct writing *w)
{
	struct export *e = w->export;
	struct buf text = { 0 };
	bool late = w->fault.kind == FAULT_MANIFEST_LATE;
	bool good = write_files(w) && put_checked(w, "manifest-files", buf_str(&w->list));

	e->billed_bytes = e->full || w->bytes > BILLED_FLOOR ? w->bytes : BILLED_FLOOR;
	summary(w, &text);
	if (good && late) {
		finish(w, EXPORT_COMPLETED);
		pause_ms(w->exporter, w->fault.ms);
	}
	good = good && put_checked(w, "manifest-summary", buf_str(&text));
	if (!late || !good)
		finish(w, good ? EXPORT_COMPLETED : EXPORT_FAILED);
	buf_release(&text);
}

static void run_export(struct exporter *x, struct export *e)
{
	struct writing w = { .exporter = x, .export = e };
	struct buf key = { 0 };

	buf_init(&w.list, FILE_BYTES_MAX);
	if (!e->begun) {
		export_key(e, "_started", &key);
		if (put(&w, key.data, STR("")))
			e->begun = true;
		else
			finish(&w, EXPORT_FAILED);
	} else {
		make_files(&w);
		if (w.fault.kind == FAULT_EXPORT_FAILS) {
			fail(&w, w.fault.code, w.fault.message);
			finish(&w, EXPORT_FAILED);
		} else {
			write_export(&w);
		}
		for (uint64_t i = 0; i < e->table->spec.partitions; i++)
			buf_release(&w.files[i].lines);
		free(w.files);
	}
	buf_release(&key);
	buf_release(&w.list);
}

/* What is to be done now; this thread alone ends exports. */
static struct export *next_export(struct world *w)
{
	struct export *found = NULL;

	pthread_mutex_lock(&w->lock);
	for (size_t i = 0; i < w->export_count && !found; i++) {
		struct export *e = w->exports[i];

		if (e->status == EXPORT_RUNNING && (!e->begun || e->due_ms <= world_now_ms(w)))
			found = e;
	}
	pthread_mutex_unlock(&w->lock);
	return found;
}

static void *exporter_run(void *arg)
{
	struct exporter *x = arg;

	while (!x->stop) {
		struct export *e = next_export(x->world);

		if (e)
			run_export(x, e);
		else
			pause_ms(x, POLL_MS);
	}
	return NULL;
}

struct exporter *exporter_start(struct world *w, const char *s3, const char *key,
				const char *region)
{
	struct exporter *x = memory_new(sizeof(*x));

	curl_global_init(CURL_GLOBAL_DEFAULT);
	x->world = w;
	x->url = memory_text(s3);
	x->user = memory_text(key ? key : "test:test");
	x->provider = memory_new(64);
	snprintf(x->provider, 64, "aws:amz:%s:s3", region ? region : WORLD_REGION);
	x->easy = curl_easy_init();
	if (!x->easy || pthread_create(&x->thread, NULL, exporter_run, x) != 0)
		abort();
	return x;
}

void exporter_stop(struct exporter *x)
{
	if (!x)
		return;
	x->stop = true;
	pthread_join(x->thread, NULL);
	curl_easy_cleanup(x->easy);
	free(x->url);
	free(x->user);
	free(x->provider);
	free(x);
}
