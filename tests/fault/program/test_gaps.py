#!/usr/bin/env python3
"""Records that left the stream unread: recorded once, counted once, in the status; what stands still
behind them goes on when the loss is accepted, by configuration or by a person."""

import json
import os
import subprocess
import time
import unittest
import uuid

import world
from world import shards_of

DAY = 25 * 3600
LEASE_S = 2
LOST = "gap: records were lost before they were read"


class GapWorld(world.World):
    """A stream that loses something, and what there is to see of it."""

    def put(self, emulator, n, pk="put"):
        emulator.control("put", table="orders",
                         item={"pk": {"S": pk}, "sk": {"N": "1"}, "n": {"N": str(n)}})

    def one(self, emulator, gap="stop", **more):
        return self.worker(emulator, "orders", stream={"gap": gap}, **more)

    def life_before(self, gap="stop"):
        """A root of 30 records is read; then the worker is away."""
        emulator = self.emulator("orders:shards=1:records=30:keys=4:bytes=400")
        worker = self.one(emulator, gap)
        self.drain(worker)
        self.assertEqual(len(self.delivered()), 30)
        return emulator, worker, list(shards_of(emulator))[0]

    def status(self, worker):
        return json.loads(worker.run("status", "--json").stdout)["streams"][0]

    def gaps(self, worker):
        return self.status(worker)["gaps"]

    def lost(self, worker):
        """How often the log says that something was lost."""
        return self.log(worker).count(LOST)

    def check_gap(self, program, **wanted):
        """There is this one gap, told once as an error."""
        gaps = self.gaps(program)
        self.assertEqual(len(gaps), 1, gaps)
        self.assertEqual({name: gaps[0][name] for name in wanted}, wanted, gaps)
        self.assertEqual(self.lost(program), 1)
        return gaps[0]

    def resume(self, worker):
        done = worker.run("resume", "--stream", "orders", "--yes")
        self.assertIn("accepted", done.stdout)

    def trimmed(self, gap):
        """20 more records, of which the first ten are trimmed unread."""
        emulator, worker, root = self.life_before(gap)
        for n in range(20):
            self.put(emulator, n)
        emulator.control("trim", table="orders", shard=root, before=40)
        return worker, root

    def unread_for_long(self, gap):
        """An open shard that nobody read for a day; what is trimmed of it gives no error."""
        emulator, worker, root = self.life_before(gap)
        emulator.control("advance", seconds=DAY, date=True)
        self.put(emulator, 1)
        return worker, root

    def vanishing(self, gap):
        """A worker that is a little behind when the shard is closed and gone; its child has more."""
        emulator, worker, root = self.life_before(gap)
        emulator.control("rotate", table="orders", shard=root, records=10)
        emulator.control("trim", table="orders", shard=root, before=1000, gone=True)
        worker.start()
        worker.wait_for(lambda: "kind=not_found" in self.log(worker), "it is not found", world.DEADLINE)
        return emulator, worker, root

    def believe(self, emulator, worker, what, deadline=world.DEADLINE):
        """Listings that are a minute apart are believed."""
        def there():
            emulator.control("advance", seconds=61, date=True)
            time.sleep(1)
            return what()

        worker.wait_for(there, "it is believed", deadline)

    def vanished(self, emulator, worker):
        self.assertEqual(self.lost(worker), 0)
        self.believe(emulator, worker,
                     lambda: worker.metric("sluice_gaps_total", stream="orders") == 1)

    def unseen_parent(self, gap, code):
        """root → child → grandchild → its child; the child is gone before anybody saw it."""
        emulator, worker, root = self.life_before(gap)
        line = [root]
        for _ in range(2):
            emulator.control("rotate", table="orders", shard=line[-1], records=10)
            line.append(next(shard for shard, now in shards_of(emulator).items()
                             if now.get("parent") == line[-1]))
        emulator.control("trim", table="orders", shard=line[1], before=10, gone=True)
        self.drain(worker, idle="2s", code=code)
        self.assertIn(f"its parent {line[1]} was never seen", self.log(worker))
        emulator.control("rotate", table="orders", shard=line[2], records=10)
        self.drain(worker, idle="2s", code=code)
        return worker, line

    def check_passed_over(self, line):
        got = self.delivered()
        self.assertEqual(len(got), 50)
        self.assertLess(max(i for i, e in enumerate(got) if e.shard == line[2]),
                        min(i for i, e in enumerate(got) if e.sequence > got[39].sequence))


class Gaps(GapWorld):
    """With SQLite: one worker, whose file nobody else can write while it runs."""

    def test_trimmed_unread_stops_until_it_is_accepted(self):
        worker, root = self.trimmed("stop")
        for _ in range(2):  # and it stays so, and is told once
            self.drain(worker, code=1)
            self.assertIn(root, worker.process.tail(3))
            self.assertEqual(len(self.delivered()), 30)
            gap = self.check_gap(worker, shard=root, kind="trimmed", state="open", how="", to="",
                                 worker="w")
            self.assertEqual(int(gap["from"]), self.delivered()[-1].sequence)
            self.assertGreater(gap["from_ms"], 0)
            self.assertGreater(gap["found_ms"], 0)
        self.assertIn("sluice resume -c FILE --stream orders", self.log(worker))
        self.assertIn(f"gap    {root}  trimmed  open", worker.run("status").stdout)
        self.resume(worker)
        self.check_gap(worker, state="accepted", how="resume")
        self.drain(worker)
        self.assertEqual([event.n for event in self.delivered()[30:]], list(range(10, 20)))
        gap = self.check_gap(worker, state="closed", how="resume")
        self.assertEqual(int(gap["to"]), self.delivered()[30].sequence)

    def test_trimmed_unread_goes_on_at_the_oldest(self):
        worker, root = self.trimmed("oldest")
        for _ in range(2):
            self.drain(worker)
            self.assertEqual([event.n for event in self.delivered()[30:]], list(range(10, 20)))
            self.check_gap(worker, shard=root, kind="trimmed", state="closed", how="oldest")

    def test_another_choice_lets_it_go_on(self):
        worker, _ = self.trimmed("stop")
        self.drain(worker, code=1)
        worker.config["streams"][0]["gap"] = "oldest"
        self.drain(worker)
        self.assertEqual(len(self.delivered()), 40)
        self.check_gap(worker, state="closed", how="oldest")

    def test_resume_shows_what_it_does_and_asks(self):
        worker, root = self.trimmed("stop")
        done = worker.run("resume", "--stream", "orders")
        self.assertIn("no open gap", done.stdout)
        self.drain(worker, code=1)
        done = worker.run("resume", "--stream", "orders", check=False)
        self.assertEqual(done.returncode, 2)
        self.assertIn(root, done.stdout)
        self.assertIn("--yes", done.stderr)
        self.assertEqual(self.gaps(worker)[0]["state"], "open")
        done = worker.run("resume", "--stream", "other", "--yes", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("no stream other", done.stderr)
        self.assertEqual(worker.run("resume", check=False).returncode, 2)

    def test_a_file_that_a_worker_has_is_not_changed(self):
        worker, _ = self.trimmed("stop")
        worker.start()
        worker.wait_metric("sluice_gaps_total", 1, stream="orders", deadline=world.DEADLINE)
        done = worker.run("resume", "--stream", "orders", "--yes", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("in use by another sluice process: stop that one", done.stderr)
        self.assertEqual(worker.stop(), 0)
        self.resume(worker)
        self.drain(worker)
        self.assertEqual(len(self.delivered()), 40)

    def test_a_shard_that_was_not_read_for_a_day_stops(self):
        worker, root = self.unread_for_long("stop")
        for _ in range(2):
            self.drain(worker, code=1)
            self.assertIn("it was last read at", self.log(worker))
            self.assertIn(root, worker.process.tail(3))
            self.check_gap(worker, kind="trimmed", state="open")
        self.assertEqual(len(self.delivered()), 30)

    def test_a_shard_that_was_not_read_for_a_day_goes_on(self):
        worker, _ = self.unread_for_long("oldest")
        for _ in range(2):
            self.drain(worker)
            self.assertEqual(len(self.delivered()), 31)
            self.check_gap(worker, kind="trimmed", state="closed")

    # --- shards that AWS does not know ---

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
        worker.wait_for(lambda: "kind=not_found" in self.log(worker) and
                        "cannot be listed" in self.log(worker), "gone", world.DEADLINE)
        emulator.control("advance", seconds=61, date=True)
        worker.wait_metric("sluice_shards", 0, stream="orders", deadline=world.DEADLINE)
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

    # --- before it is too late ---

    def test_time_to_loss_runs_down_and_warns_once(self):
        emulator = self.emulator("orders:shards=2:records=20:keys=4:bytes=400")
        worker = self.one(emulator).start()
        worker.wait_metric("sluice_delivered_total", 40, sink="files", deadline=world.DEADLINE)
        left = lambda: worker.metric("sluice_time_to_loss_seconds", stream="orders")
        worker.wait_for(lambda: left() == 24 * 3600, "nothing to lose", world.DEADLINE)
        rule = emulator.fault("denied", operation="GetRecords", count=-1)
        self.put(emulator, 1)
        worker.wait_for(lambda: 0 < left() < 24 * 3600 - 3, "it runs down", world.DEADLINE)
        self.assertEqual(worker.metric("sluice_loss_warnings_total", stream="orders"), 0)
        self.assertEqual(worker.stop(), 0)

        emulator.control("advance", seconds=20 * 3600, date=True)
        worker.start()
        worker.wait_metric("sluice_loss_warnings_total", 1, stream="orders", deadline=world.DEADLINE)
        self.assertLess(left(), 4.5 * 3600)
        self.assertIn("records will be lost soon", self.log(worker))
        self.assertIn("time to loss orders", worker.get("/readyz")[1])
        emulator.control("clear", id=rule)
        worker.wait_for(lambda: left() == 24 * 3600, "it is read", world.DEADLINE)
        self.assertIn("no records will be lost soon any more", self.log(worker))
        self.assertEqual(worker.metric("sluice_loss_warnings_total", stream="orders"), 1)
        self.assertEqual(worker.stop(), 0)

    def test_what_stands_at_a_gap_loses_on(self):
        worker, _ = self.unread_for_long("stop")
        worker.start()
        worker.wait_metric("sluice_gaps_total", 1, stream="orders", deadline=world.DEADLINE)
        worker.wait_for(lambda: worker.metric("sluice_time_to_loss_seconds", stream="orders") == 0,
                        "nothing is left", world.DEADLINE)
        worker.wait_for(lambda: "sluice resume -c FILE --stream orders" in worker.get("/readyz")[1],
                        "the health says what to do", world.DEADLINE)
        self.assertEqual(worker.stop(), 0)
        self.assertEqual(self.status(worker)["time_to_loss_seconds"], 0)


class SharedGaps(GapWorld):
    """On Postgres, where a running worker goes on by itself."""

    def setUp(self):
        super().setUp()
        server = os.environ.get("SLUICE_TEST_POSTGRES")
        if not server and not os.environ.get("SLUICE_TEST_REQUIRE_POSTGRES"):
            self.skipTest("SLUICE_TEST_POSTGRES names no server")
        name = f"gaps_{uuid.uuid4().hex[:12]}"
        subprocess.run(["psql", "-X", "-q", "-c", f"CREATE DATABASE {name}", server], check=True)
        self.database = server.rpartition("/")[0] + "/" + name

    def one(self, emulator, gap="stop", **more):
        worker = super().one(emulator, gap, **more)
        worker.config["checkpoint"] = {"store": self.database, "interval": "100ms",
                                       "lease": f"{LEASE_S}s"}
        return worker

    def resumed(self, worker, records):
        """`resume` beside the running worker: it goes on without a restart."""
        self.assertEqual(len(self.delivered()), 30)
        self.resume(worker)
        worker.wait_metric("sluice_delivered_total", records, sink="files", deadline=world.DEADLINE)
        worker.wait_for(lambda: self.gaps(worker)[0]["state"] == "closed", "closed", world.DEADLINE)
        worker.wait_for(lambda: '"gaps orders","ok":false' not in worker.get("/readyz")[1], "well",
                        world.DEADLINE)
        self.assertEqual(worker.metric("sluice_gaps_total", stream="orders"), 1)
        self.assertEqual(worker.stop(), 0)
        self.check_gap(worker, state="closed", how="resume")

    def test_a_running_worker_goes_on(self):
        worker, _ = self.trimmed("stop")
        worker.start()
        worker.wait_metric("sluice_gaps_total", 1, stream="orders", deadline=world.DEADLINE)
        self.resumed(worker, 10)
        self.assertEqual([event.n for event in self.delivered()[30:]], list(range(10, 20)))

    def test_a_running_worker_takes_orphans_up(self):
        emulator, worker, root = self.life_before()
        for _ in range(2):
            shard = list(shards_of(emulator))[-1]
            emulator.control("rotate", table="orders", shard=shard, records=10)
        child = list(shards_of(emulator))[1]
        emulator.control("trim", table="orders", shard=child, before=10, gone=True)
        worker.start()
        worker.wait_metric("sluice_gaps_total", 1, stream="orders", deadline=world.DEADLINE)
        worker.wait_metric("sluice_shards", 1, stream="orders", state="stopped", deadline=world.DEADLINE)
        self.resumed(worker, 10)

    def test_a_running_worker_ends_a_shard_that_vanished(self):
        emulator, worker, _ = self.vanishing("stop")
        self.vanished(emulator, worker)
        self.resumed(worker, 10)

    def test_shards_that_nobody_reads_run_down(self):
        emulator = self.emulator("orders:shards=2:records=20:keys=4:bytes=400")
        worker = self.one(emulator)
        worker.config["worker"]["max_shards"] = 1
        worker.start()
        worker.wait_metric("sluice_delivered_total", 20, sink="files", deadline=world.DEADLINE)
        emulator.control("advance", seconds=20 * 3600, date=True)
        worker.wait_metric("sluice_loss_warnings_total", 1, stream="orders", deadline=world.DEADLINE)
        self.assertLess(worker.metric("sluice_time_to_loss_seconds", stream="orders"), 4.5 * 3600)
        self.assertEqual(worker.metric("sluice_lag_seconds", stream="orders"), 0)
        self.assertEqual(worker.stop(), 0)

    def test_two_workers_count_one_gap(self):
        worker, _ = self.trimmed("stop")
        worker.start()
        worker.wait_metric("sluice_gaps_total", 1, stream="orders", deadline=world.DEADLINE)
        worker.kill9()
        worker.process.wait(10)
        other = self.one(self.emulators[0]).start()
        other.wait_metric("sluice_shards", 1, stream="orders", state="stopped", deadline=world.DEADLINE)
        self.assertEqual(other.metric("sluice_gaps_total", stream="orders"), 0)
        self.assertEqual(self.lost(other), 0)
        self.assertIn("stands still at a gap that was found before", self.log(other))
        self.assertEqual(len(self.gaps(other)), 1)
        self.assertEqual(other.stop(), 0)


if __name__ == "__main__":
    unittest.main()
