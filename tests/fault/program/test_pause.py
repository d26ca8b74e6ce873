#!/usr/bin/env python3
"""A stream that is held: its workers let go of all its shards and read nothing of it, whatever
stands still or dies meanwhile; afterwards nothing is lost, and nothing comes twice. And one that is
reset while it is held: everything from its start on comes again, under another generation."""

import json
import sqlite3
import time
import unittest
from collections import defaultdict

import gaps
import workers
import world
from workers import LEASE_S
from world import shards_of

DEADLINE = world.DEADLINE


def polls(worker):
    return worker.metric("sluice_polls_total", stream="orders")


def lag(fleet):
    """Whoever lists the stream tells of what nobody has; that may be any of them."""
    return max(worker.metric("sluice_lag_seconds", stream="orders") for worker in fleet)


def reasons(worker):
    """What /readyz says of the parts that are not well."""
    return {part["part"]: part["reason"] for part in json.loads(worker.get("/readyz")[1])["parts"]
            if not part["ok"]}


class Pausing(workers.Workers):
    def stream(self, worker):
        return json.loads(worker.run("status", "--json").stdout)["streams"][0]

    def owned(self):
        return int(self.sql("SELECT count(*) FROM sluice.lane WHERE owner IS NOT NULL",
                            self.database)[0])

    def pause(self, worker):
        done = worker.run("pause", "--stream", "orders", "--why", "a migration", "--yes")
        self.assertIn("orders is paused: running workers let go of its shards", done.stdout)

    def wait_let_go(self, worker):
        worker.wait_for(lambda: self.owned() == 0, "all is let go of", DEADLINE)

    def resume(self, worker):
        done = worker.run("resume", "--stream", "orders", "--yes")
        self.assertIn("orders is not paused any more", done.stdout)

    def quiet(self, fleet, seconds=1.5):
        """Nothing is polled, nothing comes out."""
        before = [polls(worker) for worker in fleet], len(self.delivered())
        time.sleep(seconds)
        self.assertEqual(([polls(worker) for worker in fleet], len(self.delivered())), before)

    def test_three_workers_under_load(self):
        emulator = self.emulator("orders:shards=12:records=600:keys=40:bytes=400:rate=300")
        three = [self.one(emulator).start() for _ in range(3)]
        self.wait_shared(three, 12)
        self.pause(three[0])
        self.wait_let_go(three[0])
        self.quiet(three)
        for worker in three:
            worker.wait_metric("sluice_stream_held", 1, DEADLINE, stream="orders")
        self.assertIn("sluice resume -c FILE --stream orders", reasons(three[0])["hold orders"])
        hold = self.stream(three[0])["hold"]
        self.assertEqual((hold["why"], hold["said"], hold["shards_owned"]),
                         ("pause", "a migration", 0))
        self.assertIn("held   pause", three[0].run("status").stdout)
        # What is not read is late, and nobody may think that all is well.
        three[0].wait_for(lambda: lag(three) > 0, "it has a lag", DEADLINE)
        before = lag(three)
        three[0].wait_for(lambda: lag(three) > before + 1, "the lag grows", DEADLINE)
        late = self.one(emulator).start()  # one that comes meanwhile waits as well
        late.wait_metric("sluice_stream_held", 1, DEADLINE, stream="orders")
        self.quiet([late])
        self.resume(three[0])
        self.wait_shared([*three, late], 12)
        self.assertEqual(late.metric("sluice_stream_held", stream="orders"), 0)
        self.assertNotIn("hold orders", reasons(three[0]))
        self.finish(emulator, [*three, late])
        said = [(row["what"], row["why"]) for row in self.stream(three[0])["audit"]]
        self.assertEqual(said, [("go on", "pause"), ("hold", "pause")])
        for worker in [*three, late]:
            self.assertNotIn("a new one begins", self.log(worker))

    def test_splits_and_short_pauses(self):
        """Shards close and children are found while the stream is let go of and taken again."""
        emulator = self.emulator("orders:shards=4:records=600:keys=40:bytes=400:rate=200")
        two = [self.one(emulator).start() for _ in range(2)]
        self.wait_shared(two, 4)
        for wait in (0.0, 0.2, 0.6, 1.5):
            shards = emulator.control("shards", table="orders")["streams"][-1]["shards"]
            opened = [name for name, now in shards.items() if not now["closed"]]
            emulator.control("split", table="orders", shard=opened[0])
            self.pause(two[0])
            time.sleep(wait)
            emulator.control("rotate", table="orders", shard=opened[1])
            self.resume(two[0])
        self.finish(emulator, two)

    def test_who_dies_meanwhile_is_buried(self):
        emulator = self.emulator("orders:shards=8:records=400:keys=40:bytes=400:rate=150")
        first, second = (self.one(emulator).start() for _ in range(2))
        self.wait_shared([first, second], 8)
        second.pause()  # it cannot let go of anything
        self.pause(first)
        first.wait_for(lambda: self.owned() == 4, "the first one has let go", DEADLINE)
        self.assertEqual(self.owned(), 4)
        second.kill9()
        self.wait_let_go(first)
        self.assertIn("a dead session is buried", self.log(first))
        self.quiet([first])
        self.resume(first)
        self.wait_shared([first], 8)
        self.finish(emulator, [first])

    def test_all_die_meanwhile(self):
        emulator = self.emulator("orders:shards=4:records=200:keys=40:bytes=400:rate=150")
        first = self.one(emulator).start()
        self.wait_shared([first], 4)
        self.pause(first)
        first.kill9()
        first.start()
        self.wait_let_go(first)
        self.assertEqual(first.stop(60), 0)
        self.drain(first, code=1)
        self.assertIn("stream orders is held (pause): nothing of it is read, everything else is "
                      "delivered", self.log(first))
        self.resume(first)
        self.finish(emulator, [first.start()])

    def test_other_streams_go_on(self):
        emulator = self.emulator("orders:shards=2:records=50:keys=4:bytes=400",
                                 "users:shards=2:records=50:keys=4:bytes=400")
        worker = self.one(emulator)
        self.drain(worker)
        worker.config["streams"].append({**worker.config["streams"][0], "table": "users"})
        self.pause(worker)
        for n in range(10):
            emulator.control("put", table="orders",
                             item={"pk": {"S": "late"}, "sk": {"N": "1"}, "n": {"N": str(n + 1)}})
        self.drain(worker, code=1)
        self.check_complete(emulator, "users")
        self.assertEqual(len(self.delivered()), 100)
        self.resume(worker)
        self.drain(worker)
        self.assertEqual(len(self.delivered()), 110)

    # --- resets ---

    def hold(self, why="rewind"):
        return self.sql(f"SELECT id FROM sluice.hold_begin(1, 0, '{why}', 'test', '', "
                        f"{int(time.time() * 1000)}, 1000000000)", self.database)[0]

    def reset(self, hold, start_ms=0, generation=1):
        return self.sql(f"SELECT done FROM sluice.hold_reset(1, {hold}, {generation}, {start_ms}, "
                        f"'', 'test', '', {int(time.time() * 1000)})", self.database)[0]

    def go_on(self, hold):
        self.sql(f"SELECT sluice.hold_end(1, {hold}, 'test', {int(time.time() * 1000)})",
                 self.database)

    def check_generations(self, emulator):
        """Each generation in itself: once, in order, no child before its parents; and the first
        one has ended before anything of the second is delivered."""
        got = self.delivered()
        shards = shards_of(emulator)
        by = defaultdict(list)
        for event in got:
            by[event.generation].append(event)
        self.assertEqual(sorted(by), [1, 2])
        for some in by.values():
            self.check_order(some, shards)
        self.assertEqual([event.generation for event in got],
                         [1] * len(by[1]) + [2] * len(by[2]))
        return by

    def test_a_reset_reads_everything_again(self):
        emulator = self.emulator("orders:shards=6:records=300:keys=40:bytes=400:rate=150")
        three = [self.one(emulator).start() for _ in range(3)]
        self.wait_shared(three, 6)
        opened = list(shards_of(emulator))
        emulator.control("split", table="orders", shard=opened[0])
        three[0].wait_for(lambda: len(self.delivered()) > 100, "some is delivered", DEADLINE)
        hold = self.hold()
        self.wait_let_go(three[0])
        emulator.control("split", table="orders", shard=opened[1])
        self.assertEqual(self.reset(hold), "t")
        self.go_on(hold)
        self.wait_shared(three, 8)
        self.wait_made(emulator)
        for worker in three:
            self.assertEqual(worker.stop(60), 0, worker.process.tail(60))
        self.drain(self.one(emulator), idle="1s")
        by = self.check_generations(emulator)
        self.check_keys(by[2], emulator.truth("orders")["keys"])
        for worker in three:
            self.assertNotIn("a new one begins", self.log(worker))

    def test_a_worker_that_does_not_hear_of_it_reads_nothing_old(self):
        """It sleeps while the stream is held, reset and goes on, and its lease outlasts that."""
        emulator = self.emulator("orders:shards=4:records=200:keys=40:bytes=400:rate=150")
        first, second = (self.one(emulator) for _ in range(2))
        for worker in (first, second):
            worker.config["checkpoint"]["lease"] = "20s"
        first.start()
        self.wait_shared([first], 4)
        hold = self.hold()
        self.wait_let_go(first)
        self.go_on(hold)
        second.start()
        second.wait_for(lambda: self.holds(first) + self.holds(second) == 4, "all is taken",
                        DEADLINE)
        hold = self.hold()
        self.wait_let_go(first)
        second.pause()
        self.assertEqual(self.reset(hold), "t")
        self.go_on(hold)
        second.resume()
        self.wait_made(emulator)
        for worker in (first, second):
            self.assertEqual(worker.stop(60), 0, worker.process.tail(60))
        last = self.one(emulator)
        last.config["checkpoint"]["lease"] = "20s"
        self.drain(last, idle="1s")
        self.check_keys(self.check_generations(emulator)[2], emulator.truth("orders")["keys"])

    # --- the commands ---

    def test_what_a_person_sees(self):
        emulator = self.emulator("orders:shards=1:records=5:keys=4:bytes=400")
        worker = self.one(emulator)
        self.drain(worker)
        done = worker.run("pause", "--stream", "orders", check=False)
        self.assertEqual(done.returncode, 2)
        self.assertIn("Pause orders", done.stdout)
        self.assertIn("--yes", done.stderr)
        self.assertIsNone(self.stream(worker)["hold"])
        done = worker.run("pause", "--stream", "other", "--yes", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("no stream other", done.stderr)
        self.pause(worker)
        self.assertIn("paused already", worker.run("pause", "--stream", "orders", "--yes").stdout)
        done = worker.run("resume", "--stream", "orders", check=False)
        self.assertEqual(done.returncode, 2)
        self.assertIn("a migration", done.stdout)
        self.resume(worker)
        self.assertIn("nothing to do", worker.run("resume", "--stream", "orders").stdout)
        hold = self.hold("repair")
        for command in ("pause", "resume"):
            done = worker.run(command, "--stream", "orders", "--yes", check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn("until its repair is done", done.stderr)
        self.drain(worker, code=1)
        self.assertIn("(repair)", self.log(worker))
        self.go_on(hold)
        self.drain(worker)


class Alone(gaps.GapWorld):
    """With SQLite: one worker, and what stands still."""

    def database(self, statement):
        with sqlite3.connect(f"{self.folder}/state.db", timeout=30) as db:
            return db.execute(statement).fetchall()

    def test_a_shard_at_a_gap_is_let_go(self):
        worker, root = self.trimmed("stop")
        self.drain(worker, code=1)
        worker.start()
        worker.wait_metric("sluice_shards", 1, DEADLINE, state="stopped")
        # As another part of this process would: the file is the worker's.
        self.database("INSERT INTO audit (stream, at_ms, what, why, who, said, from_generation, "
                      "to_generation) VALUES (1, 1, 'hold', 'pause', 'test', '', 1, 1)")
        self.database("UPDATE stream SET hold = (SELECT max(id) FROM audit)")
        worker.wait_metric("sluice_stream_held", 1, DEADLINE, stream="orders")
        worker.wait_for(
            lambda: self.database("SELECT count(*) FROM lane WHERE owner IS NOT NULL") == [(0,)],
            "the shard is let go of", DEADLINE)
        worker.wait_for(lambda: worker.metric("sluice_shards", state="stopped") == 0,
                        "it has left", DEADLINE)
        worker.wait_for(lambda: lag([worker]) > 0, "it is late", DEADLINE)
        self.database("UPDATE stream SET hold = NULL")
        worker.wait_metric("sluice_shards", 1, DEADLINE, state="stopped")  # and stands there again
        self.assertEqual(worker.stop(), 0)
        worker.run("pause", "--stream", "orders", "--yes")
        self.drain(worker, code=1)
        self.assertIn("orders is held (pause)", self.log(worker))
        done = worker.run("resume", "--stream", "orders", "--yes")
        self.assertIn("1 gaps accepted", done.stdout)
        self.assertIn("orders is not paused any more", done.stdout)
        self.drain(worker)
        self.assertEqual([event.n for event in self.delivered()[30:]], list(range(10, 20)))

    def test_one_that_is_reset_while_it_runs(self):
        emulator, worker, root = self.life_before()
        worker.start()
        worker.wait_metric("sluice_shards", 1, DEADLINE, state="reading")
        self.database("INSERT INTO audit (stream, at_ms, what, why, who, said, from_generation, "
                      "to_generation) VALUES (1, 1, 'hold', 'rewind', 'test', '', 1, 1)")
        self.database("UPDATE stream SET hold = (SELECT max(id) FROM audit)")
        worker.wait_for(
            lambda: self.database("SELECT count(*) FROM lane WHERE owner IS NOT NULL") == [(0,)],
            "the shard is let go of", DEADLINE)
        with sqlite3.connect(f"{self.folder}/state.db", timeout=30) as db:
            db.execute("PRAGMA foreign_keys = ON")
            db.execute("DELETE FROM lane")
            db.execute("UPDATE stream SET rooted = 0, generation = 2, hold = NULL")
        worker.wait_for(lambda: len(self.delivered()) == 60, "all is read again", DEADLINE)
        self.put(emulator, 1)
        worker.wait_for(lambda: len(self.delivered()) == 61, "and it goes on", DEADLINE)
        self.assertEqual(worker.stop(), 0)
        self.assertEqual([event.generation for event in self.delivered()], [1] * 30 + [2] * 31)


if __name__ == "__main__":
    unittest.main()
