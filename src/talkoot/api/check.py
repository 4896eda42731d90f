"""tk.check: do the nodes' data agree? A merge of summaries; no rows move."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from talkoot.api.job import Job
from talkoot.api.sites import shards_on
from talkoot.core.engine import Engine, Nodes
from talkoot.core.errors import PlanError
from talkoot.core.plan import Plan
from talkoot.core.query import Answers, Query
from talkoot.core.run import run_on
from talkoot.core.shard import UNKNOWN
from talkoot.data.contract.checks.run import examine
from talkoot.data.contract.contract import Contract
from talkoot.data.contract.profile import Profile
from talkoot.data.contract.shared_rows import SealedRows, SharedRows, shared_rows


def check(
    data: Any,
    target: Any = None,
    *,
    by: str | None = None,
    encoding: str | None = None,
    missing: Sequence[str] | None = None,
    keys: str | Sequence[str] | None = None,
    on: Engine | None = None,
) -> Contract:
    """Compare the nodes' data before training: what would fail, mislead or surprise.

    Each node sends counts, quantiles, categories and salted hashes of its rows; no row moves. It finds
    columns that nodes lack, text among numbers, other units, categories and codes of one node only, missing
    values, labels and features distributed differently, and rows that two nodes both have. Differences are
    reported where they matter and are too large for chance, so rows split at random give no findings.

    Args:
        data: the nodes' rows: whatever `tk.shards` takes.
        target: the target, by name for tables and files.
        by: a column whose values name the nodes.
        encoding: how the text of CSV files is encoded, such as "cp1252"; UTF-8 by default.
        missing: texts that stand for a missing value, such as ``["?"]``.
        keys: the columns that tell rows apart, to find rows that two nodes share; by default all columns.
        on: where the nodes are; chosen for the job and this machine by default.

    Returns:
        The contract: its `findings`, whether it is `ok`, and, printed, a summary.

    Raises:
        DataError: rows that cannot be read, or missing columns.
        PlanError: `keys` for rows of other organisations.

    >>> import pandas as pd, talkoot as tk
    >>> here = pd.DataFrame({"height": range(150, 200), "ill": [0, 1] * 25})
    >>> there = pd.DataFrame({"height": [h / 2.54 for h in range(151, 201)], "ill": [0, 1] * 25})
    >>> print(tk.check({"here": here, "there": there}, "ill"))
    2 nodes: 1 warning found in 1 columns of 100 rows (here 50, there 50)
    ...
    """
    columns = (keys,) if isinstance(keys, str) else tuple(keys or ())
    unbound = shards_on(data, target, on, by=by, encoding=encoding, missing=missing).with_keys(columns)
    query = Profile(keys=columns, salt=secrets.token_hex(16))
    job = Job.place(Plan(query), unbound, on, kind="check")
    about = unbound.target or "target"
    if not job.elsewhere:
        return examine(query.run(unbound, job.engine), tuple(unbound), target=about, keys=columns)
    if columns:
        raise PlanError(
            "keys= names columns, and sites of other organisations compare whole rows: by columns that "
            "somebody chooses single persons could be looked up",
            cure="Leave keys= out.",
        )
    with job.engine.open(unbound) as nodes:
        reports = ask(nodes, query)
        counted = shared_rows(ask(nodes, SharedRows(), ask(nodes, SealedRows())))
    return examine(reports, tuple(unbound), target=about, counted=counted)


def ask(nodes: Nodes, query: Query, about: Any = None) -> Any:
    """The answers of all nodes to a query that needs no schema."""
    return query.finish(run_on(nodes, Plan(query), schema=UNKNOWN, model=Answers(about=about)).model)
