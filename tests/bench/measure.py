"""What the benches that run the whole program share: an emulator over TLS, lives of `sluice run`
whose CPU time and memory are read from the kernel, and the way figures are printed.

CPU time, not wall time, is what counts here: other work on the machine hardly changes it.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections import defaultdict
from contextlib import contextmanager
from pathlib import Path

from emulator import BINARY as EMULATOR
from emulator import Emulator
from process import Process
from sluice import BINARY, Sluice

SAMPLE_S = 0.1
METRICS_EVERY = 3
# Threads of one kind have one name and perhaps a number; librdkafka's begin with rdk:.
STAGES = {"sluice": "core", "reader": "readers", "sink": "sink", "saver": "store",
          "steward": "store", "kafka": "reports", "rdk": "librdkafka"}


def arguments(doc):
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("--json", action="store_true", help="end with one line of figures")
    parser.add_argument("--quick", action="store_true", help="shorter, for a first look")
    return parser.parse_args()


def say(text=""):
    print(text, flush=True)


def finish(name, figures, as_json):
    """People read the text before; the line is for programs."""
    if as_json:
        say(json.dumps({"bench": name, "figures": figures}))


@contextmanager
def folder():
    """In memory where there is some: a disk's waiting is not what is measured."""
    memory = Path("/dev/shm")
    place = Path(tempfile.mkdtemp(prefix="sluice-bench-",
                                  dir=memory if os.access(memory, os.W_OK) else None))
    place.chmod(0o755)  # Postgres is another user.
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


class TlsEmulator(Emulator):
    """The emulator with a certificate of its own. Control calls are not for it."""

    def prepare(self):
        self.tls = self.folder / "tls"
        self.tls.mkdir()
        subprocess.run([EMULATOR, "--tls-make", self.tls], check=True)
        self.options = (*self.options, "--tls-cert", self.tls / "cert.pem",
                        "--tls-key", self.tls / "key.pem")

    @property
    def endpoint(self):
        return f"https://127.0.0.1:{self.port}"

    def aws(self):
        """The configuration's section."""
        return {"endpoint": {"dynamodb": self.endpoint, "streams": self.endpoint},
                "ca_bundle": str(self.tls / "ca.pem")}


class Task:
    """One thread as the kernel accounts for it."""

    def __init__(self, path):
        self.name = (path / "comm").read_text().strip()
        self.cpu_s = int((path / "schedstat").read_text().split()[0]) / 1e9

    @property
    def stage(self):
        return STAGES.get(self.name.split("-")[0].split(":")[0], "other")


class Life(Sluice):
    """One life of the program, its stdout thrown away, watched by a thread that samples what the
    kernel knows of it. After the end: cpu_s in all, stage_cpu_s of each kind of thread, hwm_mib,
    and the last metrics it showed."""

    def __init__(self, folder, config, **keywords):
        super().__init__(folder, config, **keywords)
        self.tasks = {}
        self.status = {}
        self.last = []
        self.ended = threading.Event()
        self.watcher = None

    def launch(self, *options):
        self.write_config()
        self.process = Process(
            ["/bin/sh", "-c", 'exec "$@" > /dev/null', "sh", BINARY, "run", "-c", self.file,
             *options], self.log, self.environment)
        self.watcher = threading.Thread(target=self._watch, daemon=True)
        self.watcher.start()

    def sample(self, metrics=True):
        base = Path(f"/proc/{self.process.pid}")
        try:
            for path in (base / "task").iterdir():
                self.tasks[path.name] = Task(path)
            lines = (base / "status").read_text().splitlines()
            self.status.update(line.split(":\t") for line in lines if ":\t" in line)
        except (FileNotFoundError, ProcessLookupError):
            return
        if metrics:
            self.last = self.metrics() or self.last

    def cpu_s(self):
        """Of the process so far, ended threads too."""
        return time.clock_gettime((~self.process.pid << 3) | 2)

    def mib(self, name):
        """VmHWM or VmRSS as of the last sample."""
        return int(self.status[name].split()[0]) / 1024

    def stage_cpu_s(self):
        stages = defaultdict(float)
        for task in self.tasks.values():
            stages[task.stage] += task.cpu_s
        return dict(stages)

    def value(self, name, **labels):
        return sum(value for sample, has, value in self.last
                   if sample == name and labels.items() <= has.items())

    def stop_measured(self, deadline=30.0):
        """SIGTERM; returns the CPU seconds of the whole life."""
        self._unwatch()
        self.sample()
        self.process.send(signal.SIGTERM)
        return self._reap(deadline)

    def end_measured(self, deadline=120.0):
        """The same of one that ends by itself; the last samples are a little older than its end."""
        try:
            return self._reap(deadline)
        finally:
            self._unwatch()

    def _reap(self, deadline):
        end = time.monotonic() + deadline
        pid = 0
        while not pid:
            if time.monotonic() > end:
                raise TimeoutError(f"sluice has not ended in {deadline:g} s\n"
                                   f"{self.process.tail()}")
            time.sleep(SAMPLE_S)
            pid, status, usage = os.wait4(self.process.pid, os.WNOHANG)
        self.process.popen.returncode = os.waitstatus_to_exitcode(status)
        if self.process.exit_code() != 0:
            raise RuntimeError(f"sluice ended with {self.process.exit_code()}\n"
                               f"{self.process.tail()}")
        return usage.ru_utime + usage.ru_stime

    def wait_delivered(self, sink, at_least, deadline=120.0):
        """Until everything that was read, and so much at least, is durable in the sink. Returns
        how much."""
        def done():
            read = self.value("sluice_records_total")
            return read >= at_least and self.value("sluice_delivered_total", sink=sink) == read

        self.wait_for(done, f"{at_least} records are delivered to {sink}", deadline)
        return self.value("sluice_delivered_total", sink=sink)

    def _unwatch(self):
        self.ended.set()
        self.watcher.join()

    def _watch(self):
        turn = 0
        while not self.ended.wait(SAMPLE_S):
            self.sample(metrics=turn % METRICS_EVERY == 0)
            turn += 1
