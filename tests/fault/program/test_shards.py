#!/usr/bin/env python3
"""Shards that split, rotate, are hidden or unlisted, and streams that are turned off: order over the
lineage."""

import unittest

import world
from world import shards_of


class Shards(world.World):
    def test_a_lineage_that_is_there_already(self):
        emulator = self.emulator("orders:shards=2:records=120:keys=16:bytes=400:depth=3:fanout=2")
        self.drain(self.worker(emulator, "orders"))
        got = self.check_complete(emulator)
        self.assertEqual({event.shard for event in got},
                         {shard for shard, now in shards_of(emulator).items() if now["records"]})
        self.clean()

    def test_many_shards_end_at_once_in_a_worker_that_reads_few(self):
        emulator = self.emulator("orders:shards=300:closed=1:records=300:keys=300:bytes=300")
        worker = self.worker(emulator, "orders", worker={"max_shards": 2, "threads": 1},
                             checkpoint={"interval": "4s", "lease": "10s"})
        self.drain(worker)
        self.check_complete(emulator)
        self.clean()

    def test_splits_and_rotations_under_load(self):
        emulator = self.emulator("orders:shards=3:records=1200:keys=24:bytes=400:rate=900")
        worker = self.worker(emulator, "orders").start()
        for step in range(6):
            worker.wait_metric("sluice_records_total", 250 * (step + 1), stream="orders", deadline=60)
            opened = [shard for shard, now in shards_of(emulator).items() if not now["closed"]]
            emulator.control("rotate" if step % 2 else "split", table="orders",
                             shard=opened[step % len(opened)])
        self.wait_made(emulator)
        self.assertEqual(worker.stop(), 0)
        self.drain(worker)
        self.check_complete(emulator)
        self.clean()

    def test_listings_that_lie(self):
        """Closed shards look open, new ones are not listed yet, whole listings are empty."""
        emulator = self.emulator("orders:shards=2:records=60:keys=8:bytes=400:depth=1:fanout=2")
        emulator.fault("empty", operation="DescribeStream", count=1)
        for shard, now in shards_of(emulator).items():
            if "parent" not in now:
                emulator.fault("open", operation="DescribeStream", shard=shard, count=2)
        worker = self.worker(emulator, "orders").start()
        worker.wait_metric("sluice_records_total", self.made(emulator), stream="orders", deadline=60)
        old = set(shards_of(emulator))
        for shard in [shard for shard, now in shards_of(emulator).items() if not now["closed"]]:
            emulator.fault("empty", operation="DescribeStream", count=2)
            emulator.control("split", table="orders", shard=shard, records=30)
        for shard in set(shards_of(emulator)) - old:
            emulator.fault("hide", operation="DescribeStream", shard=shard, count=3)
        worker.wait_metric("sluice_records_total", self.made(emulator), stream="orders", deadline=90)
        self.assertEqual(worker.stop(), 0)
        self.check_complete(emulator)

    def life_before(self, stream):
        """A root of 30 records is read; then the worker is away."""
        emulator = self.emulator("orders:shards=1:records=30:keys=4:bytes=400")
        worker = self.worker(emulator, "orders", stream=stream)
        self.drain(worker)
        self.assertEqual(len(self.delivered()), 30)
        return emulator, worker, list(shards_of(emulator))[0]

    @staticmethod
    def line(emulator, root):
        """The root, its child and its grandchild, of ten records each."""
        line = [root]
        for _ in range(2):
            emulator.control("rotate", table="orders", shard=line[-1], records=10)
            line.append(next(shard for shard, now in shards_of(emulator).items()
                             if now.get("parent") == line[-1]))
        return line

    def loop(self, count, code, gap="stop"):
        """root → child → grandchild, which listings name the child's parent; `count` pages do."""
        emulator, worker, root = self.life_before({"gap": gap})
        line = self.line(emulator, root)
        emulator.fault("parent", operation="DescribeStream", shard=line[1], parent=line[2],
                       count=count)
        self.drain(worker, idle="2s", code=code)
        return worker, line

    def test_a_loop_in_a_listing_passes(self):
        worker, _ = self.loop(4, 0)
        self.assertEqual(len(self.delivered()), 50)
        self.assertIn("listed without their parent", self.log(worker))
        self.assertNotIn("gap:", self.log(worker))

    def test_a_loop_that_stays_stands_still(self):
        worker, line = self.loop(-1, 1)
        self.assertIn("listed as a descendant of itself", self.log(worker))
        self.assertIn(line[1], worker.process.tail(3))
        self.assertEqual(len(self.delivered()), 30)
        self.drain(worker, idle="2s", code=1)
        self.assertEqual(len(self.delivered()), 30)

    def test_a_loop_that_stays_is_read_where_gaps_may_be(self):
        worker, line = self.loop(-1, 0, "oldest")
        self.assertIn("listed as a descendant of itself", self.log(worker))
        got = [event.shard for event in self.delivered()[30:]]
        self.assertEqual(got, [line[1]] * 10 + [line[2]] * 10)
        self.drain(worker, idle="2s")
        self.assertEqual(len(self.delivered()), 50)

    def test_a_shard_that_names_itself_stands_still(self):
        emulator, worker, root = self.life_before({"gap": "stop"})
        emulator.control("rotate", table="orders", shard=root, records=10)
        child = next(shard for shard, now in shards_of(emulator).items() if now.get("parent") == root)
        emulator.fault("parent", operation="DescribeStream", shard=child, parent=child, count=-1)
        self.drain(worker, idle="2s", code=1)
        self.assertIn("listed as a descendant of itself", self.log(worker))
        emulator.control("clear")
        self.drain(worker)  # the listing was mended: nothing was lost
        self.check_complete(emulator)

    def test_shards_that_are_listed_twice(self):
        emulator = self.emulator("orders:shards=3:records=60:keys=8:bytes=400:depth=2")
        emulator.fault("duplicate", operation="DescribeStream", count=-1)
        self.drain(self.worker(emulator, "orders"))
        self.check_complete(emulator)

    def test_a_child_that_is_listed_before_its_parent(self):
        """Listings are late by up to a second, each shard by its own time."""
        emulator = self.emulator("orders:shards=4:records=2000:keys=16:bytes=400:rate=600:"
                                 "rotate_ms=1500:stale_ms=1000")
        worker = self.worker(emulator, "orders").start()
        self.wait_made(emulator)
        worker.wait_metric("sluice_records_total", self.made(emulator), stream="orders", deadline=90)
        self.assertEqual(worker.stop(), 0)
        self.check_complete(emulator)
        self.assertNotIn("gap:", self.log(worker))

    def many_ends(self, words):
        """150 shards that split at once, with ten calls of DescribeStream a second."""
        emulator = self.emulator(f"orders:shards=150:records=4:keys=4:bytes=400:describes=10{words}")
        worker = self.worker(emulator, "orders").start()
        worker.wait_metric("sluice_records_total", 600, stream="orders", deadline=60)
        emulator.control("reset")
        emulator.control("split", table="orders", records=4)
        worker.wait_metric("sluice_records_total", self.made(emulator), stream="orders", deadline=90)
        stats = emulator.control("stats")
        self.assertEqual(worker.stop(), 0)
        self.check_complete(emulator)
        return stats

    def test_many_ends_share_one_listing(self):
        stats = self.many_ends("")
        self.assertLessEqual(stats["describes_most"], 10)
        self.assertLess(stats["operations"]["DescribeStream"]["calls"], 75)

    def test_a_service_that_does_not_know_the_filter(self):
        self.many_ends(":child_filter=0")

    def test_a_service_that_reads_over_the_filter(self):
        self.many_ends(":child_filter=2")

    def test_throttled_listings_are_waited_for(self):
        emulator = self.emulator("orders:shards=2:records=60:keys=8:bytes=400:depth=1")
        emulator.fault("throttle", operation="DescribeStream", after=2, count=6)
        worker = self.worker(emulator, "orders")
        self.drain(worker)
        self.check_complete(emulator)
        self.assertIn("could not be listed, it is tried again", self.log(worker))

    def test_a_stream_that_is_turned_off(self):
        emulator = self.emulator("orders:shards=2:records=60:keys=4:bytes=400")
        emulator.control("disable", table="orders")
        self.drain(self.worker(emulator, "orders"))
        self.check_complete(emulator)

    def test_little_memory_and_large_pages(self):
        emulator = self.emulator("orders:shards=12:records=700:keys=8:bytes=1570")
        worker = self.worker(emulator, "orders", worker={"memory": "16MiB"})
        self.drain(worker, idle="1s")
        self.check_complete(emulator)
        self.clean()


if __name__ == "__main__":
    unittest.main()
