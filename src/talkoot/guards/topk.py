"""TopK: send only the entries that are largest in magnitude, the rest in later rounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from talkoot.core.errors import PlanError
from talkoot.guards.codec import Codec
from talkoot.guards.packed import Sparse

_MIN_SCALE = np.finfo(np.float32).tiny  # smaller scales are subnormal and would not be exact


@final
@dataclass(frozen=True, slots=True)
class TopK(Codec):
    """Send a share of each leaf's entries; see `topk`.

    An encoded update lacks most of the node's entries, so robust merges must not read it.
    """

    sum_only: ClassVar[bool] = True
    share: float = 0.01
    feedback: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.share <= 0.5:
            raise PlanError(
                f"topk(share={self.share}) saves nothing",
                cure="Take 0 < share <= 0.5: an entry is sent with its position.",
            )

    def packs(self, size: int) -> bool:
        """Whether the share is at least one entry. The weight of a mean, one number, is never packed."""
        return self._count(size) >= 1

    def _count(self, size: int) -> int:
        return int(self.share * size)

    def compress(self, values: np.ndarray, carry: np.ndarray | None) -> tuple[Sparse, np.ndarray]:
        """The largest entries, as float16 shares of the very largest."""
        with np.errstate(over="ignore", invalid="ignore"):
            residual = values.astype(np.float32)
            if carry is not None:
                residual += carry
            left = residual.reshape(-1)
            at = largest(np.abs(left), self._count(left.size))
            entries = left[at]
            scale = np.abs(entries).max(keepdims=True)
            scale[scale < _MIN_SCALE] = 0
            shares = np.divide(entries, scale, out=np.zeros_like(entries), where=scale != 0)
            sent = Sparse(indices=at, values=shares.astype(np.float16), scales=scale, shape=values.shape)
            left[at] -= sent.entries()
        return sent, residual


def largest(magnitudes: np.ndarray, count: int) -> np.ndarray:
    """The positions of the `count` largest, ascending, as int32; NaN counts as largest.

    >>> largest(np.array([3.0, 9.0, 1.0, 4.0]), 2).tolist()
    [1, 3]
    """
    return np.sort(np.argpartition(magnitudes, -count)[-count:].astype(np.int32))


def topk(share: float = 0.01, feedback: bool = True) -> TopK:
    """Send only the entries of each leaf that are largest in magnitude: 6 bytes each.

    With feedback, entries that are not sent and the error of rounding the others to float16 are added to the
    node's next update, so small entries are sent once they have added up. Without it they are never sent, and
    a run may not converge. Leaves of fewer than 1 / share values, statistics (``buffer:...``) and leaves that
    are not summed floating numpy arrays are sent unchanged. Decoded leaves are float32.

    Sources: Aji & Heafield 2017, arXiv:1704.05021; Stich et al., arXiv:1809.07599.

    Args:
        share: of each leaf's entries that are sent, 0 < share <= 0.5.
        feedback: add what was not sent to the node's next update. It takes a float32 array of the model's
            size at each node.

    Raises:
        PlanError: a share that saves nothing.

    >>> import numpy as np, talkoot as tk
    >>> from talkoot.core.context import Ctx
    >>> update = tk.Update(values={"w": np.array([0.1, -8.0, 0.2, 0.3])}, weight=1.0)
    >>> sent, residual = topk(0.25).encode(update, None, Ctx())
    >>> sent.values["w"].dense().tolist(), residual["w"].round(3).tolist()
    ([0.0, -8.0, 0.0, 0.0], [0.1..., 0.0, 0.2..., 0.3...])
    """
    return TopK(share, feedback)
