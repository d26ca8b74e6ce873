#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"

/* Pure: which of the three ways to move a table's data fits, and what each costs. A way's fit to a
 * driver is 1 to 5, and the driver counts by its importance, 1 to 5. */

enum advise_way { ADVISE_FULL, ADVISE_INCREMENTAL, ADVISE_STREAM, ADVISE_WAYS };
enum advise_driver {
	ADVISE_FRESHNESS,
	ADVISE_ENGINEERING,
	ADVISE_COST,
	ADVISE_VOLUME,
	ADVISE_DOWNSTREAM,
	ADVISE_DRIVERS
};
const char *advise_way_name(enum advise_way way);
const char *advise_driver_name(enum advise_driver driver);
int advise_fit(enum advise_way way, enum advise_driver driver);

#define ADVISE_IMPORTANCE_DEFAULT 3
struct advise_importance {
	int of[ADVISE_DRIVERS];
};
/* "freshness=5,cost=2": what is not named is 3. */
bool advise_importance_parse(const char *text, struct advise_importance *out,
			     struct error *err) MUST_CHECK;
int advise_sum(const struct advise_importance *importance, enum advise_way way);
/* The way of the highest sum; of equals the cheaper to run. */
enum advise_way advise_best(const struct advise_importance *importance);
/* The driver that speaks most for it, against the mean of the others. */
enum advise_driver advise_reason(const struct advise_importance *importance, enum advise_way way);

/* In dollars; AWS's list prices of us-east-1 until somebody says otherwise. */
struct advise_prices {
	double export_gb;      /* exported */
	double recovery_gb;    /* point-in-time recovery, a month */
	double reads_100k;     /* 100,000 reads of a stream */
	double reads_free;     /* reads a month that cost nothing */
	double changes_second; /* that the table has */
	double full_month;     /* full exports a month */
	double window_hours;   /* of incremental exports */
};
extern const struct advise_prices advise_prices_default;
/* A JSON object with some of these names. */
bool advise_prices_parse(struct str json, struct advise_prices *prices,
			 struct error *err) MUST_CHECK;
void advise_prices_print(const struct advise_prices *prices, struct buf *out);

struct advise_table {
	const char *name;
	int64_t items, bytes;
	uint32_t shards; /* open ones; 0: not known */
	bool stream, recovery;
};
/* A month's cost, without what S3 and the sinks cost. */
double advise_cost(const struct advise_table *t, const struct advise_prices *p,
		   enum advise_way way);

/* Which thresholds apply to the table, a line each. */
void advise_thresholds(const struct advise_table *t, const struct advise_importance *importance,
		       struct buf *out);
/* A configuration that does it; table NULL: with a name to be filled in. */
void advise_config(const char *table, enum advise_way way, struct buf *out);
