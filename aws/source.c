#include "aws/source.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "aws/answer.h"

#define PAUSE_MS 1000

const char *source_env(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

bool source_copy(char *out, size_t size, const char *text, const char *what, struct error *err)
{
	size_t n = strlen(text);

	if (n >= size)
		return error_set(err, ERROR_INVALID, "%s is longer than %zu characters", what,
				 size - 1);
	for (size_t i = 0; i < n; i++) /* it becomes part of a header */
		if ((unsigned char)text[i] <= 0x20 || text[i] == 0x7f)
			return error_set(err, ERROR_INVALID, "%s has blanks or control characters",
					 what);
	memcpy(out, text, n + 1);
	return true;
}

bool source_time(const char *text, int64_t *epoch_ms)
{
	struct tm tm = { 0 };
	const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);

	if (!rest)
		return false;
	if (*rest == '.')
		for (rest++; isdigit((unsigned char)*rest); rest++)
			;
	if (strcmp(rest, "Z") != 0 && strcmp(rest, "+00:00") != 0)
		return false;
	*epoch_ms = (int64_t)timegm(&tm) * 1000;
	return true;
}

bool source_read(const char *path, size_t max, struct buf *out, struct error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char chunk[4096];
	ssize_t n;

	if (fd < 0)
		return error_set(err, ERROR_REFUSED, "%s: %m", path);
	out->limit = max;
	while ((n = read(fd, chunk, sizeof(chunk))) > 0)
		if (!buf_add(out, chunk, (size_t)n)) {
			close(fd);
			return error_set(err, ERROR_INVALID, "%s: longer than %zu bytes", path,
					 max);
		}
	close(fd);
	if (n < 0)
		return error_set(err, ERROR_REFUSED, "%s: %m", path);
	while (out->size && isspace((unsigned char)out->data[out->size - 1]))
		out->data[--out->size] = '\0';
	for (size_t i = 0; i < out->size; i++)
		if ((unsigned char)out->data[i] < 0x20)
			return error_set(err, ERROR_INVALID, "%s: has line breaks", path);
	return out->size ? true : error_set(err, ERROR_REFUSED, "%s: empty", path);
}

bool source_parse(struct str body, const char *token, struct credentials_keys *out,
		  struct error *err)
{
	json_t *root = answer_json(body, err);
	char code[64], expiration[64];
	bool ok;

	if (!root)
		return false;
	ok = answer_text(root, "Code", code, sizeof(code)) &&
	     answer_text(root, "AccessKeyId", out->access_key, sizeof(out->access_key)) &&
	     answer_text(root, "SecretAccessKey", out->secret_key, sizeof(out->secret_key)) &&
	     answer_text(root, token, out->session_token, sizeof(out->session_token)) &&
	     answer_text(root, "AccountId", out->account, sizeof(out->account)) &&
	     answer_text(root, "Expiration", expiration, sizeof(expiration));
	json_decref(root);
	if (ok && *code && strcmp(code, "Success") != 0)
		return error_set(err, ERROR_REFUSED, "it answered %s instead of keys", code);
	if (!ok || !*out->access_key || !*out->secret_key ||
	    (*expiration && !source_time(expiration, &out->expires_ms)))
		return error_set(err, ERROR_RETRY, "an answer without proper keys");
	return true;
}

bool source_fetch(const struct source_context *x, const struct http_fetch *f, int tries,
		  int *status, struct buf *body, struct error *err)
{
	for (;;) {
		bool answered;

		buf_clear(body);
		answered = x->world.fetch(x->world.arg, f, status, body, err);
		tries--;
		if (answered && *status != 429 && *status < 500)
			return true;
		if (!answered && err->kind != ERROR_RETRY)
			return false;
		if (tries <= 0 || !x->world.pause(x->world.arg, PAUSE_MS))
			return answered;
	}
}
