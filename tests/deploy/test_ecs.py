"""The task definition and the service are what ECS takes, as AWS's own model of it has them, and fit
each other, the image, the policies and the program."""

import fnmatch
import json

import botocore.session
import yaml
from botocore.validate import ParamValidator

from monitoring import ROOT
from permissions import policy

ECS = ROOT / "deploy/ecs"
TASK = json.loads((ECS / "task-definition.json").read_text())
SERVICE = json.loads((ECS / "service.json").read_text())
CONFIG = yaml.safe_load((ECS / "sluice.yaml").read_text())
(SLUICE,) = TASK["containerDefinitions"]
# What Fargate has: CPU units → MiB.
FARGATE = {"256": (512, 2048), "512": (1024, 4096), "1024": (2048, 8192), "2048": (4096, 16384)}


def complaints(operation, parameters):
    """Of the service's model: names, types, required members; values of enumerations besides."""
    model = botocore.session.get_session().get_service_model("ecs").operation_model(operation)
    report = ParamValidator().validate(parameters, model.input_shape)
    return [*filter(None, [report.generate_report()]), *wrong_values(model.input_shape, parameters)]


def wrong_values(shape, value):
    if shape.type_name == "structure":
        for name, member in value.items():
            if name in shape.members:
                yield from wrong_values(shape.members[name], member)
    elif shape.type_name == "list":
        for member in value:
            yield from wrong_values(shape.member, member)
    elif getattr(shape, "enum", None) and value not in shape.enum:
        yield f"{value} is none of {shape.enum}"


def test_ecs_takes_the_task_definition():
    assert complaints("RegisterTaskDefinition", TASK) == []


def test_ecs_takes_the_service():
    assert complaints("CreateService", SERVICE) == []


def test_a_mistake_would_be_told():
    assert complaints("CreateService", {**SERVICE, "desiredcount": 3})
    assert complaints("CreateService", {**SERVICE, "launchType": "FARGAT"})
    assert complaints("RegisterTaskDefinition", {**TASK, "cpu": 512})


def test_fargate_has_this_size():
    least, most = FARGATE[TASK["cpu"]]
    memory = int(TASK["memory"])
    assert least <= memory <= most and memory % 1024 == 0
    assert TASK["networkMode"] == "awsvpc" and TASK["requiresCompatibilities"] == ["FARGATE"]
    assert SERVICE["launchType"] == "FARGATE" and "networkConfiguration" in SERVICE


def test_there_is_time_to_stop():
    shutdown = int(CONFIG["worker"]["shutdown"].removesuffix("s"))
    assert shutdown < SLUICE["stopTimeout"] <= 120


def test_it_may_nothing():
    assert SLUICE["readonlyRootFilesystem"] is True
    assert SLUICE["linuxParameters"]["capabilities"] == {"drop": ["ALL"]}
    assert SLUICE["user"] == "10001:10001"
    assert f"USER {SLUICE['user']}" in (ROOT / "docker/Dockerfile").read_text()


def test_a_deployment_that_fails_goes_back():
    deployment = SERVICE["deploymentConfiguration"]
    assert deployment["deploymentCircuitBreaker"] == {"enable": True, "rollback": True}
    assert deployment["minimumHealthyPercent"] == 100 < deployment["maximumPercent"]
    assert SERVICE["taskDefinition"] == TASK["family"]


def test_secrets_are_where_the_configuration_looks_and_may_be_read():
    given = {secret["name"]: secret["valueFrom"] for secret in SLUICE["secrets"]}
    plain = {variable["name"] for variable in SLUICE["environment"]}
    text = (ECS / "sluice.yaml").read_text()
    for name in ("SLUICE_STORE", "KAFKA_PASSWORD"):
        assert f"${{{name}}}" in text and name in given
    assert {"AWS_REGION", "LOG_LEVEL"} <= plain and not plain & set(given)
    rights = {action: statement["Resource"] for statement in policy("ecs-execution")["Statement"]
              for action in statement["Action"]}
    for source in given.values():
        action = ("ssm:GetParameters" if ":ssm:" in source else "secretsmanager:GetSecretValue")
        # Behind the secret's ARN stand the key, the stage and the version.
        secret = ":".join(source.split(":")[:7])
        assert any(fnmatch.fnmatch(secret, pattern) for pattern in rights[action]), source


def test_the_health_check_is_the_programs():
    assert SLUICE["healthCheck"]["command"] == ["CMD", "sluice", "health"]
    port = SLUICE["portMappings"][0]["containerPort"]
    assert CONFIG["http"]["listen"] == f"0.0.0.0:{port}"


def test_the_configuration_fits_into_a_parameter():
    assert len((ECS / "sluice.yaml").read_bytes()) <= 4096
