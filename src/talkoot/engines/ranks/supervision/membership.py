"""One process among the ranks that a launcher started: joined once, told of errors, left at its end."""

from __future__ import annotations

import atexit
import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, final

import torch
import torch.distributed as dist

from talkoot.core.errors import NodeSilent
from talkoot.engines.ranks.collectives.group import Alone, Group, GroupBroken, Peers
from talkoot.engines.ranks.supervision.environment import Place, place
from talkoot.engines.ranks.supervision.failure_report import FailureReport


@final
class Membership:
    """A process's place among the ranks, and the group that they are now.

    An error ends the group for all ranks; they form another one, of the next epoch, if they go on.
    """

    def __init__(self, here: Place, timeout: float) -> None:
        self.place, self.timeout, self.epoch = here, timeout, 0
        self.store = None if here.world == 1 else _store(here, timeout)
        self.group: Peers | None = None
        self._left: Any = None

    @contextmanager
    def members(self) -> Iterator[Peers]:
        """The group; what one rank raises in here, all of them raise.

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
            raise report.on_others(error) from error
        except Exception as error:
            with report.own(error):
                self.leave()
            raise

    def leave(self) -> Any:
        """Leave the group; who still waits for this rank hears of it once what is left has been dropped."""
        group, self.group, self.epoch = self.group, None, self.epoch + 1
        return None if group is None else group.close()

    def part(self) -> None:
        """Leave once all are here to do so: who leaves early breaks what slower ranks still read.

        What is left is kept for a while. Else a DDP of the group that is freed next would be the last to have
        it, and wait for its threads with the interpreter in hand, for which one of them may be waiting.
        """
        if self.group is not None:
            with suppress(GroupBroken):
                self.group.numbers([0.0])
        self._left = self.leave()

    def end(self) -> None:
        """Leave for good, with all that still holds on to a group of the past.

        The threads of a group drop tensors: the process aborts if there is no Python any more when they do.
        """
        self.leave()
        self._left = None
        gc.collect()

    def _group(self) -> Peers:
        if self.store is None:
            return Alone()
        self._left = None
        if torch.cuda.is_available():
            torch.cuda.set_device(self.place.local)
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
    """The membership of this process, the same one as long as the environment says the same.

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
    """Where the ranks of this attempt find each other; launchers that restart ranks count the attempts."""
    try:
        store = dist.TCPStore(
            here.host,
            here.port,
            here.world,
            is_master=here.rank == 0 and not here.served,
            timeout=timedelta(seconds=timeout),
            wait_for_workers=False,
        )
    except (dist.DistError, RuntimeError) as error:
        doing = "cannot listen" if here.rank == 0 and not here.served else "cannot be reached"
        raise NodeSilent(
            f"the first rank {doing} at {here.host}:{here.port}: {error}",
            node="rank 0",
            step="joining",
            cure="See whether it runs, and whether MASTER_ADDR and MASTER_PORT are the same for all ranks.",
        ) from error
    return dist.PrefixStore(f"attempt {os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
