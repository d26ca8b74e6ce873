"""Topics that events name, of schemas and attributes, on a real Kafka: each event is where its record
says, in order per key and topic, once with transactions; what has no topic is a letter."""

import json
import uuid

import pytest

from workload import create_table

COUNT = 120
TYPES = ("order", "customer", "note")
SCHEMAS = [{"name": name, "when": {"type": name}} for name in TYPES[:2]]


@pytest.fixture
def records(dynamodb, access_key):
    """Items of three kinds, of which one has no schema; each is written, changed and deleted. One
    moves from a kind to another; one has a town that is no topic, one too long for any, one none."""
    client = dynamodb.client(access_key)
    create_table(client, "orders")

    def put(n, kind, town, **more):
        item = {"pk": {"S": f"k{n}"}, "sk": {"N": "1"}, "type": {"S": kind}, **more}
        if town:
            item["address"] = {"M": {"town": {"S": town}}}
        client.put_item(TableName="orders", Item=item)

    for n in range(COUNT):
        put(n, TYPES[n % 3], "Porto")
        put(n, TYPES[n % 3], "Porto", again={"BOOL": True})
    put(0, TYPES[1], "Porto")
    put(1, TYPES[1], "São João/x")
    put(2, TYPES[2], None)
    put(3, TYPES[0], "x" * 300)
    for n in range(3, COUNT):
        client.delete_item(TableName="orders", Key={"pk": {"S": f"k{n}"}, "sk": {"N": "1"}})
    return client


def make(dynamodb, access_key, kafka, database, sluice, **sink):
    return sluice({
        "worker": {"name": "one", "threads": 2},
        "checkpoint": {"store": database, "interval": "200ms", "lease": "3s"},
        "aws": {"endpoint": {"dynamodb": dynamodb.endpoint, "streams": dynamodb.endpoint}},
        "streams": [{"table": "orders", "start": "oldest", "schemas": SCHEMAS, "sinks": ["events"]}],
        "sinks": {"events": {"type": "kafka", "brokers": kafka.brokers, "format": "plain", **sink}},
        "dead_letter": {"max_ratio": 1},  # most of them, here
    }, access_key=access_key)


def in_topic(kafka, topic):
    """(n, op) of its messages, by key in their order, tombstones left out."""
    keys = {}
    for message in kafka.read(topic):
        if message.value():
            n = int(json.loads(message.key())["pk"][1:])
            keys.setdefault(n, []).append(json.loads(message.value())["_op"])
    return keys


def letters(postgres, database):
    return [json.loads(text) for text, in postgres.execute("SELECT json FROM sluice.letter",
                                                           url=database)]


@pytest.mark.parametrize("delivery", ("at_least_once", "exactly_once"))
def test_a_topic_for_each_schema_and_town(records, dynamodb, access_key, kafka, database, postgres,
                                          sluice, delivery):
    name = uuid.uuid4().hex[:8]
    topics = [f"{name}.{schema}.{town}" for schema, town in
              (("order", "Porto"), ("customer", "Porto"), ("_missing", "Porto"),
               ("customer", "S__o_Jo__o_x"), ("_missing", "_missing"))]
    for topic in topics:
        kafka.create_topic(topic, partitions=2)
    one = make(dynamodb, access_key, kafka, database, sluice, delivery=delivery,
               topic=name + ".${schema}.${attribute:address.town}")
    assert one.drain() == 0
    assert one.drain() == 0

    orders, customers, rest, odd, nowhere = (in_topic(kafka, topic) for topic in topics)
    first = ["c", "u"]
    assert orders == {n: first if n == 0 else first + ["d"] for n in range(0, COUNT, 3)} | {3: first}
    assert customers == {n: first if n == 1 else first + ["d"] for n in range(1, COUNT, 3)} | {0: ["u"]}
    assert rest == {n: first if n == 2 else first + ["d"] for n in range(2, COUNT, 3)}
    assert odd == {1: ["u"]}
    assert nowhere == {2: ["u"]}
    # Of the item whose town is too long: the change, and its delete.
    stored = letters(postgres, database)
    assert [(x["reason"], x["sink"]) for x in stored] == [("refused", "events")] * 2
    assert all("gives a name that Kafka does not take for a topic" in x["error"] for x in stored)


def test_what_has_no_topic_is_a_letter(records, dynamodb, access_key, kafka, database, postgres,
                                       sluice):
    name = uuid.uuid4().hex[:8]
    for schema in TYPES[:2]:
        kafka.create_topic(f"{name}.{schema}")
    one = make(dynamodb, access_key, kafka, database, sluice, topic=name + ".${schema}",
               missing="dead_letter", topics_max=1)
    assert one.drain() == 0
    orders, customers = (in_topic(kafka, f"{name}.{schema}") for schema in TYPES[:2])
    assert sum(map(len, orders.values())) == 3 * 40 and not customers
    stored = letters(postgres, database)
    assert [x["error"] for x in stored if x["reason"] == "route"] == [
        "it has no schema, which says where it goes (missing: dead_letter)"] * 3 * 40
    refused = [x["error"] for x in stored if x["reason"] == "refused"]
    assert refused == [f"topic {name}.customer: events have named 1 others (topics_max)"] * 121
    assert len(stored) == 241
