#pragma once
#include "aws/permission.h"
#include "aws/s3.h"

/* Which calls a role may make of a bucket, found out by making them. No object is written. An
 * upload that is begun is aborted; where that is refused, it stays, with nothing in it. */
struct s3_probe {
	const char *bucket, *bucket_owner; /* owner NULL: not checked */
	const char *prefix;                /* of the keys; with its '/', or "" */
	const struct s3_options *options;  /* of what will be written: its key is tried, too */
	bool clears_up; /* lists uploads and their parts, as who finishes another's does */
	/* NULL, or told once of the bucket's rules for uploads, where the rest went as it says
	 * below. Who may not see them, or a server that has none, is no failure: `err` tells. */
	s3_lifecycle_fn *lifecycle;
	void *lifecycle_arg;
};

/* Tells of each action, and goes on after a missing one. Blocking, 10 s at most and 5 to clear up:
 * it has a loop and a client of its own. False: the bucket does not answer, or what is wrong is no
 * permission. */
bool s3_probe(const struct s3_probe *p, const struct aws_settings *settings,
	      struct credentials *credentials, struct clock *clock, struct metrics *metrics,
	      permission_fn *tell, void *arg, struct error *err) MUST_CHECK;
