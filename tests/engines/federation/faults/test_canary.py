"""A canary in every cell of every site: it is in nothing that the coordinator has received, decrypted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import captured
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from canary import Canary, encodings, notes, numbers
from hypothesis import given
from hypothesis import strategies as st
from programs import POLICY, Federated, Place, federated
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tally import Tally

import talkoot as tk
from talkoot.core.errors import TalkootError
from talkoot.core.transform import Transform

SITES = ("bergen", "lund", "oslo")
CHAIN: list[Transform] = [tk.fixed(), tk.mask()]
PLACE = Place(command=captured.COMMAND, anew=("hub",))
PHASES = ("keys", "shares", "update", "survivors", "unmask")
MORE = """
[data.numbers]
files = "all.parquet"
columns = ["x0", "x1", "x2"]

[data.all]
files = "all.parquet"

[data.odd]
files = "odd.csv"
"""
rng = np.random.default_rng(11)
CELLS = {name: numbers(rng, 30, 4) for name in SITES}
CANARY = Canary(np.stack(list(CELLS.values())))


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federated]:
    folder = tmp_path_factory.mktemp("three")
    rows = {name: (cells[:, :3], cells[:, 3]) for name, cells in CELLS.items()}
    with federated(folder, rows, place=replace(PLACE, furnish=plant)) as made:
        yield made


def plant(folder: Path) -> None:
    """A site's rows, and what it permits: secure sums alone."""
    cells, texts = CELLS[folder.name], notes(30, folder.name)
    columns: dict[str, Any] = {f"x{at}": cells[:, at] for at in range(3)}
    table = pa.table({**columns, "y": cells[:, 3], "sick": np.arange(30) % 2, "note": texts})
    pq.write_table(table, folder / "all.parquet")
    lines = [f"{a},{b}" for a, b in zip(cells[:, 0].tolist(), cells[:, 3].tolist(), strict=True)]
    if folder.name == "oslo":
        lines[17] = f"{texts[17]},1.0"
    (folder / "odd.csv").write_text("\n".join(["x0,y", *lines, ""]))
    settings = (folder / "site.toml").read_text()
    (folder / "site.toml").write_text(settings.replace("[learners]", f"{MORE}\n[learners]"))
    policy = POLICY.replace("secure_sum = false", "secure_sum = true")
    policy = policy.replace("minimum_sites = 2", "minimum_sites = 3").replace(
        '["toy", "again", "third"]', '["*"]'
    )
    (folder / "policy.toml").write_text(policy)


def leaks(made: Federated) -> list[str]:
    """What of the canary the coordinator has received, or has written anywhere."""
    hub = made.folder / "hub"
    files = [path for path in hub.rglob("*") if path.is_file() and path.name != captured.RECEIVED]
    printed = [made.coordinator.log.read_bytes()]
    return CANARY.found([*captured.received(hub), *(path.read_bytes() for path in files), *printed])


def attempt(made: Federated, learner: Any, data: str, target: str | None, chain: Any = CHAIN) -> str:
    """A fit; what it says if it fails."""
    on = tk.Federation(made.researcher, registered={"Tally": Tally})
    try:
        if isinstance(learner, Tally):
            tk.run(tk.Plan(learner, chain=chain, sync=tk.rounds(2)), tk.dataset(data), on=on)
        else:
            tk.fit(learner, tk.dataset(data), target, chain=chain, on=on)
    except TalkootError as error:
        return str(error)
    return ""


@given(at=st.integers(0, 87), before=st.binary(max_size=9), name=st.sampled_from([*encodings(np.ones(3))]))
def test_a_canary_is_found_wherever_it_stands(at: int, before: bytes, name: str) -> None:
    data = before + encodings(CELLS["oslo"].ravel()[at:])[name] + bytes(3)
    assert CANARY.found_in(data) is not None
    assert CANARY.found_in(np.random.default_rng(at).bytes(20_000)) is None
    assert CANARY.found_in(encodings(np.arange(5.0) + 0.1)["digits"]) is None


@pytest.mark.parametrize(
    ("learner", "data", "target"),
    [
        (Ridge(), "numbers", "y"),
        (LogisticRegression(max_iter=20), "numbers", "sick"),
        (make_pipeline(StandardScaler(), Ridge()), "numbers", "y"),
        (PCA(2), "numbers", None),
        (Tally(), "numbers", None),
    ],
    ids=str,
)
def test_it_is_in_nothing_that_a_masked_fit_sends(
    three: Federated, learner: Any, data: str, target: str | None
) -> None:
    assert attempt(three, learner, data, target) == ""
    assert leaks(three) == []


@pytest.mark.parametrize("phase", PHASES)
def test_it_is_in_no_error_of_a_phase(three: Federated, phase: str) -> None:
    file = three.folder / "oslo" / f"raise-{phase}"
    file.touch()
    try:
        said = attempt(three, Tally(), "numbers", None)
    finally:
        file.unlink()
    assert leaks(three) == CANARY.found([said.encode()]) == []
    assert "at the site" in said
    assert "oslo" in said
    assert CANARY.found([three.sites["oslo"].log.read_bytes()]) != [], "it is in the site's own log"


@pytest.mark.parametrize(
    ("data", "target"), [("all", "sick"), ("odd", "y"), ("all", "note"), ("numbers", "x9")]
)
def test_it_is_in_no_error_about_columns_and_in_no_check(three: Federated, data: str, target: str) -> None:
    for learner in (LogisticRegression(), Ridge()):
        attempt(three, learner, data, target)
    with suppress(TalkootError):
        tk.check(tk.dataset(data), target, on=tk.Federation(three.researcher))
    assert leaks(three) == []


def test_where_sums_are_not_secure_it_is_found(tmp_path: Path) -> None:
    rows = {name: (CELLS[name][:, :3], CELLS[name][:, 3]) for name in SITES[:2]}
    with federated(tmp_path, rows, place=PLACE) as two:
        assert attempt(two, Tally(), "toy", None, chain=()) == ""
        assert set(leaks(two)) == {"a number of 64 bits"}
