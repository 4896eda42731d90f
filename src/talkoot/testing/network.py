"""Several hosts on one machine with a slow network between them, for tests and benchmarks."""

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

CLEAR_TIMEOUT = 20.0  # seconds for the relay to clear its hosts


@final
class Hosts:
    """Hosts on this machine that reach each other only over a slow network; needs Linux and root.

    Each is a network namespace with one device, `hosts.device`, besides loopback. A host sends at most at
    `rate` (a token bucket in the kernel, which counts IP packets of up to 1500 bytes), and packets arrive
    half a round trip later. Files, processes and cores are shared. At the end, however the owner ends, all
    processes in the hosts are killed and the networks are gone.

    Args:
        count: number of hosts.
        rate: of sending, in the notation of `tc`: ``"100mbit"`` is 12.5 million bytes a second.
        rtt: the round-trip time between two hosts in seconds, without queues.

    Raises:
        PlanError: hosts cannot be made here (see `possible`), or not with these arguments.

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
        """Why hosts cannot be made here, for skips; None where they can.

        >>> Hosts.possible() is None or bool(Hosts.possible())
        True
        """
        return _why_impossible()

    def __enter__(self) -> Self:
        script = [sys.executable, "-IS", relay.__file__, str(os.getpid()), *self._arguments]
        self._relay = subprocess.Popen(
            script,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C reaches the owner only, who then ends the relay
        )
        try:
            files = self._read_line().split()
            if not files:
                raise PlanError(f"no network with {self._arguments}: {self._relay_error()}")
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
                process.communicate(timeout=CLEAR_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
        for started in self._started:
            started.kill()
            started.wait()

    def run(self, index: int, argv: Sequence[str], **popen: Any) -> subprocess.Popen[Any]:
        """Start a command inside a host, numbered from 0; `popen` is as for `subprocess.Popen`."""
        process = subprocess.Popen([*self._inside(index), *argv], **popen)
        self._started.append(process)
        return process

    def address(self, index: int) -> str:
        """The IPv4 address of a host.

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
        """Drop all packets to and from a host, as a partition of the network would.

        Raises:
            NodeLost: the relay died, and the hosts with it.
        """
        self._send("cut", index)

    def mute(self, index: int) -> None:
        """Drop all packets that a host sends, while it still receives.

        Raises:
            NodeLost: the relay died, and the hosts with it.
        """
        self._send("mute", index)

    def double(self, index: int) -> None:
        """Deliver each packet that a host sends twice.

        Raises:
            NodeLost: the relay died, and the hosts with it.
        """
        self._send("double", index)

    def heal(self, index: int) -> None:
        """End whatever `cut`, `mute` and `double` do to a host.

        Raises:
            NodeLost: the relay died, and the hosts with it.
        """
        self._send("heal", index)

    def _inside(self, index: int) -> list[str]:
        return ["nsenter", f"--net={self._networks[index]}", "--"]

    def _send(self, verb: str, index: int) -> None:
        assert self._relay.stdin
        with suppress(BrokenPipeError):
            print(verb, range(len(self._networks))[index], file=self._relay.stdin, flush=True)
        if not self._read_line():
            raise NodeLost(f"the relay between the hosts died: {self._relay_error()}", node=f"host {index}")

    def _read_line(self) -> str:
        assert self._relay.stdout
        return self._relay.stdout.readline()

    def _relay_error(self) -> str:
        assert self._relay.stderr
        return self._relay.stderr.read().strip()


@cache
def _why_impossible() -> str | None:
    """Why no host can be made; None where one can. The last check makes one."""
    if sys.platform != "linux":
        return "network namespaces need Linux"
    if os.geteuid():
        return "network namespaces need root"
    for tool in ("ip", "tc", "nsenter"):
        if shutil.which(tool) is None:
            return f"there is no command {tool!r}"
    try:
        with Hosts(1):
            return None
    except PlanError as error:
        return error.cause.splitlines()[-1]
