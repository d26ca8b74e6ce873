#pragma once
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* Every metric is a row of one table (metrics.c): name, type, labels, help. A series (a row and its
 * label values) is looked up once and then is a cell that anybody adds to without a lock. */
enum metric_type { METRIC_COUNTER, METRIC_GAUGE };

enum metric {
	METRIC_BUILD_INFO,            /* version */
	METRIC_RECORDS,               /* stream, op */
	METRIC_RECORD_BYTES,          /* stream: page bytes decoded */
	METRIC_DELIVERED,             /* sink */
	METRIC_DELIVERED_BYTES,       /* sink */
	METRIC_DEAD_LETTERS,          /* sink, reason */
	METRIC_DROPPED,               /* reason */
	METRIC_FILTERED,              /* stream, sink */
	METRIC_SCRIPT_ERRORS,         /* stream, reason */
	METRIC_NEW_ATTRIBUTES,        /* stream, schema */
	METRIC_GAPS,                  /* stream */
	METRIC_EXPORT_FILES,          /* table, status */
	METRIC_EXPORT_RECORDS,        /* table */
	METRIC_EXPORT_BYTES,          /* table */
	METRIC_STREAM_HELD,           /* stream: 0 or 1 */
	METRIC_REPAIRS,               /* stream */
	METRIC_POLLS,                 /* stream, result */
	METRIC_POLL_LIMIT,            /* stream: calls a second, thousandths */
	METRIC_POLL_UNITS_MONTH,      /* stream */
	METRIC_POLL_COST_MONTH,       /* stream: dollars, thousandths */
	METRIC_SHARDS,                /* stream, state */
	METRIC_SINK_HOLDS,            /* stream, sink */
	METRIC_SHARDS_BEHIND,         /* stream */
	METRIC_LAG,                   /* stream: seconds */
	METRIC_SHARD_LAG,             /* stream, shard: seconds; see metrics_replace */
	METRIC_TIME_TO_LOSS,          /* stream: seconds */
	METRIC_LOSS_WARNINGS,         /* stream */
	METRIC_EXPORT_WINDOWS_BEHIND, /* table */
	METRIC_EXPORT_AGE,            /* table: seconds */
	METRIC_EXPORTS_LATE,          /* table */
	METRIC_EXPORT_ATTEMPTS,       /* table, result */
	METRIC_EXPORT_GAPS,           /* table */
	METRIC_EXPORT_BILLED_BYTES,   /* table */
	METRIC_INFLIGHT_BYTES,        /* */
	METRIC_INFLIGHT_LIMIT,        /* */
	METRIC_CREDIT_WAITS,          /* */
	METRIC_AWS_CALLS,             /* operation, result */
	METRIC_AWS_CLOCK_OFFSET,      /* seconds */
	METRIC_CONNECTIONS,           /* opened */
	METRIC_CREDENTIALS_EXPIRY,    /* seconds from now */
	METRIC_CREDENTIAL_REFRESHES,  /* result */
	METRIC_SINK_RETRIES,          /* sink, reason */
	METRIC_LARGE_OBJECTS,         /* sink */
	METRIC_LARGE_BYTES,           /* sink */
	METRIC_SINK_UNANSWERED_BYTES, /* sink */
	METRIC_ROLLS,                 /* sink, result */
	METRIC_ROLL_AGE,              /* sink: seconds */
	METRIC_LETTERS_OVER,          /* stream */
	METRIC_LETTERS_SENT,          /* sink, result */
	METRIC_CONTROL_EVENTS,        /* sink, result */
	METRIC_PARTITION_CHANGES,     /* stream, sink */
	METRIC_SAVES,                 /* result */
	METRIC_SAVE_SECONDS,          /* time spent */
	METRIC_STORE_ERRORS,          /* kind */
	METRIC_SESSIONS,              /* begun in this process */
	METRIC_SESSIONS_ENDED,        /* reason */
	METRIC_COUNT,
};

struct metrics;
struct metric_cell {
	_Atomic int64_t value; /* counters and gauges in the row's base unit · row's scale */
};

struct metrics *metrics_new(void);
void metrics_free(struct metrics *m);
/* The cell of these label values (NULL where the row has fewer labels); made at first use, lives
 * until it is forgotten. Takes a lock: look up once, keep the pointer. */
struct metric_cell *metrics_cell(struct metrics *m, enum metric row, const char *label1,
				 const char *label2);
/* All series of a row together. */
int64_t metrics_sum(struct metrics *m, enum metric row);
/* The series of a stream that is over: nobody may have a cell of it any more. A gauge would stand
 * still for ever; a counter may go on with the table's next stream, and only then counts its first
 * event there where rates are made of it. */
enum metric_forget { METRIC_FORGET_GAUGES, METRIC_FORGET_ALL };
void metrics_forget_stream(struct metrics *m, const char *stream, enum metric_forget which);
static inline void metric_add(struct metric_cell *c, int64_t n)
{
	atomic_fetch_add_explicit(&c->value, n, memory_order_relaxed);
}
static inline void metric_set(struct metric_cell *c, int64_t n)
{
	atomic_store_explicit(&c->value, n, memory_order_relaxed);
}
static inline int64_t metric_get(const struct metric_cell *c)
{
	return atomic_load_explicit(&c->value, memory_order_relaxed);
}
/* A row with very many series, which come and go: all of them at once, each made by metric_line.
 * The lines are taken; none are fine. */
void metric_line(enum metric row, const char *label1, const char *label2, int64_t value,
		 struct buf *lines);
void metrics_replace(struct metrics *m, enum metric row, struct buf *lines);
/* The Prometheus text format. Rows in seconds, dollars and calls a second are kept in thousandths.
 */
void metrics_print(struct metrics *m, struct buf *out);
/* The table as Markdown: name, type, labels, help. For docs/operations.md, compared by a test. */
void metrics_reference(struct buf *out);
