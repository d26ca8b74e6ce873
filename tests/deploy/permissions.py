"""What the program asks AWS for, read from the sources of its calls, and the policies that allow it."""

import json
import re

from monitoring import ROOT

POLICIES = ROOT / "deploy/iam"
# A row by a macro, OPERATION(variable, "Name", …, "permission", …), or written out.
MACRO = re.compile(r"^OPERATION\((\w+),([^;]*)\);", re.M)
WRITTEN = re.compile(r"struct aws_operation (\w+) = \{\s*\.name = \"(\w+)\"[^;]*?"
                     r"\.permission = \"([^\"]*)\"", re.S)
ACTION = re.compile(r"[a-z0-9]+:[A-Z]\w+")
TEXT = re.compile(r'"([^"]*)"')


def operations(file):
    """Of a source in aws/: the name of each call → the actions it needs."""
    text = (ROOT / "aws" / file).read_text()
    found = {name: set(ACTION.findall(permission)) for _, name, permission in WRITTEN.findall(text)}
    for _, arguments in MACRO.findall(text):
        texts = TEXT.findall(arguments)
        actions = {action for t in texts for action in ACTION.findall(t)}
        found[texts[0]] = actions or {f"dynamodb:{texts[0]}"}
    return found


def needed(file):
    return set().union(*operations(file).values())


def policy(name):
    return json.loads((POLICIES / f"{name}.json").read_text())


def allowed(*names):
    return {action for name in names for statement in policy(name)["Statement"]
            for action in statement["Action"]}
