#include "export/path.h"

#include <assert.h>
#include <stdio.h>
#include <time.h>

char *path_time(int64_t epoch_ms, char out[PATH_TIME_SIZE])
{
	time_t seconds = epoch_ms / 1000;
	struct tm tm;
	size_t n;

	gmtime_r(&seconds, &tm);
	assert(epoch_ms >= 0 && tm.tm_year < 10000 - 1900);
	n = strftime(out, PATH_TIME_SIZE, "%Y-%m-%d-%H-%M-%S", &tm);
	snprintf(out + n, PATH_TIME_SIZE - n, "-%03d000", (int)(epoch_ms % 1000));
	return out;
}

static struct str trimmed(const char *prefix)
{
	struct str s = str_of(prefix);

	while (s.n && s.p[0] == '/')
		s = (struct str){ s.p + 1, s.n - 1 };
	while (s.n && s.p[s.n - 1] == '/')
		s.n--;
	return s;
}

bool path_export(const struct export_place *place, const struct window *w, struct buf *out,
		 struct error *err)
{
	struct str prefix = trimmed(place->prefix);
	char from[PATH_TIME_SIZE], to[PATH_TIME_SIZE];
	size_t begin = out->size;

	buf_printf(out, "%.*s%s%s/%s/%s/exports/%s_%s", STR_ARG(prefix), prefix.n ? "/" : "",
		   place->account, place->region, place->table, path_time(w->from_ms, from),
		   path_time(w->to_ms, to));
	if (out->size - begin <= PATH_PREFIX_MAX)
		return true;
	return error_set(err, ERROR_INVALID,
			 "the export's folder has %zu bytes, and AWS takes %d: shorten `prefix`",
			 out->size - begin, PATH_PREFIX_MAX);
}
