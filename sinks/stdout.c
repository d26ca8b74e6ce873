#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/queue.h"
#include "sinks/sink.h"

/* Payloads as lines on stdout, for `sluice tail` and for a first look. One thread writes, so that
 * lines of different shards never mix, and so that a terminal that was stopped or a slow pipe holds
 * up nobody but this sink. */

/* What a pipe that polls as writable takes at once, without waiting. */
#define WRITE_BYTES    4096
#define DELIVERIES_MAX 1024
/* A line whose first half is out gets so long for the rest when the sink is told to stop. */
#define LINE_MS 1000
/* A look at the caller's `stop` is due so often. */
#define LOOK_MS 100

struct stdout_settings {
	long format;  /* enum event_format */
	long numbers; /* 1: as strings */
	struct event_fields fields;
};

struct sink {
	const struct sink_host *host;
	struct queue *queue; /* struct delivery * */
	pthread_t thread;
	int stop_fd;          /* readable: waits are over */
	_Atomic bool stopped; /* purged or closing: nothing more is printed */
	_Atomic int failure;  /* errno of stdout; 0 */
	struct metric_cell *delivered, *delivered_bytes;
};

#define ROW(key, kind, field, ...)                                                                 \
	{                                                                                          \
		.name = (key), .type = (kind), .offset = offsetof(struct stdout_settings, field),  \
		__VA_ARGS__                                                                        \
	}
static const struct option stdout_options[] = {
	ROW("format", OPTION_ENUM, format, .def = "plain", .choices = sink_formats,
	    .help = "Form of a line."),
	ROW("numbers", OPTION_ENUM, numbers, .def = "exact", .choices = sink_numbers,
	    .help = "Numbers with the digits that DynamoDB gave, or as strings."),
	SINK_FIELDS(struct stdout_settings),
	{ 0 },
};

static const char *failure_text(int failure)
{
	return failure == EPIPE ? "stdout: its reader closed it" : strerror(failure);
}

static bool stopped(const struct sink *s)
{
	return atomic_load_explicit(&s->stopped, memory_order_relaxed);
}

/* Until stdout takes bytes; false once the sink is stopped, or after LINE_MS within a line. */
static bool wait_writable(struct sink *s, bool inside_line)
{
	struct pollfd fds[] = { { .fd = STDOUT_FILENO, .events = POLLOUT },
				{ .fd = s->stop_fd, .events = POLLIN } };

	for (;;) {
		bool last = stopped(s);
		int n;

		if (last && !inside_line)
			return false;
		n = poll(fds, last ? 1 : 2, last ? LINE_MS : -1);
		if (n > 0 && fds[0].revents)
			return true; /* an error is told by write */
		if (n == 0 || (n < 0 && errno != EINTR))
			return false;
	}
}

/* How many bytes of `data` go out in one write: whole lines, or a piece of a long one. */
static size_t piece(const char *data, size_t n)
{
	const char *end;

	if (n <= WRITE_BYTES)
		return n;
	end = memrchr(data, '\n', WRITE_BYTES);
	return end ? (size_t)(end - data) + 1 : WRITE_BYTES;
}

/* `data` ends with a newline. How many bytes went out. */
static size_t print(struct sink *s, const char *data, size_t n)
{
	size_t done = 0;

	while (done < n) {
		ssize_t wrote;

		if (!wait_writable(s, done > 0 && data[done - 1] != '\n'))
			break;
		wrote = write(STDOUT_FILENO, data + done, piece(data + done, n - done));
		if (wrote >= 0) {
			done += (size_t)wrote;
		} else if (errno != EINTR && errno != EAGAIN) {
			atomic_store(&s->failure, errno);
			break;
		}
	}
	return done;
}

static void fatal(struct sink *s)
{
	struct sink_answer a = { .kind = SINK_FATAL, .sink = s->host->index };

	error_set(&a.err, ERROR_INVALID, "%s", failure_text(atomic_load(&s->failure)));
	s->host->answer(s->host->arg, &a);
}

/* Records before `first` are out. */
static void answer(struct sink *s, struct delivery *d, size_t first)
{
	struct sink_answer a = {
		.kind = SINK_FAILED, .sink = s->host->index, .delivery = d, .first = first
	};
	int failure = atomic_load(&s->failure);

	for (size_t i = d->first; i < first; i++)
		if (d->payloads[i].p) {
			metric_add(s->delivered, 1);
			metric_add(s->delivered_bytes, (int64_t)d->payloads[i].n);
		}
	if (first == d->batch->count)
		a.kind = SINK_TAKEN;
	else if (failure)
		error_set(&a.err, ERROR_INVALID, "%s", failure_text(failure));
	else if (stopped(s))
		error_set(&a.err, ERROR_CANCELLED, "stdout: the session ends");
	else
		error_set(&a.err, ERROR_THROTTLED, "stdout: its reader is slow");
	s->host->answer(s->host->arg, &a);
}

/* The end of the run of payloads that stand one behind the other, newlines between them, from i. */
static size_t run_end(const struct delivery *d, size_t i)
{
	size_t end = i + 1;

	while (end < d->batch->count && d->payloads[end].p &&
	       d->payloads[end].p == d->payloads[end - 1].p + d->payloads[end - 1].n + 1)
		end++;
	return end;
}

/* The record in which `p` lies, or which begins with it. */
static size_t record_at(const struct delivery *d, size_t i, size_t end, const char *p)
{
	while (i < end && p > d->payloads[i].p + d->payloads[i].n)
		i++;
	return i;
}

static void deliver(struct sink *s, struct delivery *d)
{
	size_t i = d->first;
	bool was_well = atomic_load(&s->failure) == 0;

	while (i < d->batch->count && was_well && !stopped(s)) {
		size_t end, n, done;
		const char *data = d->payloads[i].p;

		if (!data) {
			i++;
			continue;
		}
		end = run_end(d, i);
		n = (size_t)(d->payloads[end - 1].p + d->payloads[end - 1].n + 1 - data);
		done = print(s, data, n);
		i = record_at(d, i, end, data + done);
		if (done < n)
			break;
	}
	/* What is left has no payload: it is not for this sink. */
	while (i < d->batch->count && !d->payloads[i].p)
		i++;
	if (was_well && atomic_load(&s->failure) != 0)
		fatal(s);
	answer(s, d, i);
}

static void *run(void *arg)
{
	struct sink *s = arg;
	struct delivery *d;

	for (;;) {
		bool closed = queue_closed(s->queue); /* before: then the drain sees all there is */

		while (queue_drain(s->queue, &d, 1) == 1)
			deliver(s, d);
		if (closed)
			return NULL;
		queue_wait(s->queue, -1);
	}
}

static struct sink *stdout_open(const void *settings, const struct sink_host *host,
				struct error *err)
{
	struct sink *s = memory_new(sizeof(*s));
	sigset_t pipe_signal, before;
	int failed;

	(void)settings;
	s->host = host;
	s->delivered = metrics_cell(host->metrics, METRIC_DELIVERED, host->name, NULL);
	s->delivered_bytes = metrics_cell(host->metrics, METRIC_DELIVERED_BYTES, host->name, NULL);
	s->queue = queue_new(sizeof(struct delivery *), DELIVERIES_MAX);
	s->stop_fd = eventfd(0, EFD_CLOEXEC);
	/* The thread inherits it: a closed pipe is an error of write, not the end of the process.
	 */
	sigemptyset(&pipe_signal);
	sigaddset(&pipe_signal, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipe_signal, &before);
	failed = s->stop_fd < 0 ? errno : pthread_create(&s->thread, NULL, run, s);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!failed) {
		pthread_setname_np(s->thread, "sink");
		return s;
	}
	if (s->stop_fd >= 0)
		close(s->stop_fd);
	queue_free(s->queue);
	free(s);
	error_set(err, ERROR_RETRY, "stdout sink %s: no thread for it: %s", host->name,
		  strerror(failed));
	return NULL;
}

static void stdout_write(struct sink *s, struct delivery *d)
{
	if (!queue_offer(s->queue, &d))
		answer(s, d, d->first);
}

static void stdout_purge(struct sink *s)
{
	const uint64_t one = 1;

	atomic_store(&s->stopped, true);
	while (write(s->stop_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

static void stdout_close(struct sink *s)
{
	stdout_purge(s);
	queue_close(s->queue);
	pthread_join(s->thread, NULL);
	close(s->stop_fd);
	queue_free(s->queue);
	free(s);
}

static const char *stdout_trouble(struct sink *s, char *out, size_t size)
{
	int failure = atomic_load(&s->failure);

	if (failure == 0)
		return NULL;
	snprintf(out, size, "%s", failure_text(failure));
	return out;
}

static bool stdout_check(const void *settings, const struct sink_host *host, struct buf *said,
			 struct error *err)
{
	struct pollfd fd = { .fd = STDOUT_FILENO, .events = POLLOUT };

	(void)settings;
	(void)host;
	if (poll(&fd, 1, 0) > 0 && (fd.revents & (POLLERR | POLLNVAL)))
		return error_set(err, ERROR_INVALID, "stdout is closed");
	buf_text(said, "prints to stdout");
	return true;
}

/* False: it was stopped before a byte of the line was out, or stdout is gone. */
static bool print_line(struct str text, const _Atomic bool *stop, struct error *err)
{
	struct buf line;
	size_t done = 0;

	buf_init(&line, 0);
	buf_printf(&line, "%.*s\n", STR_ARG(text));
	while (done < line.size) {
		struct pollfd fd = { .fd = STDOUT_FILENO, .events = POLLOUT };
		ssize_t wrote = 0;

		if (poll(&fd, 1, LOOK_MS) > 0)
			wrote = write(STDOUT_FILENO, line.data + done,
				      piece(line.data + done, line.size - done));
		if (wrote < 0 && errno != EINTR && errno != EAGAIN) {
			error_set(err, ERROR_INVALID, "%s", failure_text(errno));
			break;
		}
		done += wrote > 0 ? (size_t)wrote : 0;
		if (done < line.size && atomic_load(stop)) {
			error_set(err, ERROR_CANCELLED, "stopped");
			break;
		}
	}
	buf_release(&line);
	return err->kind == ERROR_NONE;
}

/* Line i of what is printed. */
typedef struct str line_fn(const void *batch, size_t i);

static bool print_lines(const struct sink_host *host, const void *batch, line_fn *line,
			size_t count, const _Atomic bool *stop, size_t *sent, struct error *err)
{
	sigset_t pipe_signal, before;

	*err = (struct error){ 0 };
	/* A closed pipe is an error of write, not the end of the process. */
	sigemptyset(&pipe_signal);
	sigaddset(&pipe_signal, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipe_signal, &before);
	for (*sent = 0; *sent < count; ++*sent)
		if (!print_line(line(batch, *sent), stop, err))
			break;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return *sent == count || error_wrap(err, "sink %s", host->name);
}

static struct str letter_line(const void *batch, size_t i)
{
	return ((const struct sink_letters *)batch)->letters[i].json;
}

static bool stdout_letters(const void *settings, const struct sink_host *host,
			   const struct sink_letters *batch, const _Atomic bool *stop, size_t *sent,
			   size_t *refused, struct error *err)
{
	(void)settings;
	*refused = batch->count;
	return print_lines(host, batch, letter_line, batch->count, stop, sent, err);
}

static struct str record_line(const void *batch, size_t i)
{
	const struct delivery *d = ((const struct sink_again *)batch)->records[i];

	return d->payloads[d->first];
}

static bool stdout_again(const void *settings, const struct sink_host *host,
			 const struct sink_again *batch, const _Atomic bool *stop, size_t *sent,
			 size_t *refused, struct error *err)
{
	(void)settings;
	*refused = batch->count;
	return print_lines(host, batch, record_line, batch->count, stop, sent, err);
}

static enum sink_commit stdout_commit(const void *settings)
{
	(void)settings;
	return SINK_IMMEDIATE;
}

static struct encoding stdout_encoding(const void *settings)
{
	const struct stdout_settings *s = settings;

	return (struct encoding){ .format = (enum event_format)s->format,
				  .numbers_as_strings = s->numbers != 0,
				  .fields = event_fields_set(&s->fields) };
}

static bool stdout_validate(const void *settings, struct error *err)
{
	const struct stdout_settings *s = settings;

	return sink_fields_check(&s->fields, s->format, err);
}

const struct sink_ops sink_stdout = {
	.config = { .type = "stdout",
		    .options = stdout_options,
		    .settings_size = sizeof(struct stdout_settings),
		    .validate = stdout_validate },
	.commit = stdout_commit,
	.encoding = stdout_encoding,
	.open = stdout_open,
	.write = stdout_write,
	.letters = stdout_letters,
	.again = stdout_again,
	.purge = stdout_purge,
	.check = stdout_check,
	.trouble = stdout_trouble,
	.close = stdout_close,
};
