"""What is wrong is told before anything is read: by `check` a line each, by `run` as an error that
says what to do."""

import textwrap

import boto3
import pytest

import delivered
from process import free_port
from stack import REGION
from workload import create_table

CORRECT = """\
checkpoint:
  store: sqlite:state.db
streams:
  - table: orders
    sinks: [screen]
sinks:
  screen:
    type: stdout
"""

# A change of the correct file, the line it makes wrong, and words that the error has.
MISTAKES = {
    "unknown key": ("checkpoint:", "checkpont:", 1, ["checkpont", "did you mean", "checkpoint"]),
    "unknown setting": ("  store:", "  stor:", 2, ["checkpoint.stor", "did you mean", "store"]),
    "wrong store": ("sqlite:state.db", "mysql://db", 2,
                    ["checkpoint.store", "postgres://", "sqlite:"]),
    "no sink of that name": ("[screen]", "[scren]", 5, ["scren", "did you mean", "screen"]),
    "no sink at all": ("[screen]", "[]", 5, ["sinks", "at least one"]),
    "no table": ("  - table: orders\n", "  - name: orders\n", 4, ["table", "required"]),
    "wrong table": ("table: orders", "table: a b", 4, ["table", "name", "ARN"]),
    "wrong start": ("table: orders", "table: orders\n    start: yesterday", 5,
                    ["start", "latest", "oldest", "yesterday"]),
    "wrong duration": ("table: orders", "table: orders\n    poll: { max: 5 apples }", 5,
                       ["poll.max", "5 apples"]),
    "wrong choice": ("table: orders", "table: orders\n    on_error: ignore", 5,
                     ["on_error", "dead_letter", "stop", "drop", "ignore"]),
    "wrong type": ("type: stdout", "type: stout", 8, ["type", "stout", "did you mean", "stdout"]),
    "setting of another sink": ("type: stdout", "type: stdout\n    brokers: b:9092", 9,
                                ["brokers"]),
    "missing variable": ("orders", "${SLUICE_TEST_MISSING}", 4, ["SLUICE_TEST_MISSING"]),
    "twice": ("sinks:\n  screen:", "checkpoint: {}\nsinks:\n  screen:", 6,
              ["checkpoint", "twice", "line 1"]),
    "no YAML": ("type: stdout", "type: [stdout", 9, ["YAML"]),
    "interval over lease": ("sqlite:state.db", "sqlite:state.db\n  interval: 20s", 3,
                            ["checkpoint.interval", "lease"]),
}


@pytest.fixture
def program(sluice):
    """A worker without a server; its file is written by the test."""
    worker = sluice({})
    worker.write_config = lambda: None
    return worker


def kafka_sink(**settings):
    return {"type": "kafka", "brokers": "127.0.0.1:9", **settings}


def stream(**settings):
    return {"table": "orders", "start": "oldest", "sinks": ["files"], **settings}


@pytest.fixture
def directory_worker(dynamodb, access_key, sluice, tmp_path):
    """A worker that writes the debezium form into a directory; keywords change its stream."""
    def make(sinks=None, **changes):
        out = tmp_path / "out"
        out.mkdir(exist_ok=True)
        return sluice({
            "checkpoint": {"store": f"sqlite:{tmp_path}/state.db"},
            "aws": {"endpoint": {"dynamodb": dynamodb.endpoint, "streams": dynamodb.endpoint}},
            "streams": [stream(**changes)],
            "sinks": sinks or {"files": {"type": "directory", "path": f"{out}/",
                                         "format": "debezium", "roll": {"age": "1s"}}},
        }, access_key=access_key)
    return make


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_told_with_file_and_line(program, name):
    old, new, line, words = MISTAKES[name]
    assert CORRECT.count(old) == 1 or old == "orders"
    program.file.write_text(CORRECT.replace(old, new, 1))
    for command in (["check"], ["run"], ["config", "print"], ["status"]):
        done = program.run(*command, check=False)
        assert done.returncode == 2, (command, done.stdout, done.stderr)
        assert f"{program.file}:{line}: " in done.stderr, (command, done.stderr)
        for word in words:
            assert word in done.stderr, (command, done.stderr)
        assert not done.stdout


def test_settings_that_delivery_depends_on_are_refused(program):
    program.file.write_text(textwrap.dedent("""\
        streams: [{ table: orders, sinks: [events] }]
        sinks:
          events:
            type: kafka
            brokers: 127.0.0.1:9
            properties:
              acks: "1"
        """))
    done = program.run("check", check=False)
    assert done.returncode == 2
    assert f"{program.file}:" in done.stderr and "acks" in done.stderr


def test_more_sinks_than_a_worker_can_have_are_a_mistake(program):
    names = [f"s{i}" for i in range(40)]
    for count in (9, 33, 40):
        program.file.write_text(
            "streams:\n  - table: orders\n    sinks: [%s]\nsinks:\n%s" % (
                ", ".join(names[:count]),
                "".join(f"  {name}: {{ type: stdout }}\n" for name in names[:count])))
        done = program.run("run", check=False)
        assert done.returncode == 2, (count, done.returncode, done.stderr)
        assert "sinks" in done.stderr


@pytest.mark.parametrize("arguments", [
    ["run"], ["check"], ["run", "-c"], ["run", "-c", "/nowhere.yaml"], ["run", "--fast"],
    ["tail"], ["tail", "a", "b"], ["tail", "orders", "--from", "yesterday"], ["frobnicate"],
    ["tail", "orders", "--format", "xml"], []], ids=" ".join)
def test_wrong_usage(program, arguments):
    done = program.run(*arguments, check=False, config=False)
    assert done.returncode == 2, done
    assert done.stderr.startswith("sluice") or "usage" in done.stderr or not arguments
    assert done.stderr or not arguments


def test_help_is_an_answer(program):
    for arguments in ([], ["run"], ["check"], ["tail"], ["status"], ["config"], ["health"]):
        done = program.run(*arguments, "--help", config=False)
        assert done.stdout and not done.stderr


def test_a_correct_setup_is_told_line_by_line(directory_worker, dynamodb, access_key):
    arn = create_table(dynamodb.client(access_key), "orders")
    done = directory_worker().run("check")
    lines = [line.split(None, 2) for line in done.stdout.splitlines()]
    assert {state for state, *_ in lines} == {"ok"}
    assert [part for _, part, _ in lines] == [
        "config", "credentials", *4 * ["permission"], "stream", "store", "sink"]
    assert f"orders: {arn}, NEW_AND_OLD_IMAGES" in done.stdout


def refused(worker, *words, sink=False):
    """check and run say so, and end with 1."""
    done = worker.run("check", check=False)
    assert done.returncode == 1, done
    wrong = [line for line in done.stdout.splitlines() if line.startswith("FAIL")]
    assert len(wrong) == 1, done.stdout
    for word in words:
        assert word in wrong[0], done.stdout
    assert ("sink" in wrong[0].split()[1]) == sink
    done = worker.run("run", check=False)
    assert done.returncode == 1, done.stderr
    last = done.stderr.splitlines()[-1]
    assert any(all(word in line for word in words) and line.startswith("sluice run: ")
               for line in done.stderr.splitlines()), (last, done.stderr)


def test_a_table_that_does_not_exist(directory_worker):
    refused(directory_worker(), "table orders", "ResourceNotFoundException")


def test_a_table_without_a_stream(directory_worker, dynamodb, access_key):
    create_table(dynamodb.client(access_key), "orders", view=None)
    refused(directory_worker(), "table orders has no stream", "enable_stream")


def test_a_stream_that_does_not_exist(directory_worker, dynamodb, access_key):
    arn = create_table(dynamodb.client(access_key), "orders")
    label = "2020-01-01T00:00:00.000"
    refused(directory_worker(table=f"{arn.rsplit('/', 1)[0]}/{label}"), label)


@pytest.mark.parametrize("view", ["KEYS_ONLY", "OLD_IMAGE"])
def test_a_stream_without_the_images_that_the_sink_needs(directory_worker, dynamodb, access_key,
                                                         view):
    create_table(dynamodb.client(access_key), "orders", view=view)
    refused(directory_worker(), view, "NEW_AND_OLD_IMAGES", "format: dynamodb")


def test_keys_alone_are_enough_for_the_form_of_dynamodb(directory_worker, dynamodb, access_key,
                                                        tmp_path):
    client = dynamodb.client(access_key)
    create_table(client, "orders", view="KEYS_ONLY")
    worker = directory_worker(sinks={"files": {
        "type": "directory", "path": f"{tmp_path}/out/", "format": "dynamodb"}})
    worker.run("check")
    client.put_item(TableName="orders", Item={"pk": {"S": "a"}, "sk": {"N": "1"}})
    assert worker.drain() == 0
    (_, line), = delivered.lines(delivered.directory_files(tmp_path / "out"))
    assert line["dynamodb"]["Keys"] == {"pk": {"S": "a"}, "sk": {"N": "1"}}
    assert "NewImage" not in line["dynamodb"]


def test_without_old_images_an_update_is_a_read(directory_worker, dynamodb, access_key, tmp_path):
    client = dynamodb.client(access_key)
    create_table(client, "orders", view="NEW_IMAGE")
    worker = directory_worker()
    assert "no old images" in worker.run("check").stdout
    key = {"pk": {"S": "a"}, "sk": {"N": "1"}}
    for value in ("1", "2"):
        client.put_item(TableName="orders", Item={**key, "n": {"N": value}})
    client.delete_item(TableName="orders", Key=key)
    assert worker.drain() == 0
    events = [line for _, line in delivered.lines(delivered.directory_files(tmp_path / "out"))]
    keys = {"pk": "a", "sk": "1"}
    assert [(event["op"], event["before"], event["after"]) for event in events] == [
        ("c", None, {**keys, "n": "1"}), ("r", None, {**keys, "n": "2"}), ("d", keys, None)]


def test_a_stream_is_turned_on_when_asked(directory_worker, dynamodb, access_key, tmp_path):
    client = dynamodb.client(access_key)
    create_table(client, "orders", view=None)
    worker = directory_worker(enable_stream="NEW_AND_OLD_IMAGES")
    assert "has no stream yet" in worker.run("check").stdout
    assert "LatestStreamArn" not in client.describe_table(TableName="orders")["Table"], \
        "a check changed something"
    worker.start()
    worker.wait_for(lambda: worker.metric("sluice_polls_total", stream="orders") > 0, "it reads")
    client.put_item(TableName="orders", Item={"pk": {"S": "a"}, "sk": {"N": "1"}})
    worker.wait_metric("sluice_delivered_total", 1, sink="files")
    assert worker.stop() == 0
    table = client.describe_table(TableName="orders")["Table"]
    assert table["StreamSpecification"] == {"StreamEnabled": True,
                                            "StreamViewType": "NEW_AND_OLD_IMAGES"}
    assert worker.drain() == 0, "a stream that is on already is taken as it is"
    events = list(delivered.lines(delivered.directory_files(tmp_path / "out")))
    assert len(events) == 1


def test_keys_that_aws_refuses(emulator, sluice, tmp_path):
    server = emulator("orders", options=["--verify-key", "AKIDRIGHT:secret"])
    worker = sluice({
        "checkpoint": {"store": "sqlite::memory:"},
        "aws": {"endpoint": {"dynamodb": server.endpoint, "streams": server.endpoint}},
        "streams": [stream()],
        "sinks": {"files": {"type": "directory", "path": f"{tmp_path}/out/"}},
    }, access_key="AKIDWRONG", secret_key="secret")
    (tmp_path / "out").mkdir()
    done = worker.run("check", check=False)
    assert done.returncode == 1
    assert "FAIL  stream" in done.stdout and "UnrecognizedClient" in done.stdout
    worker.environment.update(AWS_ACCESS_KEY_ID="AKIDRIGHT")
    worker.run("check")


def test_no_keys_at_all(directory_worker, tmp_path):
    worker = directory_worker()
    worker.environment.update(AWS_ACCESS_KEY_ID=None, AWS_SECRET_ACCESS_KEY=None,
                              HOME=str(tmp_path), AWS_EC2_METADATA_DISABLED="true")
    done = worker.run("check", check=False)
    assert done.returncode == 1
    assert "FAIL  credentials" in done.stdout
    done = worker.run("run", check=False)
    assert done.returncode == 1
    assert "AWS_ACCESS_KEY_ID" in done.stderr


def test_places_that_cannot_be_written(directory_worker, dynamodb, access_key, s3, tmp_path):
    """Each sink has its own line: the directory is in the way of a file, the broker and the
    bucket are not there, the database refuses."""
    create_table(dynamodb.client(access_key), "orders")
    (tmp_path / "file").write_text("")
    worker = directory_worker(sinks={
        "files": {"type": "directory", "path": f"{tmp_path}/file/"},
        "events": kafka_sink(brokers=f"127.0.0.1:{free_port()}"),
        "lake": {"type": "s3", "bucket": "sluice-test-nowhere"}})
    worker.config["checkpoint"] = {"store": f"postgres://nobody@127.0.0.1:{free_port()}/nowhere"}
    worker.config["aws"]["endpoint"]["s3"] = s3.endpoint
    worker.environment.update(AWS_ACCESS_KEY_ID=access_key)
    done = worker.run("check", check=False, deadline=60)
    assert done.returncode == 1
    wrong = [line.split(None, 2) for line in done.stdout.splitlines() if line.startswith("FAIL")]
    assert [(part, rest.split(":")[0]) for _, part, rest in wrong][1:] == [
        ("sink", "files"), ("sink", "events"), ("sink", "lake")], done.stdout
    assert wrong[0][1] == "store" and "127.0.0.1" in wrong[0][2]
    assert "ok    stream" in done.stdout


def test_a_bucket_that_does_not_exist(directory_worker, dynamodb, s3):
    client = boto3.client("dynamodb", endpoint_url=dynamodb.endpoint, region_name=REGION,
                          aws_access_key_id=s3.access_key, aws_secret_access_key=s3.secret_key)
    create_table(client, "orders")
    worker = directory_worker(sinks={"files": {"type": "s3", "bucket": "sluice-test-nowhere"}})
    worker.config["aws"]["endpoint"]["s3"] = s3.endpoint
    worker.environment.update(AWS_ACCESS_KEY_ID=s3.access_key, AWS_SECRET_ACCESS_KEY=s3.secret_key)
    done = worker.run("check", check=False)
    assert done.returncode == 1
    assert "FAIL  sink        files: " in done.stdout and "sluice-test-nowhere" in done.stdout
    worker.config["sinks"]["files"]["bucket"] = s3.bucket
    told = worker.run("check").stdout
    assert "FAIL" not in told
    # This server has none.
    assert "its lifecycle rules are not looked at" in told and "NotImplemented" in told
    client.delete_table(TableName="orders")
