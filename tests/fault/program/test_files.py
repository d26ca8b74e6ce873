#!/usr/bin/env python3
"""Exports' data files are loaded by several workers: each row once into a directory, whoever dies
in the middle; a file that is not as the manifest says fails alone, and is tried again."""

import gzip
import json
import time
import unittest

import loading


class Files(loading.Loading):
    def test_workers_share_an_export(self):
        files = self.data_files(24, 800)
        self.tapped()
        some = [self.loader().start() for _ in range(3)]
        export = self.loading(files)
        some[0].wait_for(lambda: len(self.owners(export)) == 3, "each has some of them", 60)
        self.tap.open()
        self.wait_status(some[0], export)
        for name, got in self.file_rows(export).items():
            made = next(each for each in files if each.name == name)
            self.assertEqual((got["completed"], got["records"], got["attempts"], got["error"]),
                             (True, made.items, 1, ""), name)
            self.assertEqual(got["bytes"], len(gzip.decompress(made.content)), name)
        total = sum(worker.metric("sluice_export_records_total", table="orders")
                    for worker in some)
        self.assertEqual(total, 24 * 800)
        self.assertEqual(sum(worker.metric("sluice_records_total", stream="orders", op="r")
                             for worker in some), total)
        for worker in some:
            self.assertGreater(worker.metric("sluice_export_records_total"), 0)
        for worker in some:
            self.assertEqual(worker.stop(60), 0, worker.process.tail(60))
        self.check_once(files)
        event = self.delivered()[0].value
        self.assertEqual((event["op"], event["source"]["snapshot"], event["source"]["sequence"],
                          event["source"]["shard"], event["source"]["name"]),
                         ("r", "true", "0", None, "orders"))

    def test_until_idle_waits_for_the_load(self):
        files = self.data_files(3, 100)
        export = self.loading(files)
        self.drain(self.loader(), idle="200ms")
        self.assertEqual(self.status(export), "complete")
        self.check_once(files)

    def in_the_middle(self, end):
        """Lives that end while files are half loaded: each begins with the ranges before its place."""
        files = self.data_files(3, 30000, filler=200)
        export = self.loading(files)
        self.tapped()
        worker = self.loader()
        for _ in range(3):
            before = self.rows(export)
            worker.start(wait=False)
            while self.rows(export) <= before:
                self.tap.allow(300000)
                time.sleep(0.1)
            self.assertEqual(self.status(export), "loading")
            end(worker)
        self.tap.open()
        worker.start()
        self.wait_status(worker, export)
        self.assertEqual(worker.stop(60), 0, worker.process.tail(60))
        self.check_once(files)
        for got in self.file_rows(export).values():
            self.assertEqual((got["completed"], got["records"], got["retries"]), (True, 30000, 0))

    def rows(self, export):
        return sum(got["records"] for got in self.file_rows(export).values())

    def owners(self, export):
        return self.ask("SELECT DISTINCT l.owner FROM sluice.export_file f JOIN sluice.lane l "
                        f"ON l.id = f.lane WHERE f.export = {export} AND l.owner IS NOT NULL")

    def test_killed_in_the_middle(self):
        self.in_the_middle(lambda worker: worker.kill9())

    def test_stopped_in_the_middle(self):
        self.in_the_middle(lambda worker: self.assertEqual(worker.stop(60), 0))

    def test_others_load_what_the_dead_had(self):
        files = self.data_files(12, 6000)
        self.tapped()
        first, second = self.loader().start(), self.loader().start()
        export = self.loading(files)
        first.wait_for(lambda: len(self.owners(export)) == 2, "each has some of them", 60)
        self.tap.allow(1000000)
        first.wait_for(lambda: self.rows(export) > 0, "something is loaded", 60)
        first.kill9()
        self.tap.open()
        self.wait_status(second, export)
        self.assertEqual(second.stop(60), 0, second.process.tail(60))
        self.check_once(files)

    # --- files that are not as they should be ---

    def fails(self, bad, says, good=2, retries=1, damaged=False):
        """The bad file fails, the others and the session do not; and once it is mended a person's
        word loads it."""
        files = self.data_files(good, 50)
        export = self.loading([*files, bad])
        worker = self.loader({"retries": retries}).start()
        self.wait_status(worker, export, "failed")
        got = self.file_rows(export)
        for each in files:
            self.assertTrue(got[each.name]["completed"])
        failed = got[bad.name]
        self.assertEqual((failed["completed"], failed["failed"], failed["attempts"]),
                         (False, True, retries + 1))
        self.assertIn(says, failed["error"])
        self.assertIn("a data file failed for good", self.log(worker))
        self.assertNotIn("a new one begins", self.log(worker))
        worker.wait_metric("sluice_export_files", 1, table="orders", status="failed")
        # Mended, and tried again.
        mended = self.data_file(bad.lines, put=False)
        self.s3.put(bad.key, mended.content)
        self.ask(f"UPDATE sluice.export_file SET checksum = '{mended.md5}', "
                 f"items = {len(bad.lines)} WHERE lane IN "
                 f"(SELECT id FROM sluice.lane WHERE shard = '{bad.name}')")
        self.ask(f"SELECT sluice.export_retry({export}, 0, 99)")
        self.wait_status(worker, export)
        self.assertEqual(worker.stop(60), 0, worker.process.tail(60))
        if not damaged:
            self.check_once([*files, bad])
        else: # what came of it was not to be believed, and yet once only
            self.assertLessEqual(self.check_there([*files, bad]), len(bad.lines))

    def bad(self, rows=3000):
        return self.data_file([loading.row(f"bad-{n}", n, f"{n * 7919:x}" * 20)
                               for n in range(rows)], put=False)

    def test_a_damaged_file(self):
        bad = self.bad(20000)
        damaged = bytearray(bad.content)
        for at in range(len(damaged) // 2, len(damaged) // 2 + 50):
            damaged[at] ^= 0xff
        self.s3.put(bad.key, bytes(damaged))
        self.fails(bad, bad.key, retries=3, damaged=True)

    def test_a_file_that_is_cut_short(self):
        bad = self.bad()
        self.s3.put(bad.key, bad.content[:-100])
        self.fails(bad, "it ends in the middle of its gzip data", damaged=True)

    def test_a_missing_file(self):
        self.fails(self.bad(), "NoSuchKey")

    def test_a_wrong_md5(self):
        bad = self.bad()
        self.s3.put(bad.key, bad.content)
        bad.md5 = "kAFQmDzST7DWlj99KOF/cg=="
        self.fails(bad, "the manifest says kAFQmDzST7DWlj99KOF/cg==", damaged=True)

    def test_a_wrong_count(self):
        bad = self.bad()
        self.s3.put(bad.key, bad.content)
        bad.items += 1
        self.fails(bad, "it has 3000 rows, and the manifest says 3001")

    def test_the_third_time(self):
        files = self.data_files(2, 50)
        late = self.bad(100)
        export = self.loading([*files, late])
        worker = self.loader().start()
        worker.wait_for(lambda: self.file_rows(export)[late.name]["retries"] == 2,
                        "it failed twice", 60)
        self.s3.put(late.key, late.content)
        self.wait_status(worker, export)
        got = self.file_rows(export)[late.name]
        self.assertEqual((got["attempts"], got["completed"], got["error"]), (3, True, ""))
        self.assertEqual(worker.stop(60), 0)
        self.check_once([*files, late])
        self.assertEqual(self.ask(
            "SELECT a.how FROM sluice.export_attempt a JOIN sluice.lane l ON l.id = a.lane "
            f"WHERE l.shard = '{late.name}' ORDER BY a.id"), [["failed"], ["failed"], ["done"]])

    def test_until_idle_names_what_failed(self):
        export = self.loading([self.bad()])
        worker = self.loader({"retries": 0})
        self.drain(worker, idle="200ms", code=1)
        self.assertEqual(self.status(export), "failed")
        self.assertIn("data files of exports failed", self.log(worker))

    def letters_of(self):
        return [json.loads(text) for (text,) in self.ask("SELECT json FROM sluice.letter ORDER BY id")]

    def test_bad_rows_go_to_the_dead_letters(self):
        """Two of one file, which have the same sequence; read twice, as the first life dies."""
        good = [loading.row(f"good-{n}") for n in range(500)]
        made = self.data_file([*good[:100], '{"Item":{"pk":{"S":"x"}}}', *good[100:], "nothing"])
        export = self.loading([made])
        worker = self.loader().start()
        self.wait_status(worker, export)
        self.assertEqual(self.file_rows(export)[made.name]["records"], 502)
        self.assertEqual(worker.stop(60), 0)
        made.lines = good
        self.check_once([made])
        letters = self.letters_of()
        self.assertEqual([letter["reason"] for letter in letters], ["undecodable"] * 2)
        self.assertEqual({letter["shard"] for letter in letters}, {made.name})

    def test_a_bad_row_of_a_stream_that_stops(self):
        """A baseline of a stream with on_error: stop: the file fails at the row, and goes on behind
        what was delivered once it is mended."""
        good = [loading.row(f"good-{n}") for n in range(500)]
        made = self.data_file([*good[:100], "nothing", *good[100:]])
        export = self.loading([made], kind="baseline", name="shop")
        worker = self.loader({"retries": 0})
        worker.config["streams"] = [{"table": "orders", "name": "shop", "sinks": ["files"],
                                     "on_error": "stop"}]
        worker.start()
        self.wait_status(worker, export, "failed")
        worker.wait_for(lambda: self.file_rows(export)[made.name]["failed"], "it failed", 60)
        self.assertIn("the row at place", self.file_rows(export)[made.name]["error"])
        mended = self.data_file([*good[:100], loading.row("mended"), *good[100:]], put=False)
        self.s3.put(made.key, mended.content)
        self.ask(f"UPDATE sluice.export_file SET checksum = '{mended.md5}'")
        self.ask(f"SELECT sluice.export_retry({export}, 0, 99)")
        self.wait_status(worker, export)
        self.assertEqual(worker.stop(60), 0)
        self.check_once([mended])

    # --- what else may be loaded ---

    def test_windows(self):
        lines = [loading.change("a", None, 1), loading.change("b", 1, 2),
                 loading.change("c", 3, None)]
        export = self.loading([self.data_file(lines)], kind="incremental",
                              view="NEW_AND_OLD_IMAGES", window=(1000, 901000))
        worker = self.loader()
        self.drain(worker, idle="200ms")
        self.assertEqual(self.status(export), "complete")
        got = {(event.op, json.dumps(event.value["before"]), json.dumps(event.value["after"]))
               for event in self.delivered()}
        self.assertEqual({op for op, _, _ in got}, {"c", "u", "d"})
        self.assertEqual({event.value["source"]["snapshot"] for event in self.delivered()},
                         {"incremental"})
        self.assertEqual({event.sequence for event in self.delivered()}, {1})

    def test_a_load_into_a_sink(self):
        """Of an export that nobody here asked for: the name is the sink's."""
        files = self.data_files(2, 20)
        export = self.loading(files, kind="load", name="other")
        worker = self.loader()
        worker.config["sinks"] = {**worker.config["sinks"], "other": {
            **worker.config["sinks"]["files"], "path": f"{self.folder}/other/${{table}}/"}}
        self.drain(worker, idle="200ms")
        self.assertEqual(self.status(export), "complete")
        self.check_once(files, out="other")
        self.assertEqual(self.delivered(), [])

    def test_one_that_nobody_knows(self):
        export = self.loading(self.data_files(1, 20), name="users", table="users")
        worker = self.loader()
        self.drain(worker, idle="200ms")
        self.assertEqual(self.status(export), "loading")
        self.assertEqual(self.delivered(), [])


if __name__ == "__main__":
    unittest.main()
