"""Talkoot: machine learning where the data and the computers are in many places.

``import talkoot as tk`` is the whole public interface. Names are loaded when they are first used, so that
importing the package, or asking the command line for help, is instant.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from talkoot import explain, online, recipes
    from talkoot.api.check import check
    from talkoot.api.compare.compare import compare
    from talkoot.api.compare.comparison import Comparison
    from talkoot.api.compare.worth import Value
    from talkoot.api.distributed import Distributed
    from talkoot.api.fit import fit, run
    from talkoot.api.follow import follow
    from talkoot.api.followed import Followed
    from talkoot.api.result import Fit
    from talkoot.api.verify.verification import Verification
    from talkoot.api.verify.verify import verify
    from talkoot.core.errors import (
        DataError,
        NodeError,
        NotDistributable,
        NotInvertible,
        PlanError,
        QuorumError,
        Refused,
        TalkootError,
    )
    from talkoot.core.merge import Gather, Median, Sum, TrimmedMean
    from talkoot.core.outer import Accumulate, Adam, Add, Nesterov, Solve
    from talkoot.core.plan import Plan
    from talkoot.core.sync import every, every_step, rounds
    from talkoot.core.update import Leaf, Update
    from talkoot.data.contract.contract import Contract
    from talkoot.data.fixes import fix
    from talkoot.data.registered import dataset
    from talkoot.data.samples.images import images
    from talkoot.data.samples.tokens import tokens
    from talkoot.data.shards import Shards, shards
    from talkoot.engines.checkpoint import Checkpoint
    from talkoot.engines.federation.engine import Federation
    from talkoot.engines.inline import Inline
    from talkoot.engines.local import Local
    from talkoot.engines.ranks.engine import Ranks
    from talkoot.engines.ranks.join import join
    from talkoot.engines.ray.engine import Ray
    from talkoot.formats.save import load
    from talkoot.guards.fixed import fixed
    from talkoot.guards.mask.mask import mask
    from talkoot.guards.quantize import quantize
    from talkoot.guards.topk import topk
    from talkoot.guards.weigh import weigh
    from talkoot.learners import learner_for
    from talkoot.learners.deep.task import Torch
    from talkoot.stream.drift.detectors import ADWIN, HDDM_A, HDDM_W, PageHinkley
    from talkoot.stream.drift.settings import drift
    from talkoot.stream.evaluation.evaluation import Evaluation
    from talkoot.stream.features.features import features
    from talkoot.stream.features.window import window
    from talkoot.stream.labels.labels import Labels

_HOMES = {
    "api.check": ("check",),
    "api.compare.compare": ("compare",),
    "api.compare.comparison": ("Comparison",),
    "api.distributed": ("Distributed",),
    "api.fit": ("fit", "run"),
    "api.follow": ("follow",),
    "api.followed": ("Followed",),
    "api.result": ("Fit",),
    "api.verify.verification": ("Verification",),
    "api.verify.verify": ("verify",),
    "api.compare.worth": ("Value",),
    "core.errors": (
        "DataError",
        "NodeError",
        "NotDistributable",
        "NotInvertible",
        "PlanError",
        "QuorumError",
        "Refused",
        "TalkootError",
    ),
    "core.merge": (
        "Gather",
        "Median",
        "Sum",
        "TrimmedMean",
    ),
    "core.outer": (
        "Accumulate",
        "Adam",
        "Add",
        "Nesterov",
        "Solve",
    ),
    "core.plan": ("Plan",),
    "core.sync": (
        "every",
        "every_step",
        "rounds",
    ),
    "core.update": (
        "Leaf",
        "Update",
    ),
    "data.contract.contract": ("Contract",),
    "data.samples.images": ("images",),
    "data.shards": (
        "Shards",
        "shards",
    ),
    "data.samples.tokens": ("tokens",),
    "engines.checkpoint": ("Checkpoint",),
    "data.fixes": ("fix",),
    "data.registered": ("dataset",),
    "engines.federation.engine": ("Federation",),
    "engines.inline": ("Inline",),
    "engines.local": ("Local",),
    "engines.ranks.engine": ("Ranks",),
    "engines.ranks.join": ("join",),
    "engines.ray.engine": ("Ray",),
    "formats.save": ("load",),
    "guards.fixed": ("fixed",),
    "guards.mask.mask": ("mask",),
    "guards.quantize": ("quantize",),
    "guards.topk": ("topk",),
    "guards.weigh": ("weigh",),
    "learners": ("learner_for",),
    "learners.deep.task": ("Torch",),
    "stream.labels.labels": ("Labels",),
    "stream.drift.settings": ("drift",),
    "stream.evaluation.evaluation": ("Evaluation",),
    "stream.drift.detectors": (
        "ADWIN",
        "HDDM_A",
        "HDDM_W",
        "PageHinkley",
    ),
    "stream.features.features": ("features",),
    "stream.features.window": ("window",),
}
_HOME = {name: f"talkoot.{module}" for module, names in _HOMES.items() for name in names}
_MODULES = ("explain", "online", "recipes")

__version__ = "0.1.0"
__all__ = [  # noqa: RUF022 (plain order)
    "ADWIN",
    "Accumulate",
    "Adam",
    "Add",
    "Checkpoint",
    "Comparison",
    "Contract",
    "DataError",
    "Distributed",
    "Evaluation",
    "Federation",
    "Fit",
    "Followed",
    "Gather",
    "HDDM_A",
    "HDDM_W",
    "Inline",
    "Labels",
    "Leaf",
    "Local",
    "Median",
    "Nesterov",
    "NodeError",
    "NotDistributable",
    "NotInvertible",
    "PageHinkley",
    "Plan",
    "PlanError",
    "QuorumError",
    "Ranks",
    "Ray",
    "Refused",
    "Shards",
    "Solve",
    "Sum",
    "TalkootError",
    "Torch",
    "TrimmedMean",
    "Update",
    "Value",
    "Verification",
    "check",
    "compare",
    "dataset",
    "drift",
    "every",
    "every_step",
    "explain",
    "features",
    "fit",
    "fix",
    "fixed",
    "follow",
    "images",
    "join",
    "learner_for",
    "load",
    "mask",
    "online",
    "quantize",
    "recipes",
    "rounds",
    "run",
    "shards",
    "tokens",
    "topk",
    "verify",
    "weigh",
    "window",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"talkoot.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'talkoot' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
