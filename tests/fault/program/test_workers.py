#!/usr/bin/env python3
"""Several workers on one Postgres: they share the shards, come, go, hang and die; afterwards every
record is in the files once and in order. SLUICE_STORM_SECONDS says how long the storm takes,
SLUICE_STORM_SEED repeats one."""

import os
import time
import unittest

import workers
from workers import LEASE_S, SEED

SECONDS = float(os.environ.get("SLUICE_STORM_SECONDS", "40"))
SHARDS_MAX = 60


class Sharing(workers.Workers):
    @staticmethod
    def wait_budget(fleet, calls):
        """Until each has the part of it that its shards are of all shards."""
        fleet[0].wait_for(
            lambda: all(worker.metric("sluice_poll_limit") == calls / len(fleet)
                        for worker in fleet),
            f"{calls} calls a second are shared by {len(fleet)}", 40)

    def test_shards_are_shared(self):
        emulator = self.emulator("orders:shards=12:records=300:keys=40:bytes=400:rate=150")
        poll = {"stream": {"poll": {"min": "20ms", "max": "200ms", "budget": 120}}}
        first, second, third = (self.one(emulator, **poll) for _ in range(3))
        first.start()
        self.wait_shared([first], 12)
        self.wait_budget([first], 120)
        second.start()
        third.start()
        self.wait_shared([first, second, third], 12)
        self.wait_budget([first, second, third], 120)
        self.assertEqual(second.stop(60), 0)
        self.wait_shared([first, third], 12)
        # Not by its death: a deploy is no standstill of a lease.
        self.assertNotIn("a session is dead", self.log(first) + self.log(third))
        third.kill9()
        self.wait_shared([first], 12)
        self.wait_budget([first], 120)
        self.finish(emulator, [first])
        for worker in (first, second, third):
            self.assertNotIn("a new one begins", self.log(worker))

    def test_children_follow_their_parents(self):
        emulator = self.emulator("orders:shards=4:records=500:keys=40:bytes=400:rate=150")
        three = [self.one(emulator).start() for _ in range(3)]
        self.wait_shared(three, 4)
        for _ in range(5):
            shards = emulator.control("shards", table="orders")["streams"][-1]["shards"]
            for shard in [name for name, now in shards.items() if not now["closed"]][:4]:
                emulator.control("split", table="orders", shard=shard)
            time.sleep(1)
        self.finish(emulator, three)

    def test_one_that_slept_through_its_lease(self):
        emulator = self.emulator("orders:shards=6:records=500:keys=40:bytes=400:rate=150")
        first, second = self.one(emulator).start(), self.one(emulator).start()
        self.wait_shared([first, second], 6)
        second.pause()
        self.wait_shared([first], 6)
        second.resume()
        second.wait_for(lambda: "a new one begins" in self.log(second), "its session ended",
                        40)
        self.wait_shared([first, second], 6)
        self.finish(emulator, [first, second])

    def hangs(self, thread):
        emulator = self.emulator("orders:shards=6:records=200:keys=40:bytes=400:rate=150")
        first, second = self.one(emulator).start(), self.one(emulator).start()
        self.wait_shared([first, second], 6)
        go_on = second.process.hold_thread(thread)
        self.wait_shared([first], 6)
        go_on()
        second.wait_for(lambda: "a new one begins" in self.log(second), "its session ended", 40)
        self.wait_shared([first, second], 6)
        self.finish(emulator, [first, second])

    def test_a_reader_that_hangs(self):
        """Everything else of the process goes on, and yet its shards go to the other."""
        self.hangs("reader")

    def test_a_core_that_hangs(self):
        self.hangs("")

    def test_storm(self):
        print(f"{self.id()}: SLUICE_STORM_SEED={SEED}", flush=True)
        rate = 400
        emulator = self.emulator(
            f"orders:shards=8:records={int(SECONDS * rate / 8)}:keys=64:bytes=400:rate={rate}",
            options=("--seed", SEED))
        some = [self.one(emulator).start() for _ in range(self.rng.randint(3, 5))]
        until, ends = time.monotonic() + SECONDS, []
        while time.monotonic() < until:
            time.sleep(self.rng.uniform(0.5, 3))
            shards = emulator.control("shards", table="orders")["streams"][-1]["shards"]
            if len(shards) < SHARDS_MAX:
                opened = [shard for shard, now in shards.items() if not now["closed"]]
                emulator.control(self.rng.choice(("split", "rotate")), table="orders",
                                 shard=self.rng.choice(opened))
            worker = self.rng.choice(some)
            how = self.rng.choice(("kill", "sleep", "nap", "term"))
            ends.append(how)
            if how == "kill":
                worker.kill9()
                worker.start(wait=False)
            elif how == "term":
                self.assertEqual(worker.stop(60), 0, worker.process.tail(60))
                worker.start(wait=False)
            else:
                worker.pause()
                time.sleep(LEASE_S * (self.rng.uniform(1, 2) if how == "sleep" else 0.3))
                worker.resume()
        got = self.finish(emulator, some)
        print(f"{self.id()}: {len(some)} workers, {len(got)} records, {' '.join(ends)}",
              flush=True)


if __name__ == "__main__":
    unittest.main()
