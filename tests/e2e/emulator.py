"""Our emulator of DynamoDB Streams: shards that split, faults on order, records that prove
to be complete (tests/emulator/README.md says what the calls mean)."""

import json
import os
import signal
from pathlib import Path

from stack import REGION, ROOT, Server, http_status

BINARY = Path(os.environ.get("SLUICE_EMULATOR")
              or ROOT / "build/release/tests/emulator/sluice-emulator")


class Event:
    """A change of a record that the emulator made, as it was delivered in the debezium form."""

    def __init__(self, text):
        value = json.loads(text)
        source = value["source"]
        self.value = value
        self.op = value["op"]
        self.shard = source["shard"]
        self.sequence = int(source["sequence"])
        self.generation = source["generation"]
        image = value["after"] or value["before"]
        self.key = f'{{"pk":{json.dumps(image["pk"], ensure_ascii=False)},"sk":{image["sk"]}}}'
        self.n = image.get("n")
        if self.op == "d" and self.n is not None:
            self.n += 1


class Emulator(Server):
    name = "emulator"
    stop_signal = signal.SIGTERM

    def __init__(self, folder, *tables, options=()):
        """`tables` in the words of its command line: "orders:shards=4:records=1000"."""
        super().__init__(folder)
        self.tables = tables
        self.options = options

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.port}"

    def client(self, service="dynamodbstreams", **config):
        """A boto3 client that tries once."""
        import boto3
        from botocore.config import Config
        return boto3.client(service, endpoint_url=self.endpoint, region_name=REGION,
                            aws_access_key_id="test", aws_secret_access_key="secret",
                            config=Config(retries={"total_max_attempts": 1}, **config))

    def arn(self, table):
        """Of its latest stream."""
        return self.control("shards", table=table)["streams"][-1]["arn"]

    def command(self):
        tables = [part for table in self.tables for part in ("--table", table)]
        return [BINARY, "--port", self.port, *tables, *self.options], {}

    def ready(self):
        return "listening" in self.process.text()

    def control(self, call, **members):
        """One control call, for instance control("split", table="orders"); its answer as a dict."""
        answer = http_status(self.port, f"/_control/{call}", "POST", json.dumps(members), 60)
        if not answer or answer[0] != 200:
            raise RuntimeError(f"emulator: {call} {members}: {answer or self.process.tail()}")
        return json.loads(answer[1] or "{}")

    def fault(self, kind, **members):
        """Orders a failure; returns the rule's id."""
        return self.control("fault", kind=kind, **members)["id"]

    def truth(self, table):
        return self.control("truth", table=table)
