"""The Ray cluster that this process works with: joined, or started here and then ended with this process."""

from __future__ import annotations

import atexit
import json
import logging
import os
import re
import socket
import subprocess
import threading
from dataclasses import dataclass, field
from typing import Any, final

import ray
from ray.experimental import internal_kv

from talkoot.core.errors import PlanError
from talkoot.engines.machine import cores
from talkoot.engines.ray.reaper import reaper

_WATCHED = re.compile(r"node_[0-9a-f]{40,}")
REACH = 5.0  # seconds until a cluster must answer
_LOCAL = "local"


@final
@dataclass(slots=True, eq=False)
class Cluster:
    """The connection of this process, of which Ray allows one.

    Args:
        address: where it was joined; None as long as it was not joined from here.
    """

    address: str | None = None
    _owner: int = 0
    _reaper: subprocess.Popen[bytes] | None = None
    _lock: Any = field(default_factory=threading.RLock)

    @property
    def own(self) -> bool:
        """Whether it was started here, and so cannot grow."""
        return self.address == _LOCAL and ray.is_initialized()

    @property
    def grows(self) -> bool:
        """Whether an autoscaler may add machines. One that only watches calls each by its own id."""
        if self.own:
            return False
        report = internal_kv._internal_kv_get("__autoscaling_status")
        try:
            kinds = json.loads(report)["autoscaler_report"]["active_nodes"] if report else {}
        except (ValueError, KeyError):
            return True
        return not kinds or not all(_WATCHED.fullmatch(kind) for kind in kinds)

    @property
    def session(self) -> str:
        """Names the connection; another one has another name."""
        context = ray.get_runtime_context()
        return f"{context.gcs_address} {context.get_job_id()}"

    def join(self, address: str | None) -> None:
        """Be connected, to the cluster at `address`, or $RAY_ADDRESS, or else to one that is started here.

        Raises:
            PlanError: nobody is there, or this process is connected to another cluster.
        """
        with self._lock:
            if not ray.is_initialized():
                wanted = address or os.environ.get("RAY_ADDRESS") or _LOCAL
                _reach(wanted)
                self.leave()  # of a connection that somebody else ended
                self.address, self._owner = wanted, os.getpid()
                session = _connect(wanted)
                self._reaper = reaper(session) if wanted == _LOCAL else None
            elif address not in (None, self.address, ray.get_runtime_context().gcs_address):
                raise PlanError(
                    f"this process is connected to the Ray cluster at "
                    f"{ray.get_runtime_context().gcs_address} and cannot use one at {address} as well",
                    cure="Call ray.shutdown() before, or leave address= out.",
                )

    def leave(self) -> None:
        """Let go of a connection made from here; a cluster that was started here ends with it."""
        with self._lock:
            if self.address is not None and self._owner == os.getpid() and ray.is_initialized():
                ray.shutdown()
            if self._reaper is not None and self._owner == os.getpid():
                self._reaper.communicate()  # its turn
            self.address = self._reaper = None


CLUSTER = Cluster()


def _reach(address: str) -> None:
    """Find out within seconds whether anybody listens; Ray itself would try for a minute."""
    host, colon, port = address.rpartition(":")
    if not colon and address in ("auto", _LOCAL):
        return
    try:
        if address.startswith("ray://"):
            raise OSError("addresses of Ray Client do not carry arrays in place")
        socket.create_connection((host, int(port)), timeout=REACH).close()
    except (OSError, ValueError) as error:
        raise PlanError(
            f"no Ray cluster can be reached at {address!r}: {error}",
            cure="Take the address that `ray start` printed, such as 10.0.0.1:6379.",
        ) from error


def _connect(address: str) -> str:
    """Start or join, and give the session's folder.

    Done on a thread that lives on: the system ends a cluster with the thread that started it.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    local: Any = {"num_cpus": cores(), "include_dashboard": False} if address == _LOCAL else {}
    got: list[Any] = []
    done = threading.Event()

    def keep() -> None:
        try:
            context: Any = ray.init(address=address, logging_level=logging.ERROR, **local)
            got.append(context.address_info["session_dir"])
        except BaseException as error:
            got.append(error)
        done.set()
        threading.Event().wait()

    threading.Thread(target=keep, name="talkoot-ray", daemon=True).start()
    done.wait()
    if isinstance(got[0], BaseException):
        raise PlanError(
            f"Ray did not {'start' if local else 'connect'}: {got[0]}",
            cure="See `ray status`, or run on Local(...).",
        ) from got[0]
    return str(got[0])


atexit.register(CLUSTER.leave)
