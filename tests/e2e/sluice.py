"""The program under test: a configuration, the lives it has, and what it says about itself."""

import json
import os
import re
import signal
import subprocess
from pathlib import Path

from process import Process, free_port, wait_until
from stack import REGION, ROOT, http_status

BINARY = Path(os.environ.get("SLUICE_BIN") or ROOT / "build/release/sluice")
SAMPLE = re.compile(r"^([a-z0-9_]+)(?:\{(.*)\})? (\S+)$")
LABEL = re.compile(r'([a-z0-9_]+)="((?:[^"\\]|\\.)*)"')


class Sluice:
    """One worker with a folder of its own. `config` is the configuration file as nested dicts; the
    status port is a free one where it does not say. `environment` adds to a clean environment that
    has the access key alone. It may be started again after its end: one log for all lives."""

    def __init__(self, folder, config, access_key="sluicetest", secret_key="sluicetestsecret",
                 environment=None):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.config = dict(config)
        self.port = free_port()
        self.config.setdefault("http", {"listen": f"127.0.0.1:{self.port}"})
        self.file = self.folder / "sluice.yaml"
        self.log = self.folder / "sluice.log"
        self.process = None
        clean = {name: None for name in os.environ if name.startswith(("AWS_", "SLUICE_"))}
        self.environment = {
            **clean, "AWS_ACCESS_KEY_ID": access_key, "AWS_SECRET_ACCESS_KEY": secret_key,
            "AWS_REGION": REGION, **(environment or {})}

    def write_config(self):
        # JSON is YAML.
        self.file.write_text(json.dumps(self.config, indent=2, default=str))

    def start(self, *arguments, wait=True):
        """`sluice run`; with wait, returns once it is ready."""
        self.write_config()
        self.process = Process([BINARY, "run", "-c", self.file, *arguments], self.log,
                               self.environment)
        if wait:
            self.wait_ready()
        return self

    def drain(self, idle="1s", deadline=60.0):
        """`sluice run --until-idle`: returns the exit code."""
        self.start("--until-idle", idle, wait=False)
        return self.process.wait(deadline)

    def wait_ready(self, deadline=30.0):
        self.wait_for(lambda: self.get("/readyz")[0] == 200, "/readyz answers 200", deadline)

    def wait_for(self, condition, what, deadline=30.0):
        """Polls; an end of the process before that is an error, told with its log."""
        def probe():
            value = condition()
            if not value and self.process and not self.process.running():
                code = self.process.exit_code()
                raise AssertionError(f"sluice ended with {code} before: {what}\n"
                                     f"{self.process.tail()}")
            return value

        return wait_until(probe, lambda: f"{what}\n{self.process.tail()}", deadline)

    def get(self, path):
        """Status and text; (None, '') where nothing answers."""
        answer = http_status(self.port, path)
        return (answer[0], answer[1].decode()) if answer else (None, "")

    def metrics(self):
        """A list of (name, labels, value)."""
        samples = []
        for line in self.get("/metrics")[1].splitlines():
            found = SAMPLE.match(line)
            if found:
                samples.append((found[1], dict(LABEL.findall(found[2] or "")), float(found[3])))
        return samples

    def metric(self, name, **labels):
        """The sum of the samples that have these labels; 0 where there is none."""
        return sum(value for sample, has, value in self.metrics()
                   if sample == name and labels.items() <= has.items())

    def wait_metric(self, name, at_least, deadline=30.0, **labels):
        self.wait_for(lambda: self.metric(name, **labels) >= at_least,
                      f"{name}{labels or ''} >= {at_least}", deadline)

    def status(self):
        return json.loads(self.get("/status.json")[1])

    def run(self, *arguments, deadline=30.0, check=True, config=True, under=()):
        """Another subcommand, for instance run("status", "--json"); returns what subprocess.run
        does. With config, `-c FILE` is added. `under`: a command that runs it."""
        self.write_config()
        environment = {**os.environ, **self.environment}
        command = [*under, BINARY, *arguments, *(["-c", self.file] if config else [])]
        done = subprocess.run(
            [str(part) for part in command], capture_output=True, text=True, timeout=deadline,
            stdin=subprocess.DEVNULL, check=False,
            env={name: value for name, value in environment.items() if value is not None})
        if check and done.returncode != 0:
            raise AssertionError(f"sluice {' '.join(map(str, arguments))}: exit {done.returncode}\n"
                                 f"{done.stdout}{done.stderr}")
        return done

    def stop(self, deadline=30.0):
        """SIGTERM; returns the exit code. A process that does not end is an error."""
        self.process.send(signal.SIGTERM)
        return self.process.wait(deadline)

    def kill9(self):
        self.process.kill()

    def pause(self):
        self.process.pause()

    def resume(self):
        self.process.resume()
