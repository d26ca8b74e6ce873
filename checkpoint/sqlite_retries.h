#pragma once
#include "checkpoint/store_ops.h"

/* Of struct store_letter_ops: letters that are tried once more. */
bool sqlite_letters_retry(struct store *s, const struct store_retry *retry, store_retried_fn *fn,
			  void *arg, struct error *err);
bool sqlite_letters_retried(struct store *s, const struct store_retry *retry, store_retried_fn *fn,
			    void *arg, struct error *err);
bool sqlite_letters_gone(struct store *s, const int64_t *letters, size_t count, struct error *err);
bool sqlite_letter_again(struct store *s, int64_t letter, const char *reason, struct str json,
			 struct error *err);
bool sqlite_letter_split(struct store *s, int64_t letter, const struct store_part *parts,
			 size_t count, int64_t bytes_max, store_part_fn *fn, void *arg,
			 struct error *err);
bool sqlite_letter_load(struct store *s, const struct store_letter *letter, uint64_t generation,
			int64_t bytes_max, bool *added, struct error *err);
bool sqlite_retry_audit_put(struct store *s, const struct store_retry_audit *a, struct error *err);
bool sqlite_retry_audit(struct store *s, const char *stream, uint32_t max, store_retry_audit_fn *fn,
			void *arg, struct error *err);

/* Always false: INVALID. */
bool sqlite_letters_full(int64_t bytes_max, struct error *err);
