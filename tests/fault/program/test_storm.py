#!/usr/bin/env python3
"""Lives that end at any moment, under faults, splits and rotations: afterwards every record is in the
files once and in order. SLUICE_STORM_SECONDS says how long, SLUICE_STORM_SEED repeats one."""

import os
import random
import signal
import time
import unittest

import world

SECONDS = float(os.environ.get("SLUICE_STORM_SECONDS", "40"))
SEED = int(os.environ.get("SLUICE_STORM_SEED", "0")) or random.randrange(1, 1 << 30)
RATE = 300
SHARDS_MAX = 24
KINDS = ("throttle", "limit", "internal", "unavailable", "expired", "cut", "cut_body", "wrong_crc",
         "garbage", "malformed", "empty")
READS = ("GetRecords", "GetShardIterator")


class Storm(world.World):
    def setUp(self):
        super().setUp()
        self.rng = random.Random(f"{SEED} {self.id()}")
        print(f"{self.id()}: SLUICE_STORM_SEED={SEED}", flush=True)

    def weather(self, emulator):
        """A few more faults; shards that split or rotate."""
        for _ in range(self.rng.randrange(3)):
            emulator.fault(self.rng.choice(KINDS), probability=0.2, count=self.rng.randint(1, 8),
                           operation=self.rng.choice((*READS, "DescribeStream")))
        # Keys that are refused at the start end a worker, as they should; later it goes on.
        if self.rng.random() < 0.1:
            emulator.fault("token", probability=0.2, count=self.rng.randint(1, 8),
                           operation=self.rng.choice(READS))
        shards = emulator.control("shards", table="orders")["streams"][-1]["shards"]
        opened = [shard for shard, now in shards.items() if not now["closed"]]
        if len(shards) < SHARDS_MAX and self.rng.random() < 0.5:
            emulator.control(self.rng.choice(("split", "rotate")), table="orders",
                             shard=self.rng.choice(opened))

    def storm(self, seconds, end):
        """Lives of random length, each ended by end(worker); then the rest in peace."""
        records = int(seconds * RATE / 4)
        emulator = self.emulator(f"orders:shards=4:records={records}:keys=16:bytes=400:rate={RATE}",
                                 options=("--seed", SEED))
        worker = self.worker(emulator, "orders", checkpoint={"interval": "50ms"},
                             stream={"sinks": ["files", "slower"]})
        worker.config["sinks"]["slower"] = {
            **worker.config["sinks"]["files"], "roll": {"age": "3s"}, "compression": "none",
            "path": f"{self.folder}/out-slower/${{table}}/"}
        until, lives = time.monotonic() + seconds, 0
        while time.monotonic() < until:
            self.weather(emulator)
            worker.start(wait=False)
            lives += 1
            try:
                worker.process.wait(self.rng.uniform(0.05, 3))
                self.fail(f"it ended by itself\n{worker.process.tail(60)}")
            except TimeoutError:
                end(worker)
        emulator.control("clear")
        self.wait_made(emulator)
        self.drain(worker, idle="1s")
        got = self.check_complete(emulator)
        self.check_complete(emulator, out="out-slower")
        self.clean()
        print(f"{self.id()}: {lives} lives, {len(got)} records", flush=True)

    def test_kill(self):
        def end(worker):
            if self.rng.random() < 0.3:  # in the middle of a graceful stop
                worker.process.send(signal.SIGTERM)
                time.sleep(self.rng.uniform(0, 0.4))
            worker.process.kill()

        self.storm(SECONDS, end)

    def test_terminate(self):
        lives = 0

        def end(worker):
            nonlocal lives
            lives += 1
            # A process that has not shown its banner may have no handler yet.
            worker.wait_for(lambda: self.log(worker).count("INFO  sluice ") == lives, "it begins")
            worker.process.send(signal.SIGTERM)
            self.assertEqual(worker.process.wait(60), 0, worker.process.tail(60))

        self.storm(SECONDS / 2, end)


if __name__ == "__main__":
    unittest.main()
