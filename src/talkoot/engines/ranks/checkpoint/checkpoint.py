"""Checkpoints of a run: each rank writes its share in the background; any number of ranks reads them.

DCP's pickled `.metadata` is written for other tools and never read here: our own index is JSON, and tensors
go through DCP's reader, which unpickles with `weights_only=True`. So a manipulated checkpoint can make a
model wrong but should not run code. Other tools that read `.metadata` can run code from it, and ranks
unpickle each other's messages: protect folder and group like your programs.
"""

from __future__ import annotations

import atexit
import shlex
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any, final

import torch.distributed as dist
from torch import Tensor
from torch.distributed import ProcessGroup
from torch.distributed.checkpoint.api import CheckpointException

from talkoot.core.errors import DataError, NodeLost, PlanError, TalkootError
from talkoot.engines.ranks.checkpoint.folder import Folder
from talkoot.engines.ranks.checkpoint.index import Index, join, split
from talkoot.engines.ranks.checkpoint.shards import (
    Planner,
    RanksDisconnected,
    Unreadable,
    Writer,
    read_shards,
    share,
    stage,
    targets,
    write_shards,
)

PATIENCE = 5.0  # seconds that a process waits at its exit for a checkpoint under way


@final
class Damaged(DataError):
    """A checkpoint that has changed since it was written."""


@final
class Checkpoints:
    """The checkpoints of one run, in one folder that all nodes see.

    A state is a nested dict of tensors, numbers, text, lists and tuples, such as ``{"module":
    module.state_dict(), "optimizer": optimizer.state_dict(), "step": 3}``. All ranks have the same state,
    except for the shards of a `DTensor`. With FSDP2, take the optimizer's part from
    `torch.distributed.checkpoint.state_dict.get_optimizer_state_dict` for saving and loading.
    A run that goes back to an earlier step and saves again removes the later steps.

    Args:
        folder: of the checkpoints; it need not exist.
        settings: of the training, by name. A folder belongs to one training; None if another process compares
            them.
        keep: number of checkpoints that stay, the newest ones.

    Raises:
        PlanError: keep is less than one, or the folder holds checkpoints of another training.

    >>> import tempfile, torch
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     checkpoints = Checkpoints(folder, settings={"batch": "32"})
    ...     module = torch.nn.Linear(2, 1)
    ...     checkpoints.save({"module": module.state_dict(), "step": 7}, 7, None)
    ...     checkpoints.wait()
    ...     state = {"module": torch.nn.Linear(2, 1).state_dict(), "step": 0}
    ...     checkpoints.load(state), bool((state["module"]["weight"] == module.weight).all())
    (7, True)
    """

    def __init__(
        self, folder: str | Path, *, settings: Mapping[str, str] | None = None, keep: int = 2
    ) -> None:
        if keep < 1:
            raise PlanError(f"keep={keep} would leave no checkpoint", cure="Keep at least one.")
        self.folder, self.keep = Folder(Path(folder), settings), keep
        self._writing: _Writing | None = None
        self._staged: dict[str, Tensor] = {}
        self.folder.check()

    @property
    def finished(self) -> int | None:
        """The step at which the training finished; None if it has not."""
        return self.folder.finished

    def finish(self, step: int) -> None:
        """Mark the training as finished, after the last checkpoint is on disk. Any rank may call this.

        Raises:
            DataError, NodeLost: as `wait`.
        """
        self.wait()
        try:
            self.folder.claim(finished=step)
        except OSError as error:
            raise self._explain(error, step) from error

    def latest(self) -> int | None:
        """The newest step with a complete checkpoint."""
        return max(self.folder.steps(), default=None)

    def save(self, state: Mapping[str, Any], step: int, group: ProcessGroup | None) -> None:
        """Copy this rank's share of `state` and write it in the background. All ranks of `group` call this.

        The state may change as soon as this returns. The copy's memory is used again by the next one: new
        memory would take several times as long. `group` is of gloo, and nothing else uses it until the
        writing is done; its timeout is the time until a silent rank is an error. It is None for one process.

        Raises:
            DataError: the state has a value that cannot be saved, or the previous checkpoint was not written.
            NodeLost: a rank was lost while the previous one was written.
        """
        self.wait()
        values, tensors = split(state)
        rank, world = (0, 1) if group is None else (dist.get_rank(group), dist.get_world_size(group))
        writer = Writer(self.folder, step, self.keep, values, world)
        mine = share(tensors, rank, world)
        self._staged = stage(mine, self._staged)
        planner = Planner(tensors, self._staged)
        write = partial(write_shards, mine, writer=writer, planner=planner, group=group)
        self._writing = _Writing(write, partial(self._explain, step=step))

    def wait(self) -> None:
        """Wait until the last checkpoint is on disk.

        Raises:
            DataError: it could not be written; complete checkpoints stay.
            NodeLost: a rank was lost before.
        """
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.wait()

    def load(self, state: dict[str, Any], group: ProcessGroup | None = None, step: int | None = None) -> int:
        """Restore `state` from a checkpoint of any number of ranks, and return its step. All ranks call this.

        Tensors are read in place where dtype and shape match; missing ones, such as the moments of a new
        optimizer, are created. Under "module" names, shapes and dtypes must match. The ranks agree on errors
        and on the step; None takes the newest.

        Raises:
            Damaged: a file is missing, cut short, or has changed since it was written.
            DataError: there is none, or it has other parameters.
            PlanError: the folder belongs to another training.
        """
        self.wait()
        found: int | None = _all_gather(self.latest() if step is None else step, group)[0]
        trouble = None
        try:
            self.folder.check()
            self._load(state, found)
        except TalkootError as error:
            trouble = error
        for each in _all_gather(trouble, group):  # all raise the same: what they do next depends on it
            if each is not None:
                raise each
        assert found is not None
        return found

    def _load(self, state: dict[str, Any], step: int | None) -> None:
        if step is None or not self.folder.place(step).is_dir():
            wanted = "no complete checkpoint" if step is None else f"no complete checkpoint of step {step}"
            raise DataError(f"{self.folder.path} has {wanted}", cure=self._cure(step))
        place = self.folder.place(step)
        try:
            index = Index.parse((place / Index.FILE).read_text())
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise self._damaged(f"{place / Index.FILE} cannot be read ({error})", step) from error
        if fault := index.fault(place):
            raise self._damaged(fault, step)
        tensors = targets(index, state, step)
        try:
            read_shards(place, index, tensors)
        except Unreadable as error:
            raise self._damaged(str(error), step) from error
        join(index.values, tensors, state)

    def _damaged(self, cause: str, step: int) -> Damaged:
        return Damaged(cause, step=f"step {step}", cure=self._cure(step))

    def _cure(self, step: int | None) -> str:
        """What the user can do, as a command where possible."""
        others = [each for each in self.folder.steps() if each != step]
        if not others:
            return "Start again in an empty folder."
        if step is None or not self.folder.place(step).is_dir():
            return f"Complete are the steps {', '.join(map(str, others))}."
        delete = shlex.join(["rm", "-r", str(self.folder.place(step))])
        return f"Start again after `{delete}`: step {max(others)} is complete."

    def _explain(self, error: BaseException, step: int) -> TalkootError:
        """The error of a write in the background, for the user."""
        newest = self.latest()
        rest = "No checkpoint is complete yet." if newest is None else f"Step {newest} is complete."
        at = f"checkpoint of step {step}"
        if isinstance(error, CheckpointException):
            rank, (failure, _) = next(iter(error.failures.items()))
            return self._explain(failure, step).at(node=f"rank {rank}")
        if isinstance(error, TalkootError):
            return error.at(step=at)
        if isinstance(error, RanksDisconnected):
            return NodeLost(f"a node was lost while it was written ({error})", step=at, cure=rest)
        cause = f"{self.folder.path} cannot be written to ({error})"
        return DataError(cause, step=at, cure=f"{rest} Make room, or take another folder.")


@final
class _Writing:
    """Writes a checkpoint on a thread, for which the exit of the process waits `PATIENCE` at most."""

    def __init__(self, write: Callable[[], None], explain: Callable[[BaseException], TalkootError]) -> None:
        self._error: BaseException | None = None
        self._explain = explain
        self._thread = Thread(target=self._run, args=[write], daemon=True, name="checkpoint")
        atexit.register(self._thread.join, PATIENCE)
        self._thread.start()

    def _run(self, write: Callable[[], None]) -> None:
        try:
            write()
        except BaseException as error:  # DCP's errors are not subclasses of Exception
            self._error = error

    def wait(self) -> None:
        """Wait until it is on disk."""
        self._thread.join()
        atexit.unregister(self._thread.join)
        if self._error is not None:
            raise self._explain(self._error) from self._error


def _all_gather(value: Any, group: ProcessGroup | None) -> list[Any]:
    """The values of all ranks."""
    if group is None:
        return [value]
    values = [None] * dist.get_world_size(group)
    dist.all_gather_object(values, value, group)
    return values
