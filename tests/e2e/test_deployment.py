"""The newcomer's path of docs/deployment.md, from an empty account to a task that runs: every command of
it up to ECS's service, in the page's order and in one shell, as far as there is something here that
answers. DynamoDB, S3 and Postgres are real servers, the rest of AWS is moto, docker is written down.
What would need an account (a container that AWS runs) is done here in its place: the program with the
environment that the task would have."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import boto3
import pytest

from process import Process, free_port, wait_until
from sluice import BINARY
from stack import REGION, ROOT, http_status

PAGE = (ROOT / "docs/deployment.md").read_text()
CHAPTER = re.compile(r"^## (.+?)\n(.*?)(?=^## |\Z)", re.M | re.S)
CHAPTERS = dict(CHAPTER.findall(PAGE))
COMMANDS = re.compile(r"(?:^    .*\n|^\n(?=    ))+", re.M)
CONFIGURATION = re.compile(r"```yaml\n(.*?)```", re.S)


def blocks(chapter):
    return [re.sub(r"^    ", "", block, flags=re.M) for block in COMMANDS.findall(CONFIGURATION.sub("", CHAPTERS[chapter]))]


class Shell:
    """One shell for all of it: what a step exports, the next ones have."""

    def __init__(self, folder, environment):
        self.folder, self.environment = folder, environment
        self.state = folder / "state"
        self.state.write_text("")

    def run(self, script):
        """Returns what it printed."""
        done = subprocess.run(
            ["bash", "-c", f"set -euo pipefail\n. {self.state}\n{script}\nexport -p > {self.state}"],
            cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        return done.stdout

    def variables(self, *names):
        return self.run("\n".join(f'echo "${name}"' for name in names)).splitlines()


@pytest.fixture
def shell(tmp_path, dynamodb, s3, moto):
    """In a checkout, with the commands that the page begins with."""
    os.symlink(ROOT / "deploy", tmp_path / "deploy")
    commands = tmp_path / "bin"
    commands.mkdir()
    aws = Path(__file__).with_name("aws_command.py")
    for name, text in (("aws", f'exec {shlex.quote(sys.executable)} {aws} "$@"'),
                       ("docker", f'[ "$1" != login ] || cat > /dev/null\necho "docker $*" >> {tmp_path}/docker')):
        (commands / name).write_text(f"#!/bin/sh\n{text}\n")
        (commands / name).chmod(0o755)
    keys = {"AWS_ACCESS_KEY_ID": s3.access_key, "AWS_SECRET_ACCESS_KEY": s3.secret_key}
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    yield Shell(tmp_path, {
        **clean, **keys, "PATH": f"{commands}:{os.environ['PATH']}", "PYTHONDONTWRITEBYTECODE": "1",
        "SLUICE_TEST_ENDPOINTS": json.dumps({"": moto.endpoint, "s3": s3.endpoint,
                                             "dynamodb": dynamodb.endpoint})})
    client = boto3.client("dynamodb", endpoint_url=dynamodb.endpoint, region_name=REGION, **{
        key.lower(): value for key, value in keys.items()})
    for name in client.list_tables()["TableNames"]:
        client.delete_table(TableName=name)


def task(shell, moto, dynamodb, s3, database):
    """What ECS would start: entry point and environment of the registered task, its parameter and its
    secret looked up; the servers of the test in place of AWS's, and one of Postgres."""
    keys = {"region_name": REGION, "endpoint_url": moto.endpoint,
            "aws_access_key_id": "test", "aws_secret_access_key": "test"}
    definition = boto3.client("ecs", **keys).describe_task_definition(taskDefinition="sluice")
    (container,) = definition["taskDefinition"]["containerDefinitions"]
    environment = {item["name"]: item["value"] for item in container["environment"]}
    for item in container["secrets"]:
        where = item["valueFrom"]
        if ":secretsmanager:" in where:
            secret, key = re.fullmatch(r"(arn:aws:secretsmanager:[^:]*:\d+:secret:[^:]+):(\w+)::",
                                       where).groups()
            value = boto3.client("secretsmanager", **keys).get_secret_value(SecretId=secret)
            environment[item["name"]] = json.loads(value["SecretString"])[key]
        else:
            value = boto3.client("ssm", **keys).get_parameter(
                Name=where.partition(":parameter")[2], WithDecryption=True)
            environment[item["name"]] = value["Parameter"]["Value"]
    assert re.fullmatch(r"postgres://sluice:[0-9a-f]{32}@sluice\.\S+\.rds\.amazonaws\.com/sluice"
                        r"\?sslmode=require", environment["SLUICE_STORE"]), environment
    port = free_port()
    environment.update(
        {name: shell.environment[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")},
        SLUICE_STORE=database, AWS_ENDPOINT_URL=dynamodb.endpoint, AWS_ENDPOINT_URL_S3=s3.endpoint,
        SLUICE_YAML=environment["SLUICE_YAML"].replace("0.0.0.0:8080", f"127.0.0.1:{port}"),
        PATH=f"{BINARY.parent}:{os.environ['PATH']}", PORT=str(port))
    return container["entryPoint"], environment


def test_the_path_to_ecs(shell, moto, dynamodb, s3, database, tmp_path):
    shell.environment["AWS_REGION"] = shell.environment["AWS_DEFAULT_REGION"] = REGION
    for block in blocks("What both need"):
        shell.run(block.replace("=eu-west-1", f"={REGION}"))
    lake, account, registry = shell.variables("LAKE", "ACCOUNT", "REGISTRY")
    assert lake == f"my-lake-{account}" and registry.startswith(account)
    assert len(re.findall(r"^docker (?:login|build|push)", (tmp_path / "docker").read_text(),
                          re.M)) == 3
    # "Put the configuration above into my/sluice.yaml".
    (configuration,) = CONFIGURATION.findall(CHAPTERS["What both need"])
    (tmp_path / "my/sluice.yaml").write_text(configuration)
    steps = blocks("ECS")
    at, = (i for i, block in enumerate(steps) if "put-item" in block)
    for block in steps[:at]:
        shell.run(block)
    assert "AbCdEf" not in (tmp_path / "my/ecs/task-definition.json").read_text()

    command, environment = task(shell, moto, dynamodb, s3, database)
    checked = subprocess.run([*command, "check"], env=environment, capture_output=True, text=True,
                             cwd=tmp_path, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert all(line.startswith(("ok ", "-- ")) for line in checked.stdout.splitlines())
    worker = Process([*command, "run"], tmp_path / "worker.log",
                     {**{name: None for name in os.environ}, **environment})
    try:
        put, looked = steps[at].strip().splitlines()
        shell.run(put)
        wait_until(lambda: b'sluice_records_total{stream="orders",op="c"} 1' in http_status(
            int(environment["PORT"]), "/metrics")[1], worker.tail, 60)
        status = subprocess.run([*command, "status"], env=environment, capture_output=True,
                                text=True, cwd=tmp_path, check=False)
        assert status.returncode == 0 and "stream   orders" in status.stdout
    finally:
        code = worker.stop(deadline=60)
    assert code == 0, worker.tail()
    for block in blocks("Upgrade and rollback"):
        shell.run(block)
    (found,) = [entry["Key"] for entry in json.loads(shell.run(looked))["Contents"]]
    assert re.fullmatch(r"orders/date=[-\d]+/hour=\d\d/\S+\.ndjson\.zst", found)
