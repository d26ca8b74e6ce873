"""The image: built, looked into, and run as its user against the real servers. It takes minutes to
build, so that ./dev test image and soak run this, and ./dev test does not."""

import os
import re
import shutil
import subprocess
import time

import boto3
import pytest
import yaml

import delivered
from image import BASE, Buildah, Container, main_process
from process import free_port, wait_until
from stack import DEPS, REGION, ROOT, http_status
from workload import create_table

IMAGE = "sluice:test"
SIZE_MAX = 60 << 20
USER = 10001
COUNT = 200


@pytest.fixture(scope="session")
def buildah():
    folder = DEPS / "images"
    folder.mkdir(parents=True, exist_ok=True)
    return Buildah(folder)


@pytest.fixture(scope="session")
def image(buildah):
    buildah.build(IMAGE)
    return IMAGE


@pytest.fixture
def container(buildah, image):
    with Container(buildah, image) as made:
        yield made


def test_its_settings(buildah, image):
    settings = buildah.settings(image)
    assert settings["User"] == f"{USER}:{USER}"
    assert settings["Entrypoint"] == ["sluice"]
    assert settings["Cmd"] == ["run", "-c", "/etc/sluice/sluice.yaml"]
    assert settings["StopSignal"] == "SIGTERM"
    assert settings["Healthcheck"]["Test"] == ["CMD", "sluice", "health"]
    assert settings["Labels"]["org.opencontainers.image.title"] == "Sluice"


def test_its_label_is_the_programs_version(buildah, image, container):
    version = container.run("sluice", "version").stdout
    label = buildah.settings(image)["Labels"]["org.opencontainers.image.version"]
    chart = yaml.safe_load((ROOT / "deploy/helm/sluice/Chart.yaml").read_text())
    assert label in version.split() and chart["appVersion"] == label


def test_it_is_small_and_has_only_what_runs(buildah, container):
    with Container(buildah, BASE) as base:
        assert 0 < container.size_bytes() - base.size_bytes() < SIZE_MAX
    for tool in ("gcc", "cmake", "curl", "python3"):
        assert shutil.which(tool, path=f"{container.root}/usr/bin") is None
    own = [path for path in container.changed(0) if os.lstat(path).st_uid == USER]
    assert all(path.startswith(f"{container.root}/var/lib/sluice/") for path in own)


class Worker:
    """`sluice run` in the container, as Kubernetes would start it."""

    def __init__(self, container, folder, config):
        self.port = free_port()
        config["http"] = {"listen": f"127.0.0.1:{self.port}"}
        (folder / "etc").mkdir()
        self.container = container
        self.keywords = {
            "volumes": [f"{folder}/etc:/etc/sluice:ro"],
            "environment": {"AWS_ACCESS_KEY_ID": config.pop("key"), "AWS_REGION": REGION,
                            "AWS_SECRET_ACCESS_KEY": config.pop("secret")}}
        (folder / "etc/sluice.yaml").write_text(yaml.safe_dump(config))
        self.log = folder / "log"
        self.database = config["checkpoint"]["store"].rsplit("/", 1)[1]

    def start(self):
        self.process = self.container.start(self.log, "sluice", "run", "-c",
                                            "/etc/sluice/sluice.yaml", **self.keywords)
        self.wait(lambda: http_status(self.port, "/readyz"), "it listens")
        self.wait(lambda: http_status(self.port, "/readyz")[0] == 200, "it is ready")
        self.pid = main_process(self.process.pid, "sluice")

    def wait(self, condition, what):
        wait_until(condition, lambda: f"{what}\n{self.process.tail()}", 60)

    def sluice(self, *arguments):
        return self.container.run("sluice", *arguments, **self.keywords)


@pytest.fixture
def worker(container, dynamodb, kafka, postgres, s3, tmp_path):
    tmp_path.chmod(0o755)
    made = Worker(container, tmp_path, {
        "key": s3.access_key, "secret": s3.secret_key,
        "checkpoint": {"store": postgres.new_database()},
        "aws": {"endpoint": {"dynamodb": dynamodb.endpoint, "streams": dynamodb.endpoint,
                             "s3": s3.endpoint}},
        "streams": [{"table": "orders", "start": "oldest", "sinks": ["events", "lake"]}],
        "sinks": {
            "events": {"type": "kafka", "brokers": kafka.brokers, "topic": "image.${table}"},
            "lake": {"type": "s3", "bucket": s3.new_bucket("image"), "roll": {"age": "5m"}}}})
    client = dynamodb.client(s3.access_key)
    create_table(client, "orders")
    yield made
    client.delete_table(TableName="orders")


def status_of(pid):
    with open(f"/proc/{pid}/status") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


def test_it_runs_as_nobody_and_drains_when_it_is_told_to_stop(worker, dynamodb, kafka, postgres,
                                                              s3):
    checked = worker.sluice("check", "-c", "/etc/sluice/sluice.yaml")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    before = time.time()
    worker.start()
    assert status_of(worker.pid)["Uid"].split() == [str(USER)] * 4
    (connections,), = postgres.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = %s", [worker.database])
    assert connections == 2, "as docs/deployment.md has it"
    url = f"http://127.0.0.1:{worker.port}"
    for arguments in ([], ["--ready"]):
        assert worker.sluice("health", "--url", url, *arguments).returncode == 0
    assert worker.sluice("health", "--url", f"http://127.0.0.1:{free_port()}").returncode == 1
    client = dynamodb.client(s3.access_key)
    for number in range(COUNT):
        client.put_item(TableName="orders", Item={"pk": {"S": f"k{number % 7}"},
                                                  "sk": {"N": str(number)}})
    worker.wait(lambda: re.search(rb'sluice_records_total{[^}]*op="c"} %d\n' % COUNT,
                                  http_status(worker.port, "/metrics")[1]), "all is read")
    os.kill(worker.pid, 15)
    assert worker.process.wait(40) == 0, worker.process.tail()
    # The files were open for minutes to come: that they are there is the drain's doing.
    assert len(list(delivered.lines(s3.objects("image")))) == COUNT
    written = [message for message in kafka.read("image.orders") if message.value()]
    assert len(written) == COUNT
    outside = [path for path in worker.container.changed(before)
               if not re.match(r"/(etc/(hosts|resolv\.conf|hostname)|run/)",
                               path.removeprefix(worker.container.root))]
    assert outside == [], "it writes nothing but to its volumes"


def test_a_worker_without_a_store_says_so_in_the_health_check(container):
    done = container.run("sluice", "health")
    assert done.returncode == 1 and "sluice health: " in done.stderr


def test_it_is_compiled_for_arm64(buildah, tmp_path):
    """Compiled alone: nothing here runs it, nor the packages of the last stage."""
    buildah.build("sluice:arm64", "--target", "build", "--build-arg", "TARGETARCH=arm64")
    with Container(buildah, "sluice:arm64") as made:
        header = subprocess.run(["readelf", "-hd", f"{made.root}/out/bin/sluice"],
                                capture_output=True, text=True, check=True).stdout
        assert "AArch64" in header
        needed = re.findall(r"Shared library: \[(lib\w+)", header)
        assert {"librdkafka", "libcurl", "libpq"} <= set(needed)
