#include "checkpoint/migrations.h"

const struct migration *migrations_last(const struct migration *list)
{
	const struct migration *last = list;

	while (last[1].sql)
		last++;
	return last;
}

bool migrations_accept(const struct migration *list, int major, int minor, bool reader,
		       struct error *err)
{
	const struct migration *last = migrations_last(list);

	if (major > last->major)
		return error_set(err, ERROR_INVALID,
				 "the schema is %d.%d, this program knows up to %d.x: run a newer "
				 "sluice",
				 major, minor, last->major);
	if (!reader || !migration_before(major, minor, last))
		return true;
	if (major == 0 && minor == 0)
		return error_set(err, ERROR_NOT_FOUND,
				 "it has no schema yet: start a worker with `sluice run` first");
	return error_set(err, ERROR_INVALID,
			 "the schema is %d.%d, this program needs %d.%d: start a worker of this "
			 "version first",
			 major, minor, last->major, last->minor);
}
