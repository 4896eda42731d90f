"""What a node makes sure of before it goes on: each check is one function, and raises what was wrong.

A coordinator that cheats wins where one of them is missing; tests take out each in turn to see that it does.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, MutableMapping, Sequence
from typing import Any

from talkoot.core.errors import DataError, MaskRefused, PlanError
from talkoot.core.update import Leaf, Update
from talkoot.guards.mask.graph import LEAST
from talkoot.guards.ring import Ring

Released = MutableMapping[str, tuple[str, ...]]  # what was decided -> for which nodes


def require_three(cohort: Collection[str]) -> None:
    """At least three nodes take part."""
    if len(cohort) < LEAST:
        raise PlanError(
            f"a secure sum of {len(cohort)} nodes hides nothing: with two, the other's sum is deducible",
            cure=f"Take at least {LEAST} nodes, or leave mask() out.",
        )


def require_round(round_of_keys: int | None, index: int) -> None:
    """The node has keys, and they are those of this round."""
    if round_of_keys != index:
        raise MaskRefused(
            f"this node has no keys of round {index}",
            cure="It was started again since, or the round is over: it takes part in the next one.",
        )


def require_once(what: str, *, done: bool) -> None:
    """A node does this once a round: two updates under the same masks would show their difference."""
    if done:
        raise MaskRefused(f"this node has sent its {what} in this round")


def require_known(nodes: Collection[str], cohort: Collection[str]) -> None:
    """Who posted is in the cohort that this node signed."""
    if strangers := sorted(set(nodes) - set(cohort)):
        raise MaskRefused(f"{_listed(strangers)} posted keys and is not in the round that was announced")


def require_listed(node: str, roster: Mapping[str, bytes]) -> bytes:
    """A node is on the approved roster; returns its public key there."""
    if node not in roster:
        raise MaskRefused(
            f"{node!r} is not on the approved roster", cure="Have the plan approved for all nodes."
        )
    return roster[node]


def require_signed(node: str, *, valid: bool) -> None:
    """A node's keys are signed by it, for this question and this cohort."""
    if not valid:
        raise MaskRefused(
            f"the keys of {node!r} are not signed by it for this run, round, cohort and question",
            cure="Somebody between the nodes has changed them, or nodes were shown different questions.",
        )


def require_usable(node: str, *, valid: bool) -> None:
    """A node's keys give secrets."""
    if not valid:
        raise MaskRefused(f"{node!r} posted a key with which every secret is zero")


def require_own(mine: Any, shown: Any) -> None:
    """The node's own keys came back as it sent them."""
    if mine != shown:
        raise MaskRefused("this node's own keys came back changed")


def require_distinct(keys: Sequence[bytes]) -> None:
    """No key is used twice."""
    if len(set(keys)) < len(keys):
        raise MaskRefused("two nodes have the same key, so one has copied the other's")


def require_keys(nodes: Collection[str], needed: int) -> None:
    """Enough nodes posted keys."""
    _require_enough(nodes, needed, "posted keys")


def require_senders(nodes: Collection[str], needed: int) -> None:
    """Enough nodes sent shares."""
    _require_enough(nodes, needed, "sent shares")


def require_survivors(nodes: Collection[str], needed: int) -> None:
    """Enough nodes are in the sum that is to be read."""
    _require_enough(nodes, max(needed, LEAST), "are in the sum")


def require_question(bound: str, given: str) -> None:
    """The question is the one that the node's keys are signed for."""
    if bound != given:
        raise MaskRefused("the question is not the one that this round was announced with")


def require_opened(node: str, plain: bytes | None, size: int) -> bytes:
    """What a node sealed for this one is sealed by it, for this round, and whole."""
    if plain is None or len(plain) != size:
        raise MaskRefused(f"what {node!r} sealed for this node cannot be opened, so it is not what it sent")
    return plain


def require_sums(update: Update) -> None:
    """Every leaf is a sum in fixed point, and there are some."""
    for name, value in update.values.items():
        if (kind := update.kind(name)) is not Leaf.SUM:
            raise DataError(
                f"leaf {name!r} merges by {kind.value}, which no mask can hide",
                cure="Declare bounds or a vocabulary, such as OneHotEncoder(categories=[...]), or take what "
                "adds, such as StandardScaler or RobustScaler.",
            )
        if not isinstance(value, Ring):
            raise DataError(f"leaf {name!r} is not in fixed point", cure="Write [tk.fixed(), tk.mask()].")
    if not update.values:
        raise DataError(
            "there are no rows here, and a node that sends nothing cannot hide that under a mask",
            cure="Leave the node out.",
        )


def require_seen(survivors: Collection[str], seen: Collection[str]) -> None:
    """Survivors are among those who sent shares to this node."""
    if strangers := sorted(set(survivors) - set(seen)):
        raise MaskRefused(f"{_listed(strangers)} is in the sum and sent no shares")


def require_one_set(decided: Released, key: str, survivors: tuple[str, ...]) -> None:
    """Only one set of survivors is ever signed in an attempt."""
    if decided.setdefault(f"signed {key}", survivors) != survivors:
        raise MaskRefused("this node has signed another set of survivors in this round")


def require_signatures(signers: Collection[str], needed: int) -> None:
    """Enough nodes signed the same survivors."""
    _require_enough(signers, needed, "signed the same survivors")


def require_same_release(decided: Released, question: str, survivors: tuple[str, ...]) -> None:
    """For one question secrets are only ever released for one set of survivors."""
    if decided.setdefault(f"released {question}", survivors) != survivors:
        raise MaskRefused(
            "secrets were released for this question before, with other survivors: the difference of the two "
            "sums would be somebody's own",
            cure="Take the same nodes, or ask another question.",
        )


def _require_enough(nodes: Collection[str], needed: int, what: str) -> None:
    if len(nodes) < needed:
        raise MaskRefused(
            f"{len(nodes)} nodes {what}, and a secure sum of this round needs {needed}",
            cure="The round is held again when more nodes are there.",
        )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))
