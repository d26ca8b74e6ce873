"""Where the servers' and tools' versions are read: tests/e2e/stack.py."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))
