#include "aws/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"

#define WORDS_MAX  256
#define TURN_MS    100
#define LAST_MS    5 /* it has closed its outputs, and is about to end */
#define SAID_MAX   200
#define SAID_READS 64 /* a turn: it may say things for ever */

extern char **environ;

/* ---- the command line ---- */

/* One word from `*at` on to `*to`, which it moves; false where there is none. */
static bool word_next(const char **at, char **to, bool *closed)
{
	char quote = '\0';
	bool any = false;

	*at += strspn(*at, " \t\r\n");
	for (; **at && (quote || !strchr(" \t\r\n", **at)); (*at)++) {
		char c = **at;

		any = true;
		if (quote ? c == quote : c == '\'' || c == '"') {
			quote = quote ? '\0' : c;
			continue;
		}
		/* Between "…" it only keeps what would end them, or itself. */
		if (c == '\\' && (*at)[1] && quote != '\'' &&
		    (quote != '"' || (*at)[1] == '"' || (*at)[1] == '\\'))
			c = *++*at;
		*(*to)++ = c;
	}
	*(*to)++ = '\0';
	*closed = !quote;
	return any;
}

/* `room`: as long as the command and one more. */
static bool split(const char *command, char *room, char *words[WORDS_MAX], struct error *err)
{
	size_t n = 0;
	bool closed = true;

	for (; closed && n < WORDS_MAX; n++) {
		words[n] = room;
		if (!word_next(&command, &room, &closed))
			break;
	}
	if (!closed)
		return error_set(err, ERROR_REFUSED, "a quote that does not end");
	if (n == 0 || n == WORDS_MAX)
		return error_set(err, ERROR_REFUSED, n ? "too many words" : "no command");
	words[n] = NULL;
	return true;
}

/* ---- the child ---- */

struct child {
	pid_t pid;
	int out, said;           /* our ends of its standard output and error; -1: at their end */
	char tail[SAID_MAX + 1]; /* of what it said */
	size_t tail_n;
	bool ended;
	int status;
};

static int start(char *const *words, const int out[2], const int said[2], pid_t *pid)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t how;
	sigset_t none, all;
	int code;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&files, out[1], STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&files, said[1], STDERR_FILENO);
	posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
	posix_spawnattr_init(&how);
	/* What we block or ignore is no business of its. */
	posix_spawnattr_setsigmask(&how, &none);
	posix_spawnattr_setsigdefault(&how, &all);
	posix_spawnattr_setpgroup(&how, 0);
	posix_spawnattr_setflags(&how, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
					       POSIX_SPAWN_SETSIGDEF);
	code = posix_spawnp(pid, words[0], &files, &how, words, environ);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&how);
	return code;
}

static bool child_open(struct child *c, char *const *words, struct error *err)
{
	int out[2], said[2], code;

	if (pipe2(out, O_CLOEXEC) != 0)
		return error_set(err, ERROR_RETRY, "%m");
	if (pipe2(said, O_CLOEXEC) != 0) {
		error_set(err, ERROR_RETRY, "%m");
		close(out[0]);
		close(out[1]);
		return false;
	}
	code = start(words, out, said, &c->pid);
	close(out[1]);
	close(said[1]);
	c->out = out[0];
	c->said = said[0];
	fcntl(c->out, F_SETFL, O_NONBLOCK);
	fcntl(c->said, F_SETFL, O_NONBLOCK);
	c->ended = code != 0;
	return !c->ended ||
	       error_set(err, ERROR_REFUSED, "%.100s cannot be run: %s", words[0], strerror(code));
}

static void child_close(struct child *c)
{
	if (!c->ended) {
		kill(-c->pid, SIGKILL);
		while (waitpid(c->pid, &c->status, 0) < 0 && errno == EINTR)
			;
	}
	if (c->out >= 0)
		close(c->out);
	if (c->said >= 0)
		close(c->said);
}

/* Some bytes, 0 where there are none now; closes the file at its end. */
static size_t take(int *fd, char *chunk, size_t size)
{
	ssize_t n = *fd < 0 ? 0 : read(*fd, chunk, size);

	if (*fd >= 0 && (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))) {
		close(*fd);
		*fd = -1;
	}
	return n > 0 ? (size_t)n : 0;
}

static void take_said(struct child *c)
{
	char chunk[SAID_MAX];
	size_t n;

	for (int i = 0; i < SAID_READS && (n = take(&c->said, chunk, sizeof(chunk))) > 0; i++) {
		size_t over = c->tail_n + n > SAID_MAX ? c->tail_n + n - SAID_MAX : 0;

		memmove(c->tail, c->tail + over, c->tail_n - over);
		memcpy(c->tail + c->tail_n - over, chunk, n);
		c->tail_n += n - over;
	}
}

static bool take_out(struct child *c, struct buf *out, struct error *err)
{
	char chunk[4096];
	size_t n;
	bool fits = true;

	while (fits && (n = take(&c->out, chunk, sizeof(chunk))) > 0)
		fits = buf_add(out, chunk, n);
	explicit_bzero(chunk, sizeof(chunk));
	return fits || error_set(err, ERROR_REFUSED, "it prints more than %zu bytes", out->limit);
}

/* Takes what there is, after having waited for it a little. */
static bool turn(struct child *c, struct buf *out, struct error *err)
{
	struct pollfd p[2] = { { .fd = c->out, .events = POLLIN },
			       { .fd = c->said, .events = POLLIN } };
	pid_t got;

	poll(p, 2, c->out < 0 && c->said < 0 ? LAST_MS : TURN_MS);
	/* First whether it has ended: what it wrote before is there by then. */
	got = waitpid(c->pid, &c->status, WNOHANG);
	c->ended = got != 0;
	if (got < 0)
		return error_set(err, ERROR_REFUSED, "how it ended is not known: %m");
	take_said(c);
	return take_out(c, out, err);
}

/* One line of what it said, for the log. */
static const char *said(struct child *c)
{
	while (c->tail_n && (unsigned char)c->tail[c->tail_n - 1] <= ' ')
		c->tail_n--;
	c->tail[c->tail_n] = '\0';
	for (size_t i = 0; i < c->tail_n; i++)
		if ((unsigned char)c->tail[i] < ' ' || c->tail[i] == 0x7f)
			c->tail[i] = ' ';
	return c->tail;
}

static bool judge(struct child *c, struct error *err)
{
	const char *text = said(c);

	if (WIFSIGNALED(c->status))
		return error_set(err, ERROR_REFUSED, "it was ended by signal %d%s%s",
				 WTERMSIG(c->status), *text ? ": " : "", text);
	return WEXITSTATUS(c->status) == 0 ||
	       error_set(err, ERROR_REFUSED, "it ended with %d%s%s", WEXITSTATUS(c->status),
			 *text ? ": " : "", text);
}

static bool attend(struct child *c, const struct process_run *r, struct buf *out, struct error *err)
{
	struct clock clock;
	int64_t end_ms;

	clock_init(&clock);
	end_ms = clock_boot_ms(&clock) + r->timeout_ms;
	while (!c->ended) {
		const char *text;

		if (!turn(c, out, err))
			return false;
		if (c->ended)
			break;
		if (!r->go_on(r->arg))
			return error_set(err, ERROR_CANCELLED, "shutting down");
		if (clock_boot_ms(&clock) < end_ms)
			continue;
		take_said(c);
		text = said(c);
		return error_set(err, ERROR_RETRY, "it has not ended after %lld s%s%s",
				 (long long)r->timeout_ms / 1000, *text ? ": " : "", text);
	}
	return judge(c, err);
}

bool process_read(const struct process_run *r, struct buf *out, struct error *err)
{
	char *room = memory_new(strlen(r->command) + 2), *words[WORDS_MAX];
	struct child c = { .out = -1, .said = -1, .ended = true };
	bool ok;

	out->limit = r->output_max;
	ok = split(r->command, room, words, err) && child_open(&c, words, err) &&
	     attend(&c, r, out, err);
	child_close(&c);
	free(room);
	return ok;
}
