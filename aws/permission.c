#include "aws/permission.h"

#include <string.h>

#include "aws/call.h"

const char *permission_lacking(const struct error *err)
{
	const char *advice = NULL, *at = err->message;

	if (err->kind != ERROR_REFUSED)
		return NULL;
	while ((at = strstr(at, CALL_ALLOW)) != NULL) {
		at += strlen(CALL_ALLOW);
		advice = at;
	}
	return advice;
}

static bool is_answer(enum error_kind kind)
{
	return kind == ERROR_NONE || kind == ERROR_NOT_FOUND || kind == ERROR_THROTTLED ||
	       kind == ERROR_EXPIRED || kind == ERROR_TRIMMED;
}

bool permission_judge(const struct error *err, const char *action, const char *resource,
		      permission_fn *tell, void *arg)
{
	const char *lacking = permission_lacking(err);
	struct permission p = { PERMISSION_GIVEN, action, resource, "" };
	size_t n = strlen(action);

	if (!lacking && !is_answer(err->kind))
		return false;
	if (lacking) {
		p.state = PERMISSION_MISSING;
		p.why = err->message;
		/* Another one: a key's, say. */
		if (strncmp(lacking, action, n) != 0 || (lacking[n] && lacking[n] != ' ')) {
			p.action = lacking;
			p.resource = strstr(lacking, " on ") ? "" : resource;
		}
	}
	tell(arg, &p);
	return true;
}

bool permission_judge_optional(const struct error *err, const char *action, const char *resource,
			       const char *why, permission_fn *tell, void *arg)
{
	if (!permission_lacking(err))
		return permission_judge(err, action, resource, tell, arg);
	tell(arg, &(struct permission){ PERMISSION_OPTIONAL, action, resource, why });
	return true;
}

void permission_untried(const char *action, const char *resource, const char *why,
			permission_fn *tell, void *arg)
{
	tell(arg, &(struct permission){ PERMISSION_UNTRIED, action, resource, why });
}
