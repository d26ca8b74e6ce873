"""What exactly once costs, in CPU time an event: Kafka in transactions over Kafka at least once, both
with their places in Postgres, and committing rolls of files over one roll at the end. And how long
a change takes to a consumer of committed messages while there is little to do."""

import time
import uuid

from confluent_kafka import Consumer, TopicPartition

from emulator import Emulator
from latency import parts, percentile
from measure import Life, TlsEmulator, arguments, finish, folder, say
from sluice import Sluice
from stack import Kafka, Postgres

RECORDS = 500_000
SHARDS = 16
PARTITIONS = 4
ROUNDS = 4
# No further round begins after this.
ROUNDS_END_S = 60
QUIET_RATE, QUIET_S, QUIET_QUICK_S = 10, 15, 5
COST_BOUND, COMMIT_BOUND, QUIET_BOUND_MS = 0.25, 0.05, 500


def sinks(kafka, topic, out):
    def messages(delivery):
        return {"type": "kafka", "brokers": kafka.brokers, "topic": topic, "delivery": delivery}

    def files(name, age):
        return {"type": "directory", "path": f"{out}/{name}/", "format": "plain",
                "compression": "zstd", "roll": {"age": age, "size": "5GiB"}}

    return {"at_least_once": messages("at_least_once"), "exactly_once": messages("exactly_once"),
            "one_roll": files("one", "1h"), "rolls": files("many", "1s")}


def life_us(emulator, place, database, name, sink):
    """CPU µs an event of one life, and how many rolls it committed."""
    life = Life(place, {
        "worker": {"name": "bench"},
        "checkpoint": {"store": database},
        "aws": emulator.aws(),
        "streams": [{"table": "orders", "start": "oldest", "sinks": [name]}],
        "sinks": {name: sink},
    })
    life.launch()
    if name == "one_roll":  # it ends with the life
        life.wait_for(lambda: life.value("sluice_records_total") >= RECORDS, "all is read", 120)
        events = RECORDS
    else:
        events = life.wait_delivered(name, RECORDS)
    rolls = life.value("sluice_rolls_total", sink=name)
    return life.stop_measured() / events * 1e6, rolls


def rounds(emulator, kafka, postgres, place, quick):
    """The best of each, as (µs, rolls)."""
    lives = {}
    began = time.monotonic()
    for _ in range(1 if quick else ROUNDS):
        if lives and time.monotonic() - began > ROUNDS_END_S:
            break
        topic = f"bench-{uuid.uuid4().hex[:8]}"
        kafka.create_topic(topic, partitions=PARTITIONS, max_message_bytes=8 << 20,
                           retention_bytes=64 << 20, segment_bytes=32 << 20)
        with folder() as out:
            for name, sink in sinks(kafka, topic, out).items():
                home = place / f"{name}-{uuid.uuid4().hex[:8]}"
                lives.setdefault(name, []).append(
                    life_us(emulator, home, postgres.new_database(), name, sink))
    return {name: min(some) for name, some in lives.items()}


def quiet(kafka, postgres, place, seconds):
    """Milliseconds from the append to a consumer of committed messages, sorted."""
    topic = f"quiet-{uuid.uuid4().hex[:8]}"
    kafka.create_topic(topic, partitions=1)
    emulator = Emulator(place / "quiet", f"orders:shards=2:rate={QUIET_RATE}:milliseconds=1:"
                        f"records={QUIET_RATE * 300}")
    emulator.start()
    worker = Sluice(place / "worker", {
        "worker": {"name": "bench"},
        "checkpoint": {"store": postgres.new_database()},
        "aws": {"endpoint": {"dynamodb": emulator.endpoint, "streams": emulator.endpoint}},
        "streams": [{"table": "orders", "start": "latest", "sinks": ["kafka"],
                     "poll": {"min": "100ms", "max": "100ms"}}],
        "sinks": {"kafka": {"type": "kafka", "brokers": kafka.brokers, "topic": topic,
                            "delivery": "exactly_once"}}})
    consumer = Consumer({"bootstrap.servers": kafka.brokers, "group.id": f"quiet-{topic}",
                         "isolation.level": "read_committed", "enable.auto.commit": False})
    try:
        worker.start()
        worker.wait_metric("sluice_rolls_total", 5, result="committed")
        consumer.assign([TopicPartition(topic, 0)])
        heard, end, began_ms = [], time.monotonic() + seconds, time.time() * 1000
        while time.monotonic() < end:
            message = consumer.poll(0.1)
            if message and not message.error():
                heard.append((time.time() * 1000, message))
        worker.stop()
    finally:
        consumer.close()
        emulator.stop()
    fresh = [(at, m) for at, m in heard if m.timestamp()[1] > began_ms]
    return parts(fresh)[1]


def main():
    options = arguments(__doc__)
    with folder() as place:
        emulator = TlsEmulator(
            place / "emulator",
            f"orders:shards={SHARDS}:records={RECORDS // SHARDS}:page={1 << 20}")
        kafka, postgres = Kafka(place / "kafka"), Postgres(place / "postgres")
        servers = (kafka, postgres, emulator)
        try:
            for server in servers:
                server.start()
            best = rounds(emulator, kafka, postgres, place, options.quick)
            whole = quiet(kafka, postgres, place, QUIET_QUICK_S if options.quick else QUIET_S)
        finally:
            for server in reversed(servers):
                server.stop()
    us = {name: figures[0] for name, figures in best.items()}
    cost = us["exactly_once"] / us["at_least_once"] - 1
    share = max(0.0, 1 - us["one_roll"] / us["rolls"])
    p50, p99 = percentile(whole, 0.5), percentile(whole, 0.99)
    say(f"Kafka: {us['at_least_once']:.2f} µs an event at least once, {us['exactly_once']:.2f} "
        f"exactly once in {best['exactly_once'][1]:.0f} transactions: {cost:+.1%} "
        f"(bound {COST_BOUND:.0%})\n"
        f"files: {us['one_roll']:.2f} µs an event in one roll, {us['rolls']:.2f} in "
        f"{best['rolls'][1]:.0f}: {share:.1%} of it for committing (bound {COMMIT_BOUND:.0%})\n"
        f"with {QUIET_RATE} records a second: append to committed p50 {p50:.0f} ms, p99 {p99:.0f} "
        f"ms (bound {QUIET_BOUND_MS})")
    finish("exactly_once", {"kafka_cost": round(cost, 3), "files_commit_share": round(share, 3),
                            "quiet_p50_ms": round(p50, 1), "quiet_p99_ms": round(p99, 1)},
           options.json)


if __name__ == "__main__":
    main()
