"""A worker that alone cannot reach Kafka, all that cannot, and one that wakes up long after the others
took its place."""

import time
import uuid
from collections import Counter

from emulator import Event
from process import wait_until

LEASE_S = 2
SILENCE_S = 2
SHARDS = 6
KEYS = 60
SILENT = "a sink is silent"
OPEN = ("waiting", "reading", "fetching", "blocked", "draining")


class Pair:
    """Two workers on one stream and one topic; the first may have another way to Kafka."""

    def __init__(self, emulator, kafka, database, sluice, first_brokers=None):
        self.kafka, self.topic = kafka, f"silence-{uuid.uuid4().hex[:8]}"
        kafka.create_topic(self.topic, partitions=4)
        self.emulator = emulator(f"orders:shards={SHARDS}:records=0:keys=4:bytes=400")
        self.database, self.sluice, self.puts = database, sluice, 0
        self.first = self.worker("first", first_brokers or kafka.brokers)
        self.second = self.worker("second", kafka.brokers)

    def worker(self, name, brokers):
        return self.sluice({
            "worker": {"name": name, "sink_timeout": f"{SILENCE_S}s", "shutdown": "5s"},
            "checkpoint": {"store": self.database, "interval": "100ms", "lease": f"{LEASE_S}s"},
            "aws": {"endpoint": {"dynamodb": self.emulator.endpoint,
                                 "streams": self.emulator.endpoint}},
            "streams": [{"table": "orders", "start": "oldest", "sinks": ["kafka"],
                         "poll": {"min": "50ms", "max": "200ms"}}],
            "sinks": {"kafka": {"type": "kafka", "brokers": brokers, "topic": self.topic}}},
            name=name)

    def put(self):
        """Two more changes of each key, and so some in every shard: their numbers."""
        for _ in range(2 * KEYS):
            number, key = divmod(self.puts, KEYS)
            self.puts += 1
            self.emulator.control("put", table="orders", item={
                "pk": {"S": f"k{key}"}, "sk": {"N": "1"}, "n": {"N": str(number)}})
        return {number - 1, number}

    def messages(self):
        return [message for message in self.kafka.read(self.topic, deadline=60)
                if message.value() is not None]

    def events(self):
        return [Event(message.value()) for message in self.messages()]

    def wait_delivered(self):
        wait_until(lambda: len({(e.key, e.n) for e in self.events()}) == self.puts,
                   lambda: f"{self.puts} changes are in Kafka\n{self.second.process.tail()}", 60)

    @staticmethod
    def holds(worker):
        return sum(worker.metric("sluice_shards", state=state) for state in OPEN)

    def wait_holds(self, worker, *counts):
        worker.wait_for(lambda: self.holds(worker) in counts, f"it holds {counts}", 60)

    @staticmethod
    def ended(worker):
        return worker.metric("sluice_sessions_ended_total", reason="sink_silent")

    def check(self):
        """Everything is there, each key's first deliveries in order."""
        last = Counter()
        for event in self.events():
            assert event.n <= last[event.key], f"{event.key}: {event.n} after {last[event.key] - 1}"
            last[event.key] += event.n == last[event.key]
        assert sum(last.values()) == self.puts


def place(message):
    return message.partition(), message.offset()


def test_a_worker_that_alone_cannot_reach_kafka(emulator, kafka, toxiproxy, database, sluice):
    proxy = kafka.proxied(toxiproxy)
    try:
        pair = Pair(emulator, kafka, database, sluice, kafka.proxied_brokers)
        first, second = pair.first.start(), pair.second.start()
        pair.wait_holds(first, SHARDS // 2)
        pair.put()
        pair.wait_delivered()

        proxy.cut()
        pair.put()
        pair.wait_holds(second, SHARDS)
        pair.wait_delivered()
        assert SILENT in first.process.text() and pair.holds(first) == 0
        assert first.metric("sluice_lag_seconds") == 0, "it tells of shards that it does not have"
        assert first.get("/livez")[0] == first.get("/readyz")[0] == 200
        assert '"part":"sink kafka","ok":false' in first.get("/readyz")[1]

        # It does not come back while it cannot; and when nobody can reach Kafka, the last one stays:
        # there is nobody to take what it has.
        kafka.kill()
        pair.put()
        time.sleep(2 * SILENCE_S)
        assert pair.ended(first) == 1 and pair.holds(first) == 0
        assert pair.ended(second) == 0 and pair.holds(second) == SHARDS
        assert second.metric("sluice_lag_seconds") > SILENCE_S, "nobody tells the lag"
        kafka.restart()
        proxy.restore()
        pair.wait_holds(first, SHARDS // 2)
        assert "takes part again" in first.process.text()
        pair.put()
        pair.wait_delivered()

        # A stop does not wait for what it stands by for.
        proxy.cut()
        pair.put()
        first.wait_for(lambda: pair.ended(first) == 2, "it stands by again", 60)
        assert first.stop() == 0
        pair.wait_delivered()
        assert second.stop() == 0
        pair.check()
    finally:
        proxy.remove()


def test_one_that_wakes_up_long_after(emulator, kafka, database, sluice):
    """It sleeps with batches that Kafka has not answered. Afterwards only those may still land, and
    who keeps the newest of each key is right."""
    pair = Pair(emulator, kafka, database, sluice)
    first = pair.first.start()
    pair.wait_holds(first, SHARDS)
    pair.put()
    pair.wait_delivered()
    kafka.pause()
    unanswered = pair.put()
    first.wait_for(lambda: first.metric("sluice_sink_unanswered_bytes") > 0, "batches are out")
    first.pause()
    kafka.resume()
    second = pair.second.start()
    pair.wait_holds(second, SHARDS)
    pair.put()
    pair.wait_delivered()
    time.sleep(2 * LEASE_S)
    known = {place(message) for message in pair.messages()}

    first.resume()
    first.wait_for(lambda: "a new one begins" in first.process.text(), "its session ended")
    pair.wait_holds(first, SHARDS // 2)
    fresh = pair.put()
    pair.wait_delivered()
    assert first.stop() == second.stop() == 0
    late = [Event(message.value()) for message in pair.messages() if place(message) not in known]
    assert {event.n for event in late} - fresh <= unanswered
    pair.check()
    newest = {}
    for event in pair.events():
        newest[event.key] = max(newest.get(event.key, ()),
                                (event.generation, event.sequence, event.n))
    assert {n for _, _, n in newest.values()} == {max(fresh)}
