"""Secure sums between organisations: certified keys, the approved roster, and what a site has released."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from programs import Federated, federated
from sites import World, plan_of
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import talkoot as tk
from talkoot.core.errors import MaskRefused, Refused
from talkoot.core.plan import Plan
from talkoot.core.transform import Transform
from talkoot.data.inventory import Inventory
from talkoot.data.totals import Totals
from talkoot.engines.federation.consent.proposal import from_bytes
from talkoot.engines.federation.journal import Journal
from talkoot.engines.federation.site.secure import Releases, SecureSums
from talkoot.formats.plans import plan_from_bytes
from talkoot.guards.mask.checks import require_same_release
from talkoot.guards.mask.mask import Mask

CHAIN: list[Transform] = [tk.fixed(), tk.mask()]
rng = np.random.default_rng(0)
X = rng.normal(size=(240, 4)) + 50
y = (X @ [1.0, -1.0, 0.5, 0.0] + rng.normal(size=240) > 25).astype(int)
ROWS = {name: (X[part::4], y[part::4]) for part, name in enumerate(("bergen", "lund", "oslo", "turku"))}


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federated]:
    with federated(tmp_path_factory.mktemp("four"), ROWS) as made:
        yield made


@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(),
        Ridge(),
        GaussianNB(),
        PCA(2),
        StandardScaler(),
        make_pipeline(StandardScaler(), LogisticRegression()),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_what_sites_hide_adds_up_to_the_same_bits(four: Federated, estimator: Any) -> None:
    on = tk.Federation(four.researcher)
    got, expected = (tk.fit(estimator, tk.dataset("toy"), "y", chain=c, on=on) for c in (CHAIN, CHAIN[:1]))
    pooled = tk.fit(estimator, ROWS, on=tk.Inline())
    for name, value in vars(_last(expected.model)).items():
        if name.endswith("_") and isinstance(value, np.ndarray) and value.dtype.kind == "f":
            np.testing.assert_array_equal(vars(_last(got.model))[name], value, err_msg=name)
            np.testing.assert_allclose(value, vars(_last(pooled.model))[name], rtol=1e-7, err_msg=name)
    assert [outcome.arrived for outcome in got.history] == [tuple(ROWS)] * len(got.history)


def _last(model: Any) -> Any:
    return model[-1] if hasattr(model, "steps") else model


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_site_signs_with_its_certified_key_for_the_sites_of_the_roster(world: World) -> None:
    proposal = world.proposal(plan=plan_of(chain=CHAIN))
    secure = SecureSums(world.oslo, Journal(world.folder / "released"))
    plan = secure.join(Plan(tk.learner_for(Ridge()), chain=CHAIN), "run", proposal)
    signer = plan.chain.links[-1].identity  # type: ignore[attr-defined]
    assert signer.roster == {name: world.parties[name].me.signing_key for name in proposal.roster}
    assert signer.run == "run"
    with pytest.raises(MaskRefused, match="mallory"):
        signer.signer("mallory", b"any")
    bare = Plan(tk.learner_for(Ridge()), chain=[tk.fixed()])
    assert secure.join(bare, "run", proposal) is bare


def test_what_was_released_outlives_the_program(tmp_path: Path) -> None:
    for survivors in (("a", "b", "c"), ("a", "b", "c")):
        journal = Journal(tmp_path)
        require_same_release(Releases(journal, "run"), "question", survivors)
        journal.forget("another run")
        journal.close()
    released = Releases(Journal(tmp_path), "run")
    with pytest.raises(MaskRefused, match="released for this question before"):
        require_same_release(released, "question", ("a", "b"))
    assert dict(released) == {"released question": ("a", "b", "c")}
    assert not Releases(released.journal, "another run")
    with pytest.raises(TypeError):
        del released["released question"]


def test_under_masks_no_site_is_asked_for_numbers_of_its_own(world: World) -> None:
    proposal = from_bytes(world.proposal(plan=plan_of(chain=CHAIN)).to_bytes())
    desk = world.desk()
    desk.require_placement(proposal, Plan(Inventory(target="fraud", hidden=True)))
    desk.require_placement(proposal, Plan(Totals(("age", "cost"), "fraud"), chain=CHAIN))
    for plan in (
        Plan(Inventory(target="fraud")),
        Plan(Totals(("age", "cost"), "fraud")),
        Plan(Totals(("age", "cost"), "fraud"), chain=[tk.fixed()]),
        Plan(Totals(("age", "cost"), "name"), chain=CHAIN),
        Plan(tk.learner_for(LogisticRegression()), chain=[tk.fixed()]),
    ):
        with pytest.raises(Refused):
            desk.require_placement(proposal, plan)


def test_a_plan_brings_no_identity() -> None:
    (_, link) = plan_from_bytes(plan_of(chain=CHAIN)).chain
    assert link == Mask()
    assert link.identity is None


def test_two_sites_hide_nothing_and_are_refused(tmp_path: Path) -> None:
    rows = {name: ROWS[name] for name in ("bergen", "lund")}
    with federated(tmp_path, rows) as two, pytest.raises(Refused, match="of 2 sites hides nothing"):
        tk.fit(Ridge(), tk.dataset("toy"), "y", chain=CHAIN, on=tk.Federation(two.researcher))
