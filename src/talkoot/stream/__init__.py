"""Data that never stop: where rows come from, and where what is made of them goes.

`sources/`: rows by partition and offset; `sinks/`: outputs, each of them once.
May import core, data, formats, learners and kernels; no engine.
"""
