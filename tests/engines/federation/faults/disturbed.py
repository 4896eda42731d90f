"""What programs under faults have besides: a clock that a file sets, and connections given up soon."""

from __future__ import annotations

import time
from pathlib import Path

BEAT, LEASE, LONGEST = 0.5, 3.0, 1.0  # seconds, in place of 5, 20 and 30
COMMAND = """
import sys, disturbed
disturbed.prepare(sys.argv[-1])
from talkoot.cli import main
sys.exit(main())
"""


def prepare(folder: str) -> None:
    """Before anything else is imported."""
    from talkoot.engines.federation.link import greeting

    greeting.BEAT, greeting.LEASE = BEAT, LEASE
    greeting.DELAYS = (greeting.DELAYS[0], LONGEST)
    file, true = Path(folder) / "clock", time.time

    def shown() -> float:
        try:
            return true() + float(file.read_text())
        except (OSError, ValueError):
            return true()

    time.time = shown
