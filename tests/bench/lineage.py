"""How soon a child is read: one worker on Postgres delivers to Kafka, at least once.

Shards that rotate one after the other, two or so a second, under load: from when a parent's end is told to the first time that
its child is asked for records, which is after all of the parent's records are delivered. Then a
thousand shards that split at once, behind sixty thousand closed ones in the listing: until all of the
children are asked. DescribeStream takes ten calls a second, as AWS does. Wall time.

The listing of sixty thousand shards alone takes a minute at that rate, before the split."""

import time
import uuid
from collections import deque

import psycopg

from emulator import Emulator
from measure import arguments, finish, folder, say
from sluice import Sluice
from stack import Stack

ROTATING = 64
ROTATE_S = 0.4
RATE = 3000
SPLITTING = 1000
GENERATIONS = 60
DEADLINE_S = 300
LOOK_S = 1
CHILD_BOUND_MS = 250
SPLIT_BOUND_S = 5


class World:
    def __init__(self, stack, place, table, start, poll):
        place.mkdir()
        kafka = stack["kafka"]
        self.database = stack["postgres"].new_database()
        topic = f"lineage-{uuid.uuid4().hex[:8]}"
        kafka.create_topic(topic, partitions=4)
        self.emulator = Emulator(place / "emulator", f"orders:describes=10:bytes=400:{table}")
        self.emulator.start()
        self.worker = Sluice(place / "worker", {
            "checkpoint": {"store": self.database},
            "aws": {"endpoint": {"dynamodb": self.emulator.endpoint,
                                 "streams": self.emulator.endpoint}},
            "streams": [{"table": "orders", "start": start, "sinks": ["kafka"], "poll": poll}],
            "sinks": {"kafka": {"type": "kafka", "brokers": kafka.brokers, "topic": topic}},
        })

    def shards(self, after=""):
        return self.emulator.control("shards", table="orders",
                                     after=after)["streams"][-1]["shards"]

    def reading(self):
        return sum(self.worker.metric("sluice_shards", state=state)
                   for state in ("reading", "fetching", "blocked"))

    def stored(self):
        """How many shards the store knows."""
        with psycopg.connect(self.database) as connection:
            return connection.execute("SELECT count(*) FROM sluice.lane").fetchone()[0]

    def describes(self):
        return self.emulator.control("stats")["describes_most"]

    def end(self):
        self.worker.process.kill()
        self.emulator.stop()


def wait(condition, what):
    end = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {DEADLINE_S} s: {what}")
        time.sleep(LOOK_S)


def percentile(values, part):
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def children_waited_ms(shards):
    """Of each child that was read: since its parent's end was told."""
    return [child["first_read_ms"] - shards[child["parent"]]["end_read_ms"]
            for child in shards.values() if "parent" in child and child["first_read_ms"]]


def rotate(stack, place, seconds):
    """One shard after the other, at a steady pace."""
    world = World(stack, place, f"shards={ROTATING}:rate={RATE}:keys=64:"
                  f"records={RATE // ROTATING * (seconds + 30)}", "oldest",
                  {"min": "50ms", "max": "200ms"})
    world.worker.start()
    wait(lambda: world.worker.metric("sluice_delivered_total") > RATE, "records are delivered")
    turns = deque(world.shards())
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        parent = turns.popleft()
        world.emulator.control("rotate", table="orders", shard=parent, after=parent)
        turns.extend(shard for shard, now in world.shards(parent).items()
                     if now.get("parent") == parent)
        time.sleep(ROTATE_S)
    time.sleep(2)
    waited = children_waited_ms(world.shards())
    most = world.describes()
    world.end()
    return waited, most


def split(stack, place, generations):
    world = World(stack, place, f"shards={SPLITTING}:depth={generations}:fanout=1:keys=8:"
                  f"rate={SPLITTING}:records=300", "latest", {"min": "250ms", "max": "1s"})
    # What was closed an hour before the start is not read.
    world.emulator.control("advance", seconds=7200, date=True)
    old = max(world.shards())
    world.worker.start()
    wait(lambda: world.reading() == SPLITTING, "the shards are read")
    wait(lambda: world.stored() == SPLITTING * (generations + 1), "the store knows all shards")
    began_ms = time.clock_gettime(time.CLOCK_BOOTTIME) * 1000
    world.emulator.control("split", table="orders")

    def read():
        children = world.shards(old)
        return len(children) == 2 * SPLITTING and all(
            child["first_read_ms"] for child in children.values())

    wait(read, "all children are read")
    last_ms = max(child["first_read_ms"] for child in world.shards(old).values())
    most = world.describes()
    world.end()
    return (last_ms - began_ms) / 1000, most


def main():
    options = arguments(__doc__)
    seconds, generations = (20, 6) if options.quick else (60, GENERATIONS)
    with folder() as place, Stack("kafka", "postgres") as stack:
        waited, rotate_most = rotate(stack, place / "rotate", seconds)
        split_s, split_most = split(stack, place / "split", generations)
    p50, p99 = percentile(waited, 0.5), percentile(waited, 0.99)
    say("one worker, Kafka, Postgres; at most ten DescribeStream calls a second:")
    say(f"  {ROTATING} shards, {RATE} records a second, {len(waited)} rotations: from a parent's end "
        f"to its child's first read p50 {p50} ms, p99 {p99} ms (bound {CHILD_BOUND_MS} ms)")
    say(f"  {SPLITTING} shards split at once behind {SPLITTING * generations} closed ones: all "
        f"{2 * SPLITTING} children are read after {split_s:.2f} s (bound {SPLIT_BOUND_S} s)")
    say(f"  calls of DescribeStream in any second: at most {rotate_most} and {split_most}")
    finish("lineage", {"child_p50_ms": p50, "child_p99_ms": p99, "rotations": len(waited),
                       "split_all_s": round(split_s, 2), "splits": SPLITTING,
                       "closed": SPLITTING * generations,
                       "describes_most": max(rotate_most, split_most)}, options.json)


if __name__ == "__main__":
    main()
