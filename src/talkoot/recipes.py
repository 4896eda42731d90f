"""Published algorithms that train a module with little communication, as plans.

A recipe is a function that returns a `tk.Plan`; print it to write a variant of your own.

>>> import torch, talkoot as tk
>>> def build():
...     module = torch.nn.Linear(2, 1)
...     return module, torch.optim.SGD(module.parameters(), lr=0.1)
>>> task = tk.Torch(build, torch.nn.functional.mse_loss, batch=16)
>>> print(tk.recipes.diloco(task, steps=50, bits=8))
learner  Torch(build, mse_loss, batch=16)
chain    Weigh(by='rows') -> Quantize(bits=8, block=128, feedback=True)
merge    Sum()
outer    Nesterov(lr=0.7, momentum=0.9)
sync     Rounds(limit=None, ..., steps=50, ...)
seed     0
"""

from __future__ import annotations

from talkoot.core.learner import Learner
from talkoot.core.outer import Adam, Add, Nesterov
from talkoot.core.plan import Plan
from talkoot.core.sync import Rounds, every
from talkoot.core.transform import Transform
from talkoot.guards.quantize import quantize
from talkoot.guards.weigh import weigh


def fedavg(
    task: Learner,
    *,
    steps: int | None = None,
    rounds: int | None = None,
    sample: float = 1.0,
    seed: int = 0,
) -> Plan:
    """Federated averaging: the next model is the mean of the models that nodes train, weighted by rows.

    Use it where there are many nodes whose rows differ, of which only some take part in each round.
    Source: McMahan et al. 2017, arXiv:1602.05629.

    Args:
        task: what is trained, such as `tk.Torch(...)`.
        steps: inner steps of a node in each round; by default the task's `epochs` over its samples, and
            `rounds` is the limit.
        rounds: number of rounds; by default as many as the task's `epochs` need at so many steps each.
        sample: share of the nodes that take part in each round.
        seed: all random numbers follow from it.

    Raises:
        PlanError: numbers outside their range.

    >>> from talkoot.testing.toys import Walk
    >>> fedavg(Walk(), rounds=20, sample=0.5).outer
    Add(lr=1.0)
    """
    sync = Rounds(limit=rounds, steps=steps, sample=sample)
    return Plan(task, chain=[weigh("rows")], outer=Add(), sync=sync, seed=seed)


def fedadam(
    task: Learner,
    *,
    steps: int | None = None,
    rounds: int | None = None,
    sample: float = 1.0,
    lr: float = 0.01,
    eps: float = 1e-3,
    seed: int = 0,
) -> Plan:
    """Federated averaging whose mean difference is a gradient for Adam (beta1 0.9, beta2 0.99).

    Use it where plain averages are slow or unstable: each parameter has its own step size, which helps those
    that few nodes change, such as of rare words. Here Adam corrects its bias in the first rounds; the
    paper's does not. Source: Reddi et al. 2021, arXiv:2003.00295.

    Args:
        task: what is trained, such as `tk.Torch(...)`.
        steps: inner steps of a node in each round; by default the task's `epochs` over its samples, and
            `rounds` is the limit.
        rounds: number of rounds; by default as many as the task's `epochs` need at so many steps each.
        sample: share of the nodes that take part in each round.
        lr: outer learning rate.
        eps: keeps the division finite; the paper's degree of adaptivity. Larger values are safer.
        seed: all random numbers follow from it.

    Raises:
        PlanError: numbers outside their range.

    >>> from talkoot.testing.toys import Walk
    >>> fedadam(Walk(), rounds=20).outer
    Adam(lr=0.01, beta1=0.9, beta2=0.99, eps=0.001)
    """
    sync = Rounds(limit=rounds, steps=steps, sample=sample)
    return Plan(task, chain=[weigh("rows")], outer=Adam(lr=lr, beta2=0.99, eps=eps), sync=sync, seed=seed)


def diloco(
    task: Learner,
    *,
    steps: int = 100,
    bits: int | None = None,
    lr: float = 0.7,
    momentum: float = 0.9,
    seed: int = 0,
) -> Plan:
    """A round every `steps` steps, whose mean difference is a gradient for SGD with Nesterov momentum.

    Use it where the network between nodes is slow: the bytes of a step are divided by `steps`, and with
    8 or 4 bits by another 4 or 8. The state of inner optimizers (AdamW in the paper) stays at the node.
    Source: Douillard et al. 2023, arXiv:2311.08105.

    Args:
        task: what is trained, such as `tk.Torch(...)`.
        steps: inner steps between two rounds.
        bits: of a value on the wire, 8 or 4; by default differences are sent in full.
        lr: outer learning rate.
        momentum: outer momentum.
        seed: all random numbers follow from it.

    Raises:
        PlanError: numbers outside their range.

    >>> import torch, talkoot as tk
    >>> task = tk.Torch(lambda: (), torch.nn.functional.mse_loss)
    >>> diloco(task, steps=50).outer
    Nesterov(lr=0.7, momentum=0.9)
    """
    return Plan(task, chain=_chain(bits), outer=Nesterov(lr, momentum), sync=every(steps=steps), seed=seed)


def streaming_diloco(
    task: Learner,
    *,
    steps: int = 100,
    fragments: int = 4,
    delay: int = 1,
    bits: int | None = 4,
    seed: int = 0,
) -> Plan:
    """DiLoCo that sends the model in parts, in few bits, while nodes continue training.

    Use it where the network is slow and should cost no time: one part of the model is sent at once, and
    sending may take `delay` steps. The steps of a node during that time are added to the merged result.
    Source: Douillard et al. 2025, arXiv:2501.18512 (whose 4 bits are floats, here integers).

    Args:
        task: what is trained, such as `tk.Torch(...)`.
        steps: inner steps between two rounds of the same part.
        fragments: parts of the model.
        delay: inner steps while a part is being sent; less than steps / fragments.
        bits: of a value on the wire, 8 or 4; None for differences in full.
        seed: all random numbers follow from it.

    Raises:
        PlanError: numbers outside their range.

    >>> import torch, talkoot as tk
    >>> task = tk.Torch(lambda: (), torch.nn.functional.mse_loss)
    >>> streaming_diloco(task, steps=40, delay=5).sync.fragments
    4
    """
    sync = every(steps=steps, fragments=fragments, delay=delay)
    return Plan(task, chain=_chain(bits), outer=Nesterov(), sync=sync, seed=seed)


def decoupled_diloco(
    task: Learner, *, quorum: int, steps: int = 100, grace: float = 0.5, seed: int = 0
) -> Plan:
    """DiLoCo without waiting for stragglers: a round is complete once `quorum` nodes have arrived.

    Use it where nodes differ in speed, or join and leave. Nodes are weighted by the samples (tokens)
    that they trained on. Source: Douillard et al. 2026, arXiv:2604.21428 (there without common rounds).

    Args:
        task: what is trained, such as `tk.Torch(...)`.
        quorum: number of nodes that complete a round.
        steps: inner steps between two rounds.
        grace: once the quorum has arrived, wait for the others for this share of the time that it took.
        seed: all random numbers follow from it.

    Raises:
        PlanError: numbers outside their range.

    >>> import torch, talkoot as tk
    >>> task = tk.Torch(lambda: (), torch.nn.functional.mse_loss)
    >>> decoupled_diloco(task, quorum=3).sync.grace
    0.5
    """
    sync = every(steps=steps, quorum=quorum, grace=grace)
    return Plan(task, chain=_chain(None), outer=Nesterov(), sync=sync, seed=seed)


def _chain(bits: int | None) -> list[Transform]:
    return [weigh("rows")] if bits is None else [weigh("rows"), quantize(bits=bits)]
