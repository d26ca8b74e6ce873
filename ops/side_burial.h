#pragma once
#include "checkpoint/store.h"
#include "config/config.h"

/* The sessions of a side run that died are buried, by a session of this command's own: their
 * committed rolls are finished, what they had begun besides is removed, and nothing of them waits
 * for a worker. Takes a lease where one may still be alive; who beats is left alone. */
bool side_burial(const struct config *c, struct store *s, int64_t stream, int32_t sink,
		 struct error *err) MUST_CHECK;
