"""Parameters that some ranks, some steps, or nobody uses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tasks import X, Y, apart, by_hand, task
from test_same_answer import Reference
from torch import nn

import talkoot as tk

SIGNS = np.where(np.arange(400)[:, None] % 3 == 0, -1.0, 1.0) * np.abs(X)  # samples of two kinds
KINDS = SIGNS.astype(np.float32)
CLOSE = 1e-5


class Experts(nn.Module):
    """Each sample goes to one of two layers, as its first number says; a third layer is never used."""

    def __init__(self) -> None:
        super().__init__()
        self.minus, self.plus, self.spare = nn.Linear(5, 1), nn.Linear(5, 1), nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = x.new_zeros(len(x), 1)
        for layer, mine in ((self.minus, x[:, 0] < 0), (self.plus, x[:, 0] >= 0)):
            if mine.any():
                out = out.index_put((mine.nonzero()[:, 0],), layer(x[mine]))
        return out


def experts() -> Any:
    module = Experts()
    return module, torch.optim.AdamW(module.parameters(), lr=0.05, weight_decay=0.1)


def with_momentum() -> Any:
    module = Experts()
    return module, torch.optim.SGD(module.parameters(), lr=0.05, momentum=0.9, weight_decay=0.1)


def fitted(job: tk.Torch, on: Any, x: np.ndarray = KINDS, **given: Any) -> nn.Module:
    model: nn.Module = tk.fit(job, x, Y, on=on, progress=False, **given).model
    return model


@pytest.mark.parametrize("build", [experts, with_momentum])
@pytest.mark.parametrize(
    ("on", "batch", "accumulate"),
    [
        (tk.Inline(), 4, 1),
        (tk.Inline(), 4, 3),
        (Reference(), 4, 1),
        (tk.Local(2), 4, 1),  # two samples a rank: often of one kind, and sometimes at both ranks
        (tk.Local(2), 8, 2),
        (tk.Local(3), 3, 1),
    ],
    ids=["one", "parts", "round by round", "two ranks", "two ranks in parts", "three ranks"],
)
def test_what_samples_do_not_use_changes_as_in_one_process(
    build: Any, on: Any, batch: int, accumulate: int
) -> None:
    """Weight decay and momentum must not move what nobody used in a step."""
    job = task(build, unused="zeros", batch=batch, epochs=0.2, accumulate=accumulate)
    nodes = 2 if isinstance(on, Reference) else None
    assert apart(fitted(job, on, nodes=nodes), by_hand(task(build, batch=batch, epochs=0.2), KINDS)) < CLOSE


def test_every_so_many_steps_too() -> None:
    job = task(experts, unused="zeros", batch=4, epochs=0.1)
    one = fitted(job, tk.Inline(), sync=tk.every(steps=5), nodes=2)
    assert apart(fitted(job, tk.Local(2), sync=tk.every(steps=5), nodes=2), one) < CLOSE


class Late(nn.Module):
    """Uses its second layer unless a sample is marked."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(5, 1), nn.Linear(5, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.one(x)
        return out if (x == 77).any() else out + self.two(x)


def late() -> Any:
    module = Late()
    return module, torch.optim.SGD(module.parameters(), lr=1e-4)


def marked(step: int, position: int, batch: int = 48) -> np.ndarray:
    """Samples of which one, read in a step, is marked."""
    from talkoot.data.loading.shuffle import Shuffle

    x = X.copy()
    x[int(Shuffle(rows=400, seed=0, key="node0").at(step * batch, (step + 1) * batch)[position]), 1] = 77
    return x


@pytest.mark.parametrize(
    "sync", [tk.every_step(), tk.every_step(sharded=True)], ids=["every step", "sharded"]
)
@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("step", [3, 7])
def test_who_leaves_out_a_gradient_is_named_with_it(step: int, accumulate: int, sync: Any) -> None:
    """Also in the last step, which others would wait for in vain, and end with another model."""
    job = task(late, batch=48, epochs=0.96, accumulate=accumulate)  # eight steps
    x = marked(step, 30)
    if accumulate == 2 and not sync.sharded:  # the other part of the rank's samples uses it
        four = task(late, batch=48, epochs=0.96, accumulate=4)
        assert apart(fitted(job, tk.Local(2), x, sync=sync), fitted(four, tk.Inline(), x)) < CLOSE
        return
    with pytest.raises(
        tk.PlanError, match=r"'two.weight' \(and 1 more\) took no part.*unused=\"zeros\""
    ) as e:
        fitted(job, tk.Local(2), x, sync=sync)
    assert (e.value.node, e.value.step) == ("rank 1", f"step {step}")


def test_one_process_trains_what_ranks_refuse() -> None:
    x = marked(3, 30)
    one = fitted(task(late, batch=48, epochs=1), tk.Inline(), x)
    assert apart(one, by_hand(task(late, batch=48, epochs=1), x)) < CLOSE
    assert (
        apart(fitted(task(late, batch=48, epochs=1, unused="zeros"), tk.Local(2), x), one) > 0
    )  # it branches by batch


def test_sharded_ranks_refuse_to_count_zeros() -> None:
    with pytest.raises(tk.PlanError, match='unused="zeros" and sharded=True do not go together'):
        fitted(task(late, unused="zeros"), tk.Local(2), X, sync=tk.every_step(sharded=True))
    with pytest.raises(tk.PlanError, match="""unused='no' is unknown. Take "refuse" or "zeros"."""):
        task(late, unused="no")


class Blocks(nn.Module):
    """Leaves out its second block where a sample is marked."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(5, 5), nn.Tanh()) for _ in range(2))
        self.head = nn.Linear(5, 1)

    def forward(self, x: torch.Tensor) -> Any:
        hidden = self.blocks[0](x)
        return self.head(hidden if (x == 77).any() else self.blocks[1](hidden))


def blocks() -> Any:
    module = Blocks()
    return module, torch.optim.SGD(module.parameters(), lr=1e-4)


def test_sharded_blocks_that_a_rank_leaves_out_are_named() -> None:
    with pytest.raises(tk.PlanError, match="'blocks.1.0.weight'") as caught:
        fitted(task(blocks, batch=48, epochs=1), tk.Local(2), marked(3, 30), sync=tk.every_step(sharded=True))
    assert caught.value.node == "rank 1"


# Sparse gradients and complex numbers


class Words(nn.Module):
    """Means of sparse embeddings, and a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(40, 3, sparse=True)
        self.layer = nn.Linear(3, 1)

    def forward(self, x: torch.Tensor) -> Any:
        return self.layer(self.embed(x).mean(1))


def words() -> Any:
    module = Words()
    return module, torch.optim.SGD(module.parameters(), lr=0.5)


def only_words() -> Any:
    module = Words()
    module.layer.requires_grad_(False)
    return module, torch.optim.SparseAdam([module.embed.weight], lr=0.05)


IDS = np.random.default_rng(2).integers(0, 40, size=(400, 3))


@pytest.mark.parametrize("build", [words, only_words])
def test_sparse_gradients_stay_sparse_and_give_what_one_process_gives(build: Any) -> None:
    one = by_hand(task(build, batch=6, epochs=0.1), IDS)
    for on, accumulate in ((tk.Inline(), 1), (tk.Inline(), 2), (tk.Local(2), 1), (tk.Local(3), 2)):
        job = task(build, batch=6, epochs=0.1, accumulate=accumulate)
        assert apart(fitted(job, on, IDS), one) < CLOSE
    assert apart(fitted(task(build, batch=6, epochs=0.1), Reference(), IDS, nodes=2), one) < CLOSE


def test_what_sparse_gradients_cannot_do_is_refused() -> None:
    with pytest.raises(
        tk.PlanError, match="'embed.weight' has sparse gradients, whose norm torch cannot clip"
    ):
        fitted(task(words, clip=1.0), tk.Inline(), IDS)
    with pytest.raises(tk.PlanError, match="sparse gradients and sharded=True do not go together"):
        fitted(task(words), tk.Local(2), IDS, sync=tk.every_step(sharded=True))


class Waves(nn.Module):
    """Complex parameters and a complex buffer."""

    phases: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(5, 1, dtype=torch.complex64))
        self.bias = nn.Parameter(torch.zeros(1))
        self.register_buffer("phases", torch.exp(1j * torch.arange(5)).to(torch.complex64))

    def forward(self, x: torch.Tensor) -> Any:
        return ((x * self.phases) @ self.weight).abs() + self.bias


def waves() -> Any:
    module = Waves()
    return module, torch.optim.Adam(module.parameters(), lr=0.01)


@pytest.mark.parametrize("buffers", [{}, {"phases": "keep"}], ids=["mean", "keep"])
def test_complex_numbers_are_trained_and_kept(buffers: Any) -> None:
    one = by_hand(task(waves, epochs=1))
    for on in (tk.Inline(), Reference(), tk.Local(2)):
        got = tk.fit(task(waves, epochs=1, buffers=buffers), X, Y, on=on, nodes=2).model
        for name, value in one.state_dict().items():
            assert float((got.state_dict()[name] - value).abs().max()) < CLOSE
