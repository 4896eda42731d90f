"""The nodes of one process, which bring their rows together to learn as one."""

from __future__ import annotations

import os
import secrets
import socket
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar, final
from weakref import WeakValueDictionary

import numpy as np

from talkoot.core.cores import cores, most_requested
from talkoot.core.shard import Shard
from talkoot.core.update import Update
from talkoot.learners.common.queries import by_query, queries_of

NO_ROWS = "no rows"  # the state of a node without any
PROCESS = "process:"  # a leaf: how many nodes are in a process, by its name


@final
@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """The rows of a node: (rows, features), targets, and weights and query ids where rows have some.

    Those that early stopping holds out are not among them.
    """

    X: np.ndarray
    y: np.ndarray
    w: np.ndarray | None
    qid: np.ndarray | None = None
    held_out: Rows | None = None


def pooled(rows: Mapping[str, Rows], order: Sequence[str]) -> Rows:
    """The rows of all nodes in order, or query by query; where only some have weights, others weigh 1."""
    parts = [rows[node] for node in order if node in rows]
    ws = [np.ones(len(part.y)) if part.w is None else part.w for part in parts]
    X, y = np.concatenate([part.X for part in parts]), np.concatenate([part.y for part in parts])
    w = np.concatenate(ws) if any(part.w is not None for part in parts) else None
    ids = [part.qid for part in parts if part.qid is not None]
    if ids:
        qid = np.concatenate(ids)
        chosen, _ = by_query(qid)
        return Rows(X[chosen], y[chosen], None if w is None else w[chosen], qid[chosen])
    held_out = {node: part.held_out for node, part in rows.items() if part.held_out is not None}
    return Rows(X, y, w, held_out=pooled(held_out, order) if held_out else None)


def with_held_out(rows: Rows | None, held_out: Rows) -> Rows:
    """The rows of a node, also where all of them are held out."""
    none = Rows(held_out.X[:0], held_out.y[:0], None if held_out.w is None else held_out.w[:0])
    return replace(rows or none, held_out=held_out)


def machine() -> str:
    """What names this machine."""
    return f"{socket.gethostname()}:{uuid.getnode():x}"


class Queried(Protocol):
    """What a node brings of its rows."""

    @property
    def qid(self) -> np.ndarray | None:
        """(rows,) their query ids; None where rows have none."""


P = TypeVar("P", bound=Queried)


class Group(Generic[P]):
    """What the nodes of one run have in common in one process.

    Args:
        key: names the run.

    Attributes:
        token: names the group among those of all processes; another one where this one was lost.
        nodes: the names of its nodes that have rows.
        rows: what each node brings of its rows.
    """

    def __init__(self, key: str) -> None:
        self.key, self.token = key, f"{machine()}/{secrets.token_hex(8)}"
        self.nodes: set[str] = set()
        self.rows: dict[str, P] = {}
        self._step = -1
        self._lock = threading.Lock()

    def __reduce__(self) -> Any:
        return type(None), ()  # never sent: nodes that lost it read their rows again

    def add(self, node: str, rows: P) -> None:
        """Take a node in."""
        with self._lock:
            self.nodes.add(node)
            self.rows[node] = rows
            self.forget()

    def take(self) -> dict[str, P]:
        """The rows of all nodes, which the group then has no longer: who needs them again reads them."""
        with self._lock:
            found, self.rows, self.nodes = self.rows, {}, set()
            return found

    def forget(self) -> None:
        """Drop what was made of the rows, as there are others now."""

    def begins(self, step: int) -> bool:
        """Whether this is the first call for a step, whose caller does what the whole group is to do."""
        with self._lock:
            first, self._step = step > self._step, max(step, self._step)
            return first


G = TypeVar("G", bound=Group[Any])
_GROUPS: WeakValueDictionary[str, Group[Any]] = WeakValueDictionary()
_LOCK = threading.Lock()


def group_of(key: str, kind: type[G]) -> G:
    """The group of a run in this process; it lasts as long as one of its nodes holds it."""
    with _LOCK:
        found = _GROUPS.get(key)
        if not isinstance(found, kind):
            found = _GROUPS[key] = kind(key)
        return found


def gathered(
    key: str, kind: type[Group[P]], local: Any, shard: Shard, read: Callable[[Shard], P | None]
) -> tuple[Update, Any]:
    """A node joins the group of its process: which group that is, and the node's state from then on."""
    if local == NO_ROWS:
        return Update(), local
    group, queries = group_of(key, kind), dict[str, np.ndarray]()
    if local is not group or shard.name not in group.nodes:
        rows = read(shard)
        if rows is None:
            return Update(), NO_ROWS
        group.add(shard.name, rows)
        queries = {**queries_of(shard.name, rows.qid)}
    return Update(values={f"{PROCESS}{group.token}": np.ones(1), **queries}), group


def counts(update: Update, prefix: str) -> dict[str, int]:
    """The counts of leaves with names of one kind."""
    return {
        name.removeprefix(prefix): int(value[0])
        for name, value in update.values.items()
        if name.startswith(prefix)
    }


def octets(leaf: np.ndarray) -> bytes:
    """The bytes of a leaf, which a chain may have made other numbers of."""
    return leaf.astype(np.uint8).tobytes()


def threads(wanted: int | None) -> int:
    """Threads of a process: as many as wanted, or as the environment grants; all cores where it is silent.

    Workers of `Local` are granted one core, actors of Ray their share, and `Inline` its threads.
    """
    if wanted is not None and wanted > 0:
        return wanted
    granted = os.environ.get("OMP_NUM_THREADS", "")
    if granted.isdigit() and int(granted):
        return max(int(granted), most_requested())
    return cores()
