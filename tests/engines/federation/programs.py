"""Programs of a federation as processes of their own: a coordinator, sites with rows, and what they print."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from forked import Forked
from parties import make_authority, make_party

from patience import soon
from ports import port
from talkoot.engines.federation.identity.authority import Authority

HERE = Path(__file__).parent
PATHS = (HERE, HERE / "faults", HERE.parents[1], *filter(None, sys.path))
ENVIRONMENT = {
    **os.environ,
    "OMP_NUM_THREADS": "1",
    "PYTHONUNBUFFERED": "1",
    "PYTHONFAULTHANDLER": "1",
    "PYTHONPATH": os.pathsep.join(map(str, PATHS)),
}

COMMAND = "import sys; from talkoot.cli import main; sys.exit(main())"
DATA = """
[data.toy]
files = "rows.parquet"

[data.again]
files = "rows.parquet"

[data.third]
files = "rows.parquet"

[learners]
Paced = "paced:Paced"
Leaking = "paced:Leaking"
Tally = "tally:Tally"
Count = "talkoot.testing.toys:Count"
Walk = "talkoot.testing.toys:Walk"
FailingNode = "talkoot.testing.engines:FailingNode"
"""
POLICY = """
researchers = ["ada"]
data_sets = ["toy", "again", "third"]
learners = ["*"]
purposes = ["*"]
secure_sum = false
kinds = ["fit", "check", "compare", "forget"]
automatic = ["fit", "check", "compare", "forget"]
minimum_rows = 5
minimum_sites = 2
rounds_a_day = 1000000
"""


def write_rows(folder: Path, X: np.ndarray, y: np.ndarray) -> None:
    """Rows as the data set "toy", with the target y."""
    columns = {f"x{index}": column for index, column in enumerate(X.T)}
    pq.write_table(pa.table({**columns, "y": y}), folder / "rows.parquet")


Popen = Callable[..., "subprocess.Popen[Any] | Forked"]


@dataclass(frozen=True)
class Place:
    """Where the programs of a federation run.

    Args:
        address: of the coordinator.
        command: a script that ends as the command `talkoot`.
        popen: what starts a party's process, by the party's name; by default they are forked.
        anew: parties whose command changes what they import next, so that they cannot be forked.
        furnish: what else is done to the folder of a site before it starts.
    """

    address: str = "127.0.0.1"
    command: str = COMMAND
    popen: Callable[[str], Popen] | None = None
    anew: Collection[str] = ()
    furnish: Callable[[Path], None] = lambda folder: None

    def start(self, name: str) -> Popen:
        """What starts this party."""
        if self.popen is not None:
            return self.popen(name)
        return subprocess.Popen if name in self.anew else Forked


class Program:
    """A process, and what it has printed so far."""

    def __init__(self, folder: Path, *command: str, popen: Popen = subprocess.Popen) -> None:
        self.folder, self.command, self.popen = folder, command, popen
        self.log = folder.with_suffix(".printed")  # beside the folder, which may be a disk that is full
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as out:
            self.process = self.popen(
                [sys.executable, *self.command],
                stdout=out,
                stderr=out,
                env=ENVIRONMENT,
            )

    @property
    def printed(self) -> str:
        return self.log.read_text()

    def shows(self, text: str, times: int = 1) -> bool:
        """Whether it prints a text while we wait."""
        soon(lambda: self.printed.count(text) >= times or self.process.poll() is not None)
        return self.printed.count(text) >= times

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Ctrl-C; returns the exit status."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)


class Federated:
    """A federation on this machine.

    Args:
        folder: where all live.
        rows: (X, y) of each site.
        proxies: on the way of a site, by its name.
        options: of the coordinator.
        place: where its programs run.
    """

    def __init__(
        self,
        folder: Path,
        rows: Mapping[str, tuple[np.ndarray, np.ndarray]],
        *,
        proxies: Mapping[str, str] | None = None,
        options: str = "",
        place: Place | None = None,
    ) -> None:
        self.folder, self.port, self.place = folder, port(), place or Place()
        self.address = f"{self.place.address}:{self.port}"
        self.authority: Authority = make_authority(folder)
        self.researcher = folder / "researcher"
        self.made: list[Program] = []
        make_party(self.authority, folder / "hub", "hub", "coordinator")
        (folder / "hub" / "coordinator.toml").write_text(f'listen = "{self.address}"\n{options}')
        make_party(self.authority, self.researcher, "ada", "researcher")
        (self.researcher / "researcher.toml").write_text(f'coordinator = "{self.address}"\n')
        self.coordinator = self.program("hub", "coordinator")
        self.sites: dict[str, Program] = {}
        for name, (X, y) in rows.items():
            self.join(name, X, y, (proxies or {}).get(name))

    def join(self, name: str, X: np.ndarray, y: np.ndarray, proxy: str | None = None) -> Program:
        """Start a site that has these rows."""
        make_party(self.authority, self.folder / name, name)
        text = f'coordinator = "{self.address}"\n' + (f'proxy = "{proxy}"\n' if proxy else "")
        (self.folder / name / "site.toml").write_text(text + DATA)
        (self.folder / name / "policy.toml").write_text(POLICY)
        write_rows(self.folder / name, X, y)
        self.place.furnish(self.folder / name)
        self.sites[name] = self.program(name, "site run")
        return self.sites[name]

    def program(self, name: str, kind: str) -> Program:
        folder, popen = self.folder / name, self.place.start(name)
        program = Program(folder, "-c", self.place.command, *kind.split(), str(folder), popen=popen)
        self.made.append(program)
        return program

    def ready(self) -> None:
        """Wait until all sites are connected."""
        for name, site in self.sites.items():
            assert site.shows("connected to"), (name, site.printed)


@contextmanager
def federated(
    folder: Path,
    rows: Mapping[str, tuple[np.ndarray, np.ndarray]],
    proxies: Mapping[str, str] | None = None,
    options: str = "",
    place: Place | None = None,
) -> Iterator[Federated]:
    """A federation with all sites connected; all of it ends with the context."""
    made = Federated(folder, rows, proxies=proxies, options=options, place=place)
    try:
        made.ready()
        yield made
    finally:
        for program in made.made:
            if program.process.poll() is None:
                program.kill()
