#include "export/manifest.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROOT      "AWSDynamoDB/"
#define SUMMARY   "manifest-summary.json"
#define MD5_BYTES 16

/* Known to be read in the same way; another one may mean anything. */
static const char *const versions[] = { "2020-06-30", "2023-08-01" };

static bool lacks(struct error *err, const char *name, const char *want)
{
	return error_set(err, ERROR_INVALID, "its member %s is not %s", name, want);
}

/* Copies a member's text. One that may be absent or null is "" then. */
static bool text(const json_t *o, const char *name, bool optional, char *out, size_t size,
		 struct error *err)
{
	const json_t *value = json_object_get(o, name);
	size_t n = json_string_length(value);

	out[0] = '\0';
	if (optional && (!value || json_is_null(value)))
		return true;
	if (!json_is_string(value) || n >= size || strlen(json_string_value(value)) != n ||
	    (!optional && n == 0))
		return lacks(err, name, "a text as AWS writes it");
	memcpy(out, json_string_value(value), n + 1);
	return true;
}

static bool count(const json_t *o, const char *name, uint64_t *out, struct error *err)
{
	const json_t *value = json_object_get(o, name);

	if (!json_is_integer(value) || json_integer_value(value) < 0)
		return lacks(err, name, "a number from 0");
	*out = (uint64_t)json_integer_value(value);
	return true;
}

/* 2026-01-14T10:18:50.622Z */
static bool moment(const json_t *o, const char *name, int64_t *out_ms, struct error *err)
{
	const char *value = json_string_value(json_object_get(o, name));
	struct tm tm = { 0 };
	const char *rest = value ? strptime(value, "%Y-%m-%dT%H:%M:%S", &tm) : NULL;
	int64_t ms = 0, unit = 100;

	if (rest && *rest == '.')
		for (rest++; *rest >= '0' && *rest <= '9'; rest++, unit /= 10)
			ms += (*rest - '0') * unit;
	if (!rest || strcmp(rest, "Z") != 0 || tm.tm_year < 70 || tm.tm_year > 8000)
		return lacks(err, name, "a time in UTC");
	*out_ms = (int64_t)timegm(&tm) * 1000 + ms;
	return true;
}

static bool kind_read(const json_t *o, struct manifest *m, struct error *err)
{
	char kind[32], view[32], format[32];

	if (!text(o, "exportType", true, kind, sizeof(kind), err) ||
	    !text(o, "outputView", true, view, sizeof(view), err) ||
	    !text(o, "outputFormat", false, format, sizeof(format), err))
		return false;
	if (strcmp(format, "DYNAMODB_JSON") != 0)
		return error_set(err, ERROR_INVALID,
				 "its format is %s: only DYNAMODB_JSON can be loaded; export anew "
				 "with that format",
				 format);
	/* Absent from those that were made before there were others. */
	m->full = !kind[0] || strcmp(kind, "FULL_EXPORT") == 0;
	if (!m->full && strcmp(kind, "INCREMENTAL_EXPORT") != 0)
		return error_set(err, ERROR_INVALID, "its exportType %s is not known", kind);
	m->view = strcmp(view, "NEW_IMAGE") == 0 ? MANIFEST_NEW_IMAGE : MANIFEST_NEW_AND_OLD_IMAGES;
	if (!m->full && m->view != MANIFEST_NEW_IMAGE && strcmp(view, "NEW_AND_OLD_IMAGES") != 0)
		return error_set(err, ERROR_INVALID, "its outputView \"%s\" is not known", view);
	if (m->full)
		return moment(o, "exportTime", &m->window.to_ms, err);
	return moment(o, "exportFromTime", &m->window.from_ms, err) &&
	       moment(o, "exportToTime", &m->window.to_ms, err);
}

static bool version_check(const json_t *o, struct error *err)
{
	char version[32];

	if (!text(o, "version", false, version, sizeof(version), err))
		return false;
	for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++)
		if (strcmp(version, versions[i]) == 0)
			return true;
	return error_set(err, ERROR_INVALID,
			 "its version %s is not known (known are %s and %s): a newer Sluice may "
			 "read it",
			 version, versions[0], versions[1]);
}

static bool summary_read(const json_t *o, struct manifest *m, struct error *err)
{
	const json_t *filter = json_object_get(o, "filterSpecification");

	if (!version_check(o, err) || !kind_read(o, m, err))
		return false;
	if (filter && !json_is_null(filter))
		return error_set(err, ERROR_INVALID,
				 "it was filtered: it does not have all of the table's items");
	return text(o, "exportArn", false, m->export_arn, sizeof(m->export_arn), err) &&
	       text(o, "tableArn", false, m->table_arn, sizeof(m->table_arn), err) &&
	       text(o, "tableId", true, m->table_id, sizeof(m->table_id), err) &&
	       text(o, "s3Bucket", false, m->bucket, sizeof(m->bucket), err) &&
	       text(o, "manifestFilesS3Key", false, m->files_key, sizeof(m->files_key), err) &&
	       text(o, "s3SseAlgorithm", true, m->encryption, sizeof(m->encryption), err) &&
	       count(o, "itemCount", &m->items, err) &&
	       count(o, "billedSizeBytes", &m->billed_bytes, err);
}

bool manifest_summary_parse(struct str body, struct manifest *out, struct error *err)
{
	json_t *root;
	json_error_t why;
	bool good;

	*out = (struct manifest){ 0 };
	if (body.n > MANIFEST_SUMMARY_BYTES_MAX)
		return error_set(err, ERROR_INVALID, SUMMARY " has more than %zu bytes",
				 MANIFEST_SUMMARY_BYTES_MAX);
	root = json_loadb(body.p, body.n, 0, &why);
	if (!json_is_object(root))
		good = error_set(err, ERROR_INVALID, "line %d: %s", root ? 1 : why.line,
				 root ? "no object" : why.text);
	else
		good = summary_read(root, out, err);
	json_decref(root);
	return good || error_wrap(err, SUMMARY);
}

static bool md5_check(const unsigned char hash[MD5_BYTES], struct str told, const char *of,
		      struct error *err)
{
	char ours[MANIFEST_MD5_SIZE];

	EVP_EncodeBlock((unsigned char *)ours, hash, MD5_BYTES);
	while (told.n && strchr(" \t\r\n", told.p[told.n - 1]) && told.p[told.n - 1])
		told.n--;
	if (str_equal(told, str_of(ours)))
		return true;
	return error_set(err, ERROR_INVALID,
			 "%s has the MD5 %s, and its checksum file says %.*s: it was damaged or "
			 "changed",
			 of, ours, (int)(told.n < 40 ? told.n : 40), told.p);
}

bool manifest_summary_check(struct str body, struct str md5, struct error *err)
{
	unsigned char hash[EVP_MAX_MD_SIZE];

	if (EVP_Digest(body.p, body.n, hash, NULL, EVP_md5(), NULL) != 1)
		abort();
	return md5_check(hash, md5, SUMMARY, err);
}

bool manifest_table_check(const struct manifest *m, const char *table_arn, struct error *err)
{
	if (strcmp(m->table_arn, table_arn) == 0)
		return true;
	return error_set(err, ERROR_INVALID, "it is an export of %.150s, not of %.150s",
			 m->table_arn, table_arn);
}

/* What stands before AWSDynamoDB/, the last one: a prefix may have one of its own. */
static bool root_of(const char *key, size_t *out)
{
	const char *at = NULL;

	for (const char *p = key; (p = strstr(p, ROOT)); p++)
		if (p == key || p[-1] == '/')
			at = p;
	if (at)
		*out = (size_t)(at - key);
	return at != NULL;
}

bool manifest_resolve(const struct manifest *m, const char *found_key, const char *key,
		      struct buf *out, struct error *err)
{
	size_t made, found, begin = out->size;

	if (!root_of(m->files_key, &made) || !root_of(found_key, &found))
		return error_set(err, ERROR_INVALID,
				 "%.200s is not in a folder " ROOT " as AWS makes it: copy exports "
				 "with all of their folders",
				 root_of(found_key, &found) ? m->files_key : found_key);
	if (strncmp(key, m->files_key, made + strlen(ROOT)) != 0)
		return error_set(err, ERROR_INVALID,
				 "the file %.150s is not in the folder of its export, %.*s", key,
				 (int)(made < 100 ? made : 100) + (int)strlen(ROOT), m->files_key);
	buf_printf(out, "%.*s%s", (int)found, found_key, key + made);
	if (out->size - begin <= MANIFEST_KEY_MAX)
		return true;
	return error_set(err, ERROR_INVALID, "a file's key has %zu bytes", out->size - begin);
}

bool manifest_beside(const char *found_key, const char *name, struct buf *out, struct error *err)
{
	size_t n = strlen(found_key), tail = strlen(SUMMARY);

	if (n < tail || strcmp(found_key + n - tail, SUMMARY) != 0 ||
	    (n > tail && found_key[n - tail - 1] != '/'))
		return error_set(err, ERROR_INVALID, "\"%.200s\" is no key of a " SUMMARY,
				 found_key);
	buf_printf(out, "%.*s%s", (int)(n - tail), found_key, name);
	return true;
}

/* ---- manifest-files.json ---- */

static bool file_read(const json_t *o, struct manifest_file *f, struct error *err)
{
	const json_t *key = json_object_get(o, "dataFileS3Key");
	unsigned char hash[MD5_BYTES + 2];

	if (!count(o, "itemCount", &f->items, err) ||
	    !text(o, "md5Checksum", false, f->md5, sizeof(f->md5), err) ||
	    !text(o, "etag", true, f->etag, sizeof(f->etag), err))
		return false;
	if (strlen(f->md5) != sizeof(f->md5) - 1 || f->md5[22] != '=' || f->md5[23] != '=' ||
	    EVP_DecodeBlock(hash, (const unsigned char *)f->md5, sizeof(f->md5) - 1) < 0)
		return lacks(err, "md5Checksum", "an MD5 in base64");
	if (!json_is_string(key) || json_string_length(key) == 0 ||
	    json_string_length(key) > MANIFEST_KEY_MAX ||
	    strlen(json_string_value(key)) != json_string_length(key))
		return lacks(err, "dataFileS3Key", "a key");
	f->key = json_string_value(key);
	return true;
}

static bool line_read(struct manifest_files *f, struct str line, struct error *err)
{
	struct manifest_file file = { 0 };
	json_error_t why;
	json_t *root;
	bool good;

	while (line.n && (line.p[line.n - 1] == '\r' || line.p[line.n - 1] == ' '))
		line.n--;
	if (line.n == 0)
		return true;
	f->count++;
	root = json_loadb(line.p, line.n, 0, &why);
	if (!json_is_object(root))
		good = error_set(err, ERROR_INVALID, "%s", root ? "no object" : why.text);
	else
		good = file_read(root, &file, err);
	if (good && f->count > MANIFEST_FILES_MAX)
		good = error_set(err, ERROR_INVALID, "more than %llu files",
				 (unsigned long long)MANIFEST_FILES_MAX);
	if (good && __builtin_add_overflow(f->items, file.items, &f->items))
		good = error_set(err, ERROR_INVALID, "more items than can be counted");
	if (!good)
		error_wrap(err, "manifest-files.json, line %llu", (unsigned long long)f->count);
	else
		good = f->fn(f->arg, &file, err);
	json_decref(root);
	return good;
}

void manifest_files_init(struct manifest_files *f, manifest_file_fn *fn, void *arg)
{
	*f = (struct manifest_files){ .fn = fn, .arg = arg, .md5 = EVP_MD_CTX_new() };
	buf_init(&f->line, MANIFEST_LINE_BYTES_MAX);
	if (!f->md5 || EVP_DigestInit_ex(f->md5, EVP_md5(), NULL) != 1)
		abort();
}

void manifest_files_release(struct manifest_files *f)
{
	EVP_MD_CTX_free(f->md5);
	buf_release(&f->line);
}

bool manifest_files_feed(struct manifest_files *f, struct str piece, struct error *err)
{
	EVP_DigestUpdate(f->md5, piece.p, piece.n);
	while (piece.n) {
		const char *end = memchr(piece.p, '\n', piece.n);
		size_t n = end ? (size_t)(end - piece.p) : piece.n;

		if (!buf_add(&f->line, piece.p, n))
			return error_set(err, ERROR_INVALID,
					 "manifest-files.json, line %llu has more than %zu bytes",
					 (unsigned long long)f->count + 1, MANIFEST_LINE_BYTES_MAX);
		if (!end)
			return true;
		if (!line_read(f, buf_str(&f->line), err))
			return false;
		buf_clear(&f->line);
		piece = (struct str){ end + 1, piece.n - n - 1 };
	}
	return true;
}

bool manifest_files_end(struct manifest_files *f, const struct manifest *m, struct str md5,
			struct error *err)
{
	unsigned char hash[EVP_MAX_MD_SIZE];

	if (!line_read(f, buf_str(&f->line), err))
		return false;
	buf_clear(&f->line);
	EVP_DigestFinal_ex(f->md5, hash, NULL);
	if (!md5_check(hash, md5, "manifest-files.json", err))
		return false;
	if (f->items == m->items)
		return true;
	return error_set(err, ERROR_INVALID,
			 "manifest-files.json has %llu items in all, and the summary says %llu",
			 (unsigned long long)f->items, (unsigned long long)m->items);
}
