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
/* A sink that was added at added_ms (AWS time), to begin at the oldest record that is left, takes
 * the shard as it is: what may have been trimmed by then it was not promised. A shard that is
 * younger than that, and any at all once a day has passed, it has to get whole. */
bool loss_is_not_missed(const char *shard, int64_t added_ms, int64_t now_ms);
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
