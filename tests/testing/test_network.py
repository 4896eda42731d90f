"""Hosts on one machine: as slow as asked, cut off when asked, and gone afterwards."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from patience import patient, soon
from talkoot.core.errors import NodeLost, PlanError
from talkoot.testing import relay
from talkoot.testing.network import Hosts

obstacle = Hosts.possible()
hosted = pytest.mark.skipif(obstacle is not None, reason=f"no hosts here: {obstacle}")

PEER = """
import socket, sys, time

def serve(address):
    with socket.create_server((address, 5000)) as server:
        print("listening", flush=True)
        peer = server.accept()[0]
    for _ in range(20):
        peer.sendall(peer.recv(1))
    began, got = time.perf_counter(), 0
    while data := peer.recv(1 << 20):
        got += len(data)
    print(got, got / (time.perf_counter() - began), flush=True)

def connect(address, amount):
    with socket.create_connection((address, 5000), timeout=60) as peer:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        trips = []
        for _ in range(20):
            began = time.perf_counter()
            peer.sendall(b"?")
            peer.recv(1)
            trips.append(time.perf_counter() - began)
        peer.sendall(bytes(int(amount)))
    print(sorted(trips)[10])

globals()[sys.argv[1]](*sys.argv[2:])
"""
ECHO = """
import socket, sys
with socket.create_server((sys.argv[1], 5000)) as server:
    print("listening", flush=True)
    peer = server.accept()[0]
    while said := peer.recv(1):
        print(said.decode(), flush=True)
"""
SAY = """
import socket, sys
with socket.create_connection((sys.argv[1], 5000), timeout=60) as peer:
    print("connected", flush=True)
    for line in sys.stdin:
        peer.sendall(line[:1].encode())
"""
OWNER = """
import os, subprocess, sys, time
from talkoot.testing.network import Hosts
with Hosts(2) as hosts:
    child = hosts.run(0, [sys.executable, "-c", "import os, time; os.fork(); time.sleep(3600)"])
    print(hosts._relay.pid, child.pid, os.stat(hosts._networks[0]).st_ino, flush=True)
    time.sleep(3600)
"""


def python(script: str, *arguments: Any) -> list[str]:
    return [sys.executable, "-IS", "-c", script, *map(str, arguments)]


def start(hosts: Hosts, index: int, argv: list[str]) -> subprocess.Popen[str]:
    return hosts.run(index, argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def say(process: subprocess.Popen[str], letter: str) -> None:
    print(letter, file=process.stdin, flush=True)


def inside(network: int) -> list[int]:
    """Processes whose network namespace has this inode."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.stat(f"/proc/{pid}/ns/net").st_ino == network:
                found.append(int(pid))
        except OSError:
            continue
    return found


def exchange(hosts: Hosts, amount: int) -> tuple[float, float, int]:
    """Seconds of a round trip, bytes a second and bytes received of a bulk transfer from host 0 to host 1."""
    with start(hosts, 1, python(PEER, "serve", hosts.address(1))) as server:
        assert line(server) == "listening"
        with start(hosts, 0, python(PEER, "connect", hosts.address(1), amount)) as client:
            trip = float(line(client))
        got, speed = line(server).split()
    return trip, float(speed), int(got)


def exchanged(hosts: Hosts, amount: int, trip: float, speed: float) -> int:
    """Bytes received of a transfer that is as late and as slow as asked, but for what the machine adds.

    It may add much, and never takes off, so that one of many transfers is close.
    """
    ends, got = time.monotonic() + patient(), 0
    while time.monotonic() < ends:
        took, passed, received = exchange(hosts, amount)
        got += received
        assert took > 0.95 * trip
        assert passed < 1.10 * speed, "a bucket that is full at first gives a little more"
        if took < trip + 0.015 and passed > 0.80 * speed:
            return got
    raise AssertionError("slower than asked, each time")


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    with Hosts(2) as made:
        yield made


@pytest.fixture
def wire(hosts: Hosts) -> Iterator[tuple[subprocess.Popen[str], subprocess.Popen[str]]]:
    """A connection: who speaks in host 0, and who repeats it in host 1."""
    with start(hosts, 1, python(ECHO, hosts.address(1))) as listener:
        assert line(listener) == "listening"
        with start(hosts, 0, python(SAY, hosts.address(1))) as speaker:
            assert line(speaker) == "connected"
            yield speaker, listener
            speaker.kill()
        listener.kill()


@hosted
def test_a_transfer_is_as_slow_and_as_late_as_asked_and_is_counted(hosts: Hosts) -> None:
    got = exchanged(hosts, 10_000_000, trip=0.02, speed=12.5e6)
    assert got % 10_000_000 == 0
    assert soon(lambda: hosts.bytes(0) == hosts.bytes(1)[::-1]), "the last packets are under way"
    received, sent = hosts.bytes(0)
    assert got * 1.02 < sent < got * 1.25, "40 bytes of headers and 12 of options in each 1500"
    assert 0 < received < got * 0.05


@hosted
def test_rate_and_round_trip_are_chosen() -> None:
    with Hosts(2, rate="20mbit", rtt=0.06) as hosts:
        exchanged(hosts, 4_000_000, trip=0.06, speed=2.5e6)


@hosted
def test_without_a_delay_the_relay_is_quick() -> None:
    with Hosts(2, rtt=0.0) as hosts:
        assert soon(lambda: exchange(hosts, 1000)[0] < 0.01)


@hosted
def test_a_host_that_is_cut_off_hears_nothing_until_it_is_healed(
    hosts: Hosts, wire: tuple[subprocess.Popen[str], subprocess.Popen[str]]
) -> None:
    speaker, listener = wire
    say(speaker, "a")
    assert line(listener) == "a"
    hosts.cut(1)
    before = sent_again(hosts, 0)
    say(speaker, "b")
    assert soon(lambda: sent_again(hosts, 0) > before)
    assert listener.stdout
    assert select.select([listener.stdout], [], [], 0) == ([], [], []), "it was sent twice, and not heard"
    assert speaker.poll() is None, "nobody is told"
    hosts.heal(1)
    assert line(listener) == "b", "TCP sends it again"


@hosted
def test_a_host_that_is_mute_still_receives(
    hosts: Hosts, wire: tuple[subprocess.Popen[str], subprocess.Popen[str]]
) -> None:
    speaker, listener = wire
    hosts.mute(1)
    say(speaker, "a")
    assert line(listener) == "a"
    assert soon(lambda: sent_again(hosts, 0) > 0), "what host 1 has received is never confirmed"
    hosts.heal(1)
    hosts.mute(0)
    before = sent_again(hosts, 0)
    say(speaker, "b")
    assert soon(lambda: sent_again(hosts, 0) > before)
    assert listener.stdout
    assert select.select([listener.stdout], [], [], 0) == ([], [], [])
    hosts.heal(0)
    assert line(listener) == "b"


@hosted
def test_packets_that_arrive_twice_are_read_once(
    hosts: Hosts, wire: tuple[subprocess.Popen[str], subprocess.Popen[str]]
) -> None:
    speaker, listener = wire
    hosts.double(0)
    for letter in "abc":
        say(speaker, letter)
        assert line(listener) == letter
    assert soon(lambda: hosts.bytes(1)[0] > hosts.bytes(0)[1])


def sent_again(hosts: Hosts, index: int) -> int:
    """How often TCP of a host has sent something once more."""
    with hosts.run(index, ["cat", "/proc/net/snmp"], stdout=subprocess.PIPE, text=True) as process:
        lines = process.communicate()[0].splitlines()
    names, numbers = (each.split() for each in lines if each.startswith("Tcp:"))
    return int(numbers[names.index("RetransSegs")])


@hosted
def test_each_host_has_its_own_loopback_and_sees_the_others_alone() -> None:
    with Hosts(3) as hosts:
        with start(hosts, 2, python(ECHO, "127.0.0.1")) as server:
            assert line(server) == "listening"
            with start(hosts, 2, python(SAY, "127.0.0.1")) as client:
                assert line(client) == "connected"
            assert line(server) == ""
        for index in range(2):
            assert "ConnectionRefusedError" in refused(hosts, index, "127.0.0.1")
        assert "ConnectionRefusedError" in refused(hosts, 0, hosts.address(2))
        assert "Network is unreachable" in refused(hosts, 0, "192.0.2.1")


def refused(hosts: Hosts, index: int, address: str) -> str:
    with hosts.run(index, python(SAY, address), stderr=subprocess.PIPE, text=True) as process:
        return str(process.communicate(timeout=patient())[1])


@hosted
def test_the_end_takes_all_along_even_when_it_is_an_error() -> None:
    def fail() -> None:
        with Hosts(2) as hosts, start(hosts, 1, fork) as child:
            line(child)
            seen.extend([hosts._relay.pid, child.pid, os.stat(hosts._networks[1]).st_ino])
            assert soon(lambda: len(inside(seen[2])) >= 2)
            child.kill()
            raise KeyError("on purpose")

    fork = python("import os, time; print(os.fork(), flush=True); time.sleep(3600)")
    seen: list[int] = []
    with pytest.raises(KeyError, match="on purpose"):
        fail()
    assert soon(lambda: not inside(seen[2]))
    assert not any(Path(f"/proc/{pid}").exists() for pid in seen[:2])


@hosted
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_an_owner_that_is_killed_leaves_nothing(end: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OWNER], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as owner:
        middle, child, network = map(int, line(owner).split())
        assert soon(lambda: len([pid for pid in inside(network) if pid != middle]) == 2)
        owner.send_signal(end)
    assert soon(lambda: not inside(network))
    assert soon(lambda: not Path(f"/proc/{middle}").exists())
    assert not Path(f"/proc/{child}").exists()


@hosted
def test_a_relay_that_dies_is_named() -> None:
    with Hosts(2) as hosts:
        hosts._relay.kill()
        hosts._relay.wait()
        with pytest.raises(NodeLost, match=r"host 1.*the relay between the hosts died"):
            hosts.cut(1)
        with pytest.raises(NodeLost, match=r"host 0.*its network is gone"):
            hosts.bytes(0)


@hosted
def test_two_networks_do_not_meet() -> None:
    with Hosts(2) as one, Hosts(2) as other, start(one, 1, python(ECHO, one.address(1))) as server:
        assert line(server) == "listening"
        assert one.address(1) == other.address(1)
        assert "ConnectionRefusedError" in refused(other, 0, other.address(1))
        server.kill()


@hosted
def test_a_rate_that_the_kernel_refuses_is_told_with_its_words() -> None:
    with pytest.raises(PlanError, match="fast"), Hosts(1, rate="fast"):
        pass


def test_hosts_that_make_no_sense_are_refused_at_once() -> None:
    with pytest.raises(PlanError, match="count >= 1"):
        Hosts(0)
    with pytest.raises(PlanError, match="rtt >= 0"):
        Hosts(2, rtt=-0.1)


def test_addresses_are_of_the_range_for_benchmarks() -> None:
    addresses = [relay.address(i) for i in range(1000)]
    assert len(set(addresses)) == 1000
    assert all(socket.inet_aton(a)[0] == 198 and socket.inet_aton(a)[1] in (18, 19) for a in addresses)
