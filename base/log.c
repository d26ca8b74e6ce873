#include "base/log.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"

/* A value comes from anywhere; what is longer is cut. */
#define VALUE_BYTES_MAX ((size_t)4096)

static const char *const level_names[] = { "debug", "info", "warn", "error" };
static const char *const level_marks[] = { "DEBUG", "INFO ", "WARN ", "ERROR" };

static _Atomic int log_level = LOG_INFO;
static _Atomic int log_format = LOG_TEXT;
/* stderr may be a pipe: a write above PIPE_BUF could otherwise mix with another thread's. */
static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;

void log_setup(enum log_level level, enum log_format format)
{
	atomic_store(&log_level, level);
	atomic_store(&log_format, format);
}

bool log_level_parse(const char *text, enum log_level *out)
{
	for (int i = LOG_DEBUG; i <= LOG_ERROR; i++)
		if (!strcasecmp(text, level_names[i])) {
			*out = (enum log_level)i;
			return true;
		}
	return false;
}

static struct str value_cut(struct str s)
{
	if (s.n <= VALUE_BYTES_MAX)
		return s;
	s.n = VALUE_BYTES_MAX;
	while (s.n > 0 && ((unsigned char)s.p[s.n] & 0xc0) == 0x80)
		s.n--; /* not in the middle of a character */
	return s;
}

static bool value_is_plain(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c <= ' ' || c == '"' || c == '=' || c == '\\' || c == 0x7f)
			return false;
	}
	return s.n > 0;
}

static void line_value(struct buf *line, const struct log_field *f, enum log_format format)
{
	struct str text;

	switch (f->type) {
	case LOG_FIELD_INT:
		buf_printf(line, "%lld", (long long)f->number);
		return;
	case LOG_FIELD_REAL:
		if (isfinite(f->real))
			buf_printf(line, "%.6g", f->real);
		else
			buf_text(line, format == LOG_JSON ? "null" : "none");
		return;
	case LOG_FIELD_TEXT:
		text = value_cut(f->text);
		if (format == LOG_TEXT && value_is_plain(text))
			buf_printf(line, "%.*s", STR_ARG(text));
		else
			buf_json_text(line, text);
		return;
	}
}

static void line_make(struct buf *line, enum log_level level, enum log_format format,
		      const char *message, const struct log_field *fields)
{
	char time[CLOCK_TEXT_SIZE];
	struct clock clock;

	clock_init(&clock);
	clock_text(clock.wall_ms(&clock), time);
	if (format == LOG_JSON) {
		buf_printf(line, "{\"time\":\"%s\",\"level\":\"%s\",\"message\":", time,
			   level_names[level]);
		buf_json_text(line, str_of(message));
	} else {
		buf_printf(line, "%s %s %s", time, level_marks[level], message);
	}
	for (const struct log_field *f = fields; f->name; f++) {
		buf_printf(line, format == LOG_JSON ? ",\"%s\":" : " %s=", f->name);
		line_value(line, f, format);
	}
	buf_text(line, format == LOG_JSON ? "}\n" : "\n");
}

void log_fields(enum log_level level, const char *message, const struct log_field *fields)
{
	int saved = errno; /* a log line must not change what the caller reports next */
	struct buf line;
	size_t done = 0;

	if ((int)level < atomic_load_explicit(&log_level, memory_order_relaxed))
		return;
	buf_init(&line, 0);
	line_make(&line, level, (enum log_format)atomic_load(&log_format), message, fields);
	pthread_mutex_lock(&log_lock);
	while (done < line.size) {
		ssize_t n = write(STDERR_FILENO, line.data + done, line.size - done);

		if (n < 0 && errno != EINTR)
			break; /* nobody reads: there is no place left to say so */
		if (n > 0)
			done += (size_t)n;
	}
	pthread_mutex_unlock(&log_lock);
	buf_release(&line);
	errno = saved;
}

bool log_limit_pass(struct log_limit *l, int64_t now_ms, int64_t every_ms, uint64_t *repeated)
{
	if (now_ms < l->next_ms) {
		l->held++;
		return false;
	}
	*repeated = l->held;
	l->held = 0;
	l->next_ms = now_ms + every_ms;
	return true;
}
