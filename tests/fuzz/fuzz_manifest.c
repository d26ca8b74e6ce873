/* Whatever lies in a bucket as an export's manifest: the first byte says where a list of files is
 * cut in two, which must not matter; and the time zone files that schedules read. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "export/manifest.h"
#include "export/zone.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
	uint64_t files, items, bytes;
};

static bool on_file(void *arg, const struct manifest_file *f, struct error *err)
{
	struct seen *s = arg;

	(void)err;
	assert(strlen(f->key) <= MANIFEST_KEY_MAX && strlen(f->md5) == MANIFEST_MD5_SIZE - 1);
	s->files++;
	s->items += f->items;
	s->bytes += strlen(f->key) + strlen(f->etag);
	return true;
}

/* False where it is refused on the way; its end is as good as the checksum is right. */
static bool feed(struct str text, size_t cut, struct seen *s)
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	char md5[MANIFEST_MD5_SIZE];
	struct manifest_files f;
	struct error err = { 0 };
	bool good;

	*s = (struct seen){ 0 };
	EVP_Digest(text.p, text.n, hash, NULL, EVP_md5(), NULL);
	EVP_EncodeBlock((unsigned char *)md5, hash, 16);
	manifest_files_init(&f, on_file, s);
	good = manifest_files_feed(&f, (struct str){ text.p, cut }, &err) &&
	       manifest_files_feed(&f, (struct str){ text.p + cut, text.n - cut }, &err);
	if (good) {
		struct manifest m = { .items = s->items };

		/* False where the last line has no end and adds to the items. */
		good = manifest_files_end(&f, &m, str_of(md5), &err);
	}
	manifest_files_release(&f);
	return good;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = { (const char *)data + (size > 0), size ? size - 1 : 0 };
	size_t cut = size && text.n ? data[0] * text.n / 256 : 0;
	struct seen whole, halves;
	struct manifest m;
	struct error err;
	struct zone *z;

	if (manifest_summary_parse(text, &m, &err)) {
		struct buf key;

		assert(m.window.from_ms >= 0 && m.files_key[0]);
		buf_init(&key, 0);
		(void)!manifest_resolve(&m, "a/AWSDynamoDB/1/manifest-summary.json", m.files_key,
					&key, &err);
		buf_release(&key);
	}
	assert(feed(text, 0, &whole) == feed(text, cut, &halves));
	assert(whole.files == halves.files && whole.items == halves.items &&
	       whole.bytes == halves.bytes);
	z = zone_parse(text, &err);
	if (z)
		(void)zone_utc(z, zone_local(z, (int64_t)size << 20));
	zone_close(z);
	return 0;
}
