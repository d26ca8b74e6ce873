#!/usr/bin/env python3
"""Several workers whose tables come and go, and have their streams turned off and on: they agree on
when the old stream is over and the new one may be read."""

import subprocess
import time
import unittest
from contextlib import contextmanager

import workers
import world


class Following(workers.Workers):
    def three(self, emulator, table="orders", gap="oldest", **stream):
        some = [self.one(emulator, worker={"follow": "1s"}, stream={"gap": gap, **stream})
                for _ in range(3)]
        for worker in some:
            worker.config["streams"][0]["table"] = table
            worker.start()
        return some

    def wait_log(self, some, text, count):
        """The lines of all workers together."""
        some[0].wait_for(lambda: sum(self.log(one).count(text) for one in some) >= count,
                         f"{count} times: {text}", world.DEADLINE)

    def said(self, some, text):
        return sum(self.log(one).count(text) for one in some)

    def gaps(self):
        return self.sql("SELECT kind || '/' || state || '/' || how FROM sluice.gap ORDER BY id",
                        self.database)

    def ends_well(self, emulator, some):
        self.wait_made(emulator)
        some[0].wait_for(lambda: sum(one.metric("sluice_lag_seconds") for one in some) < 1,
                         "all is read", world.DEADLINE)
        for one in some:
            self.assertEqual(one.stop(60), 0, one.process.tail(60))
            self.assertNotIn("a new one begins", self.log(one))
        last = self.one(emulator, stream={"gap": "oldest"})
        self.drain(last, idle="1s")
        return self.check_complete(emulator)

    def turn_off_and_on(self, emulator):
        emulator.control("disable", table="orders")
        time.sleep(self.rng.uniform(0, 1.5))
        emulator.control("enable", table="orders")

    @contextmanager
    def locked(self, table):
        """Whoever writes to the store's table waits, until its lock times out or this ends."""
        with subprocess.Popen(["psql", "-X", "-q", self.database], stdin=subprocess.PIPE,
                              text=True) as psql:
            print(f"BEGIN; LOCK TABLE {table} IN EXCLUSIVE MODE;", file=psql.stdin, flush=True)
            yield
            print("COMMIT;", file=psql.stdin, flush=True)

    def wait_waits(self, worker, table):
        worker.wait_for(lambda: self.sql(
            f"SELECT count(*) FROM pg_locks WHERE relation = '{table}'::regclass AND NOT granted",
            self.database) != ["0"], f"it waits for {table}", world.DEADLINE)

    def test_until_idle_goes_on_with_the_new_stream(self):
        """Also where the store takes its time to let go of the old one."""
        emulator = self.emulator("orders:shards=2:records=20:keys=4:bytes=400")
        worker = self.one(emulator, stream={"gap": "oldest"})
        self.drain(worker)
        self.turn_off_and_on(emulator)
        worker.start("--until-idle", "500ms", wait=False)
        self.wait_log([worker], "this worker lists the shards", 2)
        with self.locked("sluice.member"):
            self.wait_waits(worker, "sluice.member")
            time.sleep(0.3)  # it is idle, but for that
        self.assertEqual(worker.process.wait(world.DEADLINE), 0)
        self.check_complete(emulator)

    def test_off_and_on_under_load(self):
        emulator = self.emulator("orders:shards=6:records=300:keys=40:bytes=400:rate=250")
        some = self.three(emulator)
        self.wait_shared(some, 6)
        for turn in range(3):
            if turn < 2:
                self.turn_off_and_on(emulator)
            else:  # nobody has anything of the table any more
                emulator.control("disable", table="orders")
                self.wait_log(some, "it is left", 9)
                emulator.control("enable", table="orders")
            self.wait_log(some, "it is left", 3 * (turn + 1))
            self.wait_shared(some, 6)
        self.assertEqual(self.said(some, "was turned off and on again"), 3)
        self.assertEqual(self.gaps(), ["reenabled/accepted/oldest"] * 3)
        self.assertEqual(sum(one.metric("sluice_gaps_total") for one in some), 3)
        self.ends_well(emulator, some)

    def test_off_and_on_with_a_worker_that_dies(self):
        """What the dead one had of the old stream is read before anything of the new one."""
        emulator = self.emulator("orders:shards=6:records=300:keys=40:bytes=400:rate=250")
        some = self.three(emulator)
        self.wait_shared(some, 6)
        some[2].kill9()
        self.turn_off_and_on(emulator)
        some[2].start(wait=False)
        self.wait_log(some[:2], "it is left", 2)
        self.wait_shared(some, 6)
        self.assertEqual(self.gaps(), ["reenabled/accepted/oldest"])
        self.ends_well(emulator, some)

    def test_a_new_stream_waits_for_a_person(self):
        emulator = self.emulator("orders:shards=4:records=200:keys=40:bytes=400:rate=250")
        some = self.three(emulator, gap="stop")
        self.wait_shared(some, 4)
        self.turn_off_and_on(emulator)
        self.wait_log(some, "it is left", 3)  # perhaps before anyone sees the new one
        self.wait_log(some, "the new one waits (gap: stop)", 1)
        time.sleep(2)
        self.assertEqual(self.said(some, "the new one waits (gap: stop)"), 1)
        self.assertEqual(sum(self.holds(one) for one in some), 0)
        self.assertEqual(self.gaps(), ["reenabled/open/"])
        some[0].run("resume", "--stream", "orders", "--yes")
        self.wait_shared(some, 4)
        self.ends_well(emulator, some)

    def test_tables_that_match_come_and_go(self):
        emulator = self.emulator("orders:records=10:shards=2:bytes=400")
        some = self.three(emulator, "orders*")
        for turn in range(3):
            for n in range(2):
                emulator.control("table", name=f"orders{turn}{n}", shards=4, records=50, keys=8,
                                 bytes=400)
            for n in range(2):
                self.wait_log(some, f"a table matches a pattern table=orders{turn}{n}", 3)
                some[0].wait_for(lambda: sum(one.metric(
                    "sluice_records_total", stream=f"orders{turn}{n}") for one in some) >= 200,
                    "its records are read", world.DEADLINE)
                keys = emulator.truth(f"orders{turn}{n}")["keys"]
                emulator.control("drop", table=f"orders{turn}{n}")
                self.wait_log(some, "everything of it is read", 3 * (2 * turn + n + 1))
                self.check_keys(self.delivered(f"orders{turn}{n}"), keys)
        self.assertEqual(self.sql("SELECT count(DISTINCT stream) FROM sluice.member",
                                  self.database), ["1"])
        self.ends_well(emulator, some)


if __name__ == "__main__":
    unittest.main()
