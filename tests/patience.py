"""How long tests wait, at most, for what must come: a hang fails, a slow machine does not."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

PATIENCE = float(os.environ.get("TALKOOT_TEST_PATIENCE", "1"))
HANG = 300.0  # what takes longer on the slowest machine, busy with other things, hangs
NEVER = 3600.0  # a time limit that no test reaches: what ends before it was noticed, not given up


def patient(seconds: float = HANG) -> float:
    """A deadline in seconds, longer where TALKOOT_TEST_PATIENCE says so."""
    return seconds * PATIENCE


def soon(true: Callable[[], object], seconds: float = HANG) -> bool:
    """Whether something comes true while we wait."""
    ends = time.monotonic() + patient(seconds)
    while not (came := bool(true())) and time.monotonic() < ends:
        time.sleep(0.01)
    return came
