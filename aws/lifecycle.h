#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"
#include "base/str.h"

/* What a bucket's lifecycle rules say of uploads that are left incomplete. A plain value. */
struct lifecycle_rule {
	char *id, *prefix; /* of keys; "": of all */
	int days;          /* from an upload's beginning until it is aborted; 1 or more */
	/* By tags or sizes of objects, too. AWS takes no such rule for uploads; of other servers
	 * some go by the prefix alone then, some by none of it. */
	bool narrowed;
};
struct lifecycle { /* of the rules that are enabled those that abort uploads; all zero: none */
	struct lifecycle_rule *rules;
	size_t count;
};

/* S3's XML. False, with nothing to release, where it is no such document or a rule that counts has
 * what nobody can read. */
bool lifecycle_parse(struct str xml, struct lifecycle *out) MUST_CHECK;
void lifecycle_release(struct lifecycle *l);
