"""Engines: where nodes are. The only place that may import ray, grpc or torch.distributed.

Here what all engines share; `processes/` is `Local`, `ranks/` is `Ranks`, `ray/` is `Ray`.
"""
