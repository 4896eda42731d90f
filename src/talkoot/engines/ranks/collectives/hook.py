"""Gradients averaged through shared memory, as a communication hook of `DistributedDataParallel`."""

import torch
from torch._C._distributed_c10d import GradBucket
from torch.futures import Future

from talkoot.engines.ranks.collectives.shared_sums import SharedSum


def hook(state: SharedSum, bucket: GradBucket) -> Future[torch.Tensor]:
    """Average the gradients of a backward pass over all ranks, when the last bucket is full.

    Ranks that share a machine share its cores and its memory's bandwidth, so summing beside the backward pass
    would only slow it down, and would wait for the slowest rank once a bucket instead of once a step. The
    futures of the earlier buckets are done at once: DDP reads their memory only after the last one.

    Use it with `gradient_as_bucket_view=True`, so that what is averaged is not copied once more.

    Args:
        state: the sums of the ranks that train together.
        bucket: gradients on the CPU.

    Returns:
        The bucket's own memory.

    Raises:
        PeerLost: a rank is gone; comes out of `backward`, as the next one does.
        PeerSilent: a rank kept the others waiting for longer than the timeout.

    >>> import inspect
    >>> list(inspect.signature(hook).parameters)  # ddp.register_comm_hook(sums, hook)
    ['state', 'bucket']
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
