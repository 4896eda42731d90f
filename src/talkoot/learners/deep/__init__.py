"""Modules of torch: the task, a module in training, and its parameters as named arrays."""
