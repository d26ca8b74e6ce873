"""The real servers that tests run against, on free loopback ports; their data goes with them.

    python tests/e2e/stack.py with postgres s3 -- ctest …    runs a command beside them
    python tests/e2e/stack.py serve dynamodb kafka           says how to reach them, until a signal

`./dev deps` installs them. A server has three steps: prepare (any thread), spawn (a thread that
lives as long as the server), ready (a probe, asked until it answers).
"""

import http.client
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from process import Process, free_port, wait_until

ROOT = Path(__file__).resolve().parents[2]
REGION = "eu-west-1"


def deps_folder():
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("SLUICE_DEPS") or Path(cache) / "sluice")


def pinned_versions():
    lines = (ROOT / "tests/tools/versions").read_text().splitlines()
    return dict(line.split("=") for line in lines if line and not line.startswith("#"))


DEPS = deps_folder()
VERSIONS = pinned_versions()


def installed(path):
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: run ./dev deps")
    return path


def http_status(port, path="/", method="GET", body=None, timeout=5):
    """The status and body of an answer on loopback, or None where nothing answers yet."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


class Server:
    """What all have in common. `folder` is the server's own."""

    name = ""
    stop_signal = signal.SIGKILL
    start_deadline = 60.0

    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.process = None

    def prepare(self):
        """What must exist before the first spawn."""

    def command(self):
        """Arguments, and keywords of Process."""
        raise NotImplementedError

    def ready(self):
        raise NotImplementedError

    def environment(self):
        """How tests that are no Python find this server."""
        return {}

    def spawn(self):
        arguments, keywords = self.command()
        self.process = Process(arguments, self.folder / "log", **keywords)

    def wait_ready(self):
        def probe():
            if not self.process.running():
                raise RuntimeError(f"{self.name} ended at its start; {self.process.tail()}")
            return self.ready()

        wait_until(probe, lambda: f"{self.name} answers; {self.process.tail()}",
                   self.start_deadline)

    def start(self):
        """All three steps, for a server that is started by itself."""
        self.prepare()
        self.spawn()
        self.wait_ready()

    def stop(self):
        if self.process:
            self.process.stop(self.stop_signal)

    def kill(self):
        self.process.kill()

    def restart(self):
        """Again, with the data and on the port it had."""
        self.stop()
        self.spawn()
        self.wait_ready()

    def pause(self):
        self.process.pause()

    def resume(self):
        self.process.resume()


class DynamoDB(Server):
    """DynamoDB Local with its test control. An access key is a database of its own: one a test."""

    name = "dynamodb"

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.port}"

    def command(self):
        home = installed(DEPS / f"dynamodb-local-{VERSIONS['DYNAMODB_LOCAL']}")
        return ["java", "-Xmx1g", f"-Djava.library.path={home}/lib",
                "-cp", f"{home}/classes:{home}/lib/*",
                "com.amazonaws.services.dynamodbv2.local.server.TestControlServer", self.port], {
            "environment": {"DDB_LOCAL_TELEMETRY": "0", "JAVA_TOOL_OPTIONS": None}}

    def ready(self):
        return http_status(self.port)

    def environment(self):
        return {"SLUICE_TEST_DYNAMODB": self.endpoint}

    @staticmethod
    def new_access_key():
        return "key" + uuid.uuid4().hex[:17]

    def client(self, access_key, service="dynamodb"):
        """A boto3 client; service is dynamodb or dynamodbstreams."""
        import boto3
        return boto3.client(service, endpoint_url=self.endpoint, region_name=REGION,
                            aws_access_key_id=access_key, aws_secret_access_key="secret")

    def rollover(self, access_key):
        """Closes the open shard of every stream of the key and opens its child."""
        self._control(access_key, {"ACTION": {"S": "ROLLOVER"}})

    def dilate(self, access_key, hours):
        """Makes records and shards of the key older."""
        self._control(access_key, {"ACTION": {"S": "DILATE_TIME"}, "HOURS": {"S": str(hours)}})

    def _control(self, access_key, item):
        self.client(access_key).put_item(TableName="[TEST_CONTROL]", Item=item)


class Kafka(Server):
    """One KRaft node, broker and controller; topics appear when they are first written."""

    name = "kafka"

    def __init__(self, folder, properties=None):
        super().__init__(folder)
        self.controller_port = free_port()
        # A second way in, behind a proxy whose port it tells its clients.
        self.second_port, self.proxy_port = free_port(), free_port()
        self.properties = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@127.0.0.1:{self.controller_port}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},"
                         f"PROXIED://127.0.0.1:{self.second_port},"
                         f"CONTROLLER://127.0.0.1:{self.controller_port}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port},"
                                    f"PROXIED://127.0.0.1:{self.proxy_port}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,"
                                              "CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "PLAINTEXT",
            "log.dirs": self.folder / "data",
            "auto.create.topics.enable": "true",
            "num.partitions": 4,
            "offsets.topic.replication.factor": 1,
            "offsets.topic.num.partitions": 4,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "transaction.state.log.num.partitions": 4,
            "group.initial.rebalance.delay.ms": 0,
            **(properties or {}),
        }

    @property
    def brokers(self):
        return f"127.0.0.1:{self.port}"

    @property
    def proxied_brokers(self):
        """Answers where proxied() made the way."""
        return f"127.0.0.1:{self.proxy_port}"

    def proxied(self, toxiproxy):
        return toxiproxy.proxy(self.second_port, self.proxy_port)

    def _java(self, *arguments):
        home = installed(DEPS / f"kafka-{VERSIONS['KAFKA']}")
        return ["java", "-Xmx512m", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
                "-cp", f"{home}/lib/*", *arguments]

    def prepare(self):
        path = self.folder / "server.properties"
        path.write_text("".join(f"{key}={value}\n" for key, value in self.properties.items()))
        cluster = "sluice-test-cluster-00"
        subprocess.run(self._java("kafka.tools.StorageTool", "format", "-t", cluster, "-c", path),
                       check=True, capture_output=True)

    def command(self):
        return self._java("kafka.Kafka", self.folder / "server.properties"), {}

    def ready(self):
        """A broker that is still fenced is not in its own metadata."""
        metadata_v1_no_topics = struct.pack(">hhih i", 3, 1, 1, -1, 0)
        try:
            with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
                connection.sendall(struct.pack(">i", len(metadata_v1_no_topics)))
                connection.sendall(metadata_v1_no_topics)
                answer = connection.makefile("rb").read(12)
        except OSError:
            return False
        return len(answer) == 12 and struct.unpack(">iii", answer)[2] > 0

    def environment(self):
        return {"SLUICE_TEST_KAFKA": self.brokers}

    def create_topic(self, name, partitions=1, **config):
        from confluent_kafka.admin import AdminClient, NewTopic
        admin = AdminClient({"bootstrap.servers": self.brokers})
        settings = {key.replace("_", "."): str(value) for key, value in config.items()}
        topic = NewTopic(name, num_partitions=partitions, replication_factor=1, config=settings)
        admin.create_topics([topic])[name].result(30)

    def read(self, topic, isolation="read_committed", deadline=30.0):
        """Every message that the topic holds now, as confluent_kafka gives them, partition by
        partition in offset order."""
        from confluent_kafka import KafkaError, Consumer, TopicPartition
        consumer = Consumer({
            "bootstrap.servers": self.brokers, "group.id": f"read-{uuid.uuid4()}",
            "isolation.level": isolation, "enable.partition.eof": True,
            "enable.auto.commit": False})
        try:
            known = consumer.list_topics(topic, deadline).topics[topic]
            if known.error:
                return []
            consumer.assign([TopicPartition(topic, number, 0) for number in known.partitions])
            messages = {number: [] for number in known.partitions}
            unfinished = set(known.partitions)
            end = time.monotonic() + deadline
            while unfinished:
                if time.monotonic() > end:
                    raise TimeoutError(f"topic {topic}: no end of partitions {unfinished}")
                for message in consumer.consume(1000, 0.2):
                    if message.error() is None:
                        messages[message.partition()].append(message)
                    elif message.error().code() == KafkaError._PARTITION_EOF:
                        unfinished.discard(message.partition())
            return [message for number in sorted(messages) for message in messages[number]]
        finally:
            consumer.close()


class Postgres(Server):
    """Postgres 15 for the user postgres without a password. It survives kill(), not a power cut."""

    name = "postgres"
    stop_signal = signal.SIGINT

    def __init__(self, folder):
        super().__init__(folder)
        self.programs = Path(f"/usr/lib/postgresql/{VERSIONS['POSTGRES']}/bin")
        self.data = self.folder / "data"
        # It refuses to run as root.
        self.user = "postgres" if os.geteuid() == 0 else None

    def prepare(self):
        if self.user:
            shutil.chown(self.folder, self.user)
        initdb = Process([installed(self.programs / "initdb"), "--no-sync", "-A", "trust",
                          "-U", "postgres", "--no-locale", "-E", "UTF8", "-D", self.data],
                         self.folder / "log", user=self.user)
        if initdb.wait(60) != 0:
            raise RuntimeError(f"initdb failed; {initdb.tail()}")

    def command(self):
        settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": self.folder,
                    "fsync": "off", "max_connections": 200, "shared_buffers": "64MB"}
        arguments = [f"-c{name}={value}" for name, value in settings.items()]
        return [self.programs / "postgres", "-D", self.data, "-p", self.port, *arguments], {
            "user": self.user, "death_signal": signal.SIGQUIT}

    def ready(self):
        probe = [self.programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(probe, check=False).returncode == 0

    def environment(self):
        return {"SLUICE_TEST_POSTGRES": self.url(), "SLUICE_TEST_REQUIRE_POSTGRES": "1"}

    def kill(self):
        """As a crash: nothing is finished, and the next start recovers. A kill of the postmaster
        alone would leave its children holding the shared memory."""
        self.process.stop(signal.SIGQUIT)

    def url(self, database="postgres"):
        return f"postgres://postgres@127.0.0.1:{self.port}/{database}"

    def new_database(self):
        """The URL of an empty database."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def execute(self, sql, parameters=None, url=None):
        """Runs one statement and returns its rows, if it has any."""
        import psycopg
        with psycopg.connect(url or self.url(), autocommit=True) as connection:
            cursor = connection.execute(sql, parameters)
            return cursor.fetchall() if cursor.description else []


class PgBouncer(Server):
    """A pooler before a Postgres, a few server connections for everybody, each for one transaction
    at a time."""

    name = "pgbouncer"

    def __init__(self, folder, postgres):
        super().__init__(folder)
        self.postgres = postgres
        self.user = postgres.user

    def prepare(self):
        self.file = self.folder / "pgbouncer.ini"
        self.file.write_text(
            f"[databases]\n* = host=127.0.0.1 port={self.postgres.port} "
            "user=postgres\n[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {self.port}\nunix_socket_dir =\n"
            "auth_type = any\npool_mode = transaction\ndefault_pool_size = 4\n")
        if self.user:
            shutil.chown(self.folder, self.user)

    def command(self):
        return [installed(Path("/usr/sbin/pgbouncer")), self.file], {"user": self.user}

    def ready(self):
        probe = [self.postgres.programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(probe, check=False).returncode == 0

    def url(self, database_url):
        """What reaches the database through the pooler."""
        return database_url.replace(f":{self.postgres.port}/", f":{self.port}/")


class S3(Server):
    """versitygw over a folder, with one bucket for tests that need no other."""

    name = "s3"
    access_key = "sluicetest"
    secret_key = "sluicetestsecret"
    bucket = "sluice-test"

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.port}"

    def prepare(self):
        for folder in ("root", "meta"):
            (self.folder / folder).mkdir()

    def command(self):
        program = installed(DEPS / f"versitygw-{VERSIONS['VERSITYGW']}" / "versitygw")
        return [program, "--port", f"127.0.0.1:{self.port}", "--region", REGION, "posix",
                "--sidecar", self.folder / "meta", self.folder / "root"], {
            "environment": {"ROOT_ACCESS_KEY": self.access_key, "ROOT_SECRET_KEY": self.secret_key}}

    def ready(self):
        return http_status(self.port)

    def wait_ready(self):
        super().wait_ready()
        self.new_bucket(self.bucket)

    def environment(self):
        return {"SLUICE_TEST_S3": self.endpoint, "SLUICE_TEST_S3_BUCKET": self.bucket,
                "SLUICE_TEST_REQUIRE_S3": "1", "AWS_ACCESS_KEY_ID": self.access_key,
                "AWS_SECRET_ACCESS_KEY": self.secret_key, "AWS_REGION": REGION}

    def client(self):
        import boto3
        return boto3.client("s3", endpoint_url=self.endpoint, region_name=REGION,
                            aws_access_key_id=self.access_key,
                            aws_secret_access_key=self.secret_key)

    def new_bucket(self, name=None):
        name = name or f"test-{uuid.uuid4().hex[:12]}"
        if not (self.folder / "root" / name).exists():
            self.client().create_bucket(
                Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
        return name

    def objects(self, bucket=None, prefix=""):
        """Key and content of every object that a reader can see."""
        client = self.client()
        pages = client.get_paginator("list_objects_v2").paginate(
            Bucket=bucket or self.bucket, Prefix=prefix)
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
        return {key: client.get_object(Bucket=bucket or self.bucket, Key=key)["Body"].read()
                for key in keys}


class Moto(Server):
    """STS and the instance metadata."""

    name = "moto"

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.port}"

    def command(self):
        return [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", self.port], {}

    def ready(self):
        return http_status(self.port, "/moto-api/")

    def environment(self):
        return {"SLUICE_TEST_STS": self.endpoint}


class Proxy:
    """One port of toxiproxy in front of a server's port."""

    def __init__(self, toxiproxy, upstream_port, port=None):
        self.toxiproxy = toxiproxy
        self.name = f"proxy-{uuid.uuid4().hex[:12]}"
        self.port = port or free_port()
        toxiproxy.call("POST", "/proxies", {
            "name": self.name, "listen": f"127.0.0.1:{self.port}",
            "upstream": f"127.0.0.1:{upstream_port}"})

    def add(self, kind, stream="downstream", toxicity=1.0, **attributes):
        """A toxic: latency (latency, jitter), bandwidth (rate), timeout (timeout), reset_peer
        (timeout), slicer, limit_data (bytes); downstream is towards the client."""
        self.toxiproxy.call("POST", f"/proxies/{self.name}/toxics", {
            "type": kind, "stream": stream, "toxicity": toxicity, "attributes": attributes})

    def clear(self):
        toxics = self.toxiproxy.call("GET", f"/proxies/{self.name}/toxics")
        for toxic in toxics:
            self.toxiproxy.call("DELETE", f"/proxies/{self.name}/toxics/{toxic['name']}")

    def cut(self):
        """Closes every connection and refuses new ones."""
        self.toxiproxy.call("POST", f"/proxies/{self.name}", {"enabled": False})

    def restore(self):
        self.toxiproxy.call("POST", f"/proxies/{self.name}", {"enabled": True})

    def remove(self):
        self.toxiproxy.call("DELETE", f"/proxies/{self.name}")


class Toxiproxy(Server):
    """Faults between any two."""

    name = "toxiproxy"

    def command(self):
        program = installed(DEPS / f"toxiproxy-{VERSIONS['TOXIPROXY']}" / "toxiproxy")
        return [program, "-host", "127.0.0.1", "-port", self.port], {}

    def ready(self):
        return http_status(self.port, "/version")

    def proxy(self, upstream_port, port=None):
        return Proxy(self, upstream_port, port)

    def call(self, method, path, content=None):
        answer = http_status(self.port, path, method, json.dumps(content) if content else None)
        if not answer or answer[0] >= 300:
            raise RuntimeError(f"toxiproxy: {method} {path}: {answer}")
        return json.loads(answer[1]) if answer[1] else None


SERVERS = {server.name: server for server in (DynamoDB, Kafka, Postgres, S3, Moto, Toxiproxy)}


class Stack:
    """Servers by name, started side by side; a context manager that stops them all."""

    def __init__(self, *names, keep=False):
        """`keep` leaves the folder with logs and data behind."""
        unknown = [name for name in names if name not in SERVERS]
        if unknown:
            raise ValueError(f"no server is called {unknown[0]}; there are {', '.join(SERVERS)}")
        self.keep = keep
        self.folder = Path(tempfile.mkdtemp(prefix="sluice-stack-"))
        self.folder.chmod(0o755)
        self.servers = {}
        self.start(*names)

    def start(self, *names):
        """Adds servers that do not run yet."""
        new = {name: SERVERS[name](self.folder / name) for name in names
               if name not in self.servers}
        self.servers.update(new)
        if not new:
            return
        try:
            with ThreadPoolExecutor(len(new)) as pool:
                list(pool.map(lambda server: server.prepare(), new.values()))
                for server in new.values():
                    server.spawn()
                list(pool.map(lambda server: server.wait_ready(), new.values()))
        except BaseException:
            self.keep = True
            self.stop()
            raise

    def __getitem__(self, name):
        return self.servers[name]

    def environment(self):
        variables = {}
        for server in self.servers.values():
            variables.update(server.environment())
        return variables

    def stop(self):
        for server in self.servers.values():
            server.stop()
        if self.keep:
            print(f"stack: logs and data are in {self.folder}", file=sys.stderr)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.keep = self.keep or (kind is not None and kind is not SystemExit)
        self.stop()


def end_by_signal(number, _frame):
    raise SystemExit(128 + number)


def main(arguments):
    usage = "usage: stack.py with SERVER… -- COMMAND… | serve SERVER…"
    if len(arguments) < 2 or arguments[0] not in ("with", "serve"):
        sys.exit(usage)
    verb, names = arguments[0], arguments[1:]
    command = []
    if verb == "with":
        if "--" not in names:
            sys.exit(usage)
        at = names.index("--")
        names, command = names[:at], names[at + 1:]
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, end_by_signal)
    with Stack(*names) as stack:
        if verb == "serve":
            for name, value in stack.environment().items():
                print(f"export {name}={value}", flush=True)
            signal.pause()
        child = subprocess.Popen(command, env={**os.environ, **stack.environment()})
        try:
            return child.wait()
        finally:
            if child.poll() is None:
                child.terminate()
                child.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
