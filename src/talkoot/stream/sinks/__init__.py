"""Sinks: where what is made of a stream goes, each row of it exactly once.

A segment log, Parquet files, a stream of Redis, a topic of Kafka. May import sources, core and data;
brokers' libraries are imported late.
"""
