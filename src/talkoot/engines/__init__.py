"""Engines: where nodes are. The only place that may import ray, grpc or torch.distributed."""
