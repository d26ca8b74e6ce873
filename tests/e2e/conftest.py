"""Fixtures: each server once a session, started together before the first test that wants one; the
program under test as often as a test likes. A failed test shows the end of its logs, and the
session's folder stays."""

import signal
import uuid

import pytest

import emulator as emulated
import sluice as program
from stack import SERVERS, Stack


def pytest_configure():
    def interrupt(_number, _frame):
        raise KeyboardInterrupt

    # As Ctrl-C: fixtures end in order, and stop what they started.
    signal.signal(signal.SIGTERM, interrupt)


@pytest.fixture(scope="session")
def stack(request):
    wanted = {name for item in request.session.items for name in item.fixturenames}
    with Stack(*(name for name in SERVERS if name in wanted)) as servers:
        yield servers
        servers.keep = request.session.testsfailed > 0


@pytest.fixture(scope="session")
def dynamodb(stack):
    return stack["dynamodb"]


@pytest.fixture(scope="session")
def kafka(stack):
    return stack["kafka"]


@pytest.fixture(scope="session")
def postgres(stack):
    return stack["postgres"]


@pytest.fixture(scope="session")
def s3(stack):
    return stack["s3"]


@pytest.fixture(scope="session")
def moto(stack):
    return stack["moto"]


@pytest.fixture(scope="session")
def toxiproxy(stack):
    return stack["toxiproxy"]


@pytest.fixture
def own(stack):
    """own(KIND, …) starts one more server, for a test that breaks it."""
    started = []

    def start(kind, *arguments):
        # In the servers' folder: some have another user.
        server = kind(stack.folder / f"{kind.name}-{uuid.uuid4().hex[:8]}", *arguments)
        started.append(server)
        server.start()
        return server

    yield start
    for server in reversed(started):
        server.stop()


@pytest.fixture
def access_key(dynamodb):
    """A database of DynamoDB Local for this test alone."""
    return dynamodb.new_access_key()


@pytest.fixture
def database(postgres):
    """The URL of an empty Postgres database for this test alone."""
    return postgres.new_database()


@pytest.fixture
def bucket(s3):
    """A bucket for this test alone."""
    return s3.new_bucket()


def require(binary):
    if not binary.exists():
        pytest.fail(f"{binary} is missing: run ./dev build")


@pytest.fixture
def emulator(tmp_path):
    """emulator("orders:shards=4", …) starts one (see Emulator), which ends with the test."""
    require(emulated.BINARY)
    started = []

    def start(*tables, options=()):
        server = emulated.Emulator(tmp_path / f"emulator{len(started)}", *tables, options=options)
        started.append(server)
        server.start()
        return server

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def exporting(emulator, s3):
    """exporting("orders:…", …): an emulator whose exports go to the S3 server. Ends each with a clean
    exit, which sanitizers look at, too."""
    started = []

    def start(*tables):
        server = emulator(*tables, options=("--s3", s3.endpoint,
                                            "--s3-key", f"{s3.access_key}:{s3.secret_key}"))
        started.append(server)
        return server

    yield start
    for server in started:
        assert server.process.stop() == 0, server.process.tail()


@pytest.fixture
def sluice(request, tmp_path):
    """sluice(config, name="a", …) makes a worker (see Sluice), which ends with the test."""
    require(program.BINARY)
    workers = []

    def make(config, name=None, **keywords):
        folder = tmp_path / (name or f"worker{len(workers)}")
        workers.append(program.Sluice(folder, config, **keywords))
        return workers[-1]

    request.node.workers = workers
    yield make
    for worker in workers:
        if worker.process:
            worker.process.kill()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    report = yield
    if report.failed:
        for worker in getattr(item, "workers", []):
            if worker.process:
                report.sections.append((f"log of {worker.folder.name}", worker.process.tail(80)))
    return report
