"""Bytes in flight are bounded: a sink that is away holds its stream up, and nothing grows."""

import os
import re
import uuid
from pathlib import Path

import pytest

MEMORY_MIB = 64
OVER_MIB = 40
SHARDS = 8
RECORDS = int(os.environ.get("SLUICE_E2E_LOAD", "20000"))


def high_water_mib(process):
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024


@pytest.fixture
def load(emulator):
    """Far more than fits: 20,000 records of 1,570 bytes in each of 8 shards."""
    return emulator(f"orders:shards={SHARDS}:records={RECORDS}")


def test_an_outage_costs_no_memory(load, kafka, sluice, database):
    topic = f"memory-{uuid.uuid4().hex[:8]}"
    kafka.create_topic(topic, partitions=4)
    worker = sluice({
        "worker": {"memory": f"{MEMORY_MIB}MiB", "threads": 2},
        "checkpoint": {"store": database, "interval": "200ms", "lease": "4s"},
        "aws": {"endpoint": {"dynamodb": load.endpoint, "streams": load.endpoint}},
        "streams": [{"table": "orders", "start": "oldest", "sinks": ["events"]}],
        "sinks": {"events": {"type": "kafka", "brokers": kafka.brokers, "topic": topic}},
    }, access_key="test", secret_key="secret")
    try:
        worker.start(wait=False)
        worker.wait_metric("sluice_delivered_total", 2000, sink="events")
        kafka.pause()
        # It reads what the limit allows, and then no more, however often the sink is asked.
        retries = worker.metric("sluice_sink_retries_total", sink="events")
        worker.wait_metric("sluice_sink_retries_total", retries + 3 * SHARDS, 90, sink="events")
        read = worker.metric("sluice_records_total", stream="orders")
        assert worker.metric("sluice_inflight_bytes") > 0
        assert worker.metric("sluice_inflight_bytes") <= MEMORY_MIB * 1.25 * (1 << 20)
        again = worker.metric("sluice_sink_retries_total", sink="events")
        worker.wait_metric("sluice_sink_retries_total", again + SHARDS, 90, sink="events")
        assert worker.metric("sluice_records_total", stream="orders") == read, "it reads on"
        assert read < SHARDS * RECORDS
        assert worker.get("/livez")[0] == 200
        assert high_water_mib(worker.process) <= MEMORY_MIB + OVER_MIB
    finally:
        kafka.resume()
    worker.wait_metric("sluice_delivered_total", SHARDS * RECORDS, 120, sink="events")
    assert high_water_mib(worker.process) <= MEMORY_MIB + OVER_MIB
    assert worker.stop() == 0
