#!/usr/bin/env python3
"""Shards that split, rotate, are trimmed, hidden or unlisted, and streams that are turned off: order
over the lineage, and no gap that goes unsaid."""

import unittest

import world


def shards_of(emulator, table="orders"):
    return emulator.truth(table)["streams"][-1]["shards"]


class Shards(world.World):
    def test_a_lineage_that_is_there_already(self):
        emulator = self.emulator("orders:shards=2:records=120:keys=16:bytes=400:depth=3:fanout=2")
        self.drain(self.worker(emulator, "orders"))
        got = self.check_complete(emulator)
        self.assertEqual({event.shard for event in got},
                         {shard for shard, now in shards_of(emulator).items() if now["records"]})
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

    def trimmed(self, gap, code):
        """20 more records, of which the first ten are trimmed unread."""
        emulator, worker, root = self.life_before({"gap": gap})
        for n in range(20):
            emulator.control("put", table="orders",
                             item={"pk": {"S": "put"}, "sk": {"N": "1"}, "n": {"N": str(n)}})
        emulator.control("trim", table="orders", shard=root, before=40)
        self.drain(worker, code=code)
        self.assertIn("gap: records were trimmed unread", self.log(worker))
        return worker, root

    def test_trimmed_unread_stops(self):
        worker, root = self.trimmed("stop", 1)
        self.assertIn(root, worker.process.tail(3))
        self.assertEqual(len(self.delivered()), 30)
        self.drain(worker, code=1)  # and it stays so
        self.assertEqual(len(self.delivered()), 30)

    def test_trimmed_unread_goes_on_at_the_oldest(self):
        self.trimmed("oldest", 0)
        self.assertEqual([event.n for event in self.delivered()[30:]], list(range(10, 20)))

    def unread_for_long(self, gap):
        """An open shard that nobody read for a day; what is trimmed of it gives no error."""
        emulator, worker, root = self.life_before({"gap": gap})
        emulator.control("advance", seconds=25 * 3600, date=True)
        emulator.control("put", table="orders",
                         item={"pk": {"S": "put"}, "sk": {"N": "1"}, "n": {"N": "1"}})
        return emulator, worker, root

    def test_a_shard_that_was_not_read_for_a_day_stops(self):
        _, worker, root = self.unread_for_long("stop")
        for _ in range(2):
            self.drain(worker, code=1)
            self.assertIn("it was last read at", self.log(worker))
            self.assertIn(root, worker.process.tail(3))
        self.assertEqual(len(self.delivered()), 30)

    def test_a_shard_that_was_not_read_for_a_day_goes_on(self):
        _, worker, _ = self.unread_for_long("oldest")
        self.drain(worker)
        self.assertEqual(len(self.delivered()), 31)
        self.drain(worker)
        self.assertEqual(self.log(worker).count("gap: records were trimmed"), 1)

    def test_a_shard_that_is_gone_holds_up_no_child(self):
        emulator, worker, root = self.life_before({"gap": "oldest"})
        emulator.control("rotate", table="orders", shard=root, records=10)
        emulator.control("trim", table="orders", shard=root, before=1000, gone=True)
        emulator.control("advance", seconds=25 * 3600, date=True)
        child = next(shard for shard, now in shards_of(emulator).items() if now.get("parent") == root)
        emulator.control("put", table="orders",
                         item={"pk": {"S": "put"}, "sk": {"N": "1"}, "n": {"N": "1"}})
        self.drain(worker)
        self.assertIn("a shard is gone", self.log(worker))
        self.assertEqual({event.shard for event in self.delivered()[30:]}, {child})

    @staticmethod
    def line(emulator, root):
        """The root, its child and its grandchild, of ten records each."""
        line = [root]
        for _ in range(2):
            emulator.control("rotate", table="orders", shard=line[-1], records=10)
            line.append(next(shard for shard, now in shards_of(emulator).items()
                             if now.get("parent") == line[-1]))
        return line

    def unseen_parent(self, gap, code):
        """root → child → grandchild → its child; the child is gone before anybody saw it."""
        emulator, worker, root = self.life_before({"gap": gap})
        line = self.line(emulator, root)
        emulator.control("trim", table="orders", shard=line[1], before=10, gone=True)
        self.drain(worker, idle="2s", code=code)
        self.assertIn("parent was never seen", self.log(worker))
        emulator.control("rotate", table="orders", shard=line[2], records=10)
        self.drain(worker, idle="2s", code=code)
        return worker, line

    def test_a_parent_that_was_never_seen_stops(self):
        worker, line = self.unseen_parent("stop", 1)
        self.assertIn(line[2], worker.process.tail(3))
        self.assertEqual({event.shard for event in self.delivered()}, {line[0]})
        self.drain(worker, idle="2s", code=1)
        self.assertEqual({event.shard for event in self.delivered()}, {line[0]})

    def test_a_parent_that_was_never_seen_is_passed_over(self):
        worker, line = self.unseen_parent("oldest", 0)
        got = self.delivered()
        self.assertEqual(len(got), 50)
        self.assertLess(max(i for i, e in enumerate(got) if e.shard == line[2]),
                        min(i for i, e in enumerate(got) if e.sequence > got[39].sequence))
        # A gap that was passed over once is not told of again.
        self.assertEqual(self.log(worker).count("parent was never seen"), 1)

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
        self.assertIn("listed as a descendant of itself; it stands still", self.log(worker))
        self.assertIn(line[1], worker.process.tail(3))
        self.assertEqual(len(self.delivered()), 30)
        self.drain(worker, idle="2s", code=1)
        self.assertEqual(len(self.delivered()), 30)

    def test_a_loop_that_stays_is_read_where_gaps_may_be(self):
        worker, line = self.loop(-1, 0, "oldest")
        self.assertIn("listed as a descendant of itself; it is read", self.log(worker))
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
