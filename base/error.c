#include "base/error.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const kind_names[] = {
	[ERROR_NONE] = "none",           [ERROR_RETRY] = "retry",
	[ERROR_THROTTLED] = "throttled", [ERROR_EXPIRED] = "expired",
	[ERROR_TRIMMED] = "trimmed",     [ERROR_NOT_FOUND] = "not_found",
	[ERROR_FENCED] = "fenced",       [ERROR_REFUSED] = "refused",
	[ERROR_INVALID] = "invalid",     [ERROR_CANCELLED] = "cancelled",
};

bool error_set(struct error *err, enum error_kind kind, const char *fmt, ...)
{
	/* An argument may be the old message. */
	char message[sizeof(err->message)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	memcpy(err->message, message, sizeof(message));
	err->kind = kind;
	return false;
}

bool error_wrap(struct error *err, const char *fmt, ...)
{
	char outer[sizeof(err->message)];
	size_t n, inner = strlen(err->message);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(outer, sizeof(outer) - 2, fmt, ap);
	va_end(ap);
	n = strlen(outer);
	memcpy(outer + n, ": ", 2);
	n += 2;
	if (inner > sizeof(err->message) - 1 - n)
		inner = sizeof(err->message) - 1 - n;
	memmove(err->message + n, err->message, inner);
	memcpy(err->message, outer, n);
	err->message[n + inner] = '\0';
	return false;
}

const char *error_kind_name(enum error_kind kind)
{
	assert((size_t)kind < sizeof(kind_names) / sizeof(kind_names[0]));
	return kind_names[kind];
}

bool error_passes(enum error_kind kind)
{
	return kind == ERROR_RETRY || kind == ERROR_THROTTLED || kind == ERROR_EXPIRED;
}
