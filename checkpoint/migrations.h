#pragma once
#include <stdbool.h>

#include "base/error.h"

/* The schema's versions, built in from migrations/KIND/MAJOR.MINOR_what.sql. A minor step is one
 * that older programs can live with, a major step is one that they cannot. */
struct migration {
	int major, minor;
	const char *sql; /* NULL ends the list */
};
extern const struct migration migrations_postgres[], migrations_sqlite[];

static inline bool migration_before(int major, int minor, const struct migration *m)
{
	return major != m->major ? major < m->major : minor < m->minor;
}
/* The last of the list: what this program was written for. */
const struct migration *migrations_last(const struct migration *list);
/* Can this program work with a schema of that version (0.0: none)? A newer minor is fine; a newer
 * major, or with `reader` one that is older than the program, is INVALID. */
bool migrations_accept(const struct migration *list, int major, int minor, bool reader,
		       struct error *err);
