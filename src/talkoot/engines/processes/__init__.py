"""Nodes on warm worker processes of this machine: a fork server, a pool, messages, memory without a name.

May import `engines/`; `ray/` and `ranks/` build on it.
"""
