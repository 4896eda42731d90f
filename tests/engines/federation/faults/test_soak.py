"""A thousand masked rounds over processes: memory, descriptors, journals and files do not grow with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from programs import Federated, federated
from tally import Tally, tallied

import talkoot as tk
from talkoot.core.round import UPDATE
from talkoot.engines.federation.ledger.ledger import Ledger
from talkoot.engines.federation.nodes import FederationNodes

SITES = ("bergen", "lund", "oslo")
OWN = {name: float(np.sqrt(number)) for number, name in enumerate(SITES, 2)}
ROUNDS = 1000
MEMORY, FILE = 8 << 20, 256 << 10  # bytes by which a process and a site's journal may grow in the second half


@dataclass(frozen=True)
class Size:
    """What a party takes."""

    memory: int  # bytes
    descriptors: int
    journal: int  # bytes of what it would go on from
    frames: int  # files of large items


def size(made: Federated, party: str) -> Size:
    psutil = pytest.importorskip("psutil")
    program = made.coordinator if party == "hub" else made.sites[party]
    process, folder = psutil.Process(program.process.pid), made.folder / party / "journal"
    return Size(
        process.memory_info().rss,
        process.num_fds(),
        sum(path.stat().st_size for path in folder.glob("journal.sqlite*")),
        len(list((folder / "frames").iterdir())),
    )


def released(made: Federated, site: str) -> int:
    ledger = Ledger(made.folder / site)
    return sum(len(ledger.released(run)) for run in ledger.releasing())


def soaked(made: Federated, rounds: int, monkeypatch: pytest.MonkeyPatch) -> list[Mapping[str, Size]]:
    """Sizes of all at the beginning, in the middle and at the end of so many rounds."""
    held, looks = FederationNodes.round, [rounds // 10, rounds // 2, rounds - 1]
    sizes: list[Mapping[str, Size]] = []

    def looking(self: FederationNodes, rnd: Any, question: Any) -> Any:
        if self.number == 2 and rnd.phase == UPDATE and rnd.index in looks:
            sizes.append({party: size(made, party) for party in ("hub", *SITES)})
        return held(self, rnd, question)

    monkeypatch.setattr(FederationNodes, "round", looking)
    plan = tk.Plan(Tally(), chain=[tk.fixed(), tk.mask()], sync=tk.rounds(rounds))
    fit = tk.run(plan, tk.dataset("toy"), on=tk.Federation(made.researcher, registered={"Tally": Tally}))
    assert fit.model.tolist() == [tallied([SITES] * rounds, OWN, exact=True)]
    return sizes


@pytest.mark.slow
def test_a_thousand_masked_rounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {name: (np.full((8, 2), own), np.arange(8.0)) for name, own in OWN.items()}
    with federated(tmp_path, rows) as made:
        _, middle, last = soaked(made, ROUNDS, monkeypatch)
        for party in ("hub", *SITES):
            assert last[party].memory - middle[party].memory < MEMORY, party
            assert last[party].descriptors <= middle[party].descriptors + 2, party
            assert last[party].frames <= middle[party].frames + 1, party
        for site in SITES:
            assert last[site].journal < middle[site].journal + FILE, "one answer and one state"
            assert released(made, site) == 2 * (ROUNDS + 1), "a signature and a release each, with round 0"
        grown = last["hub"].journal - middle["hub"].journal
        assert grown < ROUNDS / 2 * 32_000, "the results of a run, until it is over"
