"""What a save of many positions costs Postgres: ten thousand in one call, several times, as the
server's own log has it (log_statement_stats: CPU and wall time of parsing, binding and running the
statement; the commit's fsync is off here, and comes on top). Beside it what the caller waited."""

import re
import statistics
import subprocess

from measure import arguments, finish, folder, say
from stack import ROOT, Postgres

PROGRAM = ROOT / "build/release/tests/bench/bench_save"
LANES = 10000
SAVES = 20
# The first saves find fresh pages and cold caches; a worker makes one each second.
WARM = 3
BOUND_MS = 100
USAGE = re.compile(r"!\t([0-9.]+) s user, ([0-9.]+) s system, ([0-9.]+) s elapsed")
SAVE = re.compile(r"STATEMENT: +SELECT sluice\.save\(")


def database_ms(log):
    """CPU and wall time of each save. The log tells usage, then whose it was; a statement's last
    message is EXECUTE."""
    saves, kind, usage, cpu, wall = [], "", None, 0.0, 0.0
    for line in log.splitlines():
        if line.endswith(" MESSAGE STATISTICS"):
            kind = line.split()[-3]
        elif found := USAGE.search(line):
            usage = [float(seconds) * 1e3 for seconds in found.groups()]
        elif SAVE.search(line):
            cpu, wall = cpu + usage[0] + usage[1], wall + usage[2]
            if kind == "EXECUTE":
                saves.append((cpu, wall))
                cpu, wall = 0.0, 0.0
    return saves


def main():
    options = arguments(__doc__)
    saves = WARM + (SAVES // 4 if options.quick else SAVES)
    with folder() as place:
        postgres = Postgres(place / "postgres")
        try:
            postgres.start()
            url = postgres.new_database()
            name = url.rsplit("/", 1)[1]
            postgres.execute(f"ALTER DATABASE {name} SET log_statement_stats = on")
            output = subprocess.run([PROGRAM, url, str(LANES), str(saves)], check=True,
                                    capture_output=True, text=True).stdout
            database = database_ms(postgres.process.text())
        finally:
            postgres.stop()
    if len(database) != saves:
        raise RuntimeError(f"the log has {len(database)} of {saves} saves")
    cpu, wall = ([save[i] for save in database[WARM:]] for i in (0, 1))
    waited = [float(line) for line in output.split()][WARM:]
    say(f"{LANES:,} positions in one save, {len(cpu)} times; the median:\n"
        f"  CPU time of the database {statistics.median(cpu):.1f} ms, at most {max(cpu):.1f} "
        f"(bound {BOUND_MS} ms); its wall time {statistics.median(wall):.1f} ms; the caller "
        f"waited {statistics.median(waited):.1f} ms")
    finish("save", {"save_10000_ms": round(statistics.median(cpu), 1),
                    "worst_ms": round(max(cpu), 1),
                    "wall_ms": round(statistics.median(wall), 1),
                    "waited_ms": round(statistics.median(waited), 1)}, options.json)


if __name__ == "__main__":
    main()
