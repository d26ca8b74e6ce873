#!/usr/bin/env python3
"""Beginnings and ends of a worker while something around it is broken: stops that cannot wait, a
sink that is away, dead letters that are full, a start of now that is interrupted."""

import signal
import socket
import sqlite3
import time
import unittest

import world


class Life(world.World):
    def put(self, emulator, n, **members):
        emulator.control("put", table="orders", **members, item={
            "pk": {"S": "put"}, "sk": {"N": "1"}, "n": {"N": str(n)}})

    def numbers(self):
        return [event.n for event in self.delivered() if '"put"' in event.key]

    def test_a_stop_does_not_wait_for_requests_that_hang(self):
        emulator = self.emulator("orders:shards=3:records=50:keys=4:bytes=400")
        worker = self.worker(emulator, "orders").start()
        worker.wait_metric("sluice_delivered_total", 150, sink="files", deadline=60)
        before = emulator.control("stats")["operations"]["GetRecords"]["calls"]
        emulator.fault("hang", operation="GetRecords", count=-1)
        worker.wait_for(lambda: emulator.control("stats")["operations"]["GetRecords"]["calls"] >=
                        before + 3, "requests hang", 60)
        self.assertEqual(worker.stop(60), 0)
        emulator.control("clear")
        self.drain(worker)
        self.check_complete(emulator)

    def test_a_stream_is_turned_on_and_waited_for(self):
        emulator = self.emulator("orders:stream=0:enabling_ms=3000:keys=4:bytes=400")
        worker = self.worker(emulator, "orders", stream={"enable_stream": "NEW_IMAGE"})
        worker.start(wait=False)
        worker.wait_for(lambda: "is being turned on" in worker.get("/readyz")[1],
                        "the health says so", 60)
        worker.wait_for(lambda: "view=NEW_IMAGE" in self.log(worker), "it is on", 60)
        emulator.control("put", table="orders", item={"pk": {"S": "a"}, "sk": {"N": "1"},
                                                      "n": {"N": "1"}})
        worker.wait_metric("sluice_delivered_total", 1, sink="files", deadline=60)
        self.assertEqual(worker.stop(60), 0)

    def test_a_stop_does_not_wait_for_a_stream_that_is_turned_on(self):
        emulator = self.emulator("orders:stream=0:enabling_ms=600000:keys=4:bytes=400")
        worker = self.worker(emulator, "orders", stream={"enable_stream": "NEW_IMAGE"})
        worker.start(wait=False)
        worker.wait_for(lambda: "is being turned on" in self.log(worker), "it waits", 60)
        self.assertEqual(worker.stop(60), 0)

    def test_a_second_signal_ends_it_at_once(self):
        emulator = self.emulator("orders:records=50:keys=4:bytes=400")
        worker = self.worker(emulator, "orders", worker={"shutdown": "10m"})
        (self.folder / "out").write_text("in the way")
        worker.start()
        worker.wait_metric("sluice_records_total", 50, stream="orders", deadline=60)
        worker.process.send(signal.SIGTERM)
        worker.wait_for(lambda: "stopping" in self.log(worker), "it stops")
        # One that follows at once is taken for an echo of the first, so again and again.
        deadline = time.monotonic() + 60
        while worker.process.running() and time.monotonic() < deadline:
            worker.process.send(signal.SIGTERM)
            time.sleep(0.05)
        self.assertEqual(worker.process.wait(1), 1)
        (self.folder / "out").unlink()
        self.drain(worker)
        self.check_complete(emulator)

    def test_a_sink_that_is_away_and_comes_back(self):
        emulator = self.emulator("orders:shards=2:records=100:keys=4:bytes=400")
        worker = self.worker(emulator, "orders", worker={"shutdown": "1s"})
        (self.folder / "out").write_text("in the way")
        worker.start()
        worker.wait_for(lambda: '"part":"sink files","ok":false' in worker.get("/readyz")[1],
                        "the health says so", 60)
        self.assertEqual(worker.get("/readyz")[0], 200)
        # A stop in this state keeps its deadline and loses nothing.
        self.assertEqual(worker.stop(60), 0)
        worker.start()
        worker.wait_metric("sluice_records_total", 200, stream="orders", deadline=60)
        (self.folder / "out").unlink()
        worker.wait_for(lambda: len(self.delivered()) == 200, "everything is there", 90)
        self.assertEqual(worker.stop(60), 0)
        self.check_complete(emulator)
        self.clean()

    def test_full_dead_letters_hold_their_shard_only(self):
        emulator = self.emulator("orders:shards=2:records=20:keys=4:bytes=400")
        first = list(emulator.truth("orders")["streams"][-1]["shards"])[0]
        for mark in "abc":
            emulator.control("append", table="orders", shard=first, record={
                "eventName": "INSERT", "dynamodb": {"SequenceNumber": "@SEQUENCE@",
                                                    "NewImage": {"x": {"S": mark * 400000}}}})
        worker = self.worker(emulator, "orders", worker={"shutdown": "1s"},
                             dead_letter={"max_bytes": "1MiB"})
        worker.start()
        worker.wait_for(lambda: "does not get into the dead letters" in self.log(worker),
                        "they are full", 60)
        worker.wait_for(lambda: len(self.letters()) == 2, "two letters are there")
        worker.wait_for(lambda: len(self.delivered()) == 40, "the records before them are there", 60)
        self.assertEqual(worker.stop(60), 0)
        self.assertEqual(len(self.letters()), 2)
        for number, said, code in (("1x", "list, show ID", 2), ("7", "no letter 7", 1)):
            done = worker.run("deadletter", "drop", number, "--yes", check=False)
            self.assertEqual((done.returncode, said in done.stderr), (code, True))
        done = worker.run("deadletter", "drop", "1", check=False)
        self.assertEqual((done.returncode, "undecodable" in done.stdout), (2, True))
        worker.run("deadletter", "drop", "1", "--yes")
        self.drain(worker)
        marks = [letter["record"]["dynamodb"]["NewImage"]["x"]["S"][0] for letter in self.letters()]
        self.assertEqual(marks, ["b", "c"])
        self.check_complete(emulator)

    def test_a_start_of_now_is_kept_from_the_first_life(self):
        emulator = self.emulator("orders:shards=1:records=0")
        now_ms = int(time.time() * 1000)
        for n in range(5):
            self.put(emulator, n, created_ms=now_ms - 60000)
        emulator.fault("hang", operation="GetRecords", count=-1)
        worker = self.worker(emulator, "orders", stream={"start": "latest"}).start()
        worker.wait_for(lambda: "shard found" in self.log(worker), "it has begun")
        worker.kill9()
        for n in range(5, 10):
            self.put(emulator, n)
        emulator.control("clear")
        self.drain(worker)
        self.assertEqual(self.numbers(), list(range(5, 10)))

    def test_a_start_in_the_past(self):
        emulator = self.emulator("orders:shards=1:records=0")
        now_ms = int(time.time() * 1000)
        for n in range(10):
            self.put(emulator, n, created_ms=now_ms - 3600000 + n * 360000)
        self.drain(self.worker(emulator, "orders", stream={"start": "-31m"}))
        self.assertEqual(self.numbers(), list(range(5, 10)))

    def test_a_hangup_reads_the_log_level_again(self):
        emulator = self.emulator("orders:records=0")
        worker = self.worker(emulator, "orders", log={"level": "error"}).start()
        self.assertEqual(self.log(worker), "")
        worker.config["log"] = {"level": "info"}
        worker.write_config()
        worker.process.send(signal.SIGHUP)
        worker.wait_for(lambda: "log level read again" in self.log(worker), "it says so")
        worker.file.write_text("worker: {thraeds: 1}")
        worker.process.send(signal.SIGHUP)
        worker.wait_for(lambda: "could not be read again" in self.log(worker), "it says so")
        self.assertEqual(worker.stop(), 0)
        self.assertIn("ended", self.log(worker))

    def test_nonsense_on_the_port_is_closed_and_not_logged(self):
        emulator = self.emulator("orders:records=10:keys=4:bytes=400")
        worker = self.worker(emulator, "orders").start()
        worker.wait_metric("sluice_delivered_total", 10, sink="files", deadline=60)
        worker.wait_for(lambda: '"part":"session","ok":true' in worker.get("/readyz")[1], "well")
        before = self.log(worker)
        for nonsense in (b"\x16\x03\x01\x02\x00\x01", b"\0" * 1000, b"GET\r\n\r\n",
                         b"GET /livez HTTP/1.1\r\nX: " + b"x" * 100000,
                         b"POST /livez HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n" + b"y" * 100000,
                         b"GET /" + b"%00" * 20000 + b" HTTP/1.1\r\n\r\n"):
            for _ in range(5):
                with socket.create_connection(("127.0.0.1", worker.port), 30) as connection:
                    try:
                        connection.sendall(nonsense)
                        connection.shutdown(socket.SHUT_WR)
                        while connection.recv(65536):
                            pass
                    except OSError:
                        pass  # it was closed before all of that
        for path in ("", "/"):
            worker.run("health", "--url", f"http://127.0.0.1:{worker.port}{path}", config=False)
        self.assertEqual(self.log(worker), before)
        self.assertEqual(worker.stop(), 0)

    def test_a_page_of_ten_thousand_shards(self):
        """No series of its own for each, unless that is asked for."""
        emulator = self.emulator("orders:shards=10000:records=0")
        worker = self.worker(emulator, "orders", stream={"poll": {"min": "5s", "max": "1m"}})
        for some in (False, True):
            worker.config["http"] = {"listen": f"127.0.0.1:{worker.port}", "shard_metrics": some}
            worker.start()
            worker.wait_for(lambda: worker.metric("sluice_shards") == 10000, "all are there",
                            world.DEADLINE)
            if some:
                worker.wait_for(lambda: len({labels["shard"] for name, labels, _ in worker.metrics()
                                             if name == "sluice_shard_lag_seconds"}) == 10000,
                                "each has its series", world.DEADLINE)
            else:
                self.assertLess(len(worker.get("/metrics")[1]), 256 << 10)
                self.assertNotIn("shardId-", worker.get("/metrics")[1])
            self.assertEqual(worker.stop(60), 0)

    def test_a_database_of_a_newer_major_version_is_refused_with_what_to_do(self):
        emulator = self.emulator("orders:records=10:keys=4:bytes=400")
        worker = self.worker(emulator, "orders")
        self.drain(worker)
        with sqlite3.connect(self.folder / "state.db") as db:
            (before,) = db.execute("PRAGMA user_version").fetchone()
            db.execute(f"PRAGMA user_version = {99 << 16}")
        for command in (["run"], ["status"], ["check"], ["deadletter", "list"],
                        ["pause", "--stream", "orders", "--yes"],
                        ["replay", "--stream", "orders", "--from", "oldest", "--yes"]):
            done = worker.run(*command, check=False)
            self.assertEqual(done.returncode, 1, command)
            self.assertIn("run a newer sluice", done.stdout + done.stderr, command)
        with sqlite3.connect(self.folder / "state.db") as db:
            self.assertEqual(db.execute("PRAGMA user_version").fetchone(), (99 << 16,))
            db.execute(f"PRAGMA user_version = {before}")
        self.drain(worker)
        self.check_complete(emulator)

    def test_two_workers_on_one_file_is_refused(self):
        emulator = self.emulator("orders:records=10:keys=4:bytes=400")
        one = self.worker(emulator, "orders").start()
        two = self.worker(emulator, "orders")
        two.start(wait=False)
        self.assertEqual(two.process.wait(60), 1)
        self.assertIn("state.db", two.process.tail(3))
        self.assertEqual(one.stop(), 0)
        self.drain(one)
        self.check_complete(emulator)


if __name__ == "__main__":
    unittest.main()
