#include "ops/snapshot.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/memory.h"
#include "checkpoint/store.h"
#include "ops/operator.h"
#include "ops/status.h"

#define EVERY_MS 2000
/* Nobody has asked for so long: the connection to the store is given back. */
#define IDLE_S 30

struct asker {
	struct asker *next;
	snapshot_fn *fn;
	void *arg;
};

struct snapshot {
	const struct config *config;
	struct clock clock;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t asked;
	struct asker *askers;
	bool stop, ended;
	/* The last one. The thread writes them, under the lock. */
	struct buf json;
	bool ok;
	int64_t read_ms;     /* 0: there is none */
	struct store *store; /* the thread's; NULL: not open */
};

static void write_error(struct buf *out, const char *text)
{
	buf_clear(out);
	buf_text(out, "{\"error\":");
	buf_json_text(out, str_of(text));
	buf_text(out, "}");
}

static bool read_store(struct snapshot *s, struct buf *out)
{
	struct error err = { 0 };
	struct status t;
	bool ok;

	if (!s->store)
		s->store = store_open_reader(s->config->checkpoint.store, OPERATOR_STORE_TIMEOUT_MS,
					     &err);
	if (!s->store) {
		write_error(out, err.message);
		return false;
	}
	ok = status_collect(&t, s->config, s->store, &err);
	if (ok)
		status_json(&t, out);
	else
		write_error(out, err.message);
	status_release(&t);
	if (!ok)
		store_close(MOVE(s->store));
	return ok;
}

static void answer_all(struct snapshot *s, struct asker *askers)
{
	while (askers) {
		struct asker *next = askers->next;

		askers->fn(askers->arg, s->ok, buf_str(&s->json));
		free(askers);
		askers = next;
	}
}

/* The caller holds the lock. */
static struct asker *take_askers(struct snapshot *s)
{
	struct asker *askers = s->askers;

	s->askers = NULL;
	return askers;
}

/* NULL: it ends, and who still waits is answered by that. */
static struct asker *wait_asked(struct snapshot *s)
{
	struct asker *askers;
	struct timespec until;

	pthread_mutex_lock(&s->lock);
	while (!s->askers && !s->stop) {
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec += IDLE_S;
		if (pthread_cond_timedwait(&s->asked, &s->lock, &until) != 0 && s->store)
			store_close(MOVE(s->store));
	}
	askers = s->stop ? NULL : take_askers(s);
	pthread_mutex_unlock(&s->lock);
	return askers;
}

static void *run(void *arg)
{
	struct snapshot *s = arg;
	struct asker *askers, *later;

	while ((askers = wait_asked(s)) != NULL) {
		struct buf json = { 0 };
		bool ok = read_store(s, &json);

		pthread_mutex_lock(&s->lock);
		buf_release(&s->json);
		s->json = json;
		s->ok = ok;
		s->read_ms = clock_boot_ms(&s->clock);
		later = take_askers(s);
		pthread_mutex_unlock(&s->lock);
		answer_all(s, askers);
		answer_all(s, later);
	}
	store_free(s->store);
	return NULL;
}

struct snapshot *snapshot_start(const struct config *config)
{
	struct snapshot *s = memory_new(sizeof(*s));

	s->config = config;
	clock_init(&s->clock);
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->asked, NULL);
	if (pthread_create(&s->thread, NULL, run, s) != 0) {
		free(s);
		return NULL;
	}
	pthread_setname_np(s->thread, "status");
	return s;
}

void snapshot_ask(struct snapshot *s, snapshot_fn *fn, void *arg)
{
	struct asker *a;

	pthread_mutex_lock(&s->lock);
	if (s->ended || (s->read_ms > 0 && clock_boot_ms(&s->clock) - s->read_ms < EVERY_MS)) {
		fn(arg, s->ok, buf_str(&s->json));
		pthread_mutex_unlock(&s->lock);
		return;
	}
	a = memory_new(sizeof(*a));
	*a = (struct asker){ .next = s->askers, .fn = fn, .arg = arg };
	s->askers = a;
	pthread_cond_signal(&s->asked);
	pthread_mutex_unlock(&s->lock);
}

void snapshot_end(struct snapshot *s)
{
	struct asker *left;

	pthread_mutex_lock(&s->lock);
	s->stop = true;
	pthread_cond_signal(&s->asked);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->thread, NULL);
	pthread_mutex_lock(&s->lock);
	s->ended = true;
	s->ok = false;
	write_error(&s->json, "the worker stops");
	left = take_askers(s);
	pthread_mutex_unlock(&s->lock);
	answer_all(s, left);
}

void snapshot_free(struct snapshot *s)
{
	buf_release(&s->json);
	pthread_cond_destroy(&s->asked);
	pthread_mutex_destroy(&s->lock);
	free(s);
}
