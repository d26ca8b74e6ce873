#!/usr/bin/env python3
"""What the metrics say of the age of changes while a stream cannot be read."""

import unittest

import world


class Lag(world.World):
    def lag(self, worker):
        return worker.metric("sluice_lag_seconds", stream="orders")

    def test_it_grows_while_reads_fail(self):
        emulator = self.emulator("orders:shards=2:records=20:keys=4:bytes=400")
        worker = self.worker(emulator, "orders").start()
        worker.wait_metric("sluice_delivered_total", 40, world.DEADLINE, sink="files")
        worker.wait_for(lambda: self.lag(worker) == 0, "idle, it is 0", world.DEADLINE)
        rule = emulator.fault("denied", operation="GetRecords", count=-1)
        worker.wait_for(lambda: self.lag(worker) > 3, "it grows", world.DEADLINE)
        self.assertLess(worker.metric("sluice_time_to_loss_seconds"), 24 * 3600 - 3)
        emulator.control("clear", id=rule)
        worker.wait_for(lambda: self.lag(worker) == 0, "read again, it is 0", world.DEADLINE)

    def test_it_grows_where_nothing_was_ever_read(self):
        emulator = self.emulator("orders:shards=2:records=20:keys=4:bytes=400")
        emulator.fault("denied", operation="GetRecords", count=-1)
        worker = self.worker(emulator, "orders").start()
        worker.wait_for(lambda: self.lag(worker) > 3, "it grows", world.DEADLINE)

    def test_which_sink_the_others_wait_for(self):
        """A sink that takes nothing sets the pace: two pages, and no more."""
        emulator = self.emulator("orders:records=20:keys=4:bytes=400")
        worker = self.worker(emulator, "orders", stream={"sinks": ["files", "away"]}, sinks={
            "away": {"type": "kafka", "brokers": "127.0.0.1:9"}}, worker={"shutdown": "2s"})
        worker.start()
        worker.wait_metric("sluice_sink_holds_shards", 1, world.DEADLINE, stream="orders", sink="away")
        self.assertEqual(worker.metric("sluice_sink_holds_shards", stream="orders", sink="files"), 0)
        worker.process.kill()


if __name__ == "__main__":
    unittest.main()
