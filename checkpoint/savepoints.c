#include "checkpoint/savepoints.h"

#include "checkpoint/store_ops.h"

bool store_savepoint_put(struct store *s, const char *name, const int64_t *streams, size_t count,
			 const char *who, int64_t at_ms, bool *made, struct error *err)
{
	return store_named(
		s, s->ops->savepoints->put(s, name, streams, count, who, at_ms, made, err), err);
}

bool store_savepoints(struct store *s, store_savepoint_fn *fn, void *arg, struct error *err)
{
	return store_named(s, s->ops->savepoints->list(s, fn, arg, err), err);
}

bool store_savepoint_places(struct store *s, const char *name, int64_t stream, store_place_fn *fn,
			    void *arg, struct error *err)
{
	return store_named(s, s->ops->savepoints->places(s, name, stream, fn, arg, err), err);
}

bool store_savepoint_drop(struct store *s, const char *name, bool *dropped, struct error *err)
{
	return store_named(s, s->ops->savepoints->drop(s, name, dropped, err), err);
}

bool store_stream_rewind(struct store *s, int64_t stream, struct store_rewind *rewind, bool *done,
			 struct error *err)
{
	return store_named(s, s->ops->rewind(s, stream, rewind, done, err), err);
}
