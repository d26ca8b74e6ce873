#pragma once
#include <openssl/ssl.h>
#include <stdbool.h>

#include "base/error.h"

/* A server's context. NULL: err says why. */
SSL_CTX *tls_context_new(const char *cert_path, const char *key_path, struct error *err);
/* Writes DIR/ca.pem, DIR/cert.pem and DIR/key.pem: a server's certificate for 127.0.0.1, ::1 and
 * localhost, valid for ten years, and the authority that signed it. */
bool tls_make(const char *dir, struct error *err) MUST_CHECK;
