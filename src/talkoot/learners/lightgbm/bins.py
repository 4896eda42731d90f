"""In which of LightGBM's bins values are, and on which side of a split."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import NamedTuple, final

import numpy as np

from talkoot.core.errors import DataError

WORD = 8  # bytes to which LightGBM aligns what it saves
NONE, ZERO, NAN = range(3)  # what is missing in a column


@final
class Column(NamedTuple):
    """The bins of a column.

    Args:
        bounds: (bins,) the greatest value of each; NaN of one for missing values.
        missing: what is missing: nothing, zeros or NaN.
        zero: the bin of 0.
        frequent: the bin that most values are in.
        bundle: columns of one share their room, where a row has a rare bin of one of them alone; -1 for none.
    """

    bounds: np.ndarray
    missing: int
    zero: int
    frequent: int
    bundle: int = -1

    def codes(self, values: np.ndarray) -> np.ndarray:
        """(rows,) the bins of values."""
        absent = np.isnan(values)
        last = len(self.bounds) - 1
        cuts = self.bounds[: last - 1 if self.missing == NAN else last]
        found = np.searchsorted(cuts, np.where(absent, 0.0, values), side="left")
        if self.missing == NAN:
            found[absent] = last
        return found.astype(np.min_scalar_type(last))

    def left(self, codes: np.ndarray, threshold: int, *, missing_left: bool) -> np.ndarray:
        """(rows,) which go to the left of a split."""
        found = codes <= threshold
        if self.missing != NONE:
            found[codes == (self.zero if self.missing == ZERO else len(self.bounds) - 1)] = missing_left
        return found


def codes_of(X: np.ndarray, columns: Mapping[int, Column]) -> tuple[dict[int, np.ndarray], np.ndarray]:
    """For each column the bins of its values, as LightGBM keeps them: of a bundle the last rare one.

    Returns:
        These, and (rows,) which rows have all bins of their values.
    """
    found, taken = dict[int, np.ndarray](), dict[int, np.ndarray]()
    whole = np.ones(len(X), dtype=np.bool_)
    for j in sorted(columns, reverse=True):
        column = columns[j]
        found[j] = column.codes(X[:, j].astype(np.float64))
        if column.bundle >= 0:
            before = taken.setdefault(column.bundle, np.zeros(len(X), dtype=np.bool_))
            whole &= ~before | (found[j] == column.frequent)
            found[j][before] = column.frequent
            before |= found[j] != column.frequent
    return found, whole


def columns_of(saved: bytes) -> Mapping[int, Column]:
    """The columns that can be divided, by their place, of a reference that LightGBM saved.

    Raises:
        DataError: this LightGBM saves it in another way.
    """
    try:
        return _Reader(saved).columns()
    except (struct.error, ValueError, IndexError) as error:
        raise DataError(
            f"the bins of this LightGBM cannot be read ({error})",
            cure="Take lightgbm 4, as \"pip install 'lightgbm>=4,<5'\" does.",
        ) from error


class _Reader:
    """Reads what LightGBM aligned to words."""

    def __init__(self, saved: bytes) -> None:
        self._saved, self._at = saved, 0

    def _numbers(self, form: str, count: int = 1) -> tuple[int, ...]:
        """Numbers that are aligned together."""
        found = struct.unpack_from(f"<{count}{form}", self._saved, self._at)
        self._at += -(-struct.calcsize(f"<{count}{form}") // WORD) * WORD
        return found

    def columns(self) -> dict[int, Column]:
        self._at = self._saved.index(b"v1") // WORD * WORD + WORD
        (size,) = self._numbers("Q")
        end = self._at + size
        _, features, total = (self._numbers("i")[0] for _ in range(3))
        for form in ("i", "i", "i", "i", "?", "?", "?"):  # settings
            self._numbers(form)
        self._numbers("i", total)
        (groups,) = self._numbers("i")
        places, group, sub = (self._numbers("i", features) for _ in range(3))
        self._at = end
        found = [self._group(number) for number in range(groups)]
        if self._at != len(self._saved):
            raise ValueError(f"{len(self._saved) - self._at} bytes are left")
        return {places[i]: found[group[i]][sub[i]] for i in range(features)}

    def _group(self, number: int) -> list[Column]:
        (size,) = self._numbers("Q")
        end = self._at + size
        (apart,), _, _ = (self._numbers("?") for _ in range(3))
        (features,) = self._numbers("i")
        found = [self._column(number if features > 1 and not apart else -1) for _ in range(features)]
        if self._at != end:
            raise ValueError("a group of columns has another size")
        return found

    def _column(self, bundle: int) -> Column:
        (bins,), (missing,), _ = self._numbers("i"), self._numbers("i"), self._numbers("?")
        self._numbers("d")
        (kind,) = self._numbers("i")
        self._numbers("d", 2)
        (zero,), (frequent,) = self._numbers("I"), self._numbers("I")
        bounds = np.array(self._numbers("d", bins))
        inner = bounds[: bins - (missing == NAN)]
        if kind or missing not in (NONE, ZERO, NAN) or not zero < bins or not (np.diff(inner) > 0).all():
            raise ValueError("a column has bins of another kind")
        return Column(bounds, missing, zero, frequent, bundle)
