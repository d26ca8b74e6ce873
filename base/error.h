#pragma once
#include <stdbool.h>

#include "base/cleanup.h"

/* What the caller can do about a failure; the message is for people. */
enum error_kind {
	ERROR_NONE,
	ERROR_RETRY,     /* timed out, 5xx, cut connection, neighbour away: the same call later */
	ERROR_THROTTLED, /* as RETRY, but slower: the peer asks for less */
	ERROR_EXPIRED,   /* a shard iterator or a token too old: ask for a new one */
	ERROR_TRIMMED,   /* the position left the stream's 24 h: data is gone */
	ERROR_NOT_FOUND, /* no such table, stream, shard, key, upload, … */
	ERROR_FENCED,    /* this session was declared dead: stop everything, begin a new one */
	ERROR_REFUSED,   /* credentials or permission: an operator must act */
	ERROR_INVALID,   /* bad input, bad configuration, a request the peer can never take */
	ERROR_CANCELLED, /* shutting down */
	ERROR_KINDS,
};

/* A failure, owned by the caller, on its stack. No allocation, nothing to free. */
struct error {
	enum error_kind kind;
	char message[480];
};

/* Both return false, so that a failing function ends in one line:
 *     return error_set(err, ERROR_INVALID, "port %d", port);                    */
bool error_set(struct error *err, enum error_kind kind, const char *fmt, ...) PRINTF(3, 4);
/* Puts "outer: " before the message and keeps the kind. */
bool error_wrap(struct error *err, const char *fmt, ...) PRINTF(2, 3);
/* "retry", "throttled", … for metric labels and logs. */
const char *error_kind_name(enum error_kind kind);
/* RETRY, THROTTLED and EXPIRED: the same thing may work later without anybody's help. */
bool error_passes(enum error_kind kind);
