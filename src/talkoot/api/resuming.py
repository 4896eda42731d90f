"""Runs that go on after an interruption where their learner can, such as boosting: trees lie in a folder."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, final

import numpy as np

from talkoot.core.engine import Engine, Nodes, Progress, View
from talkoot.core.errors import PlanError
from talkoot.core.plan import Plan
from talkoot.core.round import Merged, Round
from talkoot.core.shard import Schema
from talkoot.engines.checkpoint import Checkpoint, wherever
from talkoot.formats.plans import plan_digest

NAME, WHOSE = "interim.npz", "whose"  # the file in the folder; the array in it that says whose it is


def resuming(nodes: Nodes, plan: Plan, schema: Schema, engine: Engine) -> Nodes:
    """Nodes of a run that goes on from the engine's folder, where it has one.

    Raises:
        PlanError: the learner cannot go on from a folder, and nodes do not see to it.
    """
    checkpoint = wherever(getattr(engine, "checkpoint", None))
    if checkpoint is None or type(nodes).resume is not Nodes.resume:
        return nodes
    if not plan.learner.resumes:
        raise PlanError(
            f"a fit of {plan.learner.name} cannot go on from the folder of checkpoint=: modules of torch "
            "can, and HistGradientBoosting, also as the last step of a Pipeline",
            cure="Leave checkpoint= out: after an interruption the fit starts from the beginning.",
        )
    return Resuming(nodes, plan, schema, checkpoint)


@final
class Resuming(Nodes):
    """Nodes of a run whose interim results are written to a folder.

    Args:
        nodes: the nodes.
        plan: what is run.
        schema: what they agreed on.
        checkpoint: where interim results go, and how often.
    """

    def __init__(self, nodes: Nodes, plan: Plan, schema: Schema, checkpoint: Checkpoint) -> None:
        self._nodes, self._learner, self._every = nodes, plan.learner, float(checkpoint.every)
        self._path, self._whose = Path(checkpoint.folder) / NAME, whose(plan, schema)
        self._written = time.monotonic()

    @property
    def names(self) -> tuple[str, ...]:
        """The nodes, in their order."""
        return self._nodes.names

    def place(self, plan: Plan, view: View | None = None) -> None:
        """What to do from now on."""
        self._nodes.place(plan, view)

    def round(self, rnd: Round, question: Any) -> Merged:
        """A round of the nodes."""
        return self._nodes.round(rnd, question)

    def deliver(self, model: Callable[[], bytes]) -> None:
        """Let nodes of other organisations have the fitted model."""
        self._nodes.deliver(model)

    def resume(self, progress: Progress) -> Progress:
        """Where to go on from: what is in the folder.

        Raises:
            PlanError: it is of another training, is damaged, or the folder cannot be written to.
        """
        found = _read(self._path, self._whose)
        _write(self._path, self._whose, found or {})  # tried before the first round
        return replace(progress, model=self._learner.resumed(progress.model, found)) if found else progress

    def record(self, progress: Progress) -> None:
        """Write the interim result, from time to time and at the end."""
        done = getattr(progress.model, "done", False)
        if not done and time.monotonic() - self._written < self._every:
            return
        found = self._learner.interim(progress.model)
        if found is not None:
            _write(self._path, self._whose, found)
            self._written = time.monotonic()


def whose(plan: Plan, schema: Schema) -> str:
    """What tells trainings apart that may not share a folder: the plan, the columns, the number of rows."""
    classes = None if schema.classes is None else schema.classes.tolist()
    facts = plan_digest(plan), schema.labels, schema.kinds, schema.rows, schema.target, classes
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def _write(path: Path, owner: str, found: Mapping[str, np.ndarray]) -> None:
    """Write a file that is whole or not there."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{NAME}.", delete=False) as file:
            try:
                arrays: dict[str, Any] = {**found, WHOSE: np.array(owner)}
                np.savez(file, **arrays)
                file.flush()
                os.fsync(file.fileno())
                os.replace(file.name, path)
            except BaseException:
                os.unlink(file.name)
                raise
    except OSError as error:
        cure = "Give checkpoint= a folder with room, which this process may write to."
        raise PlanError(f"{path.parent} cannot take what the run has learned: {error}", cure=cure) from None


def _read(path: Path, owner: str) -> dict[str, np.ndarray]:
    """What is in the folder; empty where there is nothing yet."""
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            found = dict(file)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, KeyError) as error:
        raise PlanError(
            f"{path} is damaged: {error}", cure="Delete it: the training starts from the beginning."
        ) from None
    if str(found.pop(WHOSE, None)) != owner:
        raise PlanError(
            f"{path.parent} belongs to another training: parameters, columns, classes or rows differ",
            cure="Give each training a folder of its own.",
        )
    return found
