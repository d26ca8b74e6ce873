#!/usr/bin/env python3
"""`gap: repair`, and what it cannot give back (joins.py)."""

import json
import time
import unittest

from exporting import HOUR, MINUTE
from joins import EVERY, STEP, TABLE, Joins
from world import DEADLINE


class Repair(Joins):
    def put(self, emulator, key, n=1):
        emulator.control("put", table="orders", item={
            "pk": {"S": key}, "sk": {"N": "1"}, "n": {"N": str(n)}})

    def delete(self, emulator, key):
        emulator.control("delete", table="orders", key={"pk": {"S": key}, "sk": {"N": "1"}})

    def away(self, emulator, seconds):
        """A day and more in which nobody reads, and the stream goes on."""
        for _ in range(10):
            self.move(emulator, seconds // 10)
            time.sleep(0.3)

    def status(self, worker):
        return json.loads(worker.run("status", "--json").stdout)["streams"][0]

    def test_what_was_trimmed_is_repaired(self):
        emulator = self.exporting(f"{TABLE}:records=250:rate=20")
        worker = self.joined(emulator, start="oldest")
        worker.start()
        worker.wait_metric("sluice_delivered_total", 50)
        self.assertEqual(worker.stop(), 0, worker.process.tail(60))
        self.away(emulator, 30 * HOUR)
        some = [self.joined(emulator, start="oldest") for _ in range(2)]
        for other in some:
            other.start(wait=False)
        self.moving(emulator, STEP, EVERY)
        self.wait_joined(some[0], 2)
        self.stand_still()
        self.wait_made(emulator)
        for other in some:
            self.assertEqual(other.stop(60), 0, other.process.tail(60))
        self.drain(self.joined(emulator, start="oldest"), idle="1s")
        self.check_kept(emulator)
        gaps = self.status(worker)["gaps"]
        self.assertTrue(gaps)
        self.assertEqual({(gap["state"], gap["how"]) for gap in gaps}, {("closed", "repair")})

    def test_the_deletes_that_are_missing_are_those_that_are_foreseen(self):
        emulator = self.exporting("orders:pitr=1:shards=1:records=0:keys=2:bytes=300")
        worker = self.joined(emulator, start="oldest")
        self.put(emulator, "old")
        self.put(emulator, "lasting")
        self.move(emulator, 60 * MINUTE)
        for key in ("ghost", "late", "changed"):
            self.put(emulator, key)
        self.move(emulator, 5 * MINUTE)
        self.put(emulator, "last")  # where the shard stands
        self.drain(worker)
        self.assertEqual(len(self.kept()), 6)

        self.move(emulator, MINUTE)
        self.delete(emulator, "ghost")  # made 5 minutes before that place, gone one behind it
        self.delete(emulator, "old")    # made long before
        self.put(emulator, "changed", 2)
        self.move(emulator, 10 * MINUTE)
        self.delete(emulator, "late")   # gone behind the cut
        self.put(emulator, "between")   # nobody ever heard of it
        self.move(emulator, MINUTE)
        self.delete(emulator, "between")
        self.put(emulator, "new")
        self.move(emulator, 30 * HOUR)

        worker.start(wait=False)
        self.moving(emulator, STEP, EVERY)
        self.wait_joined(worker, 2)
        self.stand_still()
        self.assertEqual(worker.stop(60), 0, worker.process.tail(60))
        self.drain(worker)
        truth = {key.split('"')[3]: event.n for key, event in self.kept().items()}
        self.assertEqual(truth.pop("ghost"), 1)
        self.assertEqual(truth, {"lasting": 1, "changed": 2, "last": 1, "new": 1})

    def test_beyond_what_can_be_restored_a_person_begins_anew(self):
        emulator = self.exporting("orders:shards=1:records=20:keys=2:bytes=300")
        self.put(emulator, "gone")
        before = self.one(emulator)
        self.drain(before)
        self.delete(emulator, "gone")
        self.put(emulator, "new")
        self.move(emulator, 30 * HOUR)
        worker = self.joined(emulator, start="oldest")
        self.assertIn("point-in-time recovery is off",
                      worker.run("check", check=False).stdout)
        worker.config["streams"][0]["baseline"]["enable_pitr"] = True
        worker.start(wait=False)
        self.moving(emulator, STEP, EVERY)
        worker.wait_for(lambda: "a person has to act" in self.log(worker), "a person is asked",
                        DEADLINE)
        self.assertIn("sluice export baseline", self.log(worker))
        self.assertIn("reaches back to", worker.run("check", check=False).stdout)
        said = worker.run("export", "baseline", "--stream", "orders", "--yes").stdout
        self.assertIn("is held for its baseline", said)
        self.wait_joined(worker, 2)
        self.stand_still()
        self.assertEqual(worker.stop(60), 0, worker.process.tail(60))
        self.drain(worker)
        # What an ended baseline did not touch is gone.
        kept = {key: event.n for key, event in self.kept().items() if event.generation == 2}
        self.assertEqual(kept, self.truth(emulator))

    def test_a_stream_that_was_off_is_repaired(self):
        emulator = self.exporting("orders:pitr=1:shards=2:records=20:keys=4:bytes=300")
        worker = self.joined(emulator, start="oldest")
        self.put(emulator, "old")
        self.move(emulator, HOUR)
        self.put(emulator, "kept")
        self.drain(worker)
        emulator.control("disable", table="orders")
        self.move(emulator, HOUR)
        self.put(emulator, "between")
        self.delete(emulator, "old")
        self.move(emulator, HOUR)
        emulator.control("enable", table="orders")
        self.put(emulator, "after")
        worker.start(wait=False)
        self.moving(emulator, STEP, EVERY)
        self.wait_joined(worker, 2)
        self.stand_still()
        self.assertEqual(worker.stop(60), 0, worker.process.tail(60))
        self.drain(worker)
        self.check_kept(emulator)
        self.assertIn("after", {key.split('"')[3] for key in self.kept()})


if __name__ == "__main__":
    unittest.main()
