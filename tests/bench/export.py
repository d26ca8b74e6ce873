"""One data file of an export of 1 GB (inflated): fetched from the S3 server on loopback, MD5 checked,
inflated, decoded and encoded, into nothing; against what inflating alone takes, as igzip does it.
And what it takes to go on near the file's end, where all before is inflated and thrown away. CPU time
of the process, the best of some rounds."""

import base64
import hashlib
import json
import os
import subprocess

from measure import arguments, finish, folder, say
from stack import ROOT, S3

PROGRAM = ROOT / "build/release/tests/bench/bench_export"
BYTES, QUICK_BYTES = 1_000_000_000, 100_000_000
ROUNDS = 3


def run(*words, environment=None):
    answer = subprocess.run([PROGRAM, *map(str, words)], check=True, stdout=subprocess.PIPE,
                            env={**os.environ, **(environment or {})})
    return json.loads(answer.stdout)


def best(results):
    return min(results, key=lambda result: result["cpu_s"])


def main():
    options = arguments(__doc__)
    with folder() as place:
        path = place / "export.json.gz"
        made = run("make", path, QUICK_BYTES if options.quick else BYTES)
        server = S3(place / "s3")
        try:
            server.start()
            key = "AWSDynamoDB/data/one.json.gz"
            server.client().upload_file(str(path), server.bucket, key)
            content = path.read_bytes()
            md5 = base64.b64encode(hashlib.md5(content).digest()).decode()
            del content

            def load(begin):
                return run("load", server.endpoint, server.bucket, key, md5, begin,
                           environment=server.environment())

            alone, loaded, skipped = [], [], []
            for _ in range(ROUNDS):
                alone.append(run("inflate", path))
                loaded.append(load(0))
                skipped.append(load(made["bytes"]))
        finally:
            server.stop()
    alone, loaded, skipped = best(alone), best(loaded), best(skipped)
    assert loaded["rows"] == made["items"] and skipped["rows"] == 0
    megabytes = made["bytes"] / 1e6
    speeds = [megabytes / result["cpu_s"] for result in (alone, loaded, skipped)]
    say(f"{megabytes:,.0f} MB in {made['items']:,} lines, {made['bytes'] / made['packed']:.1f} times "
        f"smaller as it lies there\n  inflated alone {speeds[0]:,.0f} MB per CPU second, loaded "
        f"{speeds[1]:,.0f} ({speeds[1] / speeds[0]:.0%}), skipped {speeds[2]:,.0f}; "
        f"{loaded['cpu_s'] / loaded['rows'] * 1e9:.0f} ns a row, VmHWM {loaded['hwm_mib']} MiB")
    finish("export", {"discard_vs_igzip": round(speeds[1] / speeds[0], 3),
                      "skip_vs_igzip": round(speeds[2] / speeds[0], 3),
                      "file_hwm_mib": loaded["hwm_mib"]}, options.json)


if __name__ == "__main__":
    main()
