"""From a record's append to a consumer of Kafka: 64 shards get 5,000 records a second in real time,
Sluice polls with `poll.min` 100 ms and no budget, and a consumer of its own compares the clock with
the time that each record carries. Wall time on one clock; a busy machine makes it longer."""

import json
import time
import uuid

from confluent_kafka import Consumer, TopicPartition

from emulator import Emulator
from measure import arguments, finish, folder, say
from sluice import Sluice
from stack import Kafka, Postgres

SHARDS = 64
RATE = 5000
PARTITIONS = 4
WARM_S, MEASURE_S, QUICK_S = 3, 30, 8
# What was appended before the program and its consumer were there is caught up with first.
CAUGHT_UP_MS, CATCH_UP_S = 1000, 60
AT_ONCE = 1000
WAIT_S = 0.1
P50_BOUND_MS, P99_BOUND_MS = 150, 400


class Listener:
    """A consumer that notes when each message was there."""

    def __init__(self, kafka, topic):
        self.consumer = Consumer({"bootstrap.servers": kafka.brokers,
                                  "group.id": f"latency-{uuid.uuid4()}",
                                  "enable.auto.commit": False})
        self.consumer.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])

    def listen(self, seconds):
        """(arrival in epoch ms, message) of all that comes."""
        heard = []
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            first = self.consumer.poll(WAIT_S)
            if first is None:
                continue
            some = [first, *self.consumer.consume(AT_ONCE, 0)]
            now_ms = time.time() * 1000
            heard += [(now_ms, message) for message in some if not message.error()]
        return heard


def percentile(ordered, share):
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def parts(heard):
    """Milliseconds from the append until Sluice gave the record to its producer, and in all."""
    to_producer, whole = [], []
    for now_ms, message in heard:
        if message.value() is None:  # a tombstone
            continue
        appended_ms = json.loads(message.value())["source"]["ts_ms"]
        to_producer.append(message.timestamp()[1] - appended_ms)
        whole.append(now_ms - appended_ms)
    return sorted(to_producer), sorted(whole)


def catch_up(listener):
    end = time.monotonic() + CATCH_UP_S
    while time.monotonic() < end:
        whole = parts(listener.listen(1))[1]
        if whole and whole[-1] < CAUGHT_UP_MS:
            listener.listen(WARM_S)
            return
    raise TimeoutError(f"records are still more than {CAUGHT_UP_MS} ms late after {CATCH_UP_S} s")


def run(kafka, postgres, place, seconds):
    topic = f"latency-{uuid.uuid4().hex[:8]}"
    kafka.create_topic(topic, partitions=PARTITIONS)
    each = RATE * (CATCH_UP_S + WARM_S + seconds) // SHARDS
    emulator = Emulator(place / "emulator",
                        f"orders:shards={SHARDS}:rate={RATE}:records={each}:milliseconds=1")
    emulator.start()
    worker = Sluice(place / "worker", {
        "worker": {"name": "bench"},
        "checkpoint": {"store": postgres.new_database()},
        "aws": {"endpoint": {"dynamodb": emulator.endpoint, "streams": emulator.endpoint}},
        "streams": [{"table": "orders", "start": "oldest", "sinks": ["kafka"],
                     "poll": {"min": "100ms"}}],
        "sinks": {"kafka": {"type": "kafka", "brokers": kafka.brokers, "topic": topic}},
    })
    try:
        worker.start()
        listener = Listener(kafka, topic)
        catch_up(listener)
        before = worker.metric("sluice_polls_total")
        heard = listener.listen(seconds)
        polls = (worker.metric("sluice_polls_total") - before) / seconds
        listener.consumer.close()
        worker.stop()
    finally:
        emulator.stop()
    return polls, *parts(heard)


def main():
    options = arguments(__doc__)
    seconds = QUICK_S if options.quick else MEASURE_S
    with folder() as place:
        kafka, postgres = Kafka(place / "kafka"), Postgres(place / "postgres")
        try:
            kafka.start()
            postgres.start()
            polls, to_producer, whole = run(kafka, postgres, place, seconds)
        finally:
            postgres.stop()
            kafka.stop()
    p50, p99 = percentile(whole, 0.5), percentile(whole, 0.99)
    say(f"{len(whole) / seconds:,.0f} records a second in {SHARDS} shards, {polls:,.0f} polls a "
        f"second:\n"
        f"  append to consumer: p50 {p50:.0f} ms (bound {P50_BOUND_MS}), p99 {p99:.0f} ms "
        f"(bound {P99_BOUND_MS}), worst {whole[-1]:.0f} ms\n"
        f"  of it until the producer has the record: p50 {percentile(to_producer, 0.5)} ms, "
        f"p99 {percentile(to_producer, 0.99)} ms")
    finish("latency", {"p50_ms": round(p50, 1), "p99_ms": round(p99, 1),
                       "worst_ms": round(whole[-1], 1), "records_per_s": round(len(whole) / seconds),
                       "polls_per_s": round(polls)}, options.json)


if __name__ == "__main__":
    main()
