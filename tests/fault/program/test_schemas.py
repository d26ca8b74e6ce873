#!/usr/bin/env python3
"""Schemas of a stream: what does not fit is a letter with the attribute and the reason, what is new
is told of once, and the stream goes on, over restarts and a schema that changes under way."""

import unittest

import world

V1 = {"name": "order", "when": {"type": "order"}, "columns": [
    {"path": "type", "type": "string"},
    {"path": "n", "type": "integer", "required": True},
    {"path": "state", "type": "string", "default": "open"}]}
# What the writers of the table do next.
V2 = {**V1, "columns": [*V1["columns"], {"path": "address.town", "type": "string"}]}


class Schemas(world.World):
    def put(self, emulator, sk, **attributes):
        item = {"pk": {"S": "by-hand"}, "sk": {"N": str(sk)}, "type": {"S": "order"},
                "n": {"N": str(sk)}, **attributes}
        return emulator.control("put", table="orders", item=item)["sequence"].lstrip("0")

    def orders(self):
        return [e.value["after"] for e in self.delivered() if '"by-hand"' in e.key]

    def errors(self):
        return {x["sequence"]: (x["reason"], x["error"]) for x in self.letters()}

    def test_a_schema_that_changes_in_mid_stream(self):
        emulator = self.emulator("orders:shards=2:records=400:rate=400:keys=10:bytes=400")
        worker = self.worker(emulator, "orders", stream={"schemas": [V1]})
        worker.start()
        worker.wait_metric("sluice_delivered_total", 50, sink="files", deadline=60)
        self.put(emulator, 1)
        early = self.put(emulator, 2, address={"M": {"town": {"S": "Porto"}}})
        worker.wait_for(lambda: self.errors(), "the record is a letter", 60)
        self.assertEqual(worker.stop(), 0)

        self.put(emulator, 3, address={"M": {"town": {"S": "Porto"}}})
        wrong = self.put(emulator, 4, address={"M": {"town": {"N": "4000"}}})
        missing = self.put(emulator, 5, n={"NULL": True})
        worker = self.worker(emulator, "orders", stream={"schemas": [V2]})
        self.wait_made(emulator)
        self.drain(worker)
        self.assertEqual(self.errors(), {
            early: ("schema", "schema order: address: no column is called so (mode: strict)"),
            wrong: ("schema", "schema order: address.town: expected a string, found a number"),
            missing: ("schema", "schema order: n: it is required, and NULL")})
        self.assertEqual(self.orders(), [
            {"pk": "by-hand", "sk": 1, "type": "order", "n": 1, "state": "open"},
            {"pk": "by-hand", "sk": 3, "type": "order", "n": 3, "address": {"town": "Porto"},
             "state": "open"}])
        # Records that have no schema are as they were.
        self.check_keys([e for e in self.delivered() if '"by-hand"' not in e.key],
                        {key: versions for key, versions in emulator.truth("orders")["keys"].items()
                         if "by-hand" not in key})

    def test_new_attributes_are_told_of_once(self):
        emulator = self.emulator("orders:shards=1:records=5:keys=2:bytes=400")
        for n in range(6):
            self.put(emulator, n, **{f"new{n % 2}": {"S": "x"}})
        worker = self.worker(emulator, "orders", stream={"schemas": [{**V1, "mode": "evolve"}]})
        worker.start()
        worker.wait_metric("sluice_delivered_total", 11, sink="files", deadline=60)
        self.assertEqual(worker.metric("sluice_new_attributes_total", stream="orders",
                                       schema="order"), 2)
        self.assertEqual(worker.stop(), 0)
        self.assertEqual(self.letters(), [])
        for n in range(2):
            self.assertEqual(self.log(worker).count(f"attribute=new{n}"), 1)

    def test_what_was_dropped_counts_and_stop_stands_still(self):
        for mode in ("drop", "stop"):
            with self.subTest(mode=mode):
                emulator = self.emulator("orders:shards=1:records=1:keys=2:bytes=400")
                self.put(emulator, 1)
                self.put(emulator, 2, n={"S": "two"})
                worker = self.worker(emulator, "orders", stream={"schemas": [V1], "name": mode,
                                                                 "on_error": mode})
                worker.start()
                if mode == "drop":
                    worker.wait_metric("sluice_dropped_total", 1, reason="schema", deadline=60)
                else:
                    worker.wait_for(lambda: "n: expected an integer" in worker.get("/readyz")[1],
                                    "the health says so", 60)
                self.assertEqual(worker.stop(), 0)
                self.assertEqual(self.letters(), [])
                self.assertEqual("a record does not fit its schema" in self.log(worker),
                                 mode == "stop")

    def test_a_wrong_schema_is_refused_with_its_line(self):
        emulator = self.emulator("orders:records=1")
        worker = self.worker(emulator, "orders", stream={"schemas": [V1, {"name": "order"}]})
        self.drain(worker, code=2)
        self.assertRegex(self.log(worker) + worker.process.tail(5),
                         r":\d+: streams\[0\]\.schemas\[1\]: name: 'order' is there twice")


if __name__ == "__main__":
    unittest.main()
