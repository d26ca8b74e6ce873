"""Exports are loaded. CPU time, against what inflating the same file alone takes, as igzip does it;
memory; and what sharing many files by the store costs.

One data file of 1 GB (inflated), fetched from the S3 server on loopback, MD5 checked, inflated,
decoded and encoded (debezium): into nothing, by the library alone; and by `sluice run --until-idle`
into zstd files of a directory in memory. And what it takes to go on near the file's end, where all
before is inflated and thrown away. The best of some rounds.

2,000 data files of 1 MB (inflated), loaded by three such workers that share them in a Postgres: each
file is done once. The queue's cost is the CPU time of the database and of the workers' threads that
ask it (all they do: claims, saved positions, beats, looks), as a share of the CPU time of the workers
and the database."""

import base64
import hashlib
import json
import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg

from emulator import Emulator
from measure import Life, arguments, finish, folder, say
from stack import ROOT, S3, Postgres

PROGRAM = ROOT / "build/release/tests/bench/bench_export"
BYTES, QUICK_BYTES = 1_000_000_000, 100_000_000
FILES, QUICK_FILES = 2000, 200
FILE_BYTES = 1_000_000
WORKERS = 3
ROUNDS = 3
MEMORY_MIB = 64
IDLE = "1s"
DEADLINE_S = 180
DISCARD_BOUND, FILES_BOUND, QUEUE_BOUND, OVER_MEMORY_MIB = 0.45, 0.25, 0.05, 40


def run(*words, environment=None):
    """What it says, line by line."""
    answer = subprocess.run([PROGRAM, *map(str, words)], check=True, stdout=subprocess.PIPE,
                            env={**os.environ, **(environment or {})})
    return [json.loads(line) for line in answer.stdout.splitlines()]


def best(results):
    return min(results, key=lambda result: result["cpu_s"])


def md5(content):
    return base64.b64encode(hashlib.md5(content).digest()).decode()


class World:
    """An S3 server, an emulator that knows the table, and workers with folders of their own."""

    def __init__(self, place):
        self.place = place
        self.s3 = S3(place / "s3")
        self.emulator = Emulator(place / "emulator", "orders:records=0")

    def __enter__(self):
        self.s3.start()
        self.emulator.start()
        return self

    def __exit__(self, *_):
        self.emulator.stop()
        self.s3.stop()

    def worker(self, name, store, out, **settings):
        return Life(self.place / name, {
            "worker": {"name": name, **settings},
            "checkpoint": {"store": store},
            "aws": {"endpoint": {"dynamodb": self.emulator.endpoint,
                                 "streams": self.emulator.endpoint, "s3": self.s3.endpoint}},
            "exports": [{"table": "orders", "bucket": self.s3.bucket, "sinks": ["files"]}],
            "sinks": {"files": {"type": "directory", "path": f"{out}/", "format": "debezium",
                                "compression": "zstd"}},
        })


class Export:
    """A full one, made and put into the S3 server as AWS does it. `path` is that of its first file."""

    def __init__(self, world, name, count, size):
        self.server, self.client = world.s3, world.s3.client()
        self.key = f"AWSDynamoDB/{name}"
        place = world.place / name
        place.mkdir()
        self.path = place / "0"
        self.files = run("make", f"{place}/", count, size)
        self.bytes, self.packed, self.items = (sum(each[what] for each in self.files)
                                               for what in ("bytes", "packed", "items"))
        with ThreadPoolExecutor(4) as pool:
            lines = list(pool.map(self._put_file, range(count)))
        self._put_checked("manifest-files", "".join(json.dumps(line) + "\n" for line in lines))
        self._put_checked("manifest-summary", json.dumps(
            self._summary(world.emulator.arn("orders").partition("/stream/")[0])))

    def begin(self, worker):
        """From now on workers load it."""
        worker.run("export", "load", "--table", "orders", "--into", "files", "--yes", "--from",
                   f"s3://{self.server.bucket}/{self.key}/manifest-summary.json")

    def data_key(self, number):
        return f"{self.key}/data/{number:026d}.json.gz"

    def _put(self, key, content):
        self.client.put_object(Bucket=self.server.bucket, Key=key, Body=content)

    def _put_file(self, number):
        content = self.path.with_name(str(number)).read_bytes()
        self._put(self.data_key(number), content)
        self.files[number]["md5"] = md5(content)
        return {"itemCount": self.files[number]["items"], "md5Checksum": md5(content),
                "etag": hashlib.md5(content).hexdigest(), "dataFileS3Key": self.data_key(number)}

    def _put_checked(self, name, text):
        self._put(f"{self.key}/{name}.json", text.encode())
        self._put(f"{self.key}/{name}.md5", md5(text.encode()).encode())

    def _summary(self, table):
        at = "2026-01-14T10:18:50.622Z"
        return {"version": "2020-06-30", "exportArn": f"{table}/export/{self.key[-8:]}",
                "startTime": at, "endTime": at, "tableArn": table,
                "tableId": "00000000-0000-4000-a000-000000000000", "exportTime": at,
                "s3Bucket": self.server.bucket, "s3Prefix": None, "s3SseAlgorithm": "AES256",
                "s3SseKmsKeyId": None, "manifestFilesS3Key": f"{self.key}/manifest-files.json",
                "billedSizeBytes": self.bytes, "itemCount": self.items,
                "outputFormat": "DYNAMODB_JSON"}


# --- one large file ---

def into_files(world, export, name):
    """By the program, with a store of its own."""
    with folder() as out:
        worker = world.worker(name, f"sqlite:{world.place}/{name}.db", out,
                              memory=f"{MEMORY_MIB}MiB")
        export.begin(worker)
        worker.launch("--until-idle", IDLE)
        cpu_s = worker.end_measured(DEADLINE_S)
    return {"cpu_s": cpu_s, "hwm_mib": worker.mib("VmHWM"), "stages": worker.stage_cpu_s(),
            "delivered": worker.value("sluice_delivered_total", sink="files")}


def large_file(world, size):
    export = Export(world, "large", 1, size)

    def load(begin):
        return run("load", world.s3.endpoint, world.s3.bucket, export.data_key(0),
                   export.files[0]["md5"], begin, environment=world.s3.environment())[0]

    alone, loaded, skipped, files = [], [], [], []
    for turn in range(ROUNDS):
        alone.append(run("inflate", export.path)[0])
        loaded.append(load(0))
        skipped.append(load(export.bytes))
        files.append(into_files(world, export, f"one{turn}"))
    hwm_mib = max(each["hwm_mib"] for each in files)
    alone, loaded, skipped, files = map(best, (alone, loaded, skipped, files))
    assert loaded["rows"] == files["delivered"] == export.items and skipped["rows"] == 0
    megabytes = export.bytes / 1e6
    speeds = [megabytes / each["cpu_s"] for each in (alone, loaded, skipped, files)]
    shares = [round(speed / speeds[0], 3) for speed in speeds]
    stages = ", ".join(f"{stage} {cpu_s / files['cpu_s']:.0%}"
                       for stage, cpu_s in sorted(files["stages"].items(), key=lambda x: -x[1]))
    say(f"{megabytes:,.0f} MB in {export.items:,} lines, {export.bytes / export.packed:.1f} times "
        "smaller as it lies there; MB per CPU second:\n"
        f"  inflated alone    {speeds[0]:7,.0f}\n"
        f"  into nothing      {speeds[1]:7,.0f}  {shares[1]:.1%} (bound {DISCARD_BOUND:.0%}), "
        f"{loaded['cpu_s'] / loaded['rows'] * 1e9:.0f} ns a row, VmHWM {loaded['hwm_mib']} MiB\n"
        f"  skipped           {speeds[2]:7,.0f}  {shares[2]:.1%}\n"
        f"  into zstd files   {speeds[3]:7,.0f}  {shares[3]:.1%} (bound {FILES_BOUND:.0%}), "
        f"{files['cpu_s'] / export.items * 1e9:.0f} ns a row: {stages};\n"
        f"    VmHWM {hwm_mib:.0f} MiB with a worker.memory of {MEMORY_MIB} MiB (bound "
        f"{MEMORY_MIB + OVER_MEMORY_MIB} MiB)")
    return {"discard_vs_igzip": shares[1], "files_vs_igzip": shares[3], "skip_vs_igzip": shares[2],
            "file_hwm_mib": loaded["hwm_mib"], "hwm_mib": round(hwm_mib, 1),
            "memory_mib": MEMORY_MIB}


# --- many small ones ---

def tree_cpu_s(pid):
    """Of a process and its children, ended ones too."""
    def of(pid, names):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(int(fields[name]) for name in names) / os.sysconf("SC_CLK_TCK")

    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return of(pid, (11, 12, 13, 14)) + sum(of(child, (11, 12)) for child in children)


def check_once(postgres, store, export):
    """Each file was tried once, which was good, and all workers had some; returns how many each."""
    attempts = postgres.execute(
        "SELECT count(*), count(DISTINCT lane), count(*) FILTER (WHERE how = 'done') "
        "FROM sluice.export_attempts WHERE lane IS NOT NULL", url=store)[0]
    count = len(export.files)
    assert attempts == (count, count, count), f"attempts, of files, done: {attempts}"
    shares = [n for n, in postgres.execute(
        "SELECT count(*) FROM sluice.export_file GROUP BY session", url=store)]
    assert len(shares) == WORKERS, shares
    return shares


class Spent:
    """CPU seconds so far: of the workers, of their threads that ask the store, of the database."""

    def __init__(self, workers, postgres):
        for worker in workers:
            worker.sample()
        self.workers_s = sum(worker.cpu_s() for worker in workers)
        self.asking_s = sum(worker.stage_cpu_s()["store"] for worker in workers)
        self.database_s = tree_cpu_s(postgres.process.pid)

    def since(self, before):
        return [getattr(self, what) - getattr(before, what)
                for what in ("workers_s", "asking_s", "database_s")]


def load_shared(export, postgres, store, workers):
    """Wall time, and what was spent from the export's begin until it is complete."""
    with psycopg.connect(store, autocommit=True) as asks:
        return load_until(export, postgres, workers, lambda: asks.execute(
            "SELECT FROM sluice.export WHERE status = 'complete'").rowcount == 1)


def load_until(export, postgres, workers, complete):
    for worker in workers:
        worker.launch()
    for worker in workers:
        worker.wait_ready()
    before, began = Spent(workers, postgres), time.monotonic()
    export.begin(workers[0])
    workers[0].wait_for(complete, "the export is complete", DEADLINE_S)
    took_s, spent = time.monotonic() - began, Spent(workers, postgres).since(before)
    delivered = sum(worker.value("sluice_delivered_total", sink="files") for worker in workers)
    assert delivered == export.items, (delivered, export.items)
    for worker in workers:
        worker.stop_measured()
    return took_s, spent


def many_files(world, count):
    export = Export(world, "many", count, FILE_BYTES)
    postgres = Postgres(world.place / "postgres")
    with folder() as out:
        try:
            postgres.start()
            store = postgres.new_database()
            workers = [world.worker(f"many{i}", store, out) for i in range(WORKERS)]
            took_s, (workers_s, asking_s, database_s) = load_shared(export, postgres, store,
                                                                    workers)
            shares = check_once(postgres, store, export)
        finally:
            postgres.stop()
    share = (database_s + asking_s) / (database_s + workers_s)
    say(f"{count:,} files of {FILE_BYTES / 1e6:g} MB over {WORKERS} workers "
        f"({' + '.join(map(str, sorted(shares)))}), no file done twice, in {took_s:.0f} s:\n"
        f"  CPU time: workers {workers_s:.2f} s, of it asking the store {asking_s:.2f} s; the "
        f"database {database_s:.2f} s\n"
        f"  the queue costs {share:.1%} (bound {QUEUE_BOUND:.0%})")
    return {"queue_share": round(share, 4)}


def main():
    options = arguments(__doc__)
    with folder() as place, World(place) as world:
        figures = {**large_file(world, QUICK_BYTES if options.quick else BYTES),
                   **many_files(world, QUICK_FILES if options.quick else FILES)}
    finish("export", figures, options.json)


if __name__ == "__main__":
    main()
