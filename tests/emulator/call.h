#pragma once
#include <jansson.h>

#include "tests/emulator/reply.h"
#include "tests/emulator/world.h"

/* One call of the API under the world's lock: its request and where its answer goes. The
 * implementations are in streams.c and listing.c (DynamoDB Streams), tables.c and backups.c
 * (DynamoDB). */
struct call {
	struct world *world;
	json_t *request;
	struct reply *reply;
};
typedef void call_fn(struct call *c);
call_fn call_list_streams, call_describe_stream, call_get_shard_iterator, call_get_records,
	call_describe_table, call_update_table, call_delete_table, call_list_tables,
	call_describe_continuous_backups, call_update_continuous_backups, call_export_table,
	call_describe_export, call_list_exports;

/* A text of min..max bytes; answers ValidationException and gives NULL where it is not that. With
 * `optional` an absent one is "". */
const char *call_text(struct call *c, const char *name, size_t min, size_t max, bool optional);
/* 1..max; `missing` where absent. 0: answered with an error. */
size_t call_limit(struct call *c, size_t max, size_t missing);
void call_invalid(struct call *c, const char *fmt, ...) PRINTF(2, 3);
/* The table that TableName names; NULL: answered with this error. */
struct table *call_table(struct call *c, const char *missing);
/* The stream that the request names; NULL: answered. */
struct stream *call_stream(struct call *c);
void call_key_schema(struct buf *out, const struct table_spec *spec);
void call_seconds(struct buf *out, int64_t ms);
