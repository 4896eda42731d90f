"""Shards of rows from files, tables and arrays, and the schema and contract that nodes agree on."""
