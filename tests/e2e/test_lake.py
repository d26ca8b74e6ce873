"""Files, which are exactly once always: a stream into the S3 server and into a directory while
workers are killed, put to sleep with an upload open, and stopped. DuckDB and pyarrow, as a reader
would use them, find every change once, and those of a shard in their order."""

import json
import time
from random import Random

import duckdb
import pyarrow as pa
from pyarrow import fs
from pyarrow import json as pyarrow_json

from stack import REGION
from test_recipes import duckdb_of
from test_workers import SEED, Fleet, Splitting

COLUMNS = ("{source: 'STRUCT(shard VARCHAR, \"sequence\" VARCHAR)', "
           "\"after\": 'STRUCT(pk VARCHAR, sk VARCHAR, n BIGINT)', "
           "\"before\": 'STRUCT(pk VARCHAR, sk VARCHAR, n BIGINT)'}")
# A delete counts as one more than what it deleted.
CHANGES = f"""
CREATE VIEW changes AS
SELECT source.shard AS shard, source."sequence"::HUGEINT AS place,
  coalesce("after".pk, "before".pk) AS pk, coalesce("after".sk, "before".sk) AS sk,
  coalesce("after".n, "before".n + 1) AS n
FROM read_json('PLACE/*.ndjson.zst', format = 'newline_delimited', columns = {COLUMNS})
"""
SCHEMA = pa.schema({"source": pa.struct({"shard": pa.string(), "sequence": pa.string()})})


class Lake(Fleet):
    def __init__(self, source, store, s3, bucket, folder, sluice):
        self.name, self.source, self.rng = "lake", source, source.rng
        self.s3, self.bucket, self.folder = s3, bucket, folder
        self.hard = 0
        self.workers = [self.worker(sluice, store, f"lake{i}") for i in range(3)]
        for worker in self.workers:
            worker.start()

    def worker(self, sluice, store, name):
        endpoint, lake = self.source.endpoint, {"format": "debezium", "roll": {"age": "2s"}}
        return sluice({
            "worker": {"name": name, "threads": 2, "memory": "64MiB"},
            "checkpoint": {"store": store, "interval": "100ms", "lease": "2s"},
            "aws": {"endpoint": {"dynamodb": endpoint, "streams": endpoint,
                                 "s3": self.s3.endpoint}},
            "streams": [{"table": "orders", "start": "oldest", "sinks": ["bucket", "folder"],
                         "poll": {"min": "50ms", "max": "200ms"}}],
            "sinks": {
                "bucket": {**lake, "type": "s3", "bucket": self.bucket, "path": "orders/"},
                "folder": {**lake, "type": "directory", "path": f"{self.folder}/orders/"}}},
            name=name, access_key=self.s3.access_key, secret_key=self.s3.secret_key)

    def drain(self):
        made = None
        while made != self.source.made():
            made = self.source.made()
            time.sleep(1)
        for worker in self.workers:
            if worker.process.running():
                assert worker.stop(60) == 0, worker.process.tail(60)
        last = self.workers[0]
        assert last.drain(idle="2s", deadline=120) == 0, last.process.tail(60)
        return made

    def check(self, made):
        for connection, place in ((duckdb.connect(), f"{self.folder}/orders"),
                                  (duckdb_of(self.s3), f"s3://{self.bucket}/orders")):
            self.check_duckdb(connection, place, made)
        self.check_pyarrow(fs.LocalFileSystem(), f"{self.folder}/orders", made)
        self.check_pyarrow(fs.S3FileSystem(
            access_key=self.s3.access_key, secret_key=self.s3.secret_key, region=REGION,
            endpoint_override=self.s3.endpoint), f"{self.bucket}/orders", made)
        print(f"{self.name}: seed {SEED}: {len(self.workers)} workers, {made} changes, "
              f"{self.hard} hard ends")

    def check_duckdb(self, connection, place, made):
        connection.execute(CHANGES.replace("PLACE", place))
        assert connection.execute("SELECT count(*), count(DISTINCT (shard, place)) FROM changes"
                                  ).fetchone() == (made, made), f"seed {SEED}: {place}"
        got = connection.execute("SELECT pk, sk, list(n ORDER BY place) FROM changes GROUP BY ALL")
        last = {f'{{"pk":{json.dumps(pk, ensure_ascii=False)},"sk":{sk}}}': numbers
                for pk, sk, numbers in got.fetchall()}
        truth = self.source.server.truth("orders")["keys"]
        assert last == {key: list(range(1, end["n"] + 1)) for key, end in truth.items() if end["n"]}

    @staticmethod
    def check_pyarrow(files, folder, made):
        """Each file in the order of its shards."""
        options = pyarrow_json.ParseOptions(explicit_schema=SCHEMA,
                                            unexpected_field_behavior="ignore")
        seen = set()
        for file in files.get_file_info(fs.FileSelector(folder)):
            if not file.base_name.endswith(".ndjson.zst") or file.base_name.startswith("."):
                continue
            with files.open_input_stream(file.path, compression="zstd") as stream:
                rows = pyarrow_json.read_json(stream, parse_options=options)["source"].to_pylist()
            last = {}
            for row in rows:
                place = int(row["sequence"])
                assert place > last.get(row["shard"], 0), f"seed {SEED}: {file.path}"
                last[row["shard"]] = place
                seen.add((row["shard"], place))
        assert len(seen) == made


def test_storm(emulator, s3, bucket, postgres, tmp_path, sluice):
    source = Splitting(emulator, Random(f"{SEED} lake"))
    Lake(source, postgres.new_database(), s3, bucket, tmp_path, sluice).storm()
