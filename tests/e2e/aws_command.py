"""As much of AWS's command line as docs/deployment.md uses, over botocore, which has the same model of
each call: `aws SERVICE CALL [--FLAG VALUE…]`. Servers of the tests answer, SLUICE_TEST_ENDPOINTS says
which (a JSON map of services, "" for all others). Waiters of containers are passed: none run."""

import json
import os
import sys
from pathlib import Path

import botocore.session
import jmespath
from botocore import xform_name

# get-login-password is the command line's own, made of this call.
ALIASES = {("ecr", "get-login-password"): ("get-authorization-token", "authorizationData[0].proxyEndpoint")}


class Shorthand:
    """Key=value,Key=[{Key=value}],…"""

    def __init__(self, text):
        self.text, self.at = text, 0

    def peek(self):
        return self.text[self.at:self.at + 1]

    def until(self, ends):
        begin = self.at
        while self.peek() and self.peek() not in ends:
            self.at += 1
        return self.text[begin:self.at]

    def value(self):
        if self.peek() == "[":
            self.at += 1
            values = []
            while self.peek() != "]":
                values.append(self.value())
                self.at += self.peek() == ","
            self.at += 1
            return values
        if self.peek() == "{":
            self.at += 1
            value = self.pairs()
            self.at += 1
            return value
        return self.until(",]}")

    def pairs(self):
        found = {}
        while self.peek() not in ("", "}"):
            key = self.until("=")
            self.at += 1
            found[key] = self.value()
            self.at += self.peek() == ","
        return found


def fitting(value, shape):
    """What words mean where this shape is expected."""
    if shape.type_name == "structure":
        return {name: fitting(inner, shape.members[name]) for name, inner in value.items()}
    if shape.type_name == "list":
        values = value if isinstance(value, list) else [value]
        return [fitting(inner, shape.member) for inner in values]
    if shape.type_name in ("integer", "long"):
        return int(value)
    if shape.type_name == "boolean":
        return str(value).lower() == "true"
    return value


def parsed(word, shape):
    if word.startswith("file://"):
        word = Path(word.removeprefix("file://")).read_text()
    scalar = shape.type_name not in ("structure", "list", "map")
    if not scalar and word.lstrip().startswith(("{", "[")):
        return json.loads(word)
    if shape.type_name == "structure" or (
            shape.type_name == "list" and shape.member.type_name == "structure"):
        return fitting(Shorthand(word).pairs(), shape)
    return fitting(word, shape)


def arguments(words, shape):
    members = {xform_name(name, "-"): name for name in shape.members}
    given, own = {}, {}
    while words:
        flag = words.pop(0).removeprefix("--")
        values = []
        while words and not words[0].startswith("--"):
            values.append(words.pop(0))
        if flag in ("query", "output"):
            own[flag] = values[0]
        elif flag == "cli-input-json":
            given.update(json.loads(Path(values[0].removeprefix("file://")).read_text()))
        elif not values:
            given[members[flag.removeprefix("no-")]] = not flag.startswith("no-")
        else:
            inner = shape.members[members[flag]]
            some = [parsed(value, inner) for value in values]
            if inner.type_name == "list":
                given[members[flag]] = [x for one in some for x in one]
            else:
                (given[members[flag]],) = some
    return given, own


def text(value):
    if isinstance(value, list):
        return "\t".join(text(inner) for inner in value)
    return "None" if value is None else str(value)


def main(name, call, *words):
    query = None
    if (name, call) in ALIASES:
        call, query = ALIASES[name, call]
    endpoints = json.loads(os.environ["SLUICE_TEST_ENDPOINTS"])
    name = {"s3api": "s3"}.get(name, name)
    client = botocore.session.get_session().create_client(
        name, endpoint_url=endpoints.get(name, endpoints[""]))
    model = client.meta.service_model
    operations = {xform_name(operation, "-"): operation for operation in model.operation_names}
    if call == "wait":
        waiter = client.get_waiter(words[0].replace("-", "_"))
        given, _ = arguments(list(words[1:]), model.operation_model(waiter.config.operation).input_shape)
        if name != "ecs":
            waiter.wait(**given)
        return
    given, own = arguments(list(words), model.operation_model(operations[call]).input_shape)
    answer = getattr(client, xform_name(operations[call]))(**given)
    answer.pop("ResponseMetadata", None)
    query = own.get("query", query)
    found = jmespath.search(query, answer) if query else answer
    print(text(found) if own.get("output") == "text" else json.dumps(found, default=str))


if __name__ == "__main__":
    main(*sys.argv[1:])
