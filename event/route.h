#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "event/record.h"

/* Which values of an event say where a sink puts it: those that the placeholders of its template
 * ask for, of the record as it came. Made once, then constant: any thread may use it. */
struct route;
enum route_kind {
	ROUTE_OP,        /* c, u, d, r */
	ROUTE_SCHEMA,    /* the name of its schema; missing: it has none */
	ROUTE_ATTRIBUTE, /* of the new image, else the old one, else the key: a string, the digits
			    of a number, true, false, binary as base64. Missing: anything else */
	ROUTE_YEAR,      /* of its time, in UTC */
	ROUTE_MONTH,
	ROUTE_DAY,
	ROUTE_HOUR,
	ROUTE_MINUTE,
};
#define ROUTE_VALUES_MAX 16

struct route *route_new(void);
void route_free(struct route *r);
DEFINE_AUTO(route)
/* *place: of the value among the route's. path: of an ATTRIBUTE, names with dots between; else n 0.
 */
bool route_add(struct route *r, enum route_kind kind, struct str path, unsigned *place,
	       struct error *err) MUST_CHECK;
size_t route_values(const struct route *r);

/* Where the events of a batch go by one route: each to one of few places. */
struct batch_route {
	uint32_t *of;                /* by event, of those that have a payload: which place */
	size_t places;               /* so many there are */
	size_t values;               /* a place is so many values */
	const struct str *values_of; /* place by place; p NULL: it is missing */
};
static inline const struct str *batch_place(const struct batch_route *r, size_t event)
{
	return &r->values_of[r->of[event] * r->values];
}

/* A route at work, for one page. */
struct arena;
struct router;
struct router *router_new(const struct route *r);
void router_free(struct router *x);
DEFINE_AUTO(router)
/* The record's place, of a reader that keeps attributes. False, with *fault until the next record:
 * a value is missing that is required. schema: n 0: it has none. */
bool router_place(struct router *x, const struct record *r, struct str schema, bool required,
		  uint32_t *place, const char **fault);
/* All places so far. */
void router_places(const struct router *x, struct arena *arena, struct batch_route *out);
