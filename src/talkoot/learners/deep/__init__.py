"""Modules of torch: the task, a module in training, and its parameters as named arrays.

The one folder of `learners/` that imports torch; imported only where it is used.
"""
