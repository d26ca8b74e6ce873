#pragma once
#include "base/buf.h"
#include "checkpoint/letters.h"
#include "ops/exports.h"

/* What the store knows of all workers and streams, as `sluice status` and the status page show it.
 * Readable beside running workers, and when there are none. */

#define STATUS_SESSIONS_MAX 256

struct status_lane {
	struct store_lane lane;
	bool done, known;
	int64_t event_ms;
	struct sequence sequence;
};

struct status_stream {
	char name[STORE_NAME_MAX + 1];
	char arn[1025];
	struct store_stream stream;
	struct status_lane *lanes;
	size_t lane_count;
	struct store_gap *gaps;
	size_t gap_count;
	struct status_audit *audit;
	size_t audit_count;
	struct status_retry *retries; /* of the latest stream of a name alone */
	size_t retry_count;
};

struct status_retry { /* of dead letters */
	struct store_retry_audit audit;
	char who[STORE_NAME_MAX + 1], said[STORE_NAME_MAX + 1];
};

struct status_audit {
	struct store_audit audit;
	char who[STORE_NAME_MAX + 1], said[STORE_NAME_MAX + 1];
};

struct status {
	struct store *store;
	struct store_session sessions[STATUS_SESSIONS_MAX];
	size_t session_count;
	struct status_stream *streams;
	size_t stream_count;
	struct status_stream *filling;
	uint64_t letters;
	struct exports_shown exports;
	int64_t now_ms;
};

/* Collects all of it; to be released, also after an error. The store has to outlive it. */
bool status_collect(struct status *t, const struct config *config, struct store *store,
		    struct error *err) MUST_CHECK;
void status_release(struct status *t);
/* One object. */
void status_json(const struct status *t, struct buf *out);

/* How far the lane is: new, free, open (a session has it), done. */
const char *status_lane_state(const struct status_lane *l);
size_t status_owned(const struct status_stream *s); /* lanes that a session has */
/* The time of the oldest last record of its open lanes; 0: nothing was read yet. */
int64_t status_oldest_ms(const struct status_stream *s);
/* How long at least until the stream loses something. */
int64_t status_left_ms(const struct status_stream *s, int64_t now_ms);
