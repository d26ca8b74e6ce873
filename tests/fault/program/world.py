"""What the fault tests of the program share: the emulator, workers with a directory to write into,
and the comparison of what came out with the emulator's truth. Python's own library only, so that it
runs wherever ctest does; SLUICE_BIN and SLUICE_EMULATOR name the programs of a build."""

import json
import os
import shutil
import sqlite3
import sys
import tempfile
import time
import unittest
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests/e2e"))
sys.dont_write_bytecode = True

from emulator import Emulator, Event  # noqa: E402
from process import wait_until  # noqa: E402
from sluice import Sluice  # noqa: E402

# Sanitizers make everything slow and other tests run beside: far over what is needed, and only
# there to end a test that hangs.
DEADLINE = 150.0


def files_in_order(folder):
    """The visible files in the order in which readers saw them appear: a rename changes ctime."""
    found = [path for path in Path(folder).rglob("*.ndjson") if not path.name.startswith(".")]
    return sorted(found, key=lambda path: (path.stat().st_ctime_ns, path.name))


def events(folder):
    """Every delivered event, in the order of the files."""
    for path in files_in_order(folder):
        for line in path.read_text().splitlines():
            yield Event(line)


def shards_of(emulator, table="orders"):
    return emulator.truth(table)["streams"][-1]["shards"]


def ancestors(shards, shard):
    while "parent" in shards[shard]:
        shard = shards[shard]["parent"]
        yield shard


class World(unittest.TestCase):
    maxDiff = 4000

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="sluice-fault-"))
        self.emulators = []
        self.workers = []

    def tearDown(self):
        crashed = None
        for worker in self.workers:
            if worker.process:
                worker.process.kill()
            crashed = crashed or self.sanitizer_said(worker)
        for emulator in self.emulators:
            emulator.stop()
        if crashed:
            self.fail(crashed)
        # Python tells whether this test failed only by its errors so far.
        outcome = getattr(self._outcome, "result", None)
        bad = any(test is self for test, _ in (outcome.errors + outcome.failures)) if outcome else False
        if bad or os.environ.get("SLUICE_KEEP"):
            print(f"{self.id()}: its files are in {self.folder}")
        else:
            shutil.rmtree(self.folder, ignore_errors=True)

    @staticmethod
    def sanitizer_said(worker):
        text = worker.log.read_text(errors="replace") if worker.log.exists() else ""
        for mark in ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "WARNING: ThreadSanitizer",
                     "runtime error:", "Assertion `"):
            at = text.find(mark)
            if at >= 0:
                return f"{worker.log}: {text[max(0, at - 200):at + 6000]}"
        return None

    def emulator(self, *tables, options=()):
        server = Emulator(self.folder / f"emulator{len(self.emulators)}", *tables, options=options)
        self.emulators.append(server)
        server.start()
        return server

    def configuration(self, emulator, tables, stream=None, **more):
        """Streams that are read from their oldest record into `out`, a folder each."""
        config = {
            "worker": {"name": "w", "threads": 2, "memory": "64MiB"},
            "checkpoint": {"store": f"sqlite:{self.folder}/state.db", "interval": "100ms"},
            "aws": {"endpoint": {"dynamodb": emulator.endpoint, "streams": emulator.endpoint}},
            "streams": [{"table": table, "start": "oldest",
                         "poll": {"min": "20ms", "max": "200ms"}, "sinks": ["files"],
                         **(stream or {})} for table in tables],
            "sinks": {"files": {"type": "directory", "path": f"{self.folder}/out/${{table}}/",
                                "format": "debezium", "compression": "none",
                                "roll": {"age": "1s"}}},
        }
        for name, members in more.items():
            config[name] = {**config.get(name, {}), **members}
        return config

    def worker(self, emulator, *tables, environment=None, stream=None, **more):
        config = self.configuration(emulator, tables, stream, **more)
        worker = Sluice(self.folder / f"worker{len(self.workers)}", config,
                        environment=environment)
        worker.log.touch()
        self.workers.append(worker)
        return worker

    def drain(self, worker, idle="500ms", code=0):
        got = worker.drain(idle=idle, deadline=DEADLINE)
        self.assertEqual(got, code, worker.process.tail(60))

    def log(self, worker):
        return worker.log.read_text(errors="replace")

    def delivered(self, table="orders", out="out"):
        return list(events(self.folder / out / table))

    # --- what must hold ---

    def check_order(self, got, shards):
        """Exactly once, in each shard's order, and no child before its ancestors' last record."""
        last, ends, begins = defaultdict(int), {}, {}
        for at, event in enumerate(got):
            self.assertGreater(event.sequence, last[event.shard],
                               f"{event.shard}: {event.sequence} again or out of order")
            last[event.shard] = event.sequence
            begins.setdefault(event.shard, at)
            ends[event.shard] = at
        for shard, begin in begins.items():
            for up in ancestors(shards, shard):
                self.assertLess(ends.get(up, -1), begin, f"{shard} came before the end of {up}")

    def check_keys(self, got, keys):
        """Per key every change is there, one after the other, up to the true last one."""
        numbers = defaultdict(list)
        for event in got:
            numbers[event.key].append(event.n)
        for key, end in keys.items():
            self.assertEqual(numbers.pop(key, []), list(range(1, end["n"] + 1)), key)
        self.assertEqual(dict(numbers), {}, "keys that the table never had")

    def check_complete(self, emulator, table="orders", out="out"):
        """Everything that was generated came out, once and in order; returns the events."""
        truth = emulator.truth(table)
        got = self.delivered(table, out)
        self.check_order(got, {shard: now for stream in truth["streams"]
                               for shard, now in stream["shards"].items()})
        self.check_keys(got, truth["keys"])
        return got

    @staticmethod
    def made(emulator, table="orders"):
        """How many records the table has now."""
        return sum(shard["records"] for stream in emulator.control("shards", table=table)["streams"]
                   for shard in stream["shards"].values())

    def wait_made(self, emulator, table="orders"):
        """Until no more records come at the table's rate."""
        seen = []

        def still():
            seen.append(self.made(emulator, table))
            time.sleep(0.3)
            return len(seen) > 4 and len(set(seen[-4:])) == 1

        wait_until(still, "all records are made", DEADLINE)

    def letters(self):
        """The dead letters of the store."""
        with sqlite3.connect(f"file:{self.folder}/state.db?mode=ro", uri=True) as db:
            tables = [name for name, in db.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE '%letter%'")]
            return [json.loads(text) for text, in db.execute(f"SELECT json FROM {tables[0]} ORDER BY id")]

    def clean(self):
        """No unfinished file is left behind."""
        left = [path for out in self.folder.glob("out*") for path in out.rglob(".*")
                if path.is_file()]
        self.assertEqual(left, [])
