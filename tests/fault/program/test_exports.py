#!/usr/bin/env python3
"""The life of an export, from its schedule to _SUCCESS, with workers that share and die."""

import json
import unittest

import exporting
from exporting import HOUR, MINUTE, TABLE, stamp

START = "1970-01-01-00-00-00-000000"


class Life(exporting.Exports):
    def test_a_schedule_fires_once(self):
        """Three workers, one export: of the last minute that was due, before they were started."""
        emulator = self.exporting(TABLE)
        schedule, due = self.hourly(emulator)
        some = [self.exporter(emulator, full=schedule) for _ in range(3)]
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

    def test_a_chain_is_loaded(self):
        """Followed by --wait to its end: the table is in the sink, and _SUCCESS comes behind it."""
        emulator = self.exporting(TABLE)
        some = [self.exporter(emulator, load=True, sinks=["files"]) for _ in range(2)]
        for worker in some:
            worker.start()
        self.moving(emulator, 2 * MINUTE)
        said = some[0].run("export", "full", "--yes", "--wait", deadline=120).stdout
        self.assertIn("complete  items 20", said)
        self.assertEqual(len(self.marks()), 1)
        got = {event.key: event.n for event in self.delivered()}
        self.assertEqual({event.op for event in self.delivered()}, {"r"})
        self.assertEqual(got, {key: entry["n"] for key, entry in
                               emulator.truth("orders")["keys"].items() if entry["exists"]})
        files = self.status_json(some[0])["exports"][0]
        self.assertEqual((files["files"], files["records"]), (files["files_completed"], 20))
        self.stand_still()
        self.ends(*some)

    def test_the_driver_dies_in_each_phase(self):
        """Killed while AWS is asked, while it exports, before the manifest is there: another worker
        goes on, and AWS is asked for one export."""
        emulator = self.exporting(TABLE + ":export_ms=60000")
        some = [self.exporter(emulator, full=self.hourly(emulator)[0]) for _ in range(2)]

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
        worker = self.exporter(emulator, full=self.hourly(emulator)[0]).start()
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
        self.wait_rows(worker, lambda rows: "load complete true" in rows, "it is loaded")
        self.assertEqual({event.key: event.n for event in self.delivered()},
                         {key: entry["n"] for key, entry in
                          emulator.truth("orders")["keys"].items() if entry["exists"]})
        self.ends(worker)


if __name__ == "__main__":
    unittest.main()
