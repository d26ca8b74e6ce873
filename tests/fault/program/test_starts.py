#!/usr/bin/env python3
"""A sink that is added to a stream which is read already, to begin before where the others are: it
gets everything from its start on, in order, and the others get nothing again."""

import time
import unittest
from datetime import datetime, timezone

import workers
import world
from world import DEADLINE


def add(worker, folder, start):
    """Another sink for the worker's next life."""
    worker.config["sinks"]["more"] = {**worker.config["sinks"]["files"],
                                      "path": f"{folder}/more/${{table}}/"}
    worker.config["streams"][0]["sinks"] = ["files", {"name": "more", "start": start}]
    return worker


def places(got):
    return [(event.shard, event.sequence) for event in got]


class SeveralWorkers(workers.Workers):
    def test_oldest_beside_other_workers(self):
        """Shards that are done for the others, and some that are in the middle."""
        emulator = self.emulator("orders:shards=3:records=400:keys=40:bytes=400:rate=150")
        old = [self.one(emulator).start() for _ in range(2)]
        new = [add(self.one(emulator), self.folder, "oldest") for _ in range(2)]
        self.wait_shared(old, 3)
        emulator.control("split", table="orders", shard=list(world.shards_of(emulator))[0])
        self.wait_shared(old, 4)
        for worker in new:
            worker.start()
            worker.wait_for(lambda: "another set of sinks" in self.log(worker), "it waits",
                            DEADLINE)
        for worker in old:
            self.assertEqual(worker.stop(60), 0, worker.process.tail(60))
        had = len(self.delivered())
        self.assertGreater(had, 0)
        new[0].wait_for(lambda: len(self.delivered(out="more")) > had // 2, "it catches up",
                        DEADLINE)
        # One of them dies on the way.
        new[1].kill9()
        self.wait_made(emulator)
        self.assertEqual(new[0].stop(60), 0, new[0].process.tail(60))
        self.drain(add(self.one(emulator), self.folder, "oldest"), idle="1s")
        self.assertIn("a sink is new to a stream", "".join(self.log(worker) for worker in new))
        self.check_complete(emulator)
        self.check_complete(emulator, out="more")


    def test_what_is_said_otherwise_while_it_waits(self):
        """It goes by what counts when its turn comes, not by what it saw first."""
        emulator = self.emulator("orders:shards=2:records=30:keys=8:bytes=400")
        emulator.control("advance", seconds=60, date=True)
        old, early, late = (self.one(emulator, stream={"start": "latest"}) for _ in range(3))
        add(early, self.folder, "latest")
        add(late, self.folder, "oldest")
        old.start()
        self.wait_shared([old], 2)
        for worker in (early, late):
            worker.start()
            worker.wait_for(lambda worker=worker: "another set of sinks" in self.log(worker),
                            "it waits", DEADLINE)
        late.kill9()
        self.assertEqual(old.stop(60), 0, old.process.tail(60))
        early.wait_for(lambda: len(self.delivered(out="more")) == 60, "all of it comes", 20)
        self.assertEqual(early.stop(60), 0, early.process.tail(60))
        self.check_complete(emulator, out="more")
        self.assertEqual(self.delivered(), [])


class OneWorker(world.World):
    # Four generations of shards, two hours each; three of them are closed.
    TABLE = "orders:shards=2:records=30:keys=16:bytes=400:depth=3:fanout=1:hours=2"

    def first(self, emulator, start):
        worker = self.worker(emulator, "orders", stream={"start": start})
        self.drain(worker)
        return worker

    def test_oldest_before_the_stream_itself_began(self):
        emulator = self.emulator(self.TABLE)
        emulator.control("advance", seconds=60, date=True)
        worker = self.first(emulator, "latest")
        self.assertEqual(self.delivered(), [])
        self.drain(add(worker, self.folder, "oldest"))
        more = self.check_complete(emulator, out="more")
        self.assertEqual(self.delivered(), [])
        # What is new goes to both, and a start that is said again says nothing.
        emulator.control("put", table="orders",
                         item={"pk": {"S": "new"}, "sk": {"N": "1"}, "n": {"N": "1"}})
        self.drain(add(worker, self.folder, "latest"))
        self.assertEqual(len(self.delivered()), 1)
        self.assertEqual(len(self.delivered(out="more")), len(more) + 1)

    def test_what_is_lost_by_then_is_no_gap(self):
        emulator = self.emulator(self.TABLE.replace("hours=2", "hours=4"))
        worker = self.first(emulator, "oldest")
        had = self.check_complete(emulator)
        # Of the second generation, which has a parent, an hour is gone then.
        now = emulator.control("advance", seconds=17 * 3600, date=True)["now_ms"]
        self.drain(add(worker, self.folder, "oldest"))
        left = [event for event in had
                if event.value["source"]["ts_ms"] >= now - 24 * 3600 * 1000]
        self.assertTrue(30 < len(left) < len(had) - 30)
        self.assertEqual(sorted(places(self.delivered(out="more"))), sorted(places(left)))
        self.assertEqual(places(self.delivered()), places(had))
        self.assertNotIn("gap:", self.log(worker))

    def test_a_time(self):
        emulator = self.emulator(self.TABLE)
        worker = self.first(emulator, "oldest")
        had = self.check_complete(emulator)
        since = int(time.time()) - 3 * 3600
        self.drain(add(worker, self.folder,
                       datetime.fromtimestamp(since, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")))
        # A start is kept to the second.
        wanted = [event for event in had
                  if event.value["source"]["ts_ms"] >= (since - 1) * 1000]
        self.assertTrue(0 < len(wanted) < len(had))
        got = self.delivered(out="more")
        self.check_order(got, world.shards_of(emulator))
        self.assertEqual(sorted(places(got)), sorted(places(wanted)))
        self.assertEqual(places(self.delivered()), places(had))


if __name__ == "__main__":
    unittest.main()
