/* Wrong configurations, each with the line and the words that a person gets to see. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "types.h"

/* Lines 1 to 6; what is tested begins in line 7. */
#define GOOD                                                                                       \
	"streams:\n"                                                                               \
	"  - table: orders\n"                                                                      \
	"    sinks: [lake]\n"                                                                      \
	"sinks:\n"                                                                                 \
	"  lake:\n"                                                                                \
	"    { type: folder, path: out }\n"
/* Lines 1 and 2. */
#define LAKE "sinks:\n  lake: { type: folder, path: out }\n"
/* Line 1. */
#define ORDERS "streams: [ { table: orders, sinks: [lake] } ]\n"
/* Lines 3 to 5, behind LAKE. */
#define STREAM "streams:\n  - table: orders\n    sinks: [lake]\n"

/* Line 7 without its end. */
#define ROLE GOOD "aws: { role_arn: \"arn:aws:iam::123456789012:role/reader\", "
/* Lines 7 and 8, behind GOOD. */
#define EXPORT(setting) "exports:\n  - { table: orders, bucket: abc, sinks: [lake], " setting " }\n"

static const struct {
	const char *text, *message;
} wrong[] = {
	/* The whole. */
	{ "- a\n", "f:1: expected a map of settings" },
	{ "text\n", "f:1: expected a map of settings" },
	{ "", "f:1: streams: is required: a list of tables to read" },
	{ LAKE, "f:1: streams: is required: a list of tables to read" },
	{ LAKE "streams:\n", "f:3: streams: is required: a list of tables to read" },
	{ LAKE "streams: []\n", "f:3: streams: expected 1 to 1000 streams, not 0" },
	{ LAKE "streams: {}\n", "f:3: streams: expected a list of streams" },
	{ GOOD "export: []\n", "f:7: export: no such setting; did you mean 'exports'?" },
	{ GOOD "\nworkers: {}\n", "f:8: workers: no such setting; did you mean 'worker'?" },
	{ GOOD "stream: []\n", "f:7: stream: no such setting; did you mean 'streams'?" },
	{ GOOD "streams: []\n", "f:7: streams: given twice, first in line 1" },
	{ GOOD "worker: [1\n", "f:8: not valid YAML: did not find expected ',' or ']'" },
	{ GOOD "log: *x\n", "f:7: aliases are not supported" },
	/* Sections. */
	{ GOOD "worker: 5\n", "f:7: worker: expected a map of settings" },
	{ GOOD "worker: []\n", "f:7: worker: expected a map of settings" },
	{ GOOD "worker:\n  thread: 2\n",
	  "f:8: worker.thread: no such setting; did you mean 'threads'?" },
	{ GOOD "worker: { threads: 0 }\n",
	  "f:7: worker.threads: expected a number from 1 to 256, not '0'" },
	{ GOOD "worker: { threads: two }\n",
	  "f:7: worker.threads: expected a number from 1 to 256, not 'two'" },
	{ GOOD "worker: { threads: [2] }\n",
	  "f:7: worker.threads: expected one value, not a list" },
	{ GOOD "worker: { threads: {a: 2} }\n",
	  "f:7: worker.threads: expected one value, not a map" },
	{ GOOD "worker:\n  memory: 1MiB\n",
	  "f:8: worker.memory: expected a size of 16MiB to 1TiB, not '1MiB'" },
	{ GOOD "worker:\n  memory: 256MB\n",
	  "f:8: worker.memory: expected a size such as 64KiB, 256MiB, 1GiB, not '256MB'" },
	{ GOOD "worker: { max_shards: 1000001 }\n",
	  "f:7: worker.max_shards: expected a number from 1 to 1000000, not '1000001'" },
	{ GOOD "worker: { shutdown: 20 }\n",
	  "f:7: worker.shutdown: expected a duration such as 500ms, 2s, 5m, 24h, not '20'" },
	{ GOOD "worker: { name: \"\" }\n", "f:7: worker.name: expected 1 to 255 bytes" },
	{ GOOD "worker:\n  threads: 1\n\n  threads: 2\n",
	  "f:10: worker.threads: given twice, first in line 8" },
	{ GOOD "worker: { name: \"${T_UNSET}\" }\n",
	  "f:7: worker.name: the environment variable T_UNSET is not set; set it or write a "
	  "default: ${T_UNSET:-…}" },
	{ GOOD "checkpoint: { store: \"mysql://me:secret@db/x\" }\n",
	  "f:7: checkpoint.store: expected postgres://USER@HOST/DATABASE or sqlite:PATH" },
	{ GOOD "checkpoint: { store: \"sqlite:\" }\n",
	  "f:7: checkpoint.store: expected postgres://USER@HOST/DATABASE or sqlite:PATH" },
	{ GOOD "checkpoint: { lease: 500ms }\n",
	  "f:7: checkpoint.lease: expected a duration of 1s to 10m, not '500ms'" },
	{ GOOD "checkpoint: { lease: 11m }\n",
	  "f:7: checkpoint.lease: expected a duration of 1s to 10m, not '11m'" },
	{ GOOD "checkpoint:\n  lease: 2s\n  interval: 2s\n",
	  "f:9: checkpoint.interval: expected less than the lease (2000ms), not 2000ms" },
	{ GOOD "checkpoint: { exactly: once }\n", "f:7: checkpoint.exactly: no such setting" },
	{ GOOD "aws:\n  role: arn:aws:iam::1:role/r\n", "f:8: aws.role: no such setting" },
	{ GOOD "aws: { role_arn: reader }\n",
	  "f:7: aws.role_arn: expected a role such as arn:aws:iam::123456789012:role/reader, not "
	  "'reader'" },
	{ GOOD "aws: { role_arn: \"arn:aws:iam::123456789012:user/reader\" }\n",
	  "f:7: aws.role_arn: expected a role such as arn:aws:iam::123456789012:role/reader, not "
	  "'arn:aws:iam::123456789012:user/reader'" },
	{ GOOD "aws: { external_id: x1 }\n", "f:7: aws.role_arn: is required for external_id" },
	{ GOOD "aws: { role_duration: 1h }\n", "f:7: aws.role_arn: is required for role_duration" },
	{ ROLE "external_id: x }\n",
	  "f:7: aws.external_id: expected 2 to 1224 of a-z A-Z 0-9 _ + = , . @ : / -" },
	{ ROLE "role_session_name: a/b }\n",
	  "f:7: aws.role_session_name: expected 2 to 64 of a-z A-Z 0-9 _ + = , . @ -, not 'a/b'" },
	{ ROLE "role_duration: 5m }\n",
	  "f:7: aws.role_duration: expected a duration of 15m to 12h, not '5m'" },
	{ GOOD "aws:\n  endpoint: http://127.0.0.1:8000\n",
	  "f:8: aws.endpoint: expected a map of settings" },
	{ GOOD "aws:\n  endpoint:\n    dynamo: http://x\n",
	  "f:9: aws.endpoint.dynamo: no such setting; did you mean 'dynamodb'?" },
	{ GOOD "aws:\n  endpoint.s3: http://x\n",
	  "f:8: aws.endpoint.s3: no such setting; did you mean 'endpoint'?" },
	{ GOOD "aws:\n  endpoint:\n    streams: 127.0.0.1:8000\n",
	  "f:9: aws.endpoint.streams: expected a URL such as http://127.0.0.1:8000" },
	{ GOOD "aws: { endpoint: { s3: \"https://\" } }\n",
	  "f:7: aws.endpoint.s3: expected a URL such as http://127.0.0.1:8000" },
	{ GOOD "aws: { read_price: 2 cents }\n",
	  "f:7: aws.read_price: expected a number from 0 to 1000, not '2 cents'" },
	{ GOOD "aws: { region: eu west }\n",
	  "f:7: aws.region: expected a region such as eu-west-1, not 'eu west'" },
	{ GOOD "dead_letter: { max_bytes: 0 }\n",
	  "f:7: dead_letter.max_bytes: expected a size of 1MiB to 1TiB, not '0'" },
	{ GOOD "dead_letter: { sink: lak }\n",
	  "f:7: dead_letter.sink: there is no sink 'lak'; did you mean 'lake'?" },
	{ GOOD "dead_letter: { sink: lake }\n",
	  "f:7: dead_letter.sink: the stream of line 2 delivers to lake, too: dead letters need a "
	  "sink of their own" },
	{ LAKE "exports:\n  - { table: orders, bucket: abc, sinks: [lake] }\n"
	       "dead_letter:\n  sink: lake\n",
	  "f:6: dead_letter.sink: the exports of line 4 go to lake, too: dead letters need a sink "
	  "of "
	  "their own" },
	{ GOOD "  post: { type: folder, path: changes }\n"
	       "dead_letter: { sink: post }\n",
	  "f:7: sinks.post.path: not for letters" },
	{ GOOD "http: { listen: 8080 }\n",
	  "f:7: http.listen: expected HOST:PORT such as 127.0.0.1:8080, or \"\" for none, not "
	  "'8080'" },
	{ GOOD "http: { listen: \"h:65536\" }\n",
	  "f:7: http.listen: expected HOST:PORT such as 127.0.0.1:8080, or \"\" for none, not "
	  "'h:65536'" },
	{ GOOD "http: { listen: \":80\" }\n",
	  "f:7: http.listen: expected HOST:PORT such as 127.0.0.1:8080, or \"\" for none, not "
	  "':80'" },
	{ GOOD "http: { shard_metrics: many }\n",
	  "f:7: http.shard_metrics: expected true or false, not 'many'" },
	{ GOOD "log: { level: loud }\n",
	  "f:7: log.level: expected debug, info, warn or error, not 'loud'" },
	{ GOOD "log: { format: xml }\n", "f:7: log.format: expected text or json, not 'xml'" },
	/* Streams. */
	{ LAKE "streams: [orders]\n",
	  "f:3: streams[0]: expected a map with a table and its sinks" },
	{ LAKE "streams:\n  - sinks: [lake]\n",
	  "f:4: streams[0].table: is required: The table's name or ARN, its stream's ARN, or a "
	  "pattern of tables' names: orders-*, with * for any text and ? for one letter." },
	{ LAKE "streams:\n  - table:\n    sinks: [lake]\n",
	  "f:4: streams[0].table: is required: The table's name or ARN, its stream's ARN, or a "
	  "pattern of tables' names: orders-*, with * for any text and ? for one letter." },
	{ LAKE "streams:\n  - table: arn:aws:s3:::bucket\n    sinks: [lake]\n",
	  "f:4: streams[0].table: expected a table's name, a pattern of names, its ARN or its "
	  "stream's ARN, not 'arn:aws:s3:::bucket'" },
	{ LAKE STREAM "    name: my orders\n",
	  "f:6: streams[0].name: expected 1 to 128 of a-z A-Z 0-9 _ . -, not 'my orders'" },
	{ LAKE STREAM "    start: yesterday\n",
	  "f:6: streams[0].start: expected latest, oldest, baseline, a time such as "
	  "2026-11-21T10:00:00Z or a duration back such as -2h, not 'yesterday'" },
	{ LAKE STREAM "    start: baseline\n",
	  "f:4: streams[0].baseline.bucket: is required for start: baseline" },
	{ LAKE STREAM "    gap: repair\n",
	  "f:4: streams[0].baseline.bucket: is required for gap: repair" },
	{ LAKE STREAM "    gap: heal\n",
	  "f:6: streams[0].gap: expected stop, oldest or repair, not 'heal'" },
	{ LAKE STREAM "    baseline: { bucket_owner: \"123456789012\" }\n",
	  "f:6: streams[0].baseline.bucket: is required" },
	{ LAKE STREAM "    baseline: { buckt: b }\n",
	  "f:6: streams[0].baseline.buckt: no such setting; did you mean 'bucket'?" },
	{ LAKE STREAM "    baseline: { bucket: My_Exports }\n",
	  "f:6: streams[0].baseline.bucket: expected a bucket's name: 3 to 63 of a-z 0-9 . -, not "
	  "'My_Exports'" },
	{ LAKE STREAM "    baseline:\n      bucket: my-exports\n      bucket_owner: \"12345\"\n",
	  "f:8: streams[0].baseline.bucket_owner: expected the 12 digits of an account, not "
	  "'12345'" },
	{ LAKE STREAM "    baseline: { bucket: abc, prefix: /a }\n",
	  "f:6: streams[0].baseline.prefix: expected 1 to 512 bytes such as sluice/exports, "
	  "without / at its ends, not '/a'" },
	{ LAKE STREAM "    baseline: { bucket: abc, poll: 1s }\n",
	  "f:6: streams[0].baseline.poll: expected a duration of 5s to 10m, not '1s'" },
	{ LAKE STREAM "    on_error: ignore\n",
	  "f:6: streams[0].on_error: expected dead_letter, stop or drop, not 'ignore'" },
	{ LAKE STREAM "    enable_stream: ALL\n",
	  "f:6: streams[0].enable_stream: expected NEW_AND_OLD_IMAGES, NEW_IMAGE, OLD_IMAGE or "
	  "KEYS_ONLY, not 'ALL'" },
	{ LAKE STREAM "    poll:\n      min: soon\n",
	  "f:7: streams[0].poll.min: expected a duration such as 500ms, 2s, 5m, 24h, not 'soon'" },
	{ LAKE STREAM "    poll: { max: 50ms,\n      min: 60ms }\n",
	  "f:7: streams[0].poll.min: expected at most poll.max (50ms), not 60ms" },
	{ LAKE STREAM "    poll: { mix: 1s }\n",
	  "f:6: streams[0].poll.mix: no such setting; did you mean 'min'?" },
	/* Transforms, as patterns. */
	{ LAKE STREAM "    transform: { drop: [a] }\n",
	  "f:6: streams[0].transform: expected a list of transforms, such as [{ drop: [password] "
	  "}]" },
	{ LAKE STREAM "    transform:\n      - drop: [a]\n      - keep:\n          - wrong\n",
	  "f:9: streams[0].transform[1]: eventName: that is wrong" },
	{ LAKE STREAM "    transform: [wrong]\n",
	  "f:6: streams[0].transform[0]: eventName: that is wrong" },
	{ LAKE STREAM "    transform:\n      - hash: { key: \"${T_UNSET}\" }\n",
	  "f:7: streams[0].transform[0].hash.key: the environment variable T_UNSET is not set; set "
	  "it or write a default: ${T_UNSET:-…}" },
	{ LAKE "streams:\n  - table: orders\n    sinks:\n      - name: lake\n"
	       "        transform: [{ a: wrong }]\n",
	  "f:7: streams[0].sinks[0].transform[0]: eventName: that is wrong" },
	/* Schemas: of each the ones before it are told. */
	{ LAKE STREAM "    schemas: { name: a }\n", "f:6: streams[0].schemas: expected a list of "
						    "schemas, such as [{ name: order, columns: [{ "
						    "path: total, type: number }] }]" },
	{ LAKE STREAM "    schemas:\n      - name: a\n      - name: b\n        columns:\n"
		      "          - path: wrong\n",
	  "f:10: streams[0].schemas[1]: eventName: that is wrong" },
	{ LAKE STREAM "    schemaless: drop\n",
	  "f:6: streams[0].schemaless: expected pass or dead_letter, not 'drop'" },
	{ LAKE STREAM "    schemaless: dead_letter\n",
	  "f:6: streams[0].schemaless: says what becomes of what fits none of `schemas`, which are "
	  "not there; give some, such as [{ name: order, columns: [{ path: total, type: number }] "
	  "}]" },
	/* Patterns: the line is the one of the key that the message is about. */
	{ LAKE STREAM "    filter: { eventName: [INSERT] }\n",
	  "f:6: streams[0].filter: expected a list of patterns, such as [{ eventName: [INSERT] "
	  "}]" },
	{ LAKE STREAM "    filter: [[]]\n", "f:6: streams[0].filter[0]: expected a pattern: a map "
					    "such as { eventName: [INSERT] }, or "
					    "its JSON as a text" },
	{ LAKE STREAM "    filter:\n      -\n", "f:7: streams[0].filter[0]: expected a pattern: a "
						"map such as { eventName: [INSERT] }, or "
						"its JSON as a text" },
	{ LAKE STREAM
	  "    filter:\n      - a: [1]\n      - b: [1]\n        wrong:\n          [2]\n",
	  "f:9: streams[0].filter[1]: eventName: that is wrong" },
	{ LAKE STREAM "    filter:\n      - a:\n          - 1\n          - wrong\n        b: [2]\n",
	  "f:9: streams[0].filter[0]: eventName: that is wrong" },
	{ LAKE STREAM "    filter:\n      - '{ \"a\": [\"wrong\"] }'\n",
	  "f:7: streams[0].filter[0]: eventName: that is wrong" },
	{ LAKE STREAM "    filter:\n      - |\n        { \"a\":\n          [\"wrong\"] }\n",
	  "f:9: streams[0].filter[0]: eventName: that is wrong" },
	{ LAKE STREAM "    filter: [ { a: [\"${T_UNSET}\"] } ]\n",
	  "f:6: streams[0].filter[0].a[0]: the environment variable T_UNSET is not set; set it or "
	  "write a default: ${T_UNSET:-…}" },
	{ LAKE "streams:\n  - table: orders\n    sinks:\n      - name: lake\n"
	       "        filter: [wrong]\n",
	  "f:7: streams[0].sinks[0].filter[0]: eventName: that is wrong" },
	{ LAKE STREAM "    sink: [lake]\n",
	  "f:6: streams[0].sink: no such setting; did you mean 'sinks'?" },
	{ LAKE STREAM "  - table: orders\n    sinks: [lake]\n",
	  "f:6: streams[1].table: the stream of line 4 reads 'orders', too: a stream is read once, "
	  "and may have several sinks" },
	{ LAKE "streams:\n  - table: orders-*\n    sinks: [lake]\n    name: all\n",
	  "f:6: streams[0].name: expected ${table} in it, as the table is a pattern, or no name" },
	{ LAKE "streams:\n  - table: orders-*\n    sinks: [lake]\n    name: a ${table}\n",
	  "f:6: streams[0].name: expected a-z A-Z 0-9 _ . - and ${table}, not 'a ${table}'" },
	{ LAKE STREAM "    name: ${table}\n",
	  "f:6: streams[0].name: expected 1 to 128 of a-z A-Z 0-9 _ . -, not '${table}'" },
	{ LAKE "streams:\n  - table: orders *\n    sinks: [lake]\n",
	  "f:4: streams[0].table: expected a table's name, a pattern of names, its ARN or its "
	  "stream's ARN, not 'orders *'" },
	{ LAKE "streams:\n  - table: a*\n    sinks: [lake]\n  - table: a*\n    sinks: [lake]\n",
	  "f:6: streams[1].table: the stream of line 4 reads 'a*', too: a stream is read once, and "
	  "may have several sinks" },
	{ LAKE STREAM "  - table: other\n    sinks: [lake]\n    name: orders\n",
	  "f:8: streams[1].name: the stream of line 4 is called 'orders', too; give one of them "
	  "another name" },
	/* Exports. */
	{ GOOD "exports: {}\n", "f:7: exports: expected a list of exports" },
	{ GOOD "exports: [orders]\n", "f:7: exports[0]: expected a map with a table and a bucket" },
	{ GOOD EXPORT("incremental: 14m"),
	  "f:8: exports[0].incremental: expected a duration of 15m to 24h, not '14m'" },
	{ GOOD EXPORT("incremental: 25h"),
	  "f:8: exports[0].incremental: expected a duration of 15m to 24h, not '25h'" },
	{ GOOD EXPORT("incremental: 901s"),
	  "f:8: exports[0].incremental: expected whole minutes, not 901000ms" },
	{ GOOD EXPORT("incrementl: 1h"),
	  "f:8: exports[0].incrementl: no such setting; did you mean 'incremental'?" },
	{ GOOD EXPORT("view: OLD_IMAGE"),
	  "f:8: exports[0].view: expected NEW_AND_OLD_IMAGES or NEW_IMAGE, not 'OLD_IMAGE'" },
	{ GOOD EXPORT("load_every: 4"),
	  "f:8: exports[0].load_every: has no meaning without incremental and load" },
	{ GOOD EXPORT("incremental: 1h, load: false, load_every: 4"),
	  "f:8: exports[0].load_every: has no meaning without incremental and load" },
	{ GOOD EXPORT("incremental: 1h, load_every: 0"),
	  "f:8: exports[0].load_every: expected a number from 1 to 100, not '0'" },
	{ GOOD EXPORT("incremental: 1h, load_every: 101"),
	  "f:8: exports[0].load_every: expected a number from 1 to 100, not '101'" },
	{ GOOD
	  "exports:\n  - table: orders\n    bucket: abc\n    full: 0 4 * * SUN\n    load: false\n",
	  "f:10: exports[0].full: not on a weekend" },
	{ GOOD EXPORT("timezone: Mars/Crater"),
	  "f:8: exports[0].timezone: there is no Mars/Crater" },
	{ GOOD EXPORT("load: false"), "f:8: exports[0].sinks: has no meaning with load: false" },
	{ GOOD EXPORT("bucket_owner: 12"),
	  "f:8: exports[0].bucket_owner: expected the 12 digits of an account, not '12'" },
	{ GOOD EXPORT("prefix: a//b"),
	  "f:8: exports[0].prefix: expected 1 to 512 bytes such as sluice/exports, without / at "
	  "its ends, not 'a//b'" },
	{ GOOD "exports:\n  - bucket: abc\n    sinks: [lake]\n",
	  "f:8: exports[0].table: is required: The table's name or ARN." },
	{ GOOD "exports:\n  - table: orders\n    sinks: [lake]\n",
	  "f:8: exports[0].bucket: is required: Where AWS writes the exports." },
	{ GOOD "exports:\n  - table: orders\n    bucket: 10.0.0.1\n    sinks: [lake]\n",
	  "f:9: exports[0].bucket: expected a bucket's name: 3 to 63 of a-z 0-9 . -, not "
	  "'10.0.0.1'" },
	{ GOOD "exports:\n  - table: a/b\n    bucket: abc\n    sinks: [lake]\n",
	  "f:8: exports[0].table: expected a table's name or its ARN, not 'a/b'" },
	{ GOOD "exports:\n  - table: orders\n    bucket: abc\n",
	  "f:8: exports[0].sinks: is required: a list of sinks" },
	{ GOOD "exports:\n  - table: orders\n    bucket: abc\n    sinks: [lak]\n",
	  "f:10: exports[0].sinks[0]: there is no sink 'lak'; did you mean 'lake'?" },
	{ GOOD EXPORT("load: true") "  - table: orders\n    bucket: abc\n    load: false\n",
	  "f:9: exports[1].table: the exports of line 8 are of this table, too: one entry a "
	  "table" },
	/* A stream's sinks. */
	{ LAKE "streams:\n  - table: orders\n",
	  "f:4: streams[0].sinks: is required: a list of sinks" },
	{ LAKE "streams:\n  - table: orders\n    sinks: lake\n",
	  "f:5: streams[0].sinks: expected a list such as [events]" },
	{ LAKE "streams:\n  - table: orders\n    sinks: []\n",
	  "f:5: streams[0].sinks: expected at least one sink" },
	{ LAKE "streams:\n  - table: orders\n    sinks:\n      - lak\n",
	  "f:6: streams[0].sinks[0]: there is no sink 'lak'; did you mean 'lake'?" },
	{ LAKE "streams:\n  - table: orders\n    sinks: [lake, events]\n",
	  "f:5: streams[0].sinks[1]: there is no sink 'events' in sinks" },
	{ LAKE "streams:\n  - table: orders\n    sinks:\n      - lake\n      - name: lake\n",
	  "f:7: streams[0].sinks[1].name: the sink 'lake' is named twice" },
	{ LAKE "streams:\n  - table: orders\n    sinks: [~]\n",
	  "f:5: streams[0].sinks[0]: expected a sink's name, or { name }" },
	{ LAKE "streams:\n  - table: orders\n    sinks:\n      - {}\n",
	  "f:6: streams[0].sinks[0].name: is required: A sink of `sinks`." },
	{ LAKE "streams:\n  - table: orders\n    sinks:\n      - { name: lake, start: now }\n",
	  "f:6: streams[0].sinks[0].start: expected latest, oldest, a time such as "
	  "2026-11-21T10:00:00Z or a duration back such as -2h, not 'now'" },
	{ LAKE "streams:\n  - table: orders\n    sinks:\n      - { name: lake, start: baseline }\n",
	  "f:6: streams[0].sinks[0].start: expected latest, oldest, a time such as "
	  "2026-11-21T10:00:00Z or a duration back such as -2h, not 'baseline'" },
	{ GOOD "exports:\n  - table: orders\n    bucket: abc\n"
	       "    sinks: [{ name: lake, start: oldest }]\n",
	  "f:10: exports[0].sinks: start of lake: has no meaning for exports" },
	{ "streams: [ { table: orders, sinks: [lake] } ]\n",
	  "f:1: streams[0].sinks[0]: there is no sink 'lake' in sinks" },
	/* Sinks. */
	{ ORDERS "sinks: [lake]\n", "f:2: sinks: expected a map of sinks by name" },
	{ ORDERS "sinks:\n  lake: folder\n",
	  "f:3: sinks.lake: expected a map of settings with a type" },
	{ ORDERS "sinks:\n  lake: { path: out }\n", "f:3: sinks.lake.type: is required" },
	{ ORDERS "sinks:\n  the lake: { type: folder, path: out }\n",
	  "f:3: sinks.the lake: expected a name of 1 to 128 of a-z A-Z 0-9 _ . -" },
	{ ORDERS "sinks:\n  lake:\n    type: foldr\n",
	  "f:4: sinks.lake.type: expected broker, folder or screen, not 'foldr'; did you mean "
	  "'folder'?" },
	{ ORDERS "sinks:\n  lake:\n    type: redis\n",
	  "f:4: sinks.lake.type: expected broker, folder or screen, not 'redis'" },
	{ ORDERS "sinks:\n  lake:\n    type: folder\n",
	  "f:3: sinks.lake.path: is required: Folder." },
	{ ORDERS "sinks: { a: {}, b: {}, c: {}, d: {}, e: {}, f: {}, g: {}, h: {}, i: {} }\n",
	  "f:2: sinks: expected at most 8 sinks, not 9" },
	{ ORDERS "sinks:\n  lake:\n    type: folder\n    path: out\n    role: { size: 1KiB }\n",
	  "f:6: sinks.lake.role: no such setting; did you mean 'roll'?" },
	{ ORDERS "sinks:\n  lake:\n    type: folder\n    path: out\n    roll: { siz: 1KiB }\n",
	  "f:6: sinks.lake.roll.siz: no such setting; did you mean 'size'?" },
	{ ORDERS "sinks:\n  lake:\n    type: folder\n    path: ../out\n",
	  "f:5: sinks.lake.path: must not leave its folder" },
	{ ORDERS "sinks:\n  lake: { type: folder, path: out,\n   roll: { size: 0,\n age: 0s } }\n",
	  "f:5: sinks.lake.roll.age: a roll needs an end" },
	{ ORDERS "sinks:\n  lake:\n    type: folder\n    path: ${env:T_UNSET}\n",
	  "f:5: sinks.lake.path: the environment variable T_UNSET is not set; set it or write a "
	  "default: ${env:T_UNSET:-…}" },
	{ ORDERS "sinks:\n  lake:\n    type: broker\n    brokers: b\n    properties: [a]\n",
	  "f:6: sinks.lake.properties: expected a map of texts" },
	{ ORDERS
	  "sinks:\n  lake:\n    type: broker\n    brokers: b\n    properties:\n      a: {}\n",
	  "f:7: sinks.lake.properties.a: expected one value, not a map" },
	{ ORDERS "sinks:\n  lake:\n    type: broker\n    brokers: b\n    tombstones: 1\n",
	  "f:6: sinks.lake.tombstones: expected true or false, not '1'" },
	{ ORDERS "sinks:\n  lake:\n    type: broker\n    brokers: b\n    properties:\n      a: b\n"
		 "      max.in.flight: 5\n",
	  "f:8: sinks.lake.properties.max.in.flight: is fixed" },
	{ ORDERS "sinks:\n  lake:\n    type: screen\n    colour: red\n",
	  "f:5: sinks.lake.colour: no such setting" },
	{ ORDERS "sinks:\n  lake:\n    type: broker\n    brokers: b\n    batch: { size: 1MB }\n",
	  "f:6: sinks.lake.batch.size: expected a size such as 64KiB, 256MiB, 1GiB, not '1MB'" },
};

static void wrong_configurations_say_where_and_what(void **state)
{
	size_t failures = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct error err = { 0 };
		struct config *c = config_parse(str_of(wrong[i].text), "f", &types, &err);

		if (c || err.kind != ERROR_INVALID || strcmp(err.message, wrong[i].message) != 0) {
			print_error("%s\nwant: %s\n have: %s\n\n", wrong[i].text, wrong[i].message,
				    c ? "no error" : err.message);
			failures++;
		}
		config_free(c);
	}
	assert_int_equal(failures, 0);
}

static void files_that_cannot_be_read_are_named(void **state)
{
	char path[] = "/tmp/sluice-test-XXXXXX", want[200];
	struct error err = { 0 };
	char *spaces = calloc(1, 3 << 20);
	int fd = mkstemp(path);

	(void)state;
	assert_null(config_load("/does/not/exist.yaml", &types, &err));
	assert_string_equal(err.message,
			    "/does/not/exist.yaml: cannot be read: No such file or directory");
	assert_null(config_load("/tmp", &types, &err));
	assert_string_equal(err.message, "/tmp: cannot be read: Is a directory");
	assert_int_equal(err.kind, ERROR_INVALID);
	memset(spaces, '\n', 3 << 20);
	assert_int_equal(write(fd, spaces, 3 << 20), 3 << 20);
	close(fd);
	assert_null(config_load(path, &types, &err));
	snprintf(want, sizeof(want), "%s: larger than 1MiB", path);
	assert_string_equal(err.message, want);
	unlink(path);
	free(spaces);
}

static int environment(void **state)
{
	(void)state;
	unsetenv("T_UNSET");
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wrong_configurations_say_where_and_what),
		cmocka_unit_test(files_that_cannot_be_read_are_named),
	};

	return cmocka_run_group_tests(tests, environment, NULL);
}
