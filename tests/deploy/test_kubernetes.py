"""The chart is good, the plain manifests are what it renders, Kubernetes' schemas take them, and what
would not work is refused before it is installed."""

import copy
import functools

import kubernetes_validate
import pytest
import yaml

from chart import CHART, EVERYTHING, RENDERED, VALUES, helm, objects, one, render

EXTENSIONS = {"ServiceMonitor", "PrometheusRule", "ScaledObject"}
VERSIONS = ("1.27", "1.33")


@functools.cache
def both():
    return [*objects(), *objects(EVERYTHING)]


def pods():
    return [o["spec"]["template"]["spec"] for o in objects() if o["kind"] in ("Deployment", "Job")]


def test_helm_takes_the_chart():
    done = helm("lint", "--strict", CHART, "-f", VALUES)
    assert done.returncode == 0, done.stdout


def test_the_plain_manifests_are_what_the_chart_renders():
    assert RENDERED.read_text() == render().stdout, "./dev lint deploy --write"


@pytest.mark.parametrize("version", VERSIONS)
def test_the_schemas_of_kubernetes_take_them(version):
    kinds = set()
    for wanted in both():
        kinds.add(wanted["kind"])
        if wanted["kind"] not in EXTENSIONS:
            kubernetes_validate.validate(wanted, version, strict=True)
    assert kinds == EXTENSIONS | {"Deployment", "Job", "ConfigMap", "ServiceAccount", "Service",
                                  "NetworkPolicy", "PodDisruptionBudget"}


def test_the_schemas_would_refuse_a_mistake():
    wrong = copy.deepcopy(one("Deployment"))
    wrong["spec"]["template"]["spec"]["terminationGraceSeconds"] = 30
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[0], strict=True)


def test_pods_may_nothing():
    for pod in pods():
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]}}
            assert all(mount["readOnly"] for mount in container["volumeMounts"])


def test_the_node_never_runs_out_of_memory_and_no_beat_is_throttled():
    for pod in pods():
        for container in pod["containers"]:
            resources = container["resources"]
            assert resources["limits"] == {"memory": resources["requests"]["memory"]}


def test_names_of_what_belongs_together_agree():
    selector = one("Deployment")["spec"]["selector"]["matchLabels"]
    labels = one("Deployment")["spec"]["template"]["metadata"]["labels"]
    assert selector.items() <= labels.items()
    assert one("PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == selector
    service = one("Service", EVERYTHING)
    assert service["spec"]["selector"] == selector
    assert (one("ServiceMonitor", EVERYTHING)["spec"]["selector"]["matchLabels"].items()
            <= service["metadata"]["labels"].items())
    job = one("Job")["spec"]["template"]["metadata"]["labels"]
    assert not selector.items() <= job.items(), "the check would count as a worker"
    for wanted in one("NetworkPolicy")["spec"]["podSelector"]["matchExpressions"]:
        assert {labels[wanted["key"]], job[wanted["key"]]} <= set(wanted["values"])


def test_the_check_runs_once_for_each_image_and_configuration():
    names = [one("Job", values)["metadata"]["name"] for values in (
        None, None, {"image": {"tag": "2"}}, {"config": {"worker": {"max_shards": 5}}})]
    assert names[0] == names[1] and len(set(names)) == 3
    assert one("Job")["spec"]["template"]["spec"]["containers"][0]["args"][0] == "check"


def test_another_configuration_is_another_pod():
    def annotations(values):
        return one("Deployment", values)["spec"]["template"]["metadata"]["annotations"]

    assert annotations({"config": {"log": {"level": "debug"}}}) != annotations({})


def test_keda_alone_says_how_many():
    assert one("Deployment")["spec"]["replicas"] == 3
    assert "replicas" not in one("Deployment", EVERYTHING)["spec"]


def test_alerts_link_to_where_the_documentation_is():
    rules = one("PrometheusRule", EVERYTHING)["spec"]["groups"][0]["rules"]
    assert all(rule["annotations"]["runbook_url"].startswith(
        "https://example.com/docs/operations.md#sluice") for rule in rules)


@pytest.mark.parametrize("values, word", [
    ({"config": {"streams": None}}, "streams or exports"),
    ({"config": {"checkpoint": {"store": "sqlite:state.db"}}}, "postgres://"),
    ({"config": {"checkpoint": None}}, "postgres://"),
    ({"secret": {"existing": ""}}, "secret.existing"),
    ({"terminationGracePeriodSeconds": 23}, "terminationGracePeriodSeconds"),
    ({"config": {"worker": {"shutdown": "60s"}}}, "terminationGracePeriodSeconds"),
    ({"config": {"worker": {"shutdown": "1m"}}}, "whole seconds"),
    ({"replica": 3}, "replica"),
    ({"image": {"digest": "abc"}}, "digest"),
], ids=str)
def test_what_would_not_work_is_refused(values, word):
    done = render(values)
    assert done.returncode != 0 and word in done.stderr, done.stderr


def test_secrets_that_helm_makes_are_mounted():
    values = {"secret": {"existing": "", "data": {"store": "postgres://db", "kafka": "word"}}}
    assert one("Secret", values)["stringData"]["kafka"] == "word"
    volumes = one("Deployment", values)["spec"]["template"]["spec"]["volumes"]
    assert volumes[1]["secret"]["secretName"] == one("Secret", values)["metadata"]["name"]


def test_where_it_listens_is_what_is_probed():
    container = one("Deployment")["spec"]["template"]["spec"]["containers"][0]
    config = yaml.safe_load(one("ConfigMap")["data"]["sluice.yaml"])
    port = container["ports"][0]
    assert config["http"]["listen"] == f"0.0.0.0:{port['containerPort']}"
    for probe, path in (("startup", "/livez"), ("liveness", "/livez"), ("readiness", "/readyz")):
        assert container[f"{probe}Probe"]["httpGet"] == {"path": path, "port": port["name"]}
