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
    "consumer/core_due.c",
    "consumer/core_lane.c",
    "consumer/core_pages.c",
    "consumer/core_save.c",
    "consumer/core_view.c",
    "consumer/handover.c",
    "consumer/lineage.c",
    "consumer/pacing.c",
    "checkpoint/frontier.c",
]
REST = [f"base/{n}.c" for n in ("memory", "heap", "rng", "sequence", "error")]
SIM = [f"tests/sim/{n}.c" for n in ("sim", "world", "process", "process_lanes")]

# name, what stands there (in one of PURE, once), what the mutant has instead
MUTANTS = [
    (
        "a child does not wait for its parent",
        "return l->parent == CORE_NONE || c->lanes[l->parent].state == LANE_ENDED;",
        "return l->parent == CORE_NONE || c->lanes[l->parent].state <= LANE_ENDED;",
    ),
    (
        "a shard is done while its pages are under way",
        "		if (core_outstanding(l) == 0)\n			lane_ended",
        "		if (core_outstanding(l) <= 1)\n			lane_ended",
    ),
    (
        "a position is saved past an open roll",
        "	if (f->roll_count > 0 && !with_roll)\n		return false;",
        "	if (f->roll_count > 1 && !with_roll)\n		return false;",
    ),
    (
        "the older roll takes the younger one's range",
        ".to = f->rolls[0].end,",
        ".to = f->rolls[1].end,",
    ),
    (
        "a saved roll stays in the frontier",
        "		f->roll_count--;\n",
        "",
    ),
    (
        "done is saved before the last page was answered",
        "	l->closed = e->closed;\n",
        "	l->closed = e->closed;\n	for (uint32_t s = 0; l->closed && s < core_stream_of(c, l)->sink_count; s++)\n		if (!l->frontiers[s].done)\n			l->frontiers[s].closed = true;\n",
    ),
    (
        "a page's credit is lost",
        "		credit_return(c, l->pages[l->pages_released++ % CORE_PAGES].charge);",
        "		l->pages_released++;",
    ),
    (
        "a failed fetch keeps its credit",
        "	c->fetches--;\n	credit_return(c, l->charge);\n	l->stopping =",
        "	c->fetches--;\n	l->stopping =",
    ),
    (
        "fetches are not limited by credit",
        "if (c->charged > 0 && c->credit < (int64_t)charge_of(l)) {",
        "if (c->charged < 0) {",
    ),
    (
        "more lanes are busy than there is room for",
        "	if (!l->busy && c->busy >= c->settings.lanes_max)\n		return false;\n",
        "",
    ),
    (
        "a lane that is done with its pages stays busy",
        "		core_lane_settle(c, lane, now_ms, 0);\n	lane_busy(c, l);\n",
        "		core_lane_settle(c, lane, now_ms, 0);\n",
    ),
    (
        "more pages of a lane under way than there is room for",
        "	} else if (core_outstanding(l) == CORE_PAGES) {",
        "	} else if (core_outstanding(l) == CORE_PAGES + 1) {",
    ),
    (
        "a page is released at the first sink's answer",
        "		if (!l->stood[slot] && l->answered[slot] < least)",
        "		if (!l->stood[slot] && l->answered[slot] > 0 && slot == 0 && l->answered[slot] < least)",
    ),
    (
        "a failure is skipped over",
        "	handover_move(h, HANDOVER_RETRY);\n	progress(h, first);",
        "	handover_move(h, HANDOVER_RETRY);\n	progress(h, first + 1);",
    ),
    (
        "what follows a failure is not sent again",
        "void handover_again(struct handover *h)\n{\n	handover_move(h, HANDOVER_IDLE);",
        "void handover_again(struct handover *h)\n{\n	handover_move(h, HANDOVER_IDLE);\n	h->page++;\n	h->first = 0;",
    ),
    (
        "a refused record is sent again for ever",
        "	handover_move(h, HANDOVER_IDLE);\n	h->first++;",
        "	handover_move(h, HANDOVER_IDLE);\n	h->first += 2;",
    ),
    (
        "two pages of a lane in a sink",
        "	return h->state == HANDOVER_IDLE && h->page < pages_read;",
        "	return h->state != HANDOVER_STOPPED && h->page < pages_read;",
    ),
    (
        "a roll is saved before all its answers are here",
        "k->rolls_open[k->prepared % FRONTIER_ROLLS].answers == k->deliveries;",
        "true;",
    ),
    (
        "a lane that waits for its roll is forgotten",
        "		if (waits)\n			core_mark_dirty(c, lane);",
        "",
    ),
    (
        "what was answered during a save is forgotten",
        "		if (!frontier_clean(f))\n			core_mark_dirty(c, m->lane);",
        "",
    ),
    (
        "a finished roll's row is never removed",
        "			k->reporting = k->finished;",
        "			k->reporting = k->reported;",
    ),
    (
        "a sink that is ahead goes back",
        "	if (sequence_compare(end, &f->end) <= 0)\n		return;",
        "",
    ),
    (
        "a lane that stands still is read on",
        "	l->stood[slot] = true;\n	l->stopping = true;",
        "	l->stood[slot] = true;",
    ),
    (
        "a stop does not ask the sinks to roll",
        "(c->stopping ? k->taken_roll : k->leaving)",
        "k->leaving",
    ),
    (
        "a stop is over before its last save",
        "	if (c->fetches > 0 || c->saving || c->charged > 0 || c->dirty_first != CORE_NONE)",
        "	if (c->fetches > 0 || c->charged > 0)",
    ),
    (
        "two saves at a time",
        "	if (!c->saving && core_save_build(c, e->now_ms)) {",
        "	if (core_save_build(c, e->now_ms)) {",
    ),
    (
        "a lane leaves before its positions are saved",
        "		if (!frontier_clean(&l->frontiers[slot]) ||\n",
        "		if (",
    ),
    (
        "a lane leaves before its rolls are visible",
        "		    !frontier_visible(&l->frontiers[slot], c->sinks[s->sinks[slot]].finished))",
        "		    false)",
    ),
    (
        "a child stays when its parent leaves",
        "		if (at != lane && (d->state != LANE_WAITING || !c->lanes[d->parent].leaving))\n			continue;",
        "		if (at != lane)\n			continue;",
    ),
    (
        "a child that is found while its parent leaves stays",
        "	return l->parent != CORE_NONE &&\n	       (c->lanes[l->parent].leaving",
        "	return false && l->parent != CORE_NONE &&\n	       (c->lanes[l->parent].leaving",
    ),
    (
        "a lane that was closed on its way out leaves",
        "	if (l->leaving && (core_stands(l) || l->closed))\n		stay(c, lane);",
        "",
    ),
    (
        "a lane that leaves does not ask the sinks to roll",
        "(c->stopping ? k->taken_roll : k->leaving)",
        "(c->stopping ? k->taken_roll : 0)",
    ),
    (
        "what a lane that leaves was answered late does not hurry",
        "	if (l->leaving)\n		core_lane_hurry(c, l);\n",
        "",
    ),
    (
        "a lane has ended before its end is in the store",
        "		return l->state != LANE_ENDED || (l->children_known && settled(c, l));",
        "		return l->state != LANE_ENDED || l->children_known;",
    ),
    (
        "a lane has ended before its children are known",
        "		return l->state != LANE_ENDED || (l->children_known && settled(c, l));",
        "		return l->state != LANE_ENDED || settled(c, l);",
    ),
    (
        "a dropped lane's children keep it as their parent",
        "		c->lanes[child].parent = c->lanes[child].next_sibling = CORE_NONE;\n",
        "		c->lanes[child].next_sibling = CORE_NONE;\n",
    ),
    (
        "a dropped lane stays its parent's child",
        "	if (l->parent != CORE_NONE)\n		unlink_child(c, l->parent, lane);\n",
        "",
    ),
    (
        "a lane that leaves is fetched again",
        "		core_due_remove(c, lane);\n		core_lane_move(l, LANE_DRAINING);\n	}\n	core_lane_hurry",
        "		core_lane_move(l, LANE_DRAINING);\n	}\n	core_lane_hurry",
    ),
    (
        "a lane leaves before its pages are answered",
        "(l->state == LANE_DRAINING && core_outstanding(l) == 0);",
        "l->state == LANE_DRAINING;",
    ),
    (
        "an end is saved before its parent's",
        "for (uint32_t up = lane; up != CORE_NONE; up = c->lanes[up].parent) {\n		const struct frontier *f",
        "for (uint32_t up = lane; up == lane; up = c->lanes[up].parent) {\n		const struct frontier *f",
    ),
    (
        "an end is saved before all of it is visible",
        "		if (!f->closed || !frontier_visible(f, c->sinks[sink].finished))",
        "		if (!f->closed)",
    ),
    (
        "a shard whose parent was never seen is taken for a root",
        ": LINEAGE_ORPHAN",
        ": LINEAGE_ROOT",
    ),
    (
        "more calls are made than the budget has",
        "	b->tokens -= CALL;\n",
        "",
    ),
    (
        "a stream that waited for its budget is forgotten",
        "	while (heap_top(&c->paused, &id, &at_ms) && at_ms <= now_ms)\n		stream_resume(c, id);\n",
        "",
    ),
    (
        "a lane that is ready stays so when it leaves",
        "	if (c->lanes[lane].ready)\n		ready_remove(c, lane);\n",
        "",
    ),
    (
        "a ring forgets all but its first lane",
        "		*first = l->ready_next == lane ? CORE_NONE : l->ready_next;\n",
        "		*first = CORE_NONE;\n",
    ),
    (
        "a lane that stands still stays due",
        "		if (l->state == LANE_DUE)\n			core_due_remove(c, lane);\n		if (l->state != LANE_STOPPED)",
        "		if (l->state != LANE_STOPPED)",
    ),
    (
        "a child leaves before its parent",
        "	return quiet && settled(c, l) && (l->parent == CORE_NONE || !c->lanes[l->parent].leaving);",
        "	return quiet && settled(c, l);",
    ),
]


CC = ["cc", "-std=gnu17", "-O1", "-w", "-D_GNU_SOURCE", f"-I{ROOT}", f"-I{ROOT}/tests/sim"]


def compile_all(folder: pathlib.Path) -> dict[str, str]:
    """Every source once; a mutant compiles its own file only."""
    objects = {}
    for name in PURE + REST + SIM:
        objects[name] = str(folder / (name.replace("/", "_") + ".o"))
    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        jobs = [
            pool.submit(subprocess.run, CC + ["-c", str(ROOT / name), "-o", o], check=True)
            for name, o in objects.items()
        ]
    for job in jobs:
        job.result()
    return objects


def run(folder: pathlib.Path, objects: dict[str, str], file: str, text: str, seeds: int) -> int:
    source, program = folder / pathlib.Path(file).name, folder / "sim"
    source.write_text(text)
    rest = [o for name, o in objects.items() if name != file]
    subprocess.run(CC + [str(source)] + rest + ["-o", str(program)], check=True)
    return subprocess.run(
        [str(program), "--seeds", str(seeds)], capture_output=True, timeout=180, check=False
    ).returncode


def hunt(mutant: tuple[str, str, str], objects: dict[str, str], seeds: int) -> tuple[str, str]:
    name, old, new = mutant
    texts = {file: (ROOT / file).read_text() for file in PURE}
    found = [file for file in PURE for _ in range(texts[file].count(old))]
    if len(found) != 1:
        return name, f"its text stands {len(found)} times in the sources"
    with tempfile.TemporaryDirectory() as tmp:
        text = texts[found[0]].replace(old, new)
        try:
            code = run(pathlib.Path(tmp), objects, found[0], text, seeds)
        except subprocess.TimeoutExpired:
            return name, ""  # it never got anywhere: seen as well
    return name, "" if code != 0 else f"survived {seeds} seeds"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2000)
    parser.add_argument("--only", default="", help="mutants with this in their name")
    args = parser.parse_args()
    chosen = [m for m in MUTANTS if args.only in m[0]]
    failed = 0
    with (
        tempfile.TemporaryDirectory() as folder,
        concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as pool,
    ):
        objects = compile_all(pathlib.Path(folder))
        for name, wrong in pool.map(lambda m: hunt(m, objects, args.seeds), chosen):
            print(f"{'SURVIVED' if wrong else 'caught  '}  {name}{': ' + wrong if wrong else ''}", flush=True)
            failed += bool(wrong)
    print(f"mutants: {len(chosen) - failed} caught, {failed} not")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
