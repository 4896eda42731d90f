"""When checkpoints of a training are written, and what is in them."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, final

from talkoot.engines.checkpoint import Checkpoint
from talkoot.engines.ranks.group import Peers
from talkoot.engines.ranks.pause import GO_ON, SAVE
from talkoot.engines.ranks.wrap import is_sharded
from talkoot.learners.deep.trainer import Trainer

if TYPE_CHECKING:
    from talkoot.engines.ranks.checkpoint import Checkpoints


class Kept(Protocol):
    """What goes into a checkpoint."""

    @property
    def steps(self) -> int:
        """Steps or rounds done."""

    def state(self) -> dict[str, Any]:
        """All that it goes on from: a nested dict of tensors and numbers."""

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from there."""


@final
@dataclass(slots=True, eq=False, kw_only=True)
class Saving:
    """Checkpoints of one rank in one epoch.

    Args:
        checkpoints: where they go; None for nowhere.
        every: seconds between two.
    """

    checkpoints: Checkpoints | None = None
    every: float = math.inf
    last: float = field(default_factory=time.monotonic)
    group: Any = None

    @classmethod
    def into(cls, where: Checkpoint | None, digest: str) -> Saving:
        """Checkpoints of the plan with this digest; none without a place for them.

        Raises:
            PlanError: the folder holds checkpoints of another plan.
        """
        if where is None:
            return cls()
        from talkoot.engines.ranks.checkpoint import Checkpoints  # what it needs of torch takes a second

        checkpoints = Checkpoints(where.folder, digest=digest, keep=where.keep)
        return cls(checkpoints=checkpoints, every=float(where.every))

    def wish(self) -> int:
        """To save, if it is time to."""
        due = self.checkpoints is not None and time.monotonic() - self.last >= self.every
        return SAVE if due else GO_ON

    def load(self, kept: Kept, group: Peers) -> None:
        """Go on from the newest checkpoint, if there is one."""
        if self.checkpoints is None:
            return
        there = group.numbers([-1 if (step := self.checkpoints.latest()) is None else step])
        if there.max() >= 0:
            state = kept.state()
            self.checkpoints.load(state, self._wire(group), int(there.max()))
            kept.restore(state)

    def save(self, kept: Kept, group: Peers) -> None:
        """Write one beside the training."""
        if self.checkpoints is not None:
            self.checkpoints.save(kept.state(), kept.steps, self._wire(group))
            self.last = time.monotonic()

    def wait(self) -> None:
        """Until the last one is on disk."""
        if self.checkpoints is not None:
            self.checkpoints.wait()

    def finish(self, kept: Kept, group: Peers) -> None:
        """Write the last one, and that the job is finished: who starts it again finds it so."""
        if self.checkpoints is not None and self.checkpoints.finished is None:
            self.save(kept, group)
            self.checkpoints.finish(kept.steps)

    def _wire(self, group: Peers) -> Any:
        """A group that nothing else uses."""
        self.group = self.group or group.aside()
        return self.group


@final
@dataclass(frozen=True, slots=True, eq=False)
class Training:
    """A trainer, as a checkpoint holds it."""

    trainer: Trainer

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
