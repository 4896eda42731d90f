"""A process that is a rank in one epoch after the other, as its coordinator requests."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, final

import torch
import torch.distributed as dist

from talkoot.core.engine import Run, ignore
from talkoot.core.errors import TalkootError
from talkoot.core.plan import Plan
from talkoot.core.run import explain, run
from talkoot.core.shard import Schema, Shard
from talkoot.engines.checkpoint import Checkpoint
from talkoot.engines.processes.host import Host, missing_module
from talkoot.engines.processes.messages import Task
from talkoot.engines.ranks.collectives.gpus import choose_gpu
from talkoot.engines.ranks.collectives.group import EpochCancelled, Group, GroupBroken
from talkoot.engines.ranks.engine import GroupEngine
from talkoot.engines.ranks.supervision import stop_request
from talkoot.engines.ranks.supervision.channel import Channel
from talkoot.engines.ranks.supervision.messages import (
    DISMISS,
    DRAIN,
    EnterEpoch,
    EpochBroken,
    RankDone,
    RankError,
    RankStopped,
    RunEvent,
)
from talkoot.engines.ranks.supervision.rank_state import RankState
from talkoot.engines.ranks.supervision.stop_request import Stopped, StopRequest
from talkoot.learners.deep.torch_private import load_compiler

_TIMEOUT = 60.0  # minimum timeout between ranks in seconds; raised to twice `silence`
PATIENCE = 3600.0  # seconds that others may be at a step or round; the coordinator sees whether they live


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Train(Task):
    """What a process needs to be a rank, beside the plan and the shards."""

    schema: Schema  # what the nodes agreed on
    silence: float  # seconds without a sign of life after which the coordinator gives up a rank
    threads: int  # cores of this rank
    checkpoint: Checkpoint | None

    @property
    def timeout(self) -> float:
        """Seconds that one rank may keep the others waiting."""
        return max(_TIMEOUT, 2 * self.silence)

    def prepare(self) -> None:
        """Import what every optimizer loads."""
        load_compiler()

    def run(self, sock: socket.socket, host: Host) -> None:
        """Be a rank until dismissed."""
        sock.settimeout(None)
        channel = Channel(sock)
        if host.trouble is not None or host.plan is None:
            error = host.trouble or RuntimeError("it got no plan")
            channel.send(RankError(explain(missing_module(error) or error, "a rank", "unpacking")))
        else:
            RankProcess(channel, host.plan, host.shards, self).serve()


@final
@dataclass(slots=True, eq=False)
class RankProcess:
    """One rank's side of a training; `channel` leads to the coordinator."""

    channel: Channel
    plan: Plan
    shards: Mapping[str, Shard]
    job: Train
    rank_state: RankState = field(default_factory=RankState)
    stop_request: StopRequest = field(default_factory=StopRequest)
    unread: list[Any] = field(default_factory=list)  # messages that came during an epoch

    def serve(self) -> None:
        """Enter epochs until dismissed.

        Raises:
            EOFError, OSError: the coordinator is gone.
        """
        torch.set_num_threads(self.job.threads)
        self.stop_request.poll = self._requested
        with self.stop_request.on_sigterm():
            while (message := self._next()) != DISMISS:
                if isinstance(message, EnterEpoch):
                    self._enter(message)

    def _next(self) -> Any:
        return self.unread.pop(0) if self.unread else self.channel.receive()

    def _requested(self) -> int:
        """What the coordinator requests: any message during an epoch ends it."""
        while self.channel.waiting():
            self.unread.append(self.channel.receive())
        if DRAIN in self.unread:
            return stop_request.DRAIN
        return stop_request.REGROUP if self.unread else stop_request.GO_ON

    def _enter(self, epoch: EnterEpoch) -> None:
        message: Any
        self.unread += [DRAIN] * epoch.drain
        try:
            message = RankDone(epoch.epoch, self._run(epoch))
        except EpochCancelled:
            return
        except GroupBroken as error:
            message = EpochBroken(epoch.epoch, str(error))
        except Stopped as stop:
            message = RankStopped(stop.step, self.stop_request.terminated)
        except (Exception, SystemExit) as error:  # sys.exit() in a task is an error of the task
            message = RankError(self._explain(error, epoch.rank))
        self.channel.send(message)

    def _run(self, epoch: EnterEpoch) -> Run | None:
        """Train in this epoch; the result at the first rank."""
        timeout = timedelta(seconds=self.job.timeout)
        choose_gpu(epoch.rank)
        store = dist.TCPStore(*epoch.address, is_master=False, timeout=timeout)
        group = Group(
            store,
            epoch=epoch.epoch,
            rank=epoch.rank,
            world=epoch.world,
            timeout=self.job.timeout,
            patience=max(PATIENCE, self.job.timeout),
            cancelled=self.channel.waiting,
        )
        with closing(group):
            engine = GroupEngine(
                group=group,
                rank_state=self.rank_state,
                stop_request=self.stop_request,
                checkpoint=self.job.checkpoint,
            )
            emit = self._emit if epoch.rank == 0 else ignore
            result = run(self.plan, self.shards, engine, schema=self.job.schema, emit=emit)
        return result if epoch.rank == 0 else None

    def _emit(self, event: str, facts: Mapping[str, Any]) -> None:
        self.channel.send(RunEvent(event, facts))

    def _explain(self, error: BaseException, rank: int) -> TalkootError:
        """The error with its traceback, and where it was."""
        trainer = self.rank_state.trainer
        when = "before the first step" if trainer is None else f"step {trainer.steps}"
        return explain(missing_module(error) or error, f"rank {rank}", when)
