#pragma once
/* Ownership by scope.
 *   AUTO(batch) struct batch *b = batch_new();   -- batch_free(b) when b leaves its scope
 *   return MOVE(b);  queue_push(q, MOVE(b));      -- hands the pointer over and forgets it */
#define AUTO(type) __attribute__((cleanup(type##_freep)))
#define DEFINE_AUTO(type)                                                                          \
	static inline void type##_freep(struct type **p)                                           \
	{                                                                                          \
		type##_free(*p);                                                                   \
	}
#define MOVE(p)                                                                                    \
	({                                                                                         \
		__typeof__(p) moved_ = (p);                                                        \
		(p) = NULL;                                                                        \
		moved_;                                                                            \
	})
#define MUST_CHECK   __attribute__((warn_unused_result))
#define PRINTF(f, a) __attribute__((format(printf, f, a)))
