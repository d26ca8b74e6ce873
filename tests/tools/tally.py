"""Adds up what ./dev test ran: tally.py FOLDER.

The folder holds one NAME.exit a step, its exit code, and NAME.xml (JUnit) where the step counted
its tests itself. A step without such a file is one test; a build counts only when it fails. The
exit code says whether anything failed.
"""

import sys
import xml.etree.ElementTree as xml
from pathlib import Path


def count_cases(path):
    """Passed and the names of failed; a skipped test is neither."""
    passed, failed = 0, []
    for case in xml.parse(path).iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            failed.append(case.get("name"))
        elif case.find("skipped") is None:
            passed += 1
    return passed, failed


def main(folder):
    passed, failed = 0, []
    for exit_file in sorted(folder.glob("*.exit")):
        name = exit_file.stem
        broken = exit_file.read_text().strip() != "0"
        cases = folder / f"{name}.xml"
        if cases.exists():
            step_passed, step_failed = count_cases(cases)
            passed += step_passed
            failed += [f"{name}: {case}" for case in step_failed]
            broken = broken and not step_failed
        elif not broken and not name.startswith("build "):
            passed += 1
        if broken:
            failed.append(name)
    print()
    for name in failed:
        print(f"failed: {name}")
    print(f"{passed} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
