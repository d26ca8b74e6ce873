"""The alerts are rules that Prometheus takes, they fire when they should, each is of metrics that
there are, and each has a chapter in the documentation."""

import re
import shutil

import pytest
import yaml

from monitoring import ALERTS, OPERATIONS, ROOT, alerts, promtool

NUMBERS = ROOT / "tests/deploy/alerts_test.yaml"
METRIC = re.compile(r"\bsluice_\w+")
ROW = re.compile(r"^\| `(sluice_\w+)` \|", re.M)


def without_annotations(test):
    """An expected alert that gives none is looked for as the series ALERTS, which has none."""
    kept, samples = [], []
    for wanted in test["alert_rule_test"]:
        expected = wanted.get("exp_alerts", [])
        if any("exp_annotations" in alert for alert in expected):
            kept.append(wanted)
            continue
        labels = f'alertname="{wanted["alertname"]}",alertstate="firing"'
        samples.append({
            "eval_time": wanted["eval_time"], "expr": f"ALERTS{{{labels}}}",
            "exp_samples": [{"value": 1, "labels": "ALERTS{%s}" % ",".join(
                [labels, *(f'{name}="{value}"' for name, value in alert["exp_labels"].items())])}
                for alert in expected]})
    return {**test, "alert_rule_test": kept, "promql_expr_test": samples}


def test_promtool_takes_the_rules():
    assert f"{len(alerts())} rules found" in promtool("check", "rules", ALERTS)


def test_they_fire_when_they_should(tmp_path):
    document = yaml.safe_load(NUMBERS.read_text())
    document["tests"] = [without_annotations(test) for test in document["tests"]]
    shutil.copy(ALERTS, tmp_path / "alerts.yaml")
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(document))
    promtool("test", "rules", tmp_path / "test.yaml")


def test_each_is_tried_with_numbers():
    document = yaml.safe_load(NUMBERS.read_text())
    fires = {wanted["alertname"] for test in document["tests"] for wanted in test["alert_rule_test"]
             if wanted.get("exp_alerts")}
    quiet = {wanted["alertname"] for test in document["tests"] for wanted in test["alert_rule_test"]
             if not wanted.get("exp_alerts")}
    assert fires == quiet == set(alerts())


@pytest.mark.parametrize("name", alerts())
def test_it_is_of_metrics_that_there_are(name):
    known = set(ROW.findall(OPERATIONS.read_text()))
    assert set(METRIC.findall(alerts()[name]["expr"])) <= known


@pytest.mark.parametrize("name", alerts())
def test_it_says_how_urgent_it_is_and_where_to_read_on(name):
    rule = alerts()[name]
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["runbook_url"] == f"docs/operations.md#{name.lower()}"


def test_each_has_its_chapter():
    chapters = re.findall(r"^#### (Sluice\w+)$", OPERATIONS.read_text(), re.M)
    assert chapters == list(alerts())
