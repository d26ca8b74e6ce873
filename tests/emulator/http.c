#include "tests/emulator/http.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct str http_header(const struct http_request *r, const char *name)
{
	size_t length = strlen(name);

	for (size_t i = 0; i < r->header_count; i++) {
		const struct http_header *h = &r->headers[i];

		if (h->name.n == length && strncasecmp(h->name.p, name, length) == 0)
			return h->value;
	}
	return (struct str){ NULL, 0 };
}

/* Whether a comma separated list has `word` as a member, whatever parameters it carries. */
static bool list_has(struct str list, const char *word)
{
	size_t length = strlen(word);

	while (list.n) {
		const char *comma = memchr(list.p, ',', list.n);
		size_t part = comma ? (size_t)(comma - list.p) : list.n;
		size_t skip = 0;

		while (skip < part && list.p[skip] == ' ')
			skip++;
		if (part - skip >= length && strncasecmp(list.p + skip, word, length) == 0 &&
		    (part - skip == length || strchr(" ;", list.p[skip + length])))
			return true;
		part += comma ? 1 : 0;
		list = (struct str){ list.p + part, list.n - part };
	}
	return false;
}

static bool parse_line(struct http_request *r, struct str line)
{
	const char *space = memchr(line.p, ' ', line.n), *second;
	size_t left;

	if (!space || space == line.p)
		return false;
	left = line.n - (size_t)(space + 1 - line.p);
	second = memchr(space + 1, ' ', left);
	if (!second || second == space + 1)
		return false;
	r->method = (struct str){ line.p, (size_t)(space - line.p) };
	r->target = (struct str){ space + 1, (size_t)(second - space - 1) };
	left -= r->target.n + 1;
	if (left != 8 || memcmp(second + 1, "HTTP/1.", 7) != 0)
		return false;
	r->close = second[8] == '0';
	return true;
}

static bool parse_header(struct http_request *r, struct str line)
{
	const char *colon = memchr(line.p, ':', line.n);
	struct http_header *h;

	if (!colon || colon == line.p || r->header_count == HTTP_HEADERS_MAX)
		return false;
	h = &r->headers[r->header_count++];
	h->name = (struct str){ line.p, (size_t)(colon - line.p) };
	h->value = (struct str){ colon + 1, line.n - h->name.n - 1 };
	while (h->value.n && (h->value.p[0] == ' ' || h->value.p[0] == '\t'))
		h->value = (struct str){ h->value.p + 1, h->value.n - 1 };
	while (h->value.n &&
	       (h->value.p[h->value.n - 1] == ' ' || h->value.p[h->value.n - 1] == '\t'))
		h->value.n--;
	return true;
}

static bool parse_length(struct http_request *r)
{
	struct str length = http_header(r, "content-length");

	if (http_header(r, "transfer-encoding").p || length.n > 12)
		return false;
	for (size_t i = 0; i < length.n; i++) {
		if (length.p[i] < '0' || length.p[i] > '9')
			return false;
		r->body_size = r->body_size * 10 + (size_t)(length.p[i] - '0');
	}
	return true;
}

enum http_parse http_parse(struct http_request *r, struct str bytes)
{
	const char *end = memmem(bytes.p, bytes.n, "\r\n\r\n", 4), *line = bytes.p;

	if (!end)
		return bytes.n > HTTP_HEAD_MAX ? HTTP_BAD : HTTP_MORE;
	*r = (struct http_request){ .head_size = (size_t)(end - bytes.p) + 4 };
	if (r->head_size > HTTP_HEAD_MAX)
		return HTTP_BAD;
	while (line < end + 2) {
		const char *eol = memmem(line, (size_t)(end + 2 - line), "\r\n", 2);
		struct str text = { line, (size_t)(eol - line) };

		if (line == bytes.p ? !parse_line(r, text) : !parse_header(r, text))
			return HTTP_BAD;
		line = eol + 2;
	}
	if (!parse_length(r))
		return HTTP_BAD;
	if (list_has(http_header(r, "connection"), "close"))
		r->close = true;
	r->expect_continue = list_has(http_header(r, "expect"), "100-continue");
	r->gzip = list_has(http_header(r, "accept-encoding"), "gzip");
	return HTTP_DONE;
}
