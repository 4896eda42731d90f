"""A process that makes the networks of several hosts on one machine and delays their packets.

Run by `talkoot.testing.network` as a separate process, with only the standard library:

    python relay.py OWNER COUNT RATE SECONDS

Each host is an unnamed network namespace that only this process refers to, with one TUN device in it; the
device's other end is a file here. So when this process ends, however it ends, the networks are gone as well.
It prints a line when the hosts exist, then answers lines "cut 1", "mute 1", "double 1" and "heal 1" until
SIGTERM, the end of its input or the end of its owner.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from collections import deque
from contextlib import suppress

NEW_NETWORK = 0x40000000  # CLONE_NEWNET, sched.h
CREATE, TUN, PLAIN = 0x400454CA, 0x0001, 0x1000  # TUNSETIFF, IFF_TUN, IFF_NO_PI, linux/if_tun.h
LARGEST = 65536  # bytes of a packet
BURST = 64  # packets taken from one host before the others have their turn
GATHER = 0.0005  # seconds of traffic to forward at once, which costs less than packet by packet
DEVICE = "net0"


def address(index: int) -> str:
    """The address of a host, from the range reserved for benchmarks (RFC 2544).

    >>> address(0), address(299)
    ('198.18.0.1', '198.18.1.44')
    """
    return socket.inet_ntoa(struct.pack("!I", (198 << 24) + (18 << 16) + index + 1))


def open_host(index: int, rate: str) -> tuple[int, int]:
    """Move this process to a new namespace with a rate-limited device; file descriptors of both."""
    if ctypes.CDLL(None, use_errno=True).unshare(NEW_NETWORK):
        raise OSError(ctypes.get_errno(), "no new network namespace")
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, CREATE, struct.pack("16sH22x", DEVICE.encode(), TUN | PLAIN))
    for command in (
        "ip link set lo up",
        f"ip link set {DEVICE} addrgenmode none",  # no IPv6 packets in the byte counts
        f"tc qdisc add dev {DEVICE} root tbf rate {rate} burst 16kb latency 50ms",
        f"ip addr add {address(index)}/15 dev {DEVICE}",
        f"ip link set {DEVICE} up",
    ):
        subprocess.run(command.split(), check=True)
    return os.open("/proc/self/ns/net", os.O_RDONLY), tun


def relay(tuns: list[int], delay: float, owner: int) -> None:
    """Forward packets, each `delay` seconds after it arrived, until the input ends or the owner dies."""
    to = {socket.inet_aton(address(i)): tun for i, tun in enumerate(tuns)}
    faults: dict[str, set[int]] = {"cut": set(), "mute": set(), "double": set()}
    queue: deque[tuple[float, int, int, bytes]] = deque()
    while True:
        wait = max(0.0, queue[0][0] - time.monotonic()) if queue else None
        ready = select.select([*tuns, 0, owner], [], [], wait)[0]
        if owner in ready or (0 in ready and not execute(os.read(0, 4096), tuns, faults)):
            return
        due = time.monotonic() + delay
        for tun in filter(ready.__contains__, tuns):
            queue.extend((due, tun, to[p[16:20]], p) for p in read_packets(tun) if p[16:20] in to)
        now = time.monotonic()
        while queue and queue[0][0] <= now:
            _, source, target, packet = queue.popleft()
            for _ in range(copies(source, target, faults)):
                with suppress(OSError):  # a device that is down loses its packets
                    os.write(target, packet)
        if queue:
            time.sleep(GATHER)


def copies(source: int, target: int, faults: dict[str, set[int]]) -> int:
    """How often a packet arrives."""
    if {source, target} & faults["cut"] or source in faults["mute"]:
        return 0
    return 2 if source in faults["double"] else 1


def read_packets(tun: int) -> list[bytes]:
    """Packets that a host has sent, up to BURST."""
    packets: list[bytes] = []
    with suppress(BlockingIOError):
        while len(packets) < BURST:
            packets.append(os.read(tun, LARGEST))
    return packets


def execute(lines: bytes, tuns: list[int], faults: dict[str, set[int]]) -> bool:
    """Execute the owner's commands and acknowledge each; False where the input has ended."""
    for line in lines.decode().splitlines():
        verb, index = line.split()
        tun = tuns[int(index)]
        if verb == "heal":
            for hosts in faults.values():
                hosts.discard(tun)
        else:
            faults[verb].add(tun)
        print("done", flush=True)
    return bool(lines)


def clear(namespaces: list[int]) -> None:
    """Kill all processes in the hosts."""
    ours = {os.fstat(namespace).st_ino for namespace in namespaces}
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        with suppress(OSError):
            if pid != os.getpid() and os.stat(f"/proc/{pid}/ns/net").st_ino in ours:
                os.kill(pid, signal.SIGKILL)


def main(pid: int, count: int, rate: str, delay: float) -> None:
    """Make the hosts, forward their packets, and kill their processes at the end."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    owner = os.pidfd_open(pid)
    os.nice(-10)  # packets should not wait for a free core
    hosts = [open_host(index, rate) for index in range(count)]
    namespaces = [namespace for namespace, _ in hosts]
    try:
        print(*namespaces, flush=True)
        relay([tun for _, tun in hosts], delay, owner)
    finally:
        clear(namespaces)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], float(sys.argv[4]))
