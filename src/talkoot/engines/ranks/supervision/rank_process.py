"""A process that is a rank of one epoch after the other, as its director says."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, final

import torch
import torch.distributed as dist

from talkoot.core.errors import TalkootError
from talkoot.core.plan import Plan
from talkoot.core.run import explain, run
from talkoot.core.shard import Shard
from talkoot.engines.processes.host import Host, missing_module
from talkoot.engines.ranks.collectives.group import Group, GroupBroken, Withdrawn
from talkoot.engines.ranks.engine import Joined
from talkoot.engines.ranks.supervision import stop_request as pause
from talkoot.engines.ranks.supervision.channel import Channel
from talkoot.engines.ranks.supervision.messages import (
    DISMISS,
    DRAIN,
    Broken,
    Ended,
    Enter,
    Failed,
    Left,
    Told,
    Train,
)
from talkoot.engines.ranks.supervision.rank_state import RankState
from talkoot.engines.ranks.supervision.stop_request import Stopped, StopRequest

PATIENCE = 3600.0  # seconds that others may be at a step or round; the director sees whether they live


@final
@dataclass(slots=True, eq=False)
class RankProcess:
    """One rank's side of a training.

    Args:
        channel: to the director.
        plan: what is run.
        shards: the samples of all nodes.
        job: the rest.
    """

    channel: Channel
    plan: Plan
    shards: Mapping[str, Shard]
    job: Train
    memory: RankState = field(default_factory=RankState)
    pause: StopRequest = field(default_factory=StopRequest)
    heard: list[Any] = field(default_factory=list)

    def serve(self) -> None:
        """Enter epochs until dismissed.

        Raises:
            EOFError, OSError: the director is gone.
        """
        torch.set_num_threads(self.job.threads)
        self.pause.look = self._wish
        with self.pause.on_sigterm():
            while (message := self._next()) != DISMISS:
                if isinstance(message, Enter):
                    self._enter(message)

    def _next(self) -> Any:
        return self.heard.pop(0) if self.heard else self.channel.receive()

    def _wish(self) -> int:
        """What the director wants, which shows in what it has said meanwhile."""
        while self.channel.waiting():
            self.heard.append(self.channel.receive())
        if DRAIN in self.heard:
            return pause.DRAIN
        return pause.REGROUP if self.heard else pause.GO_ON

    def _enter(self, epoch: Enter) -> None:
        try:
            said: Any = self._epoch(epoch)
        except Withdrawn:
            return
        except GroupBroken as error:
            said = Broken(epoch.epoch, str(error))
        except Stopped as stop:
            said = Left(stop.step, stop.wish == pause.DRAIN, self.pause.terminated)
        except (Exception, SystemExit) as error:  # sys.exit() in a task is an error of the task
            said = Failed(self._explained(error, epoch.rank))
        self.channel.send(said)

    def _epoch(self, epoch: Enter) -> Ended:
        timeout = timedelta(seconds=self.job.timeout)
        store = dist.TCPStore(epoch.host, epoch.port, is_master=False, timeout=timeout)
        group = Group(
            store,
            epoch=epoch.epoch,
            rank=epoch.rank,
            world=epoch.world,
            timeout=self.job.timeout,
            patience=max(PATIENCE, self.job.timeout),
            withdrawn=self.channel.waiting,
        )
        if torch.cuda.is_available():
            torch.cuda.set_device(epoch.rank % torch.cuda.device_count())
        with closing(group):
            engine = Joined(group=group, memory=self.memory, pause=self.pause, checkpoint=self.job.checkpoint)
            emit = self._tell if epoch.rank == 0 else lambda event, facts: None
            done = run(self.plan, self.shards, engine, schema=self.job.schema, emit=emit)
        return Ended(epoch.epoch, done if epoch.rank == 0 else None)

    def _tell(self, event: str, facts: Mapping[str, Any]) -> None:
        self.channel.send(Told(event, facts))

    def _explained(self, error: BaseException, rank: int) -> TalkootError:
        """The error with its traceback, and where it was."""
        trainer = self.memory.trainer
        when = "before the first step" if trainer is None else f"step {trainer.steps}"
        return explain(missing_module(error) or error, f"rank {rank}", when)


def serve(channel: Channel, host: Host, job: Train) -> None:
    """Be a rank until the director dismisses this process.

    Args:
        channel: to the director.
        host: the plan and the shards, or why they could not be unpacked.
        job: the rest.
    """
    if host.trouble is not None or host.plan is None:
        error = host.trouble or RuntimeError("it got no plan")
        channel.send(Failed(explain(missing_module(error) or error, "a rank", "unpacking")))
        return
    RankProcess(channel, host.plan, host.shards, job).serve()
