"""A network with one hidden layer, as hospitals register it: each trains it on its images, all average."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from talkoot.core.learner import Learner
from talkoot.core.outer import Add
from talkoot.core.update import Update

BATCH, SPEED = 16, 0.1


@dataclass(frozen=True, slots=True)
class Network(Learner):
    """Images of `classes` kinds, from their pixels; a node goes `passes` times over its images in a round."""

    classes: int
    hidden: int = 32
    passes: int = 2
    kind: ClassVar[str] = "averaged"

    def init(self, schema, rng):
        """Small random weights."""
        sizes = (schema.features, self.hidden, self.classes)
        return {
            name: rng.normal(size=(fan + 1, out)) / np.sqrt(fan)  # the last row is the bias
            for name, fan, out in zip(("first", "second"), sizes, sizes[1:], strict=False)
        }

    def work(self, model, local, shard, ctx):
        """At the node: by how much its own images move the weights."""
        blocks = [*shard.blocks()]
        X = np.concatenate([block.X for block in blocks])
        y = np.concatenate([block.y for block in blocks]).astype(int)
        moved = train(model, X, y, self.passes, np.random.default_rng([ctx.seed, ctx.round]))
        return Update(values={name: moved[name] - model[name] for name in model}, weight=len(y)), local

    def outer(self):
        """The mean of the moves is added to the weights."""
        return Add()

    def finish(self, model):
        """The weights."""
        return model


def train(model, X, y, passes, rng):
    """The weights after so many passes over images."""
    model = {name: weights.copy() for name, weights in model.items()}
    for _ in range(passes):
        for rows in np.array_split(rng.permutation(len(y)), max(1, len(y) // BATCH)):
            inside, scores = forward(model, X[rows])
            wrong = scores - np.eye(scores.shape[1])[y[rows]]
            back = (wrong @ model["second"][:-1].T) * (inside > 0)
            model["second"] -= SPEED / len(rows) * with_one(inside).T @ wrong
            model["first"] -= SPEED / len(rows) * with_one(X[rows]).T @ back
    return model


def forward(model, X):
    """The hidden layer, and the probability of each class."""
    inside = np.maximum(with_one(X) @ model["first"], 0)
    scores = with_one(inside) @ model["second"]
    scores = np.exp(scores - scores.max(axis=1, keepdims=True))
    return inside, scores / scores.sum(axis=1, keepdims=True)


def with_one(X):
    """Columns, and one of ones for the bias."""
    return np.column_stack([X, np.ones(len(X))])


def right(model, X, y):
    """How many images a network gets right."""
    return int((forward(model, X)[1].argmax(axis=1) == y).sum())
