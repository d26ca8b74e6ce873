"""Kafka behind TLS and passwords, as Amazon MSK lets people in by IAM, and with topics that we make. A
broker of its own, which makes none, has a listener for each mechanism; MSK's is a door before
another listener that reads the tokens itself. Who comes by PLAIN as `bound` may do only what a test
allows: what docs/delivery.md says is needed."""

import base64
import hashlib
import hmac
import json
import pathlib
import re
import socket
import subprocess
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from process import free_port, wait_until
from stack import REGION, Kafka

PASSWORD = "s3cret-word"
SASL = "org.apache.kafka.common.security"
RECORDS = 200
DEADLINE = 150.0


class SecureKafka(Kafka):
    """Besides what Kafka has, listeners SCRAM and PLAIN over TLS, for the user sluice, who may do
    everything, and by PLAIN for the user bound, who may do nothing."""

    start_deadline = DEADLINE

    def __init__(self, folder):
        self.certificate = folder / "server.pem"
        self.ports = {"SCRAM": free_port(), "PLAIN": free_port()}
        super().__init__(folder, {})
        own = self.properties
        for name, port in self.ports.items():
            own["listeners"] += f",{name}://127.0.0.1:{port}"
            own["advertised.listeners"] += f",{name}://localhost:{port}"
            own["listener.security.protocol.map"] += f",{name}:SASL_SSL"
        own |= {
            "auto.create.topics.enable": "false",
            "ssl.keystore.type": "PEM", "ssl.keystore.location": self.certificate,
            "listener.name.scram.sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.scram.scram-sha-512.sasl.jaas.config":
                f"{SASL}.scram.ScramLoginModule required;",
            "listener.name.plain.sasl.enabled.mechanisms": "PLAIN",
            "listener.name.plain.plain.sasl.jaas.config":
                f'{SASL}.plain.PlainLoginModule required user_sluice="{PASSWORD}" '
                f'user_bound="{PASSWORD}";',
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS;User:sluice",
        }

    def prepare(self):
        key = self.folder / "key.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                        "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
                        "-keyout", key, "-out", self.folder / "ca.pem"],
                       check=True, capture_output=True)
        self.certificate.write_text(key.read_text() + (self.folder / "ca.pem").read_text())
        path = self.folder / "server.properties"
        path.write_text("".join(f"{key}={value}\n" for key, value in self.properties.items()))
        subprocess.run(
            self._java("kafka.tools.StorageTool", "format", "-t", "sluice-test-cluster-01",
                       "-c", path, "--add-scram",
                       f'SCRAM-SHA-512=[name="sluice",password="{PASSWORD}"]'),
            check=True, capture_output=True)

    def properties_for(self, listener, mechanism, **changes):
        return {"security.protocol": "sasl_ssl", "ssl.ca.location": str(self.folder / "ca.pem"),
                "sasl.mechanisms": mechanism, "sasl.username": "sluice",
                "sasl.password": PASSWORD, "broker.address.family": "v4", **changes}


@pytest.fixture(scope="module")
def secure(tmp_path_factory):
    server = SecureKafka(tmp_path_factory.mktemp("secure-kafka"))
    # Which thread starts it has to live as long as it does.
    server.start()
    yield server
    server.stop()


@pytest.fixture
def worker(emulator, sluice, tmp_path):
    def make(sink, environment=None):
        server = emulator(f"orders:shards=2:records={RECORDS // 2}:keys=8:bytes=300")
        return sluice({
            "checkpoint": {"store": f"sqlite:{tmp_path}/state.db"},
            "worker": {"threads": 2},
            "aws": {"endpoint": {"dynamodb": server.endpoint, "streams": server.endpoint}},
            "streams": [{"table": "orders", "start": "oldest", "sinks": ["events"]}],
            "sinks": {"events": {"type": "kafka", "tombstones": False, **sink}},
        }, environment=environment)
    return make


def keys_and_sequences(messages):
    return [(message.key(), json.loads(message.value())["source"]["sequence"])
            for message in messages]


def check_whole(kafka, topic, records=RECORDS):
    got = keys_and_sequences(kafka.read(topic))
    assert len(got) == len(set(got)) == records


@pytest.mark.parametrize("listener, mechanism, delivery, wrong, words", [
    ("SCRAM", "SCRAM-SHA-512", "exactly_once", {"sasl.password": "other"},
     ["SASL", "sasl.* under properties"]),
    ("PLAIN", "PLAIN", "at_least_once", {"ssl.ca.location": None},
     ["certificate verify failed", "ssl.* under properties"])])
def test_tls_and_a_password(secure, worker, listener, mechanism, delivery, wrong, words):
    topic = f"password.{listener.lower()}"
    sink = {"brokers": f"localhost:{secure.ports[listener]}", "topic": topic, "delivery": delivery,
            "properties": secure.properties_for(listener, mechanism)}
    secure.create_topic(topic, partitions=3)
    running = worker(sink)
    said = running.run("check", deadline=60).stdout
    assert f"topic {topic} with 3 partitions" in said
    assert running.drain(deadline=DEADLINE) == 0, running.process.tail(20)
    check_whole(secure, topic)
    properties = {**sink["properties"], **wrong}
    running.config["sinks"]["events"]["properties"] = {
        key: value for key, value in properties.items() if value is not None}
    done = running.run("check", check=False, deadline=60)
    assert done.returncode == 1
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("FAIL")]
    assert all(word in line for word in words), line
    assert PASSWORD not in done.stdout + done.stderr


# ---- what has to be allowed ----

def permissions():
    """The table of docs/delivery.md: (operation, on what, what for) of Kafka's own names."""
    text = (pathlib.Path(__file__).parents[2] / "docs/delivery.md").read_text()
    table = text.split("| Kafka | on | `kafka-cluster:` | for |\n", 1)[1].split("\n\n", 1)[0]
    for line in table.splitlines()[1:]:
        operations, on, _, use = (cell.strip() for cell in line.strip("|").split("|"))
        for operation in re.findall("[A-Z_]+", operations):
            yield operation, on.split(" of ")[0], use.split(":")[0].strip("`")


def bound(secure, topic, uses, **more):
    """A sink of the user bound, with what the table says for these uses and nothing else."""
    from confluent_kafka.admin import (AclBinding, AclBindingFilter, AclOperation,
                                       AclPermissionType, AdminClient, ResourcePatternType,
                                       ResourceType)
    resources = {"the cluster": (ResourceType.BROKER, "kafka-cluster", ResourcePatternType.LITERAL),
                 "topics": (ResourceType.TOPIC, topic, ResourcePatternType.PREFIXED),
                 "groups": (ResourceType.GROUP, topic, ResourcePatternType.PREFIXED),
                 "transactional ids": (ResourceType.TRANSACTIONAL_ID, topic,
                                       ResourcePatternType.PREFIXED)}
    admin = AdminClient({"bootstrap.servers": secure.brokers})
    everything = AclBindingFilter(ResourceType.ANY, None, ResourcePatternType.ANY, None, None,
                                  AclOperation.ANY, AclPermissionType.ANY)
    bindings = [AclBinding(*resources[on], "User:bound", "*", getattr(AclOperation, operation),
                           AclPermissionType.ALLOW) for operation, on in uses]
    for future in admin.delete_acls([everything]).values():
        future.result(30)
    for future in admin.create_acls(bindings).values():
        future.result(30)
    # The broker answers before it goes by them.
    wait_until(lambda: set(admin.describe_acls(everything).result(30)) == set(bindings),
               "what is allowed is known", 30)
    return {"brokers": f"localhost:{secure.ports['PLAIN']}", "topic": topic, "id_prefix": topic,
            "properties": {**secure.properties_for("PLAIN", "PLAIN"), "sasl.username": "bound"},
            **more}


def of_use(*uses):
    return [(operation, on) for operation, on, use in permissions() if use in uses]


@pytest.mark.parametrize("use, more", [
    ("everything", {}),
    ("exactly_once", {"delivery": "exactly_once"}),
    ("create_topics", {"create_topics": {"partitions": 2}, "control_topic": "acl.create_topics.c"})])
def test_the_permissions_of_the_documentation_are_enough(secure, worker, use, more):
    topic = f"acl.{use}"
    if use != "create_topics":
        secure.create_topic(topic, partitions=3)
    running = worker(bound(secure, topic, of_use("everything", use), **more))
    said = running.run("check", deadline=60).stdout
    assert "messages up to" not in said, "that takes one more"
    for _ in range(2):  # the second life buries the first
        assert running.drain(deadline=DEADLINE) == 0, running.process.tail(20)
    check_whole(secure, topic)
    bound(secure, topic, of_use("everything", use, "sluice check"))
    assert "messages up to" in running.run("check", deadline=60).stdout


@pytest.mark.parametrize("operation, on", [("WRITE", "transactional ids"), ("READ", "groups"),
                                           ("READ", "topics")])
def test_without_one_the_check_says_so(secure, worker, operation, on):
    topic = f"acl.less.{operation}.{on}".replace(" ", "-")
    uses = of_use("everything", "exactly_once")
    uses.remove((operation, on))
    if on != "topics":
        uses.remove(("DESCRIBE", on))
    secure.create_topic(topic)
    running = worker(bound(secure, topic, uses, delivery="exactly_once"))
    done = running.run("check", check=False, deadline=60)
    assert done.returncode == 1
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("FAIL")]
    assert "uthoriz" in line or "denied" in line, line


# ---- topics that we make ----

def described(kafka, topic, setting):
    """Partitions and a setting of a topic."""
    from confluent_kafka.admin import AdminClient, ConfigResource
    admin = AdminClient({"bootstrap.servers": kafka.brokers})
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    settings = admin.describe_configs([resource])[resource].result(30)
    return len(admin.list_topics(topic, 30).topics[topic].partitions), settings[setting].value


@pytest.mark.parametrize("delivery", ["at_least_once", "exactly_once"])
def test_topics_are_made_as_asked(secure, worker, delivery):
    prefix = f"made.{delivery}."
    running = worker({
        "brokers": secure.brokers, "topic": prefix + "${op}", "delivery": delivery,
        "create_topics": {"partitions": 5, "config": {"cleanup.policy": "compact"}}})
    secure.create_topic(prefix + "u", partitions=2)
    assert running.drain(deadline=DEADLINE) == 0, running.process.tail(20)
    messages = [message for op in "cud" for message in secure.read(prefix + op)]
    got = [(message.key(), json.loads(message.value())["source"]["sequence"])
           for message in messages]
    assert len(got) == len(set(got)) == RECORDS
    assert described(secure, prefix + "c", "cleanup.policy") == (5, "compact")
    assert described(secure, prefix + "u", "cleanup.policy") == (2, "delete"), "it was there"


def test_the_topic_of_dead_letters_is_made_too(secure, worker):
    running = worker({"brokers": secure.brokers, "topic": "made.orders",
                      "create_topics": {"partitions": 1}})
    running.config["streams"][0] |= {"schemas": [{"name": "none", "when": {"pk": "nobody"}}],
                                     "schemaless": "dead_letter"}
    running.config["sinks"]["letters"] = {
        "type": "kafka", "brokers": secure.brokers, "topic": "made.letters",
        "create_topics": {"partitions": 3}}
    running.config["dead_letter"] = {"sink": "letters", "max_ratio": 1}
    said = running.run("check", deadline=60).stdout
    assert "topic made.letters is made with 3 partitions when it is needed" in said
    running.start()
    wait_until(lambda: "made.letters" in topics(secure) and
               len(secure.read("made.letters")) >= RECORDS, "the letters are there", DEADLINE)
    assert running.stop() == 0
    assert described(secure, "made.letters", "cleanup.policy")[0] == 3


def topics(kafka):
    from confluent_kafka.admin import AdminClient
    return AdminClient({"bootstrap.servers": kafka.brokers}).list_topics(timeout=30).topics


def test_a_topic_that_cannot_be_made_is_told(secure, worker):
    running = worker({"brokers": secure.brokers, "topic": "made.never",
                      "create_topics": {"partitions": 1, "replication": 3}})
    running.config["worker"]["shutdown"] = "1s"
    running.start()
    running.wait_for(lambda: "topic made.never could not be made: " in running.log.read_text(),
                     "it is told", DEADLINE)
    assert running.stop() in (0, 1)
    assert "made.never" not in topics(secure)


# ---- Amazon MSK ----

def signature(secret, parts, text):
    key = ("AWS4" + secret).encode()
    for part in parts:
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def token_fault(token, keys):
    """What is wrong with a token for these keys, by AWS's description of it; None: nothing."""
    url = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
    head, query = url.split("?", 1)
    if head != f"https://kafka.{REGION}.amazonaws.com/":
        return f"it is of {head}"
    fields = dict(part.split("=", 1) for part in query.split("&"))
    told = {name: urllib.parse.unquote(value) for name, value in fields.items()}
    signed, agent = fields.pop("X-Amz-Signature"), told.pop("User-Agent")
    del fields["User-Agent"]
    day = told["X-Amz-Date"][:8]
    scope = f"{day}/{REGION}/kafka-cluster/aws4_request"
    access, secret, session = keys
    right = {"Action": "kafka-cluster:Connect", "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
             "X-Amz-Credential": f"{access}/{scope}", "X-Amz-Expires": "900",
             "X-Amz-SignedHeaders": "host", "X-Amz-Security-Token": session}
    for name, value in right.items():
        if told.get(name) != value:
            return f"{name} is {told.get(name)}"
    if not agent.startswith("sluice/"):
        return f"it is of {agent}"
    canonical = "\n".join(["GET", "/", "&".join(f"{k}={v}" for k, v in sorted(fields.items())),
                           f"host:kafka.{REGION}.amazonaws.com", "", "host",
                           hashlib.sha256(b"").hexdigest()])
    text = "\n".join(["AWS4-HMAC-SHA256", told["X-Amz-Date"], scope,
                      hashlib.sha256(canonical.encode()).hexdigest()])
    if signature(secret, scope.split("/"), text) != signed:
        return "another signature"
    return None


class Door:
    """Lets in who has a right token, to the broker's listener behind it. Reads the few requests
    that come before that: ApiVersions (the broker answers), SaslHandshake, SaslAuthenticate."""

    def __init__(self, port, behind, keys):
        self.behind, self.keys, self.tokens, self.faults = behind, keys, [], []
        self.sockets, self.lock = set(), threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", port))
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)  # whoever waits in accept goes on
        self.thread.join()
        self.listener.close()
        self.cut()

    def cut(self):
        """Every connection breaks."""
        with self.lock:
            for one in self.sockets:
                try:
                    one.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        try:
            with client, socket.create_connection(("127.0.0.1", self.behind)) as broker:
                with self.lock:
                    self.sockets |= {client, broker}
                try:
                    if self.enter(client, broker):
                        thread = threading.Thread(target=self.pump, args=(broker, client),
                                                  daemon=True)
                        thread.start()
                        self.pump(client, broker)
                        thread.join()
                finally:
                    with self.lock:
                        self.sockets -= {client, broker}
        except OSError:
            pass

    @staticmethod
    def pump(source, target):
        try:
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    @staticmethod
    def frame(source):
        head = source.recv(4, socket.MSG_WAITALL)
        return source.recv(int.from_bytes(head, "big"), socket.MSG_WAITALL) if len(head) == 4 else b""

    @staticmethod
    def send(target, body):
        target.sendall(len(body).to_bytes(4, "big") + body)

    def enter(self, client, broker):
        while request := self.frame(client):
            kind, version = (int.from_bytes(request[at:at + 2], "big") for at in (0, 2))
            number, after = request[4:8], 10 + int.from_bytes(request[8:10], "big")
            if kind == 18:
                self.send(broker, request)
                self.send(client, self.frame(broker))
            elif kind == 17:
                assert request[after + 2:] == b"OAUTHBEARER", request
                self.send(client, number + b"\0\0" + b"\0\0\0\1" + b"\0\x0bOAUTHBEARER")
            else:
                assert kind == 36 and version in (0, 1), (kind, version)
                why = self.fault(request[after + 4:].decode())
                end = b"\0" * 8 if version else b""
                if why:
                    text = why.encode()
                    self.send(client, number + (58).to_bytes(2, "big") +
                              len(text).to_bytes(2, "big") + text + b"\0\0\0\0" + end)
                    return False
                self.send(client, number + b"\0\0" + b"\xff\xff" + b"\0\0\0\0" + end)
                return True
        return False

    def fault(self, message):
        assert message.startswith("n,,\1auth=Bearer ") and message.endswith("\1\1"), message
        token = message.split(" ", 1)[1].strip("\1")
        why = token_fault(token, self.keys)
        (self.faults if why else self.tokens).append(why or token)
        return why


KEYS = ("AKIDKAFKA", "kafka/secret+key", "session/token+==")


@pytest.fixture
def door(secure):
    opened = Door(secure.proxy_port, secure.second_port, KEYS)
    yield opened
    opened.close()


def msk(secure, topic, **more):
    return {"brokers": secure.proxied_brokers, "topic": topic,
            "sasl": {"mechanism": "aws_msk_iam"},
            # MSK's own listener speaks TLS, which the tests above have.
            "properties": {"security.protocol": "sasl_plaintext"}, **more}


@pytest.mark.parametrize("delivery", ["at_least_once", "exactly_once"])
def test_msk_knows_us_by_iam(secure, door, worker, delivery):
    topic = f"msk.{delivery}"
    secure.create_topic(topic, partitions=3)
    running = worker(msk(secure, topic, delivery=delivery, control_topic="msk.control"),
                     environment={"AWS_ACCESS_KEY_ID": KEYS[0], "AWS_SECRET_ACCESS_KEY": KEYS[1],
                                  "AWS_SESSION_TOKEN": KEYS[2]})
    assert f"topic {topic} with 3 partitions" in running.run("check", deadline=60).stdout
    for _ in range(2):  # the second life buries the first
        assert running.drain(deadline=DEADLINE) == 0, running.process.tail(20)
    check_whole(secure, topic)
    assert door.tokens and not door.faults


def test_what_msk_refuses_is_told(secure, door, worker):
    running = worker(msk(secure, "msk.refused"),
                     environment={"AWS_ACCESS_KEY_ID": KEYS[0], "AWS_SECRET_ACCESS_KEY": "another",
                                  "AWS_SESSION_TOKEN": KEYS[2]})
    done = running.run("check", check=False, deadline=60)
    assert done.returncode == 1
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("FAIL")]
    assert "another signature" in line, line


class Keys(BaseHTTPRequestHandler):
    """The same keys for some seconds more, to whoever asks."""

    def do_GET(self):
        ends = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 10))
        body = json.dumps({"AccessKeyId": KEYS[0], "SecretAccessKey": KEYS[1], "Token": KEYS[2],
                           "Expiration": ends}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def test_tokens_are_renewed_with_the_keys(secure, door, worker):
    """Keys that end after ten seconds make tokens that do: a connection that is made later has
    another."""
    keys = ThreadingHTTPServer(("127.0.0.1", 0), Keys)
    threading.Thread(target=keys.serve_forever, daemon=True).start()
    secure.create_topic("msk.renewed")
    running = worker(msk(secure, "msk.renewed"), environment={
        "AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None,
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://127.0.0.1:{keys.server_port}/"})
    running.start()
    running.wait_metric("sluice_delivered_total", RECORDS, DEADLINE, sink="events")
    first = set(door.tokens)

    def renewed():
        door.cut()
        time.sleep(0.5)
        return set(door.tokens) - first

    wait_until(renewed, "another token comes", DEADLINE)
    assert not door.faults
    assert running.stop() == 0
    check_whole(secure, "msk.renewed")
    keys.shutdown()
    keys.server_close()
