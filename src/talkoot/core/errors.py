"""Every error that Talkoot raises on purpose. All are `ValueError`s, so one `except` catches them.

TalkootError (ValueError)
├── PlanError            parts that cannot be combined; raised when the plan is built
├── NotDistributable     an estimator, or one of its parameters, that no learner fits faithfully
├── NotInvertible        something that only merges was to be subtracted
├── DataError            rows, columns or files that cannot be used
│   └── SchemaError      nodes whose columns do not agree
├── NodeError            a node did not finish its round
│   ├── NodeFailed       it raised; its own traceback comes first
│   ├── NodeLost         its process died
│   ├── NodeSilent       it gave no sign of life before the deadline
│   ├── LeaseLost        another process works for it since then
│   └── MaskRefused      it would not go on with a secure sum
├── QuorumError          too few nodes arrived for a round to count
└── Refused              a certificate, a policy or a person does not permit it
"""

from __future__ import annotations

import os
import sysconfig
import traceback
from functools import partial
from typing import Any, final


def place_of(error: BaseException) -> str:
    """The last line of an error's traceback that is the user's own, as the end of a sentence.

    >>> place_of(KeyError("raised nowhere"))
    ''
    """
    libraries = (sysconfig.get_path("stdlib"), os.path.dirname(os.path.dirname(__file__)), "<")
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(libraries) and "site-packages" not in frame.filename
    ]
    return f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""


class TalkootError(ValueError):
    """An error that says where it happened, why, and what to do.

    Args:
        cause: what is wrong, in one sentence.
        node: the node it happened at, if at one.
        step: the round or phase, such as ``"round 3"`` or ``"agreeing on a schema"``.
        column: the column concerned.
        cure: what the reader can do about it.

    >>> print(DataError("12 rows hold text", node="va", column="age", cure="Encode it first."))
    node 'va', column 'age': 12 rows hold text. Encode it first.
    """

    def __init__(
        self,
        cause: str,
        *,
        node: str | None = None,
        step: str | None = None,
        column: str | None = None,
        cure: str | None = None,
    ) -> None:
        self.cause, self.node, self.step, self.column, self.cure = cause, node, step, column, cure
        super().__init__(self._compose())

    def _compose(self) -> str:
        named = [
            f"{label} {value!r}" if label != "step" else str(value)
            for label, value in (("node", self.node), ("step", self.step), ("column", self.column))
            if value is not None
        ]
        place = f"{', '.join(named)}: " if named else ""
        stop = "" if self.cause.endswith((".", "?", "!", ":")) else "."
        return f"{place}{self.cause}" + (f"{stop} {self.cure}" if self.cure else "")

    def at(self, *, node: str | None = None, step: str | None = None) -> TalkootError:
        """The same error with the node and step filled in where they were unknown."""
        return type(self)(
            self.cause,
            node=self.node or node,
            step=self.step or step,
            column=self.column,
            cure=self.cure,
        )

    def __reduce__(self) -> Any:
        fields = {k: getattr(self, k) for k in ("node", "step", "column", "cure")}
        return partial(type(self), self.cause, **fields), ()


@final
class PlanError(TalkootError):
    """Parts that cannot be combined, found when the plan is built.

    >>> import talkoot as tk
    >>> tk.TrimmedMean(0.5)
    Traceback (most recent call last):
        ...
    talkoot.core.errors.PlanError: TrimmedMean(cut=0.5) would cut every node. Take 0 <= cut < 0.5.
    """


@final
class NotDistributable(TalkootError):
    """An estimator or parameter that cannot be distributed faithfully; the cure names the nearest that can.

    >>> import numpy as np, talkoot as tk
    >>> from sklearn.svm import LinearSVC
    >>> try:
    ...     tk.fit(LinearSVC(loss="hinge"), np.eye(4), np.array([0, 1, 0, 1]))
    ... except tk.NotDistributable as error:
    ...     print(error.cure)
    Take loss='squared_hinge'.
    """


@final
class NotInvertible(TalkootError):
    """A subtraction of something that has no inverse, such as a minimum.

    >>> import numpy as np, talkoot as tk
    >>> low = tk.Update(values={"low": np.zeros(1)}, kinds={"low": tk.Leaf.MIN})
    >>> low - low
    Traceback (most recent call last):
        ...
    talkoot.core.errors.NotInvertible: low merge by min, which cannot be taken back. Refit without the node.
    """


class DataError(TalkootError):
    """Rows, columns or files that cannot be used.

    >>> import talkoot as tk
    >>> try:
    ...     tk.shards("no/such/place/*.parquet")
    ... except tk.DataError as error:
    ...     print(type(error).__name__)
    DataError
    """


@final
class SchemaError(DataError):
    """Nodes whose columns do not agree."""


class NodeError(TalkootError):
    """A node did not finish its round; which one, when and why is in its fields.

    >>> error = NodeLost("its process was killed (SIGKILL)", node="va", step="round 2")
    >>> isinstance(error, NodeError), error.node, error.step
    (True, 'va', 'round 2')
    """


@final
class NodeFailed(NodeError):
    """A node raised. The message starts with the traceback of the node itself."""


@final
class NodeLost(NodeError):
    """The process that hosted a node died, and so did its replacements."""


@final
class NodeSilent(NodeError):
    """A node gave no sign of life before the deadline."""


@final
class LeaseLost(NodeError):
    """Another process has taken over a node's store, so what this one still writes would count twice."""


@final
class MaskRefused(NodeError):
    """A node would not go on with a secure sum, as what arrived is not what the protocol allows."""


@final
class QuorumError(TalkootError):
    """Too few nodes arrived for a round to count, several rounds in a row.

    >>> print(QuorumError("1 of 3 nodes arrived and the quorum is 2", step="round 4"))
    round 4: 1 of 3 nodes arrived and the quorum is 2
    """


@final
class Refused(TalkootError):
    """A certificate, a site's policy or a person does not permit it; nothing was done.

    >>> print(Refused("the plan is not signed by the researcher who proposes it", node="oslo"))
    node 'oslo': the plan is not signed by the researcher who proposes it
    """
