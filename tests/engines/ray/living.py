"""Processes of actors that were started from here."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

psutil: Any = pytest.importorskip("psutil")


def actors() -> list[int]:
    """The processes of actors on this machine, oldest first."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if process.name().startswith("ray::Worker"):
                found.append((process.create_time(), process.pid))
    return [pid for _, pid in sorted(found)]
