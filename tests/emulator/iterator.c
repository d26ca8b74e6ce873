#include "tests/emulator/iterator.h"

#include <assert.h>
#include <openssl/evp.h>
#include <string.h>

#define MARK      "|1|"
#define RAW_SIZE  30
#define TEXT_SIZE (RAW_SIZE / 3 * 4)

struct raw {
	uint32_t shard, nonce;
	uint64_t position;
	int64_t created_ms;
	uint32_t check;
	uint16_t zero;
} __attribute__((packed));
_Static_assert(sizeof(struct raw) == RAW_SIZE, "no padding in base64");

/* Not secret: it only tells a damaged iterator from a whole one. */
static uint32_t raw_check(const struct raw *r)
{
	return (uint32_t)generate_mix(generate_mix(r->shard, r->position, r->nonce),
				      (uint64_t)r->created_ms, 17);
}

void iterator_write(struct buf *out, const struct stream *s, const struct iterator *it,
		    uint32_t nonce)
{
	struct raw raw = { .shard = it->shard,
			   .nonce = nonce,
			   .position = it->position,
			   .created_ms = it->created_ms };
	char text[TEXT_SIZE + 1];

	raw.check = raw_check(&raw);
	EVP_EncodeBlock((unsigned char *)text, (const unsigned char *)&raw, sizeof(raw));
	buf_text(out, s->arn);
	buf_text(out, MARK);
	buf_text(out, text);
}

bool iterator_read(struct world *w, struct str text, struct stream **stream, struct iterator *out)
{
	const char *mark = memmem(text.p, text.n, MARK, sizeof(MARK) - 1);
	unsigned char bytes[RAW_SIZE + 3];
	char arn[ARN_SIZE];
	struct raw raw;
	size_t length;

	if (!mark)
		return false;
	length = (size_t)(mark - text.p);
	if (length >= sizeof(arn) || text.n - length != sizeof(MARK) - 1 + TEXT_SIZE)
		return false;
	memcpy(arn, text.p, length);
	arn[length] = '\0';
	if (EVP_DecodeBlock(bytes, (const unsigned char *)mark + sizeof(MARK) - 1, TEXT_SIZE) !=
	    RAW_SIZE)
		return false;
	memcpy(&raw, bytes, sizeof(raw));
	if (raw.check != raw_check(&raw))
		return false;
	*stream = world_stream(w, arn);
	if (*stream && raw.shard >= (*stream)->shard_count)
		return false;
	*out = (struct iterator){ raw.shard, raw.position, raw.created_ms };
	return true;
}
