"""An export whose data files wait to be loaded: made here row by row, put into the S3 server, and
brought into the store by the functions that the program itself calls."""

import base64
import gzip
import hashlib
import hmac
import http.client
import json
import os
import random
import socket
import subprocess
import threading
import time
import urllib.parse
import uuid
from collections import Counter

import workers

ACCOUNT = "123456789012"


class S3:
    """Just enough of a client for tests without boto3."""

    def __init__(self):
        self.url = urllib.parse.urlsplit(os.environ["SLUICE_TEST_S3"])
        self.bucket = os.environ["SLUICE_TEST_S3_BUCKET"]
        self.region = os.environ.get("AWS_REGION", "us-east-1")
        self.access_key = os.environ["AWS_ACCESS_KEY_ID"]
        self.secret_key = os.environ["AWS_SECRET_ACCESS_KEY"]

    def call(self, method, key, body=b""):
        now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        digest = hashlib.sha256(body).hexdigest()
        path = urllib.parse.quote(f"/{self.bucket}/{key}")
        headers = {"host": self.url.netloc, "x-amz-content-sha256": digest, "x-amz-date": now}
        signed = ";".join(sorted(headers))
        request = "\n".join([method, path, "", *(f"{k}:{v}" for k, v in sorted(headers.items())),
                             "", signed, digest])
        scope = f"{now[:8]}/{self.region}/s3/aws4_request"
        text = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n" + hashlib.sha256(request.encode()).hexdigest()
        secret = ("AWS4" + self.secret_key).encode()
        for part in scope.split("/"):
            secret = hmac.new(secret, part.encode(), hashlib.sha256).digest()
        signature = hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()
        headers["authorization"] = f"AWS4-HMAC-SHA256 Credential={self.access_key}/{scope}, " \
                                   f"SignedHeaders={signed}, Signature={signature}"
        connection = http.client.HTTPConnection(self.url.hostname, self.url.port, timeout=30)
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        said = answer.read()
        connection.close()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {said[:500]}")

    def put(self, key, body):
        self.call("PUT", key, body)

    def delete(self, key):
        self.call("DELETE", key)


class Tap:
    """Between workers and the S3 server: lets through as many bytes of answers as it was told, and
    closes a connection behind so many of its answers."""

    def __init__(self, upstream):
        self.upstream = upstream
        self.left = 0
        self.each = 1 << 60
        self.broken = 0
        self.more = threading.Condition()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def allow(self, size):
        with self.more:
            self.left += size
            self.more.notify_all()

    def open(self):
        self.allow(1 << 60)

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(self.upstream)
            for source, target, counts in ((client, server, False), (server, client, True)):
                threading.Thread(target=self._pass, args=(source, target, counts),
                                 daemon=True).start()

    def _pass(self, source, target, counts):
        left = self.each if counts else 1 << 60
        try:
            while data := source.recv(min(1 << 16, left)):
                if counts:
                    with self.more:
                        self.more.wait_for(lambda: self.left > 0)
                        self.left -= len(data)
                target.sendall(data)
                left -= len(data)
                if left == 0:
                    self.broken += 1
                    break
        except OSError:
            pass
        try:
            target.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        source.close()

    def close(self):
        self.listener.close()
        self.open()


def row(key, n=1, filler=""):
    return json.dumps({"Item": {"pk": {"S": key}, "sk": {"N": "1"}, "n": {"N": str(n)},
                                "v": {"S": filler}}}, separators=(",", ":"))


def change(key, old, new):
    """A line of a window; old or new None: it was not there."""
    def image(n):
        return {"pk": {"S": key}, "sk": {"N": "1"}, "n": {"N": str(n)}}

    line = {"Metadata": {"WriteTimestampMicros": {"N": "1700000000000000"}},
            "Keys": {"pk": {"S": key}, "sk": {"N": "1"}}}
    if old is not None:
        line["OldImage"] = image(old)
    if new is not None:
        line["NewImage"] = image(new)
    return json.dumps(line, separators=(",", ":"))


class DataFile:
    """What the manifest says of it, and what lies there, which need not be the same."""

    def __init__(self, lines, folder):
        self.lines = lines
        self.content = gzip.compress("".join(line + "\n" for line in lines).encode(), 1)
        self.name = uuid.uuid4().hex[:26] + ".json.gz"
        self.key = f"{folder}/data/{self.name}"
        self.md5 = base64.b64encode(hashlib.md5(self.content).digest()).decode()
        self.items = len(lines)


class Loading(workers.Workers):
    def setUp(self):
        super().setUp()
        if not os.environ.get("SLUICE_TEST_S3") and not os.environ.get("SLUICE_TEST_REQUIRE_S3"):
            self.skipTest("SLUICE_TEST_S3 names no server")
        self.s3 = S3()
        self.place = f"loading/{uuid.uuid4().hex[:12]}"
        self.server = self.emulator("orders:records=0")
        self.tap = None

    def tearDown(self):
        if self.tap:
            self.tap.close()
        super().tearDown()

    def tapped(self):
        """From now on workers get from the S3 server what the tap lets through."""
        self.tap = Tap((self.s3.url.hostname, self.s3.url.port))

    def loader(self, exports=None, **more):
        """A worker that reads no stream."""
        entry = {"table": "orders", "bucket": self.s3.bucket, "sinks": ["files"], **(exports or {})}
        worker = self.worker(self.server, environment={
            "AWS_ACCESS_KEY_ID": self.s3.access_key, "AWS_SECRET_ACCESS_KEY": self.s3.secret_key},
            **more)
        del worker.config["streams"]
        worker.config["exports"] = [entry]
        worker.config["aws"] = {"endpoint": {**worker.config["aws"]["endpoint"],
                                             "s3": self.tap.endpoint if self.tap
                                             else os.environ["SLUICE_TEST_S3"]}}
        worker.config["worker"] = {**worker.config["worker"], "name": worker.folder.name}
        worker.config["checkpoint"] = {"store": self.database, "interval": "100ms",
                                       "lease": f"{workers.LEASE_S}s"}
        return worker

    def data_file(self, lines, put=True):
        made = DataFile(lines, self.place)
        if put:
            self.s3.put(made.key, made.content)
        return made

    def data_files(self, count, rows, filler=100):
        """Full exports' files; no two rows have the same key, and no two are alike."""
        rng = random.Random(f"{count} {rows}")
        return [self.data_file([row(f"{i}-{n}", n, rng.randbytes(filler // 2).hex())
                                for n in range(rows)]) for i in range(count)]

    def ask(self, statement):
        """Rows of text fields."""
        done = subprocess.run(["psql", "-X", "-A", "-t", "-q", "-F", "\x1f", self.database],
                              input=statement, check=True, capture_output=True, text=True)
        return [line.split("\x1f") for line in done.stdout.splitlines()]

    def schema(self):
        """The store as a worker makes it."""
        if self.ask("SELECT to_regclass('sluice.export')")[0] == [""]:
            self.drain(self.loader(), idle="100ms")

    def loading(self, files, kind="full", name="orders", table="orders", view="", window=(0, 1),
                generation=0):
        """The export's id, once its files may be claimed."""
        self.schema()
        session, arn = uuid.uuid4(), f"arn:aws:dynamodb:{self.s3.region}:{ACCOUNT}:table/{table}"

        def array(values):
            return "ARRAY[" + ",".join(f"'{value}'" for value in values) + "]"

        self.ask(f"SELECT sluice.session_begin('{session}', 'driver', '', 600000)")
        export = int(self.ask(
            f"SELECT id FROM sluice.export_begin('{session}', 0, '{arn}', '{name}', '{kind}', "
            f"{window[0]}, {window[1]}, {generation}, '{view}', '', 1)")[0][0])
        steps = [
            f"sluice.export_try('{session}', {export}, 1, 'token', 2)",
            f"sluice.export_submitted('{session}', {export}, 1, 'arn', 3)",
            f"sluice.export_exported('{session}', {export}, 1, 's3://b/m', {len(files)}, "
            f"{sum(each.items for each in files)}, 0, 4)",
            f"sluice.files_add('{session}', {export}, {array(f.name for f in files)}, "
            f"{array(f's3://{self.s3.bucket}/{f.key}' for f in files)}, "
            f"{array(f.md5 for f in files)}, {array(f.items for f in files)}::bigint[])",
            f"sluice.export_load('{session}', {export}, 5)",
            f"sluice.session_bury('{session}')",
        ]
        for step in steps:
            self.ask(f"SELECT {step}")
        return export

    # --- what is to be seen ---

    def status(self, export):
        return self.ask(f"SELECT status FROM sluice.export WHERE id = {export}")[0][0]

    def wait_status(self, worker, export, status="complete"):
        worker.wait_for(lambda: self.status(export) == status, f"export {export} is {status}", 120)

    def file_rows(self, export):
        """By name: completed, failed, retries, attempts, records, bytes, error."""
        got = self.ask(
            "SELECT l.shard, f.completed, f.failed, f.retries, f.attempts, f.records, f.bytes, "
            "f.error FROM sluice.export_file f JOIN sluice.lane l ON l.id = f.lane "
            f"WHERE f.export = {export}")
        return {name: {"completed": completed == "t", "failed": failed == "t",
                       "retries": int(retries), "attempts": int(attempts),
                       "records": int(records), "bytes": int(size), "error": error}
                for name, completed, failed, retries, attempts, records, size, error in got}

    def check_there(self, files, out="out"):
        """Every row is in the files; returns how many more there are."""
        wanted = Counter(json.loads(line)["Item"]["pk"]["S"]
                         for each in files for line in each.lines)
        got = Counter(event.value["after"]["pk"] for event in self.delivered(out=out))
        self.assertEqual(sum((wanted - got).values()), 0, "rows that are missing")
        return sum((got - wanted).values())

    def check_once(self, files, out="out"):
        self.assertEqual(self.check_there(files, out), 0, "rows that came again")
