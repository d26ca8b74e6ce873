#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "aws/streams.h"
#include "base/error.h"
#include "base/metrics.h"
#include "base/sequence.h"
#include "checkpoint/letters.h"
#include "checkpoint/store.h"
#include "config/config.h"
#include "consumer/core.h"
#include "consumer/handover.h"
#include "consumer/ratio.h"
#include "consumer/stall.h"
#include "event/decode.h"
#include "sinks/sink.h"

_Static_assert(CONFIG_SINKS_MAX <= CORE_SINKS_MAX, "what may be configured fits in");

/* What keeps its order and has a position: a shard, or a data file of an export. Made by the
 * worker, then used by the one reader that it belongs to until both have stopped; the core knows it
 * by its index.
 *
 * A shard's position is the sequence number of a record. All rows of an export have the same one: a
 * file's position is a place in it, the offset behind a row's line in the inflated text, as the
 * sequence of these digits; its beginning is none. A range of a batch of windows is as a file, of
 * merged rows; its position is the number of rows before it. */

/* New attributes of a stream that are told of; there may be no end of them. */
#define LANE_NEWS_MAX 256

/* One sink of a stream, as lanes see it: constant while a session runs. */
struct lane_sink {
	uint32_t index; /* of the session's sinks, and of the core's */
	const struct sink_ops *ops;
	struct sink *sink;
	const char *name;
	struct stall_load *load;
	struct metric_cell *filtered; /* NULL: no filter or script between stream and sink */
	int64_t start_ms;             /* older events are not for it; 0: all are */
	/* AWS time at which it was added to a stream that was read already, to begin before the
	 * others; 0: it was not. */
	int64_t added_ms;
};

struct merging;
struct merging_window;
/* Windows that are loaded as one, as their ranges see them: constant while a session runs. */
struct lane_batch {
	const struct merging_window *windows; /* oldest first */
	size_t count;
	const char *table_arn;
	size_t memory_bytes; /* for a range that is merged */
};

/* A stream, or what an export's data files have in common, as lanes see it: constant while a
 * session runs, but for the last four. */
struct lane_stream {
	uint32_t index;
	int64_t store_id;
	struct source source;
	enum config_gap gap;
	enum config_on_error on_error;
	int64_t start_ms; /* the oldest of its sinks' */
	int64_t until_ms; /* a shard ends before the first event that is younger; 0: none is */
	bool files;       /* its lanes are data files, and this is what their rows are */
	struct rows rows;
	const char *bucket_owner;       /* of their bucket; NULL: not checked */
	const struct lane_batch *batch; /* its lanes are ranges of this one; NULL: files */
	struct encoding encodings[BATCH_ENCODINGS_MAX];
	size_t encoding_count;
	const struct filter *filter;   /* NULL: all records are wanted */
	const struct schemas *schemas; /* NULL: there are none */
	bool unfit;                    /* a record without a schema is bad */
	/* Hashes of attributes that were new to its schemas, 0: a free place. Any thread. */
	_Atomic uint64_t news[LANE_NEWS_MAX];
	struct decode_output outputs[CORE_SINKS_MAX]; /* as `sinks` */
	struct lane_sink sinks[CORE_SINKS_MAX];
	uint32_t sink_count;
	struct metric_cell *records[4]; /* by enum event_op */
	struct metric_cell *bytes;
	struct metric_cell *file_rows, *file_bytes; /* of files */
	struct metric_cell *gaps;                   /* of shards, as all that follow */
	struct metric_cell *polls_records, *polls_empty;
	struct metric_cell *polls_failed[ERROR_KINDS]; /* by kind; [ERROR_NONE]: NULL */
	const struct store_skip *skips;                /* of shards (skip.h) */
	size_t skip_count;
	struct metric_cell *letters_over;
	struct ratio ratio;
	_Atomic unsigned lanes; /* that are not freed */
	_Atomic bool well;      /* the health says that its shards can be read */
	_Atomic unsigned ill;   /* shards that can not */
};

/* A record that was decoded, but is not for a sink as it is: a letter from this sink. */
struct lane_fault {
	size_t record;
	uint32_t slot;
	enum batch_why why;
	const char *error;
};
/* "transform", "schema", "route": what letters and metrics call it. */
const char *lane_why(enum batch_why why);

/* A page between decoding and the last sink's answer. */
struct lane_page {
	struct batch *batch;
	const struct str *payloads[CORE_SINKS_MAX]; /* by slot */
	size_t count;       /* records that are handed over: fewer where the lane stops inside */
	unsigned attempts;  /* how often it was fetched until it could be used */
	size_t next_letter; /* bad records before it are in the dead letters; count: all are */
	const struct lane_fault *faults; /* of its records, in their order */
	size_t fault_count;
	size_t next_fault; /* those before it are in the dead letters */
	bool halted;       /* too many go there: every sink stands before it */
};

/* One delivery on its way, and the answer to it. */
struct lane_delivery {
	struct delivery delivery;
	struct lane *lane;
	uint32_t slot;
	/* Written by the sink's answer before it is queued for the reader. */
	enum sink_answer_kind kind;
	size_t first;
	uint64_t roll;
	char *error; /* NULL or text, freed by the reader */
};

/* A lane's place in one sink. */
struct lane_slot {
	struct sequence have; /* what the sink has from an earlier session; none: passed */
	struct handover handover;
	struct lane_delivery sent;
};

/* What a data file has besides, or a range. */
struct file;
struct lane_file {
	char *bucket, *key;
	uint32_t part, parts; /* a range: this one of so many; parts 0: it is a file */
	char *md5;            /* base64; NULL: not known */
	uint64_t items;       /* rows that are in it, by the manifest */
	bool suspect; /* it failed before: all of it is looked at before a row is delivered */
	/* Read so far, from its beginning; bytes: inflated. Any thread. */
	_Atomic uint64_t rows, bytes;
	/* The reader's word before it tells the core that the lane leaves; then the worker's. */
	bool failed;
	bool stopped; /* on_error: stop; to try again helps only once something was changed */
	bool damaged; /* its bytes are not the manifest's: what was delivered is not to be believed
		       */
	char failure[sizeof(((struct error *)0)->message)];

	/* The reader's own from here on. */
	struct reader *reader;
	struct lane *lane;
	/* One of them while it is open, else NULL. */
	struct file *file;
	struct merging *merging;
	struct buf lines; /* the block that is asked for */
	bool asked;       /* for one */
	bool verifying;
	uint64_t counted;       /* rows behind where it was opened */
	struct lane_file *next; /* of those that are open */
};

struct lane_gap {
	struct store_gap row;
	char reason[sizeof(((struct error *)0)->message)];
};

/* There may be ten thousand: it has slots for the sinks of its stream alone. */
struct lane {
	uint32_t index; /* of the core */
	unsigned reader;
	int64_t store_id;
	struct lane_stream *stream;
	char shard[STREAMS_SHARD_MAX + 1];
	struct sequence starting; /* StartingSequenceNumber; none: unknown */
	bool root;                /* read from the stream's start, not from `starting` */
	/* The worker's: AWS does not know it, and no page was read since; AWS time of the first
	 * complete listing after that it is not in, 0: none yet. */
	bool missing;
	int64_t absent_ms;
	int64_t read_before_ms; /* AWS time it was last read, by an earlier session; 0: not */
	struct lane_file *file; /* NULL: it is a shard */

	/* The gap that it stands at: written by the reader before it tells the core of it, the
	 * worker's until reader_go_on. NULL: it never stood at one. */
	struct lane_gap *gap;
	struct lane *next; /* of those that left the core and are not yet given to their readers */

	/* The reader's own from here on. */
	char *iterator;       /* NULL: to be asked for */
	struct sequence read; /* last record read, or place behind the last row; none: not yet */
	int64_t read_ms;      /* its time, epoch ms; 0: none */
	int64_t read_at_ms;   /* AWS time of its last page, of whatever session; 0: never */
	/* AWS time from which on all of it has to be read, as long as nothing of it was; 0: what is
	 * left. */
	int64_t begin_ms;
	bool ill; /* counted in the stream's `ill` */
	/* What is missing at this place is accepted: reading goes on behind it, at the oldest
	 * record that is left. Until a page was read. */
	bool gap_accepted, from_horizon;
	/* Only sinks that were added need it: should it be gone before they came, that is no gap.
	 */
	bool may_be_gone;
	int64_t gap_id; /* of the store, to be closed with the first record behind it; 0: none */
	/* No complete listing has it, or the whole stream is gone; until a page was read. */
	bool unlisted, stream_gone;
	int limit;          /* records a call */
	unsigned bad_pages; /* in a row, of the same place */
	uint32_t waiting;   /* slots, as bits, that count in their sinks' loads */
	struct lane_page pages[CORE_PAGES];
	uint64_t pages_read, pages_released;
	struct lane_slot slots[];
};

struct lane *lane_new(struct lane_stream *stream, const char *shard);
/* A data file; `location` is s3://BUCKET/KEY, md5 "" where it is not known. NULL where the location
 * is none. Of a stream that has a batch a range: NULL where the name is none of a range. */
struct lane *lane_new_file(struct lane_stream *stream, const char *name, const char *location,
			   const char *md5, uint64_t items);
void lane_free(struct lane *l);
DEFINE_AUTO(lane)
/* Where every sink is, by slot; the lane reads from the one that is furthest behind. */
void lane_set_positions(struct lane *l, const struct frontier_move *at);

/* Sinks that were added to the stream begin in the lane before its first record: what is lost of it
 * by then is no gap for them, where the others lack nothing of it. Beside a sink whose place is
 * older than what the stream keeps they begin there. After lane_set_positions, with read_at_ms as
 * the store has it. */
void lane_begin_added(struct lane *l, const struct frontier_move *at, int64_t now_ms);

/* Puts a decoded page behind the others: says for each sink which records are for it (not those it
 * has already, not those older than the stream's start, not those that a filter keeps from it), and
 * cuts the page where a bad record stops the lane. The batch is the lane's then. NULL: the lane
 * stops before the page's first record, the batch is still the caller's. */
struct lane_page *lane_add_page(struct lane *l, struct batch *b);
/* The page has records that are younger than the stream's end: they, and what is behind the first
 * of them, are cut off, and the lane ends with the rest. */
bool lane_ends_in(const struct lane *l, struct batch *b);
/* Why a lane stops before a record of the batch (on_error: stop); *fault NULL: it could not be
 * decoded. */
const char *lane_stopped_by(const struct batch *b, size_t record, const struct batch_fault **fault);
/* Whether this attribute is told of for the first time; *last: no further one will be. */
bool lane_is_news(struct lane_stream *s, uint64_t hash, bool *last);
struct lane_page *lane_page_at(struct lane *l, uint64_t number);
/* The position behind record i of a page; none: a bad record of which it could not be read. */
struct sequence lane_position(const struct lane *l, const struct batch *b, size_t i);
/* Where the row begins in its file; of a range how many rows are before it. */
uint64_t lane_row_place(const struct batch *b, const struct event *e);
/* A place in a file as a position, and back. */
struct sequence lane_at_place(uint64_t place);
uint64_t lane_place(const struct sequence *position);
/* Frees pages that every sink has. */
void lane_release_pages(struct lane *l);
/* Records of the page from `first` on that have a payload for this slot. */
size_t lane_page_left(const struct lane_page *p, uint32_t slot, size_t first);
