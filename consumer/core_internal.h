#pragma once
#include "consumer/core.h"

/* Between core.c (lanes and credit) and core_save.c (what may be saved). */

void core_mark_dirty(struct core *c, uint32_t lane);
/* Fills c->save and says whether there is anything in it. */
bool core_save_build(struct core *c, int64_t now_ms);
/* The save in flight is in the store: positions, rolls, rows. */
void core_save_done(struct core *c, int64_t now_ms);
/* Room in the save's arrays for one more lane with this many sinks: a step needs no memory. */
void core_save_reserve(struct core *c, uint32_t slots);
/* A roll, or a roll's row, that is not where it should be at the end. */
bool core_sink_unsettled(const struct core_sink *k);
