"""tk.join: loops by hand on real ranks equal DDP, and DiLoCo written out in torch."""

from __future__ import annotations

import loops
import numpy as np
import pytest
import torch
from launch import ranks, torchrun
from torch.nn.functional import mse_loss

import talkoot as tk
from ports import port


def same(mine: object, theirs: object, tolerance: float = 1e-6) -> None:
    torch.testing.assert_close(mine, theirs, rtol=tolerance, atol=tolerance)


def test_loops_by_hand_equal_ddp_and_diloco_in_torch() -> None:
    free = port()
    environs = [torchrun(rank, 2, free) for rank in range(2)]
    with ranks(loops.report, environs=environs) as started:
        first, second = (rank.receive() for rank in started)
        errors = [rank.receive() for rank in started]
    same(first["every step"], first["ddp"])
    same(first["diloco 1"], loops.diloco_in_torch())
    assert first["met 1"] == [False, False, True] * 4
    for name in ("every step", "diloco 1", "weighed"):
        same(first[name], second[name], 0.0)
    same(first["weighed"], gradient_of_all_samples())
    assert first["unused"] == second["unused"] == [2.0, 2.0, None, 3.0]
    last = [*first["diloco 3"]][0::3]  # the part whose turn was in the last of four meetings
    assert all(np.array_equal(first["diloco 3"][name], second["diloco 3"][name]) for name in last)
    assert not any(
        np.array_equal(first["diloco 3"][n], v) for n, v in second["diloco 3"].items() if n not in last
    )
    assert "rank 0 'weight' as float32 (1, 2), and rank 1 'weight' as float32 (2, 2)" in second["refused"]
    assert all("KeyError" in error and "by hand" in error for error in errors), errors


def gradient_of_all_samples() -> np.ndarray:
    mine = loops.module()
    X, y = (torch.cat(parts) for parts in zip(*(next(loops.batches(rank)) for rank in range(2)), strict=True))
    torch.autograd.backward(mse_loss(mine(X), y))
    return loops.gradient(mine)


def test_alone_it_meets_itself() -> None:
    mine = loops.module()
    with tk.join(loops.plan(tk.every(steps=2), outer=tk.Add()), mine) as link:
        assert (link.rank, link.world) == (0, 1)
        with torch.no_grad():
            mine[0].bias += 1  # type: ignore[index]
        before = loops.state(mine)
        assert [link.merge_(), link.merge_()] == [False, True]
    same(loops.state(mine), before)
    with pytest.raises(tk.PlanError, match="is negative"):
        link.merge_(weight=-1)


@pytest.mark.parametrize(
    ("sync", "chain", "text"),
    [
        (tk.every(steps=5, delay=1), [tk.weigh("rows")], "cannot go on while ranks meet"),
        (tk.every(steps=5, quorum=2), [tk.weigh("rows")], "without some of them"),
        (tk.every(seconds=5.0, rounds=2), [tk.weigh("rows")], "after how many steps"),
        (tk.every_step(sharded=True), [tk.weigh("rows")], "can only average gradients"),
        (tk.every_step(), [tk.weigh("rows"), tk.quantize()], "can only average gradients"),
    ],
)
def test_what_a_loop_by_hand_cannot_do_is_refused(sync: tk.Plan, chain: list[object], text: str) -> None:
    with pytest.raises(tk.PlanError, match=text):
        tk.join(loops.plan(sync, chain=chain), loops.module())


def test_the_module_may_be_told_at_the_first_meeting_where_that_is_every_step() -> None:
    mine, other = loops.module(), loops.module()
    with tk.join(loops.plan(tk.every_step())) as link:
        with pytest.raises(tk.PlanError, match="this link has no module"):
            link.merge_()
        assert link.merge_(mine)
        assert link.merge_()
        with pytest.raises(tk.PlanError, match="not the module of this link"):
            link.merge_(other)
    with pytest.raises(tk.PlanError, match="have to start from the same parameters"):
        tk.join(loops.plan(tk.every(steps=2)))
