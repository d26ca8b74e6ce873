#pragma once
#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"
#include "export/window.h"

/* What an export says of itself: manifest-summary.json, and manifest-files.json with a line a data
 * file. Both come from a bucket that others can write to; nothing of them is believed unchecked.
 * Errors are ERROR_INVALID and name what is wrong. Pure. */

#define MANIFEST_SUMMARY_BYTES_MAX ((size_t)64 << 10)
#define MANIFEST_LINE_BYTES_MAX    ((size_t)8 << 10)
#define MANIFEST_FILES_MAX         ((uint64_t)10000000)
#define MANIFEST_KEY_MAX           1024 /* of an S3 key */
#define MANIFEST_MD5_SIZE          25   /* base64 with its zero byte */
#define MANIFEST_ETAG_MAX          128

enum manifest_view { MANIFEST_NEW_IMAGE, MANIFEST_NEW_AND_OLD_IMAGES };

struct manifest {
	bool full;
	struct window window;    /* a full export's begins at 0 and ends at its exportTime */
	enum manifest_view view; /* of incremental ones */
	char export_arn[1100], table_arn[1025], table_id[64];
	char bucket[256];
	char files_key[MANIFEST_KEY_MAX +
		       1];   /* of manifest-files.json, where the export was made */
	char encryption[16]; /* "AES256", "KMS"; "" where it does not say */
	uint64_t items, billed_bytes;
};

/* ERROR_INVALID: no summary, a version that is not known, an Ion export, one that is filtered. */
bool manifest_summary_parse(struct str body, struct manifest *out, struct error *err) MUST_CHECK;
/* `md5` is what the file beside it says: manifest-summary.md5. */
bool manifest_summary_check(struct str body, struct str md5, struct error *err) MUST_CHECK;
bool manifest_table_check(const struct manifest *m, const char *table_arn,
			  struct error *err) MUST_CHECK;

/* The keys in a manifest are those of where the export was made. `found_key` is where
 * manifest-summary.json was read: an export that was copied as a whole is found at the new place.
 * Appends. */
bool manifest_resolve(const struct manifest *m, const char *found_key, const char *key,
		      struct buf *out, struct error *err) MUST_CHECK;
/* The keys of what stands beside a manifest-summary.json: "manifest-summary.md5",
 * "manifest-files.md5". Appends. */
bool manifest_beside(const char *found_key, const char *name, struct buf *out,
		     struct error *err) MUST_CHECK;

/* A data file. Valid during the callback. */
struct manifest_file {
	const char *key;              /* as in the manifest */
	char etag[MANIFEST_ETAG_MAX]; /* of an upload in parts: no MD5; "" where it does not say */
	char md5[MANIFEST_MD5_SIZE];  /* of the file's bytes as they lie there */
	uint64_t items;               /* 0: the file has nothing; it need not be read */
};
/* False: err is set, and the reading ends with it. */
typedef bool manifest_file_fn(void *arg, const struct manifest_file *f, struct error *err);

/* manifest-files.json, piece by piece as it arrives: a large table's has hundreds of megabytes.
 * Nothing that was told may be used before manifest_files_end was true. */
struct manifest_files {
	manifest_file_fn *fn;
	void *arg;
	struct buf line; /* the one that is not complete yet */
	EVP_MD_CTX *md5;
	uint64_t count, items;
};
void manifest_files_init(struct manifest_files *f, manifest_file_fn *fn, void *arg);
void manifest_files_release(struct manifest_files *f);
bool manifest_files_feed(struct manifest_files *f, struct str piece, struct error *err) MUST_CHECK;
/* After the last piece: the MD5 (manifest-files.md5) and the sum of the items are right. */
bool manifest_files_end(struct manifest_files *f, const struct manifest *m, struct str md5,
			struct error *err) MUST_CHECK;
