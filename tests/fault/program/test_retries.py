#!/usr/bin/env python3
"""Dead letters that are tried once more: by today's configuration, each where it failed, and gone
once it is there; what fails again says so; nothing is lost or comes twice where the command dies."""

import json
import os
import sqlite3
import subprocess
import unittest

import world
from sluice import BINARY
from test_records import with_value

TEXT = {"pk": {"S": "a"}, "amount": {"S": "twelve"}}


class Retries(world.World):
    def shop(self, bad=3, good=5, **more):
        """A table with amounts that are text, which one of two sinks cannot do with."""
        emulator = self.emulator(f"orders:records={good}:keys=4:bytes=400")
        for n in range(bad):
            emulator.control("put", table="orders", item={**TEXT, "sk": {"N": f"{n}"}})
        settings = {"sinks": {"strict": {
            "type": "directory", "path": f"{self.folder}/strict/", "format": "debezium",
            "compression": "none"}}, "dead_letter": {"max_ratio": 1}, **more}
        stream = {"sinks": ["files", {"name": "strict",
                                      "transform": [{"cast": {"amount": "number"}}]}]}
        worker = self.worker(emulator, "orders", stream=stream, **settings)
        self.drain(worker)
        return emulator, worker

    def mend(self, worker):
        worker.config["streams"][0]["sinks"][1].pop("transform")

    def letters(self, worker):
        """Those that the command lists, whole."""
        ids = [line.split()[0] for line in worker.run("deadletter", "list").stdout.splitlines()]
        return {int(id): json.loads(worker.run("deadletter", "show", id).stdout) for id in ids}

    def retry(self, worker, *arguments, code=0):
        done = worker.run("deadletter", "retry", *arguments, "--yes", check=False,
                          deadline=world.DEADLINE)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done

    def strict(self):
        return list(world.events(self.folder / "strict"))

    def bytes_kept(self):
        with sqlite3.connect(f"file:{self.folder}/state.db?mode=ro", uri=True) as db:
            return db.execute("SELECT bytes, (SELECT ifnull(sum(length(json)), 0) FROM letter) "
                              "FROM letter_total").fetchone()

    def test_they_are_delivered_and_gone(self):
        _, worker = self.shop()
        letters = self.letters(worker)
        self.assertEqual({letter["sink"] for letter in letters.values()}, {"strict"})
        before = len(self.delivered()), len(self.strict())
        self.mend(worker)
        done = self.retry(worker, "--all")
        self.assertIn("3  orders  strict  transform", done.stdout)
        self.assertIn("keep the highest _order", done.stdout)
        self.assertIn("orders, strict: 3 delivered, 0 failed again", done.stdout)
        self.assertEqual(self.letters(worker), {})
        self.assertEqual(self.bytes_kept(), (0, 0))
        got = self.strict()[before[1]:]
        self.assertEqual([str(event.sequence) for event in got],
                         [letter["sequence"] for letter in letters.values()])
        self.assertEqual({event.shard for event in got},
                         {letter["shard"] for letter in letters.values()})
        self.assertEqual(len(self.delivered()), before[0], "the other sink had them")
        (name,) = [path.name for path in world.files_in_order(self.folder / "strict")
                   if "-again-" in path.name]
        self.assertRegex(name, r"^\d{8}T\d{6}Z-orders-again-[0-9a-f-]{36}-\d+\.ndjson$")
        (audit,) = json.loads(worker.run("status", "--json").stdout)["streams"][0]["retries"]
        self.assertEqual((audit["letters"], audit["said"]), (3, "deadletter retry --all"))
        self.assertIn("retry of 3 dead letters", worker.run("status").stdout)
        self.drain(worker)
        self.assertEqual(len(self.strict()), before[1] + 3)
        self.retry(worker, "--all", code=1)

    def test_many(self):
        """More than the store is offered at once; every second one fails again, and is not tried
        twice for that."""
        _, worker = self.shop(bad=1300)
        before = len(self.strict())
        worker.config["streams"][0]["sinks"][1]["transform"] = [{"lua": f"{self.folder}/half.lua"}]
        (self.folder / "half.lua").write_text(
            "local n = 0\nfunction transform(event)\n  n = n + 1\n"
            "  if n % 2 == 0 then error('half') end\n  return event\nend\n")
        done = self.retry(worker, "--all", code=1)
        self.assertIn("orders, strict: 650 delivered, 650 failed again", done.stdout)
        self.assertEqual(len(self.strict()), before + 650)
        self.mend(worker)
        done = self.retry(worker, "--all")
        self.assertIn("orders, strict: 650 delivered, 0 failed again", done.stdout)
        got = [event.key for event in self.strict()[before:]]
        self.assertEqual((len(got), len(set(got))), (1300, 1300))

    def test_what_fails_again_says_so(self):
        _, worker = self.shop(bad=2)
        before = self.letters(worker)
        done = self.retry(worker, "--all", code=1)
        self.assertIn("orders, strict: 0 delivered, 2 failed again", done.stdout)
        after = self.letters(worker)
        self.assertEqual(list(after), list(before))
        for id, letter in after.items():
            self.assertEqual(letter["attempts"], before[id]["attempts"] + 1)
            self.assertEqual(letter["reason"], "transform")
            self.assertEqual(letter["record"], before[id]["record"])
        kept, lengths = self.bytes_kept()
        self.assertEqual(kept, lengths)
        worker.config["streams"][0]["sinks"][1].pop("transform")
        worker.config["streams"][0]["schemas"] = [
            {"name": "order", "mode": "strict", "columns": [{"path": "amount", "type": "number"}]}]
        self.retry(worker, "--sink", "strict", code=1)
        letters = self.letters(worker)
        self.assertEqual({letter["reason"] for letter in letters.values()}, {"schema"})
        self.assertEqual({letter["attempts"] for letter in letters.values()},
                         {letter["attempts"] + 2 for letter in before.values()})

    def test_a_choice(self):
        _, worker = self.shop(bad=3)
        self.mend(worker)
        first, second, third = self.letters(worker)
        self.retry(worker, str(second))
        self.assertEqual(list(self.letters(worker)), [first, third])
        self.assertEqual(json.loads(worker.run("status", "--json").stdout)["dead_letters"], 2)
        for nothing in (["--stream", "other"], ["--sink", "files"], ["--reason", "schema"],
                        [str(second)], ["4711"]):
            self.retry(worker, *nothing, code=1)
        for wrong in ([], ["x"], ["0"], ["--all", str(first)], ["--all", "--sink", "strict"]):
            self.assertEqual(worker.run("deadletter", "retry", *wrong, "--yes",
                                        check=False).returncode, 2, wrong)
        self.assertEqual(worker.run("deadletter", "list", "--all", check=False).returncode, 2)
        refused = worker.run("deadletter", "retry", "--all", check=False)
        self.assertEqual(refused.returncode, 2)
        self.assertIn("needs --yes", refused.stderr)
        self.assertEqual(list(self.letters(worker)), [first, third])
        self.retry(worker, "--stream", "orders", "--sink", "strict", "--reason", "transform")
        self.assertEqual(self.letters(worker), {})

    def test_a_number_that_no_letter_has(self):
        _, worker = self.shop(bad=1)
        self.mend(worker)
        (letter,) = self.letters(worker)
        done = self.retry(worker, str(letter), "4711", code=1)
        self.assertIn("letter 4711: there is none", done.stdout)
        self.assertIn("1 delivered", done.stdout)
        self.assertEqual(self.letters(worker), {})

    def test_what_a_filter_keeps_out_now(self):
        _, worker = self.shop(bad=2)
        before = len(self.strict())
        worker.config["streams"][0]["sinks"][1]["filter"] = [{"eventName": ["REMOVE"]}]
        done = self.retry(worker, "--all")
        self.assertIn("0 delivered, 0 failed again, 2 that are not for it any more", done.stdout)
        self.assertEqual(self.letters(worker), {})
        self.assertEqual(len(self.strict()), before)

    def test_one_for_every_sink(self):
        """A record that could not be read stays so; one that a person skipped goes to each sink."""
        emulator, worker = self.shop(bad=0)
        emulator.control("append", table="orders", text=with_value('{"N":"12x"}'))
        self.drain(worker)
        (letter,) = self.letters(worker).values()
        self.assertIsNone(letter["sink"])
        self.retry(worker, "--all", code=1)
        letters = self.letters(worker).values()
        self.assertEqual({letter["sink"] for letter in letters}, {"files", "strict"})
        self.assertEqual({letter["reason"] for letter in letters}, {"undecodable"})
        kept, lengths = self.bytes_kept()
        self.assertEqual(kept, lengths)
        before = len(self.delivered()), len(self.strict())
        with sqlite3.connect(f"{self.folder}/state.db") as db:
            db.execute("UPDATE letter SET json = replace(json, '12x', '12')")
            db.execute("UPDATE letter_total SET bytes = (SELECT sum(length(json)) FROM letter)")
        self.retry(worker, "--sink", "files")
        self.assertEqual((len(self.delivered()), len(self.strict())), (before[0] + 1, before[1]))
        (letter,) = self.letters(worker).values()
        self.assertEqual(letter["sink"], "strict")

    def test_one_for_every_sink_that_has_no_room_as_several(self):
        """It stays one; the others are tried."""
        emulator, worker = self.shop(bad=1)
        emulator.control("append", table="orders", text=with_value('{"N":"12x"}'))
        self.drain(worker)
        with sqlite3.connect(f"{self.folder}/state.db") as db:
            db.execute("UPDATE letter SET json = replace(json, '12x', '12' || "
                       "hex(zeroblob(300000))) WHERE sink = ''")
            db.execute("UPDATE letter_total SET bytes = (SELECT sum(length(json)) FROM letter)")
        self.mend(worker)
        worker.config["dead_letter"]["max_bytes"] = "1MiB"
        done = self.retry(worker, "--all", code=1)
        self.assertIn("not tried: it would become a letter for each sink", done.stdout)
        self.assertIn("raise dead_letter.max_bytes", done.stdout)
        self.assertIn("orders, strict: 1 delivered, 0 failed again", done.stdout)
        (letter,) = self.letters(worker).values()
        self.assertIsNone(letter["sink"])
        kept, lengths = self.bytes_kept()
        self.assertEqual(kept, lengths)

    def test_a_record_that_may_be_read_again(self):
        """Its worker dies between the letter and the record's place: it comes once, by its shard."""
        emulator, worker = self.shop(bad=0)
        before = len(self.strict())
        for name in ("files", "strict"):
            worker.config["sinks"][name]["roll"] = {"age": "1h"}
        usual = dict(worker.config["checkpoint"])
        worker.config["checkpoint"].update(interval="4m", lease="5m")
        emulator.control("put", table="orders", item={**TEXT, "sk": {"N": "1"}})
        worker.start()
        worker.wait_metric("sluice_dead_letters_total", 1, world.DEADLINE, sink="strict")
        worker.process.kill()
        worker.config["checkpoint"] = usual
        self.mend(worker)
        done = self.retry(worker, "--all", code=1)
        self.assertIn("orders, strict: 0 delivered, 0 failed again, 1 not tried yet", done.stdout)
        self.drain(worker)
        self.assertEqual(len(self.strict()), before + 1)

    def test_where_nothing_can_be_tried(self):
        _, worker = self.shop(bad=1)
        worker.config["streams"][0]["sinks"].pop()
        done = self.retry(worker, "--all", code=1)
        self.assertIn("not tried, the configuration's stream has no such sink", done.stdout)
        worker.config["streams"][0]["name"] = "another"
        done = self.retry(worker, "--all", code=1)
        self.assertIn("not tried, the configuration has no such stream", done.stdout)
        self.assertEqual(len(self.letters(worker)), 1)

    def test_the_entry_that_the_workers_go_by(self):
        """A pattern that stands before it fits the table, too."""
        _, worker = self.shop(bad=2)
        self.mend(worker)
        worker.config["streams"].insert(0, {"table": "ord*", "sinks": ["files"]})
        self.retry(worker, "--all")
        self.assertEqual(self.letters(worker), {})

    def test_a_sink_that_is_away(self):
        _, worker = self.shop(bad=1)
        self.mend(worker)
        good = worker.config["sinks"]["strict"]["path"]
        wall = self.folder / "wall"
        wall.write_text("in the way")
        worker.config["sinks"]["strict"]["path"] = f"{wall}/"
        done = self.retry(worker, "--all", code=1)
        self.assertIn("orders, strict", done.stderr)
        (letter,) = self.letters(worker).values()
        self.assertEqual(letter["reason"], "transform")
        worker.config["sinks"]["strict"]["path"] = good
        self.retry(worker, "--all")
        self.assertEqual(self.letters(worker), {})

    def test_one_that_died_before_it_could_note_it(self):
        """The file is there, and the store does not know it: the same file is written again."""
        _, worker = self.shop(bad=3)
        before = len(self.strict())
        self.mend(worker)
        with sqlite3.connect(f"{self.folder}/state.db") as db:
            rows = db.execute("SELECT * FROM letter").fetchall()
        self.retry(worker, "--all")
        with sqlite3.connect(f"{self.folder}/state.db") as db:
            (number,) = db.execute("SELECT number FROM letter_chain").fetchone()
            names = [row[1] for row in db.execute("PRAGMA table_info(letter)")]
            db.executemany(f"INSERT INTO letter VALUES ({', '.join('?' * len(names))})", rows)
            db.execute("UPDATE letter SET retry = ?, retry_sink = (SELECT sink FROM letter_chain)",
                       (number,))
        # Whatever is chosen: what was left comes first.
        self.retry(worker, str(rows[0][0]))
        self.assertEqual(self.letters(worker), {})
        self.assertEqual(len(self.strict()), before + 3)

    def test_a_kill(self):
        """However often the command is killed: every record is there, and in files once."""
        _, worker = self.shop(bad=120)
        before = len(self.strict())
        self.mend(worker)
        worker.write_config()
        for wait in (0.02, 0.05, 0.08, 0.12):
            command = subprocess.Popen(
                [BINARY, "deadletter", "retry", "--all", "--yes", "-c", worker.file],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                env={**os.environ, **{name: value for name, value in worker.environment.items()
                                      if value is not None}})
            try:
                command.wait(wait)
            except subprocess.TimeoutExpired:
                command.kill()
                command.wait()
        left = self.letters(worker)
        if left:
            self.retry(worker, "--all")
        self.assertEqual(self.letters(worker), {})
        got = [event.sequence for event in self.strict()[before:]]
        self.assertEqual(len(got), 120)
        self.assertEqual(len(set(got)), 120)

    def test_rows_of_an_export(self):
        _, worker = self.shop(bad=1)
        with sqlite3.connect(f"{self.folder}/state.db") as db:
            db.execute("UPDATE letter SET json = replace(json, '\"eventSourceARN\"', "
                       "'\"sluice\":{\"op\":\"r\"},\"eventSourceARN\"')")
        done = self.retry(worker, "--all", code=1)
        self.assertIn("rows of an export: load it again", done.stdout)


if __name__ == "__main__":
    unittest.main()
