#pragma once
#include "aws/permission.h"
#include "base/buf.h"
#include "ops/service.h"

/* What `sluice check` says: a line for each part and for each permission that was tried. */
struct check {
	const struct config *config;
	struct clock clock;
	struct service_client client;
	unsigned failed;  /* lines that say so */
	unsigned missing; /* permissions; one that two parts lack counts twice */
	struct buf told;  /* permissions so far: each has one line */
};

enum check_state { CHECK_OK, CHECK_FAILED, CHECK_UNTRIED };

void check_say(struct check *k, enum check_state state, const char *part, const char *name,
	       const char *text);
/* A permission_fn; `arg` is the check. */
void check_permission(void *arg, const struct permission *p);
/* The last line of a part, which permissions may have been told of since there were `missing`. */
void check_part(struct check *k, unsigned missing, bool ok, const char *part, const char *name,
		const char *text);

/* DescribeTable of a table by its name or ARN: its ARN, also where nobody may ask, as far as it is
 * known then. False: `err` is no matter of permissions, there is no such table, say. */
bool check_describe(struct check *k, struct aws_client *c, const char *table, char arn[1025],
		    struct error *err) MUST_CHECK;
void check_tables(struct check *k, struct aws_client *c);
void check_exports(struct check *k, struct aws_client *c);
