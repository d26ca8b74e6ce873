#!/usr/bin/env python3
"""A stream went back, and its workers come only after hours: what AWS has dropped in between, of the
replay or of what was never read, is a gap, also where AWS says nothing of it."""

import sqlite3
import unittest

import gaps
import world
from world import shards_of

HOUR = 3600


class LateReplay(gaps.GapWorld):
    """A file store: nobody reads before the worker comes."""

    def replay(self, worker, start):
        done = worker.run("replay", "--stream", "orders", "--from", start, "--yes")
        self.assertIn("with the next start of the worker", done.stdout)

    def later(self, emulator, hours):
        emulator.control("advance", seconds=int(hours * HOUR), date=True)

    def found(self, worker):
        return [(gap["shard"], gap["kind"]) for gap in self.gaps(worker)]

    def kept_empty(self, gap):
        """A savepoint before the first record; one comes behind it, and the next after 20 hours."""
        emulator = self.emulator("orders:shards=1:records=0:keys=2:bytes=300")
        worker = self.one(emulator, gap)
        self.drain(worker)
        worker.run("checkpoint", "savepoint", "empty")
        self.put(emulator, 1)
        self.drain(worker)
        self.later(emulator, 20)
        return emulator, worker, list(shards_of(emulator))[0]

    def test_a_shard_goes_back_to_its_beginning(self):
        emulator, worker, root = self.kept_empty("stop")
        self.put(emulator, 2)
        self.drain(worker)
        self.replay(worker, "savepoint:empty")
        self.later(emulator, 5)
        self.drain(worker, code=1)
        self.assertEqual(self.found(worker), [(root, "trimmed")])
        self.assertIn("nobody read it since", self.log(worker))
        worker.config["streams"][0]["gap"] = "oldest"
        self.drain(worker)
        self.assertEqual([event.n for event in self.delivered()], [1, 2, 2])

    def test_who_comes_in_time_lacks_nothing(self):
        emulator, worker, _ = self.kept_empty("stop")
        self.put(emulator, 2)
        self.drain(worker)
        self.replay(worker, "savepoint:empty")
        self.later(emulator, 3.9)  # the shard was set back by 23 hours 54 minutes
        self.drain(worker)
        self.assertEqual(self.found(worker), [])
        self.assertEqual([event.n for event in self.delivered()], [1, 2, 1, 2])

    def test_a_shard_that_began_later_lacks_nothing(self):
        emulator, worker, root = self.kept_empty("oldest")
        emulator.control("rotate", table="orders", shard=root, records=10)
        self.drain(worker)
        self.replay(worker, "savepoint:empty")
        self.later(emulator, 5)
        self.drain(worker)
        self.assertEqual(self.found(worker), [(root, "trimmed")])
        child = [event.sequence for event in self.delivered() if event.shard != root]
        self.assertEqual(child[:len(child) // 2], child[len(child) // 2:])

    def test_a_record_that_its_shard_begins_with(self):
        emulator, worker, root = self.kept_empty("stop")
        self.put(emulator, 2)
        self.drain(worker)
        first = self.delivered()[0]
        self.replay(worker, f"{first.sequence}@{root}")
        self.later(emulator, 5)
        self.drain(worker, code=1)
        self.assertEqual(self.found(worker), [(root, "trimmed")])

    def test_from_the_oldest_record(self):
        """What was never read is lost with it."""
        emulator, worker, root = self.life_before("stop")
        self.replay(worker, "oldest")
        self.put(emulator, 1)
        self.later(emulator, 25)
        self.put(emulator, 2)
        self.drain(worker, code=1)
        self.assertEqual(self.found(worker), [(root, "trimmed")])
        worker.config["streams"][0]["gap"] = "oldest"
        self.drain(worker)
        self.assertEqual([event.n for event in self.delivered()[30:]], [2])

    def test_what_is_left_when_it_is_read_is_the_oldest(self):
        emulator, worker, _ = self.life_before("stop")
        self.later(emulator, 20)
        self.put(emulator, 1)
        self.drain(worker)
        self.replay(worker, "oldest")
        with sqlite3.connect(self.folder / "state.db") as store:  # its clock is not the emulator's
            store.execute(f"UPDATE audit SET at_ms = at_ms + {20 * HOUR * 1000} WHERE what = 'reset'")
        self.later(emulator, 5)
        self.drain(worker)
        self.assertEqual(self.found(worker), [])
        self.assertEqual([event.n for event in self.delivered()[30:]], [1, 1])

    def test_a_shard_that_nobody_reached_while_others_were_read(self):
        emulator = self.emulator("orders:shards=2:records=10:keys=4:bytes=400")
        worker = self.one(emulator)
        self.drain(worker)
        other = list(shards_of(emulator))[1]
        self.later(emulator, 3)
        self.put(emulator, 1)
        self.replay(worker, "-2h")
        rule = emulator.fault("denied", operation="GetShardIterator", shard=other, count=-1)
        worker.start(wait=False)
        worker.wait_for(lambda: "shard could not be read" in self.log(worker), "it is tried",
                        world.DEADLINE)
        self.assertEqual(worker.stop(), 0)
        emulator.control("clear", id=rule)
        self.later(emulator, 21.5)
        self.drain(worker, code=1)
        self.assertIn((other, "trimmed"), self.found(worker))


if __name__ == "__main__":
    unittest.main()
