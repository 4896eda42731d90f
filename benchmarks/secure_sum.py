"""What a secure sum costs: seconds of one core a site, for a vector of floats and a number of sites.

python benchmarks/secure_sum.py [floats] [sites]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import talkoot as tk
from talkoot.core.context import Ctx
from talkoot.core.digest import digest
from talkoot.guards.mask.mask import Mask

ABOUT = digest("a question")


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    began = time.process_time()
    return work(), time.process_time() - began


def measure(guard: Any, floats: int, sites: int) -> dict[str, float]:
    """Seconds a site for each part; what the coordinator does is divided by the sites."""
    names, link = tuple(f"site{i}" for i in range(sites)), Mask()
    update = tk.Update(values={"w": np.random.default_rng(0).normal(size=floats)}, weight=1.0)
    seconds = {"fixed": 0.0, "phases": 0.0, "mask": 0.0, "add": 0.0}
    states: dict[str, Any] = {}
    board: dict[str, Any] = {}

    def phase(name: str) -> None:
        for node in names:
            ctx = Ctx(node=node, cohort=names, board=board, about=ABOUT)
            (posted, states[node]), took = timed(
                lambda ctx=ctx, node=node: link.answer(name, states.get(node), ctx)
            )
            posts[node] = posted.values
            seconds["phases"] += took

    for name in link.before:
        posts: dict[str, Any] = {}
        phase(name)
        board = {**board, name: posts}
    whole = tk.Update()
    for node in names:
        ctx = Ctx(node=node, cohort=names, board=board, about=ABOUT)
        (own, _), took = timed(lambda ctx=ctx: guard.encode(update, None, ctx))
        seconds["fixed"] += took
        (own, states[node]), took = timed(
            lambda ctx=ctx, node=node, own=own: link.encode(own, states[node], ctx)
        )
        seconds["mask"] += took
        whole, took = timed(lambda whole=whole, own=own: whole + own)
        seconds["add"] += took
    for name in link.after:
        posts = {}
        phase(name)
        board = {**board, name: posts}
    ctx = Ctx(cohort=names, board=board, about=ABOUT)
    (whole, _), seconds["unmask"] = timed(lambda: link.decode(whole, None, ctx))
    (whole, _), seconds["floats"] = timed(lambda: guard.decode(whole, None, ctx))
    assert abs(whole.values["w"] - sites * update.values["w"]).max() < 1e-6
    return {name: took / sites for name, took in seconds.items()}


def main() -> None:
    floats, sites = (int(given) for given in (*sys.argv[1:], *("1000000", "10")[len(sys.argv) - 1 :]))
    print(f"{floats:,} floats, {sites} sites: seconds of one core a site")
    for guard in (tk.fixed(bits=32, limit=8.0), tk.fixed(bits=64, limit=8.0), tk.fixed()):
        found = measure(guard, floats, sites)
        parts = "  ".join(f"{name} {took:.3f}" for name, took in found.items())
        print(f"{guard!r:32} {sum(found.values()):.3f}   ({parts})")


if __name__ == "__main__":
    main()
