"""Where checkpoints of deep learning go, and how often."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import final

from talkoot.core.errors import PlanError
from talkoot.core.sync import duration


@final
@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where checkpoints go, and how often; engines take a plain folder as well.

    They are written beside the training, by every node its share, and hold what training goes on from to the
    same answer: parameters, the optimizer's state, its schedule, the step. They load on any number of nodes.

    Args:
        folder: one folder for one plan, which all nodes see; it need not exist.
        every: time between two, in seconds or as text such as ``"10m"``. The last state is saved anyway.
        keep: how many of the newest stay.

    Raises:
        PlanError: a number that makes no sense.

    >>> import talkoot as tk
    >>> tk.Local(2, checkpoint=tk.Checkpoint("/data/run-7", every="10m")).checkpoint.every
    600.0
    """

    folder: str | Path
    every: float | str = 60.0
    keep: int = 2

    def __post_init__(self) -> None:
        every = duration(self.every)
        if every is None or not 0 <= every < math.inf or self.keep < 1:
            raise PlanError(
                f"every={self.every!r} and keep={self.keep!r} make no sense",
                cure='Write every="10m", and keep one or more.',
            )
        object.__setattr__(self, "every", every)
        object.__setattr__(self, "folder", str(self.folder))


def wherever(said: str | Path | Checkpoint | None) -> Checkpoint | None:
    """Checkpoints as every process finds them, wherever it was started.

    >>> wherever(None) is None, wherever("/data/run-7")
    (True, Checkpoint(folder='/data/run-7', every=60.0, keep=2))
    """
    if said is None:
        return None
    made = said if isinstance(said, Checkpoint) else Checkpoint(said)
    return Checkpoint(Path(made.folder).absolute(), made.every, made.keep)
