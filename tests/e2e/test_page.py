"""The status page in a real browser: what it shows of a fleet, that no text of the data becomes
markup, and that it breaks no rule which the port sets for it."""

import json
import subprocess
import urllib.error
import urllib.request

import pytest

from process import wait_until

BROWSER = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
           "--disable-background-networking", "--disable-component-update", "--disable-sync",
           "--hide-scrollbars", "--enable-logging=stderr"]
# What a person typed, and a page must not believe.
WHY = '<img src=x onerror="document.title=1"> & "so on"'


def browse(folder, url, *flags):
    """The page's text as markup, once its script has run, and what the browser had to say."""
    done = subprocess.run([*BROWSER, f"--user-data-dir={folder}/browser", "--virtual-time-budget=6000",
                           *flags, url], capture_output=True, text=True, timeout=120, check=True)
    said = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert said == []
    return done.stdout


def url_of(worker, path):
    return f"http://127.0.0.1:{worker.port}/{path}"


def get(worker, path):
    with urllib.request.urlopen(url_of(worker, path), timeout=30) as answer:
        return answer.headers, answer.read().decode()


@pytest.fixture
def fleet(emulator, database, sluice, tmp_path):
    server = emulator("orders:shards=3:records=300:keys=20:bytes=300:rate=60",
                      "people:shards=2:records=5:keys=4:bytes=300")
    some = [sluice({
        "worker": {"name": name}, "checkpoint": {"store": database, "lease": "2s"},
        "aws": {"endpoint": {"dynamodb": server.endpoint, "streams": server.endpoint}},
        "streams": [{"table": table, "start": "oldest", "sinks": ["lake"],
                     "poll": {"min": "50ms", "max": "500ms"}} for table in ("orders", "people")],
        "sinks": {"lake": {"type": "directory", "path": f"{tmp_path}/lake/${{table}}/",
                           "format": "plain", "roll": {"age": "1s"}}}},
        name=name).start() for name in ("anna-1", "berta-2")]
    shards = server.control("shards", table="orders")["streams"][-1]["shards"]
    server.control("split", table="orders", shard=next(iter(shards)))
    wait_until(lambda: all(worker.metric("sluice_delivered_total", sink="lake") for worker in some),
               "both deliver", 60)
    return some


def test_what_it_shows(fleet, tmp_path):
    fleet[0].run("pause", "--stream", "people", "--why", WHY, "--yes")
    fleet[0].wait_metric("sluice_stream_held", 1, stream="people")
    page = browse(tmp_path, url_of(fleet[0], "status"), "--dump-dom")
    assert "<title>Sluice</title>" in page
    for text in ("<h3>orders</h3>", "<h3>people</h3>", "anna-1", "berta-2", "time to loss at least",
                 "as of ", "held for a pause", "<polyline", ">lake<"):
        assert text in page, text
    assert "&lt;img src=x" in page and "<img" not in page
    assert "postgres:" not in page  # the store's name has no password, and no address to click
    wide, narrow = tmp_path / "wide.png", tmp_path / "narrow.png"
    browse(tmp_path, url_of(fleet[0], "status"), f"--screenshot={wide}", "--window-size=1200,1000")
    browse(tmp_path, url_of(fleet[0], "status"), f"--screenshot={narrow}", "--window-size=390,1400",
           "--force-dark-mode")
    assert wide.stat().st_size > 10000 and narrow.stat().st_size > 10000


def test_what_it_is_made_of(fleet):
    headers, text = get(fleet[1], "status.json")
    status = json.loads(text)
    assert {stream["stream"] for stream in status["streams"]} == {"orders", "people"}
    assert {one["worker"] for one in status["workers"]} == {"anna-1", "berta-2"}
    assert headers["Content-Type"] == "application/json"
    for path, kind in (("status", "text/html"), ("status.js", "text/javascript"),
                       ("status.css", "text/css")):
        headers, text = get(fleet[1], path)
        assert headers["Content-Type"].startswith(kind)
        assert headers["X-Frame-Options"] == "DENY"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")  # nothing from elsewhere
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(url_of(fleet[1], "status"), data=b"x=1", timeout=30)
    assert refused.value.code == 405


def test_a_store_that_is_away(fleet, postgres, tmp_path):
    """The page says so; what it needs of this worker alone still answers."""
    database = fleet[0].config["checkpoint"]["store"].rpartition("/")[2]
    postgres.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS false")
    postgres.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                     f"WHERE datname = '{database}'")

    def refused():
        try:
            get(fleet[0], "status.json")
        except urllib.error.HTTPError as error:
            return error.code == 503 and "error" in json.loads(error.read())
        return False

    wait_until(refused, "it says that it knows nothing", 30)
    assert get(fleet[0], "livez")[1] == "ok\n"
    postgres.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS true")
    wait_until(lambda: not refused(), "it is back", 30)
