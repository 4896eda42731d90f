"""tk.check: do the nodes' data agree? A merge of summaries; no rows move."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from talkoot.api.job import Job
from talkoot.core.engine import Engine
from talkoot.core.plan import Plan
from talkoot.core.run import run
from talkoot.data.contract.checks.run import examine
from talkoot.data.contract.contract import Contract
from talkoot.data.contract.profile import Profile
from talkoot.data.shards import shards
from talkoot.data.tables.source import UNKNOWN


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

    Each node sends counts, quantiles, categories and salted hashes of its rows; no row moves. Looked for are:
    columns that nodes lack, text among numbers, other units, categories and codes of one node only, missing
    values, labels and features distributed differently, and rows that two nodes both have. Differences are
    told where they matter and are too large for chance, so rows dealt at random give no findings.

    Args:
        data: the nodes' rows: whatever `tk.shards` takes.
        target: the target, by name for tables and files.
        by: a column whose values name the nodes.
        encoding: how the text of CSV files is encoded, such as "cp1252"; UTF-8 by default.
        missing: texts that stand for a missing value, such as ``["?"]``.
        keys: the columns that tell rows apart, to find rows that two nodes share; by default all columns.
        on: where; chosen where it is None.

    Returns:
        The contract: its `findings`, whether it is `ok`, and, printed, a summary to read.

    Raises:
        DataError: rows that cannot be read, or columns that are not there.

    >>> import pandas as pd, talkoot as tk
    >>> here = pd.DataFrame({"height": range(150, 200), "ill": [0, 1] * 25})
    >>> there = pd.DataFrame({"height": [h / 2.54 for h in range(151, 201)], "ill": [0, 1] * 25})
    >>> print(tk.check({"here": here, "there": there}, "ill"))
    2 nodes: 1 warning found in 1 columns of 100 rows (here 50, there 50)
    ...
    """
    chosen = (keys,) if isinstance(keys, str) else tuple(keys or ())
    given = shards(data, target, by=by, encoding=encoding, missing=missing).with_keys(chosen)
    plan = Plan(Profile(keys=chosen, salt=secrets.token_hex(16)))
    job = Job.place(plan, given, on)
    found = run(plan, given, job.engine, schema=UNKNOWN)
    return examine(
        plan.learner.finish(found.model), tuple(given), target=given.target or "target", keys=chosen
    )
