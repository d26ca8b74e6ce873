#!/usr/bin/env python3
"""Windows that are loaded as one (load_every): each key once a batch, with what became of it from
the batch's beginning to its end, whoever dies; compared with what lies in the bucket."""

import json
import time
import unittest
import uuid

import batches
import exporting
import loading
from exporting import HOUR, MINUTE, world

KEYS = 150


class Batches(exporting.Exports):
    def setUp(self):
        super().setUp()
        self.state = {}  # by key, its n
        self.made = 0

    def collector(self, emulator, **entry):
        """The least memory, so that a batch is loaded in several ranges."""
        worker = self.exporter(emulator, **{"load": True, "sinks": ["files"], "incremental": "1h",
                                            "load_every": 3, **entry})
        worker.config["worker"]["memory"] = "16MiB"
        return worker

    def changes(self, emulator, filler=300):
        """Some items are made, changed, deleted, and made anew."""
        for key in self.rng.sample(range(KEYS), KEYS // 2):
            self.made += 1
            if key in self.state and self.rng.random() < 0.4:
                emulator.control("delete", table="orders",
                                 key={"pk": {"S": f"k{key}"}, "sk": {"N": "1"}})
                del self.state[key]
            else:
                self.state[key] = self.made
                emulator.control("put", table="orders", item={
                    "pk": {"S": f"k{key}"}, "sk": {"N": "1"}, "n": {"N": str(self.made)},
                    "v": {"S": self.rng.randbytes(filler // 2).hex()}})

    def begin(self, emulator, some):
        """Of an empty table: the first window is the hour that it is, in its middle."""
        self.move(emulator, (HOUR // 2 - int(self.now(emulator))) % HOUR)
        for worker in some:
            worker.start()
        some[0].wait_for(lambda: self.column("id"), "the first window is begun", world.DEADLINE)
        self.changes(emulator)

    def window(self, emulator, worker, count):
        """One more window is over, and so many are exported."""
        self.move(emulator, HOUR)
        worker.wait_for(lambda: len(self.column("id", "exported_ms > 0")) >= count,
                        lambda: f"{count} windows are exported: {self.column('*')}", world.DEADLINE)

    def batches(self):
        """Numbers of the windows of each batch that is loaded, in order."""
        found = {}
        for row in self.column("coalesce(batch, id), number",
                               "number > 0 AND generation = 1 AND status = 'complete'"):
            found.setdefault(int(row.split("|")[0]), []).append(int(row.split("|")[1]))
        return list(found.values())

    def check(self, batches_of, got=None):
        """Each batch's events are its fold, and each of them came once."""
        manifests = {int(row.split("|")[0]): row.split("|")[1]
                     for row in self.column("number, manifest", "number > 0 AND generation = 1")}
        got = self.delivered() if got is None else got
        for numbers in batches_of:
            wanted = batches.fold([(number, batches.manifest_lines(self.get, manifests[number]))
                                   for number in numbers])
            mine = [event for event in got if event.sequence in numbers]
            self.assertEqual(len(mine), len({event.key for event in mine}), "a key came twice")
            self.assertEqual({event.key: batches.told(event) for event in mine}, wanted)
            self.assertEqual({event.value["source"]["snapshot"] for event in mine},
                             {"incremental"} if mine else set())
        self.assertEqual({event.sequence for event in got}
                         - {number for numbers in batches_of for number in numbers}, set())

    def test_two_windows_are_one(self):
        """Two batches, in several ranges, with workers killed while they are loaded."""
        emulator = self.exporting("orders:pitr=1:records=0")
        some = [self.collector(emulator, load_every=2) for _ in range(2)]
        self.begin(emulator, some)
        for batch in range(2):
            self.window(emulator, some[0], 2 * batch + 1)
            self.changes(emulator)
            # It waits, is no trouble, and is told of.
            self.assertEqual(self.column("status", f"number = {2 * batch + 1}"), ["exported"])
            self.assertEqual(len(self.marks()), 2 * batch)
            status = self.status_json(some[0])["exports"]
            self.assertEqual([entry["batch_lacks"] for entry in status
                              if entry["status"] == "exported"], [1])
            self.assertIn("waits for 1 window more", some[0].run("export", "status").stdout)
            self.window(emulator, some[0], 2 * batch + 2)
            some[0].wait_for(lambda: len(self.column("1", "batch > 0")) == 2 * batch + 2,
                             "it is loaded", world.DEADLINE)
            for victim in some:
                victim.kill9()
                victim.start(wait=False)
                time.sleep(0.3)
            self.changes(emulator)
            self.wait_published(some[0], 2 * (batch + 1))
        ranges = [int(row) for row in self.column("files", "batch = id")]
        self.assertGreater(min(ranges), 3)
        self.assertEqual(self.batches(), [[1, 2], [3, 4]])
        self.check([[1, 2], [3, 4]])
        self.assertEqual(len(self.marks()), 4)
        for worker in some:
            self.assertEqual(worker.stop(), 0, worker.process.tail())
        self.clean()

    def test_a_batch_that_no_window_comes_to(self):
        """One by hand ends it, and so does a newer full export; waiting is nothing to stay for."""
        emulator = self.exporting("orders:pitr=1:records=0")
        worker = self.collector(emulator)
        self.begin(emulator, [worker])
        self.window(emulator, worker, 1)
        self.assertEqual(worker.stop(), 0, worker.process.tail())
        self.drain(worker, idle="1s")
        self.assertEqual(self.column("status"), ["exported", "waiting"][:len(self.column("id"))])
        worker.start()
        self.changes(emulator)
        self.window(emulator, worker, 2)
        self.moving(emulator, MINUTE)
        said = worker.run("export", "incremental", "--yes", "--wait", deadline=150).stdout
        self.stand_still()
        self.assertIn("complete", said.splitlines()[-1])
        self.assertEqual(self.batches(), [[1, 2, 3]])
        self.assertEqual(len(self.marks()), 3)
        # The next window is the first of a batch that stays short.
        self.changes(emulator)
        self.window(emulator, worker, 4)
        self.assertEqual(self.column("status", "number = 4"), ["exported"])
        worker.run("export", "full", "--yes", "--table", "orders")
        self.move(emulator, 10 * MINUTE)
        self.wait_rows(worker, lambda rows: "full complete true" in rows, "it is loaded, too")
        self.assertEqual(self.batches(), [[1, 2, 3], [4]])
        worker.stop()
        self.check(self.batches(), [event for event in self.delivered() if event.op != "r"])


class Ranges(loading.Loading):
    """A batch that is ready to be loaded, made here: larger than the memory, or damaged."""
    WINDOWS = 3

    def collecting(self, **more):
        worker = self.loader({"incremental": "1h", "load_every": self.WINDOWS}, **more)
        worker.config["worker"]["memory"] = "16MiB"
        worker.config["sinks"]["files"]["roll"] = {"size": "5MiB", "age": "1s"}
        return worker

    def lines(self, keys, filler):
        """Of each window two thirds of the keys; what the windows before left is their old image."""
        state = {}
        for window in range(self.WINDOWS):
            made = []
            for key in self.rng.sample(range(keys), keys * 2 // 3):
                new = None if key in state and self.rng.random() < 0.2 else window * keys + key + 1
                line = json.loads(loading.change(f"k{key}", state.get(key), new))
                if new:
                    line["NewImage"]["v"] = {"S": self.rng.randbytes(filler // 2).hex()}
                state[key] = new
                made.append(json.dumps(line, separators=(",", ":")))
            yield made

    def batch(self, keys, ranges, filler=300):
        """The batch's export, its windows' lines, and their files."""
        self.schema()
        session, arn = uuid.uuid4(), f"arn:aws:dynamodb:{self.s3.region}:{loading.ACCOUNT}:table/orders"
        folded, all_files = [], []
        self.ask(f"SELECT sluice.session_begin('{session}', 'driver', '', 600000)")
        for number, lines in enumerate(self.lines(keys, filler), 1):
            window = 1700000000000 + number * 3600000, 1700003600000 + number * 3600000
            half = len(lines) // 2
            files = [loading.DataFile(part, f"{self.place}/AWSDynamoDB")
                     for part in (lines[:half], lines[half:])]
            folder = f"{self.place}/AWSDynamoDB/w{number}"
            objects = {each.key: each.content for each in files}
            objects |= batches.manifest(folder, self.s3.bucket, arn, window, files)
            for key, body in objects.items():
                self.s3.put(key, body)
            export = int(self.ask(
                f"SELECT id FROM sluice.export_begin('{session}', 0, '{arn}', 'orders', "
                f"'incremental', {window[0]}, {window[1]}, 1, 'NEW_AND_OLD_IMAGES', '', 1)")[0][0])
            for step in (
                    f"export_try('{session}', {export}, 1, 'token', 2)",
                    f"export_submitted('{session}', {export}, 1, 'arn', 3)",
                    f"export_exported('{session}', {export}, 1, "
                    f"'s3://{self.s3.bucket}/{folder}/manifest-summary.json', {len(files)}, "
                    f"{len(lines)}, 0, 4)"):
                self.ask(f"SELECT sluice.{step}")
            folded.append((number, [json.loads(line) for line in lines]))
            all_files += files
        self.ask(f"SELECT sluice.export_batch('{session}', {export}, 1, {ranges})")
        self.ask(f"SELECT sluice.session_bury('{session}')")
        return export, batches.fold(folded), all_files

    def rows_saved(self, export):
        return int(self.ask("SELECT coalesce(sum(records), 0) FROM sluice.export_file "
                            f"WHERE export = {export}")[0][0])

    def check_fold(self, folded):
        got = self.delivered()
        self.assertEqual(len(got), len({event.key for event in got}), "a key came twice")
        self.assertEqual({event.key: batches.told(event) for event in got}, folded)

    def test_lives_that_end_inside_a_range(self):
        """It is larger than the memory, and goes on at the row where the last life was."""
        export, folded, _ = self.batch(40000, 1)
        worker = self.collecting()
        inside = 0
        for _ in range(3):
            before = self.rows_saved(export)
            worker.start(wait=False)
            worker.wait_for(lambda: self.rows_saved(export) > before
                            or self.status(export) == "complete", "some rows more", 120)
            worker.kill9()
            inside += self.status(export) == "loading"
        self.assertGreater(inside, 0)
        worker.start()
        self.wait_status(worker, export)
        self.assertEqual(self.ask("SELECT status FROM sluice.export WHERE number <= 3"), [["complete"]] * 3)
        self.assertEqual(self.rows_saved(export), len(folded))
        self.assertEqual(worker.stop(60), 0, worker.process.tail(60))
        self.check_fold(folded)
        self.clean()

    def test_a_damaged_file_is_named(self):
        """Nothing of its range is delivered before it is mended; other ranges say the same."""
        export, folded, files = self.batch(600, 2)
        bad = files[3]
        self.s3.put(bad.key, bad.content[:-20])
        some = [self.collecting() for _ in range(2)]
        for worker in some:
            worker.config["exports"][0]["retries"] = 1
            worker.start()
        self.wait_status(some[0], export, "failed")
        errors = [row["error"] for row in self.file_rows(export).values()]
        self.assertEqual([bad.key in error for error in errors], [True] * 2, errors)
        self.assertEqual(self.delivered(), [])
        self.assertEqual(self.ask("SELECT status FROM sluice.export WHERE number <= 3 ORDER BY id"),
                         [["exported"], ["exported"], ["failed"]])
        self.s3.put(bad.key, bad.content)
        some[0].run("export", "retry", "--yes")
        self.wait_status(some[0], export)
        for worker in some:
            worker.stop()
        self.check_fold(folded)


if __name__ == "__main__":
    unittest.main()
