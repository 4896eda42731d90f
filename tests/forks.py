"""The server that forks processes for tests: one for all of them, so that each process starts in no time.

Multiprocessing has one such server in a process, which imports what was set last: so all is named here.
"""

from __future__ import annotations

import multiprocessing

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    [
        "talkoot.api.fit",
        "talkoot.api.follow",
        "talkoot.engines.local",
        "talkoot.engines.ranks.checkpoint.checkpoint",
        "talkoot.engines.ranks.engine",
        "talkoot.engines.ranks.collectives.exchange",
        "talkoot.engines.ranks.rounds",
        "talkoot.engines.ranks.steps",
        "talkoot.engines.ranks.wrap",
        "talkoot.learners.common.columnwise",
        "talkoot.learners.compose.unions",
        "talkoot.learners.deep.dry_run",
        "talkoot.learners.linear.glm",
        "talkoot.learners.preprocess.scalers",
        "talkoot.stream.sinks.folder",
        "talkoot.testing.engines",
        "torch.distributed.checkpoint.state_dict",
        "torch.distributed.fsdp",
        "torch._dynamo",
        "hypothesis",
        "pytest",
    ]
)
