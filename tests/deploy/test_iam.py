"""Policies allow what the program calls, and nothing else. Which file's calls a use needs is said
here; tests/e2e/test_metrics_page.py compares with the calls that a worker really makes."""

import re

import pytest

from monitoring import ROOT
from permissions import POLICIES, allowed, needed, operations, policy

USES = ("stream", "stream-pattern", "enable-stream", "exports", "enable-pitr", "s3-sink", "s3-tags",
        "large")
TRUST = ("trust-ecs", "trust-irsa", "trust-pod-identity")
# Not called by the program: AWS does it in the caller's name when it writes an export.
BY_AWS = {"s3:PutObjectAcl"}
# A call's header asks for it, not the call.
BY_HEADER = {"s3:PutObjectTagging": "x-amz-tagging"}
# Whose resources are another service's: roles, and clusters that are asked in Kafka's protocol.
ELSEWHERE = {"sts": "iam", "kafka-cluster": "kafka"}
# Offered by aws/, called by nobody.
UNUSED = {"dynamodb:ListExports": "exports_list"}


def sources(*folders):
    return "".join(path.read_text() for folder in folders for path in (ROOT / folder).glob("*.c"))


def test_every_call_of_the_program_is_known():
    called = set(re.findall(r"struct aws_operation (\w+) =|^OPERATION\((\w+),", sources("aws"),
                            re.M))
    files = [path.name for path in sorted((ROOT / "aws").glob("*.c"))
             if re.search(r"struct aws_operation \w+ = {|^OPERATION\(", path.read_text(), re.M)]
    assert files == ["dynamodb.c", "exports.c", "s3.c", "streams.c"]
    names = {name for file in files for name in operations(file)}
    assert len(names) >= len(called) - 2, "DescribeStream is there twice"
    assert {"GetRecords", "ListTables", "ExportTableToPointInTime", "UploadPart"} <= names


def test_roles_are_taken_with_what_is_allowed():
    """The web identity's call needs no permission, as it is signed by nobody."""
    asked = set(re.findall(r'sts_form\(&form, "(\w+)"', sources("aws")))
    assert asked == {"AssumeRole", "AssumeRoleWithWebIdentity"}
    assert allowed("assume-role") == {"sts:AssumeRole"}


def test_msk_is_allowed_what_delivery_tells():
    """A row of the table in docs/delivery.md each, by what it is for."""
    rows = re.findall(r"^\|[^|]*\|[^|]*\| ((?:`[A-Z]\w+`(?:, )?)+) \| (.*) \|$",
                      (ROOT / "docs/delivery.md").read_text(), re.M)
    told = {name: set() for name in ("msk", "msk-exactly-once", "msk-create-topics")}
    for actions, use in rows:
        name = {"`exactly_once`": "msk-exactly-once", "`create_topics`": "msk-create-topics"}
        told[name.get(use, "msk")] |= {
            f"kafka-cluster:{action}" for action in re.findall(r"\w+", actions)}
    assert len(rows) == 9
    assert told == {name: allowed(name) for name in told}


def test_what_nobody_calls_is_not_allowed():
    for action, function in UNUSED.items():
        assert f"{function}(" not in sources("export", "consumer", "sinks", "ops")
        assert action not in allowed(*USES)


@pytest.mark.parametrize("file, policies", [
    ("streams.c", ["stream"]),
    ("dynamodb.c", ["stream", "stream-pattern", "enable-stream"]),
    ("exports.c", ["exports", "enable-pitr"]),
    ("s3.c", ["s3-sink", "s3-tags"]),
])
def test_what_is_called_is_allowed(file, policies):
    assert needed(file) - set(UNUSED) <= allowed(*policies)


def test_nothing_else_is_allowed():
    every = set().union(*(needed(file) for file in ("dynamodb.c", "streams.c", "exports.c", "s3.c")))
    assert allowed(*USES) - every == BY_AWS | set(BY_HEADER)
    assert all(f'"{header}"' in sources("aws") for header in BY_HEADER.values())


def test_each_use_is_by_itself():
    assert allowed("stream") == needed("streams.c") | {"dynamodb:DescribeTable"}
    assert allowed("s3-sink") == needed("s3.c")
    assert allowed("s3-tags") == set(BY_HEADER)
    assert allowed("large") == {"s3:PutObject"}
    assert {a for a in allowed("exports") if a.startswith("s3:")} <= needed("s3.c") | BY_AWS


@pytest.mark.parametrize("name", sorted(path.stem for path in POLICIES.glob("*.json")))
def test_policies_are_well_formed(name):
    document = policy(name)
    assert document["Version"] == "2012-10-17"
    for statement in document["Statement"]:
        assert statement["Effect"] == "Allow"
        assert all("*" not in action for action in statement["Action"])
        assert ("Principal" in statement) == (name in TRUST)
        if name in TRUST:
            assert statement["Condition"]
            continue
        everything = {"dynamodb:ListTables", "ecr:GetAuthorizationToken"}
        for resource in statement["Resource"]:
            if resource == "*":
                assert set(statement["Action"]) <= everything, "these know resources"
                continue
            service = {ELSEWHERE.get(action.split(":")[0], action.split(":")[0])
                       for action in statement["Action"]}
            assert service == {resource.split(":")[2]}


def test_buckets_and_objects_are_not_confused():
    of_buckets = {"s3:ListBucket", "s3:ListBucketMultipartUploads", "s3:GetLifecycleConfiguration"}
    for name in USES:
        for statement in policy(name)["Statement"]:
            for action in statement["Action"]:
                if action.startswith("s3:"):
                    assert all(("/" in resource) == (action not in of_buckets)
                               for resource in statement["Resource"])
