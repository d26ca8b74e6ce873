#pragma once
#include "aws/answer.h"
#include "aws/source.h"

/* STS, which gives keys of a role for keys or for a token. For the sources; blocking. At the first
 * start it may be the first of AWS's services that is asked: where it refuses a signature for its
 * time, the clock's AWS time is set by the answer's Date, and it is asked once more. */

/* Begins a request: the action, and the role and its session where they are given. */
void sts_form(struct buf *form, const char *action, const struct aws_role *role);
void sts_form_add(struct buf *form, const char *name, struct str value);

/* Sends it, signed with `by` (NULL: unsigned), to the region's STS. Fills all but the version; an
 * error begins with `what` and ends with `advice`, and `code` is STS's own word, "" where it said
 * none. */
bool sts_ask(const struct source_context *x, struct str form, const struct credentials_keys *by,
	     const char *what, const char *advice, struct credentials_keys *out,
	     char code[ANSWER_CODE_MAX], struct error *err) MUST_CHECK;

/* Keys of the role, for those in `keys`, which they replace. The error names the role. */
bool sts_assume_role(const struct source_context *x, const struct aws_role *role,
		     struct credentials_keys *keys, struct error *err) MUST_CHECK;
