"""What shards without data cost with the default pacing, in which each is asked every five seconds:
a thousand, for what the session itself takes (beats, rounds and saves, in Postgres); then ten
thousand, which are 2,000 polls a second, for the CPU time of an empty poll over TLS and for memory.
All of the process's CPU time is the polls' but what the threads spend that talk to the store."""

import time

from measure import Life, TlsEmulator, arguments, finish, folder, say
from stack import Postgres

FEW, MANY = 1000, 10000
FEW_S, MANY_S = 30, 60
# Listing, the first iterators, connections: not what an idle hour is made of.
SETTLE_POLLS = 3
QUICK = 4
POLL_BOUND_US, RSS_BOUND_MIB, STORE_BOUND = 60, 96, 0.02


class Window:
    """What a life spent while the window was open."""

    def __init__(self, life):
        self.life = life
        self.begin = self._now()

    def _now(self):
        self.life.sample()
        return {"s": time.monotonic(), "cpu": self.life.cpu_s(),
                "store": self.life.stage_cpu_s().get("store", 0),
                "polls": self.life.value("sluice_polls_total", result="empty")}

    def close(self):
        end = self._now()
        for name, before in self.begin.items():
            setattr(self, name, end[name] - before)
        return self

    def poll_us(self):
        return (self.cpu - self.store) / self.polls * 1e6


def rest(postgres, place, shards, seconds):
    """A window of a life with so many shards, which are at rest, and its VmRSS."""
    place.mkdir()
    emulator = TlsEmulator(place / "emulator", f"idle:shards={shards}")
    emulator.start()
    try:
        worker = Life(place, {
            "worker": {"name": "bench"},
            "checkpoint": {"store": postgres.new_database()},
            "aws": emulator.aws(),
            "streams": [{"table": "idle", "start": "oldest", "sinks": ["nowhere"]}],
            "sinks": {"nowhere": {"type": "stdout"}},
        })
        worker.launch()
        worker.wait_for(lambda: worker.value("sluice_polls_total", result="empty") >=
                        SETTLE_POLLS * shards, "every shard was polled a few times", 120)
        window = Window(worker)
        time.sleep(seconds)
        window.close()
        rss_mib = worker.mib("VmRSS")
        worker.stop_measured()
    finally:
        emulator.stop()
    return window, rss_mib


def tell(shards, window, rss_mib):
    say(f"{shards:,} shards without data, {window.s:.0f} s at {window.polls / window.s:,.0f} polls "
        f"a second:\n  {window.cpu / window.s * 100:.1f} % of a core, {window.poll_us():.1f} µs a "
        f"poll, VmRSS {rss_mib:.1f} MiB, beats and saves {window.store / window.s * 100:.2f} % of "
        f"a core, {window.store / window.cpu * 100:.1f} % of the CPU time")


def main():
    options = arguments(__doc__)
    shorter = QUICK if options.quick else 1
    with folder() as place:
        postgres = Postgres(place / "postgres")
        try:
            postgres.start()
            few, few_mib = rest(postgres, place / "few", FEW, FEW_S / shorter)
            tell(FEW, few, few_mib)
            many, many_mib = rest(postgres, place / "many", MANY, MANY_S / shorter)
            tell(MANY, many, many_mib)
        finally:
            postgres.stop()
    say(f"bounds for {MANY:,}: {POLL_BOUND_US} µs a poll, {RSS_BOUND_MIB} MiB, beats and saves "
        f"{STORE_BOUND * 100:.0f} % of a core")
    finish("idle", {"shards": MANY, "poll_cpu_us": round(many.poll_us(), 1),
                    "rss_mib": round(many_mib, 1),
                    "beat_save_share": round(many.store / many.s, 4),
                    "polls_per_s": round(many.polls / many.s),
                    "few_rss_mib": round(few_mib, 1),
                    "few_beat_save_share": round(few.store / few.s, 4)}, options.json)


if __name__ == "__main__":
    main()
