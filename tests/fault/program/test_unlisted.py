#!/usr/bin/env python3
"""Shards and streams that AWS does not know any more, or whose parents nobody saw: what is believed,
and what is not."""

import unittest

import world
from gaps import DAY, GapWorld
from world import shards_of


class Unlisted(GapWorld):
    def test_a_shard_that_is_gone_holds_up_no_child(self):
        emulator, worker, root = self.life_before("oldest")
        emulator.control("rotate", table="orders", shard=root, records=10)
        emulator.control("trim", table="orders", shard=root, before=1000, gone=True)
        emulator.control("advance", seconds=DAY, date=True)
        child = next(shard for shard, now in shards_of(emulator).items() if now.get("parent") == root)
        self.put(emulator, 1)
        self.drain(worker)
        self.assertIn("a shard is gone", self.log(worker))
        self.assertEqual({event.shard for event in self.delivered()[30:]}, {child})

    def test_a_shard_that_vanished_ends_with_oldest(self):
        emulator, worker, root = self.vanishing("oldest")
        self.vanished(emulator, worker)
        worker.wait_metric("sluice_delivered_total", 10, sink="files", deadline=world.DEADLINE)
        self.assertEqual(worker.stop(), 0)
        self.assertEqual(len(self.delivered()), 40)
        self.check_gap(worker, shard=root, kind="vanished", state="closed", how="oldest")
        self.drain(worker)
        self.assertEqual(self.lost(worker), 1)

    def test_a_shard_that_vanished_stands_still_with_stop(self):
        emulator, worker, root = self.vanishing("stop")
        self.vanished(emulator, worker)
        worker.wait_metric("sluice_shards", 1, stream="orders", state="stopped", deadline=world.DEADLINE)
        self.check_gap(worker, shard=root, kind="vanished", state="open")
        self.assertEqual(worker.stop(), 0)
        self.assertEqual(len(self.delivered()), 30)
        self.resume(worker)
        worker.start()
        self.believe(emulator, worker,
                     lambda: worker.metric("sluice_delivered_total", sink="files") == 10)
        self.assertEqual(worker.stop(), 0)
        self.check_gap(worker, state="closed", how="resume")

    def test_a_fault_is_no_gap(self):
        """Not found for a while, even missing in one listing: the shard is read on."""
        emulator, worker, root = self.life_before("oldest")
        self.put(emulator, 1)
        emulator.fault("not_found", operation="GetShardIterator", count=4)
        emulator.fault("hide", operation="DescribeStream", shard=root, after=1, count=2)
        worker.start()
        worker.wait_metric("sluice_delivered_total", 1, sink="files", deadline=world.DEADLINE)
        self.assertEqual(worker.stop(), 0)
        self.assertEqual(self.gaps(worker), [])
        self.assertEqual(len(self.delivered()), 31)

    def test_listings_fail_while_a_shard_is_not_found(self):
        """Without a complete listing nothing is believed."""
        emulator, worker, _ = self.life_before("oldest")
        self.put(emulator, 1)
        emulator.fault("not_found", operation="GetShardIterator", count=-1)
        emulator.fault("internal", operation="DescribeStream", count=-1, after=1)  # it is looked up
        worker.start()
        worker.wait_for(lambda: "could not be listed" in self.log(worker), "not listed", world.DEADLINE)
        emulator.control("advance", seconds=3600, date=True)
        asked = lambda: emulator.control("stats")["operations"]["GetShardIterator"]["calls"]
        before = asked()
        worker.wait_for(lambda: asked() > before, "it is asked again", world.DEADLINE)
        self.assertEqual(self.gaps(worker), [])
        emulator.control("clear")
        worker.wait_metric("sluice_delivered_total", 1, sink="files", deadline=world.DEADLINE)
        self.assertEqual(worker.stop(), 0)
        self.assertEqual(self.gaps(worker), [])

    def test_a_stream_that_is_gone_is_told_once(self):
        emulator = self.emulator("orders:shards=3:records=10:keys=4:bytes=400")
        worker = self.one(emulator, "oldest").start()
        worker.wait_metric("sluice_delivered_total", 30, sink="files", deadline=world.DEADLINE)
        for operation in ("GetRecords", "GetShardIterator", "DescribeStream"):
            emulator.fault("not_found", operation=operation, count=-1)
        worker.wait_for(lambda: "kind=not_found" in self.log(worker), "gone", world.DEADLINE)
        self.believe(emulator, worker,
                     lambda: worker.metric("sluice_gaps_total", stream="orders") == 1)
        worker.wait_for(lambda: self.log(worker).count("a shard is gone") == 3, "all of it",
                        world.DEADLINE)
        self.assertEqual(worker.metric("sluice_gaps_total", stream="orders"), 1)
        self.assertEqual(worker.stop(), 0)
        self.check_gap(worker, shard="", kind="vanished", how="oldest")
        self.assertIn("the whole stream  vanished", worker.run("status").stdout)

    def test_a_parent_that_was_never_seen_stops(self):
        worker, line = self.unseen_parent("stop", 1)
        self.assertIn(line[2], worker.process.tail(3))
        self.assertEqual({event.shard for event in self.delivered()}, {line[0]})
        self.check_gap(worker, shard=line[2], kind="orphan", state="open", **{"from": ""})
        self.resume(worker)
        self.drain(worker, idle="2s")
        self.check_passed_over(line)
        self.check_gap(worker, state="closed", how="resume")

    def test_what_stands_still_in_a_stream_that_is_off(self):
        """The next stream waits behind it; there is nothing more to wait for until that is
        accepted."""
        worker, line = self.unseen_parent("stop", 1)
        for call in ("disable", "enable"):
            self.emulators[0].control(call, table="orders")
        self.drain(worker, idle="2s", code=1)
        self.assertIn(line[2], worker.process.tail(3))
        self.assertEqual({event.shard for event in self.delivered()}, {line[0]})
        self.resume(worker)
        self.drain(worker, idle="2s")
        self.assertEqual({event.key: event.n for event in self.delivered()},
                         {key: end["n"] for key, end in
                          self.emulators[0].truth("orders")["keys"].items()})

    def test_a_parent_that_was_never_seen_is_passed_over(self):
        worker, line = self.unseen_parent("oldest", 0)
        self.check_passed_over(line)
        # A gap that was passed over once is not told of again.
        self.check_gap(worker, shard=line[2], kind="orphan", state="closed", how="oldest")

    def test_a_parent_that_one_listing_leaves_out_is_no_gap(self):
        emulator, worker, root = self.life_before("oldest")
        emulator.control("rotate", table="orders", shard=root, records=10)
        child = next(shard for shard, now in shards_of(emulator).items() if now.get("parent") == root)
        emulator.control("rotate", table="orders", shard=child, records=10)
        emulator.fault("hide", operation="DescribeStream", shard=child, count=1)
        self.drain(worker, idle="2s")
        self.assertEqual(self.gaps(worker), [])
        self.check_order(self.delivered(), shards_of(emulator))
        self.assertEqual(len(self.delivered()), 50)

    def test_an_orphan_whose_listing_is_mended(self):
        emulator, worker, root = self.life_before("stop")
        emulator.control("rotate", table="orders", shard=root, records=10)
        child = next(shard for shard, now in shards_of(emulator).items() if now.get("parent") == root)
        rule = emulator.fault("parent", operation="DescribeStream", shard=child, parent=child, count=-1)
        worker.start()
        worker.wait_metric("sluice_gaps_total", 1, stream="orders", deadline=world.DEADLINE)
        emulator.control("clear", id=rule)
        worker.wait_metric("sluice_delivered_total", 10, sink="files", deadline=world.DEADLINE)
        self.assertEqual(worker.stop(), 0)
        self.check_gap(worker, shard=child, kind="orphan", state="closed", how="")
        self.assertEqual(len(self.delivered()), 40)


if __name__ == "__main__":
    unittest.main()
