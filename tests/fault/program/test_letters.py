#!/usr/bin/env python3
"""Dead letters that go into a sink: each once, whoever dies in between; what the sink does not take
stays in the store, and nothing is held up by it."""

import json
import sqlite3
import unittest

import world
from test_records import with_value

POISON = with_value('{"N":"12x"}')


class Letters(world.World):
    def poisoned(self, bad, good=10, **more):
        """A table of good records with bad ones behind them, and a worker."""
        emulator = self.emulator(f"orders:records={good}:keys=4:bytes=400")
        for _ in range(bad):
            emulator.control("append", table="orders", text=POISON)
        return emulator, self.worker(emulator, "orders", **{**self.lettered(), **more})

    def lettered(self):
        return {"dead_letter": {"sink": "bad"},
                "sinks": {"bad": {"type": "directory", "path": f"{self.folder}/bad/${{stream}}/"}}}

    def found(self):
        """The letters that are in the sink, by file."""
        return [[json.loads(line) for line in path.read_text().splitlines()]
                for path in world.files_in_order(self.folder / "bad/orders")]

    def check_found(self, count):
        letters = [letter for file in self.found() for letter in file]
        self.assertEqual(len(letters), count)
        self.assertEqual(len({letter["sequence"] for letter in letters}), count, "one came twice")
        for letter in letters:
            self.assertEqual(list(letter), ["reason", "error", "stream", "shard", "sequence", "time",
                                            "attempts", "sink", "record"])
            self.assertEqual(letter["reason"], "undecodable")
            self.assertEqual(letter["record"]["dynamodb"]["NewImage"]["mark"], {"N": "12x"})

    def left(self):
        """Those that are still in the store."""
        with sqlite3.connect(f"file:{self.folder}/state.db?mode=ro", uri=True) as db:
            return db.execute("SELECT id FROM letter WHERE json <> '' ORDER BY id").fetchall()

    def test_they_are_in_the_sink_before_it_ends(self):
        _, worker = self.poisoned(3)
        self.drain(worker)
        self.check_found(3)
        self.assertEqual(self.left(), [])
        self.assertEqual(len(self.delivered()), 10)
        self.assertEqual(worker.run("deadletter", "list").stdout, "")
        self.assertEqual(json.loads(worker.run("status", "--json").stdout)["dead_letters"], 0)
        names = [path.name for path in world.files_in_order(self.folder / "bad/orders")]
        self.assertRegex(names[0], r"^\d{8}T\d{6}Z-orders-letters-[0-9a-f-]{36}-\d+\.ndjson$")
        self.drain(worker)
        self.check_found(3)
        self.clean()

    def test_a_sink_that_is_away_holds_nothing_up(self):
        emulator, worker = self.poisoned(2)
        wall = self.folder / "bad"
        wall.write_text("in the way")
        worker.start()
        worker.wait_metric("sluice_dead_letters_sent_total", 1, world.DEADLINE, sink="bad",
                           result="failed")
        self.assertIn("dead letters do not get into their sink", self.log(worker))
        worker.wait_for(lambda: len(self.delivered()) == 10, "records go on", world.DEADLINE)
        self.assertIn("dead letters bad", worker.get("/readyz")[1])
        self.assertEqual(len(self.left()), 2)
        wall.unlink()
        worker.wait_for(lambda: self.left() == [], "they are sent", world.DEADLINE)
        self.check_found(2)
        worker.wait_for(lambda: "dead letters bad" not in worker.get("/readyz")[1],
                        "all is well", world.DEADLINE)
        self.assertEqual(worker.stop(), 0)

    def test_a_worker_that_dies_before_it_could_note_it(self):
        """The file is there, and the store does not know it: the same file is written again."""
        _, worker = self.poisoned(3)
        self.drain(worker)
        (name,) = [path.name for path in world.files_in_order(self.folder / "bad/orders")]
        letters = [letter for file in self.found() for letter in file]
        with sqlite3.connect(f"{self.folder}/state.db") as db:
            for letter in letters:
                db.execute("UPDATE letter SET json = ?, sent_ms = 0 WHERE sequence = ?",
                           (json.dumps(letter), letter["sequence"]))
            db.execute("UPDATE letter_total SET bytes = 1000000")
        self.drain(worker)
        self.check_found(3)
        self.assertEqual([path.name for path in world.files_in_order(self.folder / "bad/orders")],
                         [name])

    def test_many_and_a_kill(self):
        emulator, worker = self.poisoned(0, dead_letter={"sink": "bad", "max_ratio": 1})
        for _ in range(150):
            emulator.control("append", table="orders", text=POISON)
        worker.start()
        worker.wait_for(self.found, "some are sent", world.DEADLINE)
        worker.process.kill()
        self.drain(worker)
        self.check_found(150)
        self.assertEqual(self.left(), [])

    def test_letters_of_many_streams(self):
        """Each stream's go in batches of their own."""
        names = [f"orders{n}" for n in range(12)]
        emulator = self.emulator(*(f"{name}:records=1" for name in names))
        for name in names:
            emulator.control("append", table=name, text=POISON)
        self.drain(self.worker(emulator, *names, **self.lettered()))
        self.assertEqual(self.left(), [])
        self.assertEqual(sorted(path.parent.name for path in world.files_in_order(self.folder / "bad")),
                         sorted(names))

    def test_those_that_were_there_before_go_too(self):
        emulator, worker = self.poisoned(2)
        sink = worker.config.pop("dead_letter")
        self.drain(worker)
        self.assertEqual(len(self.left()), 2)
        self.assertEqual(self.found(), [])
        worker.config["dead_letter"] = sink
        self.drain(worker)
        self.check_found(2)

    def test_too_many_stop_the_stream(self):
        """A wrong schema, say: most of the table stays where it is, and goes on once that is mended."""
        emulator, worker = self.poisoned(150, good=100, dead_letter={"sink": "bad", "max_ratio": 0.1})
        emulator.control("put", table="orders", item={"pk": {"S": "last"}, "sk": {"N": "1"}})
        self.drain(worker, code=1)
        self.assertIn("stream stands still: too many of its records go to the dead letters",
                      self.log(worker))
        some = sum(len(file) for file in self.found())
        self.assertLess(some, 110)
        self.assertEqual(self.left(), [])
        worker.start()
        worker.wait_metric("sluice_dead_letters_over", 1, world.DEADLINE, stream="orders")
        self.assertIn("dead_letter.max_ratio", worker.get("/readyz")[1])
        worker.wait_metric("sluice_shards", 1, world.DEADLINE, stream="orders", state="stopped")
        self.assertEqual(worker.stop(), 0)
        worker.config["dead_letter"]["max_ratio"] = 1
        self.drain(worker)
        self.check_found(150)
        self.assertEqual(len(self.delivered()), 101)

    def test_too_many_that_a_transform_cannot_do_with(self):
        """Nothing is lost to any sink, and nothing comes twice."""
        emulator = self.emulator("orders:records=20:keys=4:bytes=400")
        for n in range(150):
            emulator.control("put", table="orders", item={
                "pk": {"S": "a"}, "sk": {"N": f"{n}"}, "amount": {"S": "twelve"}})
        settings = self.lettered()
        settings["dead_letter"]["max_ratio"] = 0.2
        settings["sinks"]["strict"] = {"type": "directory", "path": f"{self.folder}/strict/",
                                       "format": "debezium", "compression": "none"}
        stream = {"sinks": ["files", {"name": "strict",
                                      "transform": [{"cast": {"amount": "number"}}]}]}
        worker = self.worker(emulator, "orders", stream=stream, **settings)
        self.drain(worker, code=1)
        some = [letter for file in self.found() for letter in file]
        self.assertGreater(len(some), 0)
        self.assertLess(len(some), 110)
        self.assertEqual({letter["sink"] for letter in some}, {"strict"})
        worker.config["streams"][0]["sinks"][1].pop("transform")
        self.drain(worker)
        for folder, count in (("out/orders", 170), ("strict", 170)):
            numbers = [event.sequence for event in world.events(self.folder / folder)]
            self.assertEqual(len(set(numbers)), len(numbers))
            self.assertEqual(numbers, sorted(numbers))
            self.assertEqual(len(numbers), count)


if __name__ == "__main__":
    unittest.main()
