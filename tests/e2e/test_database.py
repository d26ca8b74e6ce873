"""A database whose clock jumps, that is away for leases, that fails over to a standby which has not
heard of the last commits: several workers on it lose nothing, and no clock but their own counts."""

import shutil
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from emulator import Event
from process import Process, wait_until
from stack import Postgres

LEASE_S = 3
SHARDS = 6
RATE = 200
RECORDS = 700
WORKERS = 3
OPEN = ("waiting", "reading", "fetching", "blocked", "draining")


class Clocked(Postgres):
    """One whose clock the test sets."""

    def command(self):
        arguments, keywords = super().command()
        self.clock = self.folder / "clock"
        self.set_clock("+0s")
        library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
        return arguments, {**keywords, "environment": {
            "LD_PRELOAD": library, "FAKETIME_TIMESTAMP_FILE": self.clock, "FAKETIME_NO_CACHE": "1",
            "DONT_FAKE_MONOTONIC": "1"}}

    def set_clock(self, offset):
        self.clock.write_text(offset)
        self.clock.chmod(0o644)

    def now(self):
        return self.execute("SELECT extract(epoch FROM clock_timestamp())::float8")[0][0]


class Standby(Postgres):
    """A copy of a primary that follows it over a proxy."""

    def __init__(self, folder, primary, port):
        super().__init__(folder)
        self.primary, self.primary_port = primary, port

    def prepare(self):
        if self.user:
            shutil.chown(self.folder, self.user)
        copy = Process([self.programs / "pg_basebackup", "-D", self.data, "-h", "127.0.0.1",
                        "-p", self.primary_port, "-U", "postgres", "-R", "-X", "stream", "-c", "fast"],
                       self.folder / "log", user=self.user)
        assert copy.wait(60) == 0, copy.tail()

    def has_all(self):
        end = self.primary.execute("SELECT pg_current_wal_lsn()::text")[0][0]
        return self.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", (end,))[0][0]


class Fleet:
    def __init__(self, name, emulator, kafka, sluice, store):
        self.name, self.kafka, self.topic = name, kafka, f"{name}-{uuid.uuid4().hex[:8]}"
        kafka.create_topic(self.topic, partitions=4)
        self.emulator = emulator(f"orders:shards={SHARDS}:records={RECORDS}:keys=60:bytes=400:"
                                 f"rate={RATE}")
        self.sluice, self.store = sluice, store
        self.workers = [self.worker(f"{name}{i}").start() for i in range(WORKERS)]
        self.wait_shared()

    def worker(self, name):
        endpoint = self.emulator.endpoint
        return self.sluice({
            "worker": {"name": name},
            "checkpoint": {"store": self.store, "interval": "100ms", "lease": f"{LEASE_S}s"},
            "aws": {"endpoint": {"dynamodb": endpoint, "streams": endpoint}},
            "streams": [{"table": "orders", "start": "oldest", "sinks": ["kafka"],
                         "poll": {"min": "50ms", "max": "200ms"}}],
            "sinks": {"kafka": {"type": "kafka", "brokers": self.kafka.brokers,
                                "topic": self.topic}}}, name=name)

    def wait_shared(self):
        def held():
            return [sum(worker.metric("sluice_shards", state=state) for state in OPEN)
                    for worker in self.workers]

        wait_until(lambda: sum(held()) == SHARDS and max(held()) - min(held()) <= 1,
                   lambda: f"{SHARDS} shards are shared, they have {held()}", 60)

    def delivered(self):
        return sum(worker.metric("sluice_delivered_total") for worker in self.workers)

    def said(self, text):
        return sum(text in worker.process.text() for worker in self.workers)

    def finish(self):
        """Everything is there, each key's first deliveries in order; returns what came again."""
        def events():
            return [Event(message.value()) for message in self.kafka.read(self.topic, deadline=60)
                    if message.value() is not None]

        wait_until(lambda: len({(e.key, e.n) for e in events()}) == SHARDS * RECORDS,
                   lambda: f"all is in Kafka\n{self.workers[0].process.tail()}", 90)
        truth = self.emulator.truth("orders")["keys"]
        for worker in self.workers:
            assert worker.stop(60) == 0
        last, again = Counter(), 0
        for event in events():
            again += event.n <= last[event.key]
            assert event.n <= last[event.key] + 1, f"{event.key}: {event.n} after {last[event.key]}"
            last[event.key] = max(last[event.key], event.n)
        assert dict(last) == {key: end["n"] for key, end in truth.items() if end["n"] > 0}
        return again


def a_clock_that_jumps_and_leases_without_a_database(fleet, postgres):
    for offset, seconds in (("+10s", 10), ("+1d", 86400), ("-1d", -86400)):
        postgres.set_clock(offset)
        assert abs(postgres.now() - time.time() - seconds) < 2, "the clock stayed"
        time.sleep(1.2 * LEASE_S)
    assert fleet.said("a session is dead") == fleet.said("delivery pauses") == 0

    # Nobody saw anybody beat, and nobody is dead for it.
    postgres.stop()
    time.sleep(3 * LEASE_S)
    assert fleet.said("delivery pauses") == WORKERS
    postgres.spawn()
    postgres.wait_ready()
    wait_until(lambda: fleet.said("the lease is well again") == WORKERS, "all go on", 60)
    time.sleep(1.5 * LEASE_S)
    assert fleet.said("a session is dead") == fleet.said("a new one begins") == 0
    # On a machine that is busy enough Kafka may not answer in time, and is sent some again.
    assert fleet.finish() == 0 or fleet.said("delivery failed, it is sent again")


def a_standby_without_the_last_commits(fleet, primary, standby, proxy):
    wait_until(standby.has_all, "the standby follows", 60)
    proxy.cut()
    # The standby hears nothing of this: saves, a session that ends, one that begins and takes shards.
    before = fleet.delivered()
    wait_until(lambda: fleet.delivered() > before + RATE, "they deliver", 60)
    assert fleet.workers[0].stop() == 0
    fleet.workers.append(fleet.worker(f"{fleet.name}-late").start())
    fleet.workers.pop(0)
    fleet.wait_shared()
    primary.kill()
    assert standby.execute("SELECT pg_promote()") == [(True,)]
    wait_until(lambda: fleet.said("a new one begins") == WORKERS, "all begin new sessions", 60)
    fleet.wait_shared()
    assert fleet.finish() > 0, "no commit was lost: nothing was tested"


def test_databases(own, toxiproxy, emulator, kafka, sluice):
    """Both at a time: they wait most of theirs."""
    clocked, primary = own(Clocked), own(Postgres)
    proxy = toxiproxy.proxy(primary.port)
    database = primary.new_database().rpartition("/")[2]
    standby = own(Standby, primary, proxy.port)
    jumping = Fleet("jumping", emulator, kafka, sluice, clocked.new_database())
    failing = Fleet("failing", emulator, kafka, sluice,
                    f"postgres://postgres@127.0.0.1:{primary.port},127.0.0.1:{standby.port}/"
                    f"{database}?target_session_attrs=read-write")
    with ThreadPoolExecutor(2) as pool:
        for done in [
                pool.submit(a_clock_that_jumps_and_leases_without_a_database, jumping, clocked),
                pool.submit(a_standby_without_the_last_commits, failing, primary, standby, proxy)]:
            done.result()


def test_a_stop_does_not_wait_for_a_database_that_hangs(postgres, database, toxiproxy, emulator,
                                                        sluice, tmp_path):
    """A call may take half a lease, which here is longer than the stop may."""
    proxy = toxiproxy.proxy(postgres.port)
    source = emulator("orders:shards=4:records=400:keys=40:bytes=400")
    worker = sluice({
        "worker": {"name": "w", "shutdown": "2s"},
        "checkpoint": {"store": database.replace(str(postgres.port), str(proxy.port)),
                       "interval": "100ms", "lease": "10m"},
        "aws": {"endpoint": {"dynamodb": source.endpoint, "streams": source.endpoint}},
        "streams": [{"table": "orders", "start": "oldest", "sinks": ["files"]}],
        "sinks": {"files": {"type": "directory", "path": f"{tmp_path}/out/"}}}).start()
    worker.wait_metric("sluice_records_total", 400, stream="orders")
    for stream in ("upstream", "downstream"):
        proxy.add("timeout", stream=stream, timeout=0)
    source.control("put", table="orders", item={"pk": {"S": "a"}, "sk": {"N": "1"}, "n": {"N": "1"}})
    worker.wait_metric("sluice_records_total", 401, stream="orders")
    assert worker.stop(60) == 0
    assert "not everything could be delivered" in worker.process.text()
