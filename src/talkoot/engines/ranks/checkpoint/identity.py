"""The settings that identify a training: a folder of checkpoints belongs to one training.

Settings are text by name, so that differences can be named. They do not depend on the number of processes, on
devices, or on versions of libraries. They are the plan; number, shapes, types and a sample of the data; the
module's parameters and plain attributes; the settings of the optimizer and its schedule; of functions the
name, code and the plain values that they use. Of the chain, the merge and the outer step the text is shown,
and the digest of their data is compared.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch

from talkoot.core.plan import Plan
from talkoot.core.shard import UNKNOWN, Shard
from talkoot.core.sync import Rounds
from talkoot.data.samples.base import samples_of
from talkoot.engines.ranks.checkpoint.samples import describe_samples
from talkoot.formats.describe import describe, is_plain
from talkoot.formats.plans import part_digest
from talkoot.learners.deep.optimizer_step import OptimizerStep
from talkoot.learners.deep.trainer import Trainer

CONTINUES = ("epochs", "sync limit", "accumulate", "precision")  # may change when a training goes on
_NO_EFFECT = ("build", "metrics", "compile", "device")  # fields of a task that do not change its answer
_IGNORED = ("params", "initial_lr", "param_names", "foreach", "fused", "capturable", "differentiable")
_OPTIONAL = ("code", "content")  # last words of settings that some machines lack
_DIGEST = " digest"  # last word of settings that take the place of a text; older folders lack them
_SCHEDULES = ("_schedulers", "_milestones")
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_LABELS = {"lr": "learning rate (lr)"}


def settings(plan: Plan, shards: Mapping[str, Shard], trainer: Trainer) -> dict[str, str]:
    """The settings of a training, by name; its trainer has not made a step."""
    parts = (_plan(plan), _data(plan, shards), _module(trainer.module), _optimizer(trainer))
    return {name: text for part in parts for name, text in part}


def differences(saved: Mapping[str, str], now: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """The differences in words: those of another training, and those that are allowed.

    >>> differences({"epochs": "5", "seed": "0"}, {"epochs": "8", "seed": "1"})
    (['seed: 0 in the folder, 1 now'], ['epochs: 5 in the folder, 8 now'])
    """
    refused: list[str] = []
    allowed: list[str] = []
    for name in dict.fromkeys((*now, *saved)):
        if name.endswith(_DIGEST) or _same(name, saved, now):
            continue
        there, here = saved.get(name), now.get(name)
        values = f"{there or 'nothing'} in the folder, {here or 'nothing'} now"
        if name.endswith(_OPTIONAL) or there == here:
            values = "not the same as in the folder"
        (allowed if name in CONTINUES else refused).append(f"{name}: {values}")
    return refused, allowed


def _same(name: str, saved: Mapping[str, str], now: Mapping[str, str]) -> bool:
    """Whether a setting is the same: by the digests of its data where both have one, else by its text."""
    digests = saved.get(name + _DIGEST), now.get(name + _DIGEST)
    there, here = digests if None not in digests else (saved.get(name), now.get(name))
    return there == here or (None in (there, here) and name.endswith(_OPTIONAL))


def planned_steps(plan: Plan, shards: Mapping[str, Shard]) -> int | None:
    """Steps or rounds until the end, if known."""
    rows = sum({source.whole: source.rows for source in samples_of(shards).values()}.values())
    limits = [plan.learner.limit(replace(UNKNOWN, rows=rows), plan.sync), getattr(plan.sync, "limit", None)]
    return min((limit for limit in limits if limit is not None), default=None)


def _plan(plan: Plan) -> Iterator[tuple[str, str]]:
    learner: Any = plan.learner
    for each in fields(learner) if is_dataclass(learner) else ():
        if each.name not in _NO_EFFECT:
            yield from describe(each.name, getattr(learner, each.name))
    yield "sync", type(plan.sync).__name__
    for each in fields(plan.sync) if isinstance(plan.sync, Rounds) else ():
        yield f"sync {each.name}", repr(getattr(plan.sync, each.name))
    for name in ("chain", "merge", "outer", "seed"):
        value = getattr(plan, name)
        text = " -> ".join(map(repr, value)) or "none" if name == "chain" else repr(value)
        yield name, _ADDRESS.sub("", text)
        if name != "seed" and not isinstance(value, OptimizerStep):  # its task is described above
            yield name + _DIGEST, part_digest([*value] if name == "chain" else value)


def _data(plan: Plan, shards: Mapping[str, Shard]) -> Iterator[tuple[str, str]]:
    if isinstance(plan.sync, Rounds):
        yield "nodes", ", ".join(shards)
    sources = {source.whole: source for source in samples_of(shards).values()}
    yield "sources of samples", ", ".join(sources)  # their names determine the order of samples
    for name, source in sources.items():
        of = "data" if len(sources) == 1 else f"data of {name}"
        yield f"{of}: rows", str(source.rows)
        yield from ((f"{of}: {what}", text) for what, text in describe_samples(source))


def _module(module: torch.nn.Module) -> Iterator[tuple[str, str]]:
    for path, part in module.named_modules():
        of = f"module {path}".rstrip()
        yield of, type(part).__name__
        for name, value in vars(part).items():
            if is_plain(value) and name != "training" and not name.startswith("_"):
                yield from describe(f"{of}: {name}", value)
    for name, tensor in module.state_dict(keep_vars=True).items():
        if isinstance(tensor, torch.Tensor):
            kind = str(tensor.dtype).removeprefix("torch.")
            frozen = isinstance(tensor, torch.nn.Parameter) and not tensor.requires_grad
            yield f"module {name}", f"{kind} {tuple(tensor.shape)}{', frozen' if frozen else ''}"


def _optimizer(trainer: Trainer) -> Iterator[tuple[str, str]]:
    yield "optimizer", type(trainer.optimizer).__name__
    groups = trainer.optimizer.param_groups
    for number, group in enumerate(groups):
        of = "optimizer" if len(groups) == 1 else f"optimizer, group {number}"
        for name, value in group.items():
            if name not in _IGNORED:
                yield from describe(f"{of}: {_LABELS.get(name, name)}", value)
    scheduler: Any = trainer.scheduler
    yield "scheduler", "none" if scheduler is None else type(scheduler).__name__
    if scheduler is not None:
        for name, value in scheduler.state_dict().items():
            if not name.startswith("_") or name in _SCHEDULES:
                yield from describe(f"scheduler: {name}", value)
        yield from describe("scheduler: lr_lambdas", list(getattr(scheduler, "lr_lambdas", ())))
