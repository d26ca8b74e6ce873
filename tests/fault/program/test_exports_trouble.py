#!/usr/bin/env python3
"""Exports that fail, are late, cannot be made: what is tried again, what is told, what is lost."""

import time
import unittest

import exporting
from exporting import MINUTE, TABLE
from world import DEADLINE


class Trouble(exporting.Exports):
    def test_what_fails_is_tried_again(self):
        emulator = self.exporting(TABLE)
        worker = self.exporter(emulator, full=self.hourly(emulator)[0], retries=2)
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
        worker = self.exporter(emulator, retries=1, deadline="15m")
        for _ in range(2):
            emulator.fault("export_fails", code="S3NoSuchBucket", message="so it goes")
        worker.start()
        worker.run("export", "full", "--yes")
        self.moving(emulator, 5 * MINUTE)
        self.wait_rows(worker, lambda rows: rows == ["full failed false"], "it fails for good")
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
        worker = self.exporter(emulator, full=self.hourly(emulator)[0]).start()
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
        lost = "changes can never be exported"
        worker.wait_for(lambda: lost in self.log(worker), "it is named", DEADLINE)
        time.sleep(1)
        self.assertEqual(self.log(worker).count(lost), 1)
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
        worker = self.exporter(emulator, full=self.hourly(emulator)[0])
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
        worker = self.exporter(emulator, streams=True, full=self.hourly(emulator)[0])
        emulator.fault("manifest_late", table="orders", ms=3000)
        worker.start()
        self.moving(emulator, 5)
        self.wait_published(worker)
        self.stand_still()
        self.assertEqual(len(self.asked(emulator)), 1)
        self.ends(worker)


if __name__ == "__main__":
    unittest.main()
