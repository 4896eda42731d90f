"""One process a rank: per-step and low-communication training over `torch.distributed`."""
