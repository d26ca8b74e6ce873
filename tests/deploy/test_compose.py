"""docker/compose.yaml is one, what it mounts is there, and its servers are those of the tests."""

import json
from importlib import resources

import jsonschema
import pytest
import yaml

from chart import ROOT, VERSIONS
from monitoring import promtool

FOLDER = ROOT / "docker"
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]


def test_the_specification_takes_it():
    # The schema that docker-compose 1.29 brings along; `name` is younger.
    schema = json.loads((resources.files("compose") / "config/compose_spec.json").read_text())
    specification = jsonschema.Draft7Validator(schema)
    specification.validate({key: part for key, part in COMPOSE.items() if key != "name"})
    assert not specification.is_valid({"services": {"a": {"imag": "b"}}})


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_needs_is_there(name):
    service = SERVICES[name]
    for mount in service.get("volumes", []):
        source = mount.split(":")[0]
        assert source in COMPOSE["volumes"] or (FOLDER / source).is_file(), mount
        assert source in COMPOSE["volumes"] or mount.endswith(":ro")
    for other in service.get("depends_on", []):
        assert other in SERVICES
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_its_servers_are_those_of_the_tests():
    images = {name: service["image"].split(":")[1].lstrip("v") for name, service in SERVICES.items()}
    assert images["dynamodb"] == VERSIONS["DYNAMODB_LOCAL"]
    assert images["kafka"] == VERSIONS["KAFKA"]
    assert images["postgres"] == VERSIONS["POSTGRES"]
    assert images["s3"] == VERSIONS["VERSITYGW"]
    assert "latest" not in images.values()


def test_the_program_may_nothing_and_has_time_to_stop():
    sluice = SERVICES["sluice"]
    assert sluice["read_only"] and sluice["cap_drop"] == ["ALL"]
    assert sluice["stop_grace_period"] == "30s"


def test_prometheus_takes_its_configuration(tmp_path):
    config = yaml.safe_load((FOLDER / "compose/prometheus.yaml").read_text())
    config["rule_files"] = [str(ROOT / "deploy/helm/sluice/files/alerts.yaml")]
    (tmp_path / "prometheus.yaml").write_text(yaml.safe_dump(config))
    promtool("check", "config", tmp_path / "prometheus.yaml")
