#include <stdio.h>
#include <string.h>

#include "aws/http.h"
#include "ops/arguments.h"
#include "ops/command.h"

#define DEFAULT_URL "http://127.0.0.1:8080"
#define TIMEOUT_MS  5000
#define ANSWER_MAX  ((size_t)1 << 20)

static const struct flag flags[] = {
	{ .name = "ready", .help = "ask /readyz instead of /livez" },
	{ .name = "url", .value = "URL", .help = "where it listens; default " DEFAULT_URL },
	{ 0 },
};

static int run(const struct arguments *a)
{
	const char *given = arguments_get(a, "url"), *base = given ? given : DEFAULT_URL;
	size_t n = strlen(base);
	struct error err = { 0 };
	struct buf answer = { 0 };
	char url[1024];
	int status = 0, code = EXIT_FAILED;
	struct http_fetch f = { .method = "GET",
				.url = url,
				.timeout_ms = TIMEOUT_MS,
				.body_max = ANSWER_MAX,
				.direct = true };

	while (n > 0 && base[n - 1] == '/')
		n--;
	snprintf(url, sizeof(url), "%.*s%s", (int)n, base,
		 arguments_get(a, "ready") ? "/readyz" : "/livez");
	if (!http_fetch(&f, &status, &answer, &err)) {
		fprintf(stderr, "sluice health: %s\n", err.message);
	} else {
		fwrite(answer.data, 1, answer.size, stdout);
		code = status == 200 ? EXIT_DONE : EXIT_FAILED;
	}
	buf_release(&answer);
	return code;
}

const struct command command_health = {
	.name = "health",
	.usage = "[--ready] [--url URL]",
	.help = "Ask a running worker whether it lives (or is ready): what a HEALTHCHECK calls.",
	.flags = flags,
	.run = run,
};
