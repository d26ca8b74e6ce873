"""A table of the emulator under constant writes, whose exports go to S3, and workers that join its
stream to them, into Kafka; what a consumer keeps of that, and whether it is the table. Nothing of
Sluice's own is in the comparison."""

import base64
import gzip
import hashlib
import json
import random
import threading
import time
import uuid
from collections import Counter

from emulator import Event
from owners import Owners
from process import wait_until

MINUTE = 60
HOUR = 3600
LEASE_S = 2
DEADLINE_S = 150
# So far exports' cuts may be off.
FUZZ_MS = 60000


def key_of(keys):
    """As Sluice writes Kafka's keys."""
    return json.dumps({"pk": keys["pk"]["S"], "sk": int(keys["sk"]["N"])}, ensure_ascii=False,
                      separators=(",", ":"))


def put_key(name):
    return key_of({"pk": {"S": name}, "sk": {"N": "1"}})


class Clock:
    """AWS's time, which is the emulator's: what happens under `lock` happens in one moment of it."""

    def __init__(self, emulator):
        self.emulator, self.lock = emulator, threading.Lock()
        self.running = None

    def now_ms(self):
        return self.emulator.control("advance", seconds=0)["now_ms"]

    def move(self, seconds):
        with self.lock:
            self.emulator.control("advance", seconds=seconds, date=True)

    def run(self, seconds, every=1.5):
        """So many seconds further every now and then: not faster than workers believe it, which
        takes two answers that agree."""
        stop = threading.Event()

        def steps():
            while not stop.wait(every):
                self.move(seconds)

        self.running = stop, threading.Thread(target=steps, daemon=True)
        self.running[1].start()

    def stop(self):
        if self.running:
            self.running[0].set()
            self.running[1].join()
            self.running = None


class Writer:
    """Puts, changes and deletes items one after the other, and notes how long each lived."""

    def __init__(self, emulator, clock, rng, keys=400, rate=80):
        self.emulator, self.clock, self.rng = emulator, clock, rng
        self.keys, self.pause_s = keys, 1 / rate
        self.changes = Counter()
        self.born, self.lives = {}, []  # AWS time in ms; (key, born, gone)
        self.error = self.thread = None
        self.stopped = threading.Event()

    def put(self, name):
        self.changes[name] += 1
        with self.clock.lock:
            now_ms = self.clock.now_ms()
            self.emulator.control("put", table="orders", created_ms=now_ms, item={
                "pk": {"S": name}, "sk": {"N": "1"}, "n": {"N": str(self.changes[name])},
                "v": {"S": f"{name} {self.changes[name]}"}})
            self.born.setdefault(name, now_ms)

    def delete(self, name):
        with self.clock.lock:
            now_ms = self.clock.now_ms()
            self.emulator.control("delete", table="orders", created_ms=now_ms,
                                  key={"pk": {"S": name}, "sk": {"N": "1"}})
            self.lives.append((put_key(name), self.born.pop(name), now_ms))

    def change(self):
        name = f"w{self.rng.randrange(self.keys)}"
        if name in self.born and self.rng.random() < 0.3:
            self.delete(name)
        else:
            self.put(name)

    def start(self):
        def run():
            try:
                while not self.stopped.wait(self.pause_s):
                    self.change()
            except BaseException as error:
                self.error = error
                raise

        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()

    def stop(self):
        self.stopped.set()
        if self.thread:
            self.thread.join()
        if self.error:
            raise self.error


class Files:
    """What lies in the bucket of a store's exports: each data file's lines, found by its manifest."""

    def __init__(self, s3, rows):
        """Rows: export's id, generation, number, manifest."""
        self.client = s3.client()
        self.lines = {}  # (generation, number, key): the file's name
        for generation, number, manifest in rows:
            bucket, name = manifest.removeprefix("s3://").split("/", 1)
            summary = json.loads(self.get(bucket, name))
            for line in self.get(bucket, summary["manifestFilesS3Key"]).splitlines():
                self.add(bucket, json.loads(line), generation, number)

    def get(self, bucket, name):
        return self.client.get_object(Bucket=bucket, Key=name)["Body"].read()

    def add(self, bucket, entry, generation, number):
        name = entry["dataFileS3Key"]
        data = self.get(bucket, name)
        assert base64.b64encode(hashlib.md5(data).digest()).decode() == entry["md5Checksum"]
        for line in map(json.loads, gzip.decompress(data).splitlines()):
            line = line.get("Item") or line["Keys"]
            assert (generation, number, key_of(line)) not in self.lines
            self.lines[generation, number, key_of(line)] = name.rsplit("/", 1)[1]


class Joined:
    """One stream, `count` workers on one database."""

    name = "joined"

    def __init__(self, servers, table, seed, count=3, stream=None, sink=None):
        self.servers = servers
        self.rng = random.Random(f"{seed} {self.name}")
        self.emulator = servers.exporting(f"orders:pitr=1:bytes=300:{table}")
        self.clock = Clock(self.emulator)
        self.clock.move(HOUR)
        self.writer = Writer(self.emulator, self.clock, self.rng)
        self.database = servers.postgres.new_database()
        self.bucket = servers.s3.new_bucket()
        run = uuid.uuid4().hex[:8]
        self.topic, self.control_topic = f"data-{run}", f"control-{run}"
        servers.kafka.create_topic(self.topic, partitions=4)
        servers.kafka.create_topic(self.control_topic)
        self.workers = [self.worker(f"{self.name}{i}", stream or {}, sink or {})
                        for i in range(count)]
        self.owners = None
        self.kills = 0

    def worker(self, name, stream, sink):
        endpoint, s3 = self.emulator.endpoint, self.servers.s3
        return self.servers.sluice({
            "worker": {"name": name, "threads": 2, "memory": "64MiB", "follow": "1s"},
            "checkpoint": {"store": self.database, "interval": "100ms", "lease": f"{LEASE_S}s"},
            "aws": {"endpoint": {"dynamodb": endpoint, "streams": endpoint,
                                 "s3": f"http://127.0.0.1:{self.servers.way.port}"}},
            "streams": [{"table": "orders", "start": "oldest", "gap": "repair",
                         "baseline": {"bucket": self.bucket, "prefix": "raw", "poll": "5s"},
                         "poll": {"min": "20ms", "max": "200ms"}, "sinks": ["events"], **stream}],
            "sinks": {"events": {"type": "kafka", "brokers": self.servers.kafka.brokers,
                                 "topic": self.topic, "control_topic": self.control_topic,
                                 **sink}}},
            name=name, access_key=s3.access_key, secret_key=s3.secret_key)

    def sql(self, text):
        return self.servers.postgres.execute(text, url=self.database)

    # --- lives ---

    def start(self):
        """All of them; who owns what is noted from here on."""
        self.workers[0].start()
        self.owners = self.owners or Owners(self.servers.postgres, self.database)
        for worker in self.workers[1:]:
            worker.start(wait=False)

    def kill(self):
        victim = self.rng.choice(self.workers)
        victim.kill9()
        victim.start(wait=False)
        self.kills += 1

    def stop(self):
        for worker in self.workers:
            # One that has just been started does not take signals yet.
            worker.wait_for(lambda: worker.get("/livez")[0] == 200, "it is alive", DEADLINE_S)
            assert worker.stop(60) == 0, f"{self.name}: {worker.process.tail(60)}"

    def wait(self, condition, what):
        """Polls; the log of a worker that ended by itself tells why."""
        def probe():
            for worker in self.workers:
                if worker.process and not worker.process.running():
                    raise AssertionError(f"{self.name}: {worker.process.tail(60)}")
            return condition()

        return wait_until(probe, lambda: f"{self.name}: {what}: {self.exports('*')}", DEADLINE_S)

    def exports(self, what, where="true"):
        return self.sql(f"SELECT {what} FROM sluice.export WHERE {where} ORDER BY id")

    def reached(self, statuses):
        return any(status in statuses for status, in self.exports("status"))

    def wait_metric(self, name, at_least):
        """Of all workers together."""
        self.wait(lambda: sum(worker.metric(name) for worker in self.workers) >= at_least,
                  f"{name} >= {at_least}")

    def joined(self, generation=2):
        return self.sql("SELECT generation, hold FROM sluice.stream WHERE arn LIKE 'arn:%' "
                        "ORDER BY id DESC LIMIT 1") == [(generation, None)]

    def finish(self):
        """Nothing more is written; one more life delivers what is left."""
        self.writer.stop()
        self.clock.stop()
        self.stop()
        assert self.workers[0].drain(deadline=DEADLINE_S) == 0, self.workers[0].process.tail(60)
        self.files = Files(self.servers.s3, self.exports("generation, number, manifest"))
        self.messages = self.servers.kafka.read(self.topic, deadline=60)
        self.events = [(Event(m.value()), m) for m in self.messages if m.value() is not None]

    # --- what must hold ---

    def kept(self):
        """Per key the event of the highest (generation, sequence), but for deletes: each of these
        has its tombstone."""
        best, tombstones = {}, set()
        for message in self.messages:
            if message.value() is None:
                tombstones.add((message.key().decode(), dict(message.headers())["sluice.order"]))
        for event, message in self.events:
            assert message.key().decode() == event.key
            order = event.generation, event.sequence
            if event.key not in best or order >= best[event.key][0]:
                best[event.key] = order, event, dict(message.headers())["sluice.order"]
        for key, (_, event, order) in best.items():
            assert event.op != "d" or (key, order) in tombstones, f"{key} is deleted silently"
        return {key: event for key, (_, event, _) in best.items() if event.op != "d"}

    def check_kept(self, foreseen=()):
        """It is the table. Returns what of `foreseen` is there beside it."""
        truth = self.emulator.truth("orders")
        kept = self.kept()
        beside = kept.keys() - truth["items"].keys() - {
            key for key, value in truth["keys"].items() if value["exists"]}
        assert beside <= set(foreseen), f"{self.name}: unforeseen {sorted(beside)[:5]}"
        for key in beside:
            del kept[key]
        wanted = {key: value["n"] for key, value in truth["keys"].items() if value["exists"]}
        wanted.update({key: int(item["n"]["N"]) for key, item in truth["items"].items()})
        got = {key: event.n for key, event in kept.items()}
        assert got == wanted, f"{self.name}: {dict(sorted(got.items() ^ wanted.items())[:6])}"
        for key, item in truth["items"].items():
            assert kept[key].value["after"] == {
                "pk": item["pk"]["S"], "sk": 1, "n": int(item["n"]["N"]), "v": item["v"]["S"]}, key
        return beside

    def windows(self):
        found = self.exports("from_ms, to_ms", "from_ms > 0")
        for (_, end), (begin, _) in zip(found, found[1:]):
            assert end == begin, f"{self.name}: windows {found}"
        return found

    def foreseen(self, fuzz_ms=FUZZ_MS):
        """Keys of items that lived and died within one window, and when."""
        windows = self.windows()
        return {key: gone for key, born, gone in self.writer.lives for begin, end in windows
                if begin - fuzz_ms <= born and gone < end + fuzz_ms}

    def gaps(self):
        """As the status shows them."""
        return json.loads(self.workers[0].run("status", "--json").stdout)["streams"][0]["gaps"]

    def identity(self, event):
        """What it came from: a shard, or a data file, and what of that."""
        source = event.shard or self.files.lines[event.generation, event.sequence, event.key]
        return source, (event.generation, event.sequence, event.key)

    def check_lines(self):
        """Each line of each export came, and no other."""
        came = {(event.generation, event.sequence, event.key)
                for event, _ in self.events if event.shard is None}
        assert came == self.files.lines.keys(), self.name

    def check_again(self):
        """What came more than once did so behind a hard end of the worker that had its file or
        shard."""
        self.owners.read(self.workers)
        return self.owners.explain(
            (message.partition(), *self.identity(event), message.timestamp()[1])
            for event, message in self.events)

    def check_once(self):
        times = Counter(self.identity(event) for event, _ in self.events)
        assert max(times.values()) == 1, [key for key, count in times.items() if count > 1][:3]

    def told(self):
        """Control events; one that came again, as its teller was killed, counts once."""
        seen = {}
        for message in self.servers.kafka.read(self.control_topic):
            event = json.loads(message.value())
            seen.setdefault(event["id"], event)
        return list(seen.values())

    def check_told(self, kind):
        """A begin, and an end behind all that exports gave."""
        begin, end = (event for event in self.told() if event["kind"] == kind)
        assert (begin["phase"], end["phase"]) == ("begin", "end")
        assert begin["generation"] == end["generation"] == 2
        offsets = {int(partition): at for partition, at in end["offsets"][self.topic].items()}
        first = {}
        for event, message in self.events:
            first.setdefault(self.identity(event), (event, message))
        for event, message in first.values():
            if event.shard is None:
                assert message.offset() < offsets[message.partition()], event.key

    def summary(self, again):
        return (f"{self.name}: {len(self.events)} events, {self.kills} kills, "
                f"{len(self.files.lines)} lines of {len(self.exports('id'))} exports, "
                f"came again: {dict(again)}")
