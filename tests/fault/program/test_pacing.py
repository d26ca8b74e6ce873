#!/usr/bin/env python3
"""How often shards are asked: within the budget, less after throttles, and what it costs."""

import time
import unittest

import world

BUDGET = 20
MONTH = 30 * 24 * 3600


class Pacing(world.World):
    def worker_of(self, emulator, **poll):
        worker = self.worker(emulator, "orders",
                             stream={"poll": {"min": "20ms", "max": "200ms", **poll}})
        worker.begun = time.monotonic()
        return worker.start()

    def test_a_budget_is_kept_and_its_cost_told(self):
        emulator = self.emulator("orders:shards=50:records=4:keys=4:bytes=400")
        worker = self.worker_of(emulator, budget=BUDGET)
        worker.wait_metric("sluice_delivered_total", 200, world.DEADLINE, sink="files")
        worker.wait_metric("sluice_poll_units_month", 1, world.DEADLINE, stream="orders")
        self.assertEqual(worker.metric("sluice_poll_limit", stream="orders"), BUDGET)
        calls = worker.metric("sluice_polls_total", stream="orders")
        # A second's worth may have been put by.
        self.assertLessEqual(calls, BUDGET * (time.monotonic() - worker.begun + 1))
        now = {name: value for name, labels, value in worker.metrics()}
        units = now["sluice_poll_units_month"]
        self.assertLessEqual(units, 1.2 * BUDGET * MONTH)
        self.assertAlmostEqual(now["sluice_poll_cost_dollars_month"], units / 100000 * 0.02, 2)
        worker.stop()
        self.check_complete(emulator)

    def test_a_throttled_shard_keeps_its_iterator(self):
        emulator = self.emulator("orders:shards=2:records=20:keys=4:bytes=400")
        emulator.fault("throttle", operation="GetRecords", count=8)
        worker = self.worker_of(emulator)
        worker.wait_metric("sluice_delivered_total", 40, world.DEADLINE, sink="files")
        # Each throttle came back by itself: none was tried again where nobody counts.
        self.assertEqual(worker.metric("sluice_polls_total", stream="orders", result="throttled"), 8)
        self.assertEqual(worker.metric("sluice_aws_calls_total", operation="GetShardIterator"), 2)
        worker.stop()
        self.check_complete(emulator)

    def test_a_shard_with_a_full_or_an_old_page_is_behind(self):
        emulator = self.emulator("orders:shards=1:records=1500:keys=4:bytes=400",
                                 "people:shards=1", "things:shards=1")
        for table, age_s in (("people", 3600), ("things", 0)):
            emulator.control("put", table=table, item={"pk": {"S": "a"}, "sk": {"N": "1"}},
                             created_ms=int((time.time() - age_s) * 1000))
        # What was read first stays the last word.
        emulator.fault("throttle", operation="GetRecords", after=1, count=-1, table="orders")
        emulator.fault("throttle", operation="GetRecords", after=1, count=-1, table="people")
        emulator.fault("throttle", operation="GetRecords", after=1, count=-1, table="things")
        worker = self.worker(emulator, "orders", "people", "things").start()
        worker.wait_metric("sluice_delivered_total", 1002, world.DEADLINE, sink="files")
        worker.wait_for(lambda: worker.metric("sluice_polls_total", result="throttled") > 6,
                        "nothing more is read", world.DEADLINE)
        time.sleep(1.5)  # the metrics are of each second
        self.assertEqual([worker.metric("sluice_shards_behind", stream=stream)
                          for stream in ("orders", "people", "things")], [1, 1, 0])

    def test_a_stream_that_is_throttled_slows_down(self):
        emulator = self.emulator("orders:shards=8:records=10:keys=8:bytes=400:rate=80:shard_calls=1",
                                 "quiet:shards=2:records=5:keys=4:bytes=400")
        worker = self.worker(emulator, "orders", "quiet").start()
        worker.wait_for(lambda: worker.metric("sluice_poll_limit", stream="orders") > 0,
                        "it slows down", world.DEADLINE)
        self.assertEqual(worker.metric("sluice_poll_limit", stream="quiet"), 0)
        self.assertIn("many shards of a stream are throttled", self.log(worker))
        worker.wait_metric("sluice_delivered_total", 8 * 10 + 10, world.DEADLINE, sink="files")
        worker.stop()
        self.check_complete(emulator)
        self.check_complete(emulator, "quiet")


if __name__ == "__main__":
    unittest.main()
