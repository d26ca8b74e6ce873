#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "tests/emulator/http.h"

/* What AWS asks of a request's signature (version 4), written apart from aws/sign.c so that one can
 * test the other. Without a key only the shape of the headers is looked at. */
struct signature_key {
	char id[129], secret[129];
	char token[2049]; /* "": none may be sent or needed */
};

/* "AKID:SECRET" or "AKID:SECRET:TOKEN" */
bool signature_key_parse(struct signature_key *out, const char *text, struct error *err) MUST_CHECK;
/* False: the error's code as AWS names it in *code, its text in err. Any thread. */
bool signature_check(const struct signature_key *key, const struct http_request *request,
		     int64_t now_ms, const char **code, struct error *err) MUST_CHECK;
