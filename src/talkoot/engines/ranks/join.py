"""tk.join: the meetings of a plan for those who write their training loop themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
from talkoot.engines.processes import wire
from talkoot.engines.ranks.collectives.gradients import average
from talkoot.engines.ranks.collectives.group import Peers
from talkoot.engines.ranks.rounds import RankNodes
from talkoot.engines.ranks.supervision.membership import membership
from talkoot.engines.ranks.supervision.rank_state import RankState
from talkoot.engines.ranks.supervision.stop_request import StopRequest
from talkoot.engines.ranks.wrap import agree_on_parameters
from talkoot.guards.weigh import Weigh
from talkoot.learners.deep.tensors import Arrays, arrays, fragment, put


@final
@dataclass(slots=True, eq=False)
class _Live(Shard):
    """A module in somebody's hands, as a node's data: what it has become is what the node says."""

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
class _ByHand(Learner):
    """What a rank says in a round: how far its module is from where all were."""

    kind: ClassVar[Kind] = "averaged"
    ends: ClassVar[bool] = True
    means: ClassVar[bool] = True

    def init(self, schema: Schema, rng: Any) -> None:
        del schema, rng

    def work(self, model: Arrays, local: None, shard: Shard, ctx: Ctx) -> tuple[Update, None]:
        live = cast(_Live, shard)
        now = arrays(live.module, {})
        said = {name: now[name] - model[name] for name in fragment(list(now), ctx.round, ctx.work.fragments)}
        return Update(values=said, weight=live.weight), local

    def outer(self) -> Outer:
        return Add()

    def finish(self, model: Arrays) -> Arrays:
        return model


@final
class Link:
    """A module on this rank, and the ranks that it meets; see `join`.

    Attributes:
        rank: this process, from 0.
        world: how many ranks there are.
    """

    def __init__(self, plan: Plan, module: torch.nn.Module | None, timeout: float) -> None:
        _check(plan)
        self._plan, self._membership = plan, membership(timeout)
        self.rank, self.world = self._membership.place.rank, self._membership.place.world
        self._steps, self._memory = 0, RankState()
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
            _start_from_first(module, group)
        self._module, model = module, arrays(module, {})
        outer = self._plan.outer.init(model) if isinstance(self._plan.sync, Rounds) else None
        self._now = Progress(model=model, outer=outer)

    def merge_(self, module: torch.nn.Module | None = None, *, weight: float = 1.0) -> bool:
        """Meet the others if it is time; the module, or its gradients, change in place.

        Where the plan meets at every step, call it between ``backward()`` and ``optimizer.step()``: gradients
        become their mean over the ranks. Where it meets every so many steps, call it after each
        ``optimizer.step()``: most calls return at once, and at a meeting the module becomes what the plan's
        chain and outer step make of all ranks' differences. All ranks call it equally often.

        Args:
            module: the one that was joined with; to be given here where it was not given to `join`.
            weight: how much this rank counts, such as the samples since the last meeting.

        Returns:
            Whether the ranks met.

        Raises:
            NodeLost, NodeSilent, NodeFailed: a rank is gone, does not answer, or raised; it is named.
        """
        if weight < 0:
            raise PlanError(f"weight={weight} counts less than nothing")
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
        shards = {f"rank {rank}": _Live(rank, mine, weight) for rank in range(self.world)}
        with self._membership.members() as group:
            nodes = RankNodes(shards, group, self._memory, StopRequest())
            nodes.place(self._plan)
            self._now, _ = run_round(self._plan, replace(rnd, cohort=tuple(shards)), nodes, self._now)
        model: Arrays = self._now.model
        put(mine, {name: model[name] for name in fragment(list(model), rnd.index, rnd.work.fragments)}, {})
        return True

    def _mine(self, module: torch.nn.Module | None) -> torch.nn.Module:
        """The module that was joined with.

        Raises:
            PlanError: there is none, or this is another one.
        """
        if self._module is None and module is not None:
            self._start(module)
        if self._module is None or module not in (None, self._module):
            raise PlanError(
                "no module was joined with" if self._module is None else "this is not the module joined with",
                cure="Write tk.join(plan, module), or link.merge_(module) with one and the same.",
            )
        return self._module

    def close(self) -> None:
        """Leave the group, as all ranks do at this point; another one can be joined later."""
        self._membership.part()

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

    The module starts from the first rank's parameters on all ranks. Which rank this is comes from the
    environment, as with `Ranks`; without a launcher it is alone. What the plan learns is not asked for: its
    sync, chain, merge and outer step are. With meetings at every step, buffers such as the statistics of
    batch norms stay each rank's own; else their mean is taken.

    Args:
        plan: when the ranks meet, and what happens then: ``tk.every_step()``, or ``tk.every(steps=...)``
            with any chain and outer step. `delay=`, `seconds=`, `quorum=` need a loop of ours: `fit`.
        module: what is trained here, and equally on all other ranks. Where ranks meet at every step it may be
            given to ``merge_(module)`` instead, if all ranks have built the same.
        timeout: seconds that one rank may keep the others waiting.

    Returns:
        A `Link`; call its ``merge_()`` in each step. As a context it tells the others what this rank raises.

    Raises:
        PlanError: a plan that cannot be led by hand, or modules that differ between ranks.
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
    return Link(_led(plan), module, timeout)


def _led(plan: Plan) -> Plan:
    """The plan, of what a module in somebody's hands says."""
    if plan.sync.gradient:
        return plan
    return Plan(
        _ByHand(), chain=plan.chain, merge=plan.merge, outer=plan.outer, sync=plan.sync, seed=plan.seed
    )


def _check(plan: Plan) -> None:
    sync = plan.sync
    if sync.gradient:
        if plan.merge.needs != "sum" or [*plan.chain] != [Weigh("rows")] or getattr(sync, "sharded", False):
            raise PlanError(
                "by hand, gradients are averaged and no more",
                cure='Take chain=[tk.weigh("rows")] and a plain every_step(), or tk.fit.',
            )
    elif not isinstance(sync, Rounds) or sync.steps is None:
        raise PlanError(f"{sync} does not say after how many steps ranks meet", cure="Take every(steps=...).")
    elif sync.delay or sync.quorum is not None or sync.sample < 1:
        raise PlanError(
            "a loop of your own cannot go on while ranks meet, or meet without some of them",
            cure="Leave out delay=, quorum= and sample=, or let tk.fit lead the loop.",
        )


def _start_from_first(module: torch.nn.Module, group: Peers) -> None:
    """Parameters and buffers become those of the first rank."""
    said = group.gather(wire.packed(_plain(module)) if group.rank == 0 else b"")
    if group.rank:
        module.load_state_dict(wire.unpacked(said[0]))


def _plain(module: torch.nn.Module) -> Mapping[str, Any]:
    return {name: tensor.detach().cpu() for name, tensor in module.state_dict().items()}


def _average(module: torch.nn.Module, weight: float, group: Peers) -> None:
    """Gradients become their weighted mean over the ranks; one that some ranks lack counts as zero there."""
    total = float(group.numbers([weight]).sum())
    if group.world == 1 or not total:
        return
    if all(parameter.device.type == "cpu" for parameter in module.parameters()):
        group.share_memory()
    average(module.parameters(), group, weight / total)
