#pragma once
#include "base/str.h"
#include "tests/emulator/http.h"
#include "tests/emulator/reply.h"
#include "tests/emulator/world.h"

/* DynamoDB's own calls: checks, then answers one; reply_finish is the caller's. Any thread. */
struct signature_key;
void api_answer(struct world *w, const struct signature_key *key,
		const struct http_request *request, struct reply *reply);
/* A GetRecords answer is out (or its connection gone): the shard has a reader less. */
void api_sent(struct world *w, struct reply *reply);
const char *api_operation_name(size_t i); /* NULL behind the last */
