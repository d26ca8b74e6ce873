#!/usr/bin/env python3
"""Filters of a stream and of its sinks: each sink gets what it asked for, once and in order, over
splits and kills; what is filtered is passed for good and costs the sink nothing; what cannot be
decoded is never filtered away."""

import json
import unittest

import world

BETWEEN = {"dynamodb": {"NewImage": {"n": {"N": [{"numeric": [">", 5, "<=", 7]}]}}}}
NOTHING = {"eventID": ["nothing"]}


def is_between(event):
    return event.value["after"] is not None and 5 < event.n <= 7


class Filters(world.World):
    def folder_sink(self, name):
        return {"type": "directory", "path": f"{self.folder}/out-{name}/${{table}}/",
                "format": "debezium", "compression": "none", "roll": {"age": "1s"}}

    def few(self, emulator):
        """One sink gets everything, one what is between, one nothing."""
        sinks = ["files", {"name": "few", "filter": [BETWEEN]},
                 {"name": "none", "filter": [NOTHING]}]
        return self.worker(emulator, "orders", stream={"sinks": sinks},
                           sinks={name: self.folder_sink(name) for name in ("few", "none")})

    def check_few(self, emulator):
        everything = self.check_complete(emulator)
        shards = {shard: now for stream in emulator.truth("orders")["streams"]
                  for shard, now in stream["shards"].items()}
        few = self.delivered(out="out-few")
        self.check_order(few, shards)
        wanted = sorted(e.sequence for e in everything if is_between(e))
        self.assertEqual(sorted(e.sequence for e in few), wanted)
        self.assertGreater(len(wanted), 0)
        self.assertLess(len(wanted), len(everything) / 2)
        self.assertEqual(self.delivered(out="out-none"), [])
        return everything, few

    def test_each_sink_gets_what_it_asked_for_over_kills_and_splits(self):
        emulator = self.emulator("orders:shards=3:records=1500:rate=500:keys=20:bytes=400")
        worker = self.few(emulator)
        for round in range(3):
            worker.start()
            worker.wait_metric("sluice_delivered_total", 400, sink="files", deadline=60)
            if round == 1:
                emulator.control("split", table="orders", records=200)
            worker.kill9()
        self.wait_made(emulator)
        self.drain(worker)
        self.check_few(emulator)

        # What was filtered is behind every sink's position: nothing is read again.
        worker.start()
        worker.wait_metric("sluice_polls_total", 3, stream="orders", result="empty", deadline=60)
        self.assertFalse(worker.metric("sluice_records_total", stream="orders"))
        self.assertEqual(worker.stop(), 0)
        self.check_few(emulator)
        self.clean()

    def test_what_is_filtered_is_counted(self):
        emulator = self.emulator("orders:shards=2:records=200:keys=6:bytes=400")
        worker = self.few(emulator).start()
        worker.wait_metric("sluice_delivered_total", 400, sink="files", deadline=60)
        worker.wait_metric("sluice_filtered_total", 400, sink="none", stream="orders", deadline=60)
        filtered = worker.metric("sluice_filtered_total", stream="orders", sink="few")
        self.assertEqual(worker.metric("sluice_filtered_total", stream="orders", sink="files"), 0)
        self.assertEqual(worker.stop(), 0)
        _, few = self.check_few(emulator)
        self.assertEqual(filtered, 400 - len(few))

    def test_a_filter_of_the_stream_hides_no_bad_record(self):
        emulator = self.emulator("orders:shards=1:records=100:keys=4:bytes=400")
        bad = {"eventName": "INSERT", "dynamodb": {
            "ApproximateCreationDateTime": 1763700000, "Keys": {"pk": {"S": "a"}, "sk": {"N": "1"}},
            "NewImage": {"n": {"N": "none"}}, "SequenceNumber": "@SEQUENCE@"}}
        emulator.control("append", table="orders", text=json.dumps(bad))
        emulator.control("put", table="orders", item={
            "pk": {"S": "behind"}, "sk": {"N": "1"}, "n": {"N": "6.0"}})
        # A pattern as text, as AWS's tools have it.
        behind = {"dynamodb": {"Keys": {"pk": {"S": [{"prefix": "beh"}]}},
                               "NewImage": {"n": {"N": [6]}}}}
        worker = self.worker(emulator, "orders",
                             stream={"filter": [NOTHING, json.dumps(behind)]})
        self.drain(worker)
        self.assertEqual([letter["reason"] for letter in self.letters()], ["undecodable"])
        self.assertEqual([event.key for event in self.delivered()], ['{"pk":"behind","sk":1}'])
        self.drain(worker)
        self.assertEqual(len(self.delivered()), 1)

    def test_a_wrong_pattern_is_refused_with_its_line(self):
        emulator = self.emulator("orders:records=1")
        wrong = {"dynamodb": {"NewImage": {"n": {"S": [{"numeric": [">", 5]}]}}}}
        worker = self.worker(emulator, "orders", stream={"filter": [wrong]})
        self.drain(worker, code=2)
        self.assertRegex(self.log(worker) + worker.process.tail(5),
                         r":\d+: streams\[0\]\.filter\[0\]: dynamodb\.NewImage\.n\.S: numeric "
                         r"compares numbers")


if __name__ == "__main__":
    unittest.main()
