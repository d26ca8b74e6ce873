"""How long a worker takes to end under load: one reads 20,000 changes a second of 64 shards into
Kafka, at least once, on Postgres, and gets SIGTERM. Another one goes on where it stopped: no record
may come twice. Wall time: most of it is waiting for the brokers and the store."""

import json
import time
import uuid

from emulator import Emulator
from measure import arguments, finish, folder, say
from process import wait_until
from sluice import Sluice
from stack import Stack

SHARDS = 64
RATE = 20000
LOAD_S = 20
BOUND_S = 5
DEADLINE_S = 120


def worker(place, name, emulator, kafka, topic, database):
    return Sluice(place / name, {
        "worker": {"name": name},
        "checkpoint": {"store": database},
        "aws": {"endpoint": {"dynamodb": emulator.endpoint, "streams": emulator.endpoint}},
        "streams": [{"table": "orders", "start": "oldest", "sinks": ["kafka"],
                     "poll": {"min": "50ms", "max": "200ms"}}],
        "sinks": {"kafka": {"type": "kafka", "brokers": kafka.brokers, "topic": topic}},
    })


def sources(kafka, topic):
    for message in kafka.read(topic, deadline=DEADLINE_S):
        if message.value():
            source = json.loads(message.value())["source"]
            yield source["shard"], source["sequence"]


def main():
    options = arguments(__doc__)
    load_s = LOAD_S / 4 if options.quick else LOAD_S
    with folder() as place, Stack("kafka", "postgres") as stack:
        kafka, topic = stack["kafka"], f"stop-{uuid.uuid4().hex[:8]}"
        kafka.create_topic(topic, partitions=8)
        database = stack["postgres"].new_database()
        made = int(RATE * load_s * 2 / SHARDS)
        emulator = Emulator(place / "emulator", f"orders:shards={SHARDS}:rate={RATE}:bytes=400:"
                                                f"keys=100:records={made}")
        emulator.start()
        first = worker(place, "first", emulator, kafka, topic, database).start()
        wait_until(lambda: first.metric("sluice_delivered_total", sink="kafka") > RATE * load_s / 2,
                   "it is under load", DEADLINE_S)
        before = first.metric("sluice_delivered_total", sink="kafka")
        time.sleep(1)
        rate = first.metric("sluice_delivered_total", sink="kafka") - before
        began = time.monotonic()
        code = first.stop(DEADLINE_S)
        exit_s = time.monotonic() - began
        rest = worker(place, "rest", emulator, kafka, topic, database)
        ended = rest.drain(idle="2s", deadline=DEADLINE_S)
        emulator.stop()
        assert (code, ended) == (0, 0), (code, ended)
        seen = list(sources(kafka, topic))
    twice = len(seen) - len(set(seen))
    assert len(set(seen)) == made * SHARDS, f"{len(set(seen))} of {made * SHARDS} records"
    say(f"{SHARDS} shards, {rate:.0f} records a second into Kafka: ended {exit_s:.2f} s after "
        f"SIGTERM (bound {BOUND_S} s); {twice} of {len(seen)} records came twice")
    finish("stop", {"exit_s": round(exit_s, 2), "duplicates": twice, "records_a_second": round(rate),
                    "exit_bound_s": BOUND_S}, options.json)


if __name__ == "__main__":
    main()
