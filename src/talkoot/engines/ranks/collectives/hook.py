"""Gradients averaged through shared memory, as a communication hook of `DistributedDataParallel`."""

import torch
from torch.distributed import GradBucket
from torch.futures import Future

from talkoot.engines.ranks.collectives.shared_sums import SharedSum


def hook(state: SharedSum, bucket: GradBucket) -> Future[torch.Tensor]:
    """Average the gradients of a backward pass over all ranks, when the last bucket is full.

    Ranks on one machine share its cores and memory bandwidth, so summing during the backward pass would slow
    it down, and would wait for the slowest rank at every bucket instead of once a step. The futures of the
    earlier buckets are completed at once: DDP reads their memory only after the last one.

    Use it as `ddp.register_comm_hook(sums, hook)`, with `gradient_as_bucket_view=True`, which saves a copy.

    Raises:
        PeerLost: a rank is gone or too slow; raised by `backward`.
    """
    if bucket.index() == 0:
        state.pending.clear()  # of a backward pass that failed halfway
    state.pending.append(bucket.buffer())
    if bucket.is_last():
        state.mean(state.pending)
        state.pending.clear()
    future: Future[torch.Tensor] = Future()
    future.set_result(bucket.buffer())
    return future
