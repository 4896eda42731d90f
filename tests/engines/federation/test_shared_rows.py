"""Rows that two sites both have: counted between the two, and reported from their thresholds on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from programs import POLICY, Federated, federated
from sites import World

import talkoot as tk
from talkoot.core.errors import DataError, PlanError, Refused
from talkoot.core.plan import Plan
from talkoot.core.round import Round
from talkoot.data.contract.shared_rows import SealedRows, SharedRows, hashes_of, shared_rows
from talkoot.engines.federation.identity.sealing import Sealing

rng = np.random.default_rng(0)
X = rng.normal(size=(300, 3))
y = (X[:, 0] > 0).astype(int)
CUTS = {"bergen": slice(0, 110), "lund": slice(100, 200), "oslo": slice(180, 300)}  # 10 and 20 in common
ROWS = {name: (X[cut], y[cut]) for name, cut in CUTS.items()}


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federated]:
    with federated(tmp_path_factory.mktemp("shared"), ROWS) as made:
        yield made


def duplicates(three: Federated, purpose: str) -> list[Any]:
    found = tk.check(tk.dataset("toy"), "y", on=tk.Federation(three.researcher, purpose=purpose))
    return [finding for finding in found.findings if finding.kind == "duplicates"]


def test_sites_count_what_they_share_and_report_no_fewer_than_either_permits(three: Federated) -> None:
    found = duplicates(three, "all")
    assert {(one.node, one.what.split(" (")[0], one.what.split()[-1]) for one in found} == {
        ("lund", "10 row(s)", "bergen"),
        ("lund", "20 row(s)", "oslo"),
    }
    policy = three.folder / "bergen" / "policy.toml"
    policy.write_text(POLICY.replace("minimum_rows = 5", "minimum_rows = 11"))
    (only,) = duplicates(three, "with a threshold")
    assert only.what.startswith("20 row(s)")
    with pytest.raises(PlanError, match="keys= names columns.*Leave keys= out"):
        tk.check(tk.dataset("toy"), "y", keys="x0", on=tk.Federation(three.researcher))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def sealing(world: World, name: str, run: str = "run") -> Sealing:
    return Sealing(
        world.parties[name], {each: world.parties[each].me for each in ("bergen", "lund", "oslo")}, run
    )


def test_what_is_sealed_is_opened_by_its_receiver_in_its_run_alone(world: World) -> None:
    sealed = sealing(world, "bergen").seal("oslo", b"hashes")
    assert sealing(world, "oslo").opened("bergen", sealed) == b"hashes"
    assert b"hashes" not in sealed
    assert sealing(world, "bergen").peers == ("lund", "oslo")
    for receiver, sender, run, data in (
        ("lund", "bergen", "run", sealed),
        ("oslo", "lund", "run", sealed),
        ("oslo", "bergen", "another", sealed),
        ("oslo", "bergen", "run", sealed[:-1]),
        ("oslo", "bergen", "run", b""),
        ("oslo", "turku", "run", sealed),
        ("oslo", "oslo", "run", sealed),
        ("bergen", "bergen", "run", sealed),
    ):
        with pytest.raises(Refused):
            sealing(world, receiver, run).opened(sender, data)


def answers(world: World, rows: dict[str, np.ndarray], least: int = 5) -> dict[tuple[str, str], int]:
    found = tk.shards(rows)
    seals = {name: sealing(world, name) for name in rows}
    sealed = {name: SealedRows(least, seals[name]).answer(found[name]) for name in rows}
    asked = {name: each for name, each in sealed.items() if each}
    schema: Any = None
    return shared_rows(
        {name: SharedRows(least, seals[name]).answer_about(asked, found[name], schema) for name in rows}
    )


def test_sites_with_equal_columns_of_another_order_and_width_share_rows(world: World) -> None:
    one = rng.normal(size=(50, 2))
    assert answers(world, {"bergen": one, "oslo": one[::-1]}) == {("bergen", "oslo"): 50}
    assert answers(world, {"bergen": one, "oslo": one[:4]}) == {("bergen", "oslo"): 0}
    assert answers(world, {"bergen": one, "oslo": one[:5]}) == {("bergen", "oslo"): 5}
    assert answers(world, {"bergen": one, "lund": one, "oslo": one + 1}) == {
        ("bergen", "lund"): 50,
        ("bergen", "oslo"): 0,
        ("lund", "oslo"): 0,
    }


def test_where_rows_repeat_equal_ones_mean_nothing(world: World) -> None:
    few = np.arange(40.0).reshape(-1, 1) % 4
    assert answers(world, {"bergen": few, "oslo": few}) == {("bergen", "oslo"): -1}


def test_a_sample_of_large_sites_gives_an_estimate(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("talkoot.data.contract.shared_rows.MOST", 1 << 11)
    large = rng.normal(size=(20_000, 2))
    ((_, found),) = answers(world, {"bergen": large[:12_000], "oslo": large[8_000:]}).items()
    assert abs(found - 4000) < 1000
    own, rows = hashes_of(tk.shards(large)["node0"], sealing(world, "oslo"), 5)
    assert (len(own.sorted), rows, own.whole) == (1024, 20_000, False)


def test_the_size_of_what_is_sealed_says_nothing_of_rows_that_repeat(world: World) -> None:
    rows = rng.normal(size=(60, 1))
    twice = np.concatenate([rows[:59], rows[:1]])
    sizes = [
        len(SealedRows(5, sealing(world, "bergen")).answer(tk.shards({"bergen": each})["bergen"])["oslo"])
        for each in (rows, twice)
    ]
    assert sizes[0] == sizes[1]


def test_a_site_counts_once_in_a_run_and_sees_only_its_own_seals(world: World) -> None:
    proposal, desk = world.proposal(kind="check", plan=b""), world.desk()
    plan = desk.require_placement(proposal, Plan(SharedRows()))
    assert isinstance(plan.learner, SharedRows)
    assert plan.learner.least == 20
    sealed = {"bergen": {"oslo": np.zeros(40, np.uint8)}}
    rnd = Round(index=0, cohort=("bergen", "lund", "oslo"))
    desk.require_question(proposal, plan, rnd, sealed)
    with pytest.raises(Refused, match="answered once in the run"):
        desk.require_question(proposal, plan, rnd, {})
    with pytest.raises((Refused, DataError), match="cannot be opened"):
        plan.learner.answer_about(sealed, desk.open(proposal), plan.schema)
    fit = world.proposal()
    for query in (SealedRows(), SharedRows()):
        with pytest.raises(Refused, match="is not part of what was approved"):
            desk.require_placement(fit, Plan(query))
