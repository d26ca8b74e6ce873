#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "checkpoint/exports.h"
#include "config/config.h"

/* Exports as commands show them. */
struct exports_shown {
	struct arena memory;
	struct store_export *rows; /* newest first */
	uint32_t *lacks; /* of each: for so many windows more it waits, with which it is loaded */
	size_t count;
};

/* Those that are not over, and of the others the newest `closed`; table NULL: of all tables. */
bool exports_collect(struct store *store, const struct config *config, const char *table,
		     size_t closed, struct exports_shown *out, struct error *err) MUST_CHECK;
void exports_release(struct exports_shown *shown);
/* Is the row an export of this table (a name or an ARN)? */
bool exports_is_of(const struct store_export *e, const char *table);

/* How a load goes on. */
struct exports_progress {
	double rate;     /* records a second since it began; 0: nothing is known */
	int64_t left_ms; /* until it is done at this rate; -1: not known */
};
struct exports_progress exports_progress(const struct store_export *e, int64_t now_ms);

/* A line, without its end; more of them where there is an error. */
void exports_text(const struct store_export *e, uint32_t lacks, int64_t now_ms, struct buf *out);
/* The members of an object, without its braces. */
void exports_json(const struct store_export *e, uint32_t lacks, int64_t now_ms, struct buf *out);
void exports_member(struct buf *out, const char *name, const char *value);
