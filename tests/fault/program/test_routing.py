#!/usr/bin/env python3
"""Folders that events name: each event is where its record says, once and in order per key, over kills
and rolls that have room for fewer files than the records ask for; what names no folder is a letter."""

import json
import unittest
from collections import Counter
from urllib.parse import unquote

import world

SCHEMAS = [{"name": "order", "when": {"kind": "order"}}]


class Routing(world.World):
    def routed(self, emulator, path, files, **sink):
        return self.worker(
            emulator, "orders", stream={"schemas": SCHEMAS},
            sinks={"files": {"type": "directory", "path": f"{self.folder}/out/orders/{path}",
                             "format": "debezium", "compression": "none",
                             "roll": {"age": "1s", "files": files}, **sink}})

    def folders(self):
        """The events of each folder."""
        found = {}
        for path in world.files_in_order(self.folder / "out"):
            name = str(path.parent.relative_to(self.folder / "out/orders"))
            found.setdefault(name, []).extend(map(world.Event, path.read_text().splitlines()))
        return found

    def test_more_folders_than_a_roll_has_files_over_kills(self):
        emulator = self.emulator("orders:shards=2:records=240:keys=8:bytes=300")
        worker = self.routed(emulator, "key=${attribute:pk}/", 5)
        for _ in range(2):
            before = len(self.delivered())
            worker.start()
            worker.wait_for(lambda: len(self.delivered()) > before + 20, "more is there", 60)
            worker.kill9()
        self.drain(worker)
        self.assertIn("roll.files", self.log(worker))
        folders = self.folders()
        keys = emulator.truth("orders")["keys"]
        self.check_keys([e for events in folders.values() for e in events], keys)
        self.assertEqual(len({json.loads(key)["pk"] for key in keys}), len(folders))
        for name, events in folders.items():
            self.assertEqual({f"key={json.loads(e.key)['pk']}" for e in events}, {unquote(name)})
        everything = Counter((e.shard, e.sequence) for events in folders.values() for e in events)
        self.assertEqual(set(everything.values()), {1})
        self.assertEqual(self.letters(), [])

    def put(self, emulator, n, **attributes):
        item = {"pk": {"S": "by-hand"}, "sk": {"N": str(n)}, "n": {"N": str(n)}, **attributes}
        return emulator.control("put", table="orders", item=item)["sequence"].lstrip("0")

    def test_what_stands_in_a_folder(self):
        emulator = self.emulator("orders:shards=1:records=1:keys=2:bytes=300")
        path = "${schema}/kind=${attribute:kind}/${op}-${event:yyyy}/"
        self.put(emulator, 1, kind={"S": "order"})
        self.put(emulator, 1, kind={"S": "a/../b=c"})
        self.put(emulator, 2, kind={"SS": ["order"]})
        long = self.put(emulator, 3, kind={"S": "x" * 300})
        self.drain(self.routed(emulator, path, 10))
        year = self.delivered()[0].value["source"]["ts_ms"] // (1461 * 21600000) + 1970
        by_hand = {name: [e.n for e in events if '"by-hand"' in e.key]
                   for name, events in self.folders().items()}
        self.assertEqual({name: n for name, n in by_hand.items() if n}, {
            f"order/kind=order/c-{year}": [1], f"_missing/kind=a%2F..%2Fb%3Dc/u-{year}": [1],
            f"_missing/kind=_missing/c-{year}": [2]})
        self.assertEqual([(x["reason"], x["sequence"]) for x in self.letters()],
                         [("refused", long)])
        self.assertIn("gives a path that is too long", self.letters()[0]["error"])

    def test_what_is_missing_may_be_a_letter(self):
        emulator = self.emulator("orders:shards=1:records=1:keys=2:bytes=300")
        self.put(emulator, 1, kind={"S": "order"})
        wrong = self.put(emulator, 2, kind={"S": "other"})
        self.drain(self.routed(emulator, "${schema}/", 10, missing="dead_letter"))
        self.assertEqual(list(self.folders()), ["order"])
        (letter,) = (x for x in self.letters() if x["sequence"] == wrong)
        self.assertEqual((letter["reason"], letter["sink"]), ("route", "files"))
        self.assertIn("it has no schema", letter["error"])


if __name__ == "__main__":
    unittest.main()
