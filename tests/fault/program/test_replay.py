#!/usr/bin/env python3
"""A stream, or one sink of it, goes back while workers run: what was delivered since comes again, in
order, as another generation, and nothing in between is lost."""

import json
import subprocess
import time
import unittest
from collections import defaultdict

import workers
from process import wait_until
from sluice import BINARY
from world import DEADLINE, ancestors, shards_of

TABLE = "orders:shards=4:records=300:keys=40:bytes=400:rate=150"


class Replay(workers.Workers):
    def replay(self, worker, start, *more, code=0):
        done = worker.run("replay", "--stream", "orders", "--from", start, "--yes", *more,
                          check=False, deadline=DEADLINE)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done

    def owned(self):
        return int(self.sql("SELECT count(*) FROM sluice.lane WHERE owner IS NOT NULL",
                            self.database)[0])

    def audit(self, worker):
        stream = json.loads(worker.run("status", "--json").stdout)["streams"][0]
        return [(row["what"], row["why"]) for row in stream["audit"]]

    def running(self, emulator, count=3, shards=4):
        some = [self.one(emulator).start() for _ in range(count)]
        self.wait_shared(some, shards)
        return some

    def wait_delivered(self, worker, count, out="out"):
        worker.wait_for(lambda: len(self.delivered(out=out)) >= count, f"{count} are delivered",
                        DEADLINE)

    def end(self, emulator, some):
        self.wait_made(emulator)
        for worker in some:
            self.assertEqual(worker.stop(60), 0, worker.process.tail(60))
        self.drain(self.one(emulator), idle="1s")

    def generations(self, emulator, out="out"):
        """Each in itself once, in order, no child before its parents; one after the other."""
        got = self.delivered(out=out)
        by = defaultdict(list)
        for event in got:
            by[event.generation].append(event)
        for some in by.values():
            self.check_order(some, shards_of(emulator))
        self.assertEqual([event.generation for event in got], sorted(e.generation for e in got))
        return by

    def check_again(self, by, places):
        """The second generation is what lies behind these places, {shard: sequence}, of what the
        first one had, and goes on from there."""
        def behind(event):
            return event.sequence > places.get(event.shard, 0)

        again = {(event.shard, event.sequence) for event in by[2]}
        self.assertTrue(all(behind(event) for event in by[2]))
        missing = [(e.shard, e.sequence) for e in by[1] if behind(e)
                   and (e.shard, e.sequence) not in again]
        self.assertEqual(missing, [])

    def check_whole(self, emulator, got):
        """Every change is there, whichever generation."""
        numbers = defaultdict(set)
        for event in got:
            numbers[event.key].add(event.n)
        for key, end in emulator.truth("orders")["keys"].items():
            self.assertEqual(numbers[key], set(range(1, end["n"] + 1)), key)

    def control(self, out="out"):
        found = [json.loads(path.read_text()) for path in
                 (self.folder / out / "_control").glob("*")]
        return [(e["kind"], e["phase"], e["generation"])
                for e in sorted(found, key=lambda event: event["id"])]

    def kept(self, name):
        rows = self.sql("SELECT p.shard || ' ' || CASE WHEN p.done THEN '9' || repeat('9', 39) ELSE "
                        "coalesce(p.sequence, 0)::text END FROM sluice.savepoint_place p "
                        "JOIN sluice.savepoint v ON v.id = p.savepoint "
                        f"WHERE v.name = '{name}'", self.database)
        return {shard: int(sequence) for shard, sequence in zip(rows[::2], rows[1::2])}

    # --- what comes again ---

    def test_from_a_savepoint(self):
        """Shards split before and behind it."""
        emulator = self.emulator(TABLE)
        three = self.running(emulator)
        opened = list(shards_of(emulator))
        emulator.control("split", table="orders", shard=opened[0])
        self.wait_delivered(three[0], 200)
        done = three[0].run("checkpoint", "savepoint", "monday")
        self.assertIn("--from savepoint:monday", done.stdout)
        places = self.kept("monday")
        emulator.control("split", table="orders", shard=opened[1])
        self.wait_delivered(three[0], 500)
        plan = three[1].run("replay", "--stream", "orders", "--from", "savepoint:monday",
                            "--dry-run").stdout
        self.assertIn("generation 2", plan)
        self.assertRegex(plan, r"\d of \d+ shards go back")
        self.assertEqual(self.audit(three[0]), [])
        done = self.replay(three[1], "savepoint:monday")
        self.assertIn("orders goes back, as generation 2: running workers", done.stdout)
        self.end(emulator, three)
        by = self.generations(emulator)
        self.assertEqual(sorted(by), [1, 2])
        self.check_again(by, places)
        self.check_whole(emulator, by[1] + by[2])
        self.assertEqual(self.audit(three[0]), [("go on", "rewind"), ("rewind", "rewind"),
                                                ("hold", "rewind")])
        self.assertEqual(self.control(), [("rewind", "begin", 2), ("rewind", "end", 2)])
        for worker in three:
            self.assertNotIn("a new one begins", self.log(worker))

    def test_from_the_oldest_record(self):
        emulator = self.emulator(TABLE)
        two = self.running(emulator, 2)
        emulator.control("split", table="orders", shard=next(iter(shards_of(emulator))))
        self.wait_delivered(two[0], 200)
        self.assertIn("all shards that AWS lists", self.replay(two[0], "oldest").stdout)
        self.end(emulator, two)
        by = self.generations(emulator)
        self.assertEqual(sorted(by), [1, 2])
        self.check_keys(by[2], emulator.truth("orders")["keys"])
        self.assertEqual(self.control(), [("rewind", "begin", 2), ("rewind", "end", 2)])

    def test_from_a_time(self):
        emulator = self.emulator(TABLE)
        two = self.running(emulator, 2)
        self.wait_delivered(two[0], 200)
        time.sleep(3)  # more than what times are rounded by
        since = time.time()
        known = len(self.delivered())
        self.wait_delivered(two[0], known + 150)
        self.replay(two[0], time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(since)))
        self.end(emulator, two)
        by = self.generations(emulator)
        self.assertEqual(sorted(by), [1, 2])
        first = min(event.value["source"]["ts_ms"] for event in by[2])
        self.assertGreaterEqual(first, (since - 2) * 1000)
        again = {(event.shard, event.sequence) for event in by[2]}
        for event in by[1]:
            if event.value["source"]["ts_ms"] > (since + 1) * 1000:
                self.assertIn((event.shard, event.sequence), again)
        self.check_whole(emulator, by[1] + by[2])

    def test_from_a_record(self):
        """That one is the first, and the shards that follow its shard come again as a whole."""
        emulator = self.emulator(TABLE)
        two = self.running(emulator, 2)
        root, other = list(shards_of(emulator))[:2]
        two[0].wait_for(lambda: sum(e.shard == root for e in self.delivered()) > 30,
                        "some of it is delivered", DEADLINE)
        emulator.control("split", table="orders", shard=root)
        two[0].wait_for(lambda: any(root in ancestors(shards_of(emulator), event.shard)
                                    for event in self.delivered()), "its children, too", DEADLINE)
        mine = [event for event in self.delivered() if event.shard == root]
        self.replay(two[0], f"{mine[20].sequence}@{root}")
        self.end(emulator, two)
        by = self.generations(emulator)
        again = [event for event in by[2] if event.shard == root]
        self.assertEqual([e.sequence for e in again],
                         [e.sequence for e in by[1] if e.shard == root][20:])
        shards = shards_of(emulator)
        for event in by[1]:
            if root in ancestors(shards, event.shard):
                self.assertIn((event.shard, event.sequence),
                              {(e.shard, e.sequence) for e in by[2]})
        twice = {(e.shard, e.sequence) for e in by[1]} & {(e.shard, e.sequence) for e in by[2]}
        self.assertNotIn(other, {shard for shard, _ in twice})
        self.check_whole(emulator, by[1] + by[2])

    def test_of_one_sink(self):
        emulator = self.emulator(TABLE)
        two = [self.one(emulator) for _ in range(2)]
        for worker in two:
            self.second(worker)
            worker.start()
        self.wait_shared(two, 4)
        two[0].run("checkpoint", "savepoint", "empty-ish")
        places = self.kept("empty-ish")
        self.wait_delivered(two[0], 300)
        self.replay(two[0], "savepoint:empty-ish", "--sink", "lake")
        self.wait_made(emulator)
        for worker in two:
            self.assertEqual(worker.stop(60), 0, worker.process.tail(60))
        last = self.one(emulator)
        self.second(last)
        self.drain(last, idle="1s")
        lake, first = self.generations(emulator, "lake"), self.generations(emulator)
        self.check_again(lake, places)
        self.check_whole(emulator, lake[1] + lake[2])
        self.check_keys(first[1] + first[2], emulator.truth("orders")["keys"])  # nothing twice

    def second(self, worker):
        worker.config["sinks"]["lake"] = {**worker.config["sinks"]["files"],
                                          "path": f"{self.folder}/lake/${{table}}/"}
        worker.config["streams"][0]["sinks"] = ["files", "lake"]

    def test_a_shard_is_set_by_hand(self):
        emulator = self.emulator("orders:shards=1:records=40:keys=4:bytes=400")
        worker = self.one(emulator)
        self.drain(worker)
        shard = next(iter(shards_of(emulator)))
        tenth = self.delivered()[9]
        listed = worker.run("checkpoint", "list", "--stream", "orders").stdout
        self.assertIn(f"{shard}  files  {self.delivered()[-1].sequence}", listed)
        done = worker.run("checkpoint", "set", "--stream", "orders", "--shard", shard,
                          "--sequence", str(tenth.sequence), "--yes")
        self.assertIn("1 shards are set", done.stdout)
        self.drain(worker)
        self.assertEqual([e.sequence for e in self.generations(emulator)[2]],
                         [e.sequence for e in self.delivered()[10:40]])

    # --- in between ---

    def test_who_cannot_let_go_is_waited_for(self):
        """The command dies while it waits: nothing is read, and the next one takes it up."""
        emulator = self.emulator(TABLE)
        two = self.running(emulator, 2)
        two[0].run("checkpoint", "savepoint", "here")
        places = self.kept("here")
        self.wait_delivered(two[0], 100)
        two[1].pause()
        waiting = subprocess.Popen([BINARY, "replay", "--stream", "orders", "--from",
                                    "savepoint:here", "--yes", "-c", two[0].file],
                                   stdout=subprocess.DEVNULL)
        wait_until(lambda: self.audit(two[0]) == [("hold", "rewind")], "it is held", DEADLINE)
        waiting.kill()
        waiting.wait()
        two[1].kill9()
        two[0].wait_for(lambda: self.owned() == 0, "the dead one is buried", DEADLINE)
        self.replay(two[0], "savepoint:here")
        self.end(emulator, [two[0]])
        by = self.generations(emulator)
        self.assertEqual(sorted(by), [1, 2])
        self.check_again(by, places)
        self.check_whole(emulator, by[1] + by[2])

    def test_it_may_be_given_up(self):
        emulator = self.emulator("orders:shards=1:records=40:keys=4:bytes=400")
        worker = self.one(emulator)
        self.drain(worker)
        self.sql("SELECT sluice.hold_begin(1, 0, 'rewind', 'ann', '', "
                 f"{int(time.time() * 1000)}, 1000000000)", self.database)
        self.drain(worker, code=1)
        done = worker.run("resume", "--stream", "orders", "--yes")
        self.assertIn("held for a replay", done.stdout)
        self.drain(worker)
        self.assertEqual(len(self.check_complete(emulator)), 40)

    def test_it_may_be_given_up_when_it_has_gone_back(self):
        emulator = self.emulator("orders:shards=1:records=40:keys=4:bytes=400")
        worker = self.one(emulator)
        self.drain(worker)
        now = int(time.time() * 1000)
        self.sql(f"SELECT sluice.hold_begin(1, 0, 'rewind', 'ann', '', {now}, 1000000000)",
                 self.database)
        self.sql("SELECT sluice.hold_rewind(1, s.hold, 1, ARRAY[l.shard], ARRAY[p.sink], "
                 "ARRAY[NULL]::numeric[], ARRAY[0]::bigint[], ARRAY[false], 'ann', '', "
                 f"{now}) FROM sluice.stream s, sluice.lane l JOIN sluice.position p "
                 "ON p.lane = l.id", self.database)
        worker.run("resume", "--stream", "orders", "--yes")
        worker.start()
        told = [("rewind", "begin", 2), ("rewind", "end", 2)]
        worker.wait_for(lambda: self.control() == told, "begin and end are told", DEADLINE)
        self.assertEqual(worker.stop(60), 0, worker.process.tail(60))
        self.assertEqual(len(self.generations(emulator)[2]), 40)

    # --- what is refused ---

    def test_what_is_refused(self):
        emulator = self.emulator("orders:shards=1:records=20:keys=4:bytes=400")
        worker = self.one(emulator)
        self.drain(worker)
        shard = next(iter(shards_of(emulator)))
        last = self.delivered()[-1].sequence
        worker.run("checkpoint", "savepoint", "here")
        emulator.fault("empty", operation="GetRecords", count=100)  # as where little is written
        record = self.delivered()[-1]
        done = worker.run("replay", "--stream", "orders", "--from",
                          f"{record.sequence}@{record.shard}", "--dry-run")
        self.assertIn("1 of ", done.stdout)
        for start, more, code, said in (
                ("savepoint:monday", (), 1, "no savepoint monday of orders"),
                ("savepoint:here", ("--sink", "other"), 1, "no sink other"),
                ("oldest", ("--sink", "files"), 2, "a time is the whole stream's"),
                ("latest", (), 2, "latest is where it is"),
                ("yesterday", (), 2, "--from"),
                ("-25h", (), 1, "a `baseline` block of the stream does"),
                (f"1@{shard}", (), 1, "has no such record"),
                (f"{last}@shardId-0", (), 1, "does not list shard shardId-0")):
            done = self.replay(worker, start, *more, code=code)
            self.assertIn(said, done.stderr)
        done = worker.run("checkpoint", "savepoint", "here", check=False)
        self.assertEqual((done.returncode, "already" in done.stderr), (1, True))
        done = worker.run("replay", "--stream", "other", "--from", "oldest", "--yes", check=False)
        self.assertIn("no stream other", done.stderr)
        done = worker.run("replay", "--stream", "orders", "--from", "oldest", check=False)
        self.assertEqual((done.returncode, "--yes" in done.stderr), (2, True))
        self.assertEqual(self.audit(worker), [])
        for name in ("", "a b", "a\n", "a" * 300):
            done = worker.run("checkpoint", "savepoint", name, check=False)
            self.assertEqual((done.returncode, "a name of" in done.stderr), (2, True))
        done = worker.run("checkpoint", "drop", "here", check=False)
        self.assertEqual((done.returncode, "--yes" in done.stderr), (2, True))
        self.assertIn("savepoint here  orders", done.stdout)
        worker.run("checkpoint", "drop", "here", "--yes")
        self.assertNotIn("here", worker.run("checkpoint", "list").stdout)
        self.sql("SELECT sluice.hold_begin(1, 0, 'repair', 'ann', '', "
                 f"{int(time.time() * 1000)}, 1000000000)", self.database)
        self.assertIn("until its repair is done", self.replay(worker, "oldest", code=1).stderr)


if __name__ == "__main__":
    unittest.main()
