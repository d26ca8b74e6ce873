"""A neighbour goes away and comes back while changes flow: the worker lives on, says so, and loses
nothing. And the ends that are no failure: signals, another worker, a second run."""

import json
import os
import signal
import uuid

import psycopg
import pytest

import delivered
from process import wait_until
from stack import S3
from workload import Workload, create_table

PARTITIONS = 3


@pytest.fixture
def lake(access_key, tmp_path):
    """An S3 server with the test's access key, which is its database of DynamoDB Local, too."""
    server = S3(tmp_path / "s3")
    server.access_key = access_key
    server.start()
    yield server
    server.stop()


class Path:
    """The whole path with a proxy before each neighbour; Kafka names its own address to clients, so
    it is stopped instead."""

    def __init__(self, dynamodb, kafka, lake, postgres, toxiproxy, access_key, out):
        self.dynamodb, self.kafka, self.lake, self.access_key = dynamodb, kafka, lake, access_key
        self.out, self.topic = out, f"outages-{uuid.uuid4().hex[:8]}"
        kafka.create_topic(self.topic, partitions=PARTITIONS)
        create_table(dynamodb.client(access_key), "orders")
        self.proxies = {name: toxiproxy.proxy(server.port) for name, server in (
            ("dynamodb", dynamodb), ("s3", lake), ("postgres", postgres))}
        self.database = postgres.new_database()
        self.store = self.database.replace(f":{postgres.port}/", f":{self.port('postgres')}/")
        self.workload = None

    def port(self, name):
        return self.proxies[name].port

    def configuration(self, **worker):
        source = f"http://127.0.0.1:{self.port('dynamodb')}"
        return {
            "worker": {"memory": "64MiB", "threads": 2, **worker},
            "checkpoint": {"store": self.store, "interval": "200ms", "lease": "2s"},
            "aws": {"endpoint": {"dynamodb": source, "streams": source,
                                 "s3": f"http://127.0.0.1:{self.port('s3')}"}},
            "streams": [{"table": "orders", "start": "oldest",
                         "poll": {"min": "50ms", "max": "200ms"},
                         "sinks": ["events", "lake", "files"]}],
            "sinks": {
                "events": {"type": "kafka", "brokers": self.kafka.brokers, "topic": self.topic},
                "lake": {"type": "s3", "bucket": self.lake.bucket, "prefix": "cdc/",
                         "format": "debezium", "compression": "gzip",
                         "roll": {"size": "5MiB", "age": "1s"}},
                "files": {"type": "directory", "path": f"{self.out}/${{table}}/", "format": "plain",
                          "roll": {"size": "5MiB", "age": "1s"}},
            },
        }

    def write(self, changes, seed=1):
        """More changes in the background; their keys go on where the last ones ended."""
        if self.workload is None:
            self.workload = Workload(seed, changes, keys=400, threads=2)
        else:
            self.workload.more(changes)
        self.workload.start(self.dynamodb.endpoint, self.access_key, "orders")
        return self.workload

    def files(self):
        return delivered.directory_files(self.out)

    def objects(self):
        return self.lake.objects(self.lake.bucket, "cdc/")

    def messages(self):
        return self.kafka.read(self.topic, deadline=60)

    def verify(self):
        """Returns how many messages Kafka has more than once."""
        events = delivered.from_kafka(self.messages())
        delivered.replays(events)
        once = delivered.distinct(events)
        delivered.compare(self.workload.history, once, delivered.same_plain_item)
        lines = [delivered.from_plain(line, name) for name, line in delivered.lines(self.files())]
        delivered.exactly_once(lines)
        delivered.compare(self.workload.history, lines, delivered.same_plain_item, before=False,
                          deleted_keys=True)
        objects = [delivered.from_debezium(delivered.item_key(line["after"] or line["before"]),
                                           line, place=name)
                   for name, line in delivered.lines(self.objects())]
        delivered.exactly_once(objects)
        delivered.compare(self.workload.history, objects, delivered.same_plain_item)
        return len(events) - len(once)


@pytest.fixture
def path(dynamodb, kafka, lake, postgres, toxiproxy, access_key, tmp_path):
    made = Path(dynamodb, kafka, lake, postgres, toxiproxy, access_key, tmp_path / "out")
    yield made
    if made.workload:
        made.workload.stop()


@pytest.fixture
def worker(path, sluice):
    made = sluice(path.configuration(), access_key=path.access_key, secret_key=path.lake.secret_key)
    made.environment["AWS_EC2_METADATA_DISABLED"] = "true"
    return made


def parts(worker):
    return {part["part"]: part for part in json.loads(worker.get("/readyz")[1])["parts"]}


def delivered_everywhere(worker, count):
    worker.wait_for(lambda: all(worker.metric("sluice_delivered_total", sink=sink) >= count
                                for sink in ("events", "lake", "files")),
                    f"{count} changes in every sink", 90)


def store(path, sql):
    with psycopg.connect(path.database) as connection:
        return connection.execute(sql).fetchone()[0]


# Neighbour: what readyz calls it, and the metric that counts the attempts.
OUTAGES = {
    "kafka": ("sink events", "sluice_sink_retries_total", {"sink": "events"}),
    "s3": ("sink lake", "sluice_sink_retries_total", {"sink": "lake"}),
    "postgres": ("store", "sluice_store_errors_total", {}),
    "dynamodb": ("stream orders", "sluice_polls_total", {"result": "retry"}),
}


def cut(path, name):
    if name == "kafka":
        path.kafka.kill()
    else:
        path.proxies[name].cut()


def restore(path, name):
    if name == "kafka":
        path.kafka.restart()
    else:
        path.proxies[name].restore()


@pytest.mark.parametrize("name", OUTAGES)
def test_a_neighbour_goes_away(path, worker, name):
    part, metric, labels = OUTAGES[name]
    worker.start()
    process = worker.process.pid
    path.write(2000).join()
    delivered_everywhere(worker, 2000)
    before = worker.metric(metric, **labels)
    cut(path, name)
    try:
        path.write(2000)
        worker.wait_metric(metric, before + 2, 60, **labels)
        worker.wait_for(lambda: part in parts(worker) and not parts(worker)[part]["ok"],
                        f"{part} is told to be away")
        assert parts(worker)[part]["reason"]
        assert worker.get("/livez")[0] == 200
        assert worker.get("/readyz")[0] == 200, "an outage makes it unready"
        log = worker.log.read_text()
        assert [line for line in log.splitlines() if " WARN " in line or " ERROR " in line], log
        path.workload.join()
    finally:
        restore(path, name)
    worker.wait_for(lambda: parts(worker).get(part, {"ok": True})["ok"],
                    f"{part} is told to be back", 60)
    path.write(500).join()
    worker.wait_for(lambda: len(delivered.distinct(delivered.from_kafka(path.messages())))
                    == path.workload.changes, "Kafka has all", 90)
    assert worker.process.running() and worker.process.pid == process
    assert worker.stop() == 0
    assert worker.drain() == 0
    path.verify()


def test_every_neighbour_stutters(path, worker):
    """Latency, resets and cut answers everywhere, while it works."""
    for proxy in path.proxies.values():
        proxy.add("latency", latency=30, jitter=20)
        proxy.add("limit_data", toxicity=0.3, bytes=20000)
    worker.start(wait=False)
    path.write(3000).join()
    worker.wait_for(lambda: worker.metric("sluice_delivered_total", sink="events") >= 3000,
                    "Kafka has as many", 120)
    for proxy in path.proxies.values():
        proxy.clear()
    assert worker.stop() == 0
    assert worker.drain() == 0
    path.verify()


def test_started_before_its_neighbours(path, worker, postgres):
    """A worker that comes up first waits, and says for what."""
    path.proxies["postgres"].cut()
    path.proxies["dynamodb"].cut()
    worker.start(wait=False)
    worker.wait_for(lambda: worker.get("/readyz")[0] == 503, "it is not ready")
    assert worker.get("/livez")[0] == 200
    worker.wait_for(lambda: "store" in parts(worker) and not parts(worker)["store"]["ok"],
                    "the store is waited for")
    path.write(300).join()
    path.proxies["postgres"].restore()
    worker.wait_for(lambda: parts(worker)["store"]["ok"], "the store")
    worker.wait_for(lambda: "not reached" not in (parts(worker)["aws"]["reason"] or ""),
                    "DynamoDB is told to be away")
    path.proxies["dynamodb"].restore()
    worker.wait_ready()
    delivered_everywhere(worker, 300)
    assert worker.stop() == 0
    path.verify()


def test_sigterm_under_load(path, worker):
    """Stops within worker.shutdown, again and again, and neither loses nor repeats anything."""
    path.write(6000)
    for _ in range(3):
        worker.start()
        goal = worker.metric("sluice_delivered_total", sink="events") + 500
        worker.wait_metric("sluice_delivered_total", goal, sink="events", deadline=60)
        assert worker.stop(deadline=20) == 0
        assert store(path, "SELECT count(*) FROM sluice.session WHERE state <> 'buried'") == 0
        assert store(path, "SELECT count(*) FROM sluice.roll") == 0
    path.workload.join()
    assert worker.drain() == 0
    assert path.verify() == 0, "a graceful stop repeated messages"


def test_two_signals_end_it_at_once(path, worker):
    worker.start()
    path.write(500).join()
    delivered_everywhere(worker, 500)
    path.kafka.pause()
    try:
        path.write(500).join()
        worker.wait_metric("sluice_records_total", 501, stream="orders")
        worker.process.send(signal.SIGTERM)

        def ended():
            worker.process.send(signal.SIGINT)
            return not worker.process.running()

        # Not the very first one: what comes with SIGTERM counts as its echo.
        wait_until(ended, "its end")
        assert worker.process.exit_code() == 1
        assert "stopped at once by a second signal" in worker.process.text()
    finally:
        path.kafka.resume()
    assert worker.drain() == 0
    path.verify()


def test_another_worker_joins_and_takes_over(path, worker, sluice):
    worker.start()
    second = sluice(path.configuration(name="second"), access_key=path.access_key,
                    secret_key=path.lake.secret_key)
    path.write(3000)
    worker.wait_metric("sluice_delivered_total", 100, sink="events")
    second.start()
    path.workload.join()
    worker.wait_for(lambda: len(path.messages()) >= 3000, "they deliver", 60)
    states = json.loads(worker.run("status", "--json").stdout)["workers"]
    assert [one["worker"] for one in states][-1] == "second" and len(states) == 2

    path.write(1000)
    worker.kill9()
    path.workload.join()
    second.wait_for(lambda: len(path.messages()) >= 4000, "the second one delivers alone", 60)
    worker.start()
    assert second.stop() == 0
    path.write(200).join()
    worker.wait_for(lambda: len(path.messages()) >= 4200, "the first one delivers again", 60)
    assert worker.stop() == 0
    assert worker.drain() == 0
    path.verify()


def everything(path):
    return (path.files(), path.objects(),
            [(message.partition(), message.offset()) for message in path.messages()])


def test_a_second_run_changes_nothing(path, worker):
    path.write(1000).join()
    assert worker.drain() == 0
    first = everything(path)
    positions = "SELECT string_agg(p::text, ',' ORDER BY lane, sink) FROM sluice.position p"
    was = store(path, positions)
    for _ in range(2):
        assert worker.drain() == 0
        assert everything(path) == first
        assert store(path, positions) == was
    assert path.verify() == 0
    assert not [name for _, _, names in os.walk(path.out) for name in names
                if name.startswith(".")], "litter is left"
    uploads = path.lake.client().list_multipart_uploads(Bucket=path.lake.bucket)
    assert not uploads.get("Uploads"), "uploads are left"


def test_the_log_level_is_read_again(path, worker):
    worker.config["log"] = {"level": "warn", "format": "json"}
    worker.start()
    assert worker.log.read_text() == "" or all(
        json.loads(line)["level"] in ("WARN", "ERROR", "warn", "error")
        for line in worker.log.read_text().splitlines())
    worker.config["log"]["level"] = "debug"
    worker.write_config()
    worker.process.send(signal.SIGHUP)
    worker.wait_for(lambda: "log level read again" in worker.log.read_text(), "it says so")
    worker.file.write_text("streams: 1")
    worker.process.send(signal.SIGHUP)
    worker.wait_for(lambda: "could not be read again" in worker.log.read_text(), "it says so")
    assert worker.get("/livez")[0] == 200
    assert worker.stop() == 0
    assert all(json.loads(line) for line in worker.log.read_text().splitlines())


def test_status_beside_a_running_worker(path, worker):
    worker.config["worker"]["name"] = "one"
    worker.start()
    path.write(500).join()
    path.dynamodb.rollover(path.access_key)
    path.write(500).join()
    delivered_everywhere(worker, 1000)
    highest = max(event.sequence for event in delivered.from_kafka(path.messages()))

    def saved():
        found, = json.loads(worker.run("status", "--json").stdout)["streams"]
        states = {shard["state"] for shard in found["shards"]}
        return (states == {"open", "done"} and
                highest == max(int(shard["sequence"] or 0) for shard in found["shards"]) and found)

    stream = worker.wait_for(saved, "status knows the last sequence") or saved()
    assert stream["stream"] == "orders" and stream["generation"] == 1
    parent, child = sorted(stream["shards"], key=lambda shard: shard["state"] == "open")
    assert child["parent"] == parent["shard"] and parent["parent"] == ""
    status = json.loads(worker.run("status", "--json").stdout)
    assert [(one["worker"], one["state"]) for one in status["workers"]] == [("one", "live")]
    assert child["owner"] == status["workers"][0]["session"]
    assert status["dead_letters"] == 0
    text = worker.run("status").stdout
    for word in ("one", "live", "orders", parent["shard"], child["shard"], "done", "open"):
        assert word in text
    assert worker.stop() == 0
    assert "live" not in worker.run("status").stdout
