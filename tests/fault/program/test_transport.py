#!/usr/bin/env python3
"""Every kind of fault that an answer can have: each is survived with every record once, in order.
One stream has one kind, and all are read by one worker at the same time."""

import unittest

import world

# kind → members of the rule; twice: for GetRecords, with a count that outlasts one call's retries
# where the kind is cheap.
PAGES = {
    "throttle": {"count": 8}, "limit": {"count": 8}, "internal": {"count": 8},
    "unavailable": {"count": 8}, "denied": {"count": 3}, "token": {"count": 2},
    "unrecognized": {"count": 2}, "expired": {"count": 4}, "not_found": {"count": 2},
    "delay": {"ms": 300, "count": 4}, "cut": {"count": 6}, "cut_body": {"count": 6},
    "drip": {"bytes": 2000, "ms": 5, "count": 2}, "wrong_crc": {"count": 5},
    "malformed": {"count": 2}, "garbage": {"count": 5}, "empty": {"count": 5},
    "skew": {"seconds": 7200, "count": 3}, "hang": {"count": 1},
    "oversized": {"bytes": 17 << 20, "count": 2},
}
LISTINGS = {
    "throttle": {"count": 8}, "limit": {"count": 8}, "internal": {"count": 8}, "cut": {"count": 6},
    "cut_body": {"count": 6}, "wrong_crc": {"count": 3}, "malformed": {"count": 3},
    "garbage": {"count": 3}, "empty": {"count": 1}, "delay": {"ms": 200, "count": 3},
}


class Transport(world.World):
    def run_all(self, kinds, operation, words, **rule):
        tables = [kind.replace("_", "-") for kind in kinds]
        emulator = self.emulator(*(f"{table}:{words}" for table in tables))
        for kind, table in zip(kinds, tables):
            emulator.fault(kind, operation=operation, table=table, **rule, **kinds[kind])
        worker = self.worker(emulator, *tables)
        self.drain(worker, idle="1s")
        fired = {rule["table"]: rule["fired"] for rule in emulator.control("faults")}
        for kind, table in zip(kinds, tables):
            with self.subTest(kind=kind):
                self.assertEqual(fired[table], kinds[kind]["count"])
                self.check_complete(emulator, table)
        self.clean()

    def test_records(self):
        self.run_all(PAGES, "GetRecords", "shards=2:records=300:keys=8:bytes=400", after=1)

    def test_iterators(self):
        self.run_all({kind: PAGES[kind] for kind in ("throttle", "internal", "cut", "denied", "token",
                                                     "cut_body", "garbage", "not_found")},
                     "GetShardIterator", "shards=3:records=100:keys=4:bytes=400")

    def test_listings_while_shards_split(self):
        self.run_all(LISTINGS, "DescribeStream",
                     "shards=1:records=60:keys=8:bytes=400:depth=2:fanout=2", after=1)

    def test_tables_at_the_start(self):
        self.run_all({kind: LISTINGS[kind] for kind in ("throttle", "internal", "cut", "garbage")},
                     "DescribeTable", "records=50:keys=4:bytes=400")


if __name__ == "__main__":
    unittest.main()
