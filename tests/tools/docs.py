"""The documentation holds what the program and the sources say: docs.py PROGRAM [--write].

Between `<!-- sluice COMMAND -->` and `<!-- end -->` in a page of docs/ stands the output of that
command, for instance `<!-- sluice config reference -->`. A file docs/NAME.schema.json is the output
of `sluice config schema`. With --write these are brought up to date.

Between `<!-- messages -->` and `<!-- end -->` the code in a table's first column is a message of the
program, and so is code of four words or more in the others: each part of it between `…` stands in
the sources. Each warning and error that the sources log is in a first column. Paths and links that
pages name exist.
"""

import re
import subprocess
import sys
from pathlib import Path

BLOCK = re.compile(r"(<!-- sluice ([a-z ]+) -->\n)(.*?)(<!-- end -->)", re.S)
MESSAGES = re.compile(r"<!-- messages -->\n(.*?)<!-- end -->", re.S)
CODE = re.compile(r"`([^`]+)`")
PATH = re.compile(r"`((?:tests|docs|config|docker|deploy|consumer|checkpoint|sinks|base|ops)/[\w./-]+)`")
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")
STRING = r'"(?:[^"\\]|\\.)*"'
STRINGS = re.compile(rf"{STRING}(?:\s*{STRING})*")
# The message of a log line, or two with a condition before them, ends where the fields begin.
LOG = re.compile(rf"\blog_(?:warn|error)\((?=[^;]*?\")((?:{STRING}|[^\"();])*)"
                 rf"|\bLOG_(?:WARN|ERROR),\s*({STRING})")
FOLDERS = ("base", "config", "aws", "event", "checkpoint", "sinks", "consumer", "ops")
# Metrics and fields are told as code, too.
NO_MESSAGE = re.compile(r"sluice_\w+.*|kind=\w+|[A-Z]\w+Exception|/\w+|\w+=|on_error: \w+|"
                        r"(?:undecodable|refused|transform)")


def literals(text):
    """The texts of C's string literals, adjacent ones in one."""
    for found in STRINGS.finditer(text):
        parts = re.findall(STRING, found[0])
        yield "".join(part[1:-1] for part in parts).replace('\\"', '"').replace("\\n", "\n")


def sources():
    for folder in FOLDERS:
        for path in sorted(Path(folder).rglob("*.[ch]")) + sorted(Path(folder).rglob("*.sql")):
            yield path, path.read_text()


def output(program, command):
    return subprocess.run([program, *command.split()], check=True, capture_output=True,
                          text=True).stdout


def expected(path, text, program):
    if path.suffix == ".json":
        return output(program, "config schema")
    return BLOCK.sub(lambda block: block[1] + output(program, block[2]) + block[4], text)


def check_printed(pages, program, write):
    for path in pages:
        text = path.read_text()
        now = expected(path, text, program)
        if now == text:
            continue
        if write:
            path.write_text(now)
            print(f"docs: wrote {path}")
        else:
            yield f"{path} differs from what {program} prints; ./dev lint docs --write"


def rows(text):
    """Of each row the messages in the first column, and those in the others."""
    for line in text.splitlines():
        if line.startswith("| `"):
            first, *others = [CODE.findall(cell) for cell in line[1:].split(" | ")]
            yield ([code for code in first if not NO_MESSAGE.fullmatch(code)],
                   [code for codes in others for code in codes
                    if code.count(" ") >= 3 and not code.startswith("sluice ")])


def check_quoted(page, table, texts):
    """What the page quotes, the program says."""
    for first, others in table:
        for quoted in first + others:
            for part in filter(None, (part.strip() for part in quoted.split("…"))):
                if not any(part in text for text in texts):
                    yield f"{page}: no source says `{part}`"


def check_explained(page, table):
    """What the program warns of, the page explains."""
    told = {message for first, _ in table for message in first}
    for path, text in sources():
        if path.suffix != ".c" or path.parent.name == "base":
            continue
        for found in LOG.finditer(text):
            for message in literals(found[1] or found[2]):
                if message not in told:
                    yield f"{page}: does not explain `{message}` of {path}"


def check_names(path, text):
    for name in PATH.findall(text):
        if not Path(name).exists() and "FOLDER" not in name:
            yield f"{path}: there is no {name}"
    for name in LINK.findall(text):
        if not (path.parent / name).exists():
            yield f"{path}: links to {name}, which is not there"


def wrong(program, write):
    pages = sorted(Path("docs").rglob("*.md"))
    yield from check_printed(pages + sorted(Path("docs").rglob("*.schema.json")), program, write)
    texts = [part for _, text in sources()
             for part in (*literals(text), *re.findall(r"'[^']+'", text))]
    for path in [Path("README.md"), *pages]:
        text = path.read_text()
        yield from check_names(path, text)
        for block in MESSAGES.findall(text):
            table = list(rows(block))
            yield from check_quoted(path, table, texts)
            yield from check_explained(path, table)


def main(program, write):
    found = list(wrong(program, write))
    for text in found:
        print(f"docs: {text}")
    if not found:
        print("docs: the pages agree with the program")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], "--write" in sys.argv[2:]))
