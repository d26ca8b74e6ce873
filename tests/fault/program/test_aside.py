#!/usr/bin/env python3
"""A stream is read once more, into a sink that it does not have, while workers go on: complete, in
order, up to where it was asked to, and nobody else notices."""

import json
import signal
import time
import unittest

import workers
from process import Process, wait_until
from sluice import BINARY
from world import DEADLINE, ancestors, shards_of

TABLE = "orders:shards=4:records=300:keys=40:bytes=400:rate=150"
STILL = "orders:shards=2:records=200:keys=20:bytes=400"


class Aside(workers.Workers):
    DROP = ("replay", "--stream", "orders", "--into", "lake", "--drop", "--yes")

    def one(self, emulator, **more):
        worker = super().one(emulator, **more)
        worker.config["sinks"]["lake"] = {**worker.config["sinks"]["files"],
                                          "path": f"{self.folder}/lake/${{table}}/"}
        return worker

    def running(self, emulator, count=3, shards=4):
        some = [self.one(emulator).start() for _ in range(count)]
        self.wait_shared(some, shards)
        return some

    def wait_delivered(self, worker, count):
        worker.wait_for(lambda: len(self.delivered()) >= count, f"{count} are delivered", DEADLINE)

    def words(self, start, *more, into="lake"):
        return ("replay", "--stream", "orders", "--from", start, "--into", into, *more)

    def aside(self, worker, start, *more, code=0, into="lake"):
        done = worker.run(*self.words(start, "--yes", *more, into=into), check=False,
                          deadline=DEADLINE)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done

    def side_streams(self):
        return self.sql("SELECT stream FROM sluice.side", self.database)

    def begun(self, worker, start, *more, log="aside.log"):
        """The command, on its way; `run` ends with the process, this does not."""
        worker.write_config()
        process = Process([BINARY, *self.words(start, "--yes", *more), "-c", worker.file],
                          worker.folder / log, worker.environment)
        self.addCleanup(process.kill)
        return process

    def lake(self):
        return self.delivered(out="lake")

    def places(self, name):
        rows = self.sql("SELECT p.shard || ' ' || CASE WHEN p.done THEN '9' || repeat('9', 39) ELSE "
                        "coalesce(p.sequence, 0)::text END FROM sluice.savepoint_place p "
                        "JOIN sluice.savepoint v ON v.id = p.savepoint "
                        f"WHERE v.name = '{name}'", self.database)
        return {shard: int(sequence) for shard, sequence in zip(rows[::2], rows[1::2])}

    def streams(self, worker):
        return json.loads(worker.run("status", "--json").stdout)["streams"]

    def audit(self, worker):
        return [(row["what"], row["why"], row["said"]) for row in self.streams(worker)[0]["audit"]]

    def check_as_before(self, got, before):
        """What both have is the same, but for the time at which it was made."""
        def content(event):
            return {name: part for name, part in event.value.items() if name != "ts_ms"}

        known = {(event.shard, event.sequence): content(event) for event in before}
        both = [event for event in got if (event.shard, event.sequence) in known]
        self.assertGreater(len(both), 0)
        for event in both:
            self.assertEqual(content(event), known[event.shard, event.sequence])

    def check_untouched(self, emulator, some):
        """The workers have delivered everything once, and tell of nothing strange."""
        self.finish(emulator, some)
        for worker in some:
            for word in ("two names", "a new one begins", "throttled", "worker.name"):
                self.assertNotIn(word, self.log(worker))
        self.assertEqual([stream["stream"] for stream in self.streams(some[0])], ["orders"])

    # --- from where, to where ---

    def test_from_a_savepoint_beside_three_workers(self):
        """Shards split before and behind it."""
        emulator = self.emulator(TABLE)
        three = self.running(emulator)
        opened = list(shards_of(emulator))
        emulator.control("split", table="orders", shard=opened[0])
        self.wait_delivered(three[0], 200)
        three[0].run("checkpoint", "savepoint", "monday")
        places = self.places("monday")
        emulator.control("split", table="orders", shard=opened[1])
        self.wait_delivered(three[0], 500)
        plan = three[1].run(*self.words("savepoint:monday", "--dry-run")).stdout
        self.assertRegex(plan, r"\d+ of \d+ shards are read, \d+ of them from their beginning")
        self.assertIn("the second reader", plan)
        self.assertIn("generation 1", plan)
        self.assertEqual(self.audit(three[0]), [])
        before = self.delivered()
        done = self.aside(three[1], "savepoint:monday")
        got = self.lake()
        self.assertRegex(done.stdout, rf"orders is read into lake up to .*: {len(got)} records")
        self.check_order(got, shards_of(emulator))
        self.check_as_before(got, before)
        again = {(event.shard, event.sequence) for event in got}
        for event in before:
            behind = event.sequence > places.get(event.shard, 0)
            self.assertEqual((event.shard, event.sequence) in again, behind, event.value["source"])
        self.assertEqual({event.generation for event in got}, {1})
        said = "from savepoint:monday into lake"
        self.assertEqual(self.audit(three[0]),
                         [("go on", "rewind", f"{said}: {len(got)} records"),
                          ("rewind", "rewind", said)])
        self.check_untouched(emulator, three)

    def test_from_a_time_to_a_time(self):
        emulator = self.emulator(TABLE.replace("rate=150", "rate=60"))
        two = self.running(emulator, 2)
        self.wait_delivered(two[0], 100)
        time.sleep(3)  # more than what times are rounded by
        since = time.time()
        self.wait_delivered(two[0], len(self.delivered()) + 150)
        emulator.control("split", table="orders", shard=next(iter(shards_of(emulator))))
        time.sleep(3)
        until = time.time()
        self.wait_delivered(two[0], len(self.delivered()) + 150)
        before = self.delivered()

        def text(at):
            return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))

        self.aside(two[0], text(since), "--to", text(until))
        got = self.lake()
        self.check_order(got, shards_of(emulator))
        times = [event.value["source"]["ts_ms"] for event in got]
        self.assertGreaterEqual(min(times), (since - 2) * 1000)
        self.assertLessEqual(max(times), (until + 1) * 1000)
        again = {(event.shard, event.sequence) for event in got}
        for event in before:
            if (since + 1) * 1000 < event.value["source"]["ts_ms"] < (until - 1) * 1000:
                self.assertIn((event.shard, event.sequence), again)
        self.check_untouched(emulator, two)

    def test_from_a_record(self):
        """Its shard from there on, and those that descend from it; no other."""
        emulator = self.emulator(TABLE)
        two = self.running(emulator, 2)
        root = next(iter(shards_of(emulator)))
        two[0].wait_for(lambda: sum(e.shard == root for e in self.delivered()) > 30,
                        "some of it is delivered", DEADLINE)
        emulator.control("split", table="orders", shard=root)
        two[0].wait_for(lambda: any(root in ancestors(shards_of(emulator), event.shard)
                                    for event in self.delivered()), "its children, too", DEADLINE)
        before = self.delivered()
        mine = [event for event in before if event.shard == root]
        self.aside(two[0], f"{mine[20].sequence}@{root}")
        got = self.lake()
        shards = shards_of(emulator)
        self.check_order(got, shards)
        self.assertEqual([e.sequence for e in got if e.shard == root],
                         [e.sequence for e in mine[20:]])
        again = {(event.shard, event.sequence) for event in got}
        for event in before:
            if root in ancestors(shards, event.shard):
                self.assertIn((event.shard, event.sequence), again)
        for shard in {event.shard for event in got}:
            self.assertTrue(shard == root or root in ancestors(shards, shard), shard)
        self.check_untouched(emulator, two)

    def test_from_a_record_nothing_of_other_shards(self):
        """Also where they were split when nobody listed the stream, and the command finds the new
        shards."""
        emulator = self.emulator(STILL)
        worker = self.one(emulator)
        self.drain(worker)
        root, other = shards_of(emulator)
        mine = [event for event in self.delivered() if event.shard == root]
        for shard in (root, other):
            emulator.control("split", table="orders", shard=shard, records=10)
        self.aside(worker, f"{mine[20].sequence}@{root}")
        shards, got = shards_of(emulator), self.lake()
        self.check_order(got, shards)
        self.assertEqual(len(got), 180 + 20)
        for shard in {event.shard for event in got}:
            self.assertTrue(shard == root or root in ancestors(shards, shard), shard)
        self.drain(worker)
        self.check_complete(emulator)

    def test_now_is_what_aws_says(self):
        """The operator's clock is an hour slow, by which the last record is of the future."""
        emulator = self.emulator(STILL)
        worker = self.one(emulator)
        emulator.control("advance", seconds=3600, date=True)
        emulator.control("put", table="orders", item={"pk": {"S": "late"}, "sk": {"N": "1"}})
        self.drain(worker)
        self.aside(worker, "oldest")
        self.assertEqual(len(self.lake()), 401)
        self.assertIn("in the future", self.aside(worker, "oldest", "--to", time.strftime(
            "%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3700)), code=2).stderr)

    def test_from_a_record_that_is_about_to_leave(self):
        """What AWS has just shown is not lost, however old it is."""
        emulator = self.emulator(STILL)
        worker = self.one(emulator)
        self.drain(worker)
        emulator.control("advance", seconds=23 * 3600 + 1800, date=True)
        mine = [event for event in self.delivered() if event.shard == self.delivered()[0].shard]
        self.aside(worker, f"{mine[20].sequence}@{mine[20].shard}")
        self.assertEqual([event.sequence for event in self.lake()],
                         [event.sequence for event in mine[20:]])

    def test_from_a_savepoint_of_almost_a_day_ago(self):
        """Whether something is lost cannot be told: it is said, and what is there comes all the same."""
        emulator = self.emulator(STILL)
        worker = self.one(emulator)
        self.drain(worker)
        worker.run("checkpoint", "savepoint", "monday")
        emulator.control("put", table="orders", item={"pk": {"S": "new"}, "sk": {"N": "1"}})
        self.drain(worker)
        emulator.control("advance", seconds=23 * 3600 + 1800, date=True)
        self.assertIn("nobody read it since", self.aside(worker, "savepoint:monday", code=1).stderr)
        worker.run("resume", "--stream", "orders>lake", "--yes")
        self.sql("UPDATE sluice.gap SET closed_ms = found_ms", self.database)  # by AWS's clock
        self.aside(worker, "savepoint:monday")
        self.assertEqual([event.sequence for event in self.lake()],
                         [event.sequence for event in self.delivered()][400:])

    # --- in between ---

    def slowly(self, emulator, store=None):
        """A worker has all; each page that is read now takes its time."""
        worker = self.one(emulator)
        worker.config["checkpoint"]["store"] = store or self.database
        self.drain(worker)
        emulator.fault("delay", operation="GetRecords", ms=300, count=-1)
        worker.config["streams"][0]["poll"]["budget"] = 2
        return worker

    def half(self, process):
        wait_until(lambda: not process.running() or self.sql(
            "SELECT 1 FROM sluice.position p JOIN sluice.lane l ON l.id = p.lane "
            "JOIN sluice.side d ON d.stream = l.stream WHERE p.sequence IS NOT NULL LIMIT 1",
            self.database), "some of it is read", DEADLINE)
        self.assertTrue(process.running(), process.tail())

    def test_who_dies_says_the_same_again(self):
        """Nothing comes twice, as a roll is visible together with its positions."""
        emulator = self.emulator("orders:shards=8:records=40:keys=20:bytes=400")
        worker = self.slowly(emulator)
        process = self.begun(worker, "oldest")
        self.half(process)
        self.assertEqual(sorted(stream["stream"] for stream in self.streams(worker)),
                         ["orders", "orders>lake"])
        done = self.aside(worker, "oldest", code=1)
        self.assertIn("it is under way", done.stderr)
        process.kill()
        plan = worker.run(*self.words("-1h", "--dry-run")).stdout
        self.assertIn("is given up", plan)
        emulator.control("clear")
        done = self.aside(worker, "oldest")
        self.assertIn("goes on where it was", done.stdout)
        self.check_complete(emulator, out="lake")
        self.assertEqual(len(self.lake()), 320)
        self.assertEqual([what for what, _, _ in self.audit(worker)], ["go on", "rewind"])

    def stopped(self):
        """One that was asked to end in the middle."""
        emulator = self.emulator("orders:shards=8:records=40:keys=20:bytes=400")
        worker = self.slowly(emulator)
        process = self.begun(worker, "oldest")
        self.half(process)
        process.send(signal.SIGTERM)
        self.assertEqual(process.wait(DEADLINE), 1, process.tail())
        emulator.control("clear")
        return emulator, worker, process

    def test_who_is_stopped_says_the_same_again(self):
        emulator, worker, process = self.stopped()
        self.assertIn("say the same again", process.tail())
        self.aside(worker, "oldest")
        self.check_complete(emulator, out="lake")

    def test_another_one_gives_it_up(self):
        emulator, worker, _ = self.stopped()
        self.assertIn("is given up", self.aside(worker, "-1h").stdout)
        self.assertEqual([said for _, _, said in self.audit(worker)][2:],
                         ["from oldest into lake: given up", "from oldest into lake"])
        self.check_keys({(e.shard, e.sequence): e for e in self.lake()}.values(),
                        emulator.truth("orders")["keys"])

    def test_one_that_is_dropped_leaves_nothing(self):
        emulator = self.emulator("orders:shards=8:records=40:keys=20:bytes=400")
        worker = self.slowly(emulator)
        process = self.begun(worker, "oldest")
        self.half(process)

        def drop(code=0):
            done = worker.run(*self.DROP, check=False)
            self.assertEqual(done.returncode, code, done.stdout + done.stderr)
            return done

        self.assertIn("it is under way", drop(1).stderr)
        process.kill()
        self.assertIn("what it has delivered stays in lake", drop().stdout)
        self.assertEqual(self.side_streams(), [])
        self.assertEqual([stream["stream"] for stream in self.streams(worker)], ["orders"])
        self.assertEqual(self.sql("SELECT (SELECT count(*) FROM sluice.session WHERE state <> "
                                  "'buried') + (SELECT count(*) FROM sluice.roll)", self.database),
                         ["0"])
        self.assertEqual([path for path in (self.folder / "lake").rglob(".*") if path.is_file()], [])
        self.assertEqual(self.audit(worker)[0],
                         ("go on", "rewind", "from oldest into lake: given up"))
        self.assertIn("there is no side run orders>lake", drop(1).stderr)

    def test_who_comes_a_moment_later_is_refused(self):
        """The first one has no shards yet."""
        emulator = self.emulator("orders:shards=8:records=40:keys=20:bytes=400")
        worker = self.slowly(emulator)
        worker.config["checkpoint"]["lease"] = "6s"
        self.sql("CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM "
                 "pg_sleep(2); RETURN NULL; END$$; CREATE TRIGGER slow BEFORE INSERT ON sluice.lane "
                 "FOR EACH STATEMENT EXECUTE FUNCTION slow()", self.database)
        first = self.begun(worker, "oldest")
        wait_until(lambda: not first.running() or self.side_streams(), "it has begun", DEADLINE)
        self.assertIn("it is under way", self.aside(worker, "oldest", code=1).stderr)
        self.assertTrue(first.running(), first.tail())

    def test_who_was_given_up_meanwhile_ends(self):
        """It stood still for longer than its lease. The other one reads up to a time of its own."""
        emulator = self.emulator("orders:shards=8:records=40:keys=20:bytes=400")
        worker = self.slowly(emulator)
        first = self.begun(worker, "oldest", "--to", "-1m")
        wait_until(lambda: not first.running() or self.side_streams(), "it has begun", DEADLINE)
        wait_until(lambda: self.sql("SELECT 1 FROM sluice.lane l JOIN sluice.side d "
                                    "ON d.stream = l.stream WHERE l.owner IS NOT NULL LIMIT 1",
                                    self.database), "it has shards", DEADLINE)
        first.pause()
        was = self.side_streams()
        second = self.begun(worker, "oldest", log="second.log")
        wait_until(lambda: not second.running() or self.side_streams() not in ([], was),
                   "it is given up", DEADLINE)
        self.assertTrue(second.running(), second.tail())
        first.resume()
        self.assertEqual(first.wait(DEADLINE), 1, first.tail())
        self.assertIn("the side run is over already", first.tail())
        emulator.control("clear")
        self.assertEqual(second.wait(DEADLINE), 0, second.tail())
        self.check_complete(emulator, out="lake")

    def test_a_pause_ends_it(self):
        emulator = self.emulator("orders:shards=8:records=40:keys=20:bytes=400")
        worker = self.slowly(emulator)
        process = self.begun(worker, "oldest")
        self.half(process)
        worker.run("pause", "--stream", "orders>lake", "--yes")
        self.assertEqual(process.wait(DEADLINE), 1, process.tail())
        self.assertIn("orders>lake is held (pause)", process.tail())
        emulator.control("clear")
        worker.run("resume", "--stream", "orders>lake", "--yes")
        self.aside(worker, "oldest")
        self.check_complete(emulator, out="lake")

    def test_a_gap_stops_it(self):
        """What cannot be brought is not left out in silence."""
        emulator = self.emulator(STILL)
        worker = self.one(emulator)
        self.drain(worker)
        worker.run("checkpoint", "savepoint", "all")
        first = self.delivered()[0]
        emulator.control("trim", table="orders", shard=first.shard, before=50)
        tenth = [e for e in self.delivered() if e.shard == first.shard][10]
        self.sql(f"UPDATE sluice.savepoint_place SET sequence = {tenth.sequence} "
                 f"WHERE shard = '{first.shard}'", self.database)
        done = self.aside(worker, "savepoint:all", code=1)
        self.assertIn(first.shard, done.stderr)
        self.assertIn("orders>lake is not done", done.stderr)
        worker.run("resume", "--stream", "orders>lake", "--yes")
        self.aside(worker, "savepoint:all")
        self.assertEqual([e.sequence for e in self.lake()],
                         [e.sequence for e in self.delivered() if e.shard == first.shard][50:])

    # --- sinks and stores ---

    def test_a_file_store_while_no_worker_has_it(self):
        emulator = self.emulator(STILL)
        worker = self.one(emulator)
        worker.config["checkpoint"]["store"] = f"sqlite:{self.folder}/state.db"
        worker.start()
        self.wait_delivered(worker, 400)
        self.assertIn("in use by another sluice process",
                      self.aside(worker, "oldest", code=1).stderr)
        self.assertEqual(worker.stop(60), 0, worker.process.tail(60))
        self.aside(worker, "oldest")
        self.check_complete(emulator, out="lake")
        self.check_as_before(self.lake(), self.delivered())

    def test_what_a_drop_cannot_remove_is_said(self):
        """Nobody comes for it later."""
        emulator = self.emulator("orders:shards=8:records=40:keys=20:bytes=400")
        worker = self.slowly(emulator, store=f"sqlite:{self.folder}/state.db")
        process = self.begun(worker, "oldest")
        wait_until(lambda: not process.running() or (self.folder / "lake").exists(),
                   "some of it is read", DEADLINE)
        self.assertTrue(process.running(), process.tail())
        process.kill()
        worker.config["sinks"]["lake"]["path"] = f"{worker.file}/lake/"
        done = worker.run(*self.DROP)
        self.assertIn("orders>lake is dropped", done.stdout)
        self.assertIn("unfinished files of an ended session were left", done.stderr)

    def test_onto_the_screen(self):
        """Records alone are on the standard output."""
        emulator = self.emulator("orders:shards=1:records=40:keys=4:bytes=400")
        worker = self.one(emulator)
        self.drain(worker)
        worker.config["sinks"]["lake"] = {"type": "stdout", "format": "debezium"}
        done = self.aside(worker, "oldest")
        got = [json.loads(line)["source"] for line in done.stdout.splitlines()]
        self.assertEqual([source["sequence"] for source in got],
                         [str(event.sequence) for event in self.delivered()])
        self.assertEqual({source["name"] for source in got}, {"orders"})
        self.assertIn("40 records by this call, of 1 shards", done.stderr)

    # --- what is refused ---

    def test_what_is_refused(self):
        emulator = self.emulator(STILL)
        worker = self.one(emulator)
        self.drain(worker)
        worker.config["sinks"]["letters"] = {**worker.config["sinks"]["lake"],
                                             "path": f"{self.folder}/letters/"}
        worker.config["dead_letter"] = {"sink": "letters"}
        worker.run("checkpoint", "savepoint", "here")
        shard = self.delivered()[0].shard
        for start, more, into, code, said in (
                ("oldest", (), "files", 1, "--sink files` instead of --into"),
                ("oldest", (), "nowhere", 2, "has no sink 'nowhere'"),
                ("oldest", (), "letters", 1, "is where dead letters go"),
                ("savepoint:monday", (), "lake", 1, "no savepoint monday of orders"),
                ("savepoint:here", ("--to", "-1h"), "lake", 1, "not behind the savepoint"),
                ("savepoint:here", ("--sink", "other"), "lake", 1, "no sink other"),
                ("oldest", ("--sink", "files"), "lake", 2, "--sink with --into"),
                ("-1h", ("--to", "-2h"), "lake", 2, "not behind --from"),
                ("-1h", ("--to", "2100-01-01T00:00:00Z"), "lake", 2, "in the future"),
                ("-1h", ("--to", "oldest"), "lake", 2, "--to: expected a time"),
                ("latest", (), "lake", 2, "latest is where it is"),
                ("-25h", (), "lake", 1, "a stream keeps 24 hours"),
                (f"1@{shard}", (), "lake", 1, "has no such record")):
            done = self.aside(worker, start, *more, into=into, code=code)
            self.assertIn(said, done.stderr)
        for words, said in ((("--stream", "orders", "--from", "oldest", "--to", "-1h"),
                             "--to goes with --into"),
                            (("--stream", "other", "--from", "oldest", "--into", "lake"),
                             "no stream other"),
                            (("--stream", "orders", "--from", "oldest", "--into", "lake"), "--yes"),
                            ((*self.DROP[1:], "--from", "oldest"), "--drop alone"),
                            ((*self.DROP[1:], "--to", "-1h"), "--drop alone"),
                            ((*self.DROP[1:], "--sink", "files"), "--drop alone")):
            self.assertIn(said, worker.run("replay", *words, check=False).stderr)
        worker.config["streams"][0]["name"] = "renamed"
        self.assertIn("the configuration has no stream orders",
                      self.aside(worker, "oldest", code=1).stderr)
        self.assertEqual(self.sql("SELECT count(*) FROM sluice.side", self.database), ["0"])
        self.assertEqual(self.lake(), [])


if __name__ == "__main__":
    unittest.main()
