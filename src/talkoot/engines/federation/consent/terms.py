"""What belongs to a proposal besides its plan: how a comparison splits rows, and what is forgotten."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sklearn.metrics import get_scorer_names

from talkoot.core.errors import Refused
from talkoot.engines.federation.consent.proposal import Kind, Proposal
from talkoot.learners.held_out.folds import Folds, splits_of

TERMS: Mapping[Kind, Mapping[str, type]] = {
    "compare": {"folds": int, "repeats": int, "seed": int, "scoring": str},
    "forget": {"run": str, "site": str},
}
DEFAULTS = ("roc_auc", "accuracy", "r2")  # scorers where none is named; the target decides
MOST = 100  # models that are compared with each other at a site


def require_terms(proposal: Proposal) -> None:
    """Refuse a proposal whose terms are not those of its kind.

    Raises:
        Refused: a term is missing, is not known, or makes no sense.
    """
    known, terms = TERMS.get(proposal.kind, {}), proposal.terms
    found = {name: type(value) for name, value in terms.items()}
    if found != known:
        odd = sorted(set(found.items()) ^ set(known.items()), key=str)[0][0]
        raise Refused(f"a proposal to {proposal.kind} has no such term as {odd!r:.80}, or lacks it")
    if proposal.kind == "compare":
        _require_comparison(terms)


def splits(proposal: Proposal) -> tuple[Folds, ...]:
    """How a comparison splits rows."""
    folds, repeats, seed = (int(proposal.terms[name]) for name in ("folds", "repeats", "seed"))
    return splits_of(folds, repeats, seed)


def scorers(proposal: Proposal) -> tuple[str, ...]:
    """The scorers that a comparison may use."""
    named = str(proposal.terms["scoring"])
    return (named,) if named else DEFAULTS


def _require_comparison(terms: Mapping[str, Any]) -> None:
    folds, repeats, seed, scoring = (terms[name] for name in ("folds", "repeats", "seed", "scoring"))
    if not (folds >= 2 and repeats >= 1 and seed >= 0 and folds * repeats <= MOST):
        raise Refused(f"{folds} folds, {repeats} times, by seed {seed}: 2 to {MOST} models are compared")
    if scoring and scoring not in get_scorer_names():
        raise Refused(f"{scoring!r:.80} is no scorer of scikit-learn")
