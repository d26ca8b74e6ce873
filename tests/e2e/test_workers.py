"""Several workers on one stream under load: one after the other is killed, put to sleep, stopped; the
store and Kafka are restarted, the network is cut. Afterwards every change of each key is in Kafka,
first deliveries in order, and each message that came twice is explained by its shard's owner, who
ended hard. SLUICE_STORM_SECONDS says how long, SLUICE_STORM_SEED repeats one."""

import os
import random
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import delivered
from emulator import Event
from owners import Owners
from stack import Kafka, PgBouncer, Postgres
from workload import Workload, create_table

SECONDS = float(os.environ.get("SLUICE_STORM_SECONDS", "40"))
SEED = int(os.environ.get("SLUICE_STORM_SEED", "0")) or random.randrange(1, 1 << 30)
LEASE_S = 2
RATE = 800
SHARDS = 8
SHARDS_MAX = 80
KEYS = 200
CHANGES_A_SECOND = 250
DEADLINE_S = 80 + SECONDS  # a table is made for as long as a storm takes


class Splitting:
    """A table of the emulator, whose shards split and rotate."""

    access_key = "sluicetest"
    tables = ("orders",)

    def __init__(self, emulator, rng):
        self.rng = rng
        self.server = emulator(
            f"orders:shards={SHARDS}:records={int(SECONDS * RATE / SHARDS)}:keys={KEYS}:bytes=400:"
            f"rate={RATE}", options=("--seed", SEED))
        self.endpoint = self.server.endpoint

    def shards(self):
        return self.server.control("shards", table="orders")["streams"][-1]["shards"]

    def turn(self):
        shards = self.shards()
        opened = [shard for shard, now in shards.items() if not now["closed"]]
        if len(shards) < SHARDS_MAX:
            self.server.control(self.rng.choice(("split", "rotate")), table="orders",
                                shard=self.rng.choice(opened))

    def made(self):
        return sum(shard["records"] for shard in self.shards().values())

    def end(self):
        pass

    def check(self, first):
        last = Counter()
        for message in first:
            event = Event(message.value())
            assert event.n == last[event.key] + 1, f"{event.key}: {event.n} after {last[event.key]}"
            last[event.key] = event.n
        truth = self.server.truth("orders")["keys"]
        assert dict(last) == {key: end["n"] for key, end in truth.items() if end["n"] > 0}


class Rolling:
    """A table of DynamoDB Local, whose open shard rolls over. One: several in one database trim each
    other's young shards (its own fault)."""

    tables = ("orders",)

    def __init__(self, dynamodb, rng):
        self.rng, self.dynamodb, self.endpoint = rng, dynamodb, dynamodb.endpoint
        self.access_key = dynamodb.new_access_key()
        create_table(dynamodb.client(self.access_key), "orders")
        self.writer = Workload(SEED, int(SECONDS * CHANGES_A_SECOND), keys=KEYS, threads=1,
                               rate=CHANGES_A_SECOND)
        self.writer.start(self.endpoint, self.access_key, "orders")

    def turn(self):
        self.dynamodb.rollover(self.access_key)

    def made(self):
        return self.writer.written

    def end(self):
        self.writer.join()

    def check(self, first):
        events = [delivered.from_debezium(message.key().decode(), delivered.parse(message.value()))
                  for message in first]
        last = Counter()
        for event in events:
            assert event.sequence > last[event.key], f"{event.key}: first deliveries in disorder"
            last[event.key] = event.sequence
        delivered.compare(self.writer.history, events, delivered.same_plain_item)


class Fleet:
    def __init__(self, name, source, kafka, postgres, database, store, sluice):
        """`database` is the store's own address, `store` the workers' way to it."""
        self.rng = random.Random(f"{SEED} {name}")
        self.name, self.source, self.kafka = name, source, kafka
        self.topic = f"{name}-{uuid.uuid4().hex[:8]}"
        kafka.create_topic(self.topic, partitions=4)
        self.workers = [self.worker(sluice, store, f"{name}{i}")
                        for i in range(self.rng.randint(3, 5))]
        self.workers[0].start()
        self.owners = Owners(postgres, database)
        for worker in self.workers[1:]:
            worker.start()
        self.hard = 0

    def worker(self, sluice, store, name):
        endpoint = self.source.endpoint
        return sluice({
            "worker": {"name": name, "threads": 2, "memory": "64MiB"},
            "checkpoint": {"store": store, "interval": "100ms", "lease": f"{LEASE_S}s"},
            "aws": {"endpoint": {"dynamodb": endpoint, "streams": endpoint}},
            "streams": [{"table": table, "start": "oldest", "sinks": ["kafka"],
                         "poll": {"min": "50ms", "max": "200ms"}} for table in self.source.tables],
            "sinks": {"kafka": {"type": "kafka", "brokers": self.kafka.brokers,
                                "topic": self.topic}}}, name=name,
            access_key=self.source.access_key)

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

    def messages(self):
        return [message for message in self.kafka.read(self.topic, deadline=60)
                if message.value() is not None]

    def drain(self):
        """Until everything that the tables have is in Kafka, and all have ended."""
        self.source.end()
        end = time.monotonic() + DEADLINE_S
        made = None
        while True:
            now, got = self.source.made(), len({identity(m) for m in self.messages()})
            if now == made and got >= now:
                break
            assert time.monotonic() < end, f"{got} of {now} records"
            made = now
            time.sleep(1)
        for worker in self.workers:
            if worker.process.running():
                worker.stop(60)
        return self.messages()

    def storm(self, *disasters):
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            time.sleep(self.rng.uniform(0.5, 2))
            self.source.turn()
            if disasters and self.rng.random() < 0.25:
                self.rng.choice(disasters)()
            self.strike()
        self.check(self.drain())

    def check(self, messages):
        known, first = set(), []
        for message in messages:
            if identity(message) not in known:
                first.append(message)
            known.add(identity(message))
        self.source.check(first)
        self.owners.read(self.workers)
        again = self.owners.explain((message.partition(), *identity(message)[1:],
                                     message.timestamp()[1]) for message in messages)
        print(f"{self.name}: seed {SEED}: {len(self.workers)} workers, {len(messages)} messages, "
              f"{self.hard} hard ends, came again: {dict(again)}")


def identity(message):
    headers = dict(message.headers())
    return tuple(headers[f"sluice.{name}"].decode() for name in ("stream", "shard", "sequence"))


def over_the_workers(fleet, pooler):
    fleet.storm(pooler.restart)


def over_everything(fleet, postgres, proxy):
    def cut():
        proxy.cut()
        time.sleep(fleet.rng.uniform(0, 1.5 * LEASE_S))
        proxy.restore()

    fleet.storm(cut, postgres.restart, fleet.kafka.restart)


def test_storms(emulator, dynamodb, kafka, postgres, toxiproxy, own, sluice):
    """Three at a time, which share no server that one of them breaks: shards that split, on Postgres
    behind a pooler; shards that roll over in DynamoDB Local; and with everything else breaking."""
    pooler, broken, own_kafka = own(PgBouncer, postgres), own(Postgres), own(Kafka)
    proxy = toxiproxy.proxy(broken.port)
    databases = [server.new_database() for server in (postgres, postgres, broken)]
    ways = [pooler.url(databases[0]), databases[1],
            databases[2].replace(f":{broken.port}/", f":{proxy.port}/")]
    splitting, rolling, everything = (
        Fleet(name, source, *servers, database, way, sluice)
        for name, source, servers, database, way in zip(
            ("splitting", "rolling", "everything"),
            (Splitting(emulator, random.Random(SEED)), Rolling(dynamodb, random.Random(SEED)),
             Splitting(emulator, random.Random(SEED + 1))),
            ((kafka, postgres), (kafka, postgres), (own_kafka, broken)), databases, ways))
    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(over_the_workers, splitting, pooler), pool.submit(rolling.storm),
                     pool.submit(over_everything, everything, broken, proxy)]:
            done.result()
