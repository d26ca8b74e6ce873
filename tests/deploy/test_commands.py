"""What docs/deployment.md has people type, and docker/compose/ does: AWS's own model knows each call and
each of its flags, the files that are named are there, and the values of the example are ones that the
chart takes."""

import functools
import json
import re
import shlex

import botocore.session
import pytest
import yaml
from botocore import xform_name
from botocore.validate import ParamValidator

from chart import CHART, KUBERNETES, helm
from monitoring import ROOT

PAGE = (ROOT / "docs/deployment.md").read_text()
BLOCK = re.compile(r"(?:^    .*\n|^\n(?=    ))+", re.M)
# Flags of the command line itself.
COMMON = {"query", "output", "cli-input-json"}


SCRIPTS = [path.read_text() for path in (ROOT / "docker/compose").iterdir() if not path.suffix]


def commands(text):
    """Each `aws …` of a shell's text, also inside of $(…), as words."""
    for line in text.replace("\\\n", " ").splitlines():
        for found in re.finditer(r"(?:^\s*|\$\(|&& )(aws [^|&>]*?)\s*(?:\)$|[|&>]|$)", line):
            yield shlex.split(re.sub(r'--endpoint-url "\$\w+" ', "", found[1]))


COMMANDS = [words for text in (*(re.sub(r"^    ", "", block, flags=re.M)
                                 for block in BLOCK.findall(PAGE)), *SCRIPTS)
            for words in commands(text)]


@functools.cache
def service(name):
    return botocore.session.get_session().get_service_model({"s3api": "s3"}.get(name, name))


@functools.cache
def calls(name):
    return {xform_name(operation, "-"): operation for operation in service(name).operation_names}


@functools.cache
def waiters(name):
    waiting = botocore.session.get_session().get_waiter_model(name)
    return {xform_name(waiter, "-"): waiting.get_waiter(waiter).operation
            for waiter in waiting.waiter_names}


def flags(words):
    return [word.removeprefix("--").partition("=")[0] for word in words if word.startswith("--")]


def test_there_are_some():
    assert len(COMMANDS) > 35
    assert {words[1] for words in COMMANDS} >= {"dynamodb", "ecs", "eks", "iam", "rds", "ecr"}


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words[1:4]))
def test_aws_knows_it(words):
    _, name, call, *rest = words
    if (name, call) == ("ecr", "get-login-password"):  # the command line's own
        return
    if call == "wait":
        call, operation = rest[0], waiters(name)[rest[0]]
    else:
        operation = calls(name)[call]
    shape = service(name).operation_model(operation).input_shape
    known = {xform_name(member, "-") for member in shape.members} | COMMON
    for flag in flags(rest):
        assert flag in known or flag.removeprefix("no-") in known, f"{flag} of {name} {call}"
    given = set(flags(rest))
    if "cli-input-json" not in given:
        assert {xform_name(member, "-") for member in shape.required_members} <= given


def test_files_that_are_named_are_there():
    # The page has them copied to my/.
    for name in set(re.findall(r"file://my/((?:ecs|iam)/[\w.-]+)", PAGE)):
        assert (ROOT / "deploy" / name).is_file(), name


def test_policies_that_are_named_are_those_that_there_are():
    there = {path.stem for path in (ROOT / "deploy/iam").glob("*.json")}
    named = set(re.findall(r"iam/([\w-]+)\.json|`([\w-]+)\.json`|\b(trust-[a-z-]+)", PAGE))
    assert {name for names in named for name in names if name} == there


def test_words_in_json_are_json():
    texts = re.findall(r"'(\{\".*?\})'", PAGE)
    assert len(texts) >= 2
    for text in texts:
        json.loads(text)


def test_the_chart_takes_the_values_of_the_example(tmp_path):
    block = next(b for b in BLOCK.findall(PAGE) if b.lstrip().startswith("image: {"))
    text = re.sub(r"^    ", "", block, flags=re.M).partition("sed -i")[0]
    values = tmp_path / "values.yaml"
    values.write_text(text)
    done = helm("template", "sluice", CHART, "--kube-version", KUBERNETES, "--values", values)
    assert done.returncode == 0, done.stderr
    assert len([o for o in yaml.safe_load_all(done.stdout) if o]) >= 6


def test_the_rule_for_incomplete_uploads_is_one_of_s3s():
    page = (ROOT / "docs/delivery.md").read_text().partition("### Incomplete uploads\n")[2]
    rules = json.loads(page.partition("```json\n")[2].partition("```")[0])
    shape = service("s3api").operation_model("PutBucketLifecycleConfiguration").input_shape
    report = ParamValidator().validate({"Bucket": "my-lake", "LifecycleConfiguration": rules}, shape)
    assert not report.has_errors(), report.generate_report()
    (rule,) = rules["Rules"]
    assert (rule["Status"], rule["Filter"]) == ("Enabled", {"Prefix": ""})
    assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}
