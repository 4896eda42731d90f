"""A training in one process: one that meets at every step, or that writes checkpoints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch

from talkoot.core.engine import Emit, Run
from talkoot.core.plan import Plan
from talkoot.core.run import run
from talkoot.core.shard import Schema, Shard
from talkoot.engines.checkpoint import Checkpoint
from talkoot.engines.ranks.collectives.group import Alone
from talkoot.engines.ranks.engine import Joined
from talkoot.engines.ranks.supervision.stop_request import Stopped, StopRequest


def train(
    plan: Plan,
    shards: Mapping[str, Shard],
    schema: Schema,
    emit: Emit,
    *,
    threads: int,
    checkpoint: Checkpoint | None,
) -> Run:
    """Train on so many cores of this process.

    Raises:
        TalkootError: something is wrong with the task or the samples.
        SystemExit: SIGTERM came; what there was has been saved.
    """
    pause = StopRequest()
    with _threads(threads), pause.on_sigterm():
        try:
            engine = Joined(group=Alone(), pause=pause, checkpoint=checkpoint)
            return run(plan, shards, engine, schema=schema, emit=emit)
        except Stopped:
            raise SystemExit(143) from None


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
