"""What organisations agree on after a check is part of the proposal: fixes of columns, declared classes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from programs import Federated, federated
from sites import SITE, World
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import talkoot as tk
from talkoot.core.errors import DataError, Refused, SchemaError
from talkoot.core.transform import Transform
from talkoot.data.inventory import Inventory
from talkoot.data.totals import Totals
from talkoot.engines.federation.consent import proposal as proposals
from talkoot.engines.federation.consent.desk import Desk
from talkoot.engines.federation.consent.proposal import run_of
from talkoot.engines.federation.consent.trial import explain_at
from talkoot.engines.federation.consent.words import to_text
from talkoot.engines.federation.identity.identity import Identity

CHAIN: list[Transform] = [tk.fixed(), tk.mask()]
rng = np.random.default_rng(0)
X = rng.normal(size=(240, 3)) + 5
y = (X @ [1.0, -1.0, 0.5] + rng.normal(size=240) > 2.5).astype(int)
ROWS = {name: (X[part::3], y[part::3]) for part, name in enumerate(("bergen", "oslo", "turku"))}
FIXES = [
    tk.fix("weight", at="oslo", missing=["?"], times=0.5, rename="x1"),
    tk.fix("y", at="oslo", values={"ja": "1", "nei": "0"}),
]


def write(three: Federated, name: str, **columns: object) -> None:
    pq.write_table(pa.table(columns), three.folder / name / "rows.parquet")


def agreed(classes: tuple[object, ...] = (0, 1), name: str = "toy") -> object:
    return tk.dataset(name, classes=classes, fixes=FIXES)


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federated]:
    with federated(tmp_path_factory.mktemp("agreed"), ROWS) as made:
        X, y = ROWS["oslo"]
        weight = (X[:, 1] * 2).astype(str).astype(object)
        write(made, "oslo", x0=X[:, 0], weight=weight, x2=X[:, 2], y=np.where(y == 1, "ja", "nei"))
        yield made


@pytest.fixture(autouse=True)
def people(request: pytest.FixtureRequest) -> Iterator[None]:
    """At each site a person who approves whatever the policy permits."""
    if "three" not in request.fixturenames:
        yield
        return
    made, over = request.getfixturevalue("three"), threading.Event()
    desks = [Desk(Identity.load(made.folder / name)) for name in ROWS]

    def approve() -> None:
        while not over.wait(0.05):
            for desk in desks:
                for signed, *_ in desk.journal.proposals():
                    if desk.decide(signed).state == "pending":
                        desk.approve(run_of(signed.proposal), "kari")

    thread = threading.Thread(target=approve)
    thread.start()
    yield
    over.set()
    thread.join()


def model() -> object:
    return make_pipeline(StandardScaler(), LogisticRegression())


@pytest.mark.parametrize("chain", [[], CHAIN], ids=["open", "masked"])
def test_each_site_applies_its_fixes_and_the_answer_is_that_of_fixed_rows(
    three: Federated, chain: list[Transform]
) -> None:
    fit = tk.fit(model(), agreed(), "y", chain=chain, on=tk.Federation(three.researcher))
    pooled = tk.fit(model(), ROWS, on=tk.Inline())
    np.testing.assert_allclose(fit.model[-1].coef_, pooled.model[-1].coef_, rtol=1e-9)
    assert fit.model[-1].classes_.tolist() == [0, 1]
    with pytest.raises(SchemaError, match="lacks 'x1' and has 'weight' besides"):
        tk.fit(model(), tk.dataset("toy"), "y", chain=chain, on=tk.Federation(three.researcher))


def test_a_check_reads_the_fixed_columns(three: Federated) -> None:
    found = tk.check(agreed(), "y", on=tk.Federation(three.researcher))
    assert [str(one) for one in found.findings if one.kind != "duplicates"] == []
    before = tk.check(tk.dataset("toy"), "y", on=tk.Federation(three.researcher))
    assert {"schema", "labels"} <= {one.kind for one in before.findings}


@pytest.mark.parametrize("chain", [[], CHAIN], ids=["open", "masked"])
def test_an_undeclared_class_is_refused_by_its_column_and_not_shown(
    three: Federated, chain: list[Transform]
) -> None:
    X, y = ROWS["turku"]
    write(three, "turku", x0=X[:, 0], x1=X[:, 1], x2=X[:, 2], y=np.where(np.arange(80) == 3, 4711, y))
    try:
        with pytest.raises(SchemaError) as caught:
            tk.fit(model(), agreed(name="again"), "y", chain=chain, on=tk.Federation(three.researcher))
    finally:
        write(three, "turku", x0=X[:, 0], x1=X[:, 1], x2=X[:, 2], y=y)
    assert (caught.value.node, caught.value.column) == ("turku", "y")
    assert "a class that was not declared" in str(caught.value)
    assert "4711" not in str(caught.value)


@pytest.mark.parametrize("chain", [[], CHAIN], ids=["open", "masked"])
def test_a_class_that_nobody_has_is_refused(three: Federated, chain: list[Transform]) -> None:
    with pytest.raises(DataError, match=r"column 'y': no node has a row of the class 2"):
        tk.fit(model(), agreed((0, 1, 2)), "y", chain=chain, on=tk.Federation(three.researcher))


def test_classes_that_few_rows_of_each_site_have_are_learned_where_they_are_declared(
    three: Federated,
) -> None:
    """No site has five rows of the class 2, and all three together have nine."""
    kept, rare = {}, {}
    for name, (X, y) in ROWS.items():
        rare[name] = (X, np.where(np.arange(80) < 3, 2, y))
    try:
        for name, (X, y) in rare.items():
            kept[name] = (three.folder / name / "rows.parquet").read_bytes()
            write(three, name, x0=X[:, 0], x1=X[:, 1], x2=X[:, 2], y=y)
        on = tk.Federation(three.researcher)
        fit = tk.fit(model(), tk.dataset("third", classes=[0, 1, 2]), "y", chain=CHAIN, on=on)
        with pytest.raises(DataError, match="at the site"):
            tk.fit(model(), tk.dataset("third"), "y", chain=CHAIN, on=on)
    finally:
        for name, data in kept.items():
            (three.folder / name / "rows.parquet").write_bytes(data)
    pooled = tk.fit(model(), rare, on=tk.Inline())
    np.testing.assert_allclose(fit.model[-1].coef_, pooled.model[-1].coef_, rtol=1e-6)


def test_categories_that_an_encoder_declares_need_no_site_to_report_any(three: Federated) -> None:
    encoder = make_column_transformer((OneHotEncoder(categories=[[0.0, 1.0]]), ["y"]), remainder="drop")
    data = tk.dataset("toy", fixes=FIXES)
    fit = tk.fit(encoder, data, chain=CHAIN, on=tk.Federation(three.researcher, registered={}))
    assert fit.model.transformers_[0][1].categories_[0].tolist() == [0, 1]


def test_a_fix_for_a_site_that_is_not_there_is_refused(three: Federated) -> None:
    data = tk.dataset("toy", fixes=[tk.fix("x1", at="oslp", times=2)])
    with pytest.raises(DataError, match=r"for the site 'oslp'. The sites are bergen, oslo, turku"):
        tk.check(data, "y", on=tk.Federation(three.researcher))


def test_what_was_agreed_on_is_read_before_approval_and_bound_to_the_proposal(tmp_path: Path) -> None:
    world = World(tmp_path)
    fixes = [tk.fix("age", at="oslo", times=12.0, missing=[-9]), tk.fix("cost", at="lund", rename="price")]
    proposal = world.proposal(classes=[0, 1], fixes=fixes)
    assert proposals.from_bytes(proposal.to_bytes()) == proposal
    text = to_text(explain_at(world.desk(), proposal))
    for part in (
        "The target's classes: 0, 1; a site with another refuses.",
        "- column 'age' at oslo: -9 counts as a missing value; numbers are multiplied by 12.",
        "- column 'cost' at lund: it is called 'price'.",
    ):
        assert part in text
    names = {run_of(world.proposal(**c).to_bytes()) for c in ({}, {"fixes": fixes}, {"classes": [0, 1]})}
    assert len(names) == 3
    source = world.desk().open(proposal)
    plain = world.desk().open(world.proposal())
    ages = [np.concatenate([b.X[:, 0] for b in each.blocks()]) for each in (source, plain)]
    np.testing.assert_allclose(ages[0], ages[1] * 12)


def test_columns_are_changed_only_where_a_person_approves(tmp_path: Path) -> None:
    """Else the policy would let through any number of checks that differ in one value."""
    world = World(tmp_path)
    world.set_policy('automatic = ["check"]')
    check = {"kind": "check", "plan": b""}
    assert world.desk().decide(world.signed(**check)).state == "approved"
    assert world.desk().decide(world.signed(**check, fixes=[tk.fix("age", missing=[41])])).state == "pending"


def test_queries_name_the_classes_that_were_approved(tmp_path: Path) -> None:
    world = World(tmp_path)
    desk, proposal = world.desk(), world.proposal(classes=[0, 1])
    for classes in ((0, 1), ()):
        desk.require_placement(proposal, tk.Plan(Inventory(labels=True, target="fraud", classes=classes)))
    for learner in (Inventory(labels=True, classes=(0, 2)), Totals((), "fraud", classes=(0, 2))):
        with pytest.raises(Refused, match="classes that were not approved"):
            desk.require_placement(proposal, tk.Plan(learner))


def test_a_fix_gives_no_column_that_the_site_keeps_out(tmp_path: Path) -> None:
    """`columns` in site.toml holds for the site's own names, whatever they are renamed to."""
    world = World(tmp_path)
    (world.oslo.folder / "site.toml").write_text(SITE + 'columns = ["age"]\n')
    fixes = [tk.fix("age", rename="years"), tk.fix("fraud", rename="ill")]
    source = world.desk().open(world.proposal(target="ill", fixes=fixes))
    assert source.layout().names == ("years",)
    swapped = [tk.fix("age", rename="years"), tk.fix("cost", rename="age")]
    with pytest.raises(Refused, match="cannot be read"):
        world.desk().open(world.proposal(fixes=swapped))


def test_the_first_row_of_a_file_without_a_header_does_not_leave_as_names(tmp_path: Path) -> None:
    world = World(tmp_path)
    (world.oslo.folder / "claims.csv").write_text(
        "".join(f"{i + 3},{i * 3 + 1},{i % 2},Ola\n" for i in range(60))
    )
    (world.oslo.folder / "site.toml").write_text(SITE.replace("parquet", "csv"))
    found = world.desk().decide(world.signed(target=None))
    assert found == ("refused", "the data set 'claims' cannot be read with the target None")
    assert "no header" in world.desk().journal.decisions(run_of(world.signed(target=None).proposal))[-1].why


def test_a_fix_that_cannot_be_applied_is_refused_without_a_value(tmp_path: Path) -> None:
    world = World(tmp_path)
    found = world.desk().decide(world.signed(fixes=[tk.fix("Age", times=12.0)]))
    assert found.state == "refused"
    assert found.reason == "the data set 'claims' cannot be read with the target 'fraud'"
