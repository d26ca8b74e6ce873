"""All of it at once: random changes through DynamoDB Local into Kafka, a bucket and a directory,
while the worker is killed and shards roll over."""

import os
import uuid

import pytest

import delivered
from stack import S3
from workload import Workload, create_table

CHANGES = int(os.environ.get("SLUICE_E2E_CHANGES", "100000"))
SEED = int(os.environ.get("SLUICE_E2E_SEED", "1"))
LARGE = 200
KILLS = 5
ROLLOVERS = 6
PARTITIONS = 4


@pytest.fixture
def lake(access_key, tmp_path):
    """An S3 server for this test alone: the program signs with one key, and DynamoDB Local has a
    database for each."""
    server = S3(tmp_path / "s3")
    server.access_key = access_key
    server.start()
    yield server
    server.stop()


def configuration(dynamodb, kafka, lake, database, out, topic):
    return {
        "worker": {"name": "main-path", "memory": "128MiB", "threads": 2},
        "checkpoint": {"store": database, "interval": "200ms", "lease": "2s"},
        "aws": {"endpoint": {"dynamodb": dynamodb.endpoint, "streams": dynamodb.endpoint,
                             "s3": lake.endpoint}},
        # Behind a rollover each read costs DynamoDB Local tens of milliseconds, which its writers
        # wait for.
        "streams": [{"table": "orders", "start": "oldest",
                     "poll": {"min": "50ms", "max": "200ms", "budget": 4},
                     "sinks": ["events", "lake", "files"]}],
        "sinks": {
            "events": {"type": "kafka", "brokers": kafka.brokers, "topic": topic},
            "lake": {"type": "s3", "bucket": lake.bucket, "prefix": "cdc/",
                     "roll": {"size": "5MiB", "age": "1s"}},
            "files": {"type": "directory", "path": f"{out}/", "format": "dynamodb",
                      "compression": "gzip", "roll": {"size": "5MiB", "age": "1s"}},
        },
    }


def check_kafka(kafka, topic, workload):
    events = delivered.from_kafka(kafka.read(topic, deadline=120))
    delivered.check_partitions(events, PARTITIONS)
    replays = delivered.replays(events)
    once = delivered.distinct(events)
    assert replays <= KILLS * PARTITIONS * 2, "more came again than the kills explain"
    delivered.compare(workload.history, once, delivered.same_plain_item)


def check_files(files, convert, workload, **comparison):
    events = [convert(line, name) for name, line in delivered.lines(files)]
    delivered.exactly_once(events)
    delivered.compare(workload.history, events, **comparison)
    return len(events)


def test_everything_arrives(dynamodb, access_key, kafka, database, lake, tmp_path, sluice):
    topic = f"orders-{uuid.uuid4().hex[:8]}"
    kafka.create_topic(topic, partitions=PARTITIONS, max_message_bytes=4 << 20)
    create_table(dynamodb.client(access_key), "orders")
    out = tmp_path / "out"
    worker = sluice(configuration(dynamodb, kafka, lake, database, out, topic),
                    access_key=access_key, secret_key=lake.secret_key)
    workload = Workload(SEED, CHANGES, large=LARGE)
    worker.start()
    workload.start(dynamodb.endpoint, access_key, "orders")

    # Rollovers and kills by turns, each at its share of the changes.
    steps = sorted([((i + 1) / (ROLLOVERS + 1), "rollover") for i in range(ROLLOVERS)] +
                   [((i + 1) / (KILLS + 1), "kill") for i in range(KILLS)])
    for share, step in steps:
        workload.wait_written(int(share * CHANGES))
        if step == "rollover":
            dynamodb.rollover(access_key)
            continue
        before = worker.metric("sluice_delivered_total", sink="events")
        worker.wait_metric("sluice_delivered_total", before + 1, sink="events", deadline=60)
        worker.kill9()
        worker.start(wait=False)
        worker.wait_for(lambda: worker.metric("sluice_delivered_total", sink="events") > 0,
                        "the next life delivers", 60)
    workload.join()
    worker.stop()
    assert worker.drain(deadline=180) == 0

    shards = dynamodb.client(access_key, "dynamodbstreams").describe_stream(
        StreamArn=dynamodb.client(access_key).describe_table(
            TableName="orders")["Table"]["LatestStreamArn"])["StreamDescription"]["Shards"]
    assert len(shards) == ROLLOVERS + 1
    check_kafka(kafka, topic, workload)
    objects = check_files(lake.objects(lake.bucket, "cdc/"), delivered.from_plain, workload,
                          same_item=delivered.same_plain_item, before=False, deleted_keys=True)
    lines = check_files(delivered.directory_files(out), delivered.from_dynamodb, workload,
                        same_item=delivered.same_typed_item)
    assert objects == lines == CHANGES
    assert not [name for name in os.listdir(out) if name.startswith(".")]
