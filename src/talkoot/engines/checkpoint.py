"""Where checkpoints of deep learning go, and how often."""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from talkoot.core.errors import PlanError
from talkoot.core.sync import duration

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+")  # two letters or more: one is a drive


@final
@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where checkpoints go, and how often; engines take a plain folder as well.

    They are written beside the training, by every node its share, and hold what training goes on from to the
    same answer: parameters, the optimizer's state, its schedule, the step. They load on any number of nodes.

    A folder belongs to one training: one with other data, another module or optimizer, or other settings is
    refused, and what differs is named. More epochs are a continuation, and so are another `accumulate=`,
    `precision=`, device or, where nodes meet at every step, number of nodes.

    Args:
        folder: one folder for one training, which all nodes see; it need not exist. ``~`` is the home folder.
            Object stores (``s3://...``) are refused: they cannot rename a folder in one go, which is what
            makes a checkpoint whole or not there; mount one, or copy the folder when the training is done.
        every: time between two, in seconds or as text such as ``"10m"``. The last state is saved anyway.
        keep: how many of the newest stay.

    Raises:
        PlanError: a number that makes no sense, or an address that is no folder.

    >>> import talkoot as tk
    >>> tk.Local(2, checkpoint=tk.Checkpoint("/data/run-7", every="10m")).checkpoint.every
    600.0
    """

    folder: str | Path
    every: float | str = 60.0
    keep: int = 2

    def __post_init__(self) -> None:
        every = duration(self.every)
        if not 0 <= every < math.inf or self.keep < 1:
            raise PlanError(
                f"every={self.every!r} and keep={self.keep!r} make no sense",
                cure='Write every="10m", and keep one or more.',
            )
        object.__setattr__(self, "every", every)
        object.__setattr__(self, "folder", local(self.folder))


def local(folder: Any) -> str:
    """The path of a folder that somebody named, with ``~`` and ``file://`` resolved.

    Raises:
        PlanError: it is none, or an address of something else.

    >>> local("file:///data/run-7")
    '/data/run-7'
    """
    if not isinstance(folder, str | os.PathLike) or not (text := os.fspath(folder)).strip():
        raise PlanError(f"checkpoint={folder!r} is no folder", cure='Write checkpoint="folder".')
    scheme, colon, rest = text.partition(":")
    if colon and scheme == "file":
        text = "/" + rest.lstrip("/")
    elif colon and _SCHEME.fullmatch(scheme) and rest.startswith("/"):
        raise PlanError(
            f"checkpoints cannot go to {text}: a checkpoint becomes complete by renaming a folder in one go, "
            f"which {scheme}: cannot do",
            cure="Take a folder of a file system that all nodes see, mount that storage as one, or copy the "
            "folder there when the training is done.",
        )
    try:
        return str(Path(text).expanduser())
    except RuntimeError as error:
        raise PlanError(f"checkpoint={text!r}: {error}", cure="Write the whole path.") from None


def wherever(said: str | Path | Checkpoint | None) -> Checkpoint | None:
    """Checkpoints as every process finds them, wherever it was started.

    >>> wherever(None) is None, wherever("/data/run-7")
    (True, Checkpoint(folder='/data/run-7', every=60.0, keep=2))
    """
    if said is None:
        return None
    made = said if isinstance(said, Checkpoint) else Checkpoint(said)
    return Checkpoint(Path(made.folder).absolute(), made.every, made.keep)
