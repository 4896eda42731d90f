"""The worker processes of `Local`: a fork server, a pool, messages, memory without a name."""
