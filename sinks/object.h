#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"
#include "sinks/compress.h"
#include "sinks/roll.h"
#include "sinks/sink.h"

/* File sinks: one engine (object.c) over two kinds of place, a directory and a bucket. The engine
 * decides what is in which file and when a roll is over; a place stores parts, makes files visible
 * and clears up. */

/* What both kinds are configured with; the first member of their settings. */
struct object_settings {
	const char *path; /* template of the folders below the place */
	long format, numbers;
	struct event_fields fields;
	long file, compression; /* enum compression */
	long roll_bytes, roll_age_ms, roll_files;
	long missing; /* 1: an event without a value of its path is bad */
	bool manifest;
};

extern const char *const object_file_names[], *const object_compression_names[];
#define OBJECT_ROW(n, t, field, d, lo, hi, c, h)                                                   \
	{                                                                                          \
		.name = (n), .type = (t), .offset = offsetof(struct object_settings, field),       \
		.def = (d), .min = (lo), .max = (hi), .choices = (c), .help = (h)                  \
	}
/* The rows of struct object_settings, without `path`, whose default differs. */
#define OBJECT_OPTIONS                                                                             \
	OBJECT_ROW("format", OPTION_ENUM, format, "plain", 0, 0, sink_formats,                     \
		   "How an event is written."),                                                    \
		OBJECT_ROW("numbers", OPTION_ENUM, numbers, "exact", 0, 0, sink_numbers,           \
			   "Numbers with the digits that DynamoDB gave, or as strings of them."),  \
		SINK_FIELDS(struct object_settings),                                               \
		OBJECT_ROW("file", OPTION_ENUM, file, "ndjson", 0, 0, object_file_names,           \
			   "The form of a file: one event a line."),                               \
		OBJECT_ROW("compression", OPTION_ENUM, compression, "zstd", 0, 0,                  \
			   object_compression_names, "How a file is compressed."),                 \
		OBJECT_ROW("roll.size", OPTION_BYTES, roll_bytes, "128MiB", 5L << 20, 5L << 30,    \
			   NULL,                                                                   \
			   "A file of this many bytes, compressed, ends the roll: all open files " \
			   "become visible together with their positions."),                       \
		OBJECT_ROW("roll.age", OPTION_MS, roll_age_ms, "5m", 1000, 24L * 3600 * 1000,      \
			   NULL, "A roll ends this long after its first event."),                  \
		OBJECT_ROW("roll.files", OPTION_INT, roll_files, "100", 1, 999, NULL,              \
			   "Where the path has placeholders of the event: a roll has at most so "  \
			   "many files, and ends before it would need one more. Each that is "     \
			   "open takes some 1.5 MiB."),                                            \
		OBJECT_ROW("missing", OPTION_ENUM, missing, "_missing", 0, 0, sink_missing,        \
			   "What stands in the path for what an event does not have; "             \
			   "dead_letter: such an event is bad, and the stream's `on_error` "       \
			   "decides."),                                                            \
		OBJECT_ROW("manifest", OPTION_BOOL, manifest, "false", 0, 0, NULL,                 \
			   "Each roll ends with a list of its files, in the folder _manifest/.")

/* Where files go: one thread's, on that thread's loop. Calls return at once and call back exactly
 * once, later or from inside the call. Errors of create, part, seal and drop are those of one
 * attempt: the engine repeats all that passes. A call may be repeated after any error. What a call
 * is given stays the caller's and alive until the callback. */
struct place {
	char *name;   /* of the roll's `place`: the bucket, or "" */
	char *owner;  /* of the bucket, or NULL */
	char *prefix; /* of every path, taken as it is; ends with '/' or is empty */
};
typedef void place_done_fn(void *arg, const struct error *err);

struct place_ops {
	const char *kind;   /* the sink's type */
	size_t part_bytes;  /* every part but the last of a file has this size */
	unsigned calls_max; /* under way at once */
	struct place *(*open)(const void *settings, const struct sink_host *host, struct loop *loop,
			      struct error *err);
	/* What is under way is called back with ERROR_CANCELLED. */
	void (*close)(struct place *p);
	/* Sets f->pending. */
	void (*create)(struct place *p, struct roll_file *f, place_done_fn *done, void *arg);
	/* Stores part `number` (1..) where no reader sees it, and notes in f->parts what its
	 * completion will need. Durable when called back without error. */
	void (*part)(struct place *p, struct roll_file *f, int number, struct str body,
		     place_done_fn *done, void *arg);
	/* Every part is stored: from now on the file must survive a crash. */
	void (*seal)(struct place *p, struct roll_file *f, place_done_fn *done, void *arg);
	/* Makes a sealed file visible, also one of another process; a file that is visible already
	 * is a success. ERROR_NOT_FOUND and ERROR_INVALID: it cannot be done, the message says what
	 * a person has to look at. */
	void (*commit)(struct place *p, const struct roll *r, const struct roll_file *f,
		       place_done_fn *done, void *arg);
	/* Throws an uncommitted file away. */
	void (*drop)(struct place *p, const struct roll_file *f, place_done_fn *done, void *arg);
	/* A small file, visible as a whole or not at all; again is fine. `pending`: the name, in
	 * the same folder, that it may have until then; swept with the session. */
	void (*put)(struct place *p, const char *path, const char *pending,
		    const char *content_type, struct str body, place_done_fn *done, void *arg);
};

/* The engine, for the tables of sink_directory and sink_s3. `settings` begins with a struct
 * object_settings; it outlives the sink. */
struct sink *object_open(const struct place_ops *place, const void *settings,
			 const struct sink_host *host, struct error *err);
const struct route *object_route(const struct sink *s, bool *required);
void object_write(struct sink *s, struct delivery *d);
void object_prepare(struct sink *s);
void object_finish(struct sink *s, uint64_t roll);
void object_purge(struct sink *s);
const char *object_trouble(struct sink *s, char *out, size_t size);
void object_close(struct sink *s);

enum sink_commit object_commit(const void *settings);
struct encoding object_encoding(const void *settings);
/* The path is a template; ERROR_INVALID with `path` in the message where it is not. */
bool object_validate(const void *settings, struct error *err);
bool object_bury(const struct place_ops *place, const void *settings, const struct sink_host *host,
		 struct str blob, bool *committed, struct error *err);
/* Control events: a file each, in the folder _control/ (object_control.c). */
bool object_tells(const void *settings);
bool object_control(const struct place_ops *place, const void *settings,
		    const struct sink_host *host, const struct sink_control *events, size_t count,
		    const _Atomic bool *stop, size_t *told, struct error *err);
/* Whether dead letters can have this path. */
bool object_letters_validate(const void *settings, struct error *err);
/* Dead letters: a file a batch, in the folders of `path` (object_control.c). */
bool object_letters(const struct place_ops *place, const void *settings,
		    const struct sink_host *host, const struct sink_letters *batch,
		    const _Atomic bool *stop, size_t *sent, size_t *refused, struct error *err);
/* Their records once more: a file a batch and folder (object_again.c). */
struct template *object_place(const void *settings, bool *required, struct error *err);
bool object_again(const struct place_ops *place, const void *settings, const struct sink_host *host,
		  const struct sink_again *batch, const _Atomic bool *stop, size_t *sent,
		  size_t *refused, struct error *err);
/* Of a file's name: "20261121T023000Z". Returns out. */
#define OBJECT_TIME_SIZE 24
char *object_time_text(int64_t epoch_ms, char out[OBJECT_TIME_SIZE]);
/* The folder that all files of the sink are in, with its last '/', or "": the prefix and what of
 * the path has no placeholder. To be freed. */
char *object_folder(const char *prefix, const char *path);
/* Is this the name (without folders) of a file that `session` wrote? */
bool object_name_of(const char *name, const char *session);
