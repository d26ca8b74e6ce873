#pragma once
#include <stdbool.h>

#include "base/error.h"

/* What a call that was tried says of the IAM action that it needs. Pure values; texts are valid
 * while they are told. */
enum permission_state {
	PERMISSION_GIVEN,
	PERMISSION_MISSING,
	PERMISSION_UNTRIED,  /* `why` says for what reason */
	PERMISSION_OPTIONAL, /* it is missing, and `why` says what only is not done then */
};
struct permission {
	enum permission_state state;
	const char *action;   /* "s3:PutObject" */
	const char *resource; /* the ARN, or what AWS gave with the action: "" then */
	const char *why;      /* AWS's words where it is MISSING; "" where it is GIVEN */
};
typedef void permission_fn(void *arg, const struct permission *p);

/* What the permission is that a refused call lacks, as AWS tells it: an action, and for keys that a
 * call needs besides " on " and their ARN. NULL where a permission is not what is wrong. */
const char *permission_lacking(const struct error *err);
/* Tells of an action by what became of its call. An answer that says that the thing is not there
 * comes from who may ask. False, with nothing told, where the call says nothing of permissions. */
bool permission_judge(const struct error *err, const char *action, const char *resource,
		      permission_fn *tell, void *arg);
/* The same of one that delivery does not need: OPTIONAL, with `why`, where it is missing. */
bool permission_judge_optional(const struct error *err, const char *action, const char *resource,
			       const char *why, permission_fn *tell, void *arg);
void permission_untried(const char *action, const char *resource, const char *why,
			permission_fn *tell, void *arg);
