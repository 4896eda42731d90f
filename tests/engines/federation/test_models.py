"""The fitted model comes to each site that has approved, also to one that was away, and to nobody else."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
from programs import federated
from sites import World
from sklearn.linear_model import LogisticRegression

import talkoot as tk
from patience import soon
from talkoot.core.errors import DataError, Refused
from talkoot.engines.federation.consent.proposal import run_of
from talkoot.engines.federation.coordinator.deliveries import Deliveries
from talkoot.engines.federation.journal import Journal
from talkoot.engines.federation.link.exchange import Exchange
from talkoot.engines.federation.link.messages import Deliver, Frame
from talkoot.engines.federation.models import Models, signed

rng = np.random.default_rng(0)
X = rng.normal(size=(90, 3))
y = (X @ [1.0, -1.0, 0.5] + rng.normal(size=90) > 0).astype(int)
ROWS = {name: (X[part::3], y[part::3]) for part, name in enumerate(("bergen", "oslo", "turku"))}


def models_of(folder: Path) -> list[Path]:
    return sorted(folder.glob("models/*.talkoot"))


def has_model(folder: Path) -> bool:
    return soon(lambda: len(models_of(folder)) == 1)


def test_each_site_gets_the_model_also_after_its_disk_and_the_coordinator_failed(tmp_path: Path) -> None:
    with federated(tmp_path, ROWS) as made:
        blocked = tmp_path / "oslo" / "models"
        blocked.write_text("a file where the folder should be")
        fit = tk.fit(LogisticRegression(), tk.dataset("toy"), "y", on=tk.Federation(made.researcher))
        for name in ("bergen", "turku"):
            assert has_model(tmp_path / name)
        made.coordinator.kill()
        blocked.unlink()
        made.coordinator.start()
        assert has_model(tmp_path / "oslo")
        for name in ROWS:
            (path,) = models_of(tmp_path / name)
            np.testing.assert_array_equal(tk.load(path).coef_, fit.model.coef_)
        assert soon(lambda: Deliveries(Journal(tmp_path / "hub" / "journal")).waiting == {})


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_site_takes_only_what_its_researcher_signed_for_a_run_that_it_approved(world: World) -> None:
    desk, proposed = world.desk(), world.signed()
    models, run = Models(desk), run_of(proposed.proposal)
    deliver = signed(run, b"model", world.parties["ana"])
    with pytest.raises(DataError, match="no proposal begins"):
        models.require_wanted(deliver)
    desk.decide(proposed)
    with pytest.raises(Refused, match="is not approved here"):
        models.require_wanted(deliver)
    desk.approve(run, "kari")
    models.require_wanted(deliver)
    for forged in (
        signed(run, b"model", world.parties["bo"]),
        Deliver(run, Frame.of(b"another"), deliver.signature),
    ):
        with pytest.raises(Refused, match="is not signed by ana"):
            models.require_wanted(forged)
    path = models.write(deliver, memoryview(b"model"))
    assert path.read_bytes() == b"model"
    assert [entry.event for entry in desk.audit.entries()][-1] == "model"
    desk.withdraw(run, "kari")
    with pytest.raises(Refused, match="is not approved here"):
        models.require_wanted(deliver)


def test_a_coordinator_forgets_a_model_once_all_have_it(world: World, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    deliveries, oslo = Deliveries(journal), Exchange()
    run = "ab" * 32
    deliver = signed(run, b"model", world.parties["ana"])
    deliveries.add(deliver, ["lund", "oslo"], memoryview(b"model"))
    again = Deliveries(journal)
    assert again.waiting[run].sites == {"lund", "oslo"}
    remind(again, "oslo", oslo)
    assert bytes(oslo.transfers.offered[deliver.frame.digest]) == b"model"
    again.taken("bergen", run)  # it takes no part
    again.taken("oslo", run)
    assert oslo.transfers.offered == {}
    assert Deliveries(journal).waiting[run].sites == {"lund"}
    again.taken("lund", run)
    assert Deliveries(journal).waiting == {}
    assert journal.runs() == []


def remind(deliveries: Deliveries, site: str, exchange: Exchange) -> None:
    asyncio.run(deliveries.remind(site, exchange))
