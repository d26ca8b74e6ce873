#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "aws/permission.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/metrics.h"
#include "base/str.h"
#include "config/config.h"
#include "event/batch.h"
#include "event/route.h"
#include "sinks/commit.h"

/* The one contract of all sinks.
 *
 * A batch is *taken* (its bytes are the sink's, or durable: arena and credit are free), later
 * *prepared* (what the sink holds can be committed: a blob that is enough to finish or bury it
 * without this process), then, after the store has written blob and positions in one call,
 * *finished*. A sink with nothing to prepare goes from taken to durable at once (roll 0).
 * Or a batch *failed* (send it again, from `first`, to its end), or was *refused* (record `first`
 * can never get in; the ones before it are in, none behind it is). Where a roll took those before
 * `first`, the answer names it.
 *
 * A sink of *transactions* cannot promise that what it prepared will be committed: another may
 * fence it before. So the store writes blob and places of roll n as pending, and n is finished by
 * the commit, which leaves a trace that `bury` can read: n is committed, or never will be. The
 * positions move with the next save, or with the burial. Whatever it took and did not prepare it
 * may still answer as failed, with nothing of it in; once n may be pending, a commit that did not
 * succeed for certain is SINK_FATAL: the session ends, and its burial finds out.
 *
 * The caller keeps to it: one batch of a lane is in a sink at a time; finish(n) comes only after
 * the store has the blob of n; the next roll is prepared only after the last one was finished.
 *
 * Threads: write may be called from any reader; prepare, finish, purge from the core's thread. None
 * of them blocks. Answers come from any thread, also from inside the call. */

struct sink;
struct sink_host;

/* A batch that failed is sent again within so long, unless its lane leaves this process. */
#define SINK_AGAIN_MS_MAX 20000

/* One batch on its way to one sink. Owned by the reader; the sink's between write and answer. */
struct delivery {
	struct batch *batch;
	const struct str *payloads;      /* batch->count of them; p NULL: not for this sink */
	const struct batch_route *route; /* where they go; NULL: the sink asked for none */
	size_t first;                    /* earlier records are in already, or not for this sink */
	size_t count;                    /* records with a payload from `first` on, for metrics */
	unsigned reader; /* which reader it comes from: a sink may keep one handle each */
	void *lane;      /* the reader's; handed back in the answer's delivery */
	void *of_sink;   /* the sink's own, from write to answer */
};

enum sink_answer_kind {
	SINK_TAKEN,      /* delivery, roll: all of it from `first` on. roll 0: durable */
	SINK_FAILED,     /* delivery, first, roll, err: records before `first` are in; again later
			    from it */
	SINK_REFUSED,    /* delivery, first, roll, err: record `first` goes to the dead letters */
	SINK_PREPARED,   /* roll, blob: holds every delivery that was taken with this roll */
	SINK_FINISHED,   /* roll: readers can see it; its row may go */
	SINK_FATAL,      /* err: this session has to end */
	SINK_PARTITIONS, /* topic, stream, partitions: so many there are now */
};

struct sink_answer {
	enum sink_answer_kind kind;
	unsigned sink;
	struct delivery *delivery;
	size_t first;
	uint64_t roll;   /* 1.., grows by one; unique within the session and sink */
	struct str blob; /* PREPARED: valid during the call only */
	/* PARTITIONS, the same: the topic that the stream's records go to, as the sink sees it for
	 * the first time, or with another number of partitions. */
	const char *topic, *stream;
	uint32_t partitions;
	struct error err;
};

/* What a sink is given by the process that runs it. Outlives the sink. */
struct sink_host {
	unsigned index;      /* of this sink: `sink` in its answers */
	const char *name;    /* configured name, the sink's identity */
	const char *session; /* UUID text of the running session: part of every file's name */
	unsigned readers;
	int64_t lease_ms;
	size_t memory_bytes; /* the most it may hold in buffers of its own */
	struct clock *clock;
	struct metrics *metrics;
	const struct aws_settings *aws; /* for S3; NULL where no sink needs it */
	struct credentials *credentials;
	void (*answer)(void *arg, const struct sink_answer *a);
	void *arg;
	/* Told by `check` of each permission of AWS's that it tried; NULL: nobody asks. */
	permission_fn *permission;
	void *permission_arg;
	/* Told to `check`: names and patterns of the tables whose records come; none: of any. */
	const struct str *tables;
	size_t table_count;
};

/* A control event for the readers of a sink (docs/delivery.md). */
struct sink_control {
	int64_t id; /* grows with the order in which they are told */
	int64_t time_ms;
	const char *kind, *phase;
	const struct source *source; /* of whose stream it tells */
	struct str json;             /* the whole event, an object */
	/* The end of a baseline, a repair or a rewind: what it tells of is in the sink for good.
	 * The sink adds how far its data reaches: `rolls`, or the end offsets. */
	bool end;
	const char *rolls; /* {SESSION:NUMBER,…}, as the store has them */
};
/* The event with one more member, whose value is JSON. */
void sink_control_with(const struct sink_control *c, const char *member, struct str value,
		       struct buf *out);

/* Dead letters of one stream, on their way from the store into a sink (docs/delivery.md). */
struct sink_letter {
	const char *shard, *sequence, *reason;
	struct str json; /* the whole letter, an object */
};
struct sink_letters {
	/* With the stream's name it is unique, and the same for all batches of that stream. */
	const char *chain;
	int64_t batch; /* grows within the chain; about when the batch was made, epoch ms */
	const struct source *source;
	const struct sink_letter *letters;
	size_t count;
};

/* Records of dead letters that are delivered once more, by a command of its own: a batch of those
 * of one stream, known by chain and batch as one of letters is. */
struct sink_again {
	const char *chain;
	int64_t batch;
	const char *stream;                    /* its configured name */
	const struct delivery *const *records; /* each of one record that has a payload */
	size_t count;
	bool even_twice; /* also one of which the sink cannot tell any more whether it has it */
};

/* A kind of sink: one exported constant. */
struct template;
struct sink_ops {
	struct config_sink_type config;
	/* By its settings: Kafka is IMMEDIATE or TRANSACTION. */
	enum sink_commit (*commit)(const void *settings);
	struct encoding (*encoding)(const void *settings);
	/* Does not wait for the peer: a neighbour that is away is retried, counted and visible. */
	struct sink *(*open)(const void *settings, const struct sink_host *host, struct error *err);
	/* What the sink has to be told of where each event goes; *required: an event that lacks
	 * some of it is bad. NULL: nothing, as where there is no such function. */
	const struct route *(*route)(const struct sink *s, bool *required);
	void (*write)(struct sink *s, struct delivery *d);
	/* Asks for everything taken so far as one blob, soon; does nothing with an empty roll, and
	 * may come from the sink itself (size, age). `now`: do not wait for more. */
	void (*prepare)(struct sink *s);
	void (*finish)(struct sink *s, uint64_t roll);
	/* Finishes a dead (or an earlier) session's roll; blocking, repeatable by anyone. Of a
	 * transaction it makes sure that nobody can commit it any more; *committed says whether it
	 * was, and is true for every other roll. The error of a roll that cannot be finished says
	 * what a person has to look at. */
	bool (*bury)(const void *settings, const struct sink_host *host, struct str blob,
		     bool *committed, struct error *err);
	/* Blocking, after every roll of `session` was buried: abandoned uploads and dot files go,
	 * an open transaction is aborted. */
	bool (*sweep)(const void *settings, const struct sink_host *host, const char *session,
		      struct error *err);
	/* Has it a place for control events? NULL: no sink of this kind has. */
	bool (*tells)(const void *settings);
	/* Tells them, in order; blocking, for about as long as a message may take; repeatable by
	 * anyone. *told: so many are there for good, also where it failed. `stop` ends it:
	 * CANCELLED. */
	bool (*control)(const void *settings, const struct sink_host *host,
			const struct sink_control *events, size_t count, const _Atomic bool *stop,
			size_t *told, struct error *err);
	/* Delivers them in their order, as surely as the sink delivers records: where these come
	 * exactly once, so do letters. Blocking, for about as long as a message may take;
	 * repeatable by anyone, with what the batch had and is not known as sent or refused. *sent:
	 * so many are there for good, also where it failed. *refused: this one can never get in;
	 * `count`: none is known. `stop` ends it: CANCELLED. */
	bool (*letters)(const void *settings, const struct sink_host *host,
			const struct sink_letters *batch, const _Atomic bool *stop, size_t *sent,
			size_t *refused, struct error *err);
	/* What says where events go, without a running sink; the caller's. NULL with no error: all
	 * go to one place. *required as for `route`. */
	struct template *(*place)(const void *settings, bool *required, struct error *err);
	/* Delivers them in their order, as `letters` does with letters. */
	bool (*again)(const void *settings, const struct sink_host *host,
		      const struct sink_again *batch, const _Atomic bool *stop, size_t *sent,
		      size_t *refused, struct error *err);
	/* The lease ended: drop what is unsent and answer it as failed. */
	void (*purge)(struct sink *s);
	/* Is the peer there, may we write: a line for `sluice check`. Blocking, at most 10 s. */
	bool (*check)(const void *settings, const struct sink_host *host, struct buf *said,
		      struct error *err);
	/* NULL, or what is wrong with it now, for /readyz. Any thread. */
	const char *(*trouble)(struct sink *s, char *out, size_t size);
	/* Answers what it still holds as failed, then frees. */
	void (*close)(struct sink *s);
};

extern const struct sink_ops sink_kafka, sink_s3, sink_directory, sink_stdout;

/* Choices of the settings `format` (enum event_format) and `numbers` (0 exact, 1 string), which
 * every sink has; end with NULL. */
extern const char *const sink_formats[], *const sink_numbers[];
/* And `fields`, of their struct event_fields of that name. */
#define SINK_FIELD(settings, field, what)                                                          \
	{                                                                                          \
		.name = "fields." #field, .type = OPTION_TEXT,                                     \
		.offset = offsetof(settings, fields.field), .def = "_" #field, .help = (what)      \
	}
#define SINK_FIELDS(settings)                                                                      \
	SINK_FIELD(settings, op,                                                                   \
		   "What the member of the plain form is called that says c u d r."),              \
		SINK_FIELD(settings, ts, "And that of the time of the change."),                   \
		SINK_FIELD(settings, seq, "And that of the sequence number."),                     \
		SINK_FIELD(settings, gen, "And that of the generation."),                          \
		SINK_FIELD(settings, order, "And that of both as text that sorts.")
bool sink_fields_check(const struct event_fields *fields, long format,
		       struct error *err) MUST_CHECK;
/* And of `missing` (0 _missing, 1 dead_letter), of those that have routes. */
extern const char *const sink_missing[];

/* NULL where there is no such type. */
const struct sink_ops *sink_ops_find(const char *type);
/* For config_load: the types' tables, ending with a row whose type is NULL. */
const struct config_types *sink_config_types(void);
