"""Windows as features of a stream. Each partition has its own, so nodes and rounds do not matter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from talkoot.core.errors import DataError, PlanError
from talkoot.learners.online.state import State, replace_under, under
from talkoot.stream.features.features import WindowFeatures
from talkoot.stream.follow.rows import Rows
from talkoot.stream.follow.shard import StreamShard
from talkoot.stream.labels.labels import Labels
from talkoot.stream.store import read

PREFIX = "windows/"  # of the part of a node's state, with a part for each partition
SMALLEST = 256  # hashes of keys that partitions are compared by
Keys = Mapping[str, Mapping[str, Sequence[int]]]  # partition -> columns of a key -> its smallest hashes


@final
@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """The windows of a node's partitions.

    Args:
        features: what is computed.
        state: of the node; its part "windows/" is changed in place.
    """

    features: WindowFeatures
    state: State

    def add(self, partition: str, rows: Rows, batch: pa.RecordBatch) -> Rows:
        """The readable rows of a batch with the columns of windows; each row joins its windows.

        Rows that windows cannot read are rejected.
        """
        own = columns_for(self.features, batch)
        state = self._state(partition)
        try:
            found = self.features.apply(state, own.take(pa.array(rows.at)))
        except DataError:
            for at, why in self._unreadable(state, own, rows.at).items():
                rows = rows.without(rows.at == at, why)
            found = self.features.apply(state, own.take(pa.array(rows.at)))
        replace_under(self.state, f"{PREFIX}{partition}/", state)
        return rows.with_columns({name: found.column(name) for name in self.features.names})

    def _unreadable(self, state: State, own: pa.RecordBatch, at: NDArray[np.intp]) -> dict[int, str]:
        """Why windows cannot read some rows, one by one."""
        found: dict[int, str] = {}
        for row in map(int, at):
            try:
                self.features.peek(state, own.slice(row, 1))
            except DataError as error:
                found[row] = f"windows cannot read column {error.column!r}: {error.cause}"
        return found

    def learn(self, partition: str, labels: pa.RecordBatch) -> None:
        """Labels have arrived: they join the windows over the target."""
        state = self._state(partition)
        self.features.add_labels(state, labels)
        replace_under(self.state, f"{PREFIX}{partition}/", state)

    def keys(self, partitions: Iterable[str]) -> Keys:
        """The smallest hashes of the keys of each partition."""
        found: dict[str, dict[str, list[int]]] = {}
        for partition in partitions:
            state = under(self.state, f"{PREFIX}{partition}/")
            for number, group in enumerate(self.features.groups):
                if state and group.by:
                    keys = np.unique(state[f"{number}/keys"])
                    found.setdefault(partition, {})[", ".join(group.by)] = keys[keys != 0][:SMALLEST].tolist()
        return found

    def _state(self, partition: str) -> State:
        return under(self.state, f"{PREFIX}{partition}/") or self.features.start()


def columns_for(features: WindowFeatures, batch: pa.RecordBatch) -> pa.RecordBatch:
    """The columns of a batch that windows read."""
    wanted = {features.time, features.target, features.arrives}
    wanted |= {name for window in features.windows for name in (*window.by, window.of)}
    return batch.select([name for name in batch.schema.names if name in wanted])


def stored_windows(
    features: WindowFeatures | None, shards: Sequence[StreamShard]
) -> tuple[WindowFeatures, State] | None:
    """The windows of a stream's only partition, as they are stored; None where there are several."""
    partitions = [(shard.path, name) for shard in shards for name in shard.partitions]
    if features is None or len(partitions) > 1 or not partitions[0][0].is_file():
        return None
    path, partition = partitions[0]
    parts = read(path, "parts").get("parts", {})
    return features, under(parts, f"{PREFIX}{partition}/") or features.start()


def over_target(features: WindowFeatures) -> bool:
    """Whether a window looks at the target."""
    return any(group.of is not None and group.of == features.target for group in features.groups)


def keys_over_target(features: WindowFeatures) -> list[str]:
    """The columns of the keys of windows that look at the target."""
    return sorted({name for group in features.groups if group.of == features.target for name in group.by})


def require_apart(keys: Iterable[Keys]) -> None:
    """Refuse keys whose rows are in several partitions: each would see a part of them.

    Raises:
        DataError: there is one.

    >>> require_apart([{"0": {"card": [3, 5]}}, {"1": {"card": [4, 5]}}])
    Traceback (most recent call last):
        ...
    talkoot.core.errors.DataError: column 'card': partitions '0' and '1' have rows of the same key, ...
    """
    seen: dict[tuple[str, int], str] = {}
    for part in keys:
        for partition, by in part.items():
            for name, hashes in by.items():
                for one in hashes:
                    other = seen.setdefault((name, one), partition)
                    if other != partition:
                        raise DataError(
                            f"partitions {other!r} and {partition!r} have rows of the same key, so windows "
                            "by it would see a part of them",
                            column=name,
                            cure="Write the stream so that all rows of a key are in one partition.",
                        )


def require_features(
    features: WindowFeatures,
    batch: Any,
    roles: Mapping[str, str | None],
    partitions: int,
    labels: Labels | None,
) -> None:
    """Refuse windows that a stream cannot have.

    Raises:
        PlanError: they look at the target before it is known, have another time, or no key.
        DataError: a column is missing or cannot be read.
    """
    target = roles["target"]
    if target is not None:
        features.check_target(target)
    if roles["time"] != features.time:
        cause = f"Labels(time={roles['time']!r}) and tk.features(time={features.time!r}) differ"
        raise PlanError(cause, cure="Name the same column in both.")
    if labels is not None and over_target(features) and features.arrives != labels.arrives:
        raise PlanError(
            f"tk.features(arrives={features.arrives!r}) and Labels(arrives={labels.arrives!r}) differ",
            cure="Name the column of the stream of labels in both.",
        )
    keyless = [window for window in features.windows if not window.by]
    if keyless and partitions > 1:
        raise PlanError(
            f"{keyless[0].names[0]} looks at all rows, and they are in {partitions} partitions, which nodes "
            "read apart",
            cure="Give the window a key with by=, or write the stream with one partition.",
        )
    own = columns_for(features, batch)
    if labels is not None and target in own.schema.names:
        own = own.drop_columns([target])
    for name in features.names:
        if name in batch.schema.names:
            raise DataError("the rows have a column of this name", column=name, cure="Rename it.")
    features.peek(features.start(), own.slice(0, 1))
