#!/usr/bin/env python3
"""The same for the life of exports: each of these breaks a promise, and sim_exports has to see it."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.dont_write_bytecode = True

import mutants  # noqa: E402

mutants.PURE = ["consumer/drive.c", "export/chain.c", "export/window.c", "export/schedule.c"]
mutants.REST = ["export/zone.c"] + [f"base/{n}.c" for n in ("arena", "buf", "clock", "error",
                                                            "memory", "rng")]
mutants.SIM = sorted(str(p.relative_to(mutants.ROOT))
                     for p in (mutants.ROOT / "tests/sim/exports").glob("*.c"))
mutants.LIBRARIES = ["-lcrypto"]
mutants.GLUE_MUTANTS = []
mutants.MUTANTS = [
    ("a window is submitted before PITR has reached its end",
     "	if (e->to_ms > pitr->latest_ms)\n", "	if (e->to_ms > now_ms)\n"),
    ("AWS is asked before the attempt is written down",
     "	return now_do(DRIVE_ATTEMPT);", "	return now_do(DRIVE_SUBMIT);"),
    ("another token where the last one may have reached AWS",
     "e->attempt > 0 && e->retry_at_ms == 0;", "e->attempt > 0 && e->retry_at_ms < 0;"),
    ("windows overlap",
     "	return (struct window){ end_ms, end_ms + length_ms };",
     "	return (struct window){ end_ms - WINDOW_MINUTE_MS, end_ms + length_ms };"),
    ("windows leave a gap",
     "	return (struct window){ end_ms, end_ms + length_ms };",
     "	return (struct window){ end_ms + WINDOW_MINUTE_MS, end_ms + length_ms };"),
    ("the first window begins at the cut",
     "	return c->end_ms ? window_next(c->end_ms, r->length_ms) : window_first(c->full_ms);",
     "	return window_next(c->end_ms ? c->end_ms : c->full_ms, r->length_ms);"),
    ("what is lost is asked for all the same",
     "	if (from_ms < pitr->earliest_ms)\n		return now_do(DRIVE_LOST);\n", ""),
    ("the old chain goes on behind a newer full export",
     "		.end_ms = follows ? window->to_ms : 0,",
     "		.end_ms = window->id ? window->to_ms : 0,"),
    ("a full export waits for what has failed for good",
     "		return o->generation < e->generation && !at_rest(o);",
     "		return o->generation < e->generation;",
     "	if (place->useless)\n		return now_do(DRIVE_ABANDON);\n	if (place->held)",
     "	if (place->held)",
     "		if (place->useless)\n			return now_do(DRIVE_ABANDON);\n", ""),
    ("windows do not wait for what comes before them",
     "	return o->number < e->number;", "	return false;",
     "	c.open = full_open || c.window_undone;", "	c.open = false;"),
    ("a window is begun in whatever generation is the newest",
     "	return newest ? newest : DRIVE_BESIDE_WINDOWS - 1;", "	return 0;"),
    ("a failed attempt is made again for ever",
     "	if (attempt > retries)\n		return 0;\n", ""),
    ("what is done is not told",
     "		if (e->published_ms || !rules->publishes)", "		if (true)"),
    ("what a newer export made useless is thrown away under AWS's hands",
     "		return now_ms < at_ms ? wait_until(at_ms) : now_do(DRIVE_SUBMIT);\n	if (place->useless)",
     "		return place->useless ? now_do(DRIVE_ABANDON) : now_ms < at_ms ? wait_until(at_ms) : now_do(DRIVE_SUBMIT);\n	if (place->useless)"),
    ("windows do not wait for their batch",
     "		if (place->held_load || drive_waits_for_batch(e, place))",
     "		if (place->held_load)"),
    ("a batch goes on behind the window that a person began",
     "		if (--c.lacks == 0 || next->ends_batch) {", "		if (--c.lacks == 0) {"),
    ("what is left of an old generation waits for its batch for ever",
     "(useless && (!next || at_rest(next)))", "(useless && false)"),
    ("windows are not exported while others wait for their batch",
     "	return !in_batches || o->from_ms == 0", "	return true || o->from_ms == 0"),
    ("no window is begun while others wait for their batch",
     "				 !(batches(rules, window) && collects(window)),", "				 true,"),
    ("a batch is as long as there are windows",
     "	struct collected c = { .first = e, .lacks = load_every };",
     "	struct collected c = { .first = e, .lacks = load_every + 1 };"),
    ("a missed schedule is not made up for",
     "	if (t_ms <= c->full_ms)\n", "	if (t_ms <= c->full_ms || now_ms - t_ms > 2 * WINDOW_MINUTE_MS)\n"),
]

if __name__ == "__main__":
    sys.exit(mutants.main())
