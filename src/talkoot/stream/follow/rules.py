"""How a stream is followed, the same at all nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from talkoot.learners.online.features import Layout
from talkoot.learners.online.model import OnlineModel
from talkoot.stream.drift.monitor import Monitor
from talkoot.stream.features.features import WindowFeatures
from talkoot.stream.follow.columns import Columns
from talkoot.stream.follow.cursor import Gone
from talkoot.stream.follow.rows import Label
from talkoot.stream.labels.labels import Labels


@final
@dataclass(frozen=True, slots=True)
class Late:
    """How labels that come later find their rows.

    Args:
        labels: the rule, of which `negative` is a code.
        columns: what the columns of their stream are.
        first: the label of rows that mature, where it is a class: it is known from the start.
    """

    labels: Labels
    columns: Columns
    first: tuple[Label, ...] = ()


@final
@dataclass(frozen=True, slots=True)
class Rules:
    """How a stream is followed, the same at all nodes.

    Args:
        model: what is learned.
        columns: what the columns of the stream are.
        adds: nodes answer what they changed in a model that they share; else the state of one of their own.
        grace: how much older than the newest row of its partition a row may be; None for any age.
        gone: what to do where the rows at an offset are gone.
        watch: how the model is watched for change, if it is.
        late: how labels find their rows, where they come later.
        features: windows whose columns are learned from too.
    """

    model: OnlineModel
    columns: Columns
    adds: bool
    grace: float | None = None
    gone: Gone = "stop"
    watch: Monitor | None = None
    late: Late | None = None
    features: WindowFeatures | None = None

    def layout(self, labels: int) -> Layout:
        """What a model must know of the rows, where so many labels are known."""
        classes = self.model.task in ("binary", "classes")
        return self.columns.layout(max(2, labels) if classes else 0)
