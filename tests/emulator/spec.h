#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "tests/bench/page.h"

/* What a table is made of: given on the command line ("NAME:shards=4:records=1000"), in a JSON file
 * or over the control port, always by the same words (README.md lists them). A value. */

#define SPEC_NAME_MAX   255
#define SPEC_SHARDS_MAX 20000

/* How a service answers a DescribeStream with a ShardFilter. */
enum spec_filter {
	SPEC_FILTER_REFUSED, /* ValidationException */
	SPEC_FILTER_KNOWN,
	SPEC_FILTER_IGNORED, /* the whole listing, as from one that reads over unknown members */
};

enum view { VIEW_KEYS_ONLY, VIEW_NEW_IMAGE, VIEW_OLD_IMAGE, VIEW_NEW_AND_OLD_IMAGES };

struct key_attribute {
	char name[SPEC_NAME_MAX + 1]; /* "" where the table has no range key */
	char type;                    /* 'S', 'N' or 'B' */
};

struct table_spec {
	char name[SPEC_NAME_MAX + 1];
	struct key_attribute hash, range;
	bool stream; /* enabled from the start */
	enum view view;
	uint64_t seed;
	uint64_t shards;       /* roots */
	uint64_t depth;        /* generations below the roots that exist from the start */
	uint64_t fanout;       /* children of each of them: 1 rotates, 2 splits */
	uint64_t hours;        /* between two generations, in the past; 0: all made now */
	uint64_t records;      /* of each shard */
	uint64_t keys;         /* of each root shard; even */
	uint64_t bytes;        /* of one record's JSON with both images */
	uint64_t rate;         /* records a second of the whole table; 0: all there at once */
	enum page_shape shape; /* of the firehose's records */
	uint64_t page; /* firehose: bytes of the page that is served over and over; 0: none */
	uint64_t enabling_ms;
	uint64_t rotate_ms,
		split_ms;      /* after about so long a shard has a child, or two; 0: never */
	uint64_t stale_ms;     /* a listing shows each change up to so much later */
	uint64_t child_filter; /* CHILD_SHARDS: SPEC_FILTER_… */
	uint64_t describes;    /* DescribeStream calls a second; more are throttled. 0: no limit */
	uint64_t shard_calls;  /* GetRecords calls a second of one shard */
	uint64_t empty_every;  /* every n-th GetRecords of a shard answers an empty page */
	uint64_t readers;      /* LimitExceededException above so many at once on one shard */
	bool closed;           /* the last generation, too */
	bool milliseconds;     /* records' times have them */
	bool pitr;             /* point-in-time recovery is on, and was for ever */
	uint64_t backups_ms;   /* before that, a new table refuses to turn it on */
	uint64_t export_ms;    /* how long an export takes, in emulated time */
	uint64_t fuzz_ms;      /* an export's cut is off by up to so much, for each key its own */
	uint64_t partitions;   /* data files of an export */
};

bool spec_parse(struct table_spec *out, const char *text, struct error *err) MUST_CHECK;
bool spec_parse_json(struct table_spec *out, const json_t *object, struct error *err) MUST_CHECK;
const char *view_name(enum view view);
bool view_parse(const char *text, enum view *out);
