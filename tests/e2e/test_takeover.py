"""Two workers on one Postgres: one works, another joins, and takes over when the first dies."""

import pytest

from emulator import Emulator


@pytest.fixture
def emulator(tmp_path):
    server = Emulator(tmp_path / "emulator", "orders:shards=2:records=20000:rate=500:bytes=500")
    server.start()
    yield server
    server.stop()


def test_another_worker_takes_over(emulator, database, sluice, tmp_path):
    def worker(name):
        return sluice({
            "worker": {"name": name}, "checkpoint": {"store": database, "lease": "2s"},
            "aws": {"endpoint": {"dynamodb": emulator.endpoint, "streams": emulator.endpoint}},
            "streams": [{"table": "orders", "start": "oldest", "sinks": ["files"]}],
            "sinks": {"files": {"type": "directory", "path": f"{tmp_path}/out/",
                                "roll": {"age": "1s"}}}})

    first = worker("first").start()
    first.wait_metric("sluice_delivered_total", 1, sink="files")
    second = worker("second").start()
    second.wait_metric("sluice_delivered_total", 1, sink="files", deadline=60)
    assert second.get("/readyz")[0] == second.get("/livez")[0] == 200
    first.kill9()
    second.wait_for(lambda: second.metric("sluice_shards", state="reading") +
                    second.metric("sluice_shards", state="fetching") >= 2, "it reads both shards",
                    deadline=60)
    assert "a session is dead" in second.process.text()
    assert second.metric("sluice_time_to_loss_seconds", stream="orders") > 23 * 3600
    assert second.stop() == 0
