#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"

/* A time zone of the IANA database, read from the system's files (TZDIR, else /usr/share/zoneinfo)
 * into a value of its own: the C library's tzset knows one zone for the whole process. Immutable
 * after it was made, so that any thread may ask it. Seconds: `utc_s` since the epoch; `local_s`
 * what the wall clock there shows, counted as if it were UTC. */
struct zone;

/* "Europe/Berlin", "UTC" (which needs no file). NULL and ERROR_INVALID where there is none. */
struct zone *zone_open(const char *name, struct error *err);
void zone_close(struct zone *z);
/* The bytes of such a file. */
struct zone *zone_parse(struct str file, struct error *err);

int64_t zone_local(const struct zone *z, int64_t utc_s);
/* The first moment at which the clock there shows local_s; where it never does, because it was put
 * forward over it, the first moment behind. Never falls where local_s grows. */
int64_t zone_utc(const struct zone *z, int64_t local_s);
