"""Ports for servers of tests, which run beside each other."""

from __future__ import annotations

import os
import socket
from contextlib import suppress

_PORTS = iter(range(20_000 + os.getpid() * 64 % 12_000, 32_768))  # the system gives these to nobody unasked


def port() -> int:
    """One that is free, and that no test beside this one takes meanwhile."""
    for number in _PORTS:
        with socket.socket() as free, suppress(OSError):
            free.bind(("127.0.0.1", number))
            return number
    raise AssertionError("all ports are in use")
