#!/usr/bin/env python3
"""`sluice advise`: what it says of a table, and that its configuration works."""

import re
import unittest
from pathlib import Path

import world


class Advise(world.World):
    def test_a_table(self):
        emulator = self.emulator("orders:shards=3:records=40:keys=6")
        worker = self.worker(emulator, "orders", environment={
            "AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL_DYNAMODB": emulator.endpoint,
            "AWS_ENDPOINT_URL_DYNAMODB_STREAMS": emulator.endpoint})
        prices = self.folder / "prices.json"
        prices.write_text('{"changes_second": 1000}')
        said = worker.run("advise", "--table", "orders", "--prices", prices, "--importance",
                          "freshness=5,engineering=4,cost=3,volume=4,downstream=3",
                          config=False).stdout
        sums = [line.split()[-1] for line in said.splitlines()[2:5]]
        self.assertEqual(sums, ["48", "64", "70"])
        keys = emulator.truth("orders")["keys"].values()
        items, size = re.search(r"orders: (\d+) items, (\d+) bytes, 3 open shards", said).groups()
        self.assertEqual(int(items), sum(key["exists"] for key in keys))
        # A record of 1,570 bytes has two images.
        self.assertTrue(400 * int(items) < int(size) < 785 * int(items), (items, size))
        # 3 shards, 10 reads a second each, of which 2.5 million are free.
        self.assertIn(f"  stream              ${(3 * 10 * 2592000 - 2.5e6) / 1e5 * 0.02:.2f}", said)
        self.assertIn("changes_second 1000", said)
        self.assertIn("Recommended: stream, above all for its freshness.", said)
        file = Path(self.folder / "advised.yaml")
        file.write_text(said.partition("does it:\n\n")[2])
        self.assertIn('table: "orders"', worker.run("config", "print", "-c", file,
                                                  config=False).stdout)

    def test_what_is_wrong(self):
        emulator = self.emulator("orders:shards=1:records=1:keys=2:bytes=400")
        worker = self.worker(emulator, "orders", environment={
            "AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL_DYNAMODB": emulator.endpoint})
        for more, code, said in ((("--importance", "speed=1"), 2, "--importance: expected freshness"),
                                 (("--prices", "/none"), 2, "--prices: /none: No such file"),
                                 (("--table", "other"), 1, "other")):
            done = worker.run("advise", *more, check=False, config=False)
            self.assertEqual(done.returncode, code)
            self.assertIn(said, done.stderr)


if __name__ == "__main__":
    unittest.main()
