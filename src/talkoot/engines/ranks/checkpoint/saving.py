"""When checkpoints of a training are written, and what is in them."""

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
from talkoot.engines.processes import wire
from talkoot.engines.ranks.collectives.group import Peers
from talkoot.engines.ranks.supervision.stop_request import GO_ON, SAVE
from talkoot.engines.ranks.wrap import is_sharded
from talkoot.learners.deep.trainer import Trainer

if TYPE_CHECKING:
    from talkoot.engines.ranks.checkpoint.checkpoint import Checkpoints


class Kept(Protocol):
    """What goes into a checkpoint.

    Attributes:
        unit: "step" or "round".
    """

    unit: ClassVar[str]

    @property
    def steps(self) -> int:
        """Steps or rounds done."""

    def state(self) -> dict[str, Any]:
        """All that it goes on from: a nested dict of tensors and numbers."""

    def outline(self) -> dict[str, Any]:
        """What kinds of things that will be; to ask leaves all as it is, also before the first step."""

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from there."""


@final
@dataclass(slots=True, eq=False, kw_only=True)
class Saving:
    """Checkpoints of one rank in one epoch.

    What goes wrong with them before the first step ends the run; later it is noted, and the run goes on: a
    model that took days must not be lost for want of a place to keep it.

    Args:
        checkpoints: where they go; None for nowhere.
        every: seconds between two.
        emit: hears what is worth a note.
    """

    checkpoints: Checkpoints | None = None
    every: float = math.inf
    emit: Emit = ignore
    last: float = field(default_factory=time.monotonic)
    group: Any = None

    @classmethod
    def into(cls, where: Checkpoint | None, emit: Emit = ignore) -> Saving:
        """Checkpoints in that place; none without one."""
        if where is None:
            return cls()
        from talkoot.engines.ranks.checkpoint.checkpoint import (
            Checkpoints,  # what it needs of torch takes a second
        )

        checkpoints = Checkpoints(where.folder, keep=where.keep)
        return cls(checkpoints=checkpoints, every=float(where.every), emit=emit)

    @contextmanager
    def opened(self, group: Peers) -> Iterator[None]:
        """Hold the folder against other runs while this lasts.

        Raises:
            PlanError: another run holds it; at all ranks.
        """
        with ExitStack() as stack:
            if self.checkpoints is not None:
                with _together(group):
                    if group.rank == 0:
                        stack.enter_context(self.checkpoints.folder.locked())
            try:
                yield
            finally:
                if group.world == 1:  # else a rank that is lost would be waited for
                    self.wait()

    def wish(self) -> int:
        """To save, if it is time to."""
        due = self.checkpoints is not None and time.monotonic() - self.last >= self.every
        return SAVE if due else GO_ON

    def begin(self, kept: Kept, group: Peers, settings: Mapping[str, str] | None, most: int | None) -> None:
        """Take the folder for this training, and go on from the newest checkpoint that can be read.

        Args:
            kept: what goes into checkpoints.
            group: all ranks.
            settings: of the training, at the first rank.
            most: steps or rounds until the end, if known.

        Raises:
            PlanError: the folder is another training's, or further than this one is to go.
            DataError: it cannot be written to, or holds no checkpoint that can be read.
        """
        if self.checkpoints is None:
            return
        with _together(group):
            self._claim(kept, settings, most)
        steps: list[int] = wire.unpacked(group.gather(wire.packed(self.checkpoints.folder.steps()))[0])
        finished = self.checkpoints.finished
        if steps:
            step = self._load(steps, kept, group)
            done = step == finished and (most is None or step >= most)
            rest = "the training was finished there, and nothing was left to do" if done else "and went on"
            self._note(f"it was at {kept.unit} {step} in {self.checkpoints.folder.path}, {rest}")

    def _claim(self, kept: Kept, settings: Mapping[str, str] | None, most: int | None) -> None:
        """Compare, and find out before the first step what would go wrong at the first checkpoint."""
        assert self.checkpoints is not None
        from talkoot.engines.ranks.checkpoint.index import split

        split(kept.outline())
        folder = self.checkpoints.folder = replace(self.checkpoints.folder, settings=settings)
        changes, newest = folder.check(), self.checkpoints.latest()
        if newest is not None and most is not None and newest > most:
            raise PlanError(
                f"{folder.path} holds a training at step {newest}, and this one ends at step {most}",
                cure="Take another folder, or as many epochs as that training had.",
            )
        if settings is not None and newest is not None and not folder.claimed:
            self._note(f"{folder.path} does not say whose checkpoints it holds: nothing was compared")
        if folder.finished is None or changes:
            folder.try_writing()
            if settings is not None:
                folder.claim()
        for change in changes:
            self._note(f"this goes on from {folder.path} with other settings: {change}")

    def _load(self, steps: list[int], kept: Kept, group: Peers) -> int:
        """The newest of some steps that can be read."""
        assert self.checkpoints is not None
        from talkoot.engines.ranks.checkpoint.checkpoint import Damaged

        for step in reversed(steps):
            state = kept.state()
            try:
                self.checkpoints.load(state, self._wire(group), step)
            except Damaged as error:
                if group.rank == 0:
                    self.checkpoints.folder.set_aside(step)
                self._note(f"the checkpoint of step {step} is damaged and was left out: {error.cause}")
                continue
            kept.restore(state)
            return step
        path = self.checkpoints.folder.path
        raise DataError(
            f"no checkpoint in {path} can be read: {', '.join(f'step {step}' for step in reversed(steps))}",
            cure=f"Start again: they were renamed to {path}/damaged-..., so the training begins anew.",
        )

    def save(self, kept: Kept, group: Peers) -> None:
        """Write one beside the training."""
        if self.checkpoints is not None:
            self.wait()
            with self._noted():
                self.checkpoints.save(kept.state(), kept.steps, self._wire(group))
            self.last = time.monotonic()

    def wait(self) -> None:
        """Until the last one is on disk."""
        if self.checkpoints is not None:
            with self._noted():
                self.checkpoints.wait()

    def finish(self, kept: Kept, group: Peers) -> None:
        """Write the last one, and that the job is finished: who starts it again finds it so."""
        checkpoints = self.checkpoints
        if checkpoints is None:
            return
        there = False
        with self._noted():
            there = checkpoints.finished == kept.steps and checkpoints.latest() == kept.steps
        if wire.unpacked(group.gather(wire.packed(there))[0]):  # as the first rank sees it, for all
            return
        self.save(kept, group)
        with self._noted():
            if group.rank == 0:
                checkpoints.finish(kept.steps)
            else:
                checkpoints.wait()

    @contextmanager
    def _noted(self) -> Iterator[None]:
        """What goes wrong in this context becomes a note."""
        try:
            yield
        except TalkootError as error:
            self.emit("note", {"text": f"no checkpoint was written: {error}", "failed": True})

    def _note(self, text: str) -> None:
        self.emit("note", {"text": text})

    def _wire(self, group: Peers) -> Any:
        """A group that nothing else uses."""
        self.group = self.group or group.aside()
        return self.group


@contextmanager
def _together(group: Peers) -> Iterator[None]:
    """What one rank raises in this context, all ranks raise behind it."""
    trouble = None
    try:
        yield
    except TalkootError as error:
        trouble = error
    for said in group.gather(wire.packed(trouble)):
        if (theirs := wire.unpacked(said)) is not None:
            raise theirs


@final
@dataclass(frozen=True, slots=True, eq=False)
class Training:
    """A trainer, as a checkpoint holds it."""

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
        """The same, but not by torch's helpers for sharded modules: they step an optimizer without state."""
        return self.trainer.state()

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from there."""
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
