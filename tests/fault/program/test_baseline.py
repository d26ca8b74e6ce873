#!/usr/bin/env python3
"""`start: baseline`, over exports of all lengths and over kills (joins.py)."""

import unittest

from exporting import HOUR
from joins import EVERY, STEP, TABLE, Joins
from world import DEADLINE


# An export's way. It may be quicker than a test looks.
WAY = ["running", "exported", "loading", "complete"]


class Baseline(Joins):
    def wait_status(self, worker, status):
        beyond = WAY[WAY.index(status):]
        self.wait_rows(worker, lambda rows: any(one in row for row in rows for one in beyond),
                       status)

    @staticmethod
    def wait_clock(worker, ahead):
        """It knows AWS's time, which was at least an hour ahead before."""
        worker.wait_for(lambda: worker.metric("sluice_aws_clock_offset_seconds") > ahead,
                        "it knows the time", DEADLINE)

    def baseline(self, length):
        emulator = self.exporting(f"{TABLE}:records=150:rate=20")
        some = [self.joined(emulator) for _ in range(3)]
        some[0].wait_for(lambda: self.truth(emulator), "there are items to export", DEADLINE)
        rule = length and emulator.fault("unavailable", operation="DescribeExport", count=-1)
        for worker in some:
            worker.start()
        self.moving(emulator, STEP, EVERY)
        self.wait_status(some[0], "running")
        if length:
            self.move(emulator, length)
            for worker in some:
                self.wait_clock(worker, length)
            emulator.control("clear", id=rule)
        for status in ("loading", "complete"):
            victim = self.rng.choice(some)
            self.wait_status(some[0] if victim is not some[0] else some[1], status)
            victim.kill9()
            victim.start(wait=False)
        self.wait_joined(some[0], 2)
        self.stand_still()
        self.finish_joined(emulator, some)
        return emulator

    def finish_joined(self, emulator, workers):
        self.wait_made(emulator)
        for worker in workers:
            self.assertEqual(worker.stop(60), 0, worker.process.tail(60))
        self.drain(self.joined(emulator), idle="1s")
        self.check_kept(emulator)

    def kinds(self):
        return [row.split()[0] for row in self.column("kind")]

    def test_a_short_export(self):
        self.baseline(0)
        self.assertEqual(len(self.kinds()), 1)

    def test_an_export_of_hours(self):
        self.baseline(5 * HOUR)
        self.assertEqual(len(self.kinds()), 1)

    def test_an_export_of_more_than_a_day(self):
        """Windows follow it, as the stream has lost what came since."""
        self.baseline(30 * HOUR)
        self.assertGreater(len(self.kinds()), 2)


if __name__ == "__main__":
    unittest.main()
