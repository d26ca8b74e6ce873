#!/usr/bin/env python3
"""Keys that change and end while shards are read. A container endpoint gives them out; the emulator
checks the signatures."""

import http.server
import json
import threading
import time
import unittest
from pathlib import Path

import world

OLD, NEW = ("AKIDOLD", "old-secret", "old-token"), ("AKIDNEW", "new-secret", "new-token")


class Keys(http.server.ThreadingHTTPServer):
    """Gives out `keys`, good for `lives` seconds; counts."""

    daemon_threads = True

    def __init__(self, keys, lives):
        super().__init__(("127.0.0.1", 0), Handler)
        self.keys, self.lives, self.asked, self.broken = keys, lives, 0, False
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def environment(self):
        return {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None,
                "AWS_CONTAINER_CREDENTIALS_FULL_URI":
                    f"http://127.0.0.1:{self.server_address[1]}/keys"}


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked += 1
        if self.server.broken:
            self.send_error(500)
            return
        access, secret, token = self.server.keys
        ends = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + self.server.lives))
        body = json.dumps({"AccessKeyId": access, "SecretAccessKey": secret, "Token": token,
                           "Expiration": ends}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Credentials(world.World):
    def keys(self, keys, lives):
        server = Keys(keys, lives)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return server

    def checked(self, keys):
        return self.emulator("orders:shards=2:records=600:keys=8:bytes=400:rate=200",
                             options=("--verify-key", ":".join(keys)))

    def test_keys_of_a_few_seconds(self):
        emulator, keys = self.checked(NEW), self.keys(NEW, 4)
        worker = self.worker(emulator, "orders", environment=keys.environment).start()
        self.wait_made(emulator)
        self.assertEqual(worker.stop(), 0)
        self.drain(worker)
        self.check_complete(emulator)
        self.assertGreater(keys.asked, 2)

    def test_keys_of_a_process(self):
        """They end every few seconds; once the process fails, what it says is in the log."""
        emulator = self.checked(NEW)
        tool, broken, runs = (self.folder / name for name in ("tool", "broken", "runs"))
        tool.write_text(
            "#!/bin/sh\n"
            f"echo run >> {runs}\n"
            f"[ -e {broken} ] && echo please log in >&2 && exit 1\n"
            "ends=$(date -u -d '+4 seconds' +%Y-%m-%dT%H:%M:%SZ)\n"
            f'echo "{{\\"Version\\":1,\\"AccessKeyId\\":\\"{NEW[0]}\\",'
            f'\\"SecretAccessKey\\":\\"{NEW[1]}\\",\\"SessionToken\\":\\"{NEW[2]}\\",'
            '\\"Expiration\\":\\"$ends\\"}"\n')
        tool.chmod(0o700)
        profile = self.folder / "aws-config"
        profile.write_text(f"[default]\ncredential_process = '{tool}'\n")
        worker = self.worker(emulator, "orders",
                             environment={"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None,
                                          "AWS_CONFIG_FILE": str(profile)}).start()
        self.wait_made(emulator)
        worker.wait_for(lambda: runs.read_text().count("run") > 3, "it runs again and again", 60)
        broken.touch()
        worker.wait_for(lambda: "it ended with 1: please log in" in self.log(worker),
                        "what it says is told", 60)
        self.assertEqual(worker.get("/livez")[0], 200)
        broken.unlink()
        self.assertEqual(worker.stop(), 0)
        self.drain(worker)
        self.check_complete(emulator)
        self.assertNotIn(NEW[1], self.log(worker))
        self.assertNotIn(NEW[2], self.log(worker))

    def test_a_process_of_a_worker_whose_supervisor_ignores_sigchld(self):
        """How it ended is known all the same: keys of one that failed are not taken."""
        emulator = self.checked(NEW)
        tool, profile = self.folder / "tool", self.folder / "aws-config"
        tool.write_text(
            "#!/bin/sh\n"
            f'echo "{{\\"Version\\":1,\\"AccessKeyId\\":\\"{NEW[0]}\\",'
            f'\\"SecretAccessKey\\":\\"{NEW[1]}\\"}}"\n'
            "echo please log in >&2; exit 1\n")
        tool.chmod(0o700)
        profile.write_text(f"[default]\ncredential_process = '{tool}'\n")
        worker = self.worker(emulator, "orders",
                             environment={"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None,
                                          "AWS_CONFIG_FILE": str(profile)})
        said = worker.run("check", check=False, under=("env", "--ignore-signal=CHLD"))
        self.assertEqual(said.returncode, 1)
        self.assertIn("it ended with 1: please log in", said.stdout + said.stderr)

    def test_a_stop_while_a_process_is_waited_for(self):
        """One that asks somebody, and gets no answer."""
        emulator, runs = self.checked(NEW), self.folder / "runs"
        tool, profile = self.folder / "tool", self.folder / "aws-config"
        tool.write_text(f"#!/bin/sh\necho $$ > {runs}.new\nmv {runs}.new {runs}\nsleep 1000\n")
        tool.chmod(0o700)
        profile.write_text(f"[default]\ncredential_process = '{tool}'\n")
        worker = self.worker(emulator, "orders",
                             environment={"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None,
                                          "AWS_CONFIG_FILE": str(profile)})
        worker.start(wait=False)
        world.wait_until(runs.exists, "it runs", 60)
        self.assertEqual(worker.stop(world.DEADLINE), 0)
        self.assertFalse(Path(f"/proc/{runs.read_text().strip()}").exists())

    def test_keys_that_are_refused_from_the_start(self):
        emulator, keys = self.checked(NEW), self.keys(OLD, 3600)
        worker = self.worker(emulator, "orders", environment=keys.environment)
        worker.start(wait=False)
        self.assertEqual(worker.process.wait(60), 1)
        self.assertIn("AWS does not take the credentials from: container", worker.process.tail(3))
        keys.keys = NEW
        self.wait_made(emulator)
        self.drain(worker)
        self.check_complete(emulator)

    def test_tokens_that_expire_early_and_an_endpoint_that_fails(self):
        emulator, keys = self.checked(NEW), self.keys(NEW, 3600)
        worker = self.worker(emulator, "orders", environment=keys.environment).start()
        keys.broken = True
        emulator.fault("token", count=-1)
        asked = keys.asked
        worker.wait_for(lambda: keys.asked > asked, "it asks for new keys", 60)
        self.assertEqual(worker.get("/readyz")[0], 200)
        self.assertEqual(worker.get("/livez")[0], 200)
        keys.broken = False
        emulator.control("clear")
        self.wait_made(emulator)
        self.assertEqual(worker.stop(), 0)
        self.drain(worker)
        self.check_complete(emulator)


if __name__ == "__main__":
    unittest.main()
