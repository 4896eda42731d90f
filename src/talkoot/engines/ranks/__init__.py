"""One process a rank: training that meets at every step, or every few, over `torch.distributed`.

`supervision/` starts and replaces ranks, `collectives/` exchanges tensors, `checkpoint/` holds checkpoints.
"""
