"""What a save of many positions costs Postgres: ten thousand in one call, several times, as the
server's own log has it (log_min_duration_statement: parsing, planning and running the statement; the
commit's fsync is off here, and comes on top). Beside it what the caller waited."""

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
STATEMENT = re.compile(r"duration: ([0-9.]+) ms +(\w+)[^:]*: *SELECT sluice\.save\(")


def database_ms(log):
    """Of each save: its parse, bind and execute together."""
    saves, parts = [], 0.0
    for line in log.splitlines():
        if found := STATEMENT.search(line):
            parts += float(found[1])
            if found[2] in ("execute", "statement"):
                saves.append(parts)
                parts = 0.0
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
            postgres.execute(f"ALTER DATABASE {name} SET log_min_duration_statement = 0")
            output = subprocess.run([PROGRAM, url, str(LANES), str(saves)], check=True,
                                    capture_output=True, text=True).stdout
            table = postgres.execute("SELECT pg_relation_size('sluice.position')", url=url)[0][0]
            database = database_ms(postgres.process.text())
        finally:
            postgres.stop()
    if len(database) != saves:
        raise RuntimeError(f"the log has {len(database)} of {saves} saves")
    database, waited = database[WARM:], [float(line) for line in output.split()][WARM:]
    say(f"{LANES:,} positions in one save, {len(database)} times:\n"
        f"  in the database {statistics.median(database):.1f} ms, worst {max(database):.1f} ms "
        f"(bound {BOUND_MS} ms); the caller waited {statistics.median(waited):.1f} ms; the table "
        f"has {table / 2 ** 20:.1f} MiB")
    finish("save", {"save_10000_ms": round(statistics.median(database), 1),
                    "worst_ms": round(max(database), 1),
                    "waited_ms": round(statistics.median(waited), 1)}, options.json)


if __name__ == "__main__":
    main()
