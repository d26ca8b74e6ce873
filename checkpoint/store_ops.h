#pragma once
#include <stdatomic.h>

#include "checkpoint/control.h"
#include "checkpoint/exports.h"
#include "checkpoint/letters.h"
#include "checkpoint/savepoints.h"
#include "checkpoint/sides.h"
#include "checkpoint/store.h"

/* What an implementation of the store has to do: the functions of store.h, whose contracts hold
 * here too. `describe` and `exclusive` are set by open. */
struct store {
	const struct store_ops *ops;
	bool exclusive;
	_Atomic int64_t end_by_ms; /* 0: no call has to end before its time */
	char describe[512];
};

/* Which lanes of a stream to list. */
struct store_of {
	const char *owner; /* NULL: whoever has them */
	int64_t claim;     /* those that its claim of this number took; 0: all */
};

struct store_ops {
	/* Of a URL of this kind, what `describe` is, without opening it; false: it cannot be read.
	 */
	bool (*place)(const char *url, char *out, size_t size);
	struct store *(*open)(const char *url, int64_t timeout_ms, bool reader, struct error *err);
	void (*close)(struct store *s);
	bool (*session_begin)(struct store *s, const char *id, const char *worker,
			      const char *address, int64_t lease_ms, struct error *err);
	bool (*session_beat)(struct store *s, const char *id, struct error *err);
	/* near "": all. */
	bool (*sessions)(struct store *s, const char *near, struct store_session *out, size_t max,
			 size_t *count, struct error *err);
	bool (*session_kill)(struct store *s, const char *id, int64_t beat, bool *done,
			     struct error *err);
	bool (*session_bury)(struct store *s, const char *id, struct error *err);
	bool (*sink)(struct store *s, const char *name, int32_t *id, struct error *err);
	bool (*sinks)(struct store *s, store_sink_fn *fn, void *arg, struct error *err);
	/* hold NULL: a new one is not held. */
	bool (*stream)(struct store *s, const char *name, const char *arn, int64_t start_ms,
		       const struct store_hold *hold, struct store_stream *out, struct error *err);
	bool (*streams)(struct store *s, store_stream_fn *fn, void *arg, struct error *err);
	bool (*hold)(struct store *s, int64_t stream, uint64_t generation, int64_t instead,
		     struct store_hold *hold, bool *done, struct error *err);
	bool (*owned)(struct store *s, int64_t stream, uint32_t *owned, struct error *err);
	bool (*reset)(struct store *s, int64_t stream, struct store_reset *reset, bool *done,
		      struct error *err);
	bool (*rewind)(struct store *s, int64_t stream, struct store_rewind *rewind, bool *done,
		       struct error *err);
	bool (*go_on)(struct store *s, int64_t stream, int64_t hold, const char *who, int64_t at_ms,
		      bool *ended, struct error *err);
	bool (*audit)(struct store *s, int64_t stream, uint32_t max, store_audit_fn *fn, void *arg,
		      struct error *err);
	bool (*sinks_start)(struct store *s, int64_t stream, struct store_start *starts,
			    size_t count, int64_t at_ms, struct error *err);
	bool (*join)(struct store *s, const char *session, int64_t stream, int64_t epoch,
		     const int32_t *sinks, size_t count, struct error *err);
	bool (*leave)(struct store *s, const char *session, int64_t stream, struct error *err);
	bool (*twins)(struct store *s, const char *session, store_twin_fn *fn, void *arg,
		      struct error *err);
	bool (*round)(struct store *s, const char *session, const struct store_round_fns *fns,
		      void *arg, struct error *err);
	bool (*lanes_add)(struct store *s, const char *session, int64_t stream, int64_t epoch,
			  bool own, struct store_lane *lanes, size_t count, const int32_t *sinks,
			  size_t sink_count, struct error *err);
	/* *claim: this claim's number among the session's, for lanes_list. */
	bool (*lanes_claim)(struct store *s, const char *session, int64_t stream,
			    const int32_t *sinks, size_t sink_count, uint32_t max, int64_t *claim,
			    struct error *err);
	bool (*lanes_list)(struct store *s, int64_t stream, const struct store_of *of,
			   store_lane_fn *lane, store_position_fn *position, void *arg,
			   struct error *err);
	bool (*unheld)(struct store *s, int64_t stream, store_unheld_fn *fn, void *arg,
		       struct error *err);
	bool (*lanes_wish)(struct store *s, const char *session, const char *from, int64_t stream,
			   uint32_t max, uint32_t *wished, struct error *err);
	bool (*lanes_release)(struct store *s, const char *session, const int64_t *lanes,
			      size_t count, struct error *err);
	bool (*shards)(struct store *s, int64_t stream, int64_t after, store_shard_fn *fn,
		       void *arg, struct error *err);
	bool (*tidy)(struct store *s, int64_t stream, int64_t before_ms, uint32_t *removed,
		     struct error *err);
	bool (*save)(struct store *s, const struct store_save *save, struct error *err);
	bool (*rolls)(struct store *s, const char *session, store_roll_fn *fn, void *arg,
		      struct error *err);
	bool (*roll_finished)(struct store *s, const char *session, const char *sink_name,
			      uint64_t number, bool committed, struct error *err);
	bool (*letter_put)(struct store *s, const struct store_letter *letter, int64_t max_bytes,
			   struct error *err);
	bool (*letters)(struct store *s, store_letter_fn *fn, void *arg, struct error *err);
	bool (*letters_count)(struct store *s, uint64_t *count, struct error *err);
	bool (*letter_drop)(struct store *s, int64_t id, struct error *err);
	bool (*gap_put)(struct store *s, const char *session, struct store_gap *gap, bool accept,
			bool *added, struct error *err);
	bool (*gaps)(struct store *s, int64_t stream, store_gap_fn *fn, void *arg,
		     struct error *err);
	bool (*gaps_accept)(struct store *s, int64_t stream, int64_t newest, int64_t at_ms,
			    uint32_t *accepted, struct error *err);
	bool (*gaps_accepted)(struct store *s, const int64_t *streams, size_t count,
			      store_gap_fn *fn, void *arg, struct error *err);
	bool (*gap_close)(struct store *s, int64_t id, enum store_gap_how how,
			  const struct sequence *to, int64_t to_ms, int64_t at_ms,
			  struct error *err);
	const struct store_export_ops *exports;
	const struct store_control_ops *control;
	const struct store_savepoint_ops *savepoints;
	const struct store_letter_ops *letter;
	const struct store_side_ops *sides;
};

/* The functions of exports.h. */
struct store_export_ops {
	bool (*begin)(struct store *s, const char *session, struct store_export *e, int64_t at_ms,
		      bool *created, struct error *err);
	bool (*take)(struct store *s, const char *session, int64_t export, bool *mine,
		     struct error *err);
	bool (*attempt)(struct store *s, const char *session, int64_t export,
			struct store_attempt_made *made, int64_t at_ms, bool *done,
			struct error *err);
	bool (*submitted)(struct store *s, const char *session, int64_t export, uint32_t attempt,
			  const char *arn, int64_t at_ms, bool *done, struct error *err);
	bool (*exported)(struct store *s, const char *session, int64_t export, uint32_t attempt,
			 const struct store_exported *what, int64_t at_ms, bool *done,
			 struct error *err);
	bool (*failed)(struct store *s, const char *session, int64_t export, uint32_t attempt,
		       const char *error, int64_t retry_at_ms, int64_t at_ms, bool *done,
		       struct error *err);
	bool (*finish)(struct store *s, const char *session, int64_t export, int64_t at_ms,
		       bool *done, struct error *err);
	bool (*published)(struct store *s, const char *session, int64_t export, int64_t at_ms,
			  bool *first, struct error *err);
	bool (*abandon)(struct store *s, int64_t export, const char *error, int64_t at_ms,
			bool *done, struct error *err);
	bool (*list)(struct store *s, const struct store_exports_of *of, store_export_fn *fn,
		     void *arg, struct error *err);
	bool (*files_add)(struct store *s, const char *session, int64_t export,
			  const struct store_file *files, size_t count, bool *done,
			  struct error *err);
	bool (*load)(struct store *s, const char *session, int64_t export, int64_t at_ms,
		     bool *done, struct error *err);
	bool (*batch)(struct store *s, const char *session, int64_t export, uint64_t first,
		      uint32_t ranges, bool *done, struct error *err);
	/* *claim: its number; 0: the session held others than those that it knows. */
	bool (*files_claim)(struct store *s, const char *session, int64_t export,
			    const int32_t *sinks, size_t sink_count,
			    const struct store_files_wanted *wanted, int64_t at_ms, int64_t *claim,
			    struct error *err);
	/* What the session has by its claims from this one on: 0, by all. */
	bool (*files_held)(struct store *s, const char *session, int64_t export, int64_t claim,
			   store_file_fn *file, store_position_fn *position, void *arg,
			   struct error *err);
	bool (*file_failed)(struct store *s, const char *session, int64_t lane, const char *error,
			    int64_t retry_at_ms, bool anew, int64_t at_ms, struct error *err);
	bool (*retry)(struct store *s, int64_t export, int64_t lane, int64_t at_ms,
		      uint32_t *retried, struct error *err);
	bool (*files)(struct store *s, int64_t export, store_file_fn *fn, void *arg,
		      struct error *err);
	bool (*attempts)(struct store *s, int64_t export, store_attempt_fn *fn, void *arg,
			 struct error *err);
	bool (*tidy)(struct store *s, int64_t before_ms, uint32_t *removed, struct error *err);
};
extern const struct store_export_ops store_exports_postgres, store_exports_sqlite;

/* The functions of control.h. */
struct store_control_ops {
	bool (*put)(struct store *s, const char *session, const struct store_control *event,
		    bool *added, struct error *err);
	/* *some: the session has some to tell now. */
	bool (*claim)(struct store *s, const char *session, const struct store_control_of *of,
		      size_t count, int64_t at_ms, bool *some, bool *waits, struct error *err);
	bool (*claimed)(struct store *s, const char *session, store_control_fn *fn, void *arg,
			struct error *err);
	bool (*told)(struct store *s, const char *session, int32_t sink, const int64_t *events,
		     size_t count, int64_t at_ms, struct error *err);
	bool (*topic_seen)(struct store *s, const char *session, const struct store_topic *topic,
			   int64_t at_ms, uint32_t *before, struct error *err);
};
extern const struct store_control_ops store_control_postgres, store_control_sqlite;

/* The functions of savepoints.h. */
struct store_savepoint_ops {
	bool (*put)(struct store *s, const char *name, const int64_t *streams, size_t count,
		    const char *who, int64_t at_ms, bool *made, struct error *err);
	bool (*list)(struct store *s, store_savepoint_fn *fn, void *arg, struct error *err);
	bool (*places)(struct store *s, const char *name, int64_t stream, store_place_fn *fn,
		       void *arg, struct error *err);
	bool (*drop)(struct store *s, const char *name, bool *dropped, struct error *err);
};
extern const struct store_savepoint_ops store_savepoints_postgres, store_savepoints_sqlite;

/* The functions of sides.h. */
struct store_side_ops {
	bool (*list)(struct store *s, store_side_fn *fn, void *arg, struct error *err);
	bool (*begin)(struct store *s, struct store_side *d, const struct store_side_start *start,
		      bool *begun, struct error *err);
	bool (*over)(struct store *s, int64_t stream, bool *over, struct error *err);
	bool (*end)(struct store *s, int64_t stream, const char *who, const char *said,
		    int64_t at_ms, struct error *err);
};
extern const struct store_side_ops store_sides_postgres, store_sides_sqlite;

/* The functions of letters.h. */
struct store_letter_ops {
	/* *some: the session has some to send now. */
	bool (*claim)(struct store *s, const char *session, int32_t sink,
		      const char *const *streams, size_t count, int64_t at_ms, bool *some,
		      struct error *err);
	bool (*claimed)(struct store *s, const char *session, int32_t sink, store_outgoing_fn *fn,
			void *arg, struct error *err);
	bool (*sent)(struct store *s, const char *session, const int64_t *letters, size_t count,
		     int64_t at_ms, struct error *err);
	bool (*keep)(struct store *s, const char *session, int64_t letter, struct error *err);
	/* Calls back for the early ones. */
	bool (*retry)(struct store *s, const struct store_retry *retry, store_retried_fn *fn,
		      void *arg, struct error *err);
	/* The letters of the batch that `retry` left open. */
	bool (*retried)(struct store *s, const struct store_retry *retry, store_retried_fn *fn,
			void *arg, struct error *err);
	bool (*gone)(struct store *s, const int64_t *letters, size_t count, struct error *err);
	bool (*again)(struct store *s, int64_t letter, const char *reason, struct str json,
		      struct error *err);
	bool (*split)(struct store *s, int64_t letter, const struct store_part *parts, size_t count,
		      int64_t bytes_max, store_part_fn *fn, void *arg, struct error *err);
	bool (*load)(struct store *s, const struct store_letter *letter, uint64_t generation,
		     int64_t bytes_max, bool *added, struct error *err);
	bool (*audit_put)(struct store *s, const struct store_retry_audit *a, struct error *err);
	bool (*audit)(struct store *s, const char *stream, uint32_t max, store_retry_audit_fn *fn,
		      void *arg, struct error *err);
	bool (*skip_put)(struct store *s, int64_t stream, const struct store_skip *skip,
			 struct error *err);
	bool (*skips)(struct store *s, int64_t stream, store_skip_fn *fn, void *arg,
		      struct error *err);
};
extern const struct store_letter_ops store_letters_postgres, store_letters_sqlite;

extern const struct store_ops store_postgres, store_sqlite;

/* Every error names its store, once. */
static inline bool store_named(const struct store *s, bool ok, struct error *err)
{
	return ok || error_wrap(err, "%s", s->describe);
}

/* The index of a name; -1: it is not there. */
int store_name_find(const char *const *names, size_t count, const char *name);
/* Reads a state's name as the tables hold it. */
enum store_session_state store_state_parse(const char *text);
/* The same for gaps; INVALID: a newer minor's. */
bool store_gap_parse(struct store_gap *out, const char *kind, const char *state, const char *how,
		     struct error *err) MUST_CHECK;
/* The same for holds, and for the audit. */
bool store_hold_parse(const char *name, enum store_hold_why *why, struct error *err) MUST_CHECK;
bool store_audit_parse(struct store_audit *out, const char *what, const char *why,
		       struct error *err) MUST_CHECK;
/* The same for exports. */
bool store_export_parse(struct store_export *out, const char *kind, const char *status,
			struct error *err) MUST_CHECK;
/* The same for control events. */
bool store_control_parse(struct store_control *out, const char *kind, const char *phase,
			 struct error *err) MUST_CHECK;
/* From what a lane and its bookkeeping say. */
enum store_file_status store_file_status_of(bool completed, bool failed, const char *owner);
/* Sequences as the tables hold them: digits, NULL for none. */
bool store_sequence_parse(struct sequence *out, const char *digits, struct error *err) MUST_CHECK;
