#!/usr/bin/env python3
"""Records that left the stream unread: recorded once, counted once, in the status; what stands still
behind them goes on when the loss is accepted, by configuration or by a person. And the time until
that happens."""

import time
import unittest

import world
from gaps import DAY, GapWorld
from workers import Workers
from world import shards_of


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
            self.assertIn("nobody read it since", self.log(worker))
            self.assertIn(root, worker.process.tail(3))
            self.check_gap(worker, kind="trimmed", state="open")
        self.assertEqual(len(self.delivered()), 30)

    def test_a_shard_that_was_not_read_for_a_day_goes_on(self):
        worker, _ = self.unread_for_long("oldest")
        for _ in range(2):
            self.drain(worker)
            self.assertEqual(len(self.delivered()), 31)
            self.check_gap(worker, kind="trimmed", state="closed")

    def test_a_shard_that_was_never_read_since_its_streams_start(self):
        """What came first is gone, and AWS says nothing of it."""
        emulator = self.emulator("orders:shards=1:records=30:keys=4:bytes=400")
        worker = self.worker(emulator, "orders", stream={"gap": "stop", "start": "latest"})
        rule = emulator.fault("denied", operation="GetShardIterator", count=-1)
        worker.start(wait=False)
        worker.wait_for(lambda: "shard found" in self.log(worker), "it is found", world.DEADLINE)
        self.put(emulator, 1)
        worker.kill9()
        emulator.control("clear", id=rule)
        emulator.control("advance", seconds=DAY, date=True)
        self.put(emulator, 2)
        for _ in range(2):
            self.drain(worker, code=1)
            self.check_gap(worker, kind="trimmed", state="open", **{"from": ""})
        self.assertEqual(self.delivered(), [])
        worker.config["streams"][0]["gap"] = "oldest"
        self.drain(worker)
        self.assertEqual([event.n for event in self.delivered()], [2])

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


class SharedGaps(Workers, GapWorld):
    """On Postgres, where a running worker goes on by itself."""

    def one(self, emulator, gap="stop"):
        return super().one(emulator, stream={"gap": gap})

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

    def test_the_next_stream_comes_behind_what_stood_still(self):
        """Also at a worker that does not look after the old one."""
        emulator, worker, root = self.life_before()
        for _ in range(2):
            emulator.control("rotate", table="orders", shard=list(shards_of(emulator))[-1],
                             records=10)
        _, child, orphan = shards_of(emulator)
        emulator.control("trim", table="orders", shard=child, before=10, gone=True)
        for call in ("disable", "enable"):
            emulator.control(call, table="orders")
        some = [worker, self.one(emulator)]
        worker.start()
        worker.wait_metric("sluice_gaps_total", 2, stream="orders", deadline=world.DEADLINE)
        some[1].start()
        # It asks more than once whether the old stream is over: at AWS, then for its listing.
        asked = emulator.control("stats")["operations"]["DescribeStream"]["calls"]
        worker.wait_for(lambda: emulator.control("stats")["operations"]["DescribeStream"]["calls"]
                        > asked + 6, "it is listed", world.DEADLINE)
        rule = emulator.fault("throttle", operation="GetRecords", shard=orphan, count=-1)
        self.resume(worker)
        worker.wait_for(lambda: sum(self.holds(one) for one in some) > 0, "it is read",
                        world.DEADLINE)
        time.sleep(3)
        emulator.control("clear", id=rule)
        some[1].wait_for(lambda: all("it is left" in self.log(one) for one in some),
                         "both have left it", world.DEADLINE)
        some[1].wait_for(lambda: len(self.delivered()) == 70, "all is read", world.DEADLINE)
        for one in some:
            self.assertEqual(one.stop(), 0)
        shards = [event.shard for event in self.delivered()]
        self.assertEqual(shards[:40], [root] * 30 + [orphan] * 10)

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
