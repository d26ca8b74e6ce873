#pragma once
#include "tests/emulator/http.h"
#include "tests/emulator/reply.h"
#include "tests/emulator/world.h"

/* The calls under /_control/ (README.md): JSON in, JSON out, 400 with {"error":…} where it fails.
 */
void control_answer(struct world *w, const struct http_request *request, struct reply *reply);
