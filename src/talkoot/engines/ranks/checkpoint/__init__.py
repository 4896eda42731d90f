"""Checkpoints of a training: each rank writes its share in the background; any number of ranks reads them.

No pickle. A training calls `saving`; the other modules read and write the folder.
"""
