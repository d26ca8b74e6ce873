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
                                            "attempts", "sink", "generation", "record"])
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

    def test_they_come_back_to_be_tried(self):
        """Out of the files of their sink, in whatever JSON, beside lines that are none; and go
        nowhere else meanwhile."""
        emulator = self.emulator("orders:records=5:keys=4:bytes=400")
        for n in range(4):
            emulator.control("put", table="orders", item={
                "pk": {"S": "a"}, "sk": {"N": f"{n}"}, "amount": {"S": "twelve"}})
        settings = self.lettered()
        settings["dead_letter"]["max_ratio"] = 1
        stream = {"transform": [{"cast": {"amount": "number"}}]}
        worker = self.worker(emulator, "orders", stream=stream, **settings)
        self.drain(worker)
        letters = [letter for file in self.found() for letter in file]
        self.assertEqual([letter["generation"] for letter in letters], [1] * 4)
        lines = [line for path in world.files_in_order(self.folder / "bad/orders")
                 for line in path.read_text().splitlines()]
        lines[1] = json.dumps(letters[1], sort_keys=True, indent=None)
        lines[2] += "\r"
        lines[3] += " "
        row = json.loads(lines[0])
        row["record"]["sluice"] = {"op": "r"}
        other = {**letters[0], "stream": "users"}
        file = self.folder / "letters.ndjson"
        bad = ["", "{\0", "[]", '{"stream":"orders"}', json.dumps(row), json.dumps(other),
               json.dumps({**letters[0], "sequence": "x"})]
        file.write_text("\n".join(lines + bad + lines[:1]))

        def load(code):
            done = worker.run("deadletter", "load", str(file), "--yes", check=False)
            self.assertEqual(done.returncode, code, done.stdout + done.stderr)
            return done.stdout

        said = load(1)
        self.assertEqual([int(line.split()[1].rstrip(":")) for line in said.splitlines()
                          if line.startswith("line ")], [6, 7, 8, 9, 11])
        self.assertIn("not loaded, the store has no such stream", said)
        self.assertIn("4 loaded, 1 were letters already", said)
        file.write_text("\n".join(lines) + "\n")
        self.assertIn("0 loaded, 4 were letters already", load(0))
        self.drain(worker)
        self.assertEqual(len(self.left()), 4, "they went back")
        self.assertEqual(len([letter for file in self.found() for letter in file]), 4)
        ids = [line.split()[0] for line in worker.run("deadletter", "list").stdout.splitlines()]
        shown = [json.loads(worker.run("deadletter", "show", id).stdout) for id in ids]
        self.assertEqual(shown, letters)
        before = len(self.delivered())
        worker.config["streams"][0].pop("transform")
        done = worker.run("deadletter", "retry", "--all", "--yes", deadline=world.DEADLINE)
        self.assertIn("orders, files: 4 delivered, 0 failed again", done.stdout)
        self.assertEqual(len(self.delivered()), before + 4)
        self.assertEqual(self.left(), [])

    def test_more_than_half_of_the_room_is_not_loaded(self):
        _, worker = self.poisoned(1)
        self.drain(worker)
        worker.config["dead_letter"]["max_bytes"] = "1MiB"
        file = self.folder / "letters.ndjson"
        file.write_text("x" * 600000)
        done = worker.run("deadletter", "load", str(file), "--yes", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("more than 524288 bytes, half of dead_letter.max_bytes", done.stderr)
        (letter,) = [letter for file in self.found() for letter in file]
        other = {**letter, "sequence": "12345", "error": "y" * 300000}
        file.write_text(json.dumps(letter) + "\n" + json.dumps(other) + "\n")
        worker.run("deadletter", "load", str(file), "--yes")
        other["sequence"] = "12346"
        file.write_text(json.dumps(letter) + "\n" + json.dumps(other) + "\n")
        done = worker.run("deadletter", "load", str(file), "--yes", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("0 loaded, 1 were letters already", done.stdout)
        self.assertIn("line 2: ", done.stderr)

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
