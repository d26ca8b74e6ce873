#pragma once
#include "sinks/object.h"

/* A few small files that are put one after the other, without a running sink. One thread's; calls
 * block. */
struct object_post {
	const struct place_ops *ops;
	const struct sink_host *host;
	struct place *place; /* NULL: it was stopped */
	struct loop *loop;
	bool running;
	struct error err;
};
/* ops and host are set. Closed also where this fails. */
bool object_post_open(struct object_post *p, const void *settings, struct error *err);
void object_post_close(struct object_post *p);
/* `pending`: as unfinished files of rolls are called, so that a burial finds it. */
bool object_post_put(struct object_post *p, const char *path, const char *pending,
		     const char *content_type, struct str body, const _Atomic bool *stop,
		     struct error *err);
/* The name, without what is not for files' names. */
void object_post_name(const char *name, struct buf *out);
