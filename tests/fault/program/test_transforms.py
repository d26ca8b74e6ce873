#!/usr/bin/env python3
"""Transforms of a stream and of its sinks: each sink gets the items as it asked for them, once and
in order, over kills; what a transform cannot do with is a letter of the sinks it is for, whole and
as it came, and holds nobody else up."""

import hashlib
import hmac
import json
import unittest

import world

SECRET = "a secret that nobody sees"
# Of the stream: for all sinks.
COMMON = [{"hash": {"paths": ["mail"], "key": "${T_SECRET}"}}, {"drop": ["fill"]}]


def item(n, **attributes):
    return {"pk": {"S": "by-hand"}, "sk": {"N": str(n)}, "n": {"N": str(n)},
            "mail": {"S": f"{n}@example.org"}, **attributes}


class Transforms(world.World):
    def two_sinks(self, emulator, **stream):
        """One sink with numbers, one with texts in the plain form."""
        sinks = ["files", {"name": "texts", "transform": [
            {"cast": {"n": "string"}}, {"rename": {"pk": "id"}}, {"set": {"from": "${table} ${op}"}}]},
            {"name": "strict", "transform": [{"cast": {"amount": "number"}}]}]
        folder = {"type": "directory", "compression": "none", "roll": {"age": "1s"}}
        return self.worker(
            emulator, "orders", environment={"T_SECRET": SECRET},
            stream={"sinks": sinks, "transform": COMMON, **stream},
            sinks={"texts": {**folder, "path": f"{self.folder}/out-texts/", "format": "plain"},
                   "strict": {**folder, "path": f"{self.folder}/out-strict/", "format": "debezium"}})

    def put(self, emulator, n, **attributes):
        return emulator.control("put", table="orders", item=item(n, **attributes))["sequence"]

    def lines(self, folder):
        return [json.loads(line) for path in world.files_in_order(self.folder / folder)
                for line in path.read_text().splitlines()]

    def check_texts(self, everything):
        texts = self.lines("out-texts")
        got = [(t["_seq"], t["id"], t["sk"], t.get("n")) for t in texts]
        wanted = []
        for e in everything:
            after, key = e.value["after"], json.loads(e.key)
            wanted.append((e.value["source"]["sequence"], key["pk"], key["sk"],
                           None if after is None else str(after["n"])))
        self.assertCountEqual(got, wanted)
        for t in texts:
            self.assertNotIn("pk", t)
            self.assertNotIn("fill", t)
            self.assertIn("id", t)
            self.assertEqual(t["from"], f"orders {t['_op']}")

    def test_two_sinks_with_transforms_of_their_own_over_kills(self):
        emulator = self.emulator("orders:shards=2:records=800:rate=500:keys=10:bytes=400")
        worker = self.two_sinks(emulator)
        for _ in range(2):
            worker.start()
            worker.wait_metric("sluice_delivered_total", 200, sink="texts", deadline=60)
            worker.kill9()
        self.wait_made(emulator)
        self.put(emulator, 7)
        self.drain(worker)
        everything = [e for e in self.delivered()]
        by_hand = [e for e in everything if '"by-hand"' in e.key]
        # The key is of the item as it came, the hash is anybody's HMAC-SHA-256.
        self.assertEqual([e.key for e in by_hand], ['{"pk":"by-hand","sk":7}'])
        digest = hmac.new(SECRET.encode(), b"7@example.org", hashlib.sha256).hexdigest()
        self.assertEqual(by_hand[0].value["after"],
                         {"pk": "by-hand", "sk": 7, "n": 7, "mail": digest})
        self.check_keys([e for e in everything if e not in by_hand],
                        emulator.truth("orders")["keys"])
        self.check_texts(everything)
        self.assertEqual(self.letters(), [])
        self.assertNotIn(SECRET, self.log(worker))

    def test_what_fails_is_a_letter_of_its_sink_alone(self):
        emulator = self.emulator("orders:shards=1:records=5:keys=2:bytes=400")
        self.put(emulator, 1, amount={"S": "12.50"})
        bad = self.put(emulator, 2, amount={"S": "twelve"})
        self.put(emulator, 3, amount={"S": "13"})
        worker = self.two_sinks(emulator)
        self.drain(worker)
        letters = self.letters()
        self.assertEqual([(x["reason"], x["sink"], x["sequence"]) for x in letters],
                         [("transform", "strict", bad.lstrip("0"))])
        self.assertEqual(letters[0]["error"], "NewImage: cast: amount: expected a number of at most "
                                              "38 digits as text")
        # As it came: with what transforms hide.
        self.assertEqual(letters[0]["record"]["dynamodb"]["NewImage"],
                         item(2, amount={"S": "twelve"}))
        amounts = [e.value["after"].get("amount") for e in self.delivered()
                   if '"by-hand"' in e.key]
        self.assertEqual(amounts, ["12.50", "twelve", "13"])
        strict = [e.value["after"]["amount"] for e in world.events(self.folder / "out-strict")
                  if '"by-hand"' in e.key]
        self.assertEqual(strict, [12.5, 13])
        self.drain(worker)
        self.assertEqual(len(self.letters()), 1)

    def test_drop_counts_and_stop_stands_still(self):
        for mode in ("drop", "stop"):
            with self.subTest(mode=mode):
                emulator = self.emulator("orders:shards=1:records=1:keys=2:bytes=400")
                self.put(emulator, 1, amount={"S": "twelve"})
                self.put(emulator, 2, amount={"S": "13"})
                worker = self.two_sinks(emulator, on_error=mode, name=mode)
                worker.start()
                if mode == "drop":
                    worker.wait_metric("sluice_delivered_total", 2, sink="strict", deadline=60)
                    self.assertEqual(worker.metric("sluice_dropped_total", reason="transform"), 1)
                else:
                    worker.wait_for(lambda: "cast: amount: expected" in worker.get("/readyz")[1],
                                    "the health says so", 60)
                self.assertEqual(worker.stop(), 0)
                self.assertEqual(self.letters(), [])
                self.assertEqual("shard stands still: a transform of a record failed"
                                 in self.log(worker), mode == "stop")

    def test_a_wrong_transform_is_refused_with_its_line(self):
        emulator = self.emulator("orders:records=1")
        worker = self.worker(emulator, "orders", stream={"transform": [{"cast": {"n": "int"}}]})
        self.drain(worker, code=2)
        self.assertRegex(self.log(worker) + worker.process.tail(5),
                         r":\d+: streams\[0\]\.transform\[0\]: cast: expected string, number or bool, "
                         r"such as \{ cast: \{ total: string \} \}")


if __name__ == "__main__":
    unittest.main()
