#pragma once
#include "aws/lifecycle.h"
#include "base/buf.h"
#include "base/error.h"

/* Whether a bucket's lifecycle rules suit the uploads of a sink. Pure.
 *
 * An upload is open for as long as its roll, a day at most, and then for as long as no worker is
 * there to finish what a dead one left: with the roll's positions it is saved as delivered, and
 * what is aborted by then is lost. Without any rule, what nobody clears away stays for good. */
#define S3_LIFECYCLE_DAYS 7 /* at least so many */

/* What the keys of the sink's uploads begin with. */
struct s3_keys {
	const char *prefix;       /* with its '/', or "" */
	const char *path;         /* a template, rendered behind it */
	const char *manifests;    /* where the lists of files are; NULL: there are none */
	const struct str *tables; /* names and patterns that ${table} may be; none: any */
	size_t table_count;
};

enum s3_lifecycle_fit {
	S3_LIFECYCLE_NONE,  /* no upload is ever aborted */
	S3_LIFECYCLE_SOME,  /* those of some keys are, or may be */
	S3_LIFECYCLE_ALL,   /* all are, and late enough */
	S3_LIFECYCLE_SHORT, /* some may be too early */
};
struct s3_lifecycle_verdict {
	enum s3_lifecycle_fit fit;
	const struct lifecycle_rule *rule; /* of ALL and SHORT: of those that do it the earliest */
};
struct s3_lifecycle_verdict s3_lifecycle_judge(const struct lifecycle *l, const struct s3_keys *k);
/* The same in words: appended to `said`, or, where it is SHORT, as an error. */
bool s3_lifecycle_say(const struct lifecycle *l, const struct s3_keys *k, struct buf *said,
		      struct error *err) MUST_CHECK;
