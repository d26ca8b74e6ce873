"""Records that a sink can never take: kept whole with their place and reason, or in the way, as
configured; the rest goes on."""

import json
import os
import random
import subprocess
import uuid

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource

import delivered
from sluice import BINARY
from workload import create_table, key_text

LIMIT = 100000
COUNT = 300
LARGE = (40, 41, 150, 299)
BOTH = pytest.mark.parametrize("delivery", ("at_least_once", "exactly_once"))


@pytest.fixture
def orders(dynamodb, access_key):
    """300 items of one shard; those of LARGE are over the topic's limit, also compressed."""
    client = dynamodb.client(access_key)
    create_table(client, "orders")
    rng = random.Random(3)
    for i in range(COUNT):
        item = {"pk": {"S": f"k{i % 60}"}, "sk": {"N": f"{i // 60}"}, "n": {"N": f"{i}"}}
        if i in LARGE:
            item["blob"] = {"B": rng.randbytes(2 * LIMIT)}
        client.put_item(TableName="orders", Item=item)
    return client


@pytest.fixture
def topic(kafka):
    name = f"letters-{uuid.uuid4().hex[:8]}"
    kafka.create_topic(name, partitions=2, max_message_bytes=LIMIT)
    return name


@pytest.fixture
def delivery():
    return "at_least_once"


@pytest.fixture
def worker(dynamodb, access_key, kafka, database, topic, sluice, tmp_path, delivery):
    def make(**stream):
        return sluice({
            "worker": {"name": "one", "threads": 2},
            "checkpoint": {"store": database, "interval": "200ms", "lease": "2s"},
            "aws": {"endpoint": {"dynamodb": dynamodb.endpoint, "streams": dynamodb.endpoint}},
            "streams": [{"table": "orders", "start": "oldest", "sinks": ["events", "files"],
                         **stream}],
            "sinks": {"events": {"type": "kafka", "brokers": kafka.brokers, "topic": topic,
                                 "delivery": delivery},
                      "files": {"type": "directory", "path": f"{tmp_path}/out/",
                                "format": "dynamodb", "roll": {"age": "1s"}}},
        }, access_key=access_key)
    return make


def numbers(kafka, topic, delivery):
    """What a refused request had is sent again, so that at least once other partitions may have parts
    twice."""
    events = delivered.from_kafka(kafka.read(topic))
    if delivery == "exactly_once":
        delivered.exactly_once(events)
    delivered.replays(events)
    return sorted(int(event.after["n"]) for event in delivered.distinct(events))


def files(tmp_path):
    lines = [line for _, line in delivered.lines(delivered.directory_files(tmp_path / "out"))]
    delivered.exactly_once([delivered.from_dynamodb(line, i) for i, line in enumerate(lines)])
    return {int(line["dynamodb"]["NewImage"]["n"]["N"]): line for line in lines}


@BOTH
def test_a_record_over_the_limit_is_kept_whole(orders, worker, kafka, topic, postgres, database,
                                               tmp_path, delivery):
    one = worker()
    one.start()
    one.wait_metric("sluice_dead_letters_total", len(LARGE), 60, sink="events")
    one.wait_metric("sluice_delivered_total", COUNT, 60, sink="files")
    one.wait_metric("sluice_delivered_total", COUNT - len(LARGE), 60, sink="events")
    assert one.stop() == 0
    assert one.drain() == 0, "letters are no failure"

    assert numbers(kafka, topic, delivery) == [i for i in range(COUNT) if i not in LARGE]
    lines = files(tmp_path)
    assert sorted(lines) == list(range(COUNT)), "the directory takes them all"
    rows = postgres.execute("SELECT stream, sink, shard, sequence, reason, json FROM sluice.letter "
                            "ORDER BY id", url=database)
    assert len(rows) == len(LARGE), "each once, also after another start"
    for n, (stream, sink, shard, sequence, reason, text) in zip(LARGE, rows):
        letter, record = json.loads(text), lines[n]
        assert letter.keys() == {"reason", "error", "stream", "shard", "sequence", "time",
                                 "attempts", "sink", "generation", "record"}
        assert (letter["stream"], letter["sink"], letter["shard"], letter["sequence"],
                letter["reason"]) == (stream, sink, shard, sequence, reason)
        assert (stream, sink) == ("orders", "events")
        assert int(sequence) == int(record["dynamodb"]["SequenceNumber"])
        assert not sequence.startswith("0") and shard.startswith("shardId-")
        assert "too large" in letter["error"].lower() and "max.message.bytes" in letter["error"]
        assert letter["attempts"] >= 1 and letter["time"].endswith("Z")
        assert delivered.parse(text)["record"] == record, "the record is not whole"
    assert json.loads(one.run("status", "--json").stdout)["dead_letters"] == len(LARGE)


@BOTH
def test_the_order_of_keys_survives_letters(dynamodb, access_key, worker, kafka, topic, delivery):
    """What comes after a refused record of the same key follows, and nothing overtakes."""
    client = dynamodb.client(access_key)
    create_table(client, "orders")
    rng = random.Random(5)
    key = {"pk": {"S": "k"}, "sk": {"N": "1"}}
    for n in range(60):
        blob = {"blob": {"B": rng.randbytes(2 * LIMIT)}} if n % 7 == 3 else {}
        client.put_item(TableName="orders", Item={**key, "n": {"N": f"{n}"}, **blob})
    one = worker()
    assert one.drain() == 0
    events = delivered.from_kafka(kafka.read(topic))
    if delivery == "exactly_once":
        delivered.exactly_once(events)
    delivered.replays(events)
    events = delivered.distinct(events)
    # The change after a large one carries it as its old image, and is too large as well.
    expected = [n for n in range(60) if n % 7 not in (3, 4)]
    assert [int(event.after["n"]) for event in events] == expected
    assert {event.key for event in events} == {key_text(("pk", key["pk"]), ("sk", key["sk"]))}


@BOTH
def test_on_error_stop(orders, worker, kafka, topic, postgres, database, tmp_path, dynamodb,
                       access_key, delivery):
    """What comes before it is delivered and saved, the shard stands, and the end says which."""
    one = worker(on_error="stop")
    for _ in range(2):
        assert one.drain() == 1
        last = one.process.text().splitlines()[-2:]
        shard, = {line[0] for line in postgres.execute("SELECT shard FROM sluice.lane",
                                                       url=database)}
        assert any(line.startswith("sluice run: ") and shard in line and "stand still" in line
                   for line in last), last
        assert numbers(kafka, topic, delivery) == list(range(LARGE[0]))
        assert postgres.execute("SELECT count(*) FROM sluice.letter", url=database) == [(0,)]
    where = postgres.execute(
        "SELECT p.sequence FROM sluice.position p JOIN sluice.sink s ON s.id = p.sink "
        "WHERE s.name = 'events'", url=database)
    before = files(tmp_path)[LARGE[0] - 1]
    assert where == [(int(before["dynamodb"]["SequenceNumber"]),)]

    # A topic that takes it, and everything goes on.
    raise_limit(kafka, topic)
    assert one.drain() == 0
    assert numbers(kafka, topic, delivery) == list(range(COUNT))
    assert sorted(files(tmp_path)) == list(range(COUNT))


def raise_limit(kafka, topic):
    admin = AdminClient({"bootstrap.servers": kafka.brokers})
    entry = ConfigEntry("max.message.bytes", str(4 << 20),
                        incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource("topic", topic, incremental_configs=[entry])
    admin.incremental_alter_configs([resource])[resource].result(30)


def test_on_error_drop(orders, worker, kafka, topic, postgres, database, delivery):
    one = worker(on_error="drop")
    one.start()
    one.wait_metric("sluice_delivered_total", COUNT - len(LARGE), 60, sink="events")
    one.wait_metric("sluice_dropped_total", len(LARGE), 60, reason="refused")
    assert one.stop() == 0
    assert numbers(kafka, topic, delivery) == [i for i in range(COUNT) if i not in LARGE]
    assert postgres.execute("SELECT count(*) FROM sluice.letter", url=database) == [(0,)]


def test_full_dead_letters_hold_the_shard(orders, worker, kafka, topic, postgres, database,
                                          delivery):
    """The table's limit: nothing disappears, the shard waits and the log says why."""
    one = worker()
    one.config["dead_letter"] = {"max_bytes": "1MiB"}
    one.config["worker"]["shutdown"] = "2s"
    for i in range(4):
        orders.put_item(TableName="orders", Item={
            "pk": {"S": f"big{i}"}, "sk": {"N": "1"}, "n": {"N": f"{COUNT + i}"},
            "blob": {"B": random.Random(i).randbytes(LIMIT)}})
    one.start()
    one.wait_for(lambda: "dead letters" in one.process.text() and " ERROR " in one.process.text(),
                 "it says that the letters are full", 60)
    bytes_kept, = postgres.execute("SELECT bytes FROM sluice.letter_total", url=database)[0]
    assert bytes_kept <= 1 << 20
    assert one.get("/livez")[0] == 200
    assert one.stop() == 0
    one.config["dead_letter"] = {"max_bytes": "16MiB"}
    assert one.drain() == 0
    kept = postgres.execute("SELECT count(*) FROM sluice.letter", url=database)[0][0]
    assert kept + len(numbers(kafka, topic, delivery)) == COUNT + 4


@BOTH
def test_letters_go_into_a_topic(orders, worker, kafka, topic, postgres, database, delivery):
    """Also across a worker that is killed; those that the topic cannot take stay in the store."""
    place = f"{topic}-bad"
    kafka.create_topic(place, partitions=1, max_message_bytes=4 << 20)
    one = worker()
    one.config["sinks"]["bad"] = {"type": "kafka", "brokers": kafka.brokers, "topic": place,
                                  "delivery": delivery}
    one.config["dead_letter"] = {"sink": "bad"}
    one.start()
    one.wait_metric("sluice_dead_letters_total", 1, 60, sink="events")
    one.process.kill()
    assert one.drain() == 0
    letters = [(message.key(), json.loads(message.value())) for message in kafka.read(place)]
    if delivery == "exactly_once":
        assert len(letters) == len(LARGE)
    distinct = {letter["sequence"]: letter for _, letter in letters}
    assert len(distinct) == len(LARGE)
    assert all(key.decode() == letter["shard"] for key, letter in letters)
    got = [letter["record"]["dynamodb"]["NewImage"]["n"]["N"] for letter in distinct.values()]
    assert got == [str(n) for n in LARGE]
    assert postgres.execute("SELECT count(*) FROM sluice.letter WHERE json <> ''",
                            url=database) == [(0,)]
    assert postgres.execute("SELECT bytes FROM sluice.letter_total", url=database) == [(0,)]


@BOTH
def test_letters_come_back_out_of_a_topic(orders, worker, kafka, topic, postgres, database,
                                          delivery):
    """The recipe of docs/delivery.md: a topic's letters are loaded while a worker runs, and tried once
    the topic takes them."""
    place = f"{topic}-bad"
    kafka.create_topic(place, partitions=1, max_message_bytes=4 << 20)
    one = worker()
    one.config["sinks"]["bad"] = {"type": "kafka", "brokers": kafka.brokers, "topic": place,
                                  "delivery": delivery}
    one.config["dead_letter"] = {"sink": "bad"}
    assert one.drain() == 0
    raise_limit(kafka, topic)
    one.config["sinks"]["events"]["properties"] = {"message.max.bytes": str(4 << 20)}
    one.start()
    for loaded in (f"{len(LARGE)} loaded, 0 were", f"0 loaded, {len(LARGE)} were"):
        one.write_config()
        done = subprocess.run(
            f"kcat -C -e -q -b {kafka.brokers} -t {place} | "
            f"{BINARY} deadletter -c {one.file} load - --yes", shell=True, capture_output=True,
            text=True, timeout=60, check=True,
            env={name: value for name, value in {**os.environ, **one.environment}.items()
                 if value is not None})
        assert loaded in done.stdout, "the same one is one letter"
    assert len(kafka.read(place)) == len(LARGE), "they do not go back"
    done = one.run("deadletter", "retry", "--all", "--yes", deadline=90)
    assert f"orders, events: {len(LARGE)} delivered, 0 failed again" in done.stdout
    assert one.stop() == 0
    got = delivered.from_kafka(kafka.read(topic))
    assert sorted({int(event.after["n"]) for event in got}) == list(range(COUNT))
    assert postgres.execute("SELECT count(*) FROM sluice.letter", url=database) == [(0,)]


def test_a_record_that_cannot_be_read(emulator, sluice, tmp_path):
    """A broken record of the stream itself, beside good ones."""
    server = emulator("orders:records=50")
    server.control("append", table="orders", text=json.dumps({
        "eventID": "1", "eventName": "MODIFY", "dynamodb": {
            "Keys": {"pk": {"S": "a"}, "sk": {"N": "not a number"}},
            "NewImage": {"pk": {"S": "a"}}, "SequenceNumber": "@SEQUENCE@", "SizeBytes": 1,
            "ApproximateCreationDateTime": 1795225000, "StreamViewType": "NEW_AND_OLD_IMAGES"}}))
    server.control("put", table="orders", item={"pk": {"S": "last"}, "sk": {"N": "1"}})
    one = sluice({
        "checkpoint": {"store": f"sqlite:{tmp_path}/state.db", "interval": "200ms"},
        "aws": {"endpoint": {"dynamodb": server.endpoint, "streams": server.endpoint}},
        "streams": [{"table": "orders", "start": "oldest", "sinks": ["files"]}],
        "sinks": {"files": {"type": "directory", "path": f"{tmp_path}/out/"}}})
    assert one.drain() == 0
    lines = [line for _, line in delivered.lines(delivered.directory_files(tmp_path / "out"))]
    assert len(lines) == 51 and lines[-1]["pk"] == "last"
    assert json.loads(one.run("status", "--json").stdout)["dead_letters"] == 1
