"""The policy of a site, `policy.toml`: what may be proposed at all. It only ever refuses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import final

import msgspec

from talkoot.core.errors import DataError
from talkoot.engines.federation.consent import toml
from talkoot.engines.federation.consent.content import Content
from talkoot.engines.federation.consent.proposal import Kind, Proposal
from talkoot.learners import families

FILE = "policy.toml"
ANY = "*"
FEWEST_ROWS, FEWEST_SITES, FEWEST_UNDER_MASKS = 5, 2, 3  # no policy can go below


@final
class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a site permits. A key that is not known, such as one of a later version, refuses everything.

    Args:
        researchers: who may propose, by the names of their certificates; "*" for all.
        data_sets: which data sets may be learned from; "*" for all.
        learners: which estimators, and registered learners, by name; "*" for all.
        purposes: for what; "*" for anything.
        secure_sum: only plans whose sums nobody can read site by site. It does not concern checks, which send
            no sums: to permit or forbid them is for `kinds`.
        kinds: what may be done.
        automatic: of these kinds, those that need no approval by a person, unless columns are to be changed.
        minimum_rows: below so many rows this site takes no part, and before a model is learned it reports
            nothing that fewer of its rows have.
        minimum_sites: below so many sites in a round it takes no part.
        rounds_a_day: in how many rounds it takes part, in all runs of a day (UTC).
        days: after how many days a proposal counts no more.
    """

    researchers: tuple[str, ...]
    data_sets: tuple[str, ...]
    learners: tuple[str, ...]
    purposes: tuple[str, ...]
    secure_sum: bool
    kinds: tuple[Kind, ...] = ("fit", "check")
    automatic: tuple[Kind, ...] = ()
    minimum_rows: int = 20
    minimum_sites: int = 3
    rounds_a_day: int = 500
    days: int = 30

    def __post_init__(self) -> None:
        sites = FEWEST_UNDER_MASKS if self.secure_sum else FEWEST_SITES
        for name, least in (
            ("minimum_rows", FEWEST_ROWS),
            ("minimum_sites", sites),
            ("rounds_a_day", 1),
            ("days", 1),
        ):
            if getattr(self, name) < least:
                raise DataError(
                    f"{name} = {getattr(self, name)} is less than {least}, below which no site goes",
                    cure=f"Write {name} = {least}, or more.",
                )
        if odd := [kind for kind in self.automatic if kind not in self.kinds]:
            raise DataError(
                f"automatic names {odd[0]!r}, which kinds does not permit",
                cure="Add it to kinds, or take it out of automatic.",
            )

    def reasons(self, proposal: Proposal, content: Content) -> Iterator[str]:
        """Why a proposal is not permitted; nothing if it is."""
        named = (
            ("the researcher", [proposal.researcher], self.researchers),
            ("the data set", [proposal.dataset], self.data_sets),
            ("the purpose", [proposal.purpose], self.purposes),
            ("the learner", content.learners, self.learners),
            ("the kind", [proposal.kind], self.kinds),
        )
        for what, names, permitted in named:
            yield from (f"{what} {name!r:.80} is not permitted" for name in _others(names, permitted))
        if "xgboost" in families(content.learners) and not content.masked:
            yield (
                "XGBoost's processes send histograms to each other, past the sites' secure sum, unless its "
                "trees are grown of sums of all sites: chain=[tk.fixed(), tk.mask()]"
            )
        if "lightgbm" in families(content.learners):
            yield "LightGBM's trees divide columns at values of rows, past the sites' secure sum"
        trees = "trees" in families(content.learners)
        if trees and content.plan is not None and content.plan.learner.kind == "bagged":
            yield (
                "each tree of a forest is grown of one site's rows and divides columns at their values, "
                "which no site shows to others"
            )
        elif trees and not content.masked:
            yield (
                "trees divide columns at values of rows, unless their bins come from sums of all sites: "
                "chain=[tk.fixed(), tk.mask()]"
            )
        if proposal.kind == "forget":
            pass  # one site takes part, and its own sums are what it consents to
        elif len(proposal.roster) < self.minimum_sites:
            yield f"{len(proposal.roster)} sites take part, and {self.minimum_sites} is the least"
        elif content.masked and len(proposal.roster) < FEWEST_UNDER_MASKS:
            yield f"a secure sum of {len(proposal.roster)} sites hides nothing: each knows the other's part"
        if self.secure_sum and content.plan is not None and not content.masked:
            yield "the sums can be read site by site, and only secure sums are permitted"


def load(folder: Path) -> Policy:
    """The policy of a site.

    Raises:
        DataError: there is none, or something in it is wrong. So nothing is permitted.
    """
    return toml.load(folder / FILE, Policy)


def _others(names: Sequence[str], permitted: Sequence[str]) -> list[str]:
    return [] if ANY in permitted else [name for name in names if name not in permitted]
