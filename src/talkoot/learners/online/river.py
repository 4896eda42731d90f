"""River's models as they are. Their state is a pickle, the only one of online models.

River's models are Python objects, so their state cannot be arrays; it is bytes under one name, read again at
each batch. What is read may name River's own classes and those in ALLOWED, and nothing else.
"""

from __future__ import annotations

import io
import pickle
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from talkoot.core.errors import DataError, PlanError
from talkoot.learners.online.features import Features, Layout
from talkoot.learners.online.model import Floats, OnlineModel, Task
from talkoot.learners.online.state import State

ALLOWED = frozenset(  # what River's models are made of besides River; none of it runs code by a name
    [
        *(("builtins", name) for name in ("dict", "float", "int", "set")),
        *(("collections", name) for name in ("Counter", "OrderedDict", "defaultdict", "deque")),
        *(("numpy", name) for name in ("dtype", "ndarray")),
        *(("numpy._core.multiarray", name) for name in ("_reconstruct", "scalar")),
        ("copy", "deepcopy"),
        ("functools", "partial"),
        ("random", "Random"),
        ("statistics", "NormalDist"),
    ]
)


@final
@dataclass(frozen=True)
class River(OnlineModel):
    """A model of River that learns one row after the other; needs ``talkoot[river]``.

    Rows are dictionaries by the columns' names, without what is missing; a category is the text of its hash.

    Args:
        model: a classifier or a regressor of River, or a pipeline that ends in one.

    >>> import talkoot as tk
    >>> from river import linear_model
    >>> tk.online.River(linear_model.LogisticRegression()).task
    'classes'
    """

    model: Any

    def __post_init__(self) -> None:
        if not hasattr(self.model, "learn_one") or not hasattr(self.model, "predict_one"):
            raise PlanError(f"{type(self.model).__name__} is no model of River that learns from labels")

    @property
    def task(self) -> Task:
        """What is predicted."""
        from river import base

        last = list(self.model.steps.values())[-1] if hasattr(self.model, "steps") else self.model
        if isinstance(last, base.Regressor):
            return "number"
        if isinstance(last, base.Classifier):
            return "classes"
        raise PlanError(f"{type(self.model).__name__} is neither a classifier nor a regressor")

    def start(self, layout: Layout, seed: int) -> State:
        """The model as it was given, and the names of the columns.

        Raises:
            PlanError: it holds what cannot be stored.
        """
        state = {
            "pickle": _packed((self.model.clone(), (layout.numbers, layout.categories))),
            "classes": np.array([layout.classes]),
        }
        try:
            _unpacked(state["pickle"])
        except DataError as error:
            cause = f"{type(self.model).__name__} cannot be stored: {error.cause}"
            raise PlanError(cause, cure="Take a model that is made of River's own classes.") from None
        return state

    def learn(self, state: State, rows: Features, y: Floats, w: Floats | None = None) -> NDArray[Any]:
        """Learn rows in their order; what was predicted for each before it was learned.

        Raises:
            PlanError: weights were given that are not 0 or 1.
        """
        if w is not None and not np.isin(w, (0, 1)).all():
            raise PlanError("models of River learn rows of weight 1")
        model, names = _unpacked(state["pickle"])
        classes = int(state["classes"][0])
        learned = ~np.isnan(y) if w is None else ~np.isnan(y) & (w != 0)
        out = np.empty((len(rows), classes) if classes else len(rows))
        for i, row in enumerate(_dictionaries(rows, names)):
            out[i] = _predicted(model, row, classes)
            if learned[i]:
                model.learn_one(row, int(y[i]) if classes else float(y[i]))
        if learned.any():
            state["pickle"] = _packed((model, names))
        return out

    def predict(self, state: State, rows: Features) -> NDArray[Any]:
        """Predictions from the state as it is."""
        return self.learn(state, rows, np.full(len(rows), np.nan))

    def widen(self, state: State, classes: int) -> None:
        """River's models find classes by themselves."""
        state["classes"] = np.array([max(classes, int(state["classes"][0]))])


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module.partition(".")[0] == "river":
            found = super().find_class(module, name)
            if str(getattr(found, "__module__", "")).partition(".")[0] == "river":  # not what River imports
                return found
        elif (module, name) in ALLOWED:
            return super().find_class(module, name)
        raise DataError(f"it names {module}.{name}, which is no part of River's models")


def _unpacked(packed: NDArray[np.uint8]) -> Any:
    """What was packed.

    Raises:
        DataError: it names something that is no part of River's models.
    """
    return _Unpickler(io.BytesIO(packed.tobytes())).load()


def _packed(value: Any) -> NDArray[np.uint8]:
    return np.frombuffer(pickle.dumps(value), np.uint8).copy()


def _dictionaries(rows: Features, names: tuple[tuple[str, ...], tuple[str, ...]]) -> list[dict[str, Any]]:
    """Rows as River reads them."""
    numbers, categories = names
    found: list[dict[str, Any]] = []
    for row, hashes in zip(rows.numbers.tolist(), rows.categories.tolist(), strict=True):
        one = {n: x for n, x in zip(numbers, row, strict=True) if abs(x) < np.inf}
        found.append(one | {n: f"{h:x}" for n, h in zip(categories, hashes, strict=True) if h})
    return found


def _predicted(model: Any, row: dict[str, Any], classes: int) -> Any:
    """A number, or probabilities of the classes; alike for all where the model knows none yet."""
    if not classes:
        return model.predict_one(row) or 0.0
    shares = model.predict_proba_one(row)
    found = np.array([float(shares.get(k, 0.0)) for k in range(classes)])
    return found / found.sum() if found.sum() > 0 else np.full(classes, 1 / classes)
