"""tk.join: the meetings of a plan for users with a training loop of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self, cast, final

import torch

from talkoot.core.context import Ctx
from talkoot.core.engine import Progress
from talkoot.core.errors import PlanError
from talkoot.core.learner import Kind, Learner
from talkoot.core.outer import Add, Outer
from talkoot.core.plan import Plan
from talkoot.core.run import run_round
from talkoot.core.shard import Block, Schema, Shard
from talkoot.core.sync import Rounds
from talkoot.core.update import Update
from talkoot.engines.ranks.collectives.gradients import average
from talkoot.engines.ranks.collectives.group import Peers
from talkoot.engines.ranks.collectives.objects import broadcast_object
from talkoot.engines.ranks.rounds import RankNodes
from talkoot.engines.ranks.supervision.membership import membership
from talkoot.engines.ranks.supervision.rank_state import RankState
from talkoot.engines.ranks.supervision.stop_request import StopRequest
from talkoot.engines.ranks.wrap import agree_on_parameters
from talkoot.guards.weigh import Weigh
from talkoot.learners.deep.tensors import Arrays, arrays, fragment, put


@final
@dataclass(slots=True, eq=False)
class _UserModule(Shard):
    """The module that a user trains, as the data of a node."""

    rank: int
    module: torch.nn.Module
    weight: float = 1.0

    @property
    def name(self) -> str:
        return f"rank {self.rank}"

    def blocks(self) -> Iterator[Block]:
        return iter(())


@final
@dataclass(frozen=True, slots=True, eq=False)
class _ModuleChange(Learner):
    """Sends the change of the user's module since the last meeting."""

    kind: ClassVar[Kind] = "averaged"
    ends: ClassVar[bool] = True
    means: ClassVar[bool] = True

    def init(self, schema: Schema, rng: Any) -> None:
        del schema, rng

    def work(self, model: Arrays, local: None, shard: Shard, ctx: Ctx) -> tuple[Update, None]:
        user = cast(_UserModule, shard)
        now = arrays(user.module, {})
        change = {
            name: now[name] - model[name] for name in fragment(list(now), ctx.round, ctx.work.fragments)
        }
        return Update(values=change, weight=user.weight), local

    def outer(self) -> Outer:
        return Add()

    def finish(self, model: Arrays) -> Arrays:
        return model


@final
class Link:
    """A module on this rank, connected to those of the other ranks; see `join`.

    Attributes:
        rank: this process, from 0.
        world: number of ranks.
    """

    def __init__(self, plan: Plan, module: torch.nn.Module | None, timeout: float) -> None:
        _check(plan)
        self._plan, self._membership = plan, membership(timeout)
        self.rank, self.world = self._membership.place.rank, self._membership.place.world
        self._steps, self._rank_state = 0, RankState()
        self._module: torch.nn.Module | None = None
        self._now = Progress(model={}, outer=None)
        if module is not None:
            self._start(module)
        elif isinstance(plan.sync, Rounds):
            raise PlanError(
                "ranks that meet every so many steps have to start from the same parameters",
                cure="Write tk.join(plan, module) before the first step.",
            )

    def _start(self, module: torch.nn.Module) -> None:
        with self._membership.members() as group:
            agree_on_parameters(module, group)
            _copy_first_rank(module, group)
        self._module, model = module, arrays(module, {})
        outer = self._plan.outer.init(model) if isinstance(self._plan.sync, Rounds) else None
        self._now = Progress(model=model, outer=outer)

    def merge_(self, module: torch.nn.Module | None = None, *, weight: float = 1.0) -> bool:
        """Meet the other ranks if it is time; changes the module, or its gradients, in place.

        Where the plan meets at every step, call it between ``backward()`` and ``optimizer.step()``: gradients
        become their mean over the ranks. Where it meets every so many steps, call it after each
        ``optimizer.step()``: most calls return at once; at a meeting the plan's chain, merge and outer step
        are applied to all ranks' changes. All ranks call it equally often.

        Args:
            module: the module that is trained, if `join` was called without it.
            weight: of this rank, such as the number of samples since the last meeting.

        Returns:
            Whether the ranks met.

        Raises:
            NodeLost, NodeSilent, NodeFailed: a rank is gone, does not answer, or raised; it is named.
        """
        if weight < 0:
            raise PlanError(f"weight={weight} is negative")
        mine = self._mine(module)
        self._steps += 1
        if self._plan.sync.gradient:
            with self._membership.members() as group:
                _average(mine, weight, group)
            return True
        rnd = self._plan.sync.next(self._now.last)
        if rnd is None or rnd.work.steps is None or self._steps < rnd.work.steps:
            return False
        self._steps = 0
        shards = {f"rank {rank}": _UserModule(rank, mine, weight) for rank in range(self.world)}
        with self._membership.members() as group:
            nodes = RankNodes(shards, group, self._rank_state, StopRequest())
            nodes.place(self._plan)
            self._now, _ = run_round(self._plan, replace(rnd, cohort=tuple(shards)), nodes, self._now)
        model: Arrays = self._now.model
        put(mine, {name: model[name] for name in fragment(list(model), rnd.index, rnd.work.fragments)}, {})
        return True

    def _mine(self, module: torch.nn.Module | None) -> torch.nn.Module:
        """The module of this link.

        Raises:
            PlanError: there is none, or `module` is another one.
        """
        if self._module is None and module is not None:
            self._start(module)
        if self._module is None or module not in (None, self._module):
            raise PlanError(
                "this link has no module" if self._module is None else "this is not the module of this link",
                cure="Write tk.join(plan, module), or link.merge_(module) with the same module in each step.",
            )
        return self._module

    def close(self) -> None:
        """Leave the group; all ranks call this at the same point. Another one can be joined later."""
        self._membership.leave_together()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception) and self._membership.group is not None:
            with suppress(type(error)), self._membership.members():
                raise error
        elif self._membership.group is not None:
            self.close()


def join(plan: Plan, module: torch.nn.Module | None = None, *, timeout: float = 60.0) -> Link:
    """Take part in a plan with a training loop of your own, in a process that a launcher started.

    All ranks start from the first rank's parameters. The rank comes from the environment, as with `Ranks`;
    without a launcher there is one. The plan's learner is not used; its sync, chain, merge and outer step
    are. With meetings at every step, buffers such as the statistics of batch norms stay each rank's own;
    otherwise their mean is taken.

    Args:
        plan: when the ranks meet and how they merge: ``tk.every_step()``, or ``tk.every(steps=...)``
            with any chain and outer step. `delay=`, `seconds=`, `quorum=` need the loop of `fit`.
        module: the module that is trained, built in the same way on all ranks. Where ranks meet at every step
            it may be passed to ``merge_(module)`` instead.
        timeout: seconds that one rank may keep the others waiting.

    Returns:
        A `Link`; call its ``merge_()`` in each step. As a context it passes this rank's errors to the others.

    Raises:
        PlanError: a plan that needs the loop of `fit`, or modules that differ between ranks.
        NodeSilent: a rank did not come.

    >>> import torch, talkoot as tk
    >>> module = torch.nn.Linear(1, 1)
    >>> optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    >>> task = tk.Torch(lambda: (module, optimizer), torch.nn.functional.mse_loss)
    >>> with tk.join(tk.recipes.diloco(task, steps=2), module) as link:
    ...     for step in range(4):
    ...         module(torch.ones(8, 1)).mean().backward()
    ...         optimizer.step()
    ...         print(link.merge_(), end=" ")
    False True False True
    """
    return Link(_with_module_change(plan), module, timeout)


def _with_module_change(plan: Plan) -> Plan:
    """The plan with a learner that sends the module's change."""
    if plan.sync.gradient:
        return plan
    return Plan(
        _ModuleChange(), chain=plan.chain, merge=plan.merge, outer=plan.outer, sync=plan.sync, seed=plan.seed
    )


def _check(plan: Plan) -> None:
    sync = plan.sync
    if sync.gradient:
        if plan.merge.needs != "sum" or [*plan.chain] != [Weigh("rows")] or getattr(sync, "sharded", False):
            raise PlanError(
                "tk.join can only average gradients",
                cure='Take chain=[tk.weigh("rows")] and a plain every_step(), or tk.fit.',
            )
    elif not isinstance(sync, Rounds) or sync.steps is None:
        raise PlanError(f"{sync} does not say after how many steps ranks meet", cure="Take every(steps=...).")
    elif sync.delay or sync.quorum is not None or sync.sample < 1:
        raise PlanError(
            "a loop of your own cannot go on while ranks meet, or meet without some of them",
            cure="Leave out delay=, quorum= and sample=, or train with tk.fit.",
        )


def _copy_first_rank(module: torch.nn.Module, group: Peers) -> None:
    """Copy parameters and buffers from the first rank."""
    mine = {name: tensor.detach().cpu() for name, tensor in module.state_dict().items()}
    state = broadcast_object(group, mine, 0)
    if group.rank:
        module.load_state_dict(state)


def _average(module: torch.nn.Module, weight: float, group: Peers) -> None:
    """Gradients become their weighted mean over the ranks; one that some ranks lack counts as zero there."""
    total = float(group.gather_numbers([weight]).sum())
    if group.world == 1 or not total:
        return
    if all(parameter.device.type == "cpu" for parameter in module.parameters()):
        group.share_memory()
    average(module.parameters(), group, weight / total)
