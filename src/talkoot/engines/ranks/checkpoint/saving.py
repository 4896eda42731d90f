"""When checkpoints of a training are written, and their content."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, final

from talkoot.core.engine import Emit, ignore
from talkoot.core.errors import DataError, PlanError, TalkootError
from talkoot.engines.checkpoint import Checkpoint
from talkoot.engines.ranks.collectives.group import Peers
from talkoot.engines.ranks.collectives.objects import all_gather_object, broadcast_object
from talkoot.engines.ranks.supervision.stop_request import GO_ON, SAVE
from talkoot.engines.ranks.wrap import is_sharded
from talkoot.learners.deep.trainer import Trainer

if TYPE_CHECKING:
    from talkoot.engines.ranks.checkpoint.checkpoint import Checkpoints


class TrainingState(Protocol):
    """The content of a checkpoint."""

    unit: ClassVar[str]  # "step" or "round"

    @property
    def steps(self) -> int:
        """Steps or rounds done."""

    def state(self) -> dict[str, Any]:
        """The state to save: a nested dict of tensors and numbers."""

    def outline(self) -> dict[str, Any]:
        """A state with the same kinds of values, which changes nothing, even before the first step."""

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""


@final
@dataclass(slots=True, eq=False, kw_only=True)
class Saving:
    """Checkpoints of one rank in one epoch.

    An error before the first step ends the run; later it becomes a note and the run goes on, as a model that
    took days must not be lost because a disk is full.
    """

    checkpoints: Checkpoints | None = None  # of the run; None saves nothing
    every: float = math.inf  # seconds between two
    emit: Emit = ignore  # receives notes
    last: float = field(default_factory=time.monotonic)
    group: Any = None

    @classmethod
    def into(cls, where: Checkpoint | None, emit: Emit = ignore) -> Saving:
        """Checkpoints in a folder; without one nothing is saved."""
        if where is None:
            return cls()
        # imported here, as its imports of torch take a second
        from talkoot.engines.ranks.checkpoint.checkpoint import Checkpoints

        checkpoints = Checkpoints(where.folder, keep=where.keep)
        return cls(checkpoints=checkpoints, every=float(where.every), emit=emit)

    @contextmanager
    def locked(self, group: Peers) -> Iterator[None]:
        """In this block no other run may write to the folder.

        Raises:
            PlanError: another run does; raised at all ranks.
        """
        with ExitStack() as stack:
            if self.checkpoints is not None:
                with _shared_errors(group):
                    if group.rank == 0:
                        stack.enter_context(self.checkpoints.folder.locked())
            try:
                yield
            finally:
                if group.world == 1:  # else a rank that is lost would be waited for
                    self.wait()

    def pending(self) -> int:
        """SAVE if a checkpoint is due, else GO_ON."""
        due = self.checkpoints is not None and time.monotonic() - self.last >= self.every
        return SAVE if due else GO_ON

    def begin(
        self, training: TrainingState, group: Peers, settings: Mapping[str, str] | None, most: int | None
    ) -> None:
        """Claim the folder for this training, and go on from the newest checkpoint that can be read.

        `settings` are the first rank's; `most` is the number of steps or rounds until the end, if known.

        Raises:
            PlanError: the folder belongs to another training, or is further than this one will go.
            DataError: it cannot be written to, or holds no checkpoint that can be read.
        """
        if self.checkpoints is None:
            return
        with _shared_errors(group):
            self._claim(training, settings, most)
        steps: list[int] = broadcast_object(group, self.checkpoints.folder.steps(), 0)
        finished = self.checkpoints.finished
        if steps:
            step = self._load(steps, training, group)
            done = step == finished and (most is None or step >= most)
            rest = "the training was finished there, and nothing was left to do" if done else "and went on"
            self._note(f"it was at {training.unit} {step} in {self.checkpoints.folder.path}, {rest}")

    def _claim(self, training: TrainingState, settings: Mapping[str, str] | None, most: int | None) -> None:
        """Compare settings, and find errors of the first checkpoint before the first step."""
        assert self.checkpoints is not None
        from talkoot.engines.ranks.checkpoint.index import split

        split(training.outline())
        folder = self.checkpoints.folder = replace(self.checkpoints.folder, settings=settings)
        changes, newest = folder.check(), self.checkpoints.latest()
        if newest is not None and most is not None and newest > most:
            raise PlanError(
                f"{folder.path} holds a training at step {newest}, and this one ends at step {most}",
                cure="Take another folder, or as many epochs as that training had.",
            )
        if settings is not None and newest is not None and not folder.has_settings:
            self._note(f"{folder.path} has no settings of a training, so nothing was compared")
        if folder.finished is None or changes:
            folder.try_writing()
            if settings is not None:
                folder.claim()
        for change in changes:
            self._note(f"this goes on from {folder.path} with other settings: {change}")

    def _load(self, steps: list[int], training: TrainingState, group: Peers) -> int:
        """Load the newest of some steps that can be read; returns it."""
        assert self.checkpoints is not None
        from talkoot.engines.ranks.checkpoint.checkpoint import Damaged

        for step in reversed(steps):
            state = training.state()
            try:
                self.checkpoints.load(state, self._own_group(group), step)
            except Damaged as error:
                if group.rank == 0:
                    self.checkpoints.folder.mark_damaged(step)
                self._note(f"the checkpoint of step {step} is damaged and was left out: {error.cause}")
                continue
            training.restore(state)
            return step
        path = self.checkpoints.folder.path
        raise DataError(
            f"no checkpoint in {path} can be read: {', '.join(f'step {step}' for step in reversed(steps))}",
            cure=f"Start again: they were renamed to {path}/damaged-..., so the training begins anew.",
        )

    def save(self, training: TrainingState, group: Peers) -> None:
        """Write a checkpoint in the background."""
        if self.checkpoints is not None:
            self.wait()
            with self._errors_as_notes():
                self.checkpoints.save(training.state(), training.steps, self._own_group(group))
            self.last = time.monotonic()

    def wait(self) -> None:
        """Wait until the last checkpoint is on disk."""
        if self.checkpoints is not None:
            with self._errors_as_notes():
                self.checkpoints.wait()

    def finish(self, training: TrainingState, group: Peers) -> None:
        """Write the last checkpoint and mark the training as finished."""
        checkpoints = self.checkpoints
        if checkpoints is None:
            return
        there = False
        with self._errors_as_notes():
            there = checkpoints.finished == training.steps and checkpoints.latest() == training.steps
        if broadcast_object(group, there, 0):
            return
        self.save(training, group)
        with self._errors_as_notes():
            if group.rank == 0:
                checkpoints.finish(training.steps)
            else:
                checkpoints.wait()

    @contextmanager
    def _errors_as_notes(self) -> Iterator[None]:
        """Errors in this block become notes."""
        try:
            yield
        except TalkootError as error:
            self.emit("note", {"text": f"no checkpoint was written: {error}", "failed": True})

    def _note(self, text: str) -> None:
        self.emit("note", {"text": text})

    def _own_group(self, group: Peers) -> Any:
        """A group that only checkpoints use."""
        self.group = self.group or group.new_group()
        return self.group


@contextmanager
def _shared_errors(group: Peers) -> Iterator[None]:
    """An error that one rank raises in this block is raised by all ranks after it."""
    trouble = None
    try:
        yield
    except TalkootError as error:
        trouble = error
    for each in all_gather_object(group, trouble):
        if each is not None:
            raise each


@final
@dataclass(frozen=True, slots=True, eq=False)
class StepsState:
    """The state of a trainer in a checkpoint."""

    trainer: Trainer
    unit: ClassVar[str] = "step"

    @property
    def steps(self) -> int:
        """Steps done."""
        return self.trainer.steps

    def state(self) -> dict[str, Any]:
        """Parameters, the optimizer's state, its schedule, the step."""
        state = self.trainer.state()
        if is_sharded(self.trainer.module):
            from torch.distributed.checkpoint.state_dict import get_model_state_dict, get_optimizer_state_dict

            state["module"] = get_model_state_dict(self.trainer.module)
            state["optimizer"] = get_optimizer_state_dict(self.trainer.module, self.trainer.optimizer)
        return state

    def outline(self) -> dict[str, Any]:
        """The same without torch's helpers for sharded modules, which step an optimizer without state."""
        return self.trainer.state()

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        trainer = self.trainer
        if not is_sharded(trainer.module):
            return trainer.load(state)
        from torch.distributed.checkpoint.state_dict import set_model_state_dict, set_optimizer_state_dict

        set_model_state_dict(trainer.module, state["module"])
        set_optimizer_state_dict(trainer.module, trainer.optimizer, state["optimizer"])
        if trainer.scheduler is not None:
            trainer.scheduler.load_state_dict(state["scheduler"])
        trainer.steps = state["step"]
        return None
