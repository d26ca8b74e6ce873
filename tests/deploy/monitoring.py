"""The alerts and the dashboard as data, and promtool."""

import subprocess
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
ALERTS = ROOT / "deploy/helm/sluice/files/alerts.yaml"
DASHBOARD = ROOT / "deploy/helm/sluice/files/dashboard.json"
OPERATIONS = ROOT / "docs/operations.md"


def alerts():
    """Each alert's rule, by name."""
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def promtool(*arguments):
    """Returns what it printed; an error fails the test with that."""
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
