"""Dead letters that are tried once more, into a real Kafka, beside a worker that runs: each in its
place of the key's order that (generation, sequence) tells, exactly once where the sink is so."""

import json
import subprocess
import uuid

import pytest

import delivered
from sluice import BINARY
from workload import create_table

COUNT = 40
BOTH = pytest.mark.parametrize("delivery", ("at_least_once", "exactly_once"))
CAST = [{"cast": {"amount": "number"}}]


@pytest.fixture
def setting(dynamodb, access_key, kafka, database, sluice, delivery):
    """A worker that runs, whose transform made letters of the half that has no number: it is mended
    by now. And then a newer version of the first key came."""
    client = dynamodb.client(access_key)
    create_table(client, "orders")
    topic = f"retries-{uuid.uuid4().hex[:8]}"
    kafka.create_topic(topic, partitions=2)

    def put(n, amount):
        client.put_item(TableName="orders", Item={"pk": {"S": f"k{n}"}, "sk": {"N": "1"},
                                                  "amount": amount})
    for n in range(COUNT):
        put(n, {"S": "none"} if n % 2 == 0 else {"N": f"{n}"})
    one = sluice({
        "worker": {"name": "one", "threads": 2},
        "checkpoint": {"store": database, "interval": "200ms", "lease": "4s"},
        "aws": {"endpoint": {"dynamodb": dynamodb.endpoint, "streams": dynamodb.endpoint}},
        "streams": [{"table": "orders", "start": "oldest", "transform": CAST, "sinks": ["events"]}],
        "sinks": {"events": {"type": "kafka", "brokers": kafka.brokers, "topic": topic,
                             "delivery": delivery}},
        "dead_letter": {"max_ratio": 1},
    }, access_key=access_key)
    assert one.drain() == 0
    assert json.loads(one.run("status", "--json").stdout)["dead_letters"] == COUNT // 2
    del one.config["streams"][0]["transform"]
    one.start()
    put(0, {"S": "newer"})
    one.wait_metric("sluice_delivered_total", 1, 60, sink="events")
    return one, topic


def events_of(kafka, topic):
    return delivered.from_kafka(kafka.read(topic))


@BOTH
def test_they_come_behind_and_sort_before(setting, kafka, delivery):
    one, topic = setting
    done = one.run("deadletter", "retry", "--all", "--yes", deadline=90)
    assert f"orders, events: {COUNT // 2} delivered, 0 failed again" in done.stdout
    status = json.loads(one.run("status", "--json").stdout)
    assert status["dead_letters"] == 0
    assert status["streams"][0]["retries"][0]["letters"] == COUNT // 2
    assert one.stop() == 0
    events = events_of(kafka, topic)
    assert len(events) == COUNT + 1
    first = [event for event in events if json.loads(event.key)["pk"] == "k0"]
    assert [event.after["amount"] for event in first] == ["newer", "none"], "it steps back"
    newest = max(first, key=lambda event: event.headers["sluice.order"])
    assert newest.after["amount"] == "newer", "and says so"


@BOTH
def test_a_command_that_is_killed(setting, kafka, delivery):
    """Nothing is lost, and of transactions nothing comes twice."""
    one, topic = setting
    one.write_config()
    environment = {name: value for name, value in one.environment.items() if value is not None}
    for wait in (0.1, 0.3, 0.5, 0.7, 1.0):
        command = subprocess.Popen(
            [BINARY, "deadletter", "retry", "--all", "--yes", "-c", one.file], env=environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            command.wait(wait)
        except subprocess.TimeoutExpired:
            command.kill()
            command.wait()
    if json.loads(one.run("status", "--json").stdout)["dead_letters"]:
        one.run("deadletter", "retry", "--all", "--yes", deadline=90)
    assert json.loads(one.run("status", "--json").stdout)["dead_letters"] == 0
    assert one.stop() == 0
    events = events_of(kafka, topic)
    distinct = {(event.shard, event.sequence) for event in events}
    assert len(distinct) == COUNT + 1
    if delivery == "exactly_once":
        assert len(events) == COUNT + 1


@pytest.mark.parametrize("delivery", ("exactly_once",))
def test_what_is_left_of_a_batch(setting, kafka, postgres, database, delivery):
    """The command died before it could note what it delivered, and then the batch's first letter
    went away: the commit is found at the topic of the one that is left."""
    one, topic = setting
    one.config["sinks"]["events"]["topic"] = f"{topic}.${{attribute:pk}}"
    for key in ("k0", "k2"):
        kafka.create_topic(f"{topic}.{key}", partitions=1)
    _, second = letters = postgres.execute(
        "SELECT id, stream, sink, shard, sequence, reason, json FROM sluice.letter ORDER BY id "
        "LIMIT 2", url=database)
    one.run("deadletter", "retry", *(str(letter[0]) for letter in letters), "--yes", deadline=90)
    postgres.execute(
        "INSERT INTO sluice.letter (id, stream, sink, shard, sequence, reason, json, retry, "
        "retry_sink) OVERRIDING SYSTEM VALUE SELECT %s, %s, %s, %s, %s, %s, %s, c.number, c.sink "
        "FROM sluice.letter_chain c", second, url=database)
    done = one.run("deadletter", "retry", str(second[0]), "--yes", deadline=90)
    assert "orders, events: 1 delivered, 0 failed again" in done.stdout
    for key in ("k0", "k2"):
        assert len(kafka.read(f"{topic}.{key}")) == 1
    assert one.stop() == 0
