"""Events per CPU-second of the whole program: pages of 1,570-byte records with two images come from
the emulator over TLS, are decoded and encoded, and go to nowhere (stdout, which is /dev/null: one
write of 4 KB at a time that the kernel throws away), to a Kafka broker (debezium, lz4) and into
files of a directory in memory (plain, zstd). The three take turns; the best round of each counts."""

import time
import uuid

from measure import Life, TlsEmulator, arguments, finish, folder, say
from stack import Kafka

RECORDS = 500_000
SHARDS = 8
ROUNDS = 3
# No further round begins after this: the whole bench stays under a minute and a half.
ROUNDS_END_S = 45
STAGES = ("readers", "sink", "reports", "librdkafka", "core", "store", "other")


def sinks(kafka, topic, out):
    return {
        "discard": {"type": "stdout", "format": "debezium"},
        "kafka": {"type": "kafka", "brokers": kafka.brokers, "topic": topic,
                  "format": "debezium"},
        "files": {"type": "directory", "path": f"{out}/", "format": "plain",
                  "compression": "zstd", "roll": {"age": "2s"}},
    }


class Run:
    """One life with one sink: CPU µs an event, in all and by the threads that spent them."""

    def __init__(self, emulator, place, name, sink):
        life = Life(place, {
            "worker": {"name": "bench"},
            "checkpoint": {"store": f"sqlite:{place}/state.db"},
            "aws": emulator.aws(),
            "streams": [{"table": "orders", "start": "oldest", "sinks": [name]}],
            "sinks": {name: sink},
        })
        life.launch()
        self.events = life.wait_delivered(name, RECORDS)
        cpu_s = life.stop_measured()
        self.us = cpu_s / self.events * 1e6
        self.stages = {stage: seconds / self.events * 1e6
                       for stage, seconds in life.stage_cpu_s().items()}
        self.hwm_mib = life.mib("VmHWM")

    @property
    def rate(self):
        return 1e6 / self.us


def rounds(emulator, kafka, place, quick):
    """All runs, by the name of the sink."""
    runs = {}
    began = time.monotonic()
    for _ in range(1 if quick else ROUNDS):
        if runs and time.monotonic() - began > ROUNDS_END_S:
            break
        topic = f"bench-{uuid.uuid4().hex[:8]}"
        kafka.create_topic(topic, partitions=4, max_message_bytes=8 << 20,
                           retention_bytes=64 << 20, segment_bytes=32 << 20)
        with folder() as out:
            for name, sink in sinks(kafka, topic, out).items():
                life = place / f"{name}-{uuid.uuid4().hex[:8]}"
                run = Run(emulator, life, name, sink)
                runs.setdefault(name, []).append(run)
    return runs


def table(best):
    say(f"CPU µs an event     {'all':>7} " + " ".join(f"{stage:>10}" for stage in STAGES))
    for name, run in best.items():
        parts = " ".join(f"{run.stages.get(stage, 0):10.2f}" for stage in STAGES)
        say(f"{name:<19} {run.us:7.2f} {parts}")
    say("readers: TLS, HTTP, decoding and encoding, handing to the sink; reports: what Kafka's\n"
        "answers cost us; librdkafka: batching, lz4, sockets; other: starting, HTTP, credentials")


def main():
    options = arguments(__doc__)
    with folder() as place:
        emulator = TlsEmulator(
            place / "emulator",
            f"orders:shards={SHARDS}:records={RECORDS // SHARDS}:page={1 << 20}")
        kafka = Kafka(place / "kafka")
        try:
            kafka.start()
            emulator.start()
            runs = rounds(emulator, kafka, place, options.quick)
        finally:
            emulator.stop()
            kafka.stop()
    best = {name: min(some, key=lambda run: run.us) for name, some in runs.items()}
    hwm_mib = max(run.hwm_mib for some in runs.values() for run in some)
    for name, run in best.items():
        worst = max(runs[name], key=lambda other: other.us)
        say(f"{name:<8} {run.rate:9,.0f} events per CPU-second, best of {len(runs[name])} "
            f"(worst {worst.rate:,.0f}), VmHWM {run.hwm_mib:.0f} MiB")
    table(best)
    finish("pipeline", {
        **{f"{name}_events_per_cpu_s": round(run.rate) for name, run in best.items()},
        "hwm_mib": round(hwm_mib, 1)}, options.json)


if __name__ == "__main__":
    main()
