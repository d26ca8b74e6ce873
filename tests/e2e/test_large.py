"""Events that are larger than Kafka takes: their payloads lie in S3, references to them are in the
topic, in the order of their keys; whoever dies in between, and while the bucket is away."""

import hashlib
import json
import random
import uuid

import pytest

import delivered

LIMIT = 100000
COUNT = 24
KEYS = 4
BLOBS = (3, 4, 11, 20)
# The next version of the item has it as its old image.
LARGE = sorted({*BLOBS, *(n + KEYS for n in BLOBS if n + KEYS < COUNT)})
BOTH = pytest.mark.parametrize("delivery", ("at_least_once", "exactly_once"))


@pytest.fixture
def orders(emulator):
    """Versions of some items; those of BLOBS are over the topic's limit, also compressed."""
    server = emulator("orders")
    rng = random.Random(7)
    for n in range(COUNT):
        item = {"pk": {"S": f"k{n % KEYS}"}, "sk": {"N": "1"}, "n": {"N": f"{n}"}}
        if n in BLOBS:
            item["blob"] = {"S": f"{rng.getrandbits(8 * LIMIT):x}"}
        server.control("put", table="orders", item=item)
    return server


@pytest.fixture
def topic(kafka):
    name = f"large-{uuid.uuid4().hex[:8]}"
    kafka.create_topic(name, partitions=2, max_message_bytes=LIMIT)
    return name


@pytest.fixture
def delivery():
    return "at_least_once"


@pytest.fixture
def worker(orders, kafka, s3, bucket, topic, database, sluice, delivery):
    def make(**sink):
        return sluice({
            "worker": {"name": "one", "threads": 2},
            "checkpoint": {"store": database, "interval": "200ms", "lease": "4s"},
            "aws": {"endpoint": {"dynamodb": orders.endpoint, "streams": orders.endpoint,
                                 "s3": s3.endpoint}},
            "streams": [{"table": "orders", "start": "oldest", "sinks": ["events"]}],
            "sinks": {"events": {"type": "kafka", "brokers": kafka.brokers, "topic": topic,
                                 "delivery": delivery,
                                 "large": {"bucket": bucket, "prefix": "large"}, **sink}}})
    return make


def check(kafka, s3, bucket, topic, delivery):
    """Every event is there, and references tell the truth."""
    events = delivered.from_kafka(kafka.read(topic))
    objects = s3.objects(bucket)
    seen = {}
    for message in kafka.read(topic):
        value = json.loads(message.value())
        sequence = value["source"]["sequence"]
        large = value.get("large")
        seen.setdefault(sequence, []).append(value)
        if not large:
            assert "blob" not in value["after"]
            continue
        key = json.loads(message.key())
        assert value["after"] == key and value["before"] in (None, key)
        assert large["bucket"] == bucket
        source = value["source"]
        assert large["key"] == (f"large/events/orders/{source['generation']}/{source['shard']}/"
                                f"{sequence}.json")
        body = objects[large["key"]]
        assert large["bytes"] == len(body)
        assert large["sha256"] == hashlib.sha256(body).hexdigest()
        whole = json.loads(body)
        assert whole["source"] == source and whole["op"] == value["op"]
        assert whole["after"]["n"] in LARGE and len(body) > LIMIT
        assert whole["ts_ms"] == source["ts_ms"]
    referred = {value["large"]["key"] for values in seen.values() for value in values
                if "large" in value}
    assert set(objects) - {"large/events/_check"} == referred
    assert len(referred) == len(LARGE) and len(seen) == COUNT
    if delivery == "exactly_once":
        delivered.exactly_once(events)
    delivered.replays(events)


@BOTH
def test_references_in_their_place(worker, kafka, s3, bucket, topic, delivery):
    one = worker()
    one.start()
    one.wait_metric("sluice_delivered_total", COUNT, 90, sink="events")
    assert one.metric("sluice_large_objects_total", sink="events") >= len(LARGE)
    assert one.metric("sluice_large_object_bytes_total", sink="events") > len(LARGE) * LIMIT
    assert one.metric("sluice_dead_letters_total") == 0
    assert one.stop() == 0
    assert one.drain() == 0
    check(kafka, s3, bucket, topic, delivery)


def own_limit(delivery):
    """A transaction that the brokers refuse takes its time."""
    return {"message.max.bytes": str(LIMIT)} if delivery == "exactly_once" else {}


@BOTH
def test_a_kill(worker, kafka, s3, bucket, topic, delivery):
    one = worker(properties=own_limit(delivery))
    one.start()
    one.wait_metric("sluice_large_objects_total", 1, 60, sink="events")
    one.kill9()
    one.process.wait(10)
    assert one.drain() == 0
    check(kafka, s3, bucket, topic, delivery)


def test_the_producers_own_limit(worker, kafka, s3, bucket, topic):
    """What is over that goes at once, without being refused first."""
    one = worker(properties={"message.max.bytes": str(LIMIT)})
    assert one.drain() == 0
    check(kafka, s3, bucket, topic, "at_least_once")


@pytest.mark.parametrize("form", ("plain", "dynamodb"))
def test_other_forms(worker, kafka, s3, bucket, topic, form):
    one = worker(format=form, properties={"message.max.bytes": str(LIMIT)})
    assert one.drain() == 0
    objects = s3.objects(bucket)
    found = 0
    for message in kafka.read(topic):
        value, key = json.loads(message.value()), json.loads(message.key())
        large = value.pop("_large" if form == "plain" else "large", None)
        if not large:
            continue
        found += 1
        body = objects[large["key"]]
        assert hashlib.sha256(body).hexdigest() == large["sha256"]
        whole = json.loads(body)
        if form == "plain":
            assert value == {**key, **{name: part for name, part in whole.items() if name[0] == "_"}}
        else:
            for image in ("NewImage", "OldImage"):
                whole["dynamodb"].pop(image, None)
            assert value == whole
    assert found == len(BLOBS if form == "plain" else LARGE), "the plain form has no old image"


def test_a_bucket_that_is_not_there(worker, kafka, topic, bucket, postgres, database):
    """That is no passing trouble: the records are dead letters, and what is behind them goes on. Once
    it is mended they are retried, as references."""
    one = worker()
    one.config["sinks"]["events"]["large"]["bucket"] = f"{bucket}-none"
    checked = one.run("check", check=False, deadline=60)
    assert checked.returncode == 1 and f"bucket {bucket}-none" in checked.stdout
    assert one.drain(deadline=90) == 0
    letters = [json.loads(text) for text, in postgres.execute(
        "SELECT json FROM sluice.letter ORDER BY id", url=database)]
    assert [int(letter["record"]["dynamodb"]["NewImage"]["n"]["N"]) for letter in letters] == \
        list(LARGE)
    assert all("not to be put into bucket" in letter["error"] for letter in letters)
    assert len(kafka.read(topic)) == COUNT - len(LARGE)


@BOTH
def test_letters_become_references(worker, kafka, s3, bucket, topic, delivery):
    one = worker(properties=own_limit(delivery))
    large = one.config["sinks"]["events"]["large"]
    one.config["sinks"]["events"]["large"] = "dead_letter"
    assert one.drain(deadline=90) == 0
    assert json.loads(one.run("status", "--json").stdout)["dead_letters"] == len(LARGE)
    one.config["sinks"]["events"]["large"] = large
    checked = one.run("check", deadline=60)
    assert f"large records into bucket {bucket}: writing is allowed" in checked.stdout
    assert f"s3:PutObject on arn:aws:s3:::{bucket}/large/events/*" in checked.stdout
    done = one.run("deadletter", "retry", "--all", "--yes", deadline=90)
    assert f"{len(LARGE)} delivered, 0 failed again" in done.stdout
    messages = [json.loads(message.value()) for message in kafka.read(topic)]
    references = [value for value in messages if "large" in value]
    objects = s3.objects(bucket)
    assert {hashlib.sha256(objects[value["large"]["key"]]).hexdigest() for value in references} == \
        {value["large"]["sha256"] for value in references}
    assert len(references) == len(LARGE)
    assert len({value["source"]["sequence"] for value in messages}) == COUNT
