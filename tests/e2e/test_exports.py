"""Exports end to end: a table that is written all the time, workers that die at any moment, exports
that take as long as they may. Of a stream that is joined to exports, into Kafka, a consumer that
keeps the highest (generation, sequence) of a key has the table in the end, but for deletes that are
foreseen; of a chain of windows, into S3, each line is there once."""

import gzip
import os
import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from emulator import Event
from joined import DEADLINE_S, HOUR, LEASE_S, MINUTE, Clock, Files, Joined, Writer
from process import wait_until

SEED = int(os.environ.get("SLUICE_STORM_SEED", "0")) or random.randrange(1, 1 << 30)
TABLE = ("shards=2:records=1200:keys=800:partitions=6:rotate_ms=7200000:fuzz_ms=60000:"
         "export_ms=120000")
# AWS's time runs so many seconds further, each time that Clock.run moves it.
STEP = 120
WINDOWS = 10
# An export's way.
WAY = ["waiting", "running", "exported", "loading", "complete"]


@pytest.fixture
def servers(exporting, kafka, postgres, s3, toxiproxy, sluice):
    """`way` is the workers' to S3: so slow that a worker can be killed in the middle of a file."""
    way = toxiproxy.proxy(s3.port)
    way.add("bandwidth", rate=20)
    yield SimpleNamespace(exporting=exporting, kafka=kafka, postgres=postgres, s3=s3, way=way,
                          sluice=sluice)
    way.remove()


def run(*scenarios):
    """At once: they wait most of their time."""
    with ThreadPoolExecutor(len(scenarios)) as pool:
        for done in [pool.submit(scenario) for scenario in scenarios]:
            print(f"seed {SEED}: {done.result()}")


class Baseline(Joined):
    def __init__(self, servers, name, length, **sink):
        self.name, self.length = name, length
        super().__init__(servers, TABLE, SEED, stream={"start": "baseline"}, sink=sink)

    def run(self):
        if self.length:
            rule = self.emulator.fault("unavailable", operation="DescribeExport", count=-1)
        self.writer.start()
        self.start()
        self.clock.run(STEP)
        self.wait(lambda: self.reached(WAY[1:]), "it is asked for")
        self.kill()
        if self.length:
            self.clock.move(self.length)
            self.emulator.control("clear", id=rule)
        for statuses in (WAY[3:], WAY[4:]):
            self.wait(lambda: self.reached(statuses), f"one is {statuses[0]}")
            time.sleep(self.rng.uniform(0, 0.5))
            self.kill()
        self.wait(self.joined, "joined")
        time.sleep(self.rng.uniform(0, 1))
        self.kill()
        self.finish()
        self.check_lines()
        self.check_told("baseline")
        self.check_kept(self.foreseen())
        return self.summary(self.check_again())

    def kinds(self):
        return [kind for kind, in self.exports("kind")]


class Exact(Baseline):
    def run(self):
        summary = super().run()
        self.check_once()
        return summary


class Repair(Joined):
    """Away for 30 hours, in which the table is written."""

    name = "repair"

    def __init__(self, servers):
        super().__init__(servers, TABLE, SEED, count=2)

    def run(self):
        self.writer.start()
        self.start()
        self.wait_metric("sluice_delivered_total", 2500)
        self.stop()
        places = [place for place, in self.sql(
            "SELECT p.event_ms FROM sluice.lane l JOIN sluice.position p ON p.lane = l.id "
            "WHERE NOT l.done AND p.event_ms > 0")]
        for _ in range(10):
            self.clock.move(3 * HOUR)
            time.sleep(0.2)
        for worker in self.workers:
            worker.start(wait=False)
        self.clock.run(STEP)
        self.wait(self.joined, "joined")
        self.wait_metric("sluice_gaps_total", 1)
        self.wait_metric("sluice_repairs_total", 1)
        self.finish()
        self.check_gaps()
        self.check_lines()
        self.check_told("repair")
        self.check_kept(self.foreseen())
        # From well before the oldest place, so that no shard is left out.
        assert 12 < (min(places) - self.windows()[0][0]) / (MINUTE * 1000) < 14
        return self.summary(self.check_again())

    def check_gaps(self):
        """Each is in the status, closed, and told with a begin and an end."""
        gaps = self.gaps()
        assert {(gap["state"], gap["how"]) for gap in gaps} == {("closed", "repair")}
        told = [(event["gap"]["shard"], event["phase"])
                for event in self.told() if event["kind"] == "gap"]
        assert sorted(told) == sorted((gap["shard"], phase) for gap in gaps
                                      for phase in ("begin", "end"))


class Ghosts(Joined):
    """Items of all ages are deleted in the first minutes of 30 hours in which nobody reads."""

    name = "ghosts"

    def __init__(self, servers):
        super().__init__(servers, "shards=2:records=0", SEED, count=2)

    def minutes(self, count, what):
        for at in range(count):
            self.clock.move(MINUTE)
            what(at)

    def run(self):
        self.minutes(20, lambda at: [self.writer.put(f"b{at}-{d}") for d in range(20)])
        for worker in self.workers:
            worker.start()
        self.wait_metric("sluice_delivered_total", 400)
        self.stop()
        self.minutes(20, lambda at: [self.writer.delete(f"b{b}-{at}") for b in range(1, 20)])
        self.writer.put("new")
        self.clock.move(30 * HOUR)
        for worker in self.workers:
            worker.start(wait=False)
        self.clock.run(STEP)
        self.wait(self.joined, "joined")
        self.finish()
        # Exports without a fuzzy cut: what is missing is known to the second.
        foreseen = self.foreseen(0)
        assert foreseen and self.check_kept(foreseen) == foreseen.keys()
        assert len(foreseen) < len(self.writer.lives) / 2
        assert max(foreseen.values()) <= max(gap["deletes_may_lack_until_ms"]
                                             for gap in self.gaps())
        return f"{self.summary({})}, {len(foreseen)} deletes are missing"


class Windows:
    """Incremental windows into S3, by workers of which one dies in each of them."""

    def __init__(self, servers):
        self.servers, self.s3 = servers, servers.s3
        self.rng = random.Random(f"{SEED} windows")
        self.emulator = servers.exporting(
            "orders:pitr=1:records=400:keys=200:bytes=300:fuzz_ms=60000")
        self.clock = Clock(self.emulator)
        self.clock.move(HOUR)
        self.writer = Writer(self.emulator, self.clock, self.rng)
        self.bucket, self.database = self.s3.new_bucket(), servers.postgres.new_database()
        self.workers = [self.worker(f"w{i}") for i in range(3)]

    def worker(self, name):
        endpoint = self.emulator.endpoint
        return self.servers.sluice({
            "worker": {"name": name, "threads": 2, "memory": "64MiB", "follow": "1s"},
            "checkpoint": {"store": self.database, "interval": "100ms", "lease": f"{LEASE_S}s"},
            "aws": {"endpoint": {"dynamodb": endpoint, "streams": endpoint,
                                 "s3": self.s3.endpoint}},
            "exports": [{"table": "orders", "bucket": self.bucket, "prefix": "raw", "poll": "5s",
                         "incremental": "1h", "sinks": ["lake"]}],
            "sinks": {"lake": {"type": "s3", "bucket": self.bucket, "prefix": "lake",
                               "format": "debezium", "compression": "gzip",
                               "roll": {"age": "1s"}}}},
            name=name, access_key=self.s3.access_key, secret_key=self.s3.secret_key)

    def exports(self, what):
        """The full export, and the windows behind it."""
        return self.servers.postgres.execute(
            f"SELECT {what} FROM sluice.export WHERE generation = (SELECT max(generation) FROM "
            "sluice.export) ORDER BY number", url=self.database)

    def wait(self, condition, what):
        return wait_until(condition, lambda: f"{what}: {self.exports('*')}", DEADLINE_S)

    def kill(self):
        victim = self.rng.choice(self.workers)
        victim.kill9()
        victim.start(wait=False)

    def published(self):
        return sum(at > 0 for at, in self.exports("published_ms"))

    def reached(self, number, statuses):
        found = [status for status, in self.exports("status")]
        return number < len(found) and found[number] in statuses

    def run(self):
        self.writer.start()
        for worker in self.workers:
            worker.start()
        self.workers[0].run("export", "full", "--yes", "--table", "orders")
        self.clock.move(10 * MINUTE)
        self.clock.run(10)
        self.wait(lambda: self.published() >= 2, "the full export and a window are published")
        for number in range(2, WINDOWS + 2):
            if number in (2, WINDOWS // 2 + 2):  # several come due in a pause
                self.clock.move(WINDOWS // 2 * HOUR)
            beyond = WAY[self.rng.randrange(len(WAY)):]
            self.wait(lambda: self.reached(number, beyond), f"window {number} is {beyond[0]}")
            time.sleep(self.rng.uniform(0, 0.4))
            self.kill()
        self.wait(lambda: self.published() >= WINDOWS + 2, "all is published")
        self.writer.stop()
        self.clock.stop()
        for worker in self.workers:
            worker.wait_for(lambda: worker.get("/livez")[0] == 200, "it is alive", DEADLINE_S)
            assert worker.stop(60) == 0, worker.process.tail(60)
        windows = self.check_windows()
        self.check_raw()
        return f"windows: {len(windows)}, {self.check_lines()} lines"

    def check_windows(self):
        """Behind the full export, and one behind the other."""
        (begin, end), *windows = self.exports("from_ms, to_ms")
        assert begin == 0 and len(windows) > WINDOWS
        at = end - 13 * MINUTE * 1000
        for begin, end in windows:
            assert begin == at
            at = end
        return windows

    def check_raw(self):
        """Each export in a folder of its own, which says what it is of, with a _SUCCESS. AWS was
        asked for it once."""
        def folder(begin, end):
            def stamp(ms):
                return time.strftime("%Y-%m-%d-%H-%M-%S-000000", time.gmtime(ms / 1000))

            return f"raw/123456789012/eu-west-1/orders/exports/{stamp(begin)}_{stamp(end)}"

        done = {folder(*row[:2]) for row in self.exports("from_ms, to_ms, published_ms") if row[2]}
        mine = {folder(*row) for row in self.exports("from_ms, to_ms")}
        raw = list(self.s3.objects(self.bucket, "raw/"))
        marks = [key.removesuffix("/_SUCCESS") for key in raw if key.endswith("/_SUCCESS")]
        assert set(marks) & mine == done
        asked = Counter(export["prefix"]
                        for export in self.emulator.control("exports", table="orders")["exports"])
        assert max(asked.values()) == 1 and asked.keys() >= done
        assert all("/".join(key.split("/")[:6]) in asked for key in raw)

    def check_lines(self):
        """What the manifests have is in the lake, once."""
        done = [row[:3] for row in self.exports("generation, number, manifest, published_ms")
                if row[3]]
        came = Counter()
        for content in self.s3.objects(self.bucket, "lake/").values():
            for event in map(Event, gzip.decompress(content).splitlines()):
                came[event.generation, event.sequence, event.key] += 1
        again = [line for line, count in came.items() if count > 1]
        assert not again, f"{len(again)} lines came twice: {again[:3]}"
        numbers = {row[:2] for row in done}
        assert {line for line in came if line[:2] in numbers} == Files(self.s3, done).lines.keys()
        return len(came)


def test_baselines_and_windows(servers):
    short, hours, days, exact = (
        Baseline(servers, "short", 0), Baseline(servers, "hours", 5 * HOUR),
        Baseline(servers, "days", 30 * HOUR), Exact(servers, "exact", 0, delivery="exactly_once"))
    run(short.run, hours.run, days.run, exact.run, Windows(servers).run)
    assert short.kinds() == hours.kinds() == exact.kinds() == ["baseline"]
    # The stream had lost what came since: windows follow the full export.
    assert len(days.kinds()) > 2


def test_repairs(servers):
    run(Repair(servers).run, Ghosts(servers).run)
