"""The Ray cluster of this process: an existing one, or one that starts here and ends with this process."""

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

from talkoot.core.cores import cores
from talkoot.core.errors import PlanError
from talkoot.engines.ray.reaper import reaper

_FIXED_NODE = re.compile(r"node_[0-9a-f]{40,}")  # the type of a node that no autoscaler started
REACH = 5.0  # seconds until a cluster must answer
_LOCAL = "local"


@final
@dataclass(slots=True, eq=False)
class Cluster:
    """The connection of this process; Ray allows one."""

    address: str | None = None  # of the cluster; None while there is no connection made here
    _owner: int = 0
    _reaper: subprocess.Popen[bytes] | None = None
    _lock: Any = field(default_factory=threading.RLock)

    @property
    def own(self) -> bool:
        """Whether the cluster was started here, and so cannot grow."""
        return self.address == _LOCAL and ray.is_initialized()

    @property
    def grows(self) -> bool:
        """Whether an autoscaler may add machines. Without one, each node has a type of its own."""
        if self.own:
            return False
        report = internal_kv._internal_kv_get("__autoscaling_status")
        try:
            kinds = json.loads(report)["autoscaler_report"]["active_nodes"] if report else {}
        except (ValueError, KeyError):
            return True
        return not kinds or not all(_FIXED_NODE.fullmatch(kind) for kind in kinds)

    @property
    def session(self) -> str:
        """A unique name of the connection."""
        context = ray.get_runtime_context()
        return f"{context.gcs_address} {context.get_job_id()}"

    def join(self, address: str | None) -> None:
        """Connect to the cluster at `address`, or $RAY_ADDRESS, or else start one here.

        Raises:
            PlanError: there is no cluster, or this process is connected to another cluster.
        """
        with self._lock:
            if not ray.is_initialized():
                wanted = address or os.environ.get("RAY_ADDRESS") or _LOCAL
                _reach(wanted)
                self.leave()  # after a connection that other code ended
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
        """Close a connection made here; a cluster that was started here ends with it."""
        with self._lock:
            if self.address is not None and self._owner == os.getpid() and ray.is_initialized():
                ray.shutdown()
            if self._reaper is not None and self._owner == os.getpid():
                self._reaper.communicate()  # closes its input, at which it starts, and waits
            self.address = self._reaper = None


CLUSTER = Cluster()


def _reach(address: str) -> None:
    """Check within seconds whether a cluster listens; Ray itself would try for a minute."""
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
    """Start or join a cluster; returns the session's folder.

    Runs on a thread that never ends: the system ends a cluster with the thread that started it.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    local: Any = {"num_cpus": cores(), "include_dashboard": False} if address == _LOCAL else {}
    result: list[Any] = []
    done = threading.Event()

    def connect() -> None:
        try:
            context: Any = ray.init(address=address, logging_level=logging.ERROR, **local)
            result.append(context.address_info["session_dir"])
        except BaseException as error:
            result.append(error)
        done.set()
        threading.Event().wait()

    threading.Thread(target=connect, name="talkoot-ray", daemon=True).start()
    done.wait()
    if isinstance(result[0], BaseException):
        raise PlanError(
            f"Ray did not {'start' if local else 'connect'}: {result[0]}",
            cure="See `ray status`, or run on Local(...).",
        ) from result[0]
    return str(result[0])


atexit.register(CLUSTER.leave)
