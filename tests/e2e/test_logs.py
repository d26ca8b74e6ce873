"""What the log says of a run from its beginning to its end, and what it never says: a secret, at no
level, and what is in a record, above debug."""

import json
import random
import re
import signal
import uuid

import pytest

from process import free_port

# Secrets end like this, whatever they are for; contents of records have the other word.
SECRET = "plum-5f1c"
MARK = "quince-7d3e"
LINE = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (DEBUG|INFO |WARN |ERROR) \S.*$")
LIMIT = 20000
GOOD = 5


def record(value, name="INSERT", keys=None):
    """One that a test makes: its key and a value that may be wrong."""
    keys = keys or {"pk": {"S": f"{MARK}-key"}, "sk": {"N": "1"}}
    return json.dumps({"eventID": uuid.uuid4().hex, "eventName": name, "eventVersion": "1.1",
                       "eventSource": "aws:dynamodb", "awsRegion": "eu-west-1", "dynamodb": {
                           "ApproximateCreationDateTime": 1700000000, "Keys": keys,
                           "NewImage": {**keys, "mark": value}, "SequenceNumber": "@SEQUENCE@",
                           "SizeBytes": 100, "StreamViewType": "NEW_AND_OLD_IMAGES"}})


# What becomes of each is said by the log, where its shard stands still.
BAD = {
    "number": record({"N": MARK}),
    "type": record({MARK: "1"}),
    "base64": record({"B": f"{MARK}*"}),
    "two types": record({"S": MARK, "N": MARK}),
    "event": record({"S": MARK}, name=MARK),
    "key": record({"S": MARK}, keys={"pk": {"N": MARK}, "sk": {"N": "1"}}),
    "escape": record({"S": "@"}).replace('"@"', f'"{MARK}\\q"'),
    "no record": MARK,
    "cast": record({"S": MARK}),
    "script": record({"S": MARK}).replace('"mark"', '"sum"'),
    "schema": record({"S": MARK}).replace('"mark"', '"count"'),
    # Too large for the topic, also compressed.
    "large": record({"S": MARK + random.Random(1).randbytes(3 * LIMIT).hex()}).replace(
        '"mark"', '"text"'),
}
SCRIPT = """
function transform(event)
  local new = event.new
  if new and new.sum then new.sum = new.sum + 1 end
  return event
end
"""


@pytest.fixture
def worker(emulator, sluice, kafka, database, tmp_path):
    """A worker of one table per bad record, whose configuration is full of secrets; it reaches Kafka
    and Postgres, which ask for none of them."""
    server = emulator(*(f"{name.replace(' ', '-')}:records={GOOD}:bytes=400" for name in BAD))
    for name, text in BAD.items():
        server.control("append", table=name.replace(" ", "-"), text=text)
    topic = f"logs-{uuid.uuid4().hex[:8]}"
    kafka.create_topic(topic, max_message_bytes=LIMIT)
    (tmp_path / "key").write_text(f"hash-{SECRET}-of-16-bytes")
    (tmp_path / "script.lua").write_text(SCRIPT)

    def make(level, form, on_error="dead_letter"):
        return sluice({
            "worker": {"name": "one"},
            "checkpoint": {"store": database.replace("@", f":store-{SECRET}@")},
            "aws": {"endpoint": {"dynamodb": server.endpoint, "streams": server.endpoint}},
            "streams": [{
                "table": name.replace(" ", "-"), "start": "oldest", "sinks": ["events"],
                "on_error": on_error,
                "schemas": [{"name": "any", "mode": "evolve",
                             "columns": [{"path": "count", "type": "integer"}]}],
                "transform": [{"hash": {"paths": ["email"], "key": f"${{file:{tmp_path}/key}}"}},
                              {"cast": {"mark": "number"}},
                              {"lua": {"file": f"{tmp_path}/script.lua"}}],
            } for name in BAD],
            "sinks": {"events": {"type": "kafka", "brokers": kafka.brokers, "topic": topic,
                                 "format": "debezium",
                                 "properties": {"sasl.password": f"kafka-{SECRET}"}}},
            "log": {"level": level, "format": form},
        }, secret_key=f"aws-{SECRET}", environment={"AWS_SESSION_TOKEN": f"token-{SECRET}"})
    return make


def lines(worker):
    return worker.log.read_text().splitlines()


def said(worker, *arguments):
    done = worker.run(*arguments, check=False)
    return done.stdout + done.stderr


def no_secret(worker):
    everything = [worker.get(path)[1] for path in ("/readyz", "/metrics", "/status.json")]
    everything += [said(worker, *command) for command in (
        ["check"], ["config", "print"], ["status"], ["status", "--json"], ["deadletter", "list"])]
    for text in (*everything, worker.log.read_text()):
        assert SECRET not in text, text


@pytest.mark.parametrize("on_error", ["dead_letter", "stop"])
def test_what_is_in_a_record_is_not_in_the_log(worker, on_error):
    one = worker("info", "text", on_error).start()
    if on_error == "stop":
        one.wait_for(lambda: one.log.read_text().count("shard stands still") == len(BAD),
                     "each stands still", 90)
    else:
        one.wait_for(lambda: one.metric("sluice_dead_letters_total") == len(BAD),
                     "each is a letter", 90)
    one.wait_metric("sluice_delivered_total", GOOD * len(BAD), 90, sink="events")
    no_secret(one)
    assert MARK not in one.get("/metrics")[1]
    one.process.send(signal.SIGTERM)
    assert one.process.wait(60) == 0
    for line in lines(one):
        assert LINE.match(line), line
        assert MARK not in line, line


def test_no_level_tells_a_secret(worker):
    one = worker("debug", "json").start()
    one.wait_for(lambda: one.metric("sluice_dead_letters_total") == len(BAD), "they are letters",
                 90)
    no_secret(one)
    assert one.stop() == 0
    for line in lines(one):
        told = json.loads(line)
        assert list(told)[:3] == ["time", "level", "message"]


def test_a_neighbour_that_is_away_tells_no_secret(worker):
    one = worker("debug", "text")
    port = free_port()
    store = one.config["checkpoint"]["store"]
    one.config["checkpoint"]["store"] = re.sub(r":\d+/", f":{port}/", store)
    one.config["sinks"]["events"]["brokers"] = f"127.0.0.1:{port}"
    one.start(wait=False)
    one.wait_for(lambda: "the store cannot be opened" in one.log.read_text(), "it waits")
    no_secret(one)
    assert one.stop() == 0
    no_secret(one)


@pytest.mark.parametrize("form", ["text", "json"])
def test_the_first_line_says_what_begins_and_the_last_what_became_of_it(worker, form):
    one = worker("info", form).start()
    one.wait_metric("sluice_delivered_total", GOOD * len(BAD), 90, sink="events")
    one.wait_for(lambda: one.metric("sluice_dead_letters_total") == len(BAD), "letters", 90)
    assert one.stop() == 0
    first, *_, last = lines(one)
    if form == "json":
        first, last = json.loads(first), json.loads(last)
    else:
        first, last = (dict(re.findall(r"(\w+)=(\S+)", line)) | {"message": line}
                       for line in (first, last))
    assert re.search(r"sluice \d+\.\d+\.\d+", first["message"])
    assert first["worker"] == "one"
    assert first["streams"] == ",".join(name.replace(" ", "-") for name in BAD)
    assert first["sinks"] == "events"
    assert re.search(r"postgres 127\.0\.0\.1/test_", first.get("state", "") + first["message"])
    assert "ended" in last["message"]
    assert {name: int(last[name]) for name in ("code", "sessions", "dead_letters", "gaps")} == {
        "code": 0, "sessions": 1, "dead_letters": len(BAD), "gaps": 0}
    assert int(last["delivered"]) == GOOD * len(BAD)
