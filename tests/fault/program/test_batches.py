#!/usr/bin/env python3
"""Windows that are loaded as one (load_every): each key once a batch, with what became of it from
the batch's beginning to its end, whoever dies; compared with what lies in the bucket."""

import time
import unittest

import batches
import exporting
from exporting import HOUR, world

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
        """Of an empty table: the first window is the hour that it is."""
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
        """Numbers of the windows of each batch, in order."""
        found = {}
        for row in self.column("coalesce(batch, id), number"):
            found.setdefault(int(row.split("|")[0]), []).append(int(row.split("|")[1]))
        return list(found.values())

    def check(self, batches_of):
        """Each batch's events are its fold, and each of them came once."""
        manifests = {int(row.split("|")[0]): row.split("|")[1]
                     for row in self.column("number, manifest")}
        got = self.delivered()
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

    def test_three_windows_are_one(self):
        """Two batches, in several ranges, with workers killed while they are loaded."""
        emulator = self.exporting("orders:pitr=1:records=0")
        some = [self.collector(emulator) for _ in range(2)]
        self.begin(emulator, some)
        for batch in range(2):
            for number in range(1, 3):
                self.window(emulator, some[0], 3 * batch + number)
                self.changes(emulator)
            # Two wait, are no trouble, and are told of.
            self.assertEqual(self.column("status", f"number > {3 * batch}"), ["exported"] * 2)
            self.assertEqual(len(self.marks()), 3 * batch)
            status = self.status_json(some[0])["exports"]
            self.assertEqual([entry["batch_lacks"] for entry in status
                              if entry["status"] == "exported"], [1, 1])
            self.assertIn("waits for 1 window more", some[0].run("export", "status").stdout)
            self.window(emulator, some[0], 3 * batch + 3)
            some[0].wait_for(lambda: len(self.column("1", "batch > 0")) == 3 * batch + 3,
                             "it is loaded", world.DEADLINE)
            for victim in some:
                victim.kill9()
                victim.start(wait=False)
                time.sleep(0.3)
            self.changes(emulator)
            self.wait_published(some[0], 3 * (batch + 1))
        ranges = [int(row) for row in self.column("files", "batch = id")]
        self.assertGreater(min(ranges), 3)
        self.assertEqual(self.batches(), [[1, 2, 3], [4, 5, 6]])
        self.check([[1, 2, 3], [4, 5, 6]])
        self.assertEqual(len(self.marks()), 6)
        for worker in some:
            self.assertEqual(worker.stop(), 0, worker.process.tail())
        self.clean()


if __name__ == "__main__":
    unittest.main()
