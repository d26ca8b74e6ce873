"""Several workers on one stream under load: one after the other is killed, put to sleep, stopped; the
store and Kafka are restarted, the network is cut. Afterwards every change of each key is in Kafka,
first deliveries in order, and what came twice came from a hard end. SLUICE_STORM_SECONDS says how
long, SLUICE_STORM_SEED repeats one."""

import os
import random
import time
import uuid
from collections import Counter

import pytest

from emulator import Event
from stack import PgBouncer

SECONDS = float(os.environ.get("SLUICE_STORM_SECONDS", "40"))
SEED = int(os.environ.get("SLUICE_STORM_SEED", "0")) or random.randrange(1, 1 << 30)
LEASE_S = 2
RATE = 1500
SHARDS = 8
SHARDS_MAX = 80
KEYS = 200
DEADLINE_S = 120


@pytest.fixture
def pooler(stack, postgres):
    # In the servers' folder: it has another user.
    server = PgBouncer(stack.folder / f"pgbouncer-{uuid.uuid4().hex[:8]}", postgres)
    server.start()
    yield server
    server.stop()


class Fleet:
    def __init__(self, emulator, kafka, store, sluice):
        self.rng = random.Random(SEED)
        self.emulator, self.kafka = emulator, kafka
        self.topic = f"workers-{uuid.uuid4().hex[:8]}"
        kafka.create_topic(self.topic, partitions=4)
        self.workers = [self.worker(sluice, store, f"w{i}")
                        for i in range(self.rng.randint(3, 5))]
        for worker in self.workers:
            worker.start()
        self.hard = 0

    def worker(self, sluice, store, name):
        return sluice({
            "worker": {"name": name, "threads": 2, "memory": "64MiB"},
            "checkpoint": {"store": store, "interval": "100ms", "lease": f"{LEASE_S}s"},
            "aws": {"endpoint": {"dynamodb": self.emulator.endpoint,
                                 "streams": self.emulator.endpoint}},
            "streams": [{"table": "orders", "start": "oldest", "sinks": ["kafka"],
                         "poll": {"min": "50ms", "max": "200ms"}}],
            "sinks": {"kafka": {"type": "kafka", "brokers": self.kafka.brokers,
                                "topic": self.topic}}}, name=name)

    def shards(self):
        return self.emulator.control("shards", table="orders")["streams"][-1]["shards"]

    def turn_a_shard(self):
        shards = self.shards()
        opened = [shard for shard, now in shards.items() if not now["closed"]]
        if len(shards) < SHARDS_MAX:
            self.emulator.control(self.rng.choice(("split", "rotate")), table="orders",
                                  shard=self.rng.choice(opened))

    def strike(self):
        """Ends or stops a random worker, and brings it back."""
        worker = self.rng.choice(self.workers)
        how = self.rng.choice(("kill", "sleep", "terminate"))
        if how == "kill":
            worker.kill9()
            self.hard += 1
        elif how == "sleep":
            worker.pause()
            time.sleep(LEASE_S * self.rng.uniform(1.2, 2))
            worker.resume()
            self.hard += 1
            return
        else:
            # 1: Kafka or the store was away just then.
            assert worker.stop(60) in (0, 1), worker.process.tail(60)
        worker.start(wait=False)

    def drain(self):
        """Until everything that the table has is in Kafka, and all have ended."""
        end = time.monotonic() + DEADLINE_S
        made = None
        while True:
            now = sum(shard["records"] for shard in self.shards().values())
            got = self.events()
            if now == made and len({(e.shard, e.sequence) for e in got}) >= now:
                break
            assert time.monotonic() < end, f"{len(got)} of {now} records"
            made = now
            time.sleep(1)
        for worker in self.workers:
            if worker.process.running():
                worker.stop(60)
        return self.events()

    def events(self):
        return [Event(message.value()) for message in self.kafka.read(self.topic)
                if message.value() is not None]


def check(fleet, events):
    """Every change of each key, and each for the first time in order; returns how many came again."""
    last, again = Counter(), 0
    for event in events:
        if event.n <= last[event.key]:
            again += 1
            continue
        assert event.n == last[event.key] + 1, f"{event.key}: {event.n} after {last[event.key]}"
        last[event.key] = event.n
    truth = fleet.emulator.truth("orders")["keys"]
    assert dict(last) == {key: end["n"] for key, end in truth.items() if end["n"] > 0}
    return again


def storm(fleet, *disasters):
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        time.sleep(fleet.rng.uniform(0.5, 2))
        fleet.turn_a_shard()
        if disasters and fleet.rng.random() < 0.25:
            fleet.rng.choice(disasters)()
        fleet.strike()
    events = fleet.drain()
    again = check(fleet, events)
    print(f"seed {SEED}: {len(fleet.workers)} workers, {len(events)} messages, {again} again, "
          f"{fleet.hard} hard ends")
    ended = sum("a new one begins" in worker.process.text() for worker in fleet.workers)
    assert again == 0 or fleet.hard + ended > 0


def table(emulator):
    records = int(SECONDS * RATE / SHARDS)
    return emulator(f"orders:shards={SHARDS}:records={records}:keys={KEYS}:bytes=400:rate={RATE}",
                    options=("--seed", SEED))


def test_a_storm_over_the_workers(emulator, kafka, postgres, pooler, database, sluice):
    fleet = Fleet(table(emulator), kafka, pooler.url(database), sluice)
    storm(fleet, pooler.restart)


def test_a_storm_over_everything(emulator, kafka, postgres, toxiproxy, database, sluice):
    proxy = toxiproxy.proxy(postgres.port)

    def cut():
        proxy.cut()
        time.sleep(fleet.rng.uniform(0, 1.5 * LEASE_S))
        proxy.restore()

    fleet = Fleet(table(emulator), kafka,
                  database.replace(f":{postgres.port}/", f":{proxy.port}/"), sluice)
    storm(fleet, cut, postgres.restart, kafka.restart)
