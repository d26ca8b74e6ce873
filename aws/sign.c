#include "aws/sign.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "aws/credentials.h"
#include "base/memory.h"

#define ALGORITHM   "AWS4-HMAC-SHA256"
#define HASH_BYTES  32
#define BLOCK_BYTES 64
#define DAY_SIZE    9 /* 20150830 and the zero byte */
/* DynamoDB, S3 and STS, each for today and, around midnight, yesterday. */
#define PADS_MAX 6

/* A signing key as HMAC wants it: SHA-256 after the inner and after the outer padded key. */
struct pads {
	EVP_MD_CTX *inner, *outer;
	uint64_t version;
	uint64_t used; /* 0: never */
	char day[DAY_SIZE];
	char region[64];
	char service[16];
	char scope[112]; /* 20150830/us-east-1/service/aws4_request */
};

struct signer {
	EVP_MD *sha256;
	EVP_MD_CTX *work;
	struct pads pads[PADS_MAX];
	uint64_t turn;
	struct buf canonical;
};

/* Hashing memory fails only where memory itself does. */
static void must(int ok)
{
	if (ok != 1)
		abort();
}

struct signer *signer_new(void)
{
	struct signer *s = memory_new(sizeof(*s));

	s->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	s->work = EVP_MD_CTX_new();
	must(s->sha256 && s->work);
	for (size_t i = 0; i < PADS_MAX; i++) {
		s->pads[i].inner = EVP_MD_CTX_new();
		s->pads[i].outer = EVP_MD_CTX_new();
		must(s->pads[i].inner && s->pads[i].outer);
	}
	buf_init(&s->canonical, 0);
	return s;
}

void signer_free(struct signer *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < PADS_MAX; i++) {
		EVP_MD_CTX_free(s->pads[i].inner);
		EVP_MD_CTX_free(s->pads[i].outer);
	}
	EVP_MD_CTX_free(s->work);
	EVP_MD_free(s->sha256);
	buf_release(&s->canonical);
	free(s);
}

static void hex(const unsigned char *bytes, char out[SIGN_HASH_SIZE])
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < HASH_BYTES; i++) {
		out[2 * i] = digits[bytes[i] >> 4];
		out[2 * i + 1] = digits[bytes[i] & 15];
	}
	out[(size_t)2 * HASH_BYTES] = '\0';
}

static void hash(struct signer *s, struct str data, unsigned char out[HASH_BYTES])
{
	must(EVP_DigestInit_ex2(s->work, s->sha256, NULL));
	must(EVP_DigestUpdate(s->work, data.p, data.n));
	must(EVP_DigestFinal_ex(s->work, out, NULL));
}

char *signer_hash(struct signer *s, struct str data, char out[SIGN_HASH_SIZE])
{
	unsigned char bytes[HASH_BYTES];

	hash(s, data, bytes);
	hex(bytes, out);
	return out;
}

static void pads_key(struct signer *s, struct pads *p, const void *key, size_t size)
{
	unsigned char block[BLOCK_BYTES] = { 0 };

	if (size > BLOCK_BYTES)
		hash(s, (struct str){ key, size }, block);
	else
		memcpy(block, key, size);
	for (size_t i = 0; i < BLOCK_BYTES; i++)
		block[i] ^= 0x36;
	must(EVP_DigestInit_ex2(p->inner, s->sha256, NULL));
	must(EVP_DigestUpdate(p->inner, block, BLOCK_BYTES));
	for (size_t i = 0; i < BLOCK_BYTES; i++)
		block[i] ^= 0x36 ^ 0x5c;
	must(EVP_DigestInit_ex2(p->outer, s->sha256, NULL));
	must(EVP_DigestUpdate(p->outer, block, BLOCK_BYTES));
	OPENSSL_cleanse(block, sizeof(block));
}

static void pads_hmac(struct signer *s, const struct pads *p, struct str data,
		      unsigned char out[HASH_BYTES])
{
	must(EVP_MD_CTX_copy_ex(s->work, p->inner));
	must(EVP_DigestUpdate(s->work, data.p, data.n));
	must(EVP_DigestFinal_ex(s->work, out, NULL));
	must(EVP_MD_CTX_copy_ex(s->work, p->outer));
	must(EVP_DigestUpdate(s->work, out, HASH_BYTES));
	must(EVP_DigestFinal_ex(s->work, out, NULL));
}

static void pads_derive(struct signer *s, struct pads *p, const struct credentials_keys *keys)
{
	char secret[sizeof(keys->secret_key) + 4];
	unsigned char key[HASH_BYTES];
	const struct str steps[] = { str_of(p->day), str_of(p->region), str_of(p->service),
				     STR("aws4_request") };
	int n = snprintf(secret, sizeof(secret), "AWS4%s", keys->secret_key);

	pads_key(s, p, secret, (size_t)n);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		pads_hmac(s, p, steps[i], key);
		pads_key(s, p, key, sizeof(key));
	}
	OPENSSL_cleanse(secret, sizeof(secret));
	OPENSSL_cleanse(key, sizeof(key));
}

static struct pads *pads_find(struct signer *s, const struct credentials_keys *keys,
			      const struct sign_request *r)
{
	struct pads *oldest = s->pads;

	for (struct pads *p = s->pads; p < s->pads + PADS_MAX; p++) {
		if (p->used && p->version == keys->version &&
		    memcmp(p->day, r->date, DAY_SIZE - 1) == 0 &&
		    strcmp(p->service, r->service) == 0 && strcmp(p->region, r->region) == 0) {
			p->used = ++s->turn;
			return p;
		}
		if (p->used < oldest->used)
			oldest = p;
	}
	oldest->version = keys->version;
	oldest->used = ++s->turn;
	memcpy(oldest->day, r->date, DAY_SIZE - 1);
	assert(strlen(r->region) < sizeof(oldest->region));
	assert(strlen(r->service) < sizeof(oldest->service));
	snprintf(oldest->region, sizeof(oldest->region), "%s", r->region);
	snprintf(oldest->service, sizeof(oldest->service), "%s", r->service);
	snprintf(oldest->scope, sizeof(oldest->scope), "%s/%s/%s/aws4_request", oldest->day,
		 r->region, r->service);
	pads_derive(s, oldest, keys);
	return oldest;
}

/* For text of our own making, whose size nobody else decides. */
static void add(struct buf *b, struct str text)
{
	bool fits = buf_add(b, text.p, text.n);

	assert(fits);
}

static int field_compare(const void *a, const void *b)
{
	const struct str x = ((const struct sign_field *)a)->name;
	const struct str y = ((const struct sign_field *)b)->name;
	int order = memcmp(x.p, y.p, x.n < y.n ? x.n : y.n);

	return order ? order : (x.n > y.n) - (x.n < y.n);
}

/* A handful of fields that are mostly in order: insertion beats qsort, which allocates. */
static void fields_sort(struct sign_field *fields, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		struct sign_field moving = fields[i];
		size_t at = i;

		for (; at > 0 && field_compare(&moving, &fields[at - 1]) < 0; at--)
			fields[at] = fields[at - 1];
		fields[at] = moving;
	}
}

/* The value without blanks around it, and runs of blanks as one. */
static void add_value(struct buf *out, struct str v)
{
	while (v.n && v.p[0] == ' ')
		v = (struct str){ v.p + 1, v.n - 1 };
	while (v.n && v.p[v.n - 1] == ' ')
		v.n--;
	/* Nearly no value has a blank at all, and memchr finds that out faster. */
	for (const char *run; memchr(v.p, ' ', v.n) && (run = memmem(v.p, v.n, "  ", 2));) {
		size_t kept = (size_t)(run - v.p) + 1;

		add(out, (struct str){ v.p, kept });
		while (kept < v.n && v.p[kept] == ' ')
			kept++;
		v = (struct str){ v.p + kept, v.n - kept };
	}
	add(out, v);
}

static void add_names(struct buf *out, const struct sign_field *fields, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (i)
			add(out, STR(";"));
		add(out, fields[i].name);
	}
}

static void canonical_write(struct buf *out, const struct sign_request *r,
			    const struct sign_field *headers)
{
	buf_clear(out);
	add(out, r->method);
	add(out, STR("\n"));
	add(out, r->path);
	add(out, STR("\n"));
	add(out, r->query);
	add(out, STR("\n"));
	for (size_t i = 0; i < r->header_count; i++) {
		add(out, headers[i].name);
		add(out, STR(":"));
		add_value(out, headers[i].value);
		add(out, STR("\n"));
	}
	add(out, STR("\n"));
	add_names(out, headers, r->header_count);
	add(out, STR("\n"));
	add(out, r->payload);
}

/* The signature, hex. `headers` are sorted. */
static char *signature_write(struct signer *s, const struct pads *p, const struct sign_request *r,
			     const struct sign_field *headers, char text[SIGN_HASH_SIZE])
{
	unsigned char bytes[HASH_BYTES];

	canonical_write(&s->canonical, r, headers);
	signer_hash(s, buf_str(&s->canonical), text);

	buf_clear(&s->canonical);
	add(&s->canonical, STR(ALGORITHM "\n"));
	buf_text(&s->canonical, r->date);
	add(&s->canonical, STR("\n"));
	buf_text(&s->canonical, p->scope);
	add(&s->canonical, STR("\n"));
	buf_text(&s->canonical, text);
	pads_hmac(s, p, buf_str(&s->canonical), bytes);
	hex(bytes, text);
	return text;
}

void signer_sign(struct signer *s, const struct credentials_keys *keys,
		 const struct sign_request *r, struct buf *out)
{
	struct sign_field headers[SIGN_HEADERS_MAX];
	const struct pads *p = pads_find(s, keys, r);
	char text[SIGN_HASH_SIZE];

	assert(r->header_count <= SIGN_HEADERS_MAX);
	memcpy(headers, r->headers, r->header_count * sizeof(headers[0]));
	fields_sort(headers, r->header_count);
	signature_write(s, p, r, headers, text);

	add(out, STR(ALGORITHM " Credential="));
	buf_text(out, keys->access_key);
	add(out, STR("/"));
	buf_text(out, p->scope);
	add(out, STR(", SignedHeaders="));
	add_names(out, headers, r->header_count);
	add(out, STR(", Signature="));
	buf_text(out, text);
}

void signer_presign(struct signer *s, const struct credentials_keys *keys,
		    const struct sign_request *r, const struct sign_field *fields, size_t count,
		    long expires_s, struct buf *out)
{
	const struct pads *p = pads_find(s, keys, r);
	char text[SIGN_HASH_SIZE], seconds[24];
	struct sign_request of = *r;
	struct buf credential = { 0 }, query = { 0 };
	const struct sign_field own[] = {
		{ STR("X-Amz-Algorithm"), STR(ALGORITHM) },
		{ STR("X-Amz-Date"), str_of(r->date) },
		{ STR("X-Amz-SignedHeaders"), r->headers[0].name },
	};
	struct sign_field all[SIGN_QUERY_MAX];
	size_t n = sizeof(own) / sizeof(own[0]);

	assert(r->header_count == 1 && count + n + 3 <= SIGN_QUERY_MAX);
	memcpy(all, own, sizeof(own));
	memcpy(all + n, fields, count * sizeof(all[0]));
	n += count;
	buf_printf(&credential, "%s/%s", keys->access_key, p->scope);
	snprintf(seconds, sizeof(seconds), "%ld", expires_s);
	all[n++] = (struct sign_field){ STR("X-Amz-Credential"), buf_str(&credential) };
	all[n++] = (struct sign_field){ STR("X-Amz-Expires"), str_of(seconds) };
	if (*keys->session_token)
		all[n++] = (struct sign_field){ STR("X-Amz-Security-Token"),
						str_of(keys->session_token) };
	sign_query(&query, all, n);
	of.query = buf_str(&query);
	buf_printf(out, "%s&X-Amz-Signature=%s", query.data,
		   signature_write(s, p, &of, r->headers, text));
	buf_release(&credential);
	buf_release(&query);
}

char *sign_date(int64_t epoch_ms, char out[SIGN_DATE_SIZE])
{
	time_t seconds = (time_t)(epoch_ms / 1000);
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(out, SIGN_DATE_SIZE, "%Y%m%dT%H%M%SZ", &tm);
	return out;
}

void sign_encode(struct buf *out, struct str text, bool path)
{
	static const char digits[] = "0123456789ABCDEF";

	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		    (c && strchr("-._~", c)) || (path && c == '/'))
			add(out, (struct str){ text.p + i, 1 });
		else
			add(out,
			    (struct str){ (char[]){ '%', digits[c >> 4], digits[c & 15] }, 3 });
	}
}

void sign_query(struct buf *out, struct sign_field *fields, size_t count)
{
	fields_sort(fields, count);
	for (size_t i = 0; i < count; i++) {
		if (i)
			add(out, STR("&"));
		sign_encode(out, fields[i].name, false);
		add(out, STR("="));
		sign_encode(out, fields[i].value, false);
	}
}
