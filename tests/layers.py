#!/usr/bin/python3
"""A folder of the program includes only folders below it, and never a test.

    base <- config, aws, event <- export <- checkpoint, sinks <- consumer <- ops <- main.c

Folders of one level know nothing of each other.
"""

import re
import sys
from pathlib import Path

LEVELS = [["base"], ["config", "aws", "event"], ["export"], ["checkpoint", "sinks"], ["consumer"],
          ["ops"], ["main.c"]]
INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"')


def below(level):
    return {folder for lower in LEVELS[:level] for folder in lower}


def violations(path, allowed, folder):
    for number, line in enumerate(path.read_text().splitlines(), 1):
        found = INCLUDE.match(line)
        if not found:
            continue
        parts = found[1].split("/")
        included = parts[0] if len(parts) > 1 else folder
        if included != folder and included not in allowed:
            yield f"{path}:{number}: {folder} may not include {found[1]}; it may include " \
                  f"{', '.join(sorted(allowed)) or 'nothing'}"


def main():
    found = []
    for level, folders in enumerate(LEVELS):
        for folder in folders:
            place = Path(folder)
            files = [place] if place.is_file() else sorted(place.rglob("*.[ch]"))
            for path in files:
                found += violations(path, below(level), folder)
    print("\n".join(found) if found else "layers: every include points down")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
