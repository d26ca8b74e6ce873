#!/usr/bin/env python3
"""Breaks the pure core in known ways, one at a time, and demands that the simulator catches each.

A mutant that survives means that the simulator tests nothing there. A text that is no longer in the
source means that the mutant has to be rewritten: both fail.
"""

import argparse
import concurrent.futures
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
PURE = [
    "consumer/core.c",
    "consumer/core_save.c",
    "consumer/handover.c",
    "consumer/lineage.c",
    "consumer/pacing.c",
    "checkpoint/frontier.c",
]
REST = [f"base/{n}.c" for n in ("memory", "heap", "rng", "sequence", "error")]
SIM = [f"tests/sim/{n}.c" for n in ("sim", "world", "process")]

# name, file, what stands there, what the mutant has instead
MUTANTS = [
    (
        "a child does not wait for its parent",
        "consumer/core.c",
        "return l->parent == CORE_NONE || c->lanes[l->parent].state == LANE_ENDED;",
        "return l->parent == CORE_NONE || c->lanes[l->parent].state <= LANE_ENDED;",
    ),
    (
        "a shard is done while its pages are under way",
        "consumer/core.c",
        "		if (lane_outstanding(l) == 0)\n			lane_ended",
        "		if (lane_outstanding(l) <= 1)\n			lane_ended",
    ),
    (
        "a position is saved past an open roll",
        "checkpoint/frontier.c",
        "	if (f->roll_count > 0 && !with_roll)\n		return false;",
        "	if (f->roll_count > 1 && !with_roll)\n		return false;",
    ),
    (
        "the older roll takes the younger one's range",
        "checkpoint/frontier.c",
        ".to = f->rolls[0].end,",
        ".to = f->rolls[1].end,",
    ),
    (
        "a saved roll stays in the frontier",
        "checkpoint/frontier.c",
        "		f->roll_count--;\n",
        "",
    ),
    (
        "done is saved before the last page was answered",
        "consumer/core.c",
        "	l->closed = e->closed;\n",
        "	l->closed = e->closed;\n	for (uint32_t s = 0; l->closed && s < stream_of(c, l)->sink_count; s++)\n		if (!l->frontiers[s].done)\n			l->frontiers[s].closed = true;\n",
    ),
    (
        "a page's credit is lost",
        "consumer/core.c",
        "		credit_return(c, l->pages[l->pages_released++ % CORE_PAGES].charge);",
        "		l->pages_released++;",
    ),
    (
        "a failed fetch keeps its credit",
        "consumer/core.c",
        "	c->fetches--;\n	credit_return(c, l->charge);\n	l->stopping =",
        "	c->fetches--;\n	l->stopping =",
    ),
    (
        "fetches are not limited by credit",
        "consumer/core.c",
        "if (c->charged > 0 && c->credit < (int64_t)charge) {",
        "if (c->charged < 0) {",
    ),
    (
        "more lanes are busy than there is room for",
        "consumer/core.c",
        "		if (!l->busy && c->busy >= c->settings.lanes_max)\n			break;\n",
        "",
    ),
    (
        "a lane that is done with its pages stays busy",
        "consumer/core.c",
        "		lane_settle(c, lane, now_ms, 0);\n	lane_busy(c, l);\n",
        "		lane_settle(c, lane, now_ms, 0);\n",
    ),
    (
        "more pages of a lane under way than there is room for",
        "consumer/core.c",
        "	} else if (lane_outstanding(l) == CORE_PAGES) {",
        "	} else if (lane_outstanding(l) == CORE_PAGES + 1) {",
    ),
    (
        "a page is released at the first sink's answer",
        "consumer/core.c",
        "		if (!l->stood[slot] && l->answered[slot] < least)",
        "		if (!l->stood[slot] && l->answered[slot] > 0 && slot == 0 && l->answered[slot] < least)",
    ),
    (
        "a failure is skipped over",
        "consumer/handover.c",
        "	handover_move(h, HANDOVER_RETRY);\n	progress(h, first);",
        "	handover_move(h, HANDOVER_RETRY);\n	progress(h, first + 1);",
    ),
    (
        "what follows a failure is not sent again",
        "consumer/handover.c",
        "void handover_again(struct handover *h)\n{\n	handover_move(h, HANDOVER_IDLE);",
        "void handover_again(struct handover *h)\n{\n	handover_move(h, HANDOVER_IDLE);\n	h->page++;\n	h->first = 0;",
    ),
    (
        "a refused record is sent again for ever",
        "consumer/handover.c",
        "	handover_move(h, HANDOVER_IDLE);\n	h->first++;",
        "	handover_move(h, HANDOVER_IDLE);\n	h->first += 2;",
    ),
    (
        "two pages of a lane in a sink",
        "consumer/handover.c",
        "	return h->state == HANDOVER_IDLE && h->page < pages_read;",
        "	return h->state != HANDOVER_STOPPED && h->page < pages_read;",
    ),
    (
        "a roll is saved before all its answers are here",
        "consumer/core_save.c",
        "k->rolls_open[k->prepared % FRONTIER_ROLLS].answers == k->deliveries;",
        "true;",
    ),
    (
        "a child is saved before its parent's end",
        "consumer/core_save.c",
        "!move.done)\n			return false;",
        "!move.done)\n			return true;",
    ),
    (
        "a lane that waits for its roll is forgotten",
        "consumer/core_save.c",
        "		if (waits)\n			core_mark_dirty(c, lane);",
        "",
    ),
    (
        "what was answered during a save is forgotten",
        "consumer/core_save.c",
        "		if (!frontier_clean(f))\n			core_mark_dirty(c, m->lane);",
        "",
    ),
    (
        "a finished roll's row is never removed",
        "consumer/core_save.c",
        "			k->reporting = k->finished;",
        "			k->reporting = k->reported;",
    ),
    (
        "a shard whose parent was never seen is taken for a root",
        "consumer/lineage.c",
        "	return d->first ? LINEAGE_ROOT : LINEAGE_ORPHAN;",
        "	return LINEAGE_ROOT;",
    ),
    (
        "a sink that is ahead goes back",
        "consumer/core.c",
        "	if (sequence_compare(end, &f->end) <= 0)\n		return;",
        "",
    ),
    (
        "a lane that stands still is read on",
        "consumer/core.c",
        "	l->stood[slot] = true;\n	l->stopping = true;",
        "	l->stood[slot] = true;",
    ),
    (
        "a stop does not ask the sinks to roll",
        "consumer/core.c",
        "	if (c->stopping)\n		n += prepare_all(c, e->now_ms, out + n);",
        "",
    ),
    (
        "a stop is over before its last save",
        "consumer/core.c",
        "	if (c->fetches > 0 || c->saving || c->charged > 0 || c->dirty_first != CORE_NONE)",
        "	if (c->fetches > 0 || c->charged > 0)",
    ),
    (
        "two saves at a time",
        "consumer/core.c",
        "	if (!c->saving && core_save_build(c, e->now_ms)) {",
        "	if (core_save_build(c, e->now_ms)) {",
    ),
]


def compile_and_run(folder: pathlib.Path, sources: list[str], seeds: int) -> subprocess.CompletedProcess:
    program = folder / "sim"
    subprocess.run(
        ["cc", "-std=gnu17", "-O1", "-w", "-D_GNU_SOURCE", f"-I{folder}", f"-I{ROOT}", f"-I{ROOT}/tests/sim"]
        + sources
        + ["-o", str(program)],
        check=True,
    )
    return subprocess.run(
        [str(program), "--seeds", str(seeds)], capture_output=True, text=True, timeout=600, check=False
    )


def sources(folder: pathlib.Path, changed: str | None, text: str) -> list[str]:
    out = []
    for name in PURE:
        path = ROOT / name
        if name == changed:
            path = folder / pathlib.Path(name).name
            path.write_text(text)
        out.append(str(path))
    return out + [str(ROOT / n) for n in REST + SIM]


def hunt(mutant: tuple[str, str, str, str], seeds: int) -> tuple[str, str]:
    name, file, old, new = mutant
    text = (ROOT / file).read_text()
    if text.count(old) != 1:
        return name, f"its text stands {text.count(old)} times in {file}"
    with tempfile.TemporaryDirectory() as tmp:
        folder = pathlib.Path(tmp)
        try:
            result = compile_and_run(folder, sources(folder, file, text.replace(old, new)), seeds)
        except subprocess.TimeoutExpired:
            return name, ""  # it never got anywhere: seen as well
    return name, "" if result.returncode != 0 else f"survived {seeds} seeds"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2000)
    parser.add_argument("--only", default="", help="mutants with this in their name")
    args = parser.parse_args()
    chosen = [m for m in MUTANTS if args.only in m[0]]
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for name, wrong in pool.map(lambda m: hunt(m, args.seeds), chosen):
            print(f"{'SURVIVED' if wrong else 'caught  '}  {name}{': ' + wrong if wrong else ''}", flush=True)
            failed += bool(wrong)
    print(f"mutants: {len(chosen) - failed} caught, {failed} not")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
