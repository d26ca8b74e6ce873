#include "config/expand.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "config/yaml.h"

/* A secret, a certificate; not data. */
#define FILE_BYTES_MAX ((size_t)64 << 10)

static bool too_large(struct error *err)
{
	return error_set(
		err, ERROR_INVALID,
		"the variables and files of the configuration are larger than 4MiB together");
}

static bool add(struct buf *out, const char *data, size_t size, struct error *err)
{
	return buf_add(out, data, size) || too_large(err);
}

static bool file_read(int fd, const char *path, struct buf *out, struct error *err)
{
	char data[4096];
	size_t size = 0;

	for (;;) {
		ssize_t n = read(fd, data, sizeof(data));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_set(err, ERROR_INVALID, "${file:%.200s} cannot be read: %s",
					 path, strerror(errno));
		if (n == 0)
			return true;
		size += (size_t)n;
		if (size > FILE_BYTES_MAX)
			return error_set(err, ERROR_INVALID, "${file:%.200s} is larger than 64KiB",
					 path);
		if (!add(out, data, (size_t)n, err))
			return false;
	}
}

static bool file_add(const char *path, struct buf *out, struct error *err)
{
	size_t before = out->size;
	struct stat st;
	bool ok;
	int fd;

	/* Never waits for a pipe's other end. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return error_set(err, ERROR_INVALID, "${file:%.200s} cannot be read: %s", path,
				 strerror(errno));
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return error_set(err, ERROR_INVALID, "${file:%.200s} is not a regular file", path);
	}
	ok = file_read(fd, path, out, err);
	close(fd);
	if (out->size > before && out->data[out->size - 1] == '\n')
		buf_truncate(out, out->size - 1);
	if (out->size > before && out->data[out->size - 1] == '\r')
		buf_truncate(out, out->size - 1);
	return ok;
}

static bool name_is_valid(const char *name)
{
	if (*name >= '0' && *name <= '9')
		return false;
	return *name && !name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
					   "0123456789_")];
}

/* `name` is what stands between ${ and }, or between ${env: and }. */
static bool variable_add(char *name, enum expand_kind kind, struct buf *out, struct error *err)
{
	char *def = strstr(name, ":-");
	const char *value;

	if (def) {
		*def = '\0';
		def += 2;
	}
	if (!name_is_valid(name))
		return error_set(err, ERROR_INVALID,
				 "${%.60s} is not a variable's name; %s, $$ for a plain $", name,
				 kind == EXPAND_TEMPLATE ? "write ${env:NAME}"
							 : "write ${NAME} or ${NAME:-default}");
	value = getenv(name);
	if (def && (!value || !*value))
		value = def;
	if (!value)
		return error_set(err, ERROR_INVALID,
				 "the environment variable %.60s is not set; set it or write a "
				 "default: ${%s%.60s:-…}",
				 name, kind == EXPAND_TEMPLATE ? "env:" : "", name);
	return add(out, value, strlen(value), err);
}

/* At "${"; moves *p behind what it took. */
static bool placeholder_add(struct arena *a, const char **p, enum expand_kind kind, struct buf *out,
			    struct error *err)
{
	const char *start = *p + 2, *end = strchr(start, '}');
	char *inside;

	if (kind == EXPAND_TEMPLATE && strncmp(start, "env:", 4) != 0) {
		*p += 2;
		return add(out, "${", 2, err);
	}
	if (!end)
		return error_set(err, ERROR_INVALID, "'%.60s' has no closing }; $$ is a plain $",
				 *p);
	inside = arena_printf(a, "%.*s", (int)(end - start), start);
	*p = end + 1;
	if (strstr(inside, "${"))
		return error_set(err, ERROR_INVALID, "'${%.60s}': a default cannot hold another ${",
				 inside);
	if (kind == EXPAND_TEMPLATE)
		return variable_add(inside + 4, kind, out, err);
	if (!strncmp(inside, "file:", 5))
		return file_add(inside + 5, out, err);
	return variable_add(inside, kind, out, err);
}

static bool expand_into(struct arena *a, const char *text, enum expand_kind kind, struct buf *out,
			struct error *err)
{
	const char *p = text;

	while (*p) {
		size_t plain = strcspn(p, "$");

		if (!add(out, p, plain, err))
			return false;
		p += plain;
		if (p[0] == '$' && p[1] == '{') {
			if (!placeholder_add(a, &p, kind, out, err))
				return false;
		} else if (*p) {
			if (!add(out, p, 1, err))
				return false;
			p += p[1] == '$' && kind == EXPAND_VALUE ? 2 : 1;
		}
	}
	return true;
}

static bool is_text(struct str s)
{
	const char *end = s.p + s.n;
	uint32_t code;

	for (size_t n; s.p < end; s.p += n) {
		n = yaml_utf8(s.p, end, &code);
		if (n == 0 || code == 0)
			return false;
	}
	return true;
}

const char *expand_text(struct arena *a, const char *text, enum expand_kind kind, size_t *left,
			struct error *err)
{
	const char *result = NULL;
	struct buf out;

	if (!strchr(text, '$'))
		return text;
	buf_init(&out, *left + 1);
	if (!expand_into(a, text, kind, &out, err)) {
		/* said already */
	} else if (out.size > *left) {
		too_large(err);
	} else if (!is_text(buf_str(&out))) {
		error_set(err, ERROR_INVALID, "'%.60s' gives bytes that are not UTF-8 text", text);
	} else {
		*left -= out.size;
		result = memcpy(arena_alloc(a, out.size + 1), buf_str(&out).p, out.size + 1);
	}
	buf_release(&out);
	return result;
}
