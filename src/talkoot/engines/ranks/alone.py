"""A training in one process: a plan that meets at every step, or that writes checkpoints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch

from talkoot.core.engine import Emit, Run
from talkoot.core.plan import Plan
from talkoot.core.run import run
from talkoot.core.shard import Schema, Shard
from talkoot.engines.checkpoint import Checkpoint
from talkoot.engines.ranks.collectives.group import SingleRank
from talkoot.engines.ranks.engine import GroupEngine
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
    """Train on `threads` cores of this process.

    Raises:
        TalkootError: something is wrong with the task or the samples.
        SystemExit: SIGTERM came; the training so far has been saved.
    """
    stop_request = StopRequest()
    with _threads(threads), stop_request.on_sigterm():
        try:
            engine = GroupEngine(group=SingleRank(), stop_request=stop_request, checkpoint=checkpoint)
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
