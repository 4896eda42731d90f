"""What both ends of a connection agree on before anything else, and how long they wait for each other."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

from talkoot.engines.federation.link.messages import VERSIONS, Hello, Refusal, Welcome

BEAT = 5.0  # seconds between signs of life
LEASE = 20.0  # seconds without one after which a connection is closed
CLOCKS = 180.0  # seconds by which clocks may differ
DELAYS = (0.2, 30.0)  # seconds until the first and the latest next try to connect
PACKAGES = ("talkoot", "numpy", "scipy", "scikit-learn", "torch")  # those that may change an answer
Difference = Literal["note", "refuse"]


def software() -> dict[str, str]:
    """The versions of the packages that may change an answer."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def greet(
    hello: Hello,
    now: float,
    ours: Mapping[str, str],
    *,
    differences: Difference = "note",
    revoked: bytes = b"",
) -> Welcome | Refusal:
    """The answer to a hello.

    Args:
        hello: what the other side says of itself.
        now: this side's clock.
        ours: this side's software.
        differences: what to do about other versions of packages.
        revoked: the list of revoked certificates, to hand on.

    >>> greet(Hello((1, 1), b"", 500.0, {}), 100.0, {})
    Refusal(cause='the clocks differ by 400 s, and 180 s are allowed', cure='Set the clocks of both ...
    """
    oldest, newest = hello.versions
    common = min(newest, VERSIONS[1])
    if common < max(oldest, VERSIONS[0]):
        return Refusal(
            f"it speaks versions {oldest} to {newest} of the protocol, and here it is {VERSIONS[0]} to "
            f"{VERSIONS[1]}",
            "Install versions of Talkoot that are closer to each other.",
        )
    if not abs(hello.clock - now) <= CLOCKS:
        return Refusal(
            f"the clocks differ by {abs(hello.clock - now):.0f} s, and {CLOCKS:.0f} s are allowed",
            "Set the clocks of both machines, by NTP for example.",
            final=False,  # a clock is set right while programs run
        )
    notes = other_versions(hello.software, ours)
    if notes and differences == "refuse":
        return Refusal("; ".join(notes), "Install the same versions at both ends, from one lock file.")
    return Welcome(common, notes, revoked)


def other_versions(theirs: Mapping[str, str], ours: Mapping[str, str]) -> list[str]:
    """Packages of which there are two versions, in words.

    >>> other_versions({"numpy": "2.0"}, {"numpy": "2.1", "torch": "2.13"})
    ['numpy is 2.0 there and 2.1 here']
    """
    return [
        f"{name} is {theirs[name]:.40} there and {ours[name]} here"
        for name in PACKAGES
        if name in theirs and name in ours and theirs[name] != ours[name]
    ]


def delays(chance: random.Random | None = None) -> Iterator[float]:
    """Seconds to wait before each next try to connect: ever longer, and never all sites at once."""
    chance = chance or random.Random()
    delay, longest = DELAYS
    while True:
        yield delay * chance.uniform(0.5, 1.0)
        delay = min(longest, 2 * delay)
