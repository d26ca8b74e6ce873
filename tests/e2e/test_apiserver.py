"""A real API server takes the manifests: strictly, as a dry run, and then for good. It takes minutes
to build, so that ./dev test kubernetes and soak run this, and ./dev test does not."""

import json
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from pathlib import Path

import pytest

from process import free_port
from stack import DEPS, ROOT, VERSIONS, Server, http_status, installed

sys.path.append(str(ROOT / "tests/deploy"))
import chart  # noqa: E402

TOKEN = uuid.uuid4().hex
# Where the API has each kind.
PATHS = {
    "ConfigMap": "/api/v1/namespaces/default/configmaps",
    "Secret": "/api/v1/namespaces/default/secrets",
    "Service": "/api/v1/namespaces/default/services",
    "ServiceAccount": "/api/v1/namespaces/default/serviceaccounts",
    "Deployment": "/apis/apps/v1/namespaces/default/deployments",
    "Job": "/apis/batch/v1/namespaces/default/jobs",
    "PodDisruptionBudget": "/apis/policy/v1/namespaces/default/poddisruptionbudgets",
    "NetworkPolicy": "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies",
    "ServiceMonitor": None, "PrometheusRule": None, "ScaledObject": None,
}
SECRET = {"secret": {"existing": "", "data": {"store": "postgres://db", "kafka": "word"}}}


class Etcd(Server):
    name = "etcd"

    def command(self):
        peer = free_port()
        return [installed(Path("/usr/bin/etcd")), "--data-dir", self.folder / "data",
                "--listen-client-urls", f"http://127.0.0.1:{self.port}",
                "--advertise-client-urls", f"http://127.0.0.1:{self.port}",
                "--listen-peer-urls", f"http://127.0.0.1:{peer}",
                "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}",
                "--initial-cluster", f"default=http://127.0.0.1:{peer}"], {}

    def ready(self):
        return http_status(self.port, "/health")


class ApiServer(Server):
    """kube-apiserver; pods are only written down."""

    name = "apiserver"
    start_deadline = 180.0

    def __init__(self, folder, etcd):
        super().__init__(folder)
        self.etcd = etcd

    def prepare(self):
        key = self.folder / "account.key"
        subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
        (self.folder / "tokens").write_text(f"{TOKEN},admin,1,system:masters\n")

    def command(self):
        program = installed(DEPS / f"kube-apiserver-{VERSIONS['KUBERNETES']}" / "kube-apiserver")
        return [program, "--etcd-servers", f"http://127.0.0.1:{self.etcd.port}",
                "--bind-address", "127.0.0.1", "--secure-port", self.port,
                "--cert-dir", self.folder / "tls", "--token-auth-file", self.folder / "tokens",
                "--service-cluster-ip-range", "10.0.0.0/24", "--authorization-mode", "RBAC",
                "--service-account-issuer", "https://kubernetes.default.svc",
                "--service-account-key-file", self.folder / "account.key",
                "--service-account-signing-key-file", self.folder / "account.key",
                "--disable-admission-plugins", "ServiceAccount"], {}

    def call(self, method, path, body=None):
        """Status and answer."""
        request = urllib.request.Request(
            f"https://127.0.0.1:{self.port}{path}", json.dumps(body).encode() if body else None,
            {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}, method=method)
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        try:
            with urllib.request.urlopen(request, timeout=30, context=context) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"{}")
        except OSError:
            return None, None

    def ready(self):
        return self.call("GET", "/api/v1/namespaces/default")[0] == 200


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kubernetes")
    etcd = Etcd(folder / "etcd")
    server = ApiServer(folder / "apiserver", etcd)
    try:
        etcd.start()
        server.start()
        yield server
    finally:
        server.stop()
        etcd.stop()


def create(api, wanted, query="?fieldValidation=Strict"):
    return api.call("POST", PATHS[wanted["kind"]] + query, wanted)


@pytest.mark.parametrize("values", [None, SECRET, chart.EVERYTHING],
                         ids=["plain", "secret", "everything"])
def test_a_strict_dry_run_takes_each_object(api, values):
    for wanted in chart.objects(values):
        if PATHS[wanted["kind"]] is None:
            continue
        status, answer = create(api, wanted, "?fieldValidation=Strict&dryRun=All")
        assert status == 201, (wanted["kind"], answer)


def test_it_would_refuse_a_mistake(api):
    wanted = chart.one("Deployment")
    wanted["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    status, answer = create(api, wanted, "?fieldValidation=Strict&dryRun=All")
    assert status == 400 and "readynessProbe" in answer["message"]


def test_what_is_stored_is_what_was_meant(api):
    for wanted in chart.objects():
        status, answer = create(api, wanted)
        assert status == 201, (wanted["kind"], answer)
    pod = api.call("GET", PATHS["Deployment"] + "/sluice")[1]["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] == 30
    (container,) = pod["containers"]
    assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
    assert [volume["secret"]["defaultMode"] for volume in pod["volumes"] if "secret" in volume] == [
        0o440]


def test_a_namespace_for_restricted_pods_takes_them(api):
    """The strictest of Kubernetes' own standards has nothing to say."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {
        "name": "restricted", "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    assert api.call("POST", "/api/v1/namespaces", namespace)[0] == 201
    for kind in ("Deployment", "Job"):
        template = chart.one(kind)["spec"]["template"]
        pod = {"apiVersion": "v1", "kind": "Pod", "spec": template["spec"],
               "metadata": {"name": kind.lower(), "labels": template["metadata"]["labels"]}}
        status, answer = api.call(
            "POST", "/api/v1/namespaces/restricted/pods?fieldValidation=Strict&dryRun=All", pod)
        assert status == 201, answer
    del pod["spec"]["containers"][0]["securityContext"]["capabilities"]
    status, answer = api.call("POST", "/api/v1/namespaces/restricted/pods?dryRun=All", pod)
    assert status == 403 and "capabilities" in answer["message"]
