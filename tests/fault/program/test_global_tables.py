#!/usr/bin/env python3
"""A replica of a global table as config/examples/global-table.yaml reads it: what the others wrote is
there, and nothing of replication's own attributes."""

import unittest
from pathlib import Path

import world
import yaml

EXAMPLE = Path(__file__).parents[3] / "config/examples/global-table.yaml"


def replicated(region, time):
    """What global tables of 2017 add to an item, with a change of its own."""
    return {"aws:rep:deleting": {"BOOL": False}, "aws:rep:updateregion": {"S": region},
            "aws:rep:updatetime": {"N": time}}


class GlobalTables(world.World):
    def test_a_replica(self):
        emulator = self.emulator("orders:shards=1:records=0")

        def put(total, **more):
            emulator.control("put", table="orders", item={
                "pk": {"S": "order"}, "sk": {"N": "1"}, "total": {"N": total}, **more})

        put("1")
        put("1", **replicated("eu-west-1", "1795657276.1"))
        put("2", **replicated("us-east-1", "1795657277.2"))
        put("2")  # by the version of 2019, which adds nothing

        (stream,) = yaml.safe_load(EXAMPLE.read_text())["streams"]
        worker = self.worker(emulator, "orders", stream={**stream, "start": "oldest"})
        self.drain(worker, idle="2s")
        item = {"pk": "order", "sk": 1}
        self.assertEqual([(e.value["before"], e.value["after"]) for e in self.delivered()], [
            (None, {**item, "total": 1}),
            ({**item, "total": 1}, {**item, "total": 1}),
            ({**item, "total": 1}, {**item, "total": 2}),
            ({**item, "total": 2}, {**item, "total": 2})])


if __name__ == "__main__":
    unittest.main()
