#!/usr/bin/env python3
"""A record that blocks its shard, sent to the dead letters by a person: that one and no other."""

import json
import unittest

import workers
import world
from test_records import BAD, with_value

BROKEN = '{"eventID": "1", "dynamodb": {"SequenceNumber": "@SEQUENCE@", "Keys": {'
SKIPPED = "skipped by "


def append(emulator, text, **members):
    """Shard and sequence number, as the program writes it."""
    done = emulator.control("append", table="orders", text=text, **members)
    return done["shard"], done["sequence"].lstrip("0")


def skip(worker, shard, sequence, *more, check=True, stream="orders"):
    return worker.run("skip", "--stream", stream, "--shard", shard, "--sequence", sequence, *more,
                      check=check)


class Skip(world.World):
    def check_letter(self, sequence, error):
        (letter,) = self.letters()
        self.assertEqual((letter["reason"], letter["sequence"], letter["sink"]),
                         ("skipped", sequence, None))
        self.assertTrue(letter["error"].startswith(SKIPPED), letter["error"])
        self.assertIn(error, letter["error"])
        return letter

    def test_one_that_cannot_be_decoded(self):
        emulator = self.emulator("orders:records=20:keys=4:bytes=400")
        shard, sequence = append(emulator, BAD["a number that is none"])
        append(emulator, with_value('{"S":"behind"}'))
        worker = self.worker(emulator, "orders", stream={"on_error": "stop"})
        self.drain(worker, code=1)
        self.assertEqual(len(self.delivered()), 20)
        done = skip(worker, shard, sequence, "--yes")
        self.assertIn(f"Skip record {sequence} of orders, {shard}", done.stdout)
        self.assertIn("not have it yet, 1 of 1.", done.stdout)
        for _ in range(2):
            self.drain(worker)
            self.assertEqual(len(self.delivered()), 21)
            letter = self.check_letter(sequence, "expected")
            self.assertEqual(letter["record"]["dynamodb"]["NewImage"]["mark"], {"N": "12x"})
        again = skip(worker, shard, sequence, "--yes", check=False)
        self.assertEqual(again.returncode, 1)
        self.assertIn("past record", again.stderr)

    def test_one_that_is_good_but_for_a_sink(self):
        """Only the sinks that do not have it yet miss it; what others refuse still stands."""
        emulator = self.emulator("orders:records=5:keys=4:bytes=400")
        put = [emulator.control("put", table="orders", item={
            "pk": {"S": f"p{n}"}, "sk": {"N": "1"}, "amount": {"S": amount}})
            for n, amount in enumerate(("1", "one", "2", "two", "3"))]
        stream = {"on_error": "stop", "transform": [{"cast": {"amount": "number"}}]}
        worker = self.worker(emulator, "orders", stream=stream)
        self.drain(worker, code=1)
        skip(worker, put[1]["shard"], put[1]["sequence"], "--yes")
        self.drain(worker, code=1)
        self.assertEqual(len(self.delivered()), 7)
        self.check_letter(put[1]["sequence"].lstrip("0"), SKIPPED)
        skip(worker, put[3]["shard"], put[3]["sequence"].lstrip("0"), "--yes")
        self.drain(worker)
        self.assertEqual(len(self.delivered()), 8)
        self.assertEqual(len(self.letters()), 2)

    def test_one_that_breaks_its_page(self):
        emulator = self.emulator("orders:records=20:keys=4:bytes=400")
        shard, sequence = append(emulator, BROKEN)
        append(emulator, with_value('{"S":"behind"}'))
        worker = self.worker(emulator, "orders", dead_letter={"max_ratio": 0}).start()
        worker.wait_for(lambda: "its records cannot be told apart" in worker.get("/readyz")[1],
                        "the shard is stuck", world.DEADLINE)
        worker.wait_for(lambda: len(self.delivered()) == 20, "what is before it", world.DEADLINE)
        self.assertEqual(worker.stop(60), 0)
        worker.start()
        worker.wait_for(lambda: f"the page of record {sequence} cannot be used"
                        in worker.get("/readyz")[1], "its number is told", world.DEADLINE)
        self.assertEqual(worker.stop(60), 0)
        # A number that is not the record's skips nothing.
        skip(worker, shard, str(int(sequence) + 1), "--yes")
        worker.start()
        worker.wait_for(lambda: "its records cannot be told apart" in worker.get("/readyz")[1],
                        "the shard is stuck", world.DEADLINE)
        self.assertEqual(worker.stop(60), 0)
        self.assertEqual(self.letters(), [])
        skip(worker, shard, sequence, "--yes")
        worker.start()
        worker.wait_for(lambda: len(self.delivered()) == 21, "what is behind it", world.DEADLINE)
        self.assertEqual(worker.stop(60), 0)
        self.check_letter(sequence, SKIPPED)

    def test_with_drop_it_is_no_drop(self):
        emulator = self.emulator("orders:records=5:keys=4:bytes=400")
        worker = self.worker(emulator, "orders", stream={"on_error": "drop"})
        self.drain(worker)
        shard, sequence = append(emulator, BAD["no keys"])
        skip(worker, shard, sequence, "--yes")
        worker.start()
        worker.wait_metric("sluice_dead_letters_total", 1, world.DEADLINE, reason="skipped")
        self.assertEqual(worker.metric("sluice_dropped_total", reason="undecodable"), 0)
        self.assertEqual(worker.stop(), 0)

    def test_what_is_not_there(self):
        emulator = self.emulator("orders:records=5:keys=4:bytes=400")
        worker = self.worker(emulator, "orders")
        self.drain(worker)
        shard = next(iter(world.shards_of(emulator)))
        for code, words, stream, arguments in (
                (1, "the store has no stream others", "others", (shard, "1", "--yes")),
                (1, "orders has no shard shardId-1", "orders", ("shardId-1", "1", "--yes")),
                (1, "every sink of orders is past record 1", "orders", (shard, "1", "--yes")),
                (2, "up to 40 digits", "orders", (shard, "1x", "--yes")),
                (2, "without a terminal it needs --yes", "orders", (shard, "9" * 30))):
            with self.subTest(words=words):
                done = skip(worker, *arguments, check=False, stream=stream)
                self.assertEqual(done.returncode, code, done.stderr)
                self.assertIn(words, done.stderr)
        self.drain(worker)
        self.assertEqual(self.letters(), [])


class SkipBesideWorkers(workers.Workers):
    def test_running_workers_come_to_it(self):
        emulator = self.emulator("orders:shards=4:records=40:keys=8:bytes=400")
        first = next(iter(world.shards_of(emulator)))
        shard, sequence = append(emulator, BAD["no keys"], shard=first)
        append(emulator, with_value('{"S":"behind"}'), shard=first)
        two = [self.one(emulator, stream={"on_error": "stop"}).start() for _ in range(2)]
        two[0].wait_for(lambda: len(self.delivered()) == 160, "all before it", world.DEADLINE)
        two[0].wait_for(lambda: sum(worker.metric("sluice_shards", state="stopped")
                                    for worker in two) == 1, "its shard stands", world.DEADLINE)
        done = skip(two[1], shard, sequence, "--yes")
        self.assertIn("running workers come to it within seconds", done.stdout)
        two[0].wait_for(lambda: len(self.delivered()) == 161, "what is behind it", world.DEADLINE)
        text = self.sql("SELECT json FROM sluice.letter", self.database)
        self.assertEqual(json.loads(" ".join(text))["reason"], "skipped")
        said = " ".join(self.sql("SELECT what, said FROM sluice.audit ORDER BY id", self.database))
        self.assertIn(f"hold|skip {sequence} of {shard}", said)
        self.assertIn("go on|", said)
        for worker in two:
            self.assertEqual(worker.stop(60), 0)


if __name__ == "__main__":
    unittest.main()
