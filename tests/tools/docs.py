"""The documentation holds what the program prints about itself: docs.py PROGRAM.

Between `<!-- COMMAND -->` and `<!-- end -->` in a page of docs/ stands the output of that command,
for instance `<!-- sluice config reference -->`. A file docs/NAME.schema.json is the output of
`sluice config schema`. With --write the pages are brought up to date.
"""

import re
import subprocess
import sys
from pathlib import Path

BLOCK = re.compile(r"(<!-- sluice ([a-z ]+) -->\n)(.*?)(<!-- end -->)", re.S)


def output(program, command):
    return subprocess.run([program, *command.split()], check=True, capture_output=True,
                          text=True).stdout


def expected(path, text, program):
    if path.suffix == ".json":
        return output(program, "config schema")
    return BLOCK.sub(lambda block: block[1] + output(program, block[2]) + block[4], text)


def main(program, write):
    stale = []
    pages = sorted(Path("docs").rglob("*.md")) + sorted(Path("docs").rglob("*.schema.json"))
    for path in pages:
        text = path.read_text()
        now = expected(path, text, program)
        if now == text:
            continue
        stale.append(path)
        if write:
            path.write_text(now)
            print(f"docs: wrote {path}")
        else:
            print(f"docs: {path} differs from what {program} prints; ./dev lint docs --write")
    if not stale:
        print(f"docs: {len(pages)} pages agree with the program")
    return 1 if stale and not write else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], "--write" in sys.argv[2:]))
