"""`sluice check` tries each call that the configuration needs, and goes on where one is refused: a
line for each permission, with the action and the resource."""

import json
import re

import pytest

from refusing import KEY, Bucket, refusal
from stack import ROOT

# As long as AWS's own words are, with a table's name that is long, too.
TABLE = "orders-of-all-the-customers-of-one-region-by-day-and-hour"
TABLE_ARN = f"arn:aws:dynamodb:eu-west-1:123456789012:table/{TABLE}"
STREAM = ["DescribeTable", "DescribeStream", "GetShardIterator", "GetRecords"]
EXPORTS = ["DescribeContinuousBackups", "ExportTableToPointInTime", "DescribeExport"]
S3 = ["AbortMultipartUpload", "PutObject", "ListMultipartUploadParts",
      "ListBucketMultipartUploads", "ListBucket", "GetObject"]
POLICIES = ["stream", "stream-pattern", "enable-stream", "exports", "enable-pitr", "s3-sink"]


@pytest.fixture
def bucket():
    server = Bucket()
    yield server
    server.shutdown()
    server.server_close()
    assert not server.uploads or "s3:AbortMultipartUpload" in server.refused, "it is left behind"
    assert not server.uploads or server.parts == 0


@pytest.fixture
def check(emulator, sluice, tmp_path, bucket):
    """check(server, …): the lines that `sluice check` says of a configuration, and its exit code."""
    def run(server, streams=None, sinks=None, **more):
        (tmp_path / "out").mkdir(exist_ok=True)
        worker = sluice({
            "checkpoint": {"store": "sqlite::memory:"},
            "aws": {"endpoint": {"dynamodb": server.endpoint, "streams": server.endpoint,
                                 "s3": bucket.endpoint}},
            "streams": streams or [{"table": TABLE, "start": "oldest", "sinks": ["files"]}],
            "sinks": sinks or {"files": {"type": "directory", "path": f"{tmp_path}/out/"}},
            **more,
        })
        done = worker.run("check", check=False)
        return done.stdout.splitlines(), done.returncode
    return run


def deny(server, *calls):
    for call in calls:
        server.fault("error", operation=call, status=400, count=-1, code="AccessDeniedException",
                     message=refusal("dynamodb:SomeCall", TABLE_ARN))


def told(lines, state="FAIL"):
    """Action and resource of each permission that has this state."""
    found = [re.match(rf"{state} +permission +(\S+) on ([^\s:]\S*?)(?:: |$)", line)
             for line in lines]
    return [match.groups() for match in found if match]


def failed(lines):
    return [line.split()[1] for line in lines if line.startswith("FAIL")]


@pytest.mark.parametrize("call", STREAM)
def test_one_that_is_missing_is_named_with_its_resource(emulator, check, call):
    server = emulator(TABLE)
    deny(server, call)
    lines, code = check(server)
    assert code == 1
    ((action, resource),) = told(lines)
    assert action == f"dynamodb:{call}"
    assert resource.startswith(TABLE_ARN)
    assert ("/stream/" in resource) == (call != "DescribeTable")
    (line,) = [line for line in lines if line.startswith("FAIL  permission")]
    assert line.endswith(f"; allow dynamodb:{call}"), line
    assert failed(lines) == ["permission", "stream"]
    others = {f"dynamodb:{other}" for other in STREAM} - {action}
    tried = {action for action, _ in told(lines, "ok")}
    # Where one before it is refused there is no iterator, which GetRecords cannot be tried without.
    unknown = {"dynamodb:GetRecords"} - {action}
    assert tried == others - unknown
    assert {action for action, _ in told(lines, "--")} == unknown


def test_all_that_are_missing_are_named(emulator, check):
    server = emulator(TABLE)
    deny(server, *STREAM)
    lines, code = check(server)
    assert code == 1
    assert [action for action, _ in told(lines)] == [f"dynamodb:{call}" for call in STREAM]
    # AWS's refusal says whose account it is.
    assert all(resource.startswith(TABLE_ARN) for _, resource in told(lines))
    assert "permissions are missing: 4" in "\n".join(lines)


def test_a_refusal_that_names_nobody(emulator, check):
    server = emulator(TABLE)
    server.fault("denied", count=-1)
    lines, code = check(server)
    assert code == 1
    somebodys = TABLE_ARN.replace("123456789012", "*")
    assert told(lines) == [("dynamodb:DescribeTable", somebodys)]
    assert told(lines, "--") == [(f"dynamodb:{call}", f"{somebodys}/stream/*")
                                 for call in STREAM[1:]]


def test_a_stream_that_is_named_by_its_arn(emulator, check):
    server = emulator(TABLE)
    arn = server.arn(TABLE)
    deny(server, *STREAM)
    lines, _ = check(server, [{"table": arn, "name": "orders", "sinks": ["files"]}])
    assert told(lines) == [(f"dynamodb:{call}", arn) for call in STREAM[1:]]


def test_a_pattern_needs_the_list_of_tables(emulator, check):
    server = emulator(TABLE)
    deny(server, "ListTables")
    lines, code = check(server, [{"table": "orders-*", "sinks": ["files"]}])
    assert (told(lines), code) == ([("dynamodb:ListTables", "*")], 1)
    server.control("clear")
    lines, code = check(server, [{"table": "orders-*", "sinks": ["files"]}])
    assert code == 0
    assert {action for action, _ in told(lines, "ok")} == {
        f"dynamodb:{call}" for call in ["ListTables", *STREAM]}


def test_what_would_change_something_is_not_tried(emulator, check):
    server = emulator(f"{TABLE}:stream=0")
    server.control("reset")
    lines, code = check(server, [{"table": TABLE, "enable_stream": "NEW_AND_OLD_IMAGES",
                                  "sinks": ["files"]}],
                        exports=[{"table": TABLE, "bucket": "lake", "load": False, "enable_pitr": True}])
    assert code == 0, lines
    untried = dict(told(lines, "--"))
    assert {"dynamodb:UpdateTable", "dynamodb:UpdateContinuousBackups"} <= set(untried)
    assert untried["dynamodb:UpdateTable"] == TABLE_ARN
    calls = server.control("stats")["operations"]
    assert calls["UpdateTable"]["calls"] == calls["UpdateContinuousBackups"]["calls"] == 0
    # Of a stream that is not there the right to ask for it is known all the same.
    assert "dynamodb:DescribeStream" in dict(told(lines, "ok"))


@pytest.mark.parametrize("calls", [[call] for call in EXPORTS] + [EXPORTS])
def test_exports(emulator, check, calls):
    server = emulator(f"{TABLE}:pitr=1")
    deny(server, *calls)
    entry = {"table": TABLE, "bucket": "lake", "prefix": "sluice", "load": False}
    lines, code = check(server, exports=[entry])
    assert code == 1
    assert [action for action, _ in told(lines)] == [f"dynamodb:{call}" for call in calls]
    assert dict(told(lines)).get("dynamodb:DescribeExport",
                                 f"{TABLE_ARN}/export/*") == f"{TABLE_ARN}/export/*"
    assert server.control("exports", table=TABLE)["exports"] == [], "a check began an export"
    server.control("clear")
    lines, code = check(server, exports=[entry])
    assert code == 0, lines
    assert {f"dynamodb:{call}" for call in EXPORTS} <= {action for action, _ in told(lines, "ok")}


@pytest.mark.parametrize("refused", [[name] for name in S3] + [S3])
def test_the_bucket_of_a_sink(emulator, check, bucket, refused):
    server = emulator(TABLE)
    bucket.refused = {f"s3:{name}" for name in refused}
    lines, code = check(server, sinks={"files": {"type": "s3", "bucket": "lake", "prefix": "raw"}})
    assert code == 1
    # Without the right to list, S3 tells nothing of objects.
    expected = [name for name in refused if name != "GetObject" or "ListBucket" not in refused]
    assert sorted(told(lines)) == sorted(
        (f"s3:{name}", "arn:aws:s3:::lake" + ("" if name.startswith("ListBucket") else "/raw/*"))
        for name in expected), lines
    assert failed(lines)[-1] == "sink"


def rule(days, prefix="", status="Enabled", name="it"):
    """A rule for incomplete uploads; prefix: also the XML of a filter."""
    inner = prefix if prefix.startswith("<") else f"<Prefix>{prefix}</Prefix>"
    return (f"<Rule><ID>{name}</ID><Filter>{inner}</Filter><Status>{status}</Status>"
            f"<AbortIncompleteMultipartUpload><DaysAfterInitiation>{days}</DaysAfterInitiation>"
            "</AbortIncompleteMultipartUpload></Rule>")


NONE = "no lifecycle rule aborts incomplete uploads"
SOME = "lifecycle rules abort some of its incomplete uploads only"
WEEK = "lifecycle rule 'it' aborts incomplete uploads after 7 days"
UNSEEN = "its lifecycle rules are not looked at"
AND = "<And><Prefix>raw/</Prefix><Tag><Key>k</Key><Value>v</Value></Tag></And>"
# What the bucket says, and what `check` does of it.
SUITED = {
    "no rules": ((404, "NoSuchLifecycleConfiguration"), NONE),
    "of nothing": ("", NONE),
    "whole bucket": (rule(7), WEEK),
    "the sink's prefix": (rule(7, "raw/"), WEEK),
    "its tables' prefix": (rule(7, f"raw/{TABLE}/"), WEEK),
    "disabled": (rule(1, status="Disabled"), NONE),
    "old objects alone": ("<Rule><Filter/><Status>Enabled</Status><Expiration><Days>1</Days>"
                          "</Expiration></Rule>", NONE),
    "old form": (rule(7).replace("<Filter>", "").replace("</Filter>", ""), WEEK),
    "of one day": (rule(7, f"raw/{TABLE}/date=2026"), SOME),
    "by a tag, too": (rule(7, AND), SOME),
    "another prefix": (rule(1, "tmp/") + rule(1, "raw/athena/") + rule(7), WEEK),
    "no such call": ((501, "NotImplemented"), UNSEEN),
    "no such method": ((405, "MethodNotAllowed"), UNSEEN),
}
UNSUITED = {
    "whole bucket": (rule(6), "after 6 days"),
    "the sink's prefix": (rule(1, "raw/"), "under raw/ after 1 day"),
    "of one table": (rule(7, name="week") + rule(3, f"raw/{TABLE}/"), f"under raw/{TABLE}/ after 3"),
    "of one day": (rule(7, name="week") + rule(2, f"raw/{TABLE}/date=2026"), "date=2026 after 2"),
    "by a tag, too": (rule(7, name="week") + rule(1, AND), "under raw/ after 1 day"),
}
LAKE = {"files": {"type": "s3", "bucket": "lake", "prefix": "raw"}}


@pytest.mark.parametrize("name", SUITED)
def test_the_rules_of_a_bucket(emulator, check, bucket, name):
    bucket.rules, words = SUITED[name]
    lines, code = check(emulator(TABLE), sinks=LAKE)
    assert code == 0, lines
    assert lines[-1].startswith("ok    sink") and words in lines[-1], lines
    assert ("s3:GetLifecycleConfiguration" in dict(told(lines, "ok"))) == (words != UNSEEN)
    if words == UNSEEN:
        assert bucket.rules[1] in lines[-1]
    assert ("DaysAfterInitiation 7 or more" in lines[-1]) == (words in (NONE, SOME))


@pytest.mark.parametrize("name", UNSUITED)
def test_rules_of_a_bucket_that_would_lose_records(emulator, check, bucket, name):
    bucket.rules, words = UNSUITED[name]
    lines, code = check(emulator(TABLE), sinks=LAKE)
    assert code == 1
    assert failed(lines) == ["sink"], lines
    assert "rule 'it' aborts incomplete uploads" in lines[-1] and words in lines[-1], lines
    assert lines[-1].endswith("let it wait for 7 days or more")


def test_rules_that_may_not_be_seen(emulator, check, bucket):
    """Delivery does not need them: it is no failure, and the check of permissions goes on."""
    bucket.rules, bucket.refused = rule(1), {"s3:GetLifecycleConfiguration"}
    lines, code = check(emulator(TABLE), sinks=LAKE)
    assert code == 0, lines
    assert told(lines, "--") == [("s3:GetLifecycleConfiguration", "arn:aws:s3:::lake")]
    assert UNSEEN in lines[-1] and "; allow s3:GetLifecycleConfiguration" in lines[-1]


def sinks_lines(checked):
    return [line for line in checked[0] if line.split()[1] == "sink"]


@pytest.mark.parametrize("change", [
    {"streams": [{"table": "orders-*", "start": "oldest", "sinks": ["files"]}]},
    {"exports": [{"table": "orders", "bucket": "lake", "sinks": ["files"]}]},
], ids=["pattern", "exports"])
def test_the_rules_are_about_the_tables_that_come(emulator, check, bucket, change):
    server = emulator(f"{TABLE}:pitr=1", "orders:pitr=1")
    bucket.rules = rule(1, "raw/orders") + rule(1, "raw/athena-results/") + rule(7, name="week")
    sinks = {**LAKE, "other": {"type": "s3", "bucket": "lake", "prefix": "other"}}
    files, other = sinks_lines(check(server, sinks=sinks, **change))
    assert "under raw/orders after 1 day" in files and other.startswith("ok")
    bucket.rules = rule(1, "raw/athena-results/") + rule(7, name="week")
    files, other = sinks_lines(check(server, sinks=sinks, **change))
    assert "rule 'week' aborts" in files and "rule 'week' aborts" in other


def test_the_lists_of_files_are_uploads_too(emulator, check, bucket):
    bucket.rules = rule(1, "raw/_manifest/") + rule(7, name="week")
    sinks = {"files": {**LAKE["files"], "manifest": True}}
    lines, code = check(emulator(TABLE), sinks=sinks)
    assert code == 1 and "under raw/_manifest/ after 1 day" in lines[-1], lines
    assert check(emulator(TABLE), sinks=LAKE)[1] == 0


def test_the_key_of_a_bucket(emulator, check, bucket):
    server = emulator(TABLE)
    sinks = {"files": {"type": "s3", "bucket": "lake",
                       "encryption": {"type": "aws:kms", "key": KEY}}}
    for action in ("kms:GenerateDataKey", "kms:Decrypt"):
        bucket.key_refused = {action}
        lines, code = check(server, sinks=sinks)
        assert (told(lines), code) == ([(action, KEY)], 1), lines
    bucket.key_refused = set()
    assert check(server, sinks=sinks)[1] == 0
    assert bucket.parts > 0, "a key is used with the first byte"


@pytest.mark.parametrize("sink", [
    {"type": "s3", "bucket": "lake"},
    {"type": "kafka", "brokers": "127.0.0.1:9", "sasl": {"mechanism": "aws_msk_iam"}},
    {"type": "kafka", "brokers": "127.0.0.1:9", "large": {"bucket": "lake"}},
], ids=["s3", "msk", "large"])
def test_a_sink_that_needs_credentials_where_there_are_none(sluice, tmp_path, sink):
    worker = sluice({"checkpoint": {"store": "sqlite::memory:"},
                     "streams": [{"table": TABLE, "sinks": ["out"]}],
                     "sinks": {"out": sink}})
    worker.environment.update(AWS_ACCESS_KEY_ID=None, AWS_SECRET_ACCESS_KEY=None,
                              HOME=str(tmp_path), AWS_EC2_METADATA_DISABLED="true")
    done = worker.run("check", check=False)
    assert done.returncode == 1, done.stderr
    assert failed(done.stdout.splitlines()) == ["credentials", "sink"]
    assert "there are no credentials" in done.stdout.splitlines()[-1]


def test_every_action_of_the_policies_is_told(emulator, check):
    server = emulator(f"{TABLE}:pitr=1")
    lines, code = check(
        server, streams=[{"table": TABLE, "enable_stream": "NEW_AND_OLD_IMAGES",
                          "sinks": ["files"]}, {"table": "other-*", "sinks": ["files"]}],
        sinks={"files": {"type": "s3", "bucket": "lake"}},
        exports=[{"table": TABLE, "bucket": "lake", "load": False, "enable_pitr": True}])
    assert code == 0, lines
    policies = [json.loads((ROOT / f"deploy/iam/{name}.json").read_text()) for name in POLICIES]
    assert {action for state in ("ok", "--") for action, _ in told(lines, state)} == {
        action for policy in policies for statement in policy["Statement"]
        for action in statement["Action"]}
