#!/usr/bin/env python3
"""Roles that are taken at STS, one of the configuration and those of profiles that build on each
other. A small STS checks the signatures and gives out keys of a few seconds; the emulator takes
those of the last role alone."""

import calendar
import hashlib
import hmac
import http.server
import threading
import time
import unittest
import urllib.parse
from pathlib import Path

import world
import yaml

BASE = ("AKIDBASE", "base-secret", "")
MIDDLE = ("ASIAMIDDLE", "middle-secret", "middle-token")
TOP = ("ASIATOP", "top-secret", "top-token")
ROLE = "arn:aws:iam::123456789012:role/"
EXAMPLE = Path(__file__).parents[3] / "config/examples/other-account.yaml"


def digest(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def signature(secret, method, path, headers, names, body, scope):
    """Signature Version 4, from AWS's description of it."""
    canonical = "\n".join([method, path, "", *(f"{n}:{headers[n].strip()}" for n in names), "",
                           ";".join(names), hashlib.sha256(body).hexdigest()])
    text = "\n".join(["AWS4-HMAC-SHA256", headers["x-amz-date"], scope,
                      hashlib.sha256(canonical.encode()).hexdigest()])
    key = ("AWS4" + secret).encode()
    for part in scope.split("/"):
        key = digest(key, part)
    return digest(key, text).hex()


class Sts(http.server.ThreadingHTTPServer):
    """`trust`: a role's name → the keys it may be taken with, its external id or None, and what it
    gives, for `lives` seconds. `asked` counts by role. Its clock is `ahead` of ours by so many
    seconds, and it takes no request of five minutes before or after."""

    daemon_threads = True

    def __init__(self, trust, lives, ahead=0):
        super().__init__(("127.0.0.1", 0), Handler)
        self.trust, self.lives, self.asked, self.wrong = trust, lives, {}, []
        self.ahead, self.early = ahead, 0
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        form = dict(urllib.parse.parse_qsl(body.decode()))
        name = form.get("RoleArn", "").removeprefix(ROLE)
        self.server.asked[name] = self.server.asked.get(name, 0) + 1
        by, external, gives = self.server.trust[name]
        why = self.fault(body, by)
        if self.is_early():
            self.server.early += 1
            self.answer(403, self.error("SignatureDoesNotMatch", "Signature expired: 1 is now "
                                        "earlier than 2 (3 - 5 min.)"))
        elif why:
            self.server.wrong.append(why)
            self.answer(403, self.error("SignatureDoesNotMatch", why))
        elif form.get("ExternalId") != external:
            self.answer(403, self.error("AccessDenied", "not authorized to perform: sts:AssumeRole"))
        else:
            self.answer(200, self.keys(gives))

    def now(self):
        return time.time() + self.server.ahead

    def date_time_string(self, timestamp=None):
        return super().date_time_string(self.now() if timestamp is None else timestamp)

    def is_early(self):
        asked = calendar.timegm(time.strptime(self.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ"))
        return abs(self.now() - asked) > 300

    def fault(self, body, keys):
        """What is wrong with the signature; None: nothing."""
        fields = dict(part.strip().split("=", 1) for part in
                      self.headers["Authorization"].removeprefix("AWS4-HMAC-SHA256").split(","))
        access, scope = fields["Credential"].split("/", 1)
        headers = {name.lower(): value for name, value in self.headers.items()}
        names = fields["SignedHeaders"].split(";")
        if access != keys[0] or headers.get("x-amz-security-token", "") != keys[2]:
            return f"{access} is not {keys[0]}"
        if not {"host", "x-amz-date"} <= set(names) or scope.split("/")[1:] != [
                "eu-west-1", "sts", "aws4_request"]:
            return f"{names} of {scope}"
        if keys[2] and "x-amz-security-token" not in names:
            return "the token is not signed"
        right = signature(keys[1], "POST", self.path, headers, names, body, scope)
        return None if right == fields["Signature"] else "another signature"

    def keys(self, keys):
        ends = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.now() + self.server.lives))
        return (f"<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>{keys[0]}"
                f"</AccessKeyId><SecretAccessKey>{keys[1]}</SecretAccessKey><SessionToken>{keys[2]}"
                f"</SessionToken><Expiration>{ends}</Expiration></Credentials>"
                "</AssumeRoleResult></AssumeRoleResponse>")

    @staticmethod
    def error(code, message):
        return (f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code>"
                f"<Message>{message}</Message></Error></ErrorResponse>")

    def answer(self, status, text):
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


class Roles(world.World):
    def sts(self, trust, lives, ahead=0):
        server = Sts(trust, lives, ahead)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return server

    def checked(self):
        return self.emulator("orders:shards=2:records=600:keys=8:bytes=400:rate=200",
                             options=("--verify-key", ":".join(TOP)))

    def config_file(self, text):
        path = self.folder / "aws-config"
        path.write_text(text)
        return {"AWS_CONFIG_FILE": str(path), "AWS_ACCESS_KEY_ID": None,
                "AWS_SECRET_ACCESS_KEY": None}

    def run_through(self, worker, emulator):
        worker.start()
        self.wait_made(emulator)
        self.assertEqual(worker.stop(), 0)
        self.drain(worker)
        self.check_complete(emulator)

    def test_a_role_of_the_configuration(self):
        emulator = self.checked()
        sts = self.sts({"reader": (BASE, "ours/1", TOP)}, lives=4)
        worker = self.worker(emulator, "orders",
                             environment={"AWS_ACCESS_KEY_ID": BASE[0],
                                          "AWS_SECRET_ACCESS_KEY": BASE[1]})
        worker.config["aws"]["endpoint"]["sts"] = sts.endpoint
        worker.config["aws"] |= {"role_arn": ROLE + "reader", "external_id": "ours/1"}
        self.run_through(worker, emulator)
        self.assertIn(f"environment, role {ROLE}reader", self.log(worker))
        self.assertEqual(sts.wrong, [])
        self.assertGreater(sts.asked["reader"], 2)

    def test_a_clock_that_is_two_hours_behind(self):
        """STS is the first that is asked, and the only one that can say what time it is."""
        emulator, ahead = self.checked(), 7200
        emulator.control("advance", seconds=ahead, date=True)
        sts = self.sts({"reader": (BASE, None, TOP)}, lives=4, ahead=ahead)
        worker = self.worker(emulator, "orders",
                             environment={"AWS_ACCESS_KEY_ID": BASE[0],
                                          "AWS_SECRET_ACCESS_KEY": BASE[1]})
        worker.config["aws"]["endpoint"]["sts"] = sts.endpoint
        worker.config["aws"]["role_arn"] = ROLE + "reader"
        said = worker.run("check", check=False)
        self.assertNotIn("Signature expired", said.stdout + said.stderr)
        self.assertEqual(sts.early, 1)
        worker.start()
        self.assertGreater(worker.metric("sluice_aws_clock_offset_seconds"), ahead - 60)
        self.wait_made(emulator)
        self.assertEqual(worker.stop(), 0)
        self.assertEqual((sts.early, sts.wrong), (2, []))
        self.assertGreater(sts.asked["reader"], 5)
        self.drain(worker)
        self.check_complete(emulator)

    def test_a_table_of_another_account(self):
        """As config/examples/other-account.yaml has it, but for the sink."""
        emulator = self.checked()
        example = yaml.safe_load(EXAMPLE.read_text())
        role, (stream,) = example["aws"]["role_arn"], example["streams"]
        self.assertEqual(stream["table"], emulator.arn("orders").partition("/stream/")[0])
        sts = self.sts({role.removeprefix(ROLE): (BASE, "sluice-staging", TOP)}, lives=3600)
        worker = self.worker(emulator, stream["table"],
                             environment={"AWS_ACCESS_KEY_ID": BASE[0],
                                          "AWS_SECRET_ACCESS_KEY": BASE[1],
                                          "DEPLOYMENT": "staging"})
        worker.config["aws"]["endpoint"]["sts"] = sts.endpoint
        worker.config["aws"] |= {name: example["aws"][name] for name in ("role_arn", "external_id")}
        self.run_through(worker, emulator)
        self.assertEqual(sts.wrong, [])

    def test_roles_one_after_another(self):
        emulator = self.checked()
        sts = self.sts({"middle": (BASE, None, MIDDLE), "top": (MIDDLE, None, TOP)}, lives=4)
        environment = self.config_file(
            f"[profile base]\naws_access_key_id = {BASE[0]}\naws_secret_access_key = {BASE[1]}\n"
            f"[profile middle]\nrole_arn = {ROLE}middle\nsource_profile = base\n"
            f"[profile top]\nrole_arn = {ROLE}top\nsource_profile = middle\n")
        worker = self.worker(emulator, "orders", environment=environment)
        worker.config["aws"] |= {"profile": "top"}
        worker.config["aws"]["endpoint"]["sts"] = sts.endpoint
        self.run_through(worker, emulator)
        self.assertEqual(sts.wrong, [])
        self.assertGreater(sts.asked["top"], 2)
        self.assertGreater(sts.asked["middle"], 2)

    def test_a_role_that_is_refused_is_named(self):
        emulator = self.checked()
        sts = self.sts({"top": (BASE, "ours", TOP)}, lives=3600)
        environment = self.config_file(
            f"[default]\nrole_arn = {ROLE}top\nsource_profile = base\n"
            f"[profile base]\naws_access_key_id = {BASE[0]}\naws_secret_access_key = {BASE[1]}\n")
        worker = self.worker(emulator, "orders", environment=environment)
        worker.config["aws"]["endpoint"]["sts"] = sts.endpoint
        worker.start(wait=False)
        self.assertEqual(worker.process.wait(60), 1)
        self.assertIn(f"the AWS profile 'default': AssumeRole for {ROLE}top: AccessDenied",
                      worker.process.tail(3))
        said = worker.run("check", check=False)
        self.assertEqual(said.returncode, 1)
        self.assertIn(f"AssumeRole for {ROLE}top: AccessDenied", said.stdout + said.stderr)


if __name__ == "__main__":
    unittest.main()
