#!/usr/bin/env python3
"""Streams that are joined to exports of their table: what a reader keeps that takes the highest
(generation, sequence) of a key is the table, whatever died in between; and where it is not, that was
foreseen."""

import json
import time
import unittest

import exporting
from exporting import HOUR, MINUTE
from world import DEADLINE

TABLE = "orders:pitr=1:shards=2:keys=16:bytes=300:rotate_ms=7200000:fuzz_ms=60000:export_ms=120000"
# Seconds of AWS's time, and how often it goes so much further: a worker believes a new time once two
# answers say it.
STEP = 120
EVERY = 1.5


class Joins(exporting.Exports):
    def joined(self, emulator, start="baseline", **more):
        worker = self.one(emulator, stream={
            "start": start, "gap": "repair",
            "baseline": {"bucket": self.bucket, "prefix": self.prefix, "poll": "5s"}, **more})
        worker.config["worker"]["follow"] = "1s"
        worker.config["aws"]["endpoint"]["s3"] = self.s3
        return worker

    def stream(self, what):
        """Of the table's newest stream; those of files have other names for ARNs."""
        return self.sql(f"SELECT {what} FROM sluice.stream WHERE arn LIKE 'arn:%' "
                        "ORDER BY id DESC LIMIT 1", self.database)

    def wait_joined(self, worker, generation, deadline=DEADLINE):
        worker.wait_for(lambda: self.joined_now(generation),
                        lambda: f"generation {generation}: {self.stream('*')} {self.column('*')}",
                        deadline)

    def joined_now(self, generation):
        return self.stream("generation || '/' || (hold IS NULL)") == [f"{generation}/true"]

    def kept(self):
        """What a reader has in the end: per key the event of the highest (generation, sequence)."""
        best = {}
        for event in self.delivered():
            order = event.generation, event.sequence
            if event.key not in best or order >= best[event.key][0]:
                best[event.key] = order, event
        return {key: event for key, (_, event) in best.items() if event.op != "d"}

    @staticmethod
    def truth(emulator):
        """The table: what was generated, and what was put by hand."""
        truth = emulator.truth("orders")
        return {**{key: value["n"] for key, value in truth["keys"].items() if value["exists"]},
                **{key: int(item["n"]["N"]) for key, item in truth["items"].items()}}

    def check_kept(self, emulator, beside=()):
        kept = {key: event.n for key, event in self.kept().items()}
        truth = self.truth(emulator)
        self.assertEqual({key for key in kept if key not in truth}, set(beside))
        for key in beside:
            kept.pop(key)
        self.assertEqual(kept, truth)


class Baseline(Joins):
    def baseline(self, length):
        emulator = self.exporting(f"{TABLE}:records=150:rate=20")
        some = [self.joined(emulator) for _ in range(3)]
        for worker in some:
            worker.start()
        self.moving(emulator, STEP, EVERY)
        self.wait_rows(some[0], lambda rows: any("running" in row for row in rows), "it runs")
        if length:
            rule = emulator.fault("unavailable", operation="DescribeExport", count=-1)
            self.move(emulator, length)
            time.sleep(2 * EVERY)
            emulator.control("clear", id=rule)
        for status in ("loading", "complete"):
            victim = self.rng.choice(some)
            self.wait_rows(some[0] if victim is not some[0] else some[1],
                           lambda rows, now=status: any(now in row for row in rows), status)
            victim.kill9()
            victim.start(wait=False)
        self.wait_joined(some[0], 2)
        self.stand_still()
        self.finish_joined(emulator, some)
        return emulator

    def finish_joined(self, emulator, workers):
        self.wait_made(emulator)
        for worker in workers:
            self.assertEqual(worker.stop(60), 0, worker.process.tail(60))
        self.drain(self.joined(emulator), idle="1s")
        self.check_kept(emulator)

    def kinds(self):
        return [row.split()[0] for row in self.column("kind")]

    def test_a_short_export(self):
        self.baseline(0)
        self.assertEqual(len(self.kinds()), 1)

    def test_an_export_of_hours(self):
        self.baseline(5 * HOUR)
        self.assertEqual(len(self.kinds()), 1)

    def test_an_export_of_more_than_a_day(self):
        """Windows follow it, as the stream has lost what came since."""
        self.baseline(30 * HOUR)
        self.assertGreater(len(self.kinds()), 2)


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
