"""What lies in the files of a directory, compared with what happened to the table.

The emulator counts the changes of each item in its attribute `n`: the insert of a new item is 1,
and each change adds one, a delete too. So per key the files must hold 1, 2, 3 … up to the count that
the emulator knows, in this order: one that is missing, comes twice or comes late breaks the row.
"""

import gzip
import json
import re
from decimal import Decimal
from pathlib import Path

NAME = re.compile(r"(\d{8}T\d{6}Z)-(.+)-(\d+)-(\d+)\.ndjson(\.gz)?")
NAMED_MAX = 5


class Proof:
    def __init__(self):
        self.changes = self.expected = self.files = self.bytes = 0
        self.keys = {}
        self.jumps = self.repeated = self.misplaced = self.unknown = 0
        self.wrong_ends = 0
        self.problems = []

    def complete(self):
        return self.changes == self.expected > 0 and not self.unknown

    def in_order(self):
        return not self.misplaced and not self.jumps

    def holds(self):
        return self.complete() and not self.problems

    def problem(self, counter, text):
        setattr(self, counter, getattr(self, counter) + 1)
        if len(self.problems) < NAMED_MAX:
            self.problems.append(text)


class Key:
    __slots__ = ("last", "exists", "order", "seen")

    def __init__(self):
        self.last, self.exists, self.order, self.seen = 0, False, "", set()


def finished_files(folder):
    """In the order in which they became visible: by start, session, roll and number. A name that
    begins with a dot is not finished."""
    found = []
    for path in Path(folder).rglob("*"):
        name = NAME.fullmatch(path.name)
        if name and path.is_file():
            start, session, roll, number, _ = name.groups()
            found.append((start, session, int(roll), int(number), path))
    return [entry[-1] for entry in sorted(found)]


def open_file(path):
    return gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb")


def key_of(item):
    """One item has one key, however its number is spelled."""
    return item["pk"], Decimal(item["sk"])


def parse(text):
    return json.loads(text, parse_int=str, parse_float=str)


def take(proof, key, event, place):
    """One change: is it the next one of its key?"""
    deleted = event["_op"] == "d"
    # A delete does not carry the item, but it counts.
    n = key.last + 1 if deleted and event["_order"] > key.order else int(event.get("n", key.last))
    where = f"{place}: item {event['pk']} {event['sk']}, change {n}"
    if event["_order"] in key.seen:
        proof.problem("repeated", f"{where} ({event['_op']}) comes again")
        return
    key.seen.add(event["_order"])
    proof.changes += 1
    if event["_order"] < key.order:
        proof.problem("misplaced", f"{where} comes after a later one")
        return
    if n != key.last + 1:
        proof.problem("jumps", f"{where}: the one before is {key.last}, not {n - 1}")
    key.last, key.exists, key.order = n, not deleted, event["_order"]


def read(proof, path, folder):
    proof.files += 1
    proof.bytes += path.stat().st_size
    with open_file(path) as lines:
        for number, line in enumerate(lines, 1):
            event = parse(line)
            key = proof.keys.setdefault(key_of(event), Key())
            take(proof, key, event, f"{path.relative_to(folder)}:{number}")


def compare_ends(proof, truth):
    """Each key ends as the table does."""
    wanted = {key_of(parse(text)): end for text, end in truth["keys"].items()}
    for name, end in wanted.items():
        key = proof.keys.get(name, Key())
        proof.expected += end["n"]
        if (key.last, key.exists) != (end["n"], end["exists"]):
            proof.problem("wrong_ends", f"item {name[0]} {name[1]}: {key.last} changes arrived, "
                                        f"{end['n']} were made")
    for name in proof.keys.keys() - wanted.keys():
        proof.problem("unknown", f"item {name[0]} {name[1]} is not in the table's history")


def prove(folder, truth):
    """`truth` is the answer of the emulator's control call of this name."""
    proof = Proof()
    for path in finished_files(folder):
        read(proof, path, folder)
    compare_ends(proof, truth)
    return proof
