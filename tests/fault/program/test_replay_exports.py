#!/usr/bin/env python3
"""A replay from a time that the stream does not keep any more: exports of the table bring what its
items became since then (joins.py), or the refusal says why they cannot."""

import json
import time
import unittest

from joins import EVERY, STEP, Joins

# Two days of shards; the stream has the second one of them.
TABLE = "orders:pitr=1:shards=2:records=60:keys=16:bytes=300:depth=4:fanout=1:hours=12:closed=0"


class ReplayExports(Joins):
    def replay(self, worker, start, *more, code=0):
        done = worker.run("replay", "--stream", "orders", "--from", start, "--yes", *more,
                          check=False)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done

    def audit(self, worker):
        stream = json.loads(worker.run("status", "--json").stdout)["streams"][0]
        return [(row["what"], row["why"], row["said"]) for row in stream["audit"]]

    def test_beyond_the_day(self):
        emulator = self.emulator(TABLE, options=("--s3", self.s3, "--s3-key",
                                                 "sluicetest:sluicetestsecret"))
        three = [self.joined(emulator, start="oldest", gap="stop") for _ in range(3)]
        for worker in three:
            worker.start()
        self.wait_shared(three, 2)
        known = len(self.delivered())
        three[0].wait_for(lambda: len(self.delivered()) == known, "it is all delivered")
        plan = three[1].run("replay", "--stream", "orders", "--from", "-30h", "--dry-run").stdout
        self.assertIn("incremental exports of the table", plan)
        self.assertIn("generation 2", plan)
        self.assertEqual(self.audit(three[0]), [])
        said = self.replay(three[1], "-30h").stdout
        self.assertIn("orders is held, and goes back with exports", said)
        self.moving(emulator, STEP, EVERY)
        self.wait_joined(three[0], 2)
        self.stand_still()
        for worker in three:
            self.assertEqual(worker.stop(60), 0, worker.process.tail(60))
        self.drain(self.joined(emulator, start="oldest", gap="stop"), idle="1s")
        self.check_kept(emulator)
        again = [event for event in self.delivered() if event.generation == 2]
        rows = {event.key: event for event in again if event.value["source"]["shard"] is None}
        # What changed in these thirty hours, also where the stream has nothing of it any more.
        since = (time.time() - 29.5 * 3600) * 1000
        truth = emulator.truth("orders")["keys"]
        self.assertTrue(rows)
        for event in self.delivered():
            if event.generation == 1 and event.value["source"]["ts_ms"] > since:
                self.assertIn(event.key, rows)
        self.assertTrue(set(rows) <= set(truth))
        self.assertEqual(self.audit(three[0])[:3], [
            ("go on", "repair", ""), ("reset", "repair", "the stream begins where its exports end"),
            ("hold", "repair", "replay from -30h")])

    def test_who_is_cut_off_says_the_same_again(self):
        """The stream is paused. Where the database goes away in the middle, it still is; then the
        same words bring it back."""
        emulator = self.emulator(TABLE)
        worker = self.joined(emulator, start="oldest", gap="stop")
        self.drain(worker)
        worker.run("pause", "--stream", "orders", "--yes")
        self.sql("CREATE FUNCTION away() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM "
                 "pg_terminate_backend(pg_backend_pid()); RETURN NEW; END$$; CREATE TRIGGER away "
                 "BEFORE INSERT ON sluice.audit FOR EACH ROW WHEN (NEW.what = 'hold') "
                 "EXECUTE FUNCTION away()", self.database)
        for start in ("-30h", "oldest"):
            self.replay(worker, start, code=1)
            self.assertEqual(self.audit(worker), [("hold", "pause", "")])
        self.sql("DROP TRIGGER away ON sluice.audit", self.database)
        self.replay(worker, "-30h")
        self.assertEqual(self.audit(worker), [("hold", "repair", "replay from -30h"),
                                              ("go on", "pause", ""), ("hold", "pause", "")])

    def test_what_is_refused(self):
        emulator = self.emulator(TABLE.replace("pitr=1", "pitr=0"))
        worker = self.joined(emulator, start="oldest")
        self.drain(worker)
        self.assertIn("point-in-time recovery of the table is off",
                      self.replay(worker, "-30h", code=1).stderr)
        self.recovery(emulator)(True)
        self.assertIn("point-in-time recovery reaches back to",
                      self.replay(worker, "-30h", code=1).stderr)
        for words in (("--into", "files"), ("--sink", "files")):
            self.assertNotEqual(worker.run("replay", "--stream", "orders", "--from", "-30h",
                                           "--yes", *words, check=False).returncode, 0)
        worker.config["sinks"]["lake"] = worker.config["sinks"]["files"]
        self.assertIn("sluice export -c FILE load",
                      self.replay(worker, "-30h", "--into", "lake", code=1).stderr)
        self.sql("INSERT INTO sluice.savepoint (name, stream, generation, who, at_ms) "
                 "SELECT 'old', id, 1, 'ann', 1000 FROM sluice.stream", self.database)
        self.assertIn("the savepoint is older: --from 1970-01-01",
                      self.replay(worker, "savepoint:old", code=1).stderr)
        del worker.config["streams"][0]["baseline"], worker.config["streams"][0]["gap"]
        self.assertIn("a `baseline` block of the stream does",
                      self.replay(worker, "-30h", code=1).stderr)
        self.assertEqual(self.audit(worker), [])


if __name__ == "__main__":
    unittest.main()
