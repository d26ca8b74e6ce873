"""`sluice tail` needs a table's name and what the environment says, nothing else."""

import json
import os
import signal
import subprocess

import pytest

import delivered
from process import wait_until
from sluice import BINARY
from stack import REGION
from workload import Workload, create_table, key_text


class Tail:
    def __init__(self, folder, endpoint, access_key, *arguments, **environment):
        folder.mkdir()
        self.folder, self.errors = folder, folder / "stderr"
        clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        with open(folder / "stdout", "wb") as out, open(self.errors, "wb") as errors:
            self.process = subprocess.Popen(
                [BINARY, "tail", *arguments], stdin=subprocess.DEVNULL, stdout=out, stderr=errors,
                cwd=folder, env={**clean, "AWS_ACCESS_KEY_ID": access_key,
                                 "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": REGION,
                                 "AWS_EC2_METADATA_DISABLED": "true",
                                 "AWS_ENDPOINT_URL_DYNAMODB": endpoint,
                                 "AWS_ENDPOINT_URL_DYNAMODB_STREAMS": endpoint, **environment})

    def lines(self):
        """Whole lines so far."""
        text = (self.folder / "stdout").read_bytes()
        return [delivered.parse(line) for line in text.split(b"\n")[:-1]]

    def wait(self, deadline=30):
        return self.process.wait(deadline)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.wait()


@pytest.fixture
def tail(tmp_path, dynamodb, access_key):
    started = []

    def start(*arguments, **environment):
        started.append(Tail(tmp_path / f"tail{len(started)}", dynamodb.endpoint, access_key,
                            *arguments, **environment))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.wait()


@pytest.fixture
def table(dynamodb, access_key):
    client = dynamodb.client(access_key)
    client.arn = create_table(client, "orders")

    def put(pk, **attributes):
        client.put_item(TableName="orders",
                        Item={"pk": {"S": pk}, "sk": {"N": "1"}, **attributes})

    client.put = put
    return client


def test_live_changes_are_printed(tail, table, dynamodb, access_key):
    table.put("long ago")
    dynamodb.dilate(access_key, 1)
    printed = tail("orders")
    written = 0

    def seen():
        nonlocal written
        written += 1
        table.put(f"{written}", price={"N": "1.50"}, name={"S": "Zoë \"quoted\" 😀"})
        return printed.lines()

    # What is written before it has begun is not its business.
    wait_until(seen, lambda: f"a line\n{printed.errors.read_text()}")
    table.put("now", price={"N": "12345678901234567890123456789012345678"})
    table.delete_item(TableName="orders", Key={"pk": {"S": "now"}, "sk": {"N": "1"}})
    wait_until(lambda: printed.lines()[-1].get("_op") == "d", "the delete")
    lines = printed.lines()
    names = [line["pk"] for line in lines]
    first = int(names[0])
    assert names == [f"{n}" for n in range(first, written + 1)] + ["now", "now"]
    assert (lines[0]["_op"], lines[0]["sk"], lines[0]["price"]) == ("c", "1", "1.5")
    assert lines[0]["name"] == "Zoë \"quoted\" 😀"
    assert lines[-2]["price"] == "12345678901234567890123456789012345678"
    assert printed.stop() == 0
    assert printed.errors.read_text() == ""
    assert sorted(os.listdir(printed.folder)) == ["stderr", "stdout"], "it stored something"


@pytest.mark.parametrize("form", ["plain", "debezium", "dynamodb"])
def test_from_oldest_until_quiet(tail, table, dynamodb, access_key, form):
    workload = Workload(seed=7, changes=300, keys=40, threads=2)
    workload.start(dynamodb.endpoint, access_key, "orders").join()
    printed = tail("orders", "--from", "oldest", "--format", form, "--until-idle", "1s")
    assert printed.wait() == 0, printed.errors.read_text()
    lines = printed.lines()
    if form == "plain":
        events = [delivered.from_plain(line, i) for i, line in enumerate(lines)]
        delivered.compare(workload.history, events, delivered.same_plain_item, before=False,
                          deleted_keys=True)
    elif form == "debezium":
        events = [delivered.from_debezium(delivered.item_key(line["after"] or line["before"]),
                                          line, place=i) for i, line in enumerate(lines)]
        delivered.compare(workload.history, events, delivered.same_plain_item)
    else:
        events = [delivered.from_dynamodb(line, i) for i, line in enumerate(lines)]
        delivered.compare(workload.history, events, delivered.same_typed_item)
    sequences = [event.sequence for event in events]
    assert sequences == sorted(set(sequences)), "one shard, in its order, each once"


def test_by_arn(tail, emulator):
    """An ARN says the region, too. (DynamoDB Local's ARNs have one that nobody asks for.)"""
    server = emulator("orders:records=20")
    stream = server.arn("orders")
    for name in (stream, stream.split("/stream/")[0]):
        printed = tail(name, "--from=oldest", "--until-idle=1s", AWS_ENDPOINT_URL=server.endpoint,
                       AWS_ENDPOINT_URL_DYNAMODB="", AWS_ENDPOINT_URL_DYNAMODB_STREAMS="",
                       AWS_REGION="us-east-1")
        assert printed.wait() == 0, printed.errors.read_text()
        assert len(printed.lines()) == 20


def test_from_a_time(tail, table, dynamodb, access_key):
    table.put("before")
    dynamodb.dilate(access_key, 3)
    table.put("after")
    printed = tail("orders", "--from", "-2h", "--until-idle", "1s")
    assert printed.wait() == 0, printed.errors.read_text()
    assert [line["pk"] for line in printed.lines()] == ["after"]


def test_a_reader_that_leaves_ends_it(table, dynamodb, access_key):
    """As `sluice tail orders | head -n 1`: the next line that it cannot print ends it."""
    reader, writer = os.pipe()
    process = subprocess.Popen(
        [BINARY, "tail", "orders", "--from", "oldest"], stdout=writer, stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        env={"AWS_ACCESS_KEY_ID": access_key, "AWS_REGION": REGION,
             "AWS_SECRET_ACCESS_KEY": "secret", "AWS_ENDPOINT_URL": dynamodb.endpoint})
    os.close(writer)
    try:
        table.put("first")
        with os.fdopen(reader) as lines:
            assert json.loads(lines.readline())["pk"] == "first"

        def ended():
            table.put("more")
            table.delete_item(TableName="orders", Key={"pk": {"S": "more"}, "sk": {"N": "1"}})
            return process.poll() is not None

        wait_until(ended, "its end")
        assert process.returncode == 1
        assert b"closed" in process.stderr.read()
    finally:
        process.kill()
        process.wait()


def test_a_table_that_does_not_exist(tail):
    printed = tail("nowhere")
    assert printed.wait() == 1
    said = printed.errors.read_text()
    assert "nowhere" in said and "ResourceNotFoundException" in said
    assert printed.lines() == []


def test_a_table_without_a_stream(tail, dynamodb, access_key):
    create_table(dynamodb.client(access_key), "orders", view=None)
    printed = tail("orders")
    assert printed.wait() == 1
    assert "no stream" in printed.errors.read_text()


# What `plain` prints for a key is what Kafka has for it, whatever the types.
@pytest.mark.parametrize("kind, values", [
    ("N", ["1", "1.50", "-0.0", "1E+20", "0.000001", "12345678901234567890123456789012345678"]),
    ("B", ["", "AA==", "/////w=="]),
    ("S", ["a", "\"\\/\b\f\n\r\t\x00\x1f\x7f", "ü中😀\u2028"])])
def test_keys_of_every_type(tail, dynamodb, access_key, kind, values):
    import base64
    client = dynamodb.client(access_key)
    create_table(client, "orders", schema={
        "AttributeDefinitions": [{"AttributeName": "kéy", "AttributeType": "S"},
                                 {"AttributeName": "range", "AttributeType": kind}],
        "KeySchema": [{"AttributeName": "kéy", "KeyType": "HASH"},
                      {"AttributeName": "range", "KeyType": "RANGE"}],
        "BillingMode": "PAY_PER_REQUEST"})
    values = [value for value in values if value]
    for value in values:
        typed = base64.b64decode(value) if kind == "B" else value
        client.put_item(TableName="orders", Item={"kéy": {"S": "x"}, "range": {kind: typed}})
    printed = tail("orders", "--from", "oldest", "--until-idle", "1s")
    assert printed.wait() == 0, printed.errors.read_text()
    got = [line["range"] for line in printed.lines()]
    if kind == "N":
        assert [key_text(("r", {"N": n})) for n in got] == [key_text(("r", {"N": n}))
                                                            for n in values]
    else:
        assert got == values
