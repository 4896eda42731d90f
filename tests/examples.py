"""How many examples a law is tried with: all of them in make test-all, a share elsewhere."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import settings

ALL = 100  # examples of a law that names no number, in make test-all


def examples(most: int, **others: Any) -> settings:
    """Settings with the share of `most` examples that the profile takes, and others of Hypothesis."""
    return settings(max_examples=math.ceil(most * settings().max_examples / ALL), **others)
