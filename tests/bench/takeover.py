"""How long shards stand still when a worker leaves: three workers on one Postgres deliver sixty shards
to Kafka, at least once, with a lease of 10 s. One is killed: from then until each of the shards is
asked again. One is stopped: the same from its end, and no record may come twice. Wall time, of
which most is the lease."""

import json
import time
import uuid

from emulator import Emulator
from measure import arguments, finish, folder, say
from sluice import Sluice
from stack import Stack

SHARDS = 60
WORKERS = 3
LEASE_S = 10
BEAT_S = LEASE_S / 10
RATE = 600
KILL_BOUND_S = 1.5 * LEASE_S + 2 * BEAT_S + 1
STOP_BOUND_S = BEAT_S + 1
DEADLINE_S = 60
LOOK_S = 0.02


class Fleet:
    def __init__(self, stack, place):
        self.place = place
        place.mkdir()
        self.kafka = stack["kafka"]
        self.topic = f"takeover-{uuid.uuid4().hex[:8]}"
        self.kafka.create_topic(self.topic, partitions=4)
        self.emulator = Emulator(place / "emulator",
                                 f"orders:shards={SHARDS}:rate={RATE}:bytes=400:keys=100:"
                                 f"records={RATE * DEADLINE_S // SHARDS}")
        self.emulator.start()
        database = stack["postgres"].new_database()
        self.workers = [self.worker(f"w{i}", database).start() for i in range(WORKERS)]
        self.wait(lambda: self.shared(), "the shards are shared")

    def worker(self, name, database):
        return Sluice(self.place / name, {
            "worker": {"name": name},
            "checkpoint": {"store": database, "lease": f"{LEASE_S}s"},
            "aws": {"endpoint": {"dynamodb": self.emulator.endpoint,
                                 "streams": self.emulator.endpoint}},
            "streams": [{"table": "orders", "start": "oldest", "sinks": ["kafka"],
                         "poll": {"min": "50ms", "max": "200ms"}}],
            "sinks": {"kafka": {"type": "kafka", "brokers": self.kafka.brokers,
                                "topic": self.topic}},
        })

    @staticmethod
    def wait(condition, what):
        end = time.monotonic() + DEADLINE_S
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(f"not within {DEADLINE_S} s: {what}")
            time.sleep(LOOK_S)

    def shared(self):
        held = [sum(worker.metric("sluice_shards", state=state)
                    for state in ("reading", "fetching", "blocked")) for worker in self.workers]
        return sum(held) == SHARDS and max(held) - min(held) <= 1

    def calls(self):
        shards = self.emulator.control("shards", table="orders")["streams"][-1]["shards"]
        return {shard: now["calls"] for shard, now in shards.items()}

    def until_all_are_read(self):
        """Seconds from now until each shard is asked once more."""
        began, before = time.monotonic(), self.calls()
        self.wait(lambda: all(calls > before[shard] for shard, calls in self.calls().items()),
                  "every shard is read again")
        return time.monotonic() - began

    def twice(self):
        """How many messages are of a record that came before."""
        seen = [(source["shard"], source["sequence"]) for message in self.kafka.read(self.topic)
                if message.value() for source in [json.loads(message.value())["source"]]]
        return len(seen) - len(set(seen)), len(seen)

    def end(self):
        for worker in self.workers:
            if worker.process.running():
                worker.stop()
        self.emulator.stop()


def kill(stack, place):
    fleet = Fleet(stack, place)
    fleet.workers[0].kill9()
    took_s = fleet.until_all_are_read()
    fleet.end()
    return took_s


def stop(stack, place):
    fleet = Fleet(stack, place)
    fleet.workers[0].stop()
    took_s = fleet.until_all_are_read()
    fleet.end()
    return took_s, *fleet.twice()


def main():
    options = arguments(__doc__)
    with folder() as place, Stack("kafka", "postgres") as stack:
        killed_s = kill(stack, place / "kill")
        stopped_s, twice, records = stop(stack, place / "stop")
    say(f"{SHARDS} shards, {WORKERS} workers, lease {LEASE_S} s, Kafka:")
    say(f"  one is killed:  all shards are read again after {killed_s:5.2f} s "
        f"(bound {KILL_BOUND_S:g} s)")
    say(f"  one is stopped: all shards are read again after {stopped_s:5.2f} s of its end "
        f"(bound {STOP_BOUND_S:g} s); {twice} of {records} records came twice")
    finish("takeover", {"lease_s": LEASE_S, "beat_s": BEAT_S, "kill_s": round(killed_s, 2),
                        "term_s": round(stopped_s, 2), "term_duplicates": twice,
                        "kill_bound_s": KILL_BOUND_S, "term_bound_s": STOP_BOUND_S},
           options.json)


if __name__ == "__main__":
    main()
