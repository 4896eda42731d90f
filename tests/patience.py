"""How long tests wait, at most, for what must come: a hang fails, a slow machine does not."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

PATIENCE = float(os.environ.get("TALKOOT_TEST_PATIENCE", "1"))


def patient(seconds: float) -> float:
    """A deadline that guards against a hang, in seconds of a machine that is in no hurry."""
    return seconds * PATIENCE


def soon(true: Callable[[], object], seconds: float = 60.0) -> bool:
    """Whether something comes true while we wait."""
    ends = time.monotonic() + patient(seconds)
    while not (came := bool(true())) and time.monotonic() < ends:
        time.sleep(0.02)
    return came
