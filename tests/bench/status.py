"""How long `sluice status` takes with ten thousand shards in the database: as text and as JSON, its
wall time (the process, the connection, the queries, the text) and its own CPU time; and what the
statements take in the database."""

import resource
import statistics
import subprocess
import time

from measure import arguments, finish, folder, say
from sluice import BINARY
from stack import ROOT, Postgres

FILL = ROOT / "build/release/tests/bench/bench_save"
SHARDS = 10000
RUNS = 20
BOUND_S = 1


def timed(*command):
    """Wall and CPU seconds; and what it printed."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    wall = time.monotonic() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
    return wall, cpu, done.stdout


def median_of(runs, *command):
    times = [timed(*command) for _ in range(runs)]
    assert all(output.count("shardId-") == SHARDS for _, _, output in times), "shards are missing"
    wall, cpu, _ = zip(*times)
    return statistics.median(wall), max(wall), statistics.median(cpu)


def main():
    options = arguments(__doc__)
    runs = RUNS // 4 if options.quick else RUNS
    with folder() as place:
        postgres = Postgres(place / "postgres")
        try:
            postgres.start()
            url = postgres.new_database()
            subprocess.run([FILL, url, str(SHARDS), "3"], check=True, capture_output=True)
            config = place / "sluice.yaml"
            config.write_text(f"checkpoint: {{ store: '{url}' }}\n"
                              "streams: [{ table: orders, sinks: [events] }]\n"
                              "sinks: { events: { type: stdout } }\n")
            text = median_of(runs, BINARY, "status", "-c", config)
            as_json = median_of(runs, BINARY, "status", "--json", "-c", config)
        finally:
            postgres.stop()
    for what, (wall, worst, cpu) in (("text", text), ("JSON", as_json)):
        say(f"status as {what}, {SHARDS:,} shards: {wall * 1e3:.0f} ms, at most {worst * 1e3:.0f} "
            f"(bound {BOUND_S * 1e3:.0f}); {cpu * 1e3:.0f} ms of them its own CPU time")
    finish("status", {"shards": SHARDS, "text_ms": round(text[0] * 1e3, 1),
                      "json_ms": round(as_json[0] * 1e3, 1),
                      "worst_ms": round(max(text[1], as_json[1]) * 1e3, 1),
                      "cpu_ms": round(as_json[2] * 1e3, 1)}, options.json)


if __name__ == "__main__":
    main()
