#include "tests/emulator/signature.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"

#define ALGORITHM    "AWS4-HMAC-SHA256"
#define SKEW_MS_MAX  (15 * 60 * 1000)
#define DIGEST_BYTES 32
#define SIGNED_MAX   64

bool signature_key_parse(struct signature_key *out, const char *text, struct error *err)
{
	if (sscanf(text, "%128[^:]:%128[^:]:%2048s", out->id, out->secret, out->token) >= 2)
		return true;
	return error_set(err, ERROR_INVALID, "a key to verify is AKID:SECRET or AKID:SECRET:TOKEN");
}

struct authorization {
	struct str id, date, region, service, scope; /* scope: date/region/service/aws4_request */
	struct str signed_headers, signature;
};

static struct str cut(struct str *text, char at)
{
	const char *p = memchr(text->p, at, text->n);
	struct str part = { text->p, p ? (size_t)(p - text->p) : text->n };
	size_t used = part.n + (p ? 1 : 0);

	*text = (struct str){ text->p + used, text->n - used };
	return part;
}

static bool credential_parse(struct authorization *a, struct str text)
{
	a->id = cut(&text, '/');
	a->scope = text;
	a->date = cut(&text, '/');
	a->region = cut(&text, '/');
	a->service = cut(&text, '/');
	return a->id.n && a->date.n == 8 && a->region.n && a->service.n &&
	       str_equal(text, STR("aws4_request"));
}

static bool authorization_parse(struct authorization *a, struct str header)
{
	static const char algorithm[] = ALGORITHM " ";

	*a = (struct authorization){ 0 };
	if (header.n < sizeof(algorithm) || memcmp(header.p, algorithm, sizeof(algorithm) - 1) != 0)
		return false;
	header = (struct str){ header.p + sizeof(algorithm) - 1, header.n - sizeof(algorithm) + 1 };
	while (header.n) {
		struct str value = cut(&header, ','), name;

		while (value.n && *value.p == ' ')
			value = (struct str){ value.p + 1, value.n - 1 };
		name = cut(&value, '=');
		if (str_equal(name, STR("Credential")) && !credential_parse(a, value))
			return false;
		if (str_equal(name, STR("SignedHeaders")))
			a->signed_headers = value;
		if (str_equal(name, STR("Signature")))
			a->signature = value;
	}
	return a->id.n && a->signed_headers.n && a->signature.n;
}

static void hex(const unsigned char *bytes, char out[2 * DIGEST_BYTES + 1])
{
	for (size_t i = 0; i < DIGEST_BYTES; i++)
		snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

static void sha256_hex(struct str text, char out[2 * DIGEST_BYTES + 1])
{
	unsigned char digest[EVP_MAX_MD_SIZE];

	if (!EVP_Digest(text.p ? text.p : "", text.n, digest, NULL, EVP_sha256(), NULL))
		abort();
	hex(digest, out);
}

static void hmac(unsigned char key[DIGEST_BYTES], struct str text)
{
	unsigned char out[EVP_MAX_MD_SIZE];

	if (!HMAC(EVP_sha256(), key, DIGEST_BYTES, (const unsigned char *)text.p, text.n, out,
		  NULL))
		abort();
	memcpy(key, out, DIGEST_BYTES);
}

static void add(struct buf *out, struct str text)
{
	if (!buf_add(out, text.p, text.n))
		abort();
}

/* Values with runs of blanks made one; names in the order of SignedHeaders, which must be sorted.
 */
static bool canonical_headers(struct buf *out, const struct http_request *request, struct str names)
{
	struct str all = names, previous = { "", 0 };
	bool host = false;

	for (size_t i = 0; names.n; i++) {
		struct str name = cut(&names, ';'), value;
		char text[128];

		if (i == SIGNED_MAX || name.n == 0 || name.n >= sizeof(text))
			return false;
		memcpy(text, name.p, name.n);
		text[name.n] = '\0';
		value = http_header(request, text);
		if (!value.p || strncmp(previous.p, text, name.n + 1) > 0)
			return false;
		host = host || strcmp(text, "host") == 0;
		add(out, name);
		buf_text(out, ":");
		for (size_t k = 0; k < value.n; k++)
			if (value.p[k] != ' ' || k == 0 || value.p[k - 1] != ' ')
				add(out, (struct str){ value.p + k, 1 });
		buf_text(out, "\n");
		previous = name;
	}
	buf_text(out, "\n");
	add(out, all);
	buf_text(out, "\n");
	return host;
}

static bool signature_matches(const struct signature_key *key, const struct http_request *request,
			      const struct authorization *a, struct str date)
{
	unsigned char k[DIGEST_BYTES], first[EVP_MAX_MD_SIZE];
	char text[200], digest[2 * DIGEST_BYTES + 1];
	struct buf canonical = { 0 };
	struct str target = request->target, path = cut(&target, '?');
	bool good;
	int n;

	add(&canonical, request->method);
	buf_text(&canonical, "\n");
	add(&canonical, path);
	buf_text(&canonical, "\n");
	/* DynamoDB's calls have no query. */
	add(&canonical, target);
	buf_text(&canonical, "\n");
	good = canonical_headers(&canonical, request, a->signed_headers);
	sha256_hex(request->body, digest);
	buf_text(&canonical, digest);
	sha256_hex(buf_str(&canonical), digest);
	buf_clear(&canonical);
	buf_printf(&canonical, ALGORITHM "\n%.*s\n%.*s\n%s", STR_ARG(date), STR_ARG(a->scope),
		   digest);
	n = snprintf(text, sizeof(text), "AWS4%s", key->secret);
	if (!HMAC(EVP_sha256(), text, n, (const unsigned char *)a->date.p, a->date.n, first, NULL))
		abort();
	memcpy(k, first, sizeof(k));
	hmac(k, a->region);
	hmac(k, a->service);
	hmac(k, STR("aws4_request"));
	hmac(k, buf_str(&canonical));
	hex(k, digest);
	buf_release(&canonical);
	return good && a->signature.n == 2 * DIGEST_BYTES &&
	       CRYPTO_memcmp(digest, a->signature.p, 2 * DIGEST_BYTES) == 0;
}

/* 20261121T101112Z as epoch ms; -1 where it is no such text. */
static int64_t date_ms(struct str text)
{
	char copy[17];
	struct tm tm = { 0 };
	const char *end;

	if (text.n != 16)
		return -1;
	memcpy(copy, text.p, 16);
	copy[16] = '\0';
	end = strptime(copy, "%Y%m%dT%H%M%SZ", &tm);
	return end && !*end ? (int64_t)timegm(&tm) * 1000 : -1;
}

static bool check_key(const struct signature_key *key, const struct http_request *request,
		      const struct authorization *a, struct str date, int64_t now_ms,
		      const char **code, struct error *err)
{
	struct str token = http_header(request, "x-amz-security-token");
	int64_t signed_ms = date_ms(date);

	if (!str_equal(a->id, str_of(key->id)) ||
	    !str_equal(token.p ? token : STR(""), str_of(key->token))) {
		*code = "UnrecognizedClientException";
		return error_set(err, ERROR_REFUSED,
				 "The security token included in the request is invalid.");
	}
	*code = "InvalidSignatureException";
	if (signed_ms < now_ms - SKEW_MS_MAX)
		return error_set(err, ERROR_REFUSED,
				 "Signature expired: %.*s is now earlier than the "
				 "server's time - 15 min.",
				 STR_ARG(date));
	if (signed_ms > now_ms + SKEW_MS_MAX)
		return error_set(err, ERROR_REFUSED,
				 "Signature not yet current: %.*s is still later "
				 "than the server's time + 15 min.",
				 STR_ARG(date));
	if (!str_equal(a->service, STR("dynamodb")))
		return error_set(err, ERROR_REFUSED,
				 "Credential should be scoped to correct service: "
				 "'dynamodb'.");
	if (!signature_matches(key, request, a, date))
		return error_set(
			err, ERROR_REFUSED,
			"The request signature we calculated does not match the signature you "
			"provided. Check your AWS Secret Access Key and signing method.");
	return true;
}

bool signature_check(const struct signature_key *key, const struct http_request *request,
		     int64_t now_ms, const char **code, struct error *err)
{
	struct str header = http_header(request, "authorization");
	struct str date = http_header(request, "x-amz-date");
	struct authorization a;

	if (!header.p) {
		*code = "MissingAuthenticationTokenException";
		return error_set(err, ERROR_REFUSED, "Request is missing Authentication Token");
	}
	if (!authorization_parse(&a, header) || date_ms(date) < 0 ||
	    memcmp(a.date.p, date.p, a.date.n) != 0) {
		*code = "IncompleteSignatureException";
		return error_set(err, ERROR_REFUSED,
				 "Authorization needs Credential, SignedHeaders and Signature, and "
				 "X-Amz-Date the credential's date");
	}
	return !key || check_key(key, request, &a, date, now_ms, code, err);
}
