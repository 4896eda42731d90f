"""Sites with rows and a policy, and researchers who propose."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from parties import make_authority, make_party
from sklearn.linear_model import LogisticRegression

import talkoot as tk
from talkoot.engines.federation.consent.desk import Desk
from talkoot.engines.federation.consent.proposal import Proposal, SignedProposal, sign
from talkoot.engines.federation.identity.authority import Authority
from talkoot.engines.federation.identity.identity import Identity
from talkoot.formats.plans import plan_to_bytes

POLICY = """
researchers = ["ana"]
data_sets = ["claims"]
learners = ["LogisticRegression", "StandardScaler", "Pipeline"]
purposes = ["*"]
secure_sum = false
"""
SITE = """
coordinator = "127.0.0.1:8443"

[data.claims]
files = "claims.parquet"
"""
NAMES = ("bergen", "lund", "oslo")


def plan_of(estimator: Any = None, **more: Any) -> bytes:
    return plan_to_bytes(
        tk.Plan(tk.learner_for(LogisticRegression() if estimator is None else estimator), **more)
    )


def write_rows(path: Path, rows: int = 60) -> None:
    rng = np.random.default_rng(0)
    columns = {name: rng.normal(size=rows) for name in ("age", "cost")}
    pq.write_table(pa.table({**columns, "fraud": rng.integers(0, 2, rows)}), path)


@final
@dataclass
class World:
    """An authority, three sites and two researchers; Oslo has a desk."""

    folder: Path
    authority: Authority = field(init=False)
    parties: dict[str, Identity] = field(default_factory=dict)
    clock: float = 1_800_000_000.0

    def __post_init__(self) -> None:
        self.authority = make_authority(self.folder)
        for name in NAMES:
            self.parties[name] = make_party(self.authority, self.folder / name, name)
        for name in ("ana", "bo"):
            self.parties[name] = make_party(self.authority, self.folder / name, name, "researcher")
        write_rows(self.oslo.folder / "claims.parquet")
        (self.oslo.folder / "site.toml").write_text(SITE)
        self.set_policy()

    @property
    def oslo(self) -> Identity:
        return self.parties["oslo"]

    def set_policy(self, *changes: str, text: str = POLICY) -> None:
        """Oslo's policy, with keys that replace those of the same name."""
        keys = {line.split(" = ")[0]: line for line in (*text.strip().splitlines(), *changes)}
        (self.oslo.folder / "policy.toml").write_text("\n".join(keys.values()))

    def desk(self, **registered: Any) -> Desk:
        return Desk(self.oslo, registered, now=lambda: self.clock)

    def proposal(self, **changes: Any) -> Proposal:
        roster = {name: self.parties[name].certificate.decode() for name in NAMES}
        given = {
            "dataset": "claims",
            "target": "fraud",
            "plan": plan_of(),
            "kind": "fit",
            "purpose": "stroke study",
            "permit": "REK 2027/12",
            "roster": roster,
            "researcher": "ana",
        }
        return Proposal(**{**given, **changes})

    def signed(self, **changes: Any) -> SignedProposal:
        proposal = self.proposal(**changes)
        return sign(proposal, self.parties[proposal.researcher])
