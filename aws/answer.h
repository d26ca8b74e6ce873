#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

/* What AWS says when it says no, and what that means. Pure. */

#define ANSWER_CODE_MAX 64
struct answer_error {
	char code[ANSWER_CODE_MAX]; /* "ExpiredIteratorException"; "" where the body has none */
	char message[400];          /* cut where it is longer */
	char region[64];            /* of an S3 redirect; "" */
};

enum answer_remedy {
	ANSWER_NO_REMEDY,
	ANSWER_AGAIN,   /* the same call later */
	ANSWER_REFRESH, /* new credentials */
	ANSWER_CLOCK,   /* our time is wrong */
};

struct answer_verdict {
	enum error_kind kind;
	enum answer_remedy remedy;
};

/* The JSON of DynamoDB ({"__type":…,"message":…}) or the XML of S3 and STS; anything else leaves
 * `out` empty. */
void answer_parse(struct str body, struct answer_error *out);
/* One table: the code decides, the status only where the code says nothing. */
struct answer_verdict answer_judge(const struct answer_error *e, int status);

/* How metrics name it: "ok", "retry", "throttled", … */
const char *answer_result(enum error_kind kind);
/* Both tables as Markdown. For docs/operations.md, compared by a test. */
void answer_reference(struct buf *out);

/* A small answer as JSON; NULL and ERROR_RETRY where it is none. json_decref it. */
json_t *answer_json(struct str body, struct error *err);
/* Copies a member's text; "" where it is absent or null. False where it is no text or too long. */
bool answer_text(const json_t *object, const char *key, char *out, size_t size);

/* An HTTP Date ("Sat, 21 Nov 2026 10:11:12 GMT") in epoch ms; false for anything else and for years
 * that no server of AWS can be in. */
bool answer_date(struct str text, int64_t *epoch_ms);
