"""What Prometheus finds on /metrics, as its own tool sees it, and what the page says of the calls to
AWS: the policies allow each that a worker makes."""

import subprocess
import sys

from stack import ROOT
from workload import create_table

sys.path.append(str(ROOT / "tests/deploy"))
from permissions import allowed, operations  # noqa: E402

MEMORY = 64 << 20
ITEM = {"pk": {"S": "a"}, "sk": {"N": "1"}}


def test_promtool_takes_the_page_of_a_worker_and_policies_its_calls(dynamodb, s3, sluice, tmp_path):
    # The keys of the S3 server: a worker has one pair for all.
    client = dynamodb.client(s3.access_key)
    table = f"orders-{tmp_path.name.replace('_', '-')}"
    create_table(client, table)
    worker = sluice({
        "worker": {"memory": MEMORY},
        "checkpoint": {"store": f"sqlite:{tmp_path}/state.db"},
        "aws": {"endpoint": {"dynamodb": dynamodb.endpoint, "streams": dynamodb.endpoint,
                             "s3": s3.endpoint}},
        "streams": [{"table": table, "start": "oldest", "sinks": ["lake"]}],
        "sinks": {"lake": {"type": "s3", "bucket": s3.new_bucket(), "roll": {"age": "1s"}}},
    }).start()
    client.put_item(TableName=table, Item=ITEM)
    worker.wait_metric("sluice_delivered_total", 1, sink="lake")
    page = worker.get("/metrics")[1]
    done = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True,
                          text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    assert worker.metric("sluice_inflight_limit_bytes") == MEMORY
    needs = {name: actions for file in ("dynamodb.c", "streams.c", "s3.c")
             for name, actions in operations(file).items()}
    called = {labels["operation"] for name, labels, _ in worker.metrics()
              if name == "sluice_aws_calls_total"}
    assert {"DescribeTable", "GetRecords"} < called
    assert set().union(*(needs[name] for name in called)) <= allowed(
        "stream", "s3-sink", "s3-tags")
    assert worker.stop() == 0
    client.delete_table(TableName=table)
