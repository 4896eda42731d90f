"""Several hosts on one machine, on a network as slow as asked, for tests and benchmarks."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from types import TracebackType
from typing import Any, Self, final

from talkoot.core.errors import NodeLost, PlanError
from talkoot.testing import relay

PATIENCE = 20.0  # seconds for the relay to clear its hosts


@final
class Hosts:
    """Hosts of this machine that see each other only over a slow network; needs Linux and root.

    Each is a network namespace with one device, `hosts.device`, besides loopback. What a host sends leaves it
    at `rate` (a token bucket in the kernel, which counts IP packets of up to 1500 bytes) and arrives half a
    round trip later. Files, processes and cores are shared as ever. At the end, however the owner ends, all
    that runs in the hosts is killed and the networks are gone: they have no names that could stay behind.

    Args:
        count: hosts.
        rate: what each may send, as `tc` writes it: ``"100mbit"`` is 12.5 million bytes a second.
        rtt: the round-trip time between two hosts in seconds, when nothing queues.

    Raises:
        PlanError: hosts cannot be made here, as `possible` says, or not with these arguments.

    >>> import subprocess
    >>> if Hosts.possible() is None:
    ...     with Hosts(2) as hosts:
    ...         with hosts.run(0, ["cat", "/proc/net/dev"], stdout=subprocess.PIPE, text=True) as process:
    ...             assert hosts.device in process.stdout.read()
    """

    device = relay.DEVICE

    def __init__(self, count: int = 2, *, rate: str = "100mbit", rtt: float = 0.020) -> None:
        if count < 1 or rtt < 0:
            raise PlanError(f"Hosts({count}, rtt={rtt}) cannot be made", cure="Take count >= 1 and rtt >= 0.")
        self._arguments = [str(count), rate, str(rtt / 2)]
        self._started: list[subprocess.Popen[Any]] = []
        self._networks: list[str] = []

    @staticmethod
    def possible() -> str | None:
        """Why hosts cannot be made here, or None where they can: for skips.

        >>> Hosts.possible() is None or bool(Hosts.possible())
        True
        """
        return _obstacle()

    def __enter__(self) -> Self:
        script = [sys.executable, "-IS", relay.__file__, str(os.getpid()), *self._arguments]
        self._relay = subprocess.Popen(
            script,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for the owner, who then ends the relay
        )
        try:
            files = self._answer().split()
            if not files:
                raise PlanError(f"no network with {self._arguments}: {self._complaint()}")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        self._networks = [f"/proc/{self._relay.pid}/fd/{file}" for file in files]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._relay as process:
            process.terminate()
            try:
                process.communicate(timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
        for started in self._started:
            started.kill()
            started.wait()

    def run(self, index: int, argv: Sequence[str], **popen: Any) -> subprocess.Popen[Any]:
        """Start a command inside a host.

        Args:
            index: the host, from 0.
            argv: the command and its arguments.
            popen: as for `subprocess.Popen`.
        """
        process = subprocess.Popen([*self._inside(index), *argv], **popen)
        self._started.append(process)
        return process

    def address(self, index: int) -> str:
        """The IPv4 address of a host, which the others reach it at.

        >>> Hosts(2).address(1)
        '198.18.0.2'
        """
        return relay.address(index)

    def bytes(self, index: int) -> tuple[int, int]:
        """Bytes that a host has received and sent so far, with the headers of IP and TCP.

        Raises:
            NodeLost: the relay died, and the hosts with it.
        """
        show = [*self._inside(index), "ip", "-json", "-s", "link", "show", "dev", self.device]
        shown = subprocess.run(show, capture_output=True, text=True)
        if shown.returncode:
            raise NodeLost(f"its network is gone: {shown.stderr.strip()}", node=f"host {index}")
        (stats,) = (link["stats64"] for link in json.loads(shown.stdout))
        return int(stats["rx"]["bytes"]), int(stats["tx"]["bytes"])

    def cut(self, index: int) -> None:
        """Let no packet to or from a host arrive: a partition, which nobody is told of.

        Raises:
            NodeLost: the relay died, and the hosts with it.
        """
        self._tell("cut", index)

    def heal(self, index: int) -> None:
        """End a `cut`.

        Raises:
            NodeLost: the relay died, and the hosts with it.
        """
        self._tell("heal", index)

    def _inside(self, index: int) -> list[str]:
        return ["nsenter", f"--net={self._networks[index]}", "--"]

    def _tell(self, verb: str, index: int) -> None:
        assert self._relay.stdin
        with suppress(BrokenPipeError):
            print(verb, range(len(self._networks))[index], file=self._relay.stdin, flush=True)
        if not self._answer():
            raise NodeLost(f"the relay between the hosts died: {self._complaint()}", node=f"host {index}")

    def _answer(self) -> str:
        assert self._relay.stdout
        return self._relay.stdout.readline()

    def _complaint(self) -> str:
        assert self._relay.stderr
        return self._relay.stderr.read().strip()


@cache
def _obstacle() -> str | None:
    """Why no host can be made; asks the kernel last, by making one."""
    if sys.platform != "linux":
        return "network namespaces are of Linux"
    if os.geteuid():
        return "only root makes network namespaces"
    for tool in ("ip", "tc", "nsenter"):
        if shutil.which(tool) is None:
            return f"there is no command {tool!r}"
    try:
        with Hosts(1):
            return None
    except PlanError as error:
        return error.cause.splitlines()[-1]
