"""Rows as shards: arrays, tables, CSV and Parquet files, read in blocks of a few MiB.

May import core and the files of `data/` itself; never samples, loading or contracts.
"""
