#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/memory.h"
#include "consumer/reader_internal.h"

#define COMMANDS_AT_ONCE 64
#define TOLD_AT_ONCE     16
#define TOLD_AFTER_MS    5

void reader_tell_core(struct reader *r, struct core_event event)
{
	event.now_ms = loop_now_ms(r->loop);
	queue_push(r->settings.core, &event);
}

static void wake_core(void *arg)
{
	struct reader *r = arg;

	r->told = 0;
	loop_timer_arm(r->tell, -1);
	queue_wake(r->settings.core);
}

/* The core is woken for several. */
void reader_tell_empty(struct reader *r, struct core_event event)
{
	event.now_ms = loop_now_ms(r->loop);
	queue_add(r->settings.core, &event);
	if (++r->told == TOLD_AT_ONCE || r->fetching == 0)
		wake_core(r);
	else if (r->told == 1)
		loop_timer_arm(r->tell, TOLD_AFTER_MS);
}

void reader_wait(struct reader *r, struct reader_wait wait, int64_t delay_ms)
{
	wait.at_ms = loop_now_ms(r->loop) + delay_ms;
	if (r->wait_count == r->wait_capacity) {
		r->wait_capacity = r->wait_capacity ? 2 * r->wait_capacity : 16;
		r->waits = memory_resize(r->waits, r->wait_capacity * sizeof(*r->waits));
	}
	r->waits[r->wait_count++] = wait;
	if (r->wait_count == 1 || wait.at_ms < r->waits[0].at_ms) {
		r->waits[r->wait_count - 1] = r->waits[0];
		r->waits[0] = wait;
		loop_timer_arm(r->timer, delay_ms);
	}
}

/* waits[0] is the next one to come due. */
static void arm_next(struct reader *r)
{
	size_t next = 0;

	for (size_t i = 1; i < r->wait_count; i++)
		if (r->waits[i].at_ms < r->waits[next].at_ms)
			next = i;
	if (r->wait_count == 0)
		return;

	struct reader_wait first = r->waits[next];
	int64_t delay_ms = first.at_ms - loop_now_ms(r->loop);

	r->waits[next] = r->waits[0];
	r->waits[0] = first;
	loop_timer_arm(r->timer, delay_ms > 0 ? delay_ms : 0);
}

static void on_timer(void *arg)
{
	struct reader *r = arg;
	int64_t now_ms = loop_now_ms(r->loop);

	for (size_t i = 0; i < r->wait_count;) {
		struct reader_wait w = r->waits[i];

		if (w.at_ms > now_ms) {
			i++;
			continue;
		}
		r->waits[i] = r->waits[--r->wait_count];
		if (w.letter)
			r->settings.letter(r->settings.arg, w.letter);
		else
			hand_again(r, w.lane, w.slot);
	}
	arm_next(r);
}

static void on_commands(void *arg, int fd, uint32_t events)
{
	struct reader *r = arg;
	struct reader_command some[COMMANDS_AT_ONCE];
	size_t count = queue_drain(r->commands, some, COMMANDS_AT_ONCE);

	(void)fd;
	(void)events;
	for (size_t i = 0; i < count; i++) {
		switch (some[i].type) {
		case READER_FETCH:
			(some[i].lane->file ? reader_fetch_file : reader_fetch_shard)(r,
										      some[i].lane);
			break;
		case READER_ANSWER:
			hand_answer(r, some[i].delivery);
			break;
		case READER_LETTERED:
			hand_lettered(r, some[i].letter, some[i].stored);
			break;
		case READER_GO_ON:
			reader_go_on_shard(some[i].lane);
			break;
		case READER_UNLISTED:
			some[i].lane->unlisted = true;
			some[i].lane->stream_gone = some[i].stream_gone;
			break;
		case READER_DROP:
			lane_well(r, some[i].lane);
			if (some[i].lane->file)
				reader_shut_file(r, some[i].lane->file);
			lane_free(some[i].lane);
			atomic_fetch_sub(&r->drops, 1);
			break;
		case READER_HALT_FILES:
			reader_shut_files(r);
			break;
		}
	}
}

static void *reader_main(void *arg)
{
	struct reader *r = arg;

	loop_run(r->loop);
	return NULL;
}

struct reader *reader_start(const struct reader_settings *settings, struct error *err)
{
	struct reader *r = memory_new(sizeof(*r));

	r->settings = *settings;
	rng_seed(&r->rng, settings->seed);
	r->loop = loop_new(settings->clock);
	r->client = aws_client_new(r->loop, settings->aws, settings->credentials, settings->clock,
				   settings->metrics, err);
	if (!r->client) {
		loop_free(r->loop);
		free(r);
		return NULL;
	}
	/* A fetch, an answer a sink, a letter a sink or page: what a lane can have under way; that
	 * it is not listed, that it goes on, and its end; and once the end of all files. */
	r->commands =
		queue_new(sizeof(struct reader_command),
			  1 + settings->fetches_max +
				  (size_t)settings->lanes_max * (CORE_SINKS_MAX + CORE_PAGES + 3));
	r->timer = loop_timer_new(r->loop, on_timer, r);
	r->tell = loop_timer_new(r->loop, wake_core, r);
	loop_watch(r->loop, queue_fd(r->commands), EPOLLIN, on_commands, r);
	if (pthread_create(&r->thread, NULL, reader_main, r) != 0) {
		error_set(err, ERROR_INVALID, "reader %u: no thread could be started",
			  settings->index);
		r->thread = 0;
		reader_free(r);
		return NULL;
	}
	pthread_setname_np(r->thread, "reader");
	return r;
}

void reader_stop(struct reader *r)
{
	loop_stop(r->loop);
	pthread_join(r->thread, NULL);
	while (r->files)
		reader_shut_file(r, r->files);
	aws_client_free(r->client);
	r->client = NULL;
}

static void command_free(const struct reader_command *c)
{
	if (c->type == READER_LETTERED)
		letter_free(c->letter);
	else if (c->type == READER_DROP)
		lane_free(c->lane);
}

void reader_free(struct reader *r)
{
	struct reader_command c;

	if (!r)
		return;
	aws_client_free(r->client);
	while (queue_drain(r->commands, &c, 1) == 1)
		command_free(&c);
	for (size_t i = 0; i < r->wait_count; i++)
		letter_free(r->waits[i].letter);
	free(r->waits);
	batch_free(r->spare);
	loop_timer_free(r->timer);
	loop_timer_free(r->tell);
	queue_free(r->commands);
	loop_free(r->loop);
	free(r);
}

static void command(struct reader *r, struct reader_command c)
{
	/* A queue that was closed belongs to a reader that has stopped. */
	if (!queue_push(r->commands, &c))
		command_free(&c);
}

void reader_fetch(struct reader *r, struct lane *lane)
{
	struct reader_command c = { .type = READER_FETCH, .lane = lane };

	queue_add(r->commands, &c);
}

void reader_wake(struct reader *r)
{
	queue_wake(r->commands);
}

bool reader_drop(struct reader *r, struct lane *lane)
{
	if (atomic_load(&r->drops) >= r->settings.lanes_max)
		return false;
	atomic_fetch_add(&r->drops, 1);
	command(r, (struct reader_command){ .type = READER_DROP, .lane = lane });
	return true;
}

void reader_halt_files(struct reader *r)
{
	command(r, (struct reader_command){ .type = READER_HALT_FILES });
}

void reader_go_on(struct reader *r, struct lane *lane)
{
	command(r, (struct reader_command){ .type = READER_GO_ON, .lane = lane });
}

void reader_unlisted(struct reader *r, struct lane *lane, bool stream_gone)
{
	command(r, (struct reader_command){
			   .type = READER_UNLISTED, .lane = lane, .stream_gone = stream_gone });
}

void reader_answer(struct reader *r, struct lane_delivery *d)
{
	command(r, (struct reader_command){ .type = READER_ANSWER, .delivery = d });
}

void reader_lettered(struct reader *r, struct letter *l, bool stored)
{
	command(r,
		(struct reader_command){ .type = READER_LETTERED, .letter = l, .stored = stored });
}

int64_t reader_beat_ms(const struct reader *r)
{
	return loop_beat_ms(r->loop);
}
