#pragma once
#include <stdbool.h>
#include <stdint.h>

/* Pure: how long until DynamoDB drops a record that is not delivered and saved yet, and when to say
 * so. */
#define LOSS_RETENTION_MS (24LL * 60 * 60 * 1000)

/* Epoch ms such that nothing older of the shard is missing, from what the store has: the time of
 * the last record delivered (0: none), else the time of its creation, which is in its id, or of the
 * stream's start (0: none), else when it was last read (0: never). 0: nothing is known. */
int64_t loss_place_ms(const char *shard, int64_t event_ms, int64_t start_ms, int64_t read_at_ms);
/* What was not read for this long is a gap whatever AWS answers: a shard that was trimmed from its
 * beginning on gives no error, and one that is gone is only not found. */
#define LOSS_UNREAD_MAX_MS (23LL * 60 * 60 * 1000)
/* Since when of this shard something was not read that may have left the stream by now (AWS time);
 * 0: nothing was. It was last read, or something of its stream, at read_at_ms (0: never); nothing
 * of it was yet, and all from begin_ms on has to be (0: some was, or what is left is enough). */
int64_t loss_unread_ms(const char *shard, int64_t read_at_ms, int64_t begin_ms, int64_t now_ms);
/* read_at_ms of a shard that goes back to where it was at place_ms: it is a gap a day after that.
 */
int64_t loss_set_back_ms(int64_t place_ms);
/* Records of the shard may have left the stream by at_ms (AWS time), or are about to: it is about
 * as old as a record that is dropped, or its id does not say how old it is. */
bool loss_may_have_begun(const char *shard, int64_t at_ms);
/* The oldest such place of lanes that nobody has; begins with 0. A store_unheld_fn. */
struct loss_unheld {
	int64_t start_ms; /* the stream's */
	int64_t place_ms; /* 0: none */
};
void loss_unheld(void *arg, const char *shard, int64_t event_ms, int64_t read_at_ms);
/* Time to loss of what may be so old; never below 0. */
int64_t loss_left_ms(int64_t age_ms);

/* A warning is said once, when the time stays under the limit for a few watches; and again only
 * after it was well over it. */
struct loss {
	unsigned under; /* watches in a row */
	bool near;
};
enum loss_word { LOSS_NOTHING, LOSS_NEAR, LOSS_AVERTED };
enum loss_word loss_watch(struct loss *l, int64_t left_ms, int64_t limit_ms);
