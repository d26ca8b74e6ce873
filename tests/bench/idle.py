"""What a thousand shards without data cost: one life with the default pacing, in which each shard is
asked every five seconds, for memory and for what the session itself takes (beats and saves, in
Postgres); then one that asks 2,000 times a second, for the CPU time of an empty poll over TLS. All
of the process's CPU time is the polls' but what the saver's thread spends."""

import time

from measure import Life, TlsEmulator, arguments, finish, folder, say
from stack import Postgres

SHARDS = 1000
REST_S = 60
FAST_POLL = {"min": "500ms", "max": "500ms"}
FAST_S = 15
# Listing, the first iterators, connections: not what an idle hour is made of.
SETTLE_POLLS = 3 * SHARDS
QUICK = 4


class Window:
    """What a life spent while the window was open."""

    def __init__(self, life):
        self.life = life
        self.begin = self._now()

    def _now(self):
        self.life.sample()
        return {"s": time.monotonic(), "cpu": self.life.cpu_s(),
                "saver": self.life.stage_cpu_s().get("saver", 0),
                "polls": self.life.value("sluice_polls_total", result="empty")}

    def close(self):
        end = self._now()
        for name, before in self.begin.items():
            setattr(self, name, end[name] - before)
        return self

    def poll_us(self):
        return (self.cpu - self.saver) / self.polls * 1e6


def life(emulator, database, place, poll):
    place.mkdir()
    stream = {"table": "idle", "start": "oldest", "sinks": ["nowhere"]}
    if poll:
        stream["poll"] = poll
    worker = Life(place, {
        "worker": {"name": "bench"},
        "checkpoint": {"store": database},
        "aws": emulator.aws(),
        "streams": [stream],
        "sinks": {"nowhere": {"type": "stdout"}},
    })
    worker.launch()
    worker.wait_for(lambda: worker.value("sluice_polls_total", result="empty") >= SETTLE_POLLS,
                    "every shard was polled a few times", 60)
    return worker


def measure(emulator, postgres, place, rest_s, fast_s):
    """The resting window, its VmRSS, and the fast window."""
    worker = life(emulator, postgres.new_database(), place / "rest", None)
    rest = Window(worker)
    time.sleep(rest_s)
    rest.close()
    rss_mib = worker.mib("VmRSS")
    worker.stop_measured()
    worker = life(emulator, postgres.new_database(), place / "fast", FAST_POLL)
    fast = Window(worker)
    time.sleep(fast_s)
    fast.close()
    worker.stop_measured()
    return rest, rss_mib, fast


def main():
    options = arguments(__doc__)
    shorter = QUICK if options.quick else 1
    with folder() as place:
        emulator = TlsEmulator(place / "emulator", f"idle:shards={SHARDS}")
        postgres = Postgres(place / "postgres")
        try:
            postgres.start()
            emulator.start()
            rest, rss_mib, fast = measure(emulator, postgres, place, REST_S / shorter,
                                          FAST_S / shorter)
        finally:
            emulator.stop()
            postgres.stop()
    share = rest.saver / rest.cpu
    say(f"{SHARDS} shards without data, {rest.s:.0f} s at {rest.polls / rest.s:,.0f} polls a "
        f"second:\n  {rest.cpu / rest.s * 100:.2f} % of a core, {rest.poll_us():.0f} µs a poll, "
        f"VmRSS {rss_mib:.1f} MiB, beats and saves {share * 100:.1f} % of the CPU time")
    say(f"{fast.s:.0f} s at {fast.polls / fast.s:,.0f} polls a second:\n"
        f"  {fast.cpu / fast.s * 100:.1f} % of a core, {fast.poll_us():.1f} µs a poll")
    finish("idle", {"shards": SHARDS, "poll_cpu_us": round(fast.poll_us(), 1),
                    "rss_mib": round(rss_mib, 1), "beat_save_share": round(share, 4)},
           options.json)


if __name__ == "__main__":
    main()
