"""The event log: one append-only file of JSON lines per run, from which every view is drawn."""

from __future__ import annotations

import json
import math
import platform
import threading
import time
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, TextIO, final

import numpy as np

import talkoot
from talkoot.core.engine import Emit
from talkoot.core.errors import DataError

Event = Mapping[str, Any]  # {"t": seconds since 1970, "event": name, ...facts}


@final
class EventLog:
    """A listener that writes every event at once, as one line of JSON, so that a crash loses none.

    Args:
        path: the file; an existing log is continued, missing folders are made.

    Raises:
        DataError: it cannot be written to, or is no event log.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "events.jsonl"
    >>> with EventLog(path) as log:
    ...     log("round", {"round": 0, "metrics": {"loss": np.float32(0.5)}})
    >>> read(path)[-1]["metrics"]
    {'loss': 0.5}
    """

    __slots__ = ("_file", "_lock", "path")

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            _drop_partial_line(self.path)
            self._file: TextIO = self.path.open("a", encoding="utf-8")
        except OSError as error:
            raise unwritable("the event log", self.path, error) from error
        self._lock = threading.Lock()  # engines may report from several threads
        if self._file.tell() == 0:
            self("log", {"versions": versions()})

    def __call__(self, event: str, facts: Mapping[str, Any]) -> None:
        """Append one event."""
        line = json.dumps({"t": round(time.time(), 4), "event": event, **plain(facts)}, allow_nan=False)
        with self._lock:
            self._file.write(line + "\n")
            self._file.flush()

    def close(self) -> None:
        """Close the file; it can be opened again and continued."""
        self._file.close()

    def __enter__(self) -> EventLog:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def unwritable(what: str, path: Path, error: OSError) -> DataError:
    """The error for a file that cannot be written."""
    return DataError(f"cannot write {what} {str(path)!r}: {error.strerror}", cure="Name another place.")


def _drop_partial_line(path: Path) -> None:
    """Remove a last line that a crash left incomplete, so that the next event starts on its own line."""
    if not path.exists() or path.stat().st_size == 0:
        return
    read(path)  # refuses a file that is no log before it is changed
    with path.open("rb+") as file:
        file.truncate(file.read().rfind(b"\n") + 1)


def read(path: str | Path) -> list[Event]:
    """The events of a log, oldest first, without a last line that a crash left incomplete.

    Args:
        path: the file of an `EventLog`, or the folder of a run with a file ``events.jsonl``.

    Raises:
        DataError: there is no such file, or it is no event log.
    """
    path = Path(path)
    path = path / "events.jsonl" if path.is_dir() else path
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise DataError(
            f"cannot read the event log {str(path)!r}: {error.strerror}",
            cure="Name a run's folder or its events.jsonl.",
        ) from error
    except UnicodeDecodeError as error:
        raise _no_log(path, 1) from error
    whole, last = lines[:-1], lines[-1]
    events = [_parse(path, at, line) for at, line in enumerate(whole, 1)]
    if last and not events:
        raise _no_log(path, 1)
    return events


def _parse(path: Path, at: int, line: str) -> Event:
    try:
        event = json.loads(line)
    except json.JSONDecodeError as error:
        raise _no_log(path, at) from error
    if not (isinstance(event, dict) and isinstance(event.get("event"), str) and "t" in event):
        raise _no_log(path, at)
    return event


def _no_log(path: Path, at: int) -> DataError:
    return DataError(
        f"{str(path)!r} is not an event log: line {at} is no event",
        cure="Name a run's folder or the events.jsonl in it.",
    )


def versions() -> dict[str, str]:
    """The versions that a reader of the log may need to know.

    >>> sorted(versions())
    ['numpy', 'python', 'scikit-learn', 'scipy', 'talkoot']
    """
    found = {name: metadata.version(name) for name in ("scikit-learn", "numpy", "scipy")}
    return {"talkoot": talkoot.__version__, **found, "python": platform.python_version()}


def tee(*listeners: Emit) -> Emit:
    """A listener that passes events to all of `listeners`, in their order.

    >>> first: list[str] = []
    >>> second: list[str] = []
    >>> emit = tee(lambda event, facts: first.append(event), lambda event, facts: second.append(event))
    >>> emit("start", {}); first, second
    (['start'], ['start'])
    """

    def emit(event: str, facts: Mapping[str, Any]) -> None:
        for listener in listeners:
            listener(event, facts)

    return emit


def plain(value: Any) -> Any:
    """`value` in types of JSON. Numbers that are not finite become None; other objects become text.

    >>> plain({"loss": np.float64("nan"), "rows": np.arange(2), "nodes": ("a", "b")})
    {'loss': None, 'rows': [0, 1], 'nodes': ['a', 'b']}
    """
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else None
        case np.generic() | np.ndarray():
            return plain(value.tolist())
        case Mapping():
            return {str(k): plain(v) for k, v in value.items()}
        case set() | frozenset():
            return sorted((plain(v) for v in value), key=str)
        case Iterable() if not isinstance(value, bytes):
            return [plain(v) for v in value]
        case _:
            return str(value)
