#pragma once
#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"

/* What is changed in items before they are delivered: a list of definitions, applied in their order
 * to each item of a record that a payload holds; a script is given the whole event, and may make
 * none or several of it. Compiled once, then constant: any thread may use it. Each definition is a
 * map with one transform, as JSON:
 *
 *     {"keep": ["pk", "total", "address.town"]}    and the item's key, always
 *     {"drop": ["password", "lines[*].secret"]}
 *     {"rename": {"custName": "customer_name"}}    in its map, at its place
 *     {"move": {"address.town": "town"}}           from path to path; maps are made on the way
 *     {"set": {"full": "${attribute:first} ${attribute:last}", "version": 2}}
 *     {"cast": {"total": "string"}}                string, number, bool
 *     {"mask": {"paths": ["card"], "with": "***", "keep_last": 4}}   or a list of paths
 *     {"hash": {"paths": ["email"], "key": SECRET, "encoding": "hex"}}
 *     {"truncate": {"note": 100}}                  characters, bytes, elements
 *     {"flatten": {"paths": ["address"], "separator": "_"}}          or a list of paths
 *     {"parse": ["payload"]}                       a text that is JSON
 *     {"split": {"paths": ["value"], "separator": "_"}}              or a list of paths
 *     {"strip_replication": true}                  or the word alone
 *     {"lua": {"file": "orders.lua", "lookup": {"towns": "towns.csv"}, "instructions": 100000,
 *              "memory": "8MiB"}}                  or the file alone; see event/script.h
 *
 * with "on_fail" beside it where it can fail. docs/transforms.md says what each does to which type.
 * A path is names with dots between, [N] or [*] for elements of lists; \ before a character of a
 * name takes it as it is. What an item does not have is left out in silence.
 *
 * The key that orders records is made of the record as it came: no transform changes it. */
#define TRANSFORM_DEFINITION_MAX ((size_t)64 << 10)
#define TRANSFORM_KEY_MIN        16 /* bytes of a hash's secret */
struct transform;

/* NULL and ERROR_INVALID: the message begins with the place inside the definition. count > 0. No
 * message holds a secret. */
struct transform *transform_new(const struct str *definitions, size_t count, struct error *err);
void transform_free(struct transform *t);
/* Whether it may make no event of a record, or several. */
bool transform_has_script(const struct transform *t);
DEFINE_AUTO(transform)
/* Whether a definition may be used; *at: the byte in it that the message is about. */
bool transform_check(struct str definition, size_t *at, struct error *err) MUST_CHECK;
