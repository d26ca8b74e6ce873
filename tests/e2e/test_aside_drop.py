"""A side run that is dropped after its process was killed, where the sink is not a disk: a transaction
of Kafka is aborted, an upload of S3 whose roll was committed is completed, any other removed; also
where the command that drops it is killed, and said again."""

import gzip
import json
import random
import time
import uuid
from collections import Counter

import pytest

from process import Process, wait_until
from sluice import BINARY
from test_workers import SEED

LEASE_S = 2
RECORDS = 60  # of a shard: a page
# What commits a roll ends so, a moment later.
SLOW = """CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM pg_sleep(0.6);
{} RETURN NULL; END$$;
CREATE TRIGGER slow AFTER INSERT ON sluice.roll FOR EACH STATEMENT EXECUTE FUNCTION slow()"""


class Aside:
    def __init__(self, worker, server, rows):
        self.worker, self.rows = worker, rows
        assert worker.drain() == 0, worker.process.tail()
        server.fault("delay", operation="GetRecords", ms=300, count=-1)
        worker.config["streams"][0]["poll"]["budget"] = 2
        worker.write_config()

    def begun(self, *words):
        return Process([BINARY, "replay", "--stream", "orders", "--yes", *words, "-c",
                        self.worker.file], self.worker.folder / "killed.log",
                       self.worker.environment)

    def killed(self, sink, then):
        """As it commits the first roll. Returns of each shard what the store has as delivered."""
        self.rows(SLOW.format(then))
        process = self.begun("--from", "oldest", "--into", sink)
        wait_until(lambda: not process.running() or self.rows(
            "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep' "
            "AND datname = current_database()"), "it commits", 60)
        assert process.running(), process.tail()
        process.kill()
        self.rows("DROP FUNCTION slow CASCADE")  # waits until that is over
        return {shard: RECORDS for shard, in self.rows(
            "SELECT l.shard FROM sluice.position p JOIN sluice.lane l ON l.id = p.lane "
            "JOIN sluice.side d ON d.stream = l.stream WHERE p.sequence IS NOT NULL")}

    def drop(self, sink):
        rng = random.Random(f"{SEED} {sink}")
        process = self.begun("--drop", "--into", sink)
        time.sleep(rng.uniform(0, 2.5 * LEASE_S))
        process.kill()
        if self.rows("SELECT 1 FROM sluice.side"):
            done = self.worker.run("replay", "--stream", "orders", "--yes", "--drop", "--into", sink)
            assert f"orders>{sink} is dropped" in done.stdout
        assert self.rows("SELECT count(*) FROM sluice.session WHERE state <> 'buried'") == [(0,)]
        assert self.rows("SELECT count(*) FROM sluice.roll") == [(0,)]


@pytest.fixture
def aside(emulator, s3, bucket, kafka, postgres, database, sluice):
    server = emulator(f"orders:shards=8:records={RECORDS}:keys=40:bytes=400")
    worker = sluice({
        "checkpoint": {"store": database, "interval": "100ms", "lease": f"{LEASE_S}s"},
        "aws": {"endpoint": {"dynamodb": server.endpoint, "streams": server.endpoint,
                             "s3": s3.endpoint}},
        "streams": [{"table": "orders", "start": "oldest", "poll": {"min": "50ms", "max": "200ms"},
                     "sinks": ["screen"]}],
        "sinks": {"screen": {"type": "stdout"},
                  "again": {"type": "kafka", "brokers": kafka.brokers,
                            "topic": f"again-{uuid.uuid4().hex[:8]}", "delivery": "exactly_once"},
                  "lake": {"type": "s3", "bucket": bucket, "format": "debezium",
                           "compression": "gzip", "roll": {"age": "1s"}}}},
        access_key=s3.access_key, secret_key=s3.secret_key)
    return Aside(worker, server, lambda sql: postgres.execute(sql, url=database))


def per_shard(values):
    return Counter(json.loads(value)["source"]["shard"] for value in values)


@pytest.mark.parametrize("then", ["", "RAISE EXCEPTION 'not so';"], ids=["committed", "not"])
def test_uploads(aside, s3, bucket, then):
    delivered = aside.killed("lake", then)
    assert bool(delivered) == (not then)
    assert s3.client().list_multipart_uploads(Bucket=bucket).get("Uploads")
    assert s3.objects(bucket) == {}
    aside.drop("lake")
    assert not s3.client().list_multipart_uploads(Bucket=bucket).get("Uploads")
    assert per_shard(line for data in s3.objects(bucket).values()
                     for line in gzip.decompress(data).splitlines()) == delivered


def test_a_transaction(aside, kafka):
    topic = aside.worker.config["sinks"]["again"]["topic"]
    kafka.create_topic(topic)
    aside.killed("again", "")
    assert aside.rows("SELECT count(*) FROM sluice.roll") == [(1,)]
    aside.drop("again")
    assert kafka.read(topic) == []
    assert kafka.read(topic, "read_uncommitted") != []
