"""Two workers on one Postgres: one works, the other waits, is ready, and takes over."""

import pytest

from emulator import Emulator


@pytest.fixture
def emulator(tmp_path):
    server = Emulator(tmp_path / "emulator", "orders:shards=2:records=20000:rate=500:bytes=500")
    server.start()
    yield server
    server.stop()


def test_a_standby_takes_over(emulator, database, sluice, tmp_path):
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
    second.wait_for(lambda: "waiting for another session to end" in second.process.text(),
                    "the second one waits")
    # It has read nothing and lost nothing: a figure here would alarm somebody.
    assert not [name for name, labels, _ in second.metrics() if name in (
        "sluice_lag_seconds", "sluice_time_to_loss_seconds", "sluice_shards")]
    assert second.get("/readyz")[0] == second.get("/livez")[0] == 200

    first.kill9()
    second.wait_metric("sluice_delivered_total", 1, sink="files", deadline=60)
    assert "a session is dead" in second.process.text()
    assert second.metric("sluice_time_to_loss_seconds", stream="orders") > 23 * 3600
    assert second.stop() == 0
