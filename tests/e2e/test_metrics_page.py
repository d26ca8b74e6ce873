"""What Prometheus finds on /metrics, as its own tool sees it."""

import subprocess

from workload import create_table

MEMORY = 64 << 20


def test_promtool_takes_the_page_of_a_worker(dynamodb, access_key, sluice, tmp_path):
    create_table(dynamodb.client(access_key), "orders")
    (tmp_path / "out").mkdir()
    worker = sluice({
        "worker": {"memory": MEMORY},
        "checkpoint": {"store": f"sqlite:{tmp_path}/state.db"},
        "aws": {"endpoint": {"dynamodb": dynamodb.endpoint, "streams": dynamodb.endpoint}},
        "streams": [{"table": "orders", "start": "oldest", "sinks": ["files"]}],
        "sinks": {"files": {"type": "directory", "path": f"{tmp_path}/out/",
                            "roll": {"age": "1s"}}},
    }, access_key=access_key).start()
    dynamodb.client(access_key).put_item(TableName="orders",
                                         Item={"pk": {"S": "a"}, "sk": {"N": "1"}})
    worker.wait_metric("sluice_delivered_total", 1, sink="files")
    page = worker.get("/metrics")[1]
    done = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True,
                          text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    assert len({name for name, *_ in worker.metrics()}) > 25
    assert worker.metric("sluice_inflight_limit_bytes") == MEMORY
    assert worker.stop() == 0
