#include "ops/signals.h"

#include <assert.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"

#define ECHO_MS 100

struct signals {
	pthread_t thread;
	int signal_fd, stop_fd, end_fd;
	_Atomic bool stop;
	struct clock clock;
	int64_t first_ms; /* boot time of the first SIGTERM or SIGINT; 0: none yet */
	void (*hangup)(void *arg);
	void *arg;
};

/* A supervisor that signals a process and its group sends the same request twice. */
static bool echo(struct signals *s)
{
	int64_t now_ms = clock_boot_ms(&s->clock);

	if (s->first_ms == 0)
		s->first_ms = now_ms;
	return atomic_load(&s->stop) && now_ms - s->first_ms < ECHO_MS;
}

static void on_signal(struct signals *s, int number)
{
	if (number == SIGHUP) {
		s->hangup(s->arg);
		return;
	}
	if (echo(s))
		return;
	if (atomic_exchange(&s->stop, true)) {
		log_warn("stopped at once by a second signal");
		_exit(1);
	}
	eventfd_write(s->stop_fd, 1);
}

static void *signals_main(void *arg)
{
	struct signals *s = arg;
	struct pollfd p[2] = { { .fd = s->signal_fd, .events = POLLIN },
			       { .fd = s->end_fd, .events = POLLIN } };
	struct signalfd_siginfo info;

	for (;;) {
		poll(p, 2, -1);
		if (p[1].revents)
			return NULL;
		if (read(s->signal_fd, &info, sizeof(info)) == sizeof(info))
			on_signal(s, (int)info.ssi_signo);
	}
}

struct signals *signals_start(void (*hangup)(void *arg), void *arg)
{
	struct signals *s = memory_new(sizeof(*s));
	sigset_t set;
	int failed;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	clock_init(&s->clock);
	s->hangup = hangup;
	s->arg = arg;
	s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	s->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	s->end_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	failed = pthread_create(&s->thread, NULL, signals_main, s);
	assert(!failed && s->signal_fd >= 0 && s->stop_fd >= 0 && s->end_fd >= 0);
	return s;
}

void signals_stop(struct signals *s)
{
	if (!s)
		return;
	eventfd_write(s->end_fd, 1);
	pthread_join(s->thread, NULL);
	close(s->signal_fd);
	close(s->stop_fd);
	close(s->end_fd);
	free(s);
}

const _Atomic bool *signals_flag(const struct signals *s)
{
	return &s->stop;
}

int signals_fd(const struct signals *s)
{
	return s->stop_fd;
}
