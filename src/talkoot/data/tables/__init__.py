"""Rows as shards: arrays, tables, CSV and Parquet files, read in blocks that never hold more than a few MiB.

May import core and the files of `data/` itself; nothing of samples, loading or contracts.
"""
