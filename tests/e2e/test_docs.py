"""What README and docs/ show is what the program takes and says. The examples of events are printed
by the program each time; what differs from run to run (ids, sequence numbers, the time of delivery)
is compared by its shape. To write them anew: SLUICE_WRITE_DOCS=1."""

import json
import os
import re
import sqlite3
import subprocess

import pytest
import yaml

from emulator import Emulator
from process import free_port
from sluice import BINARY, Sluice
from stack import REGION, ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
DELIVERY = ROOT / "docs/delivery.md"
YAML = re.compile(r"```yaml\n(.*?)```", re.S)
TRANSFORMS = re.compile(r"<!-- transforms -->\n(.*?)<!-- end -->", re.S)
FILTERS = re.compile(r"<!-- filters -->\n(.*?)<!-- end -->", re.S)
EXAMPLE = re.compile(r"(<!-- example (\w+) -->\n```json\n)(.*?)(```\n<!-- end -->)", re.S)

ITEM = {"pk": {"S": "customer-7"}, "sk": {"N": "41"}, "total": {"N": "129.90"},
        "state": {"S": "open"}, "tags": {"SS": ["new", "web"]}}
BROKEN = {"eventID": "ecc22af86190e63b8594f1eaafe5e020", "eventName": "INSERT",
          "eventVersion": "1.1", "eventSource": "aws:dynamodb", "awsRegion": REGION,
          "dynamodb": {"ApproximateCreationDateTime": 1795227233,
                       "Keys": {"pk": {"S": "customer-7"}, "sk": {"N": "42"}},
                       "NewImage": {"pk": {"S": "customer-7"}, "sk": {"N": "42"},
                                    "total": {"N": "12,90"}},
                       "SequenceNumber": "@SEQUENCE@", "SizeBytes": 59,
                       "StreamViewType": "NEW_AND_OLD_IMAGES"}}

SCRIPT = "function transform(event) return event end"

# What another run has otherwise.
VOLATILE = [(re.compile(pattern), text) for pattern, text in (
    (r"shardId-\d{20}-[0-9a-f]{8}", "SHARD"), (r"\d{10}-0{18,}\d{21,22}", "ORDER"),
    (r'"\d{21,22}"', "SEQUENCE"), (r"stream/2\d{3}-\d\d-\d\dT[\d:.]+", "STREAM"),
    (r'"time":"[^"]*"', "TIME"), (r'("op":"\w","ts_ms":)\d+', r"\1NOW"),
    (r'"(event_id|eventID)":"[0-9a-f]{32}"', r"\1"), (r'"version":"[\d.]+"', "VERSION"),
    (r'"((?:from|to)_ms)":\d+', r"\1"), (r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", "SESSION"))]


def shape(text):
    for pattern, replacement in VOLATILE:
        text = pattern.sub(replacement, text)
    return text


def documents():
    yield from ((path.name, path.read_text()) for path in
                sorted((ROOT / "config/examples").glob("*.yaml")))
    for path in ("deploy/ecs/sluice.yaml", "docker/compose/sluice.yaml"):
        yield path, (ROOT / path).read_text()
    for wanted in yaml.safe_load_all((ROOT / "deploy/kubernetes/sluice.yaml").read_text()):
        if wanted["kind"] == "ConfigMap":
            yield "deploy/kubernetes/sluice.yaml", wanted["data"]["sluice.yaml"]
    for path in PAGES:
        for number, block in enumerate(YAML.findall(path.read_text()), 1):
            yield f"{path.name} block {number}", block


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in documents()])
def test_configurations_are_taken(tmp_path, text):
    secret = tmp_path / "postgres-password"
    secret.write_text("secret")
    (tmp_path / "hash-key").write_text("a secret of 16 bytes")
    (tmp_path / "sluice").mkdir()
    (tmp_path / "sluice/store").write_text("postgres://sluice:secret@db/sluice")
    (tmp_path / "sluice/kafka").write_text("secret")
    for name, content in (("scripts/orders.lua", SCRIPT), ("scripts/towns.lua", SCRIPT),
                          ("data/towns.csv", "town,mayor\nhere,ann\n"), ("data/plans.json", "{}")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    file = tmp_path / "sluice.yaml"
    file.write_text(text.replace("/run/secrets/", f"{tmp_path}/"))
    done = subprocess.run(
        [BINARY, "config", "print", "-c", file], capture_output=True, text=True, check=False,
        cwd=tmp_path,
        env={**os.environ, "HOSTNAME": "worker-1", "KAFKA_PASSWORD": "secret",
             "AWS_REGION": REGION, "SLUICE_STORE": "postgres://sluice:secret@db/sluice"})
    assert done.returncode == 0, done.stderr
    assert "\nsinks:" in done.stdout and "secret" not in done.stdout.replace("/secrets", "")


def test_the_task_of_ecs_gets_its_configuration_from_the_environment():
    (container,) = json.loads((ROOT / "deploy/ecs/task-definition.json").read_text())[
        "containerDefinitions"]
    environment = {variable["name"]: variable["value"] for variable in container["environment"]}
    done = subprocess.run(
        [*container["entryPoint"], "config", "print"], capture_output=True, text=True, check=False,
        env={**environment, "PATH": f"{BINARY.parent}:{os.environ['PATH']}",
             "SLUICE_YAML": (ROOT / "deploy/ecs/sluice.yaml").read_text(),
             "SLUICE_STORE": "postgres://sluice:word@db/sluice", "KAFKA_PASSWORD": "word"})
    assert done.returncode == 0, done.stderr
    assert "db/sluice" in done.stdout and "word" not in done.stdout.replace("password", "")


@pytest.fixture
def emulator(tmp_path):
    server = Emulator(tmp_path / "emulator", "orders")
    server.start()
    yield server
    server.stop()


def make_changes(emulator):
    emulator.control("put", table="orders", item=ITEM, created_ms=1795227233000)
    emulator.control("put", table="orders", item={**ITEM, "state": {"S": "paid"}},
                     created_ms=1795227236000)
    emulator.control("delete", table="orders", key={name: ITEM[name] for name in ("pk", "sk")},
                     created_ms=1795227240000)


def check_example(name, printed):
    page = DELIVERY.read_text()
    (told,) = [block[3] for block in EXAMPLE.finditer(page) if block[2] == name]
    if os.environ.get("SLUICE_WRITE_DOCS"):
        DELIVERY.write_text(EXAMPLE.sub(
            lambda block: block[1] + printed + block[4] if block[2] == name else block[0], page))
    else:
        assert shape(told) == shape(printed)


@pytest.mark.parametrize("form", ["plain", "debezium", "dynamodb"])
def test_examples_of_events(emulator, tmp_path, form):
    make_changes(emulator)
    worker = Sluice(tmp_path / "tail", {}, environment={"AWS_ENDPOINT_URL": emulator.endpoint})
    printed = worker.run("tail", "orders", "--from", "oldest", "--format", form, "--until-idle",
                         "500ms", config=False).stdout
    assert len(printed.splitlines()) == 3
    check_example(form, printed)


def test_example_of_a_dead_letter(emulator, tmp_path):
    emulator.control("append", table="orders", record=BROKEN, created_ms=1795227233000)
    worker = Sluice(tmp_path / "worker", {
        "checkpoint": {"store": f"sqlite:{tmp_path}/state.db"},
        "aws": {"endpoint": {"dynamodb": emulator.endpoint, "streams": emulator.endpoint}},
        "streams": [{"table": "orders", "start": "oldest", "sinks": ["files"]}],
        "sinks": {"files": {"type": "directory", "path": f"{tmp_path}/out/"}},
        "http": {"listen": f"127.0.0.1:{free_port()}"}})
    assert worker.drain() == 0
    assert len(worker.run("deadletter", "list").stdout.splitlines()) == 1
    letter = worker.run("deadletter", "show", "1").stdout
    assert json.loads(letter)["record"]["dynamodb"]["NewImage"]["total"] == {"N": "12,90"}
    check_example("letter", letter)


CONTROL = """
INSERT INTO gap (stream, shard, kind, from_ms, to_ms, found_ms, session, worker, state)
SELECT id, '', 'reenabled', 0, 1795231000000, 1795231002000, '', '', 'open' FROM stream;
UPDATE gap SET state = 'accepted', how = 'resume', closed_ms = 1795231100000 WHERE shard = '';
INSERT INTO control (stream, name, kind, phase, generation, time_ms, key, sink, detail)
SELECT id, name, kind, phase, 2, at, kind || phase, only_in, detail FROM stream, (
    SELECT 'repair' AS kind, 'begin' AS phase, 1795231200000 AS at, NULL AS only_in, '' AS detail
    UNION ALL SELECT 'repair', 'end', 1795231300000, NULL, ''
    UNION ALL SELECT 'partitions', 'begin', 1795231400000, 1,
        '{"topic":"dynamodb.orders","from":4,"to":8}') ORDER BY at;
"""


def test_examples_of_control_events(emulator, tmp_path):
    worker = Sluice(tmp_path / "worker", {
        "checkpoint": {"store": f"sqlite:{tmp_path}/state.db"},
        "aws": {"endpoint": {"dynamodb": emulator.endpoint, "streams": emulator.endpoint}},
        "streams": [{"table": "orders", "start": "oldest", "gap": "oldest", "sinks": ["files"]}],
        "sinks": {"files": {"type": "directory", "path": f"{tmp_path}/out/"}},
        "http": {"listen": f"127.0.0.1:{free_port()}"}})
    make_changes(emulator)
    assert worker.drain() == 0
    (shard,) = (name for name, now in emulator.truth("orders")["streams"][-1]["shards"].items()
                if now["records"] == 3)
    emulator.control("put", table="orders", item=ITEM)
    emulator.control("put", table="orders", item={**ITEM, "state": {"S": "sent"}})
    emulator.control("trim", table="orders", shard=shard, before=4)
    assert worker.drain() == 0
    with sqlite3.connect(tmp_path / "state.db") as store:
        store.executescript(CONTROL)
    assert worker.drain() == 0
    events = sorted((path.read_text() for path in (tmp_path / "out/_control").iterdir()),
                    key=lambda text: json.loads(text)["id"])
    assert [json.loads(event)["kind"] for event in events] == [
        "gap", "gap", "reenabled", "reenabled", "repair", "repair", "partitions"]
    check_example("control", "".join(events))


def test_table_of_filters(emulator, tmp_path):
    (table,) = FILTERS.findall(DELIVERY.read_text())
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")]
            for line in table.splitlines()[2:]]
    make_changes(emulator)
    for first in range(0, len(rows), 8):
        some = rows[first:first + 8]
        folder = tmp_path / str(first)
        names = [f"row{i}" for i in range(len(some))]
        worker = Sluice(folder, {
            "checkpoint": {"store": f"sqlite:{folder}/state.db"},
            "aws": {"endpoint": {"dynamodb": emulator.endpoint, "streams": emulator.endpoint}},
            "streams": [{"table": "orders", "start": "oldest", "sinks": [
                {"name": name, "filter": [row[0].strip("`")]}
                for name, row in zip(names, some)]}],
            "sinks": {name: {"type": "directory", "path": f"{folder}/{name}/", "format": "plain",
                             "compression": "none"} for name in names},
            "http": {"listen": f"127.0.0.1:{free_port()}"}})
        assert worker.drain() == 0
        for name, (pattern, *told) in zip(names, some):
            got = {json.loads(line)["_op"] for file in (folder / name).rglob("*.ndjson")
                   for line in file.read_text().splitlines()}
            assert ["yes" if op in got else "no" for op in "cud"] == told, pattern


def test_table_of_transforms(emulator, tmp_path):
    (table,) = TRANSFORMS.findall((ROOT / "docs/transforms.md").read_text())
    rows = [[cell.strip().strip("`") for cell in line.strip("|").split(" | ")]
            for line in table.splitlines()[2:]]
    assert len({row[0].strip("{").split(":")[0] for row in rows}) == 13
    for number, (_, item, _) in enumerate(rows):
        emulator.control("put", table="orders", item={
            "pk": {"S": "row"}, "sk": {"N": str(number)}, **json.loads(item)})
    for first in range(0, len(rows), 8):
        some = rows[first:first + 8]
        folder = tmp_path / str(first)
        names = [f"row{i}" for i in range(first, first + len(some))]
        worker = Sluice(folder, {
            "checkpoint": {"store": f"sqlite:{folder}/state.db"},
            "aws": {"endpoint": {"dynamodb": emulator.endpoint, "streams": emulator.endpoint}},
            "streams": [{"table": "orders", "start": "oldest", "sinks": [
                {"name": name, "transform": [yaml.safe_load(row[0])]}
                for name, row in zip(names, some)]}],
            "sinks": {name: {"type": "directory", "path": f"{folder}/{name}/", "compression": "none",
                             "format": "dynamodb"} for name in names},
            "http": {"listen": f"127.0.0.1:{free_port()}"}})
        assert worker.drain() == 0
        for name, (transform, _, told) in zip(names, some):
            changes = [json.loads(line)["dynamodb"] for file in (folder / name).rglob("*.ndjson")
                       for line in file.read_text().splitlines()]
            (image,) = [change["NewImage"] for change in changes
                        if change["Keys"]["sk"]["N"] == name[3:]]
            wanted = {"pk": {"S": "row"}, "sk": {"N": name[3:]}, **json.loads(told)}
            assert image == wanted, transform
