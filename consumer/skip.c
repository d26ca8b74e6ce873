#include "consumer/skip.h"

#include <string.h>

static bool is_of(const struct store_skip *k, const struct lane *l)
{
	return strcmp(k->shard, l->shard) == 0 && sequence_compare(&k->sequence, &l->read) > 0;
}

static void mark(struct batch *b, struct event *e, const struct store_skip *k)
{
	b->bad_count += e->bad == NULL;
	e->bad = arena_printf(&b->arena, "skipped by %s%s%s", k->who, e->bad ? ": " : "",
			      e->bad ? e->bad : "");
	e->skipped = true;
}

/* Nobody gets it, and its transforms' faults are not its trouble any more. */
static void take_out(struct batch *b, size_t i)
{
	size_t left = 0;

	for (size_t n = 0; n < b->encoding_count; n++)
		b->payloads[n][i] = (struct str){ 0 };
	for (size_t n = 0; n < b->fault_count; n++)
		if (b->faults[n].event != i)
			b->faults[left++] = b->faults[n];
	b->fault_count = left;
}

void skip_records(const struct lane *l, struct batch *b)
{
	for (size_t n = 0; n < l->stream->skip_count; n++) {
		const struct store_skip *k = &l->stream->skips[n];

		if (!is_of(k, l))
			continue;
		for (size_t i = 0; i < b->count; i++)
			if (sequence_equal(&b->events[i].sequence, &k->sequence)) {
				mark(b, &b->events[i], k);
				take_out(b, i);
			}
	}
}

bool skip_waits(const struct lane *l)
{
	for (size_t n = 0; n < l->stream->skip_count; n++)
		if (is_of(&l->stream->skips[n], l))
			return true;
	return false;
}

/* What lies between the lane's place and another record must not go with that: its number has to
 * stand in the page. */
bool skip_page(const struct lane *l, struct batch *b)
{
	for (size_t n = 0; n < l->stream->skip_count; n++) {
		const struct store_skip *k = &l->stream->skips[n];
		struct event *e;

		if (!is_of(k, l) ||
		    !memmem(b->body.data, b->body.size, k->sequence.digits, k->sequence.length))
			continue;
		e = arena_alloc(&b->arena, sizeof(*e));
		*e = (struct event){ .sequence = k->sequence, .raw = buf_str(&b->body) };
		b->events = e;
		b->count = 1;
		b->bad_count = b->fault_count = 0;
		b->closed = false;
		b->next_iterator = (struct str){ 0 };
		b->encoding_count = l->stream->encoding_count;
		for (size_t i = 0; i < b->encoding_count; i++) {
			b->payloads[i] = arena_alloc(&b->arena, sizeof(**b->payloads));
			b->payloads[i][0] = (struct str){ 0 };
		}
		mark(b, e, k);
		return true;
	}
	return false;
}

char *skip_number(const struct batch *b, char out[SEQUENCE_TEXT_SIZE])
{
	static const char name[] = "\"SequenceNumber\"", between[] = " :\"0";
	const char *end = b->body.data + b->body.size, *p;
	size_t n = 0;

	p = memmem(b->body.data, b->body.size, name, sizeof(name) - 1);
	if (p)
		for (p += sizeof(name) - 1; p < end && memchr(between, *p, sizeof(between) - 1);)
			p++;
	for (; p && p < end && *p >= '0' && *p <= '9' && n < SEQUENCE_DIGITS_MAX; p++)
		out[n++] = *p;
	out[n] = '\0';
	return out;
}
