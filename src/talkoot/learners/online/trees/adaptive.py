"""The Hoeffding adaptive tree (HAT)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from talkoot.learners.online.features import Layout
from talkoot.learners.online.model import Floats
from talkoot.learners.online.state import State
from talkoot.learners.online.trees.arrays import grow, shape_of, tree_of
from talkoot.learners.online.trees.hoeffding import SingleTree

LEVELS, BUCKETS = 32, 6
WATCH_BYTES = 44 + LEVELS * (8 + 16 * BUCKETS)
OF_NODES = ("tree/links", "tree/values", "tree/counts", "tree/order")


@final
@dataclass(frozen=True, slots=True)
class HoeffdingAdaptiveTree(SingleTree):
    """A Hoeffding tree whose branches are replaced when the stream changes (HAT).

    A branch whose errors rise (ADWIN, significance .002) grows an alternate subtree beside itself. After 300
    rows that is put into its place if it is better, and given up if it is worse, by more than chance allows
    once in a thousand times. Rows have random weights: the Poisson numbers of mean 1, but at least 1.

    Args:
        grace: weight of rows in a leaf between two tries to split it.
        delta: probability of another split than the one that endless rows would choose.
        tau: bound below which two tests count as equally good, and the first is taken.
        leaf: "majority", "bayes" (naive Bayes) or "adaptive" (the one of both that was right more often).
        depth: the deepest a leaf may lie; None: no limit.
        binary: only tests with two branches.
        megabytes: what the tree may hold, as in `HoeffdingTree`.
        smoothing: weight that naive Bayes gives each category of a class beforehand.

    Source: Bifet and Gavalda, Adaptive learning from evolving data streams, IDA 2009. Alternates have no
    alternates of their own.

    >>> import numpy as np
    >>> from talkoot.learners.online.features import Features, Layout
    >>> x = np.random.default_rng(0).uniform(size=(6000, 2))
    >>> y = (x[:, 0] > 0.5) ^ (np.arange(6000) > 3000)  # classes change places in the middle
    >>> tree = HoeffdingAdaptiveTree()
    >>> state = tree.start(Layout(("a", "b"), classes=2), seed=0)
    >>> before = tree.learn(state, Features(x, np.empty((6000, 0), np.uint64)), y.astype(float))
    >>> tree.switches(state) > 0, (before.argmax(axis=1) == y)[5000:].mean() > 0.95
    (True, np.True_)
    """

    def start(self, layout: Layout, seed: int) -> State:
        """One leaf."""
        state = SingleTree.start(self, layout, seed)
        state["watch/events"] = np.zeros(3, np.int64)
        state["watch/alternates"] = np.empty(0, np.int32)
        state["watch/ints"] = np.empty((0, 3), np.int64)
        state["watch/reals"] = np.empty((0, 2))
        state["watch/counts"] = np.empty((0, LEVELS), np.int64)
        state["watch/sums"] = np.empty((0, LEVELS, BUCKETS))
        state["watch/squares"] = np.empty((0, LEVELS, BUCKETS))
        _fit_watch(state)
        return state

    def _rules(self, state: State) -> Any:
        return self.growth().rules(shape_of(state, "tree/"), WATCH_BYTES)

    def _learn_from(
        self, state: State, start: int, x: Floats, z: NDArray[Any], y: Floats, w: Floats, votes: Floats
    ) -> int:
        from talkoot.kernels.trees.adaptive import SPLITS, Watch, learn_rows

        rules, watch = self._rules(state), Watch(*(state[f"watch/{name}"] for name in Watch._fields))
        done: int = learn_rows(tree_of(state, "tree/"), rules, watch, x, z, y, w, start, votes)
        if state["tree/head"][7]:
            take_out_dead(state)
        elif done < len(y):
            grow(state, "tree/", rules.nodes, rules.blocks, SPLITS)
            _fit_watch(state)
        return done

    def alternates(self, state: State) -> int:
        """How many alternate subtrees were begun."""
        return int(state["watch/events"][0])

    def switches(self, state: State) -> int:
        """How many branches were replaced by their alternates."""
        return int(state["watch/events"][1])


def _fit_watch(state: State) -> None:
    """Give each place for a node a place for what is watched of it."""
    room = len(state["tree/links"])
    for name in [name for name in state if name.startswith("watch/") and name != "watch/events"]:
        old = state[name]
        state[name] = np.full((room, *old.shape[1:]), -1 if old.ndim == 1 else 0, old.dtype)
        state[name][: len(old)] = old


def take_out_dead(state: State) -> None:
    """Close the gaps that dead nodes left; the order of the others stays."""
    head, links = state["tree/head"], state["tree/links"]
    used = int(head[0])
    alive = links[:used, 0] != -2
    places = np.append(np.cumsum(alive) - 1, -1)  # -1, none, stays -1
    links[:used, 2:5] = places[links[:used, 2:5]]  # child, sibling, parent
    alternates = state["watch/alternates"]
    alternates[:used] = np.where(links[:used, 0] >= 0, places[alternates[:used]], -1)
    watched = [name for name in state if name.startswith("watch/") and name != "watch/events"]
    for name in (*OF_NODES, *watched):
        state[name][: alive.sum()] = state[name][:used][alive]
    head[0], head[7] = alive.sum(), 0
