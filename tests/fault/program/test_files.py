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
        for worker in some:
            self.assertGreater(worker.metric("sluice_export_records_total"), 0)
        self.assertEqual([sum(worker.metric(name, **labels) for worker in some)
                          for name, labels in (
                              ("sluice_export_records_total", {"table": "orders"}),
                              ("sluice_records_total", {"stream": "orders", "op": "r"}))],
                         [24 * 800] * 2)
        for worker in some:
            # It is no stream, and nothing of it can be lost or late.
            self.assertEqual(worker.metric("sluice_shards", stream="orders"), 0)
            self.assertEqual(worker.metric("sluice_polls_total", stream="orders"), 0)
            self.assertEqual(worker.stop(60), 0, worker.process.tail(60))
        self.check_once(files)
        event = self.delivered()[0].value
        self.assertEqual((event["op"], event["source"]["snapshot"], event["source"]["sequence"],
                          event["source"]["shard"], event["source"]["name"]),
                         ("r", "true", "0", None, "orders"))

    def test_lives_that_end_in_the_middle(self):
        """Files are half loaded; each life fetches them from the beginning and goes on inside."""
        files = self.data_files(3, 30000, filler=200)
        export = self.loading(files)
        self.tapped()
        worker = self.loader()
        for kill in (True, False, True):
            before = self.rows(export)
            worker.start(wait=False)
            while self.rows(export) <= before:
                self.tap.allow(300000)
                time.sleep(0.1)
            self.assertEqual(self.status(export), "loading")
            if kill:
                worker.kill9()
            else:
                self.assertEqual(worker.stop(60), 0, worker.process.tail(60))
                session = self.log(worker).rpartition("session begun session=")[2].split()[0]
                self.assertNotIn([session], self.owners(export))
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

    def bad(self, name, rows=3000):
        return self.data_file([loading.row(f"{name}-{n}", n, f"{n * 7919:x}" * 20)
                               for n in range(rows)], put=False)

    def mend(self, bad, items=None):
        mended = self.data_file(bad.lines, put=False)
        self.s3.put(bad.key, mended.content)
        self.ask(f"UPDATE sluice.export_file SET checksum = '{mended.md5}', "
                 f"items = {items or len(bad.lines)} WHERE lane IN "
                 f"(SELECT id FROM sluice.lane WHERE shard = '{bad.name}')")

    def test_files_that_are_not_right(self):
        """They fail, the others and the session do not; once they are mended a person's word loads
        them. Of a damaged one that may be rows again, but once only, however often it was tried."""
        files, bad = self.data_files(3, 50), {
            name: self.bad(name, rows) for name, rows in (
                ("damaged", 12000), ("cut", 3000), ("missing", 3000), ("md5", 12000),
                ("count", 3000))}
        damaged = bytearray(bad["damaged"].content)
        for at in range(len(damaged) // 2, len(damaged) // 2 + 50):
            damaged[at] ^= 0xff
        self.s3.put(bad["damaged"].key, bytes(damaged))
        self.s3.put(bad["cut"].key, bad["cut"].content[:-100])
        for name in ("md5", "count"):
            self.s3.put(bad[name].key, bad[name].content)
        bad["md5"].md5 = "kAFQmDzST7DWlj99KOF/cg=="
        bad["count"].items += 1
        export = self.loading([*files[:2], *bad.values(), files[2]])
        worker = self.loader({"retries": 2}).start()
        self.wait_status(worker, export, "failed")
        got = self.file_rows(export)
        for each in files:
            self.assertTrue(got[each.name]["completed"])
        for name, says in (("damaged", bad["damaged"].key),
                           ("cut", "it ends in the middle of its gzip data"),
                           ("missing", "NoSuchKey"),
                           ("md5", "the manifest says kAFQmDzST7DWlj99KOF/cg=="),
                           ("count", "it has 3000 rows, and the manifest says 3001")):
            failed = got[bad[name].name]
            self.assertEqual((failed["completed"], failed["failed"], failed["attempts"]),
                             (False, True, 3), name)
            self.assertIn(says, failed["error"])
        self.assertEqual(self.log(worker).count("a data file failed for good"), 5)
        self.assertNotIn("a new one begins", self.log(worker))
        worker.wait_metric("sluice_export_files", 5, table="orders", status="failed")
        for each in bad.values():
            self.mend(each)
        self.ask(f"SELECT sluice.export_retry({export}, 0, 99)")
        self.wait_status(worker, export)
        self.assertEqual(worker.stop(60), 0, worker.process.tail(60))
        again = self.check_there([*files, *bad.values()])
        self.assertGreater(again, 0) # a wrong MD5 shows at the end
        self.assertLess(again, 24000)

    def test_connections_that_break_at_every_tenth(self):
        """What came is not asked for again, and that is no failure of the file."""
        made = self.data_files(1, 4000)[0]
        export = self.loading([made])
        self.tapped()
        self.tap.each = len(made.content) // 10
        self.tap.open()
        worker = self.loader().start()
        self.wait_status(worker, export)
        self.assertEqual(worker.stop(60), 0, worker.process.tail(60))
        got = self.file_rows(export)[made.name]
        self.assertEqual((got["attempts"], got["retries"], got["records"]), (1, 0, 4000))
        self.assertIn(self.tap.broken, range(10, 13))
        self.check_once([made])

    def test_a_file_that_fails_three_times(self):
        """Or more often: the next try may be quicker than a test."""
        files = self.data_files(2, 50)
        late = self.bad("late", 100)
        export = self.loading([*files, late])
        worker = self.loader({"retries": 50}).start()
        worker.wait_for(lambda: self.file_rows(export)[late.name]["retries"] >= 3,
                        "it failed three times", 120)
        self.s3.put(late.key, late.content)
        self.wait_status(worker, export)
        got = self.file_rows(export)[late.name]
        self.assertEqual((got["attempts"], got["completed"], got["error"]),
                         (got["retries"] + 1, True, ""))
        self.assertEqual(worker.stop(60), 0)
        self.check_once([*files, late])
        self.assertEqual(self.ask(
            "SELECT a.how FROM sluice.export_attempts a JOIN sluice.lane l ON l.id = a.lane "
            f"WHERE l.shard = '{late.name}' ORDER BY a.number"),
            [["failed"]] * got["retries"] + [["done"]])

    def test_until_idle_names_what_failed(self):
        export = self.loading([self.bad("bad")])
        worker = self.loader({"retries": 0})
        self.drain(worker, idle="200ms", code=1)
        self.assertEqual(self.status(export), "failed")
        self.assertIn("1 data files of exports failed", self.log(worker))

    def test_bad_rows_go_to_the_dead_letters(self):
        """Two of one file, which have the same sequence."""
        good = [loading.row(f"good-{n}") for n in range(500)]
        made = self.data_file([*good[:100], '{"Item":{"pk":{"S":"x"}}}', *good[100:], "nothing"])
        export = self.loading([made])
        self.drain(self.loader(), idle="200ms")
        self.assertEqual(self.status(export), "complete")
        self.assertEqual(self.file_rows(export)[made.name]["records"], 502)
        made.lines = good
        self.check_once([made])
        letters = [json.loads(text) for (text,) in
                   self.ask("SELECT json FROM sluice.letter ORDER BY id")]
        self.assertEqual([(letter["reason"], letter["shard"]) for letter in letters],
                         [("undecodable", made.name)] * 2)

    def test_a_bad_row_of_a_stream_that_stops(self):
        """A baseline of a stream with on_error: stop: the file fails at the row, and goes on behind
        what was delivered once it is mended."""
        good = [loading.row(f"good-{n}") for n in range(500)]
        made = self.data_file([*good[:100], "nothing", *good[100:]])
        export = self.loading([made], kind="baseline", name="shop")
        worker = self.loader()
        worker.config["streams"] = [{"table": "orders", "name": "shop", "sinks": ["files"],
                                     "on_error": "stop"}]
        worker.start()
        self.wait_status(worker, export, "failed")
        failed = self.file_rows(export)[made.name]
        self.assertEqual((failed["attempts"], failed["failed"]), (1, True))
        self.assertIn("the row at place", failed["error"])
        made.lines = [*good[:100], loading.row("mended"), *good[100:]]
        self.mend(made)
        self.ask(f"SELECT sluice.export_retry({export}, 0, 99)")
        self.wait_status(worker, export)
        self.assertEqual(worker.stop(60), 0)
        self.check_once([made])

    def test_rows_are_transformed(self):
        """What a transform of the exports' sink cannot do with is a letter of it; a baseline has
        the stream's transforms, and stops at such a row where the stream does."""
        good = [loading.row(f"good-{n}", n, "7") for n in range(300)]
        transform = [{"cast": {"v": "number"}}, {"set": {"from": "${op} ${attribute:n}"}}]
        made = self.data_file([*good[:100], loading.row("bad", 1, "seven"), *good[100:]])
        export = self.loading([made])
        self.drain(self.loader({"sinks": [{"name": "files", "transform": transform}]}),
                   idle="200ms")
        self.assertEqual(self.status(export), "complete")
        made.lines = good
        self.check_once([made])
        for event in self.delivered():
            self.assertEqual((event.value["after"]["v"], event.value["after"]["from"]),
                             (7, f"r {event.n}"))
        letters = [json.loads(text) for (text,) in
                   self.ask("SELECT json FROM sluice.letter ORDER BY id")]
        self.assertEqual([(x["reason"], x["sink"], x["record"]["dynamodb"]["NewImage"]["v"])
                          for x in letters], [("transform", "files", {"S": "seven"})])

        made = self.data_file([loading.row("stops", 1, "seven")])
        export = self.loading([made], kind="baseline", name="shop")
        worker = self.loader()
        worker.config["streams"] = [{"table": "orders", "name": "shop", "sinks": ["files"],
                                     "on_error": "stop", "transform": transform}]
        worker.start()
        self.wait_status(worker, export, "failed")
        self.assertEqual(worker.stop(60), 0)
        self.assertIn("the row at place 0 cannot be transformed (on_error: stop)",
                      self.file_rows(export)[made.name]["error"])

    # --- what may be loaded ---

    def test_windows_and_loads(self):
        """Changes of a window; an export that nobody here asked for, into a sink of its name; and
        one that nobody here knows, which is left alone."""
        lines = [loading.change("a", None, 1), loading.change("b", 1, 2),
                 loading.change("c", 3, None)]
        window = self.loading([self.data_file(lines)], kind="incremental",
                              view="NEW_AND_OLD_IMAGES", window=(1000, 901000))
        files = self.data_files(2, 20)
        load = self.loading(files, kind="load", name="other")
        strange = self.loading(self.data_files(1, 20), name="users", table="users")
        worker = self.loader()
        worker.config["sinks"] = {**worker.config["sinks"], "other": {
            **worker.config["sinks"]["files"], "path": f"{self.folder}/other/${{table}}/"}}
        self.drain(worker, idle="200ms")
        self.assertEqual([self.status(export) for export in (window, load, strange)],
                         ["complete", "complete", "loading"])
        worker.start()
        said = "an export waits to be loaded, and no worker's configuration has it"
        worker.wait_for(lambda: said in self.log(worker), "it is told", 60)
        self.assertEqual(worker.stop(60), 0)
        self.check_once(files, out="other")
        got = [(event.op, event.sequence, event.value["source"]["snapshot"])
               for event in self.delivered()]
        self.assertEqual(sorted(got), [(op, 1, "incremental") for op in "cdu"])


if __name__ == "__main__":
    unittest.main()
