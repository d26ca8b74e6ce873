"""A stream that goes to Kafka is read once more while its workers go on: into another topic, exactly
once although the command is killed in between, and into objects of S3. Each message is the one that
came before."""

import gzip
import json
import uuid
from collections import defaultdict

from process import Process, wait_until
from sluice import BINARY

RECORDS = 4 * 150
LEASE_S = 3


def test_into_kafka_and_s3(emulator, kafka, s3, bucket, postgres, database, sluice):
    name = uuid.uuid4().hex[:8]
    server = emulator("orders:shards=4:records=150:keys=40:bytes=400:rate=100")
    first, second = f"first-{name}", f"second-{name}"
    for topic in (first, second):
        kafka.create_topic(topic, partitions=3)

    def deploy(number):
        return sluice({
            "worker": {"name": f"w{number}"},
            "checkpoint": {"store": database, "interval": "100ms", "lease": f"{LEASE_S}s"},
            "aws": {"endpoint": {"dynamodb": server.endpoint, "streams": server.endpoint,
                                 "s3": s3.endpoint}},
            "streams": [{"table": "orders", "start": "oldest", "poll": {"min": "50ms", "max": "200ms"},
                         "sinks": ["events"]}],
            "sinks": {"events": {"type": "kafka", "brokers": kafka.brokers, "topic": first},
                      "again": {"type": "kafka", "brokers": kafka.brokers, "topic": second,
                                "delivery": "exactly_once"},
                      "lake": {"type": "s3", "bucket": bucket, "format": "debezium",
                               "compression": "gzip"}}},
            name=f"w{number}", access_key=s3.access_key, secret_key=s3.secret_key)

    three = [deploy(number) for number in range(3)]
    for worker in three:
        worker.start()

    def delivered():
        return sum(worker.metric("sluice_delivered_total", sink="events") for worker in three)

    three[0].wait_for(lambda: delivered() >= RECORDS / 2, "half of it is delivered", 60)
    words = ["replay", "--stream", "orders", "--from", "oldest", "--yes", "--into"]
    server.fault("delay", operation="GetRecords", ms=200, count=-1)
    killed = Process([BINARY, *words, "again", "-c", three[0].file], three[0].folder / "killed.log",
                     three[0].environment)
    wait_until(lambda: not killed.running() or postgres.execute(
        "SELECT 1 FROM sluice.position p JOIN sluice.lane l ON l.id = p.lane "
        "JOIN sluice.side d ON d.stream = l.stream WHERE p.sequence IS NOT NULL", url=database),
        "some of it is read", 60)
    killed.kill()
    server.control("clear")
    three[0].wait_for(lambda: delivered() >= RECORDS, "all of it is delivered", 60)
    for sink in ("again", "lake"):
        done = three[0].run(*words, sink, deadline=120)
        assert f"orders is read into {sink} up to" in done.stdout

    def content(value):
        return {part: held for part, held in json.loads(value).items() if part != "ts_ms"}

    def place(value):
        return value["source"]["shard"], value["source"]["sequence"]

    def read(topic):
        return {place(content(m.value())): (m.key(), content(m.value()), m.headers())
                for m in kafka.read(topic) if m.value() is not None}

    before, again = read(first), read(second)
    assert len(before) == RECORDS
    # Of a run that was killed the first words count: what came until then.
    assert again.items() <= before.items()
    assert len(again) >= RECORDS / 2
    told = defaultdict(list)
    for message in kafka.read(second):
        if message.value() is not None:
            told[message.partition(), message.key()].append(int(place(content(message.value()))[1]))
    for key, sequences in told.items():
        assert sequences == sorted(set(sequences)), key

    objects = s3.client().list_objects_v2(Bucket=bucket).get("Contents", [])
    lines = [content(line) for one in objects for line in gzip.decompress(
        s3.client().get_object(Bucket=bucket, Key=one["Key"])["Body"].read()).splitlines()]
    assert {place(line): line for line in lines} == {at: value for at, (_, value, _) in
                                                     before.items()}
    assert len(lines) == RECORDS
    for worker in three:
        assert worker.stop() == 0, worker.process.tail()
