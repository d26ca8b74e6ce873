#include "tests/emulator/shard.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "tests/emulator/firehose.h"

#define GROUP 3 /* records a pair of keys gets in one round */

void shard_release(struct shard *s)
{
	for (size_t i = 0; i < s->put_count; i++)
		free(s->puts[i].json);
	free(s->puts);
	free(s->paces);
	free(s->pairs);
	free(s->base);
}

static uint64_t shard_generated(const struct shard *s, int64_t now_ms)
{
	const struct shard_pace *p = s->pace_count ? &s->paces[s->pace_count - 1] : NULL;
	double due;

	if (!p || s->closed || p->each_ms == 0)
		return s->total;
	due = now_ms > p->at_ms ? (double)(now_ms - p->at_ms) / p->each_ms : 0;
	return due >= (double)(s->total - p->from) ? s->total : p->from + (uint64_t)due;
}

uint64_t shard_count(const struct shard *s, int64_t now_ms)
{
	if (s->firehose)
		return s->total * firehose_page_records(s->firehose);
	return shard_generated(s, now_ms) + s->put_count;
}

static void shard_add_pace(struct shard *s, uint64_t from, int64_t at_ms, double each_ms)
{
	s->paces = memory_resize(s->paces, (s->pace_count + 1) * sizeof(s->paces[0]));
	s->paces[s->pace_count++] = (struct shard_pace){ from, at_ms, each_ms };
}

void shard_pace(struct shard *s, int64_t now_ms, double each_ms)
{
	shard_add_pace(s, s->pace_count ? shard_generated(s, now_ms) : 0, now_ms, each_ms);
}

void shard_jump(struct shard *s, int64_t from_ms, int64_t to_ms)
{
	uint64_t made = shard_generated(s, from_ms);

	if (made < s->total)
		shard_add_pace(s, made, to_ms, s->paces[s->pace_count - 1].each_ms);
}

void shard_close(struct shard *s, int64_t now_ms)
{
	s->total = shard_generated(s, now_ms);
	s->closed = true;
	s->closed_ms = now_ms;
}

void shard_put(struct shard *s, int64_t now_ms, int64_t created_ms, const char *json, size_t size)
{
	struct shard_put *put;

	if (s->put_count == s->put_capacity) {
		s->put_capacity = s->put_capacity ? s->put_capacity * 2 : 16;
		s->puts = memory_resize(s->puts, s->put_capacity * sizeof(s->puts[0]));
	}
	put = &s->puts[s->put_count];
	*put = (struct shard_put){ .index = shard_generated(s, now_ms) + s->put_count,
				   .created_ms = created_ms,
				   .json = memory_text_n(json, size),
				   .size = size };
	s->put_count++;
}

/* How many puts come before `index`; *at is the put with this very index or NULL. */
static size_t shard_puts_before(const struct shard *s, uint64_t index, const struct shard_put **at)
{
	size_t low = 0, high = s->put_count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (s->puts[middle].index < index)
			low = middle + 1;
		else
			high = middle;
	}
	*at = low < s->put_count && s->puts[low].index == index ? &s->puts[low] : NULL;
	return low;
}

sequence_number shard_sequence(const struct shard *s, uint64_t index)
{
	uint64_t per_page;

	if (!s->firehose)
		return s->first + (sequence_number)(index + 1) * s->step;
	per_page = firehose_page_records(s->firehose);
	return s->first + (sequence_number)(index / per_page) * FIREHOSE_PAGE_STEP +
	       index % per_page + 1;
}

sequence_number shard_end(const struct shard *s)
{
	uint64_t count = shard_count(s, 0);

	return (count ? shard_sequence(s, count - 1) : s->first) + 5;
}

char *sequence_number_text(sequence_number n, char out[SHARD_SEQUENCE_SIZE])
{
	char text[SHARD_SEQUENCE_SIZE];
	size_t at = sizeof(text);

	text[--at] = '\0';
	do {
		text[--at] = (char)('0' + (int)(n % 10));
		n /= 10;
	} while (n);
	memcpy(out, text + at, sizeof(text) - at);
	return out;
}

bool sequence_number_parse(struct str text, sequence_number *out)
{
	sequence_number n = 0;
	size_t digits = 0;

	if (text.n == 0 || text.n > SHARD_SEQUENCE_SIZE - 1)
		return false;
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] < '0' || text.p[i] > '9')
			return false;
		if (digits || text.p[i] != '0')
			digits++;
		if (digits > 38)
			n = ~(sequence_number)0;
		else
			n = n * 10 + (unsigned)(text.p[i] - '0');
	}
	*out = n;
	return true;
}

uint64_t shard_find(const struct shard *s, sequence_number n, uint64_t count)
{
	uint64_t low = 0, high = count;

	while (low < high) {
		uint64_t middle = low + (high - low) / 2;

		if (shard_sequence(s, middle) < n)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

int64_t shard_created_ms(const struct shard *s, uint64_t index)
{
	const struct shard_put *put;
	const struct shard_pace *p;
	uint64_t generated = index - shard_puts_before(s, index, &put);

	if (put)
		return put->created_ms;
	if (!s->pace_count)
		return s->created_ms;
	p = &s->paces[s->pace_count - 1];
	while (p > s->paces && p->from > generated)
		p--;
	return p->at_ms + (int64_t)((double)(generated - p->from) * p->each_ms);
}

static uint64_t find_time(const struct shard *s, int64_t time_ms, uint64_t low, uint64_t high)
{

	while (low < high) {
		uint64_t middle = low + (high - low) / 2;

		if (shard_created_ms(s, middle) < time_ms)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

uint64_t shard_find_time(const struct shard *s, int64_t time_ms, uint64_t count)
{
	return find_time(s, time_ms, s->trimmed, count);
}

uint64_t shard_find_past(const struct shard *s, int64_t time_ms, uint64_t count)
{
	return find_time(s, time_ms, 0, count);
}

/* The order of the pairs in a round: q · prime + shift, a permutation as no prime here divides a
 * pair count (they are all larger). */
static uint32_t shard_pair_at(const struct shard *s, uint64_t round, uint64_t q)
{
	static const uint64_t primes[] = { 2147483647, 2147483629, 2147483587, 2147483579 };
	uint64_t h = generate_mix(s->number, round, 11);

	return (uint32_t)((q * primes[h % 4] + (h >> 32)) % s->pair_count);
}

/* Changes of a key before `round`: two in the rounds in which it leads, else one. */
static uint64_t before_round(uint64_t round, bool second)
{
	return round + (second ? round / 2 : (round + 1) / 2);
}

bool shard_change(const struct shard *s, uint64_t index, uint64_t *key, uint64_t *n)
{
	const struct shard_put *put;
	uint64_t generated = index - shard_puts_before(s, index, &put);
	uint64_t group = generated / GROUP, round, part = generated % GROUP;
	uint32_t pair;
	bool second;

	if (put)
		return false;
	assert(s->pair_count);
	round = group / s->pair_count;
	pair = shard_pair_at(s, round, group % s->pair_count);
	/* x, y, x: in even rounds the pair's first key leads. */
	second = (part == 1) != (round % 2 == 1);
	*key = (uint64_t)s->pairs[pair] * 2 + second;
	*n = s->base[pair * 2 + second] + before_round(round, second) + (part == 2) + 1;
	return true;
}

size_t shard_record(struct buf *out, const struct shard *s, const struct generator *g,
		    uint64_t index, const char *region)
{
	const struct shard_put *put;
	char sequence[SHARD_SEQUENCE_SIZE];
	struct change c = { .region = region, .sequence = sequence };
	bool fits;

	shard_puts_before(s, index, &put);
	if (put) {
		fits = buf_add(out, put->json, put->size);
		assert(fits);
		return put->size;
	}
	shard_change(s, index, &c.key, &c.n);
	c.created_ms = shard_created_ms(s, index);
	sequence_number_text(shard_sequence(s, index), sequence);
	return generate_record(out, g, &c);
}

void shard_counters(const struct shard *s, uint64_t count, uint64_t *ends)
{
	const struct shard_put *put;
	uint64_t generated = count - shard_puts_before(s, count, &put);
	uint64_t groups = generated / GROUP, round, done;

	if (!s->pair_count)
		return;
	round = groups / s->pair_count;
	done = groups % s->pair_count;
	for (uint32_t i = 0; i < s->pair_count * 2; i++)
		ends[i] = s->base[i] + before_round(round, i % 2);
	for (uint64_t q = 0; q <= done; q++) {
		uint32_t pair = shard_pair_at(s, round, q);
		uint64_t parts = q < done ? GROUP : generated % GROUP;
		bool leader = round % 2;

		ends[pair * 2 + leader] += parts == GROUP ? 2 : parts > 0;
		ends[pair * 2 + !leader] += parts > 1;
	}
}
