#!/usr/bin/env python3
"""The same for the joins of a stream with exports: sim_joining has to see each of these."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.dont_write_bytecode = True

import mutants  # noqa: E402

FOLDER = mutants.ROOT / "tests/sim/joining"

mutants.PURE = ["consumer/joining.c", "export/window.c"]
mutants.REST = ["consumer/lineage.c"] + [f"base/{n}.c" for n in ("memory", "rng", "error", "clock")]
mutants.SIM = ["tests/sim/seeds.c"] + sorted(
    str(path.relative_to(mutants.ROOT)) for path in FOLDER.glob("*.c")
)
mutants.LIBRARIES = ["-lcrypto"]
mutants.CC = [*mutants.CC[:-1], f"-I{FOLDER}"]
mutants.MUTANTS = [
    # The planner: windows, and where the stream begins.
    (
        "windows overlap",
        "		window_plan_add(p, &(struct window){ at_ms, next_ms });\n		at_ms = next_ms;\n",
        "		window_plan_add(p, &(struct window){ at_ms, next_ms });\n		at_ms = next_ms - 60000;\n",
    ),
    (
        "the stream begins where the last window ends",
        "	step->start_ms = cut_ms - WINDOW_STREAM_OVERLAP_MS;",
        "	step->start_ms = cut_ms;",
    ),
    (
        "a baseline's first window is a long one",
        "	window_plan_add(p, &first);\n	if (latest_ms - first.to_ms",
        "	first.to_ms = latest_ms;\n	window_plan_add(p, &first);\n	if (latest_ms - first.to_ms",
    ),
    (
        "a baseline's first window begins at its cut",
        "	return (struct window){ t_ms - WINDOW_BEFORE_CUT_MS, t_ms + WINDOW_AFTER_CUT_MS };",
        "	return (struct window){ t_ms, t_ms + WINDOW_SHORTEST_MS };",
    ),
    (
        "no cut behind where shards stood",
        "	for (size_t i = 0; i < count; i++) {\n		/* Positions that a cut",
        "	for (size_t i = 0; i < count && false; i++) {\n		/* Positions that a cut",
    ),
    (
        "a cut behind the oldest shard alone",
        "	for (size_t i = 0; i < count; i++) {\n		/* Positions that a cut",
        "	for (size_t i = 0; i < count && p->count == 0; i++) {\n		/* Positions that a cut",
    ),
    (
        "windows from the newest place on",
        "whole_seconds(sorted[0]) - WINDOW_BEFORE_CUT_MS;",
        "whole_seconds(sorted[count - 1]) - WINDOW_BEFORE_CUT_MS;",
    ),
    (
        "the first window begins where the shard stood",
        "whole_seconds(sorted[0]) - WINDOW_BEFORE_CUT_MS;",
        "whole_seconds(sorted[0]) + WINDOW_MINUTE_MS;",
    ),
    (
        "shards that the stream does not begin before get no cut",
        "		    sorted[i] >= end_behind(at_ms, end_ms) - WINDOW_STREAM_OVERLAP_MS)",
        "		    sorted[i] >= end_ms - 90 * WINDOW_MINUTE_MS)",
    ),
    # A join's steps.
    (
        "hold without barrier",
        "	} else if (!f->released) {",
        "	} else if (!f->released && f->place_count == 0) {",
    ),
    (
        "a repair without a hold",
        "	} else if (f->hold == JOINING_NONE) {\n		step->act = JOINING_HOLD;\n",
        "	} else if (f->hold == JOINING_NONE && f->place_count == 0) {\n		step->act = JOINING_HOLD;\n",
    ),
    (
        "the generation is not raised",
        "		begin(f, step, f->generation + 1, p.windows, p.count);",
        "		begin(f, step, f->generation, p.windows, p.count);",
    ),
    (
        "a stream that has only just been switched on",
        "	int64_t t_ms = f->enabled_ms + JOINING_ENABLED_MS;",
        "	int64_t t_ms = 0;",
    ),
    (
        "windows behind the full export are not within reach",
        "	if (window_cut_earliest(f->earliest_ms) > t_ms)\n		t_ms = window_cut_earliest(f->earliest_ms);\n",
        "",
    ),
    (
        "the stream starts before everything is loaded",
        "	else if (j->complete < j->count)\n		wait(step, 0);\n",
        "	else if (j->complete + 1 < j->count)\n		wait(step, 0);\n",
    ),
    (
        "windows are loaded in any order",
        "		    exports[i].number < exports[at].number && !is_complete(&exports[i]))",
        "		    exports[i].number < exports[at].number && exports[i].number == 0 && !is_complete(&exports[i]))",
    ),
    (
        "the stream starts however old a full export is",
        "	if (f->now_ms - (t_ms - WINDOW_STREAM_OVERLAP_MS) <= WINDOW_DIRECT_MS) {",
        "	if (f->now_ms > 0) {",
    ),
    (
        "the stream starts however old the last window is",
        "	if (p.count == have && f->now_ms - window_plan_end(&p) < WINDOW_NEAR_MS) {",
        "	if (p.count == have) {",
    ),
    (
        "a full export needs no windows behind it",
        "	else if (is_full(last_of(j)))\n		go_on_with_full",
        "	else if (is_full(j->first))\n		go_on_with_full",
    ),
    (
        "what is left of a torn plan is not cut",
        "		if (window_plan_end(&p) <= hold_ms - SECOND_MS)\n			plan_repair(f, &p, hold_ms);\n",
        "		(void)hold_ms;\n",
    ),
    (
        "what an earlier join has loaded gets no cut",
        "		if (e->exported_ms > 0 && e->to_ms > oldest_ms && e->to_ms <= f->now_ms)",
        "		if (e->exported_ms > f->now_ms)",
    ),
    (
        "repairs without end",
        "	if (count < JOINING_REPAIRS_MAX)\n		return false;",
        "	if (count < 100 * JOINING_REPAIRS_MAX)\n		return false;",
    ),
    (
        "a failed export is passed over",
        "	if (j->failed)\n		stop_failed(j, step);\n	else if (j->complete < j->count)",
        "	if (j->complete + j->failed < j->count)",
    ),
    (
        "a join that was given up goes on",
        "	if (j.count > 0 && !abandoned && f->hold",
        "	if (j.count > 0 && f->hold",
    ),
    (
        "what was given up is left under way",
        "	if (has_left(f, &j, &step->generation))",
        "	if (has_left(f, &j, &step->generation) && f->now_ms == 0)",
    ),
    (
        "a join belongs to any hold",
        "	    j.first->generation > f->hold_generation) {",
        "	    j.first->generation > 0) {",
    ),
    (
        "a baseline that is over begins again",
        "	else if (j.over)\n		step->act = JOINING_GO_ON;\n",
        "",
    ),
    (
        "a gap beyond PITR's reach is repaired",
        "	    !reaches(f, oldest_place_ms(f) - WINDOW_BEFORE_CUT_MS - SECOND_MS, step))",
        "	    !reaches(f, f->now_ms, step))",
    ),
    (
        "a hold that nothing comes of stays",
        "	if (f->hold == JOINING_REPAIR && !j.open &&",
        "	if (f->hold == JOINING_REPAIR && j.open &&",
    ),
]

# What stands in the store and in workers, as the simulator has it.
mutants.GLUE_MUTANTS = [
    (
        "positions are kept",
        "joining/workers.c",
        "	w->listed = false;\n	w->start_ms = op->start_ms;\n",
        "	w->start_ms = op->start_ms;\n",
    ),
]

if __name__ == "__main__":
    sys.exit(mutants.main())
