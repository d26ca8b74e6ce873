"""Prometheus takes what the dashboard asks it. That it has every metric is compared when it is made
(tests/tools/dashboard.py)."""

import json

import yaml

from monitoring import DASHBOARD, promtool


def panels():
    return json.loads(DASHBOARD.read_text())["panels"]


def test_its_queries_are_good(tmp_path):
    queries = [target["expr"] for panel in panels() for target in panel.get("targets", [])]
    assert len(queries) > 40
    rules = [{"record": f"query:{i}", "expr": query.replace("$__rate_interval", "5m")}
             for i, query in enumerate(queries)]
    (tmp_path / "rules.yaml").write_text(
        yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", tmp_path / "rules.yaml")


def test_its_panels_do_not_overlap():
    places = [(x, y) for panel in panels() for place in [panel["gridPos"]]
              for x in range(place["x"], place["x"] + place["w"])
              for y in range(place["y"], place["y"] + place["h"])]
    assert len(places) == len(set(places))
    assert max(x for x, _ in places) < 24
    numbers = [panel["id"] for panel in panels()]
    assert len(numbers) == len(set(numbers))
