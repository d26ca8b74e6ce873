"""Control events where readers find them: a topic of Kafka, objects in S3. A gap, by whatever worker
lives long enough to tell it; an end with how far the data reaches; a topic whose partitions became
more."""

import json
import time
import uuid
from collections import defaultdict

import pytest
from confluent_kafka.admin import (AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource,
                                   NewPartitions)

from process import wait_until

LEASE_S = 3


class Deployment:
    """One stream into Kafka and S3, by workers on one database."""

    def __init__(self, emulator, kafka, s3, bucket, postgres, database, sluice, **control):
        name = uuid.uuid4().hex[:8]
        self.emulator = emulator("orders:shards=1:records=30:keys=4:bytes=400")
        self.kafka, self.s3, self.bucket, self.made = kafka, s3, bucket, 0
        self.postgres, self.database, self.sluice = postgres, database, sluice
        self.topic, self.control_topic = f"data-{name}", f"control-{name}"
        kafka.create_topic(self.topic, partitions=2)
        kafka.create_topic(self.control_topic, **control)
        self.admin = AdminClient({"bootstrap.servers": kafka.brokers})

    def worker(self, name):
        endpoint = self.emulator.endpoint
        return self.sluice({
            "worker": {"name": name},
            "checkpoint": {"store": self.database, "interval": "100ms", "lease": f"{LEASE_S}s"},
            "aws": {"endpoint": {"dynamodb": endpoint, "streams": endpoint,
                                 "s3": self.s3.endpoint}},
            "streams": [{"table": "orders", "start": "oldest", "gap": "oldest",
                         "poll": {"min": "50ms", "max": "200ms"}, "sinks": ["events", "lake"]}],
            "sinks": {"events": {"type": "kafka", "brokers": self.kafka.brokers,
                                 "topic": self.topic, "control_topic": self.control_topic,
                                 "properties": {"topic.metadata.refresh.interval.ms": 500}},
                      "lake": {"type": "s3", "bucket": self.bucket, "prefix": "cdc",
                               "roll": {"age": "1s"}}}},
            name=name, access_key=self.s3.access_key, secret_key=self.s3.secret_key)

    def put(self, count):
        for _ in range(count):
            self.made += 1
            self.emulator.control("put", table="orders", item={
                "pk": {"S": f"p{self.made}"}, "sk": {"N": "1"}, "n": {"N": "1"}})

    def trim(self):
        """Twenty records, of which the first ten are gone before anybody reads them."""
        (shard,) = self.emulator.truth("orders")["streams"][-1]["shards"]
        self.put(20)
        self.emulator.control("trim", table="orders", shard=shard, before=40)
        return shard

    def sql(self, text):
        return self.postgres.execute(text, url=self.database)

    def in_kafka(self):
        messages = self.kafka.read(self.control_topic)
        assert {message.key() for message in messages} <= {b"orders"}
        return [json.loads(message.value()) for message in messages]

    def keys(self, prefix):
        listed = self.s3.client().list_objects_v2(Bucket=self.bucket, Prefix=f"cdc/{prefix}")
        return sorted(one["Key"] for one in listed.get("Contents", []))

    def in_s3(self):
        events = [json.loads(self.s3.client().get_object(Bucket=self.bucket, Key=key)["Body"].read())
                  for key in self.keys("_control/")]
        return sorted(events, key=lambda event: event["id"])


@pytest.fixture
def deploy(emulator, kafka, s3, bucket, postgres, database, sluice):
    return lambda **control: Deployment(emulator, kafka, s3, bucket, postgres, database, sluice,
                                        **control)


def check_gap(events, shard):
    assert [(e["kind"], e["phase"]) for e in events] == [("gap", "begin"), ("gap", "end")]
    begin, end = (e["gap"] for e in events)
    assert begin["shard"] == end["shard"] == shard
    assert begin["from"] == end["from"] and int(end["to"]) > int(end["from"])
    assert (begin["how"], end["how"]) == (None, "oldest")


def last_rolls(deployment):
    """By session, of all files that readers see: START-SESSION-ROLL-N."""
    last = defaultdict(int)
    for key in deployment.keys("orders/"):
        parts = key.rsplit("/", 1)[1].split("-")
        last["-".join(parts[1:6])] = max(last["-".join(parts[1:6])], int(parts[6]))
    return dict(last)


def test_what_readers_are_told(deploy):
    here = deploy()
    worker = here.worker("a")
    assert worker.drain() == 0
    shard = here.trim()
    for _ in range(2):  # and once more, which changes nothing
        assert worker.drain() == 0
        check_gap(here.in_kafka(), shard)
        assert here.in_s3() == here.in_kafka()

    # The end of a repair: as far as the data reaches, in each of the sinks.
    here.sql("SELECT sluice.control_put(NULL, id, 'repair', 'end', 0, 1795227240000, 'repair 1 end', "
             "0, '{\"windows\":2}') FROM sluice.stream")
    rolls = last_rolls(here)
    assert len(rolls) == 2  # both of the lives that had something
    assert worker.drain() == 0
    offsets = defaultdict(int)
    for message in here.kafka.read(here.topic):
        offsets[str(message.partition())] = max(offsets[str(message.partition())],
                                                message.offset() + 1)
    told, filed = here.in_kafka()[-1], here.in_s3()[-1]
    assert told.pop("offsets") == {here.topic: dict(offsets)}
    assert filed.pop("rolls") == rolls
    assert told == filed
    assert told["phase"] == "end" and told["repair"] == {"windows": 2}
    assert told["time"].startswith("2026-11-21T")

    # More partitions.
    worker.start()
    here.put(1)
    worker.wait_metric("sluice_delivered_total", 1, sink="events")
    here.admin.create_partitions([NewPartitions(here.topic, 5)])[here.topic].result(30)

    def noticed():
        here.put(1)
        time.sleep(0.2)
        return worker.metric("sluice_partition_changes_total", stream="orders", sink="events") == 1

    worker.wait_for(noticed, "the partitions are noticed")
    wait_until(lambda: here.in_kafka()[-1]["kind"] == "partitions", lambda: "they are told", 30)
    assert here.in_kafka()[-1]["partitions"] == {"topic": here.topic, "from": 2, "to": 5}
    assert "a topic has another number of partitions" in worker.process.text()
    assert worker.stop() == 0
    assert len(here.in_s3()) == 3  # that is nothing to the other sink
    assert worker.drain() == 0
    assert len(here.in_kafka()) == 4


def test_another_worker_tells_what_a_dead_one_could_not(deploy):
    here = deploy(max_message_bytes=64)  # too small for any
    first = here.worker("a")
    assert first.drain() == 0
    shard = here.trim()
    first.start()
    first.wait_metric("sluice_control_events_total", 1, sink="events", result="failed")
    wait_until(lambda: len(here.in_s3()) == 2, lambda: "the other sink is told", 30)
    second = here.worker("b").start()
    first.kill9()
    here.admin.incremental_alter_configs([ConfigResource(
        ConfigResource.Type.TOPIC, here.control_topic, incremental_configs=[
            ConfigEntry("max.message.bytes", "1000000",
                        incremental_operation=AlterConfigOpType.SET)])])
    wait_until(lambda: len(here.in_kafka()) == 2, lambda: second.process.tail(), 60)
    check_gap(here.in_kafka(), shard)
    check_gap(here.in_s3(), shard)
    assert second.stop() == 0
