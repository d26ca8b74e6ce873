"""Exports of the emulator into the real S3 server, and workers on a Postgres database that drive
them. AWS's time is the emulator's, which a test moves."""

import base64
import hashlib
import hmac
import json
import os
import subprocess
import threading
import time
import urllib.parse
import urllib.request
import uuid
from xml.etree import ElementTree

import workers
import world

KEY = "sluicetest", "sluicetestsecret"
TABLE = "orders:pitr=1:records=100:keys=20:bytes=300"
MINUTE = 60
HOUR = 3600


class Exports(workers.Workers):
    def setUp(self):
        super().setUp()
        self.s3 = os.environ.get("SLUICE_TEST_S3")
        if not self.s3 and not os.environ.get("SLUICE_TEST_REQUIRE_S3"):
            self.skipTest("SLUICE_TEST_S3 names no server")
        self.bucket = os.environ["SLUICE_TEST_S3_BUCKET"]
        self.prefix = f"exports-{uuid.uuid4().hex[:12]}"
        self.running = None

    def tearDown(self):
        self.stand_still()
        super().tearDown()

    # --- the emulator ---

    def exporting(self, *tables):
        """What the tables have they had an hour ago."""
        server = self.emulator(*tables, options=("--s3", self.s3, "--s3-key", ":".join(KEY)))
        self.move(server, HOUR)
        return server

    @staticmethod
    def now(emulator):
        return emulator.control("advance", seconds=0)["now_ms"] / 1000

    @staticmethod
    def move(emulator, seconds):
        emulator.control("advance", seconds=seconds, date=True)

    def hourly(self, emulator):
        """A schedule that was due ten minutes ago, and is again in fifty; and when that was."""
        due = self.now(emulator) // MINUTE * MINUTE - 10 * MINUTE
        return f"{int(due // MINUTE % 60)} * * * *", due

    def moving(self, emulator, seconds, every=2.5):
        """AWS's time goes `seconds` further every now and then, until stand_still: not faster than
        a worker believes its clock, which takes two answers that agree."""
        stop = threading.Event()

        def run():
            while not stop.wait(every):
                self.move(emulator, seconds)

        thread = threading.Thread(target=run)
        thread.start()
        self.running = stop, thread

    def recovery(self, emulator, table="orders"):
        """A function that turns it on or off."""
        def turn(on):
            body = json.dumps({"TableName": table, "PointInTimeRecoverySpecification":
                               {"PointInTimeRecoveryEnabled": on}}).encode()
            scope = "AKID/20230101/eu-west-1/dynamodb/aws4_request"
            request = urllib.request.Request(emulator.endpoint + "/", data=body, headers={
                "X-Amz-Target": "DynamoDB_20120810.UpdateContinuousBackups",
                "Content-Type": "application/x-amz-json-1.0", "X-Amz-Date": "20230101T000000Z",
                "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, "
                                 "SignedHeaders=host;x-amz-date, Signature=" + 64 * "0"})
            with urllib.request.urlopen(request) as answer:
                return json.loads(answer.read())
        return turn

    def ends(self, *some):
        for worker in some:
            self.assertEqual(worker.stop(), 0, worker.process.tail())
            self.assertNotIn(" ERROR ", self.log(worker))

    def stand_still(self):
        if self.running:
            self.running[0].set()
            self.running[1].join()
            self.running = None

    @staticmethod
    def asked(emulator, table="orders"):
        """What AWS was asked for, in order."""
        return emulator.control("exports", table=table)["exports"]

    # --- workers ---

    def exporter(self, emulator, streams=False, **entry):
        """One that exports the table orders, and reads no stream."""
        worker = self.one(emulator)
        config = worker.config
        config["worker"]["follow"] = "1s"
        config["aws"]["endpoint"]["s3"] = self.s3
        config["exports"] = [{"table": "orders", "bucket": self.bucket, "prefix": self.prefix,
                              "load": False, "poll": "5s", **entry}]
        if not streams:
            del config["streams"]  # the only one
        return worker

    def rows(self, what="kind || ' ' || status", where="true"):
        done = self.sql(f"SELECT {what} FROM sluice.export WHERE {where} ORDER BY id",
                        self.database)
        return done

    def column(self, what, where="true"):
        """As `rows`, whole lines."""
        done = subprocess.run(
            ["psql", "-X", "-A", "-t", "-q", "-c",
             f"SELECT {what} FROM sluice.export WHERE {where} ORDER BY id", self.database],
            check=True, capture_output=True, text=True)
        return done.stdout.splitlines()

    def wait_rows(self, worker, condition, what, deadline=world.DEADLINE):
        def probe():
            return condition(self.column("kind || ' ' || status || ' ' || (published_ms > 0)"))

        worker.wait_for(probe, lambda: f"{what}: {self.column('*')}", deadline)

    def wait_published(self, worker, count=1):
        self.wait_rows(worker, lambda rows: sum(row.endswith("complete true")
                                                for row in rows) >= count,
                       f"{count} are published")

    # --- the bucket ---

    def s3_call(self, method, path, query="", body=b""):
        host = self.s3.split("//")[1]
        when = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        scope = f"{when[:8]}/eu-west-1/s3/aws4_request"
        digest = hashlib.sha256(body).hexdigest()
        names = "host;x-amz-content-sha256;x-amz-date"
        path = urllib.parse.quote(path)
        canonical = "\n".join([method, path, query, f"host:{host}", f"x-amz-content-sha256:{digest}",
                               f"x-amz-date:{when}", "", names, digest])
        secret = ("AWS4" + KEY[1]).encode()
        for part in scope.split("/"):
            secret = hmac.digest(secret, part.encode(), "sha256")
        text = "\n".join(["AWS4-HMAC-SHA256", when, scope,
                          hashlib.sha256(canonical.encode()).hexdigest()])
        signature = hmac.digest(secret, text.encode(), "sha256").hex()
        request = urllib.request.Request(
            f"{self.s3}{path}?{query}", method=method, data=body or None,
            headers={"x-amz-date": when, "x-amz-content-sha256": digest,
                     "Authorization": f"AWS4-HMAC-SHA256 Credential={KEY[0]}/{scope}, "
                                      f"SignedHeaders={names}, Signature={signature}"})
        with urllib.request.urlopen(request) as answer:
            return answer.read()

    def objects(self):
        """Keys below the test's prefix."""
        text = self.s3_call("GET", f"/{self.bucket}", f"list-type=2&prefix={self.prefix}")
        return sorted(node.text for node in ElementTree.fromstring(text).iter()
                      if node.tag.endswith("Key"))

    def get(self, key):
        return self.s3_call("GET", f"/{self.bucket}/{key}")

    def put(self, key, body):
        self.s3_call("PUT", f"/{self.bucket}/{key}", body=body)

    def marks(self):
        """The folders START_END that have a _SUCCESS."""
        return [key.split("/")[-2] for key in self.objects() if key.endswith("/_SUCCESS")]

    def status_json(self, worker, *arguments):
        return json.loads(worker.run("export", "status", "--json", *arguments).stdout)


def md5_of(body):
    """As the files beside manifests have it."""
    return base64.b64encode(hashlib.md5(body).digest())


def stamp(seconds):
    return time.strftime("%Y-%m-%d-%H-%M-%S-000000", time.gmtime(seconds))
