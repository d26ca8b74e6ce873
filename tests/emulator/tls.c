#include "tests/emulator/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <sys/stat.h>

static bool tls_failed(struct error *err, const char *what)
{
	char text[200];

	ERR_error_string_n(ERR_get_error(), text, sizeof(text));
	return error_set(err, ERROR_INVALID, "%s: %s", what, text);
}

SSL_CTX *tls_context_new(const char *cert_path, const char *key_path, struct error *err)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	if (!ctx || SSL_CTX_use_certificate_chain_file(ctx, cert_path) != 1 ||
	    SSL_CTX_use_PrivateKey_file(ctx, key_path, SSL_FILETYPE_PEM) != 1 ||
	    SSL_CTX_check_private_key(ctx) != 1) {
		tls_failed(err, cert_path);
		SSL_CTX_free(ctx);
		return NULL;
	}
	SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE);
	/* The cheapest per byte where the machine has AES instructions. */
	SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:"
				      "TLS_CHACHA20_POLY1305_SHA256");
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				      SSL_MODE_RELEASE_BUFFERS);
	return ctx;
}

static bool add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *extension;
	bool good;

	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	good = extension && X509_add_ext(cert, extension, -1) == 1;
	X509_EXTENSION_free(extension);
	return good;
}

/* A certificate of `key` for `name`, signed by the issuer (itself where that is NULL). */
static X509 *certificate(EVP_PKEY *key, const char *name, X509 *issuer, EVP_PKEY *issuer_key)
{
	X509 *cert = X509_new();
	X509_NAME *subject = cert ? X509_get_subject_name(cert) : NULL;
	uint64_t serial = 0;
	bool good = cert && RAND_bytes((unsigned char *)&serial, sizeof(serial)) == 1;

	good = good && X509_set_version(cert, 2) == 1 &&
	       ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert), serial >> 1) == 1 &&
	       X509_gmtime_adj(X509_getm_notBefore(cert), -24 * 3600) &&
	       X509_gmtime_adj(X509_getm_notAfter(cert), (long)3650 * 24 * 3600) &&
	       X509_set_pubkey(cert, key) == 1 &&
	       X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name,
					  -1, -1, 0) == 1 &&
	       X509_set_issuer_name(cert, issuer ? X509_get_subject_name(issuer) : subject) == 1;
	if (good && issuer)
		good = add_extension(cert, issuer, NID_subject_alt_name,
				     "DNS:localhost,IP:127.0.0.1,IP:::1") &&
		       add_extension(cert, issuer, NID_basic_constraints, "critical,CA:FALSE") &&
		       add_extension(cert, issuer, NID_ext_key_usage, "serverAuth");
	else if (good)
		good = add_extension(cert, cert, NID_basic_constraints, "critical,CA:TRUE") &&
		       add_extension(cert, cert, NID_key_usage, "critical,keyCertSign,cRLSign") &&
		       add_extension(cert, cert, NID_subject_key_identifier, "hash");
	if (good && issuer)
		good = add_extension(cert, issuer, NID_authority_key_identifier, "keyid");
	if (good && X509_sign(cert, issuer ? issuer_key : key, EVP_sha256()) > 0)
		return cert;
	X509_free(cert);
	return NULL;
}

static bool write_pem(const char *dir, const char *name, X509 *cert, EVP_PKEY *key)
{
	char path[4096];
	FILE *file;
	bool good;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = fopen(path, "w");
	if (!file)
		return false;
	/* Throw-away keys, but no reason to show them. */
	good = fchmod(fileno(file), key ? 0600 : 0644) == 0 &&
	       (cert ? PEM_write_X509(file, cert)
		     : PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL)) == 1;
	return fclose(file) == 0 && good;
}

bool tls_make(const char *dir, struct error *err)
{
	EVP_PKEY *ca_key = EVP_EC_gen("P-256"), *key = EVP_EC_gen("P-256");
	X509 *ca = ca_key ? certificate(ca_key, "Sluice emulator CA", NULL, NULL) : NULL;
	X509 *cert = ca && key ? certificate(key, "localhost", ca, ca_key) : NULL;
	bool good;

	mkdir(dir, 0755);
	good = cert && write_pem(dir, "ca.pem", ca, NULL) &&
	       write_pem(dir, "cert.pem", cert, NULL) && write_pem(dir, "key.pem", NULL, key);
	X509_free(cert);
	X509_free(ca);
	EVP_PKEY_free(key);
	EVP_PKEY_free(ca_key);
	return good || error_set(err, ERROR_INVALID,
				 "%s: cannot write ca.pem, cert.pem and key.pem there", dir);
}
