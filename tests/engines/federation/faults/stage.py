"""A federation in hosts of its own, whose programs, networks, disks and clocks a test can break and mend."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import disturbed
import numpy as np
from programs import ENVIRONMENT, Federated, Place, Program, federated

from patience import patient, soon
from talkoot.testing.network import Hosts

HUB, SITES = "hub", ("bergen", "lund", "oslo", "turku")
OWN = {name: float(np.sqrt(number)) for number, name in enumerate(SITES, 2)}  # what each tallies
SIZE = 24 << 20  # bytes of a party's disk
OFF = 200.0  # seconds that a clock is off
_rng = np.random.default_rng(7)


def rows(name: str) -> tuple[np.ndarray, np.ndarray]:
    X = _rng.normal(size=(40, 3))
    X[0, 0] = OWN[name]
    return X, (X @ [1.0, -1.0, 0.5] + _rng.normal(size=40) > 0).astype(int)


ROWS = {name: rows(name) for name in SITES}


def obstacle() -> str | None:
    """Why there can be no stage here; None where there can."""
    if (found := Hosts.possible()) is not None:
        return found
    done = subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True)
    return None if done.returncode == 0 else f"no disk can be made here: {done.stderr.decode().strip()}"


class Researcher:
    """The program of a researcher, and what it writes."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: SimpleQueue[dict[str, Any]] = SimpleQueue()
        self.seen = 0  # how many have arrived
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.lines.put(json.loads(line))
            self.seen += 1
        self.lines.put({"error": "Ended", "text": "the researcher's program has ended"})

    def close(self) -> None:
        assert self.process.stdin
        assert self.process.stdout
        self.process.kill()
        self.process.wait()
        self.reader.join()
        self.process.stdin.close()
        self.process.stdout.close()

    def call(self, **job: Any) -> None:
        self.write(json.dumps(job))

    def go(self) -> None:
        self.write("go")

    def write(self, line: str) -> None:
        print(line, file=self.process.stdin, flush=True)

    def next(self) -> dict[str, Any]:
        try:
            return self.lines.get(timeout=patient())
        except Empty:
            raise AssertionError("the researcher's program has written nothing") from None

    def until(self, place: tuple[int, int, str]) -> dict[str, Any]:
        """What it writes at a place, or at its end."""
        while True:
            found = self.next()
            if "at" not in found or found["at"] == list(place):
                return found

    def result(self) -> dict[str, Any]:
        """What came of the call."""
        while True:
            found = self.next()
            if "at" not in found:
                return found


@dataclass
class Stage:
    """A federation under faults."""

    folder: Path
    hosts: Hosts
    made: Federated
    researcher: Researcher
    hosts_of: Mapping[str, int]

    def program(self, party: str) -> Program:
        return self.made.coordinator if party == HUB else self.made.sites[party]

    def host(self, party: str) -> int:
        return self.hosts_of[party]

    def fill(self, party: str) -> None:
        """Take all room that is left on its disk."""
        with (self.folder / party / "filling").open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(1 << 20))
        with (self.folder / party / "filling").open("ab", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(1 << 10))

    def clear(self, party: str) -> None:
        (self.folder / party / "filling").unlink()

    def misset(self, party: str) -> None:
        """Set its clock three minutes off, and cut it off until that is noticed: then parties greet again."""
        noticed = self.notices(party)
        (self.folder / party / "clock").write_text(str(OFF))
        self.hosts.cut(self.host(party))
        assert soon(lambda: self.notices(party) > noticed, 60), "nobody has noticed that it was cut off"
        self.hosts.heal(self.host(party))

    def set(self, party: str) -> None:
        """Set its clock right."""
        (self.folder / party / "clock").unlink()

    def printed(self) -> str:
        """The end of what each program has printed."""
        programs = {
            **{name: self.made.sites[name].printed for name in SITES},
            HUB: self.made.coordinator.printed,
        }
        programs["researcher"] = (self.folder / "researcher.printed").read_text()
        return "\n".join(f"{name}:\n{text[-2000:]}" for name, text in programs.items())

    def restart(self, party: str) -> None:
        self.program(party).kill()
        self.program(party).start()

    def sent(self, party: str) -> int:
        """How many answers stand in a site's audit log."""
        return (self.folder / party / "audit.jsonl").read_bytes().count(b'"event":"sent"')

    def notices(self, party: str) -> int:
        """How often others have noticed that they cannot reach a party."""
        if party == HUB:
            return sum(site.printed.count("next try in") for site in self.made.sites.values())
        return self.made.coordinator.printed.count(f"site {party} is gone")


@contextmanager
def disk(folder: Path) -> Iterator[None]:
    """A small disk of its own at a folder."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextmanager
def stage(folder: Path) -> Iterator[Stage]:
    """A federation with all sites connected, and a researcher who waits for calls."""
    with ExitStack() as stack:
        hosts = stack.enter_context(Hosts(len(SITES) + 2, rate="1gbit", rtt=0.002))
        index = {name: number for number, name in enumerate((HUB, *SITES, "ada"))}
        for party in (HUB, *SITES):
            stack.enter_context(disk(folder / party))
        place = Place(hosts.address(0), disturbed.COMMAND, lambda name: partial(hosts.run, index[name]))
        made = stack.enter_context(federated(folder, ROWS, options="silence = 60\n", place=place))
        script = [sys.executable, str(Path(__file__).with_name("researcher.py")), str(made.researcher)]
        pipe = subprocess.PIPE
        log = stack.enter_context((folder / "researcher.printed").open("ab"))
        process = hosts.run(
            index["ada"], script, stdin=pipe, stdout=pipe, stderr=log, text=True, env=ENVIRONMENT
        )
        researcher = Researcher(process)
        stack.callback(researcher.close)
        yield Stage(folder, hosts, made, researcher, index)
