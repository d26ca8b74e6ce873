#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/rng.h"

/* Faults on order: a list of rules, each for an operation and perhaps a table and a shard, that
 * fire so many times or with a probability out of a seed. The first rule that fires decides a
 * request. Pure; the world's lock guards it. */

enum fault_kind {
	FAULT_NONE,
	FAULT_ERROR,    /* status, code, message */
	FAULT_DELAY,    /* ms, then the true answer */
	FAULT_CUT,      /* the connection, instead of an answer */
	FAULT_CUT_BODY, /* the connection, after `bytes` of the body (0: half of it) */
	FAULT_HANG,     /* no answer, connection open */
	FAULT_DRIP,     /* `bytes` each `ms` */
	FAULT_WRONG_CRC,
	FAULT_MALFORMED, /* half the JSON with a good CRC */
	FAULT_GARBAGE,   /* 200, HTML */
	FAULT_DUPLICATE, /* GetRecords: the page's records twice */
	FAULT_OVERSIZED, /* blanks before the last brace, up to `bytes` (32 MiB) */
	FAULT_EMPTY,     /* GetRecords: no record, same position; DescribeStream: no shard */
	FAULT_SKEW,      /* the Date header is off by `seconds` */
	FAULT_HIDE,      /* DescribeStream: `shard` is not listed */
	FAULT_OPEN,      /* DescribeStream: `shard` looks open */
	FAULT_STALE,     /* DescribeStream: the listing of `seconds` ago */
	FAULT_PARENT,    /* DescribeStream: `parent` is named as the parent of `shard` */
	/* Of an export that is written. In a file: in the first that has items. */
	FAULT_EXPORT_FAILS,  /* code, message */
	FAULT_FILE_CORRUPT,  /* a bit is another than the manifest's MD5 says */
	FAULT_FILE_MISSING,  /* the manifest has it, the bucket has not */
	FAULT_LINE_BAD,      /* its first line is cut short */
	FAULT_COUNT_WRONG,   /* the manifest has one item too many */
	FAULT_MD5_WRONG,     /* manifest-files.md5 is another file's */
	FAULT_MANIFEST_LATE, /* manifest-summary.json is there `ms` after COMPLETED */
};

struct fault {
	uint64_t id;
	enum fault_kind kind;
	char operation[40];         /* "*": any */
	char table[256], shard[66]; /* "": any; of a listing's lies: the shard that is lied about */
	char parent[66];
	int64_t count;  /* times left; -1: for ever */
	uint64_t after; /* matching requests let through first */
	double probability;
	int status;
	char code[80], message[400];
	int64_t ms, bytes, seconds;
	uint64_t fired;
	bool active; /* a lie: told in the listing that is being made */
};

/* The operation under which faults of exports are matched; others never are. */
#define FAULT_EXPORT "export"

struct fault_list {
	struct fault *rules;
	size_t count;
	uint64_t next_id;
	struct rng rng;
};

void fault_list_init(struct fault_list *l, uint64_t seed);
void fault_list_release(struct fault_list *l);
/* Reads a rule (README.md) and gives its id. */
bool fault_list_add(struct fault_list *l, const json_t *rule, uint64_t *id,
		    struct error *err) MUST_CHECK;
void fault_list_clear(struct fault_list *l, uint64_t id); /* 0: all */
json_t *fault_list_json(const struct fault_list *l);
/* The rule that fires for this request; kind FAULT_NONE where none does. */
void fault_match(struct fault_list *l, const char *operation, const char *table, const char *shard,
		 struct fault *out);
/* Once a listing: which lies are told in it; then per shard. */
void fault_listing(struct fault_list *l, const char *table);
/* The first lie of this kind about the shard; NULL: none. */
const struct fault *fault_listed(const struct fault_list *l, enum fault_kind kind,
				 const char *shard);
int64_t fault_listing_age_ms(const struct fault_list *l);
