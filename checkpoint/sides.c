#include "checkpoint/sides.h"

#include "checkpoint/store_ops.h"

bool store_sides(struct store *s, store_side_fn *fn, void *arg, struct error *err)
{
	return store_named(s, s->ops->sides->list(s, fn, arg, err), err);
}

bool store_side_begin(struct store *s, struct store_side *d, const struct store_side_start *start,
		      bool *begun, struct error *err)
{
	return store_named(s, s->ops->sides->begin(s, d, start, begun, err), err);
}

bool store_side_over(struct store *s, int64_t stream, bool *over, struct error *err)
{
	return store_named(s, s->ops->sides->over(s, stream, over, err), err);
}

bool store_side_end(struct store *s, int64_t stream, const char *who, const char *said,
		    int64_t at_ms, struct error *err)
{
	return store_named(s, s->ops->sides->end(s, stream, who, said, at_ms, err), err);
}
