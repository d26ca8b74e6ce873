#!/usr/bin/env python3
"""The life of an export, from its schedule to _SUCCESS, with workers that share and die."""

import json
import time
import unittest

import exporting
from exporting import HOUR, MINUTE, stamp

START = "1970-01-01-00-00-00-000000"
TABLE = "orders:pitr=1:records=100:keys=20:bytes=300"


class Life(exporting.Exports):
    def ends(self, *some):
        for worker in some:
            self.assertEqual(worker.stop(), 0, worker.process.tail())
            self.assertNotIn(" ERROR ", self.log(worker))

    def test_a_schedule_fires_once(self):
        """Three workers, one export: of the last minute that was due, before they were started."""
        emulator = self.exporting(TABLE)
        some = [self.exporter(emulator, full="7 * * * *") for _ in range(3)]
        due = (self.now(emulator) - 7 * MINUTE) // HOUR * HOUR + 7 * MINUTE
        for worker in some:
            worker.start()
        self.moving(emulator, 10)
        self.wait_published(some[0])
        self.stand_still()
        self.assertEqual(len(self.asked(emulator)), 1)
        self.assertEqual(self.rows("to_ms / 1000"), [str(int(due))])
        self.assertEqual(self.marks(), [f"{START}_{stamp(due)}"])
        # What lies there is what AWS says it is, in the folder that says when.
        folder = f"{self.prefix}/123456789012/eu-west-1/orders/exports/{START}_{stamp(due)}/"
        keys = self.objects()
        self.assertTrue(all(key.startswith(folder) for key in keys), keys)
        summary = next(key for key in keys if key.endswith("manifest-summary.json"))
        found = self.status_json(some[0])["exports"]
        self.assertEqual([entry["status"] for entry in found], ["complete"])
        self.assertEqual(found[0]["manifest"], f"s3://{self.bucket}/{summary}")
        self.assertEqual(found[0]["items"], json.loads(self.get(summary))["itemCount"])
        self.assertEqual(json.loads(some[0].run("status", "--json").stdout)["exports"][0]["id"],
                         found[0]["id"])
        # The next minute, and again once.
        self.move(emulator, HOUR)
        self.moving(emulator, 10)
        self.wait_published(some[0], 2)
        self.stand_still()
        self.assertEqual(len(self.asked(emulator)), 2)
        self.assertEqual(len(self.marks()), 2)
        self.ends(*some)

    def test_ten_windows_behind_a_full_export(self):
        """Contiguous, in order and each once, whoever dies; two that came due in a pause, too."""
        emulator = self.exporting(TABLE)
        some = [self.exporter(emulator, incremental="1h") for _ in range(3)]
        some[0].start()
        some[0].run("export", "full", "--yes", "--table", "orders")
        full = int(self.rows("to_ms / 1000", "kind = 'full'")[0])
        for worker in some[1:]:
            worker.start()
        self.move(emulator, 10 * MINUTE)
        self.wait_published(some[0], 2)
        for turn in range(9):
            begun = len(self.rows("id"))
            self.move(emulator, HOUR * (2 if turn == 5 else 1))
            some[0].wait_for(lambda: len(self.rows("id")) > begun, "the next one is begun",
                             exporting.world.DEADLINE)
            some[turn % 3].kill9()
            some[turn % 3].start(wait=False)
        self.wait_published(some[0], 12)
        windows = [tuple(map(int, row.split("|"))) for row in self.column(
            "from_ms / 1000 || '|' || to_ms / 1000",
            "from_ms > 0 AND generation = (SELECT max(generation) FROM sluice.export)")]
        at = full - 13 * MINUTE
        for begin, end in windows:
            self.assertEqual(begin, at)
            at = end
        self.assertEqual(windows[0][1], full + 2 * MINUTE)
        self.assertEqual([end - begin for begin, end in windows[1:]], [HOUR] * (len(windows) - 1))
        # AWS was asked for each once, and each is told of once.
        mine = [row for row in self.column("token", "status <> 'abandoned' AND token <> ''")]
        self.assertEqual(sorted(export["token"] for export in self.asked(emulator)), sorted(mine))
        self.assertEqual(len(self.marks()), len(set(self.marks())))

    def test_what_fails_is_tried_again(self):
        emulator = self.exporting(TABLE)
        worker = self.exporter(emulator, full="7 * * * *", retries=2)
        for _ in range(2):
            emulator.fault("export_fails", code="S3NoSuchBucket", message="so it goes")
        worker.start()
        self.moving(emulator, 2 * MINUTE)
        self.wait_published(worker)
        self.stand_still()
        asked = self.asked(emulator)
        self.assertEqual(len({export["token"] for export in asked}), 3)
        self.assertIn("an export failed, it is tried again", self.log(worker))
        attempts = self.status_json(worker, "--attempts")["exports"][0]["attempts"]
        self.assertEqual([entry["how"] for entry in attempts], ["failed", "failed", "done"])
        self.assertIn("so it goes", attempts[0]["error"])
        self.assertEqual(worker.metric("sluice_export_attempts_total", result="failed"), 2)
        self.assertEqual(worker.metric("sluice_export_attempts_total", result="completed"), 1)
        self.ends(worker)

    def test_what_never_works_waits_for_a_person(self):
        emulator = self.exporting(TABLE)
        worker = self.exporter(emulator, full="7 * * * *", incremental="1h", retries=1,
                               deadline="15m")
        for _ in range(2):
            emulator.fault("export_fails", code="S3NoSuchBucket", message="so it goes")
        worker.start()
        self.moving(emulator, 5 * MINUTE)
        self.wait_rows(worker, lambda rows: rows[:1] == ["full failed false"], "it fails for good")
        worker.wait_metric("sluice_exports_late", 1)
        self.stand_still()
        text = self.log(worker)
        self.assertEqual(text.count("an export failed for good"), 1)
        self.assertEqual(text.count("an export is late"), 1)
        self.assertIn("so it goes", worker.run("status").stdout)
        self.assertEqual(worker.run("export", "retry", check=False).returncode, 2)
        self.assertIn("1 tried again", worker.run("export", "retry", "--yes").stdout)
        self.moving(emulator, 5)
        self.wait_published(worker)
        self.stand_still()
        self.assertEqual(worker.stop(), 0)

    def test_point_in_time_recovery_is_off(self):
        emulator = self.exporting("orders:records=100:keys=20:bytes=300")
        worker = self.exporter(emulator, full="7 * * * *").start()
        worker.wait_for(lambda: "point-in-time recovery, which is off" in self.log(worker),
                        "it says so")
        self.assertIn("point-in-time recovery is off", worker.get("/readyz")[1])
        check = worker.run("check", check=False)
        self.assertEqual(check.returncode, 1)
        self.assertIn("FAIL  export", check.stdout)
        self.assertIn("which is off", worker.run("export", "full", "--yes", check=False).stderr)
        self.assertEqual(worker.stop(), 0)
        self.assertEqual(self.log(worker).count(" ERROR "), 1)
        self.assertEqual(self.asked(emulator), [])

    def test_point_in_time_recovery_is_turned_on(self):
        """A minute that it does not reach is left out; one by hand is of a minute that it does."""
        emulator = self.exporting("orders:records=100:keys=20:bytes=300")
        worker = self.exporter(emulator, full="0 4 1 1 *", incremental="1h", enable_pitr=True)
        worker.start()
        worker.wait_for(lambda: "a full export is left out" in self.log(worker), "left out")
        began = self.now(emulator)
        said = worker.run("export", "full", "--yes").stdout
        self.assertIn("is begun", said)
        at = int(self.rows("to_ms / 1000")[0])
        self.assertTrue(began + 12 * MINUTE <= at <= began + 15 * MINUTE, (began, at))
        self.moving(emulator, 5 * MINUTE)
        self.wait_published(worker, 2)
        self.stand_still()
        self.assertEqual(self.column("from_ms / 1000", "kind = 'incremental' AND number = 1"),
                         [str(at - 13 * MINUTE)])
        self.ends(worker)

    def test_what_recovery_does_not_reach_is_a_gap(self):
        """Windows stop, name what is lost, and go on with a full export."""
        emulator = self.exporting(TABLE)
        worker = self.exporter(emulator, incremental="15m").start()
        worker.run("export", "full", "--yes", "--table", "orders")
        self.moving(emulator, 5 * MINUTE)
        self.wait_published(worker, 2)
        self.stand_still()
        client = self.recovery(emulator)
        client(False)
        client(True)
        self.moving(emulator, 5 * MINUTE)
        self.wait_rows(worker, lambda rows: "incremental failed false" in rows, "a gap")
        time.sleep(1)
        text = self.log(worker)
        self.assertEqual(text.count("changes can never be exported"), 1)
        self.assertIn("begin anew with a full export", worker.run("export", "status").stdout)
        worker.wait_metric("sluice_export_gaps_total", 1)
        begun = len(self.rows("id"))
        worker.wait_metric("sluice_export_windows_behind", 2)
        self.assertEqual(len(self.rows("id")), begun)
        worker.run("export", "full", "--yes")
        self.wait_rows(worker, lambda rows: "incremental complete true" in rows[begun:],
                       "windows go on")
        self.stand_still()
        self.assertIn("incremental abandoned false", self.column(
            "kind || ' ' || status || ' ' || (published_ms > 0)"))
        self.assertEqual(worker.stop(), 0)

    def test_a_bad_manifest_is_a_failed_attempt(self):
        emulator = self.exporting(TABLE)
        worker = self.exporter(emulator, full="7 * * * *")
        emulator.fault("md5_wrong", table="orders")
        emulator.fault("count_wrong", table="orders")
        worker.start()
        self.moving(emulator, 2 * MINUTE)
        self.wait_published(worker)
        self.stand_still()
        attempts = self.status_json(worker, "--attempts")["exports"][0]["attempts"]
        self.assertIn("MD5", attempts[0]["error"])
        self.assertEqual(attempts[-1]["how"], "done")
        self.ends(worker)

    def test_a_manifest_that_is_late_is_waited_for(self):
        emulator = self.exporting(TABLE)
        worker = self.exporter(emulator, full="7 * * * *")
        emulator.fault("manifest_late", table="orders", ms=3000)
        worker.start()
        self.moving(emulator, 5)
        self.wait_published(worker)
        self.stand_still()
        self.assertEqual(len(self.asked(emulator)), 1)
        self.ends(worker)

    def test_the_driver_dies_in_each_phase(self):
        """Killed while AWS is asked, while it exports, before the manifest is there: another worker
        goes on, and AWS is asked for one export."""
        emulator = self.exporting(TABLE + ":export_ms=60000")
        some = [self.exporter(emulator, full="7 * * * *") for _ in range(2)]

        def driver():
            names = self.sql("SELECT s.worker FROM sluice.export e JOIN sluice.session s "
                             "ON s.id = e.driver AND s.state = 'live'", self.database)
            return next((one for one in some if [one.folder.name] == names), None)

        def dies(condition, what):
            some[0].wait_for(lambda: driver() and condition(), what, exporting.world.DEADLINE)
            victim = driver()
            if victim:
                victim.kill9()
                victim.start(wait=False)

        emulator.fault("hang", operation="ExportTableToPointInTime", count=1)
        for worker in some:
            worker.start()
        dies(lambda: self.column("attempt") == ["1"], "an attempt is written down")
        dies(lambda: self.column("status") == ["running"], "AWS is at it")
        emulator.fault("manifest_late", table="orders", ms=4000)
        self.move(emulator, 61)
        self.moving(emulator, 2)
        dies(lambda: self.asked(emulator)[0]["status"] == "COMPLETED", "its manifest is awaited")
        self.wait_published(some[0])
        self.stand_still()
        self.assertEqual(len(self.asked(emulator)), 1)
        self.assertEqual(len(self.marks()), 1)

    def test_an_export_of_others_is_loaded(self):
        """Refused where it is another table's, Ion or damaged; else it is a row that workers load."""
        emulator = self.exporting(TABLE, "users:pitr=1:records=10:keys=4:bytes=300")
        worker = self.exporter(emulator, full="7 * * * *").start()
        self.moving(emulator, 10)
        self.wait_published(worker)
        self.stand_still()
        manifest = self.column("manifest")[0]
        key = manifest.split("/", 3)[3]

        def load(*arguments, code=0):
            done = worker.run("export", "load", "--into", "files", "--yes", *arguments, check=False)
            self.assertEqual(done.returncode, code, done.stdout + done.stderr)
            return done.stdout + done.stderr

        self.assertIn("not of users", load("--from", manifest, "--table", "users", code=1))
        self.assertIn("NoSuchKey", load("--from", manifest.replace("summary.json", "summary.json/"
                      "manifest-summary.json"), "--table", "orders", code=1))
        summary = json.loads(self.get(key))
        ion = key.replace("/AWSDynamoDB/", "/ion/AWSDynamoDB/")
        self.put(ion, json.dumps({**summary, "outputFormat": "ION"}).encode())
        self.put(ion.replace(".json", ".md5"), b"x")
        self.assertIn("MD5", load("--from", f"s3://{self.bucket}/{ion}", "--table", "orders",
                                  code=1))
        self.put(ion.replace(".json", ".md5"), exporting.md5_of(self.get(ion)))
        self.assertIn("ION", load("--from", f"s3://{self.bucket}/{ion}", "--table", "orders",
                                  code=1))
        self.assertIn("is begun", load("--from", manifest, "--table", "orders"))
        self.assertIn("was begun before", load("--from", manifest, "--table", "orders"))
        self.wait_rows(worker, lambda rows: any(row.split()[:2] in (["load", "loading"],
                       ["load", "complete"]) for row in rows), "its files are there")
        self.assertEqual(worker.stop(), 0)


if __name__ == "__main__":
    unittest.main()
