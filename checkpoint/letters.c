#include "checkpoint/letters.h"

#include <assert.h>

#include "checkpoint/store_ops.h"

bool store_letters_claim(struct store *s, const char *session, int32_t sink,
			 const char *const *streams, size_t count, int64_t at_ms,
			 store_outgoing_fn *fn, void *arg, struct error *err)
{
	const struct store_letter_ops *ops = s->ops->letter;
	bool some = false;

	return store_named(s,
			   ops->claim(s, session, sink, streams, count, at_ms, &some, err) &&
				   (!some || ops->claimed(s, session, sink, fn, arg, err)),
			   err);
}

bool store_letters_sent(struct store *s, const char *session, const int64_t *letters, size_t count,
			int64_t at_ms, struct error *err)
{
	return store_named(s, s->ops->letter->sent(s, session, letters, count, at_ms, err), err);
}

bool store_letter_keep(struct store *s, const char *session, int64_t letter, struct error *err)
{
	return store_named(s, s->ops->letter->keep(s, session, letter, err), err);
}

bool store_letters_retry(struct store *s, const struct store_retry *retry, store_retried_fn *fn,
			 void *arg, struct error *err)
{
	const struct store_letter_ops *ops = s->ops->letter;

	return store_named(
		s, ops->retry(s, retry, fn, arg, err) && ops->retried(s, retry, fn, arg, err), err);
}

bool store_letters_gone(struct store *s, const int64_t *letters, size_t count, struct error *err)
{
	return store_named(s, s->ops->letter->gone(s, letters, count, err), err);
}

bool store_letter_again(struct store *s, int64_t letter, const char *reason, struct str json,
			struct error *err)
{
	return store_named(s, s->ops->letter->again(s, letter, reason, json, err), err);
}

bool store_letter_split(struct store *s, int64_t letter, const struct store_part *parts,
			size_t count, int64_t bytes_max, store_part_fn *fn, void *arg,
			struct error *err)
{
	return store_named(
		s, s->ops->letter->split(s, letter, parts, count, bytes_max, fn, arg, err), err);
}

bool store_letter_load(struct store *s, const struct store_letter *letter, uint64_t generation,
		       int64_t bytes_max, bool *added, struct error *err)
{
	return store_named(s, s->ops->letter->load(s, letter, generation, bytes_max, added, err),
			   err);
}

bool store_retry_audit_put(struct store *s, const struct store_retry_audit *a, struct error *err)
{
	return store_named(s, s->ops->letter->audit_put(s, a, err), err);
}

bool store_retry_audit(struct store *s, const char *stream, uint32_t max, store_retry_audit_fn *fn,
		       void *arg, struct error *err)
{
	return store_named(s, s->ops->letter->audit(s, stream, max, fn, arg, err), err);
}

bool store_skip_put(struct store *s, int64_t stream, const struct store_skip *skip,
		    struct error *err)
{
	assert(!sequence_is_none(&skip->sequence));
	return store_named(s, s->ops->letter->skip_put(s, stream, skip, err), err);
}

bool store_skips(struct store *s, int64_t stream, store_skip_fn *fn, void *arg, struct error *err)
{
	return store_named(s, s->ops->letter->skips(s, stream, fn, arg, err), err);
}
