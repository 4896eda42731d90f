"""Measures whether one process would train faster than these ranks."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final

import torch

from talkoot.core.engine import Emit
from talkoot.core.shard import Shard
from talkoot.data.samples.base import samples_of
from talkoot.engines.ranks.collectives.group import Peers
from talkoot.learners.deep.task import Torch
from talkoot.learners.deep.trainer import Trainer

TRIALS = 5  # steps that are timed, after one that warms up
SHARE = 20  # the rest of the training must have this many times as many steps
GAIN = 1.1  # advise one process if it is this many times as fast
_REPORTS = 3  # reports until the speed of the ranks is stable


@final
@dataclass(slots=True, eq=False)
class Advice:
    """Times the steps of all ranks on one of them, once, where that takes little of the training.

    It trains a copy and discards it. The other ranks wait at their next exchange. If one process is
    faster, it emits an "advice".
    """

    task: Torch
    shards: Mapping[str, Shard]
    group: Peers
    emit: Emit
    reports: int = 0
    since: tuple[float, int] = field(default=(0.0, 0))

    def consider(self, trainer: Trainer, total: int) -> None:
        """Call after each report; measures once."""
        self.reports += 1
        if self.reports == 1:
            self.since = time.perf_counter(), trainer.steps
        if self.reports != _REPORTS or self.group.rank != 0 or not self._possible(trainer):
            return
        began, first = self.since
        together = (time.perf_counter() - began) / max(1, trainer.steps - first)
        if (total - trainer.steps) < SHARE * TRIALS:
            return
        alone = _time_alone(self.task, self.shards, trainer, self.group.world * torch.get_num_threads())
        if together > GAIN * alone:
            self._advise(together, alone)

    def _possible(self, trainer: Trainer) -> bool:
        """Whether all ranks and all samples are on this machine, in one source."""
        here = self.group.shared is not None and trainer.device.type == "cpu"
        return here and len({source.whole for source in samples_of(self.shards).values()}) == 1

    def _advise(self, together: float, alone: float) -> None:
        threads = self.group.world * torch.get_num_threads()
        fast, slow = self.task.batch / alone, self.task.batch / together
        text = (
            f"this model trains faster on one process with {threads} threads: "
            f"{fast:,.0f} against {slow:,.0f} samples/s; write on=tk.Inline(threads={threads})"
        )
        self.emit("advice", {"text": text, "alone": fast, "together": slow})


def _time_alone(task: Torch, shards: Mapping[str, Shard], trainer: Trainer, threads: int) -> float:
    """Seconds of a step of one process with `threads` threads; the median."""
    before = torch.get_num_threads()
    trial = Trainer(task, trainer.seed)
    trial.module.load_state_dict(copy.deepcopy(trainer.module.state_dict()))
    whole = next(iter(samples_of(shards).values())).share(["whole"])
    seconds = []
    try:
        torch.set_num_threads(threads)
        with task.feed(whole, trainer.seed) as feed:
            for step in range(TRIALS + 1):
                began = time.perf_counter()
                batch = feed.at(trainer.steps + step)
                with trial.turn(trainer.steps + step, 0):
                    trial.backward(batch)
                    trial.apply()
                seconds.append(time.perf_counter() - began)
    finally:
        torch.set_num_threads(before)
    return sorted(seconds[1:])[TRIALS // 2]
