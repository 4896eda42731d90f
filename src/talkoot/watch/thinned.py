"""Fewer and fewer reports of a run without an end, so that its log and its memory stay small."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from talkoot.core.engine import Emit

OFTEN = ("round", "rows", "stream")  # events that come again and again


def thinned(emit: Emit) -> Emit:
    """A listener that passes on the first 1,000 reports of a kind, and of ten times as many a tenth.

    What failed, was not counted or was found is always passed on, and so are all other events.

    >>> received: list[int] = []
    >>> few = thinned(lambda event, facts: received.append(facts["round"]))
    >>> for number in range(100_000):
    ...     few("round", {"round": number})
    >>> len(received), received[998:1002], received[-1]
    (2800, [998, 999, 1000, 1010], 99900)
    """
    counts: Counter[str] = Counter()

    def some(event: str, facts: Mapping[str, Any]) -> None:
        number, unusual = counts[event], facts.get("failed") or facts.get("findings")
        counts[event] += 1
        if event not in OFTEN or unusual or not facts.get("committed", True) or _passed(number):
            emit(event, facts)

    return some


def _passed(number: int) -> bool:
    step: int = 10 ** max(0, len(str(number)) - 3)
    return number % step == 0
