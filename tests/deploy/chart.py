"""The Helm chart, and what it is rendered to."""

import subprocess
import tempfile
from pathlib import Path

import yaml

from monitoring import ROOT
from stack import DEPS, VERSIONS, installed

CHART = ROOT / "deploy/helm/sluice"
VALUES = ROOT / "deploy/kubernetes/values.yaml"
RENDERED = ROOT / "deploy/kubernetes/sluice.yaml"
# A helm that is built from source does not know of which Kubernetes it speaks.
KUBERNETES = "1.33.0"
# What needs operators besides.
EVERYTHING = {"serviceMonitor": {"enabled": True}, "dashboard": {"enabled": True},
              "alerts": {"enabled": True, "runbooks": "https://example.com/docs/"},
              "keda": {"enabled": True}}


def helm(*arguments):
    program = installed(DEPS / f"helm-{VERSIONS['HELM']}" / "helm")
    return subprocess.run([program, *map(str, arguments)], capture_output=True, text=True,
                          check=False)


def render(values=None):
    """What helm ended with; `values` go over those of the plain manifests."""
    with tempfile.TemporaryDirectory() as folder:
        more = Path(folder) / "values.yaml"
        more.write_text(yaml.safe_dump(values or {}))
        return helm("template", "sluice", CHART, "--namespace", "sluice", "--kube-version",
                    KUBERNETES, "-f", VALUES, "-f", more)


def objects(values=None):
    """The rendered objects."""
    done = render(values)
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def one(kind, values=None, name="sluice"):
    (found,) = [o for o in objects(values)
                if o["kind"] == kind and o["metadata"]["name"].startswith(name)]
    return found


if __name__ == "__main__":
    print(render().stdout, end="")
