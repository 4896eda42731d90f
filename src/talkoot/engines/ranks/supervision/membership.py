"""The membership of this process in the ranks that a launcher started: joined once, left at its exit."""

from __future__ import annotations

import atexit
import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, final

import torch.distributed as dist

from talkoot.core.errors import NodeSilent
from talkoot.engines.ranks.collectives.gpus import choose_gpu
from talkoot.engines.ranks.collectives.group import Group, GroupBroken, Peers, SingleRank
from talkoot.engines.ranks.collectives.torch_errors import STORE_ERRORS
from talkoot.engines.ranks.supervision.environment import Place, place
from talkoot.engines.ranks.supervision.failure_report import FailureReport


@final
class Membership:
    """A process's place among the ranks, and their current group.

    An error ends the group for all ranks; if they go on, they form the group of the next epoch.
    """

    def __init__(self, here: Place, timeout: float) -> None:
        self.place, self.timeout, self.epoch = here, timeout, 0
        self.store = None if here.world == 1 else _store(here, timeout)
        self.group: Peers | None = None
        self._old_group: Any = None

    @contextmanager
    def members(self) -> Iterator[Peers]:
        """The group; an error that one rank raises in this block is raised by all.

        Raises:
            NodeLost, NodeSilent: a rank is gone, or does not answer.
            NodeFailed: another rank raised; its traceback comes first.
        """
        report = FailureReport(self.store, self.place, self.epoch)
        try:
            self.group = self.group or self._group()
            yield self.group
        except GroupBroken as error:
            self.leave()
            raise report.explain(error) from error
        except Exception as error:
            with report.publish(error):
                self.leave()
            raise

    def leave(self) -> Any:
        """Leave the group; peers that wait for this rank fail once the returned object has been freed."""
        group, self.group, self.epoch = self.group, None, self.epoch + 1
        return None if group is None else group.close()

    def leave_together(self) -> None:
        """Leave once all ranks call this: an early leave breaks what slower ranks still read.

        The old group stays referenced for a while. Otherwise a DDP module that is freed later would free it,
        and wait for the group's threads while it holds the interpreter lock that one of them may need.
        """
        if self.group is not None:
            with suppress(GroupBroken):
                self.group.gather_numbers([0.0])
        self._old_group = self.leave()

    def end(self) -> None:
        """Leave for good and free every old group.

        The threads of a group free tensors: the process aborts if they do so after Python has ended.
        """
        self.leave()
        self._old_group = None
        gc.collect()

    def _group(self) -> Peers:
        if self.store is None:
            return SingleRank()
        self._old_group = None
        choose_gpu(self.place.local)
        return Group(
            self.store,
            epoch=self.epoch,
            rank=self.place.rank,
            world=self.place.world,
            timeout=self.timeout,
            patience=self.timeout,
        )


_MINE: dict[Place, Membership] = {}


def membership(timeout: float) -> Membership:
    """The membership of this process; one for each place that the environment names.

    Raises:
        PlanError: the environment contradicts itself.
        NodeSilent: the first rank cannot be reached.
    """
    here = place()
    if here not in _MINE:
        _MINE[here] = Membership(here, timeout)
        atexit.register(_MINE[here].end)
    mine = _MINE[here]
    if mine.timeout != timeout:
        mine.leave()
        mine.timeout = timeout
    return mine


def _store(here: Place, timeout: float) -> Any:
    """The store of this attempt; launchers that restart ranks count the attempts."""
    try:
        store = dist.TCPStore(
            here.host,
            here.port,
            here.world,
            is_master=here.rank == 0 and not here.served,
            timeout=timedelta(seconds=timeout),
            wait_for_workers=False,
        )
    except STORE_ERRORS as error:
        problem = "cannot listen" if here.rank == 0 and not here.served else "cannot be reached"
        raise NodeSilent(
            f"the first rank {problem} at {here.host}:{here.port}: {error}",
            node="rank 0",
            step="joining",
            cure="See whether it runs, and whether MASTER_ADDR and MASTER_PORT are the same for all ranks.",
        ) from error
    return dist.PrefixStore(f"attempt {os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
