#pragma once
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "sinks/object.h"
#include "sinks/object_jobs.h"
#include "sinks/template.h"

/* The files that a sink has open: deliveries go in, are compressed, and leave in parts to the place
 * as the files grow. A roll is one file a stream, or, where the path has placeholders of the
 * event, one for each of their values. Invariant: `held_bytes` is what buffers and
 * compressors hold; `storing_bytes`, a share of it, is on its way to the place and comes free
 * without anybody's help. All of it belongs to the sink's thread, writer_trouble excepted. */

/* n of a file's name counts from the sink's index times this, so that two sinks of one session at
 * the same place never use the same key. Also what bounds a blob. */
#define OBJECT_FILES_MAX 1000

struct object_writer {
	const struct place_ops *ops;
	const struct object_settings *settings;
	const struct sink_host *host;
	struct place *place;
	struct template *path;
	struct object_jobs jobs;
	size_t held_bytes, storing_bytes;
	unsigned failing;   /* jobs that wait to be repeated */
	bool stopping;      /* nothing is repeated any more */
	struct error fatal; /* kind NONE, or why the session has to end */
	struct log_limit log_limit;
	/* Read by /readyz while the sink's thread writes: one lock, for a line of text. */
	pthread_mutex_t trouble_lock;
	char trouble[640];
};

struct object_file;
struct object_roll {
	struct object_writer *writer;
	struct roll *record;
	struct object_file **files; /* as many as record->files, in its order */
	int64_t began_ms;           /* boot time */
	int64_t began_aws_ms;       /* its names and paths say so */
	uint64_t records, bytes;    /* encoded bytes, before compression */
	size_t largest_bytes;       /* of its files, compressed */
	size_t sealed, committed, lost;
	bool wanted; /* somebody asked to prepare it */
};

bool writer_init(struct object_writer *w, const struct place_ops *ops, const void *settings,
		 const struct sink_host *host, struct loop *loop, struct error *err) MUST_CHECK;
/* Throws `rolls` away (each may be NULL), which nobody has committed: waits a few seconds at most,
 * what is left then is swept with the session. */
void writer_release(struct object_writer *w, struct object_roll *const rolls[2]);
const char *writer_trouble(struct object_writer *w, char *out, size_t size);

struct object_roll *object_roll_new(struct object_writer *w, uint64_t number);
/* Its files may have no calls under way. */
void object_roll_free(struct object_roll *r);
/* How many files the delivery would add. */
size_t object_roll_lacks(const struct object_roll *r, const struct delivery *d);
/* What an open file takes of memory before there is anything in it. */
size_t object_file_bytes(const struct object_writer *w);
/* Is there a place in it for so many more? */
bool object_roll_has_room(const struct object_roll *r, size_t files);
/* The delivery from d->first on. False: only the records before *first are in it. INVALID, where
 * events name their folder: the record at *first names none that can be. THROTTLED: it needs a file
 * more than there is room for. */
bool object_roll_write(struct object_roll *r, const struct delivery *d, size_t *first,
		       struct error *err) MUST_CHECK;
/* What a delivery will at most add to held_bytes, and what its events have in bytes. */
size_t object_delivery_bytes(const struct delivery *d);
/* No more writes: the files are ended and stored. */
void object_roll_seal(struct object_roll *r);
bool object_roll_sealed(const struct object_roll *r);
/* Makes all files visible. */
void object_roll_commit(struct object_roll *r);
/* Each file is visible, or lost for good (r->lost, writer's `fatal`). */
bool object_roll_settled(const struct object_roll *r);
