#!/usr/bin/env python3
"""Tables that come, go, and have their streams turned off and on: found by a pattern, read to their
end, and read on in the right order, while the worker lives."""

import sqlite3
import time
import unittest

import world
from process import wait_until

NEW = {"pk": {"S": "new"}, "sk": {"N": "1"}, "n": {"N": "1"}}


class Follow(world.World):
    def follow(self, emulator, *tables, worker=None, **more):
        """A worker that looks tables up each second."""
        return self.worker(emulator, *tables, worker={"follow": "1s", **(worker or {})}, **more)

    def wait_log(self, worker, text, count=1):
        worker.wait_for(lambda: self.log(worker).count(text) >= count, text, world.DEADLINE)

    def wait_records(self, worker, stream, at_least):
        worker.wait_metric("sluice_records_total", at_least, stream=stream,
                           deadline=world.DEADLINE)

    def keys_of(self, emulator, table):
        return emulator.truth(table)["keys"]

    def ends_well(self, worker):
        self.assertEqual(worker.stop(), 0, worker.process.tail(60))
        self.assertNotIn("a new one begins", self.log(worker))
        self.clean()

    # --- patterns ---

    def test_tables_that_match_come_and_go(self):
        """What is made later is read whole, though `start` is latest; what is deleted, to its end."""
        emulator = self.emulator("orders-a:shards=2:records=40:keys=8:bytes=400",
                                 "users:records=10:bytes=400")
        worker = self.follow(emulator, "orders-*", stream={"start": "latest"}).start()
        worker.wait_for(lambda: worker.metric("sluice_shards", stream="orders-a",
                                              state="reading") == 2, "orders-a is read")
        emulator.control("put", table="orders-a", item=NEW)
        self.wait_records(worker, "orders-a", 1)
        for n in range(3):
            emulator.control("table", name=f"orders-new{n}", shards=2, records=50, keys=8,
                             bytes=400)
        for n in range(3):
            self.wait_records(worker, f"orders-new{n}", 100)
        keys = {f"orders-new{n}": self.keys_of(emulator, f"orders-new{n}") for n in range(3)}
        emulator.control("put", table="orders-new0", item=NEW)
        emulator.control("drop", table="orders-new0")
        self.wait_log(worker, "everything of it is read")
        worker.wait_for(lambda: worker.metric("sluice_lag_seconds", stream="orders-new0") == 0 and
                        "orders-new0" not in worker.get("/metrics")[1], "its series are gone")
        emulator.control("put", table="orders-new1", item=NEW)
        self.wait_records(worker, "orders-new1", 101)
        self.ends_well(worker)
        self.assertEqual(len(self.delivered("orders-a")), 1)
        for table, want in keys.items():
            got = [event for event in self.delivered(table) if '"new"' not in event.key]
            self.check_keys(got, want)
        self.assertEqual([event.n for event in self.delivered("orders-new0")
                          if '"new"' in event.key], [1])
        self.assertEqual(self.delivered("users"), [])

    def test_what_was_deleted_meanwhile_is_read_to_its_end(self):
        emulator = self.emulator("orders-a:records=30:keys=4:bytes=400",
                                 "orders-b:records=30:keys=4:bytes=400")
        worker = self.follow(emulator, "orders-*")
        self.drain(worker)
        for table in ("orders-a", "orders-b"):
            emulator.control("put", table=table, item=NEW)
        emulator.control("drop", table="orders-a")
        self.drain(worker)
        self.assertEqual(len(self.delivered("orders-a")), 31)
        self.assertEqual(len(self.delivered("orders-b")), 31)
        emulator.control("advance", seconds=25 * 3600, date=True)
        worker.start()
        self.wait_log(worker, "everything of it is read")
        self.ends_well(worker)

    def test_a_table_without_a_stream_waits_for_one(self):
        emulator = self.emulator("orders-a:stream=0:records=0:bytes=400",
                                 "orders-b:records=10:bytes=400")
        worker = self.follow(emulator, "orders-*").start()
        self.wait_records(worker, "orders-b", 10)
        self.wait_log(worker, "table orders-a has no stream")
        time.sleep(2)
        emulator.control("enable", table="orders-a")
        emulator.control("put", table="orders-a", item=NEW)
        self.wait_records(worker, "orders-a", 1)
        self.assertEqual(self.log(worker).count("a table that matches the pattern is not read"), 1)
        self.ends_well(worker)

    def test_a_stream_that_is_turned_on_as_configured(self):
        emulator = self.emulator("orders-a:stream=0:records=0:bytes=400:enabling_ms=500")
        worker = self.follow(emulator, "orders-?",
                             stream={"enable_stream": "NEW_AND_OLD_IMAGES", "start": "latest",
                                     "name": "mine.${table}"}).start()
        wait_until(lambda: emulator.control("shards", table="orders-a")["streams"], "it is on")
        emulator.control("put", table="orders-a", item=NEW)
        self.wait_records(worker, "mine.orders-a", 1)
        self.ends_well(worker)

    def test_a_name_goes_before_patterns(self):
        emulator = self.emulator(*(f"orders-{name}:records=10:bytes=400" for name in "abc"))
        worker = self.follow(emulator, "orders-*", "*-b", "orders-c")
        worker.config["streams"][2]["name"] = "named"
        worker.config["streams"].append({**worker.config["streams"][0], "name": "by-arn",
                                         "table": emulator.arn("orders-a")})
        self.drain(worker)
        with sqlite3.connect(f"file:{self.folder}/state.db?mode=ro", uri=True) as db:
            names = [name for name, in db.execute("SELECT name FROM stream ORDER BY name")]
        self.assertEqual(names, ["by-arn", "named", "orders-b"])
        self.assertIn("a table matches two patterns: the first one counts", self.log(worker))
        for name in "abc":
            self.assertEqual(len(self.delivered(f"orders-{name}")), 10)

    def test_two_hundred_tables(self):
        """Each is looked up by one call, and listed by one; a single mistake names its entry."""
        tables = [f"t{n:03}" for n in range(200)]
        emulator = self.emulator()
        for table in tables:
            emulator.control("table", name=table, shards=2, records=4, bytes=400)
        worker = self.follow(emulator, *tables)
        self.drain(worker)
        for table in tables:
            self.assertEqual(len(self.delivered(table)), 8)
        operations = emulator.control("stats")["operations"]
        self.assertGreaterEqual(operations["DescribeTable"]["calls"], 200)
        self.assertGreaterEqual(operations["DescribeStream"]["calls"], 200)
        worker = self.follow(emulator, *tables[:199], "t2000")
        self.drain(worker, code=1)
        self.assertIn("stream t2000", worker.process.tail(3))

    def test_check_tells_of_each_table(self):
        emulator = self.emulator("orders-a:records=1:bytes=400", "orders-b:stream=0:bytes=400",
                                 "users:records=1:bytes=400")
        worker = self.follow(emulator, "orders-*", "items-*", "users")
        said = worker.run("check").stdout
        self.assertRegex(said, r"ok +stream +orders-a: arn:aws:dynamodb:")
        self.assertRegex(said, r"ok +stream +orders-b: has no stream: run leaves it out")
        self.assertRegex(said, r"ok +stream +items-\*: no table matches yet")
        self.assertRegex(said, r"ok +stream +users: arn:aws:dynamodb:")
        emulator.fault("denied", operation="ListTables", count=-1)
        done = worker.run("check", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stdout, r"FAIL +permission +dynamodb:ListTables on \*: ")
        self.assertRegex(done.stdout, r"FAIL +tables ")
        self.drain(worker, code=1)
        self.assertIn("dynamodb:ListTables", worker.process.tail(3))

    # --- mistakes ---

    def test_one_stream_under_two_names(self):
        emulator = self.emulator("orders:records=10:bytes=400")
        worker = self.follow(emulator, "orders", emulator.arn("orders"))
        worker.config["streams"][1]["name"] = "again"
        self.drain(worker, code=1)
        self.assertRegex(worker.process.tail(3), "stream (orders|again): it is the same stream as")

    def test_a_table_that_is_deleted_does_not_end_the_worker(self):
        emulator = self.emulator("orders:records=30:keys=4:bytes=400",
                                 "users:records=10:bytes=400")
        worker = self.follow(emulator, "orders", "users").start()
        self.wait_records(worker, "orders", 30)
        emulator.control("drop", table="orders")
        self.wait_log(worker, "it is left")
        emulator.control("put", table="users", item=NEW)
        self.wait_records(worker, "users", 11)
        self.assertIn("table orders", worker.get("/readyz")[1])
        self.assertEqual(self.log(worker).count("a table or its stream is gone"), 1)
        self.ends_well(worker)
        self.drain(worker)  # nor does it keep the next one from starting

    # --- off and on ---

    def status_gaps(self):
        with sqlite3.connect(f"file:{self.folder}/state.db?mode=ro", uri=True) as db:
            return list(db.execute("SELECT kind, state, how FROM gap"))

    def test_off_and_on_under_load(self):
        """The old stream to its end, then the new one, in one life; each key in order."""
        emulator = self.emulator("orders:shards=3:records=400:keys=24:bytes=400:rate=300")
        worker = self.follow(emulator, "orders", stream={"gap": "oldest"}).start()
        for turn in range(2):
            self.wait_records(worker, "orders", 200 * (turn + 1))
            emulator.control("disable", table="orders")
            emulator.control("enable", table="orders")
            self.wait_log(worker, "it is left", turn + 1)
        self.wait_made(emulator)
        self.wait_records(worker, "orders", self.made(emulator))
        self.assertEqual(worker.metric("sluice_gaps_total", stream="orders"), 2)
        self.assertEqual(self.log(worker).count("was turned off and on again"), 2)
        self.ends_well(worker)
        self.check_complete(emulator)
        self.assertEqual(self.status_gaps(), [("reenabled", "accepted", "oldest")] * 2)

    def test_off_and_on_while_nobody_was_there(self):
        """What was left in the old stream comes first."""
        emulator = self.emulator("orders:shards=2:bytes=400")
        worker = self.follow(emulator, "orders", stream={"gap": "oldest", "start": "latest"})
        self.drain(worker)
        emulator.control("put", table="orders", item=NEW)
        emulator.control("disable", table="orders")
        emulator.control("enable", table="orders")
        emulator.control("put", table="orders", item={**NEW, "n": {"N": "2"}})
        self.drain(worker)
        self.assertEqual([event.n for event in self.delivered()], [1, 2])
        self.drain(worker)
        self.assertEqual(self.log(worker).count("was turned off and on again"), 1)

    def test_a_new_stream_waits_for_a_person(self):
        emulator = self.emulator("orders:shards=2:bytes=400")
        worker = self.follow(emulator, "orders")
        emulator.control("put", table="orders", item=NEW)
        self.drain(worker)
        emulator.control("disable", table="orders")
        emulator.control("enable", table="orders")
        emulator.control("put", table="orders", item={**NEW, "n": {"N": "2"}})
        for _ in range(2):
            self.drain(worker, code=1)
            self.assertIn("stream orders was turned off and on again", worker.process.tail(3))
        self.assertEqual(self.log(worker).count("the new one waits (gap: stop)"), 1)
        self.assertEqual(len(self.delivered()), 1)
        worker.start()
        worker.wait_for(lambda: worker.metric("sluice_lag_seconds", stream="orders") > 0,
                        "it lags")
        self.assertEqual(worker.stop(), 0)
        worker.run("resume", "--stream", "orders", "--yes")
        self.drain(worker)
        self.assertEqual([event.n for event in self.delivered()], [1, 2])
        self.assertEqual(self.status_gaps(), [("reenabled", "accepted", "resume")])

    def test_an_old_stream_that_is_forgotten(self):
        """AWS knows nothing of it any more: what was unread is a gap, and then the new one is read."""
        emulator = self.emulator("orders:bytes=400")
        worker = self.follow(emulator, "orders", stream={"gap": "oldest"})
        emulator.control("put", table="orders", item=NEW)
        self.drain(worker)
        emulator.control("disable", table="orders")
        emulator.control("advance", seconds=25 * 3600, date=True)
        emulator.control("enable", table="orders")
        emulator.control("put", table="orders", item={**NEW, "n": {"N": "2"}})
        self.drain(worker)
        self.assertEqual([event.n for event in self.delivered()], [1, 2])

    def test_a_stream_that_stays_off(self):
        emulator = self.emulator("orders:records=30:keys=4:bytes=400", "users:bytes=400")
        worker = self.follow(emulator, "orders", "users").start()
        self.wait_records(worker, "orders", 30)
        emulator.control("disable", table="orders")
        self.wait_log(worker, "a table's stream is turned off")
        self.wait_log(worker, "it is left")
        self.assertIn("the stream of orders is turned off", worker.get("/readyz")[1])
        time.sleep(2)
        self.assertEqual(self.log(worker).count("a table's stream is turned off"), 1)
        self.assertEqual(worker.metric("sluice_gaps_total"), 0)
        self.ends_well(worker)


if __name__ == "__main__":
    unittest.main()
