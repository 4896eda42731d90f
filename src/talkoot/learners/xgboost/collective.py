"""XGBoost's own sums between processes: a tracker where they meet, and how they join and leave.

The tracker is in the first of the processes that train, never in the user's: where one dies at the wrong
moment, XGBoost ends the one with the tracker too, and a worker can be replaced.
"""

from __future__ import annotations

import re
import warnings
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from typing import Any, final

PATIENCE = 300  # seconds that processes wait at most for each other's sums
COMING = 30  # seconds in which all must have come
SHORTLY = 5  # seconds in which one that cannot take part finds out whether the others wait for it
RETRIES = 2  # tries to reach a tracker that may have ended


@final
@dataclass(frozen=True, slots=True)
class Address:
    """Where a tracker listens."""

    host: str
    port: int


@final
class Tracker:
    """Where so many processes meet once. It listens until `end`, or until nobody holds it.

    Args:
        processes: how many.
        alone: whether all are on this machine.
    """

    def __init__(self, processes: int, *, alone: bool) -> None:
        from xgboost.tracker import RabitTracker

        tracker = RabitTracker(
            n_workers=processes, host_ip="127.0.0.1" if alone else None, sortby="task", timeout=COMING
        )
        tracker.start()
        found = tracker.worker_args()
        self.address = Address(str(found["dmlc_tracker_uri"]), int(found["dmlc_tracker_port"]))
        self._wait: Callable[..., None] = tracker.wait_for
        self.end = weakref.finalize(self, _free, tracker)

    def wait(self) -> None:
        """Until all have left."""
        self._wait(timeout=PATIENCE)
        self.end()


def _free(tracker: Any) -> None:
    with suppress(Exception):  # some did not come, which their rounds report
        tracker.free()


@contextmanager
def joined(address: Address, rank: int, patience: int = PATIENCE) -> Iterator[None]:
    """Be one of the processes that meet at a tracker.

    Args:
        address: where.
        rank: which of them.
        patience: seconds to wait for another at most.

    Raises:
        XGBoostError: one of them did not come, or left too early.
    """
    from xgboost import collective

    with redirect_stdout(None), warnings.catch_warnings():  # XGBoost prints who got which rank
        warnings.simplefilter("ignore")  # of each try; the last one raises
        collective.init(
            dmlc_tracker_uri=address.host,
            dmlc_tracker_port=address.port,
            dmlc_task_id=f"{rank:06d}",  # the tracker sorts them as text
            dmlc_timeout=patience,
            dmlc_retry=RETRIES,
        )
    try:
        yield
    finally:
        collective.finalize()


def declined(address: Address, others: int) -> None:
    """Come and leave, so that the other processes fail at once if they still wait for this one."""
    from xgboost.core import XGBoostError

    with suppress(XGBoostError), joined(address, others, SHORTLY):
        pass


def cause(error: Exception) -> str:
    """The innermost reason in an error of XGBoost's, in one line."""
    text = str(error).split("Stack trace")[0]
    inner: Sequence[str] = re.findall(r"^- \[[^]]*\]: *(\S.*)", text, re.MULTILINE)
    return inner[-1].strip() if inner else re.sub(r"^\[[\d:]+\] \S+:\d+: ", "", text.splitlines()[0])
