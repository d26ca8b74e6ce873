#!/usr/bin/env python3
"""The life of an export, from its schedule to _SUCCESS, with workers that share and die."""

import json
import time
import unittest

import exporting
from exporting import HOUR, MINUTE, stamp

START = "1970-01-01-00-00-00-000000"


class Life(exporting.Exports):
    def test_a_schedule_fires_once(self):
        """Three workers, one export: of the last minute that was due, before they were started."""
        emulator = self.exporting("orders:pitr=1:records=100:keys=20:bytes=300")
        some = [self.exporter(emulator, full="7 * * * *") for _ in range(3)]
        due = (self.now(emulator) - 7 * MINUTE) // HOUR * HOUR + 7 * MINUTE
        for worker in some:
            worker.start()
        self.moving(emulator, 20)
        self.wait_published(some[0])
        self.stand_still()
        self.assertEqual(len(self.asked(emulator)), 1)
        self.assertEqual(self.rows("to_ms / 1000"), [str(int(due))])
        self.assertEqual(self.marks(), [f"{START}_{stamp(due)}"])
        for worker in some:
            self.assertEqual(worker.stop(), 0, worker.process.tail())
            self.assertNotIn(" ERROR ", self.log(worker))


if __name__ == "__main__":
    unittest.main()
