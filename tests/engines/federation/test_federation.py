"""A federation of real programs on this machine: the same answer as on the pooled rows, whoever is killed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from programs import Federated, federated, write_rows
from sklearn.linear_model import LogisticRegression

import talkoot as tk
from talkoot.api.job import Job
from talkoot.core.errors import DataError, PlanError, Refused
from talkoot.data.contract.profile import Profile
from talkoot.testing.compare import assert_same
from talkoot.testing.engines import FailingNode, plans
from talkoot.testing.toys import Count, Walk

rng = np.random.default_rng(0)
X = rng.normal(size=(240, 4))
y = (X @ [1.0, -1.0, 0.5, 0.0] + rng.normal(size=240) > 0).astype(int)
ROWS = {name: (X[part::3], y[part::3]) for part, name in enumerate(("bergen", "oslo", "turku"))}


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federated]:
    with federated(tmp_path_factory.mktemp("three"), ROWS) as made:
        yield made


def test_a_check_finds_what_it_finds_here(three: Federated) -> None:
    odd = {**ROWS, "turku": (X[2::3] * [1.0, 100.0, 1.0, 1.0], y[2::3])}
    write_rows(three.folder / "turku", *odd["turku"])
    try:
        found = tk.check(tk.dataset("toy"), "y", on=tk.Federation(three.researcher))
    finally:
        write_rows(three.folder / "turku", *ROWS["turku"])
    tables = {name: {**{f"x{i}": c for i, c in enumerate(x.T)}, "y": t} for name, (x, t) in odd.items()}
    expected = tk.check({name: pa.table(table) for name, table in tables.items()}, "y")
    expected_at = {(one.kind, one.place) for one in expected.findings}
    assert {(one.kind, one.place) for one in found.findings} == expected_at
    assert ("units", "turku, x1") in expected_at or ("shift", "turku, x1") in expected_at


def test_a_check_does_not_show_how_far_out_a_row_lies(three: Federated) -> None:
    """What the researcher's process receives holds neither the greatest value nor the text of a cell."""
    texts = X[1::3, 0].astype(str).astype(object)
    texts[5] = "canary"
    far = {"x0": texts, "x1": np.where(np.arange(80) == 7, 987654.25, X[1::3, 1]), "y": y[1::3]}
    pq.write_table(pa.table(far), three.folder / "oslo" / "rows.parquet")
    on = tk.Federation(three.researcher, purpose="canary")
    query = Profile(least=1, salt="salt")
    job = Job.place(tk.Plan(query), on.shards(tk.dataset("toy"), "y"), on, kind="check")
    try:
        found = query.run(job.shards, job.engine)
    finally:
        write_rows(three.folder / "oslo", *ROWS["oslo"])
    shown = repr({name: np.asarray(leaf).tolist() for name, leaf in found["oslo"].items()})
    assert found["oslo"]["least"].tolist() == [5]  # the site's, not the researcher's
    assert len(found["oslo"]["hashes"]) == 0
    for hidden in ("canary", "987654", "rows.parquet", "row 6"):
        assert hidden not in shown


@pytest.mark.parametrize("plan", plans(), ids=lambda plan: str(plan.learner))
def test_it_does_not_change_answers(three: Federated, plan: tk.Plan) -> None:
    kinds = {kind.__name__: kind for kind in (Count, Walk, FailingNode)}
    on = tk.Federation(three.researcher, registered=kinds)
    tables = {name: pa.table({f"x{i}": c for i, c in enumerate(x.T)}) for name, (x, _) in ROWS.items()}
    for name, table in tables.items():
        pq.write_table(table, three.folder / name / "rows.parquet")
    try:
        got = tk.run(plan, tk.dataset("toy"), on=on)
    finally:
        for name, rows in ROWS.items():
            write_rows(three.folder / name, *rows)
    expected = tk.run(plan, tables, on=tk.Inline())
    assert_same(got.model, expected.model, rtol=1e-12, where=str(plan.learner))
    assert [(o.arrived, o.committed) for o in got.history] == [
        (o.arrived, o.committed) for o in expected.history
    ]


def test_what_only_the_sites_can_say_is_refused_here(three: Federated) -> None:
    on = tk.Federation(three.researcher)
    with pytest.raises(DataError, match="weight= is for the sites to say"):
        tk.fit(LogisticRegression(), tk.dataset("toy"), "y", weight="w", on=on)
    with pytest.raises(DataError, match="Give on=tk.Federation"):
        tk.fit(LogisticRegression(), tk.dataset("toy"), "y")
    with pytest.raises(PlanError, match=r"rows that its sites have registered.*tk.dataset"):
        tk.fit(LogisticRegression(), ROWS, on=on)
    with pytest.raises(Refused, match=r"node '\w+': the plan is refused there: the data set 'other' is not"):
        tk.fit(LogisticRegression(), tk.dataset("other"), "y", on=on)


def here() -> np.ndarray:
    """The answer of this process alone."""
    return np.asarray(tk.fit(LogisticRegression(), ROWS, on=tk.Inline()).model.coef_)


def test_the_answer_is_that_of_the_pooled_rows(three: Federated) -> None:
    fit = tk.fit(LogisticRegression(), tk.dataset("toy"), "y", on=tk.Federation(three.researcher))
    np.testing.assert_allclose(fit.model.coef_, here(), rtol=1e-9)
    assert fit.schema.rows == len(X)
    assert [outcome.arrived for outcome in fit.history] == [("bergen", "oslo", "turku")] * len(fit.history)


def test_what_sites_do_not_answer_is_refused_by_name(three: Federated) -> None:
    on = tk.Federation(three.researcher)
    fitted = tk.fit(LogisticRegression(), tk.dataset("toy"), "y", on=on)
    with pytest.raises(PlanError, match=r"differ by that site's sum. Let each site see what it gains"):
        fitted.value()
    with pytest.raises(DataError, match=r"learns from a target, and there is none\. Say which with target="):
        tk.fit(LogisticRegression(), tk.dataset("toy"), on=on)
    with pytest.raises(DataError, match=r"a data set of a federation\. Give it to tk\.fit"):
        tk.verify(LogisticRegression(), tk.dataset("toy"), "y")
