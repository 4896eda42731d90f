"""Where quantiles lie among sorted values, as `numpy.quantile` defines them.

Source: Hyndman, Fan 1996, Sample quantiles in statistical packages, The American Statistician 50, 361-365.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np

# alpha and beta of the methods whose position is linear in the level
EVEN = {
    "interpolated_inverted_cdf": (0.0, 1.0),
    "hazen": (0.5, 0.5),
    "weibull": (0.0, 0.0),
    "median_unbiased": (1 / 3, 1 / 3),
    "normal_unbiased": (3 / 8, 3 / 8),
}

WEIGHTED = ("averaged_inverted_cdf", "inverted_cdf")  # methods that take weights


@final
@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Two neighbouring ranks for each quantile, and the weight of the second."""

    left: np.ndarray  # (quantiles,) ranks, from 0
    right: np.ndarray  # (quantiles,) the next ranks, or the same
    share: np.ndarray  # (quantiles,) weight of `right`, from 0 to 1

    @property
    def ranks(self) -> np.ndarray:
        """All ranks that the quantiles need."""
        return np.concatenate([self.left, self.right])

    def between(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """The quantiles, from the values at both ranks; the same bits as numpy."""
        span = right - left
        return np.asarray(
            np.where(self.share < 0.5, left + span * self.share, right - span * (1 - self.share))
        )


def places(count: int, levels: np.ndarray, method: Any = "linear") -> Places:
    """Where quantiles lie among `count` sorted values.

    Args:
        count: number of values, at least 1.
        levels: (quantiles,) between 0 and 1.
        method: of `numpy.quantile`.

    >>> found = places(4, np.array([0.5]))
    >>> found.left.tolist(), found.right.tolist(), found.share.tolist()
    ([1], [2], [0.5])
    """
    if method == "linear":
        at = (count - 1) * levels
    elif method in EVEN:
        alpha, beta = EVEN[method]
        at = count * levels + (alpha + levels * (1 - alpha - beta)) - 1
    elif method == "closest_observation":
        at = count * levels - 1 - 0.5
    else:
        at = count * levels - 1
    below = np.floor(at)
    share = at - below
    if method == "inverted_cdf":
        share = np.where(share > 0, 1.0, 0.0)
    elif method == "averaged_inverted_cdf":
        share = np.where(share > 0, 1.0, 0.5)
    elif method == "closest_observation":
        share = np.where((share == 0) & (below % 2 == 1), 0.0, 1.0)
    last = count - 1
    share = np.where((at < 0) | (at >= last), 0.0, share)
    left = np.clip(below, 0, last).astype(np.int64)
    right = np.clip(below + 1, 0, last).astype(np.int64)
    return Places(left, np.where(at < 0, left, right), share)


def weighted_places(mass: int, scale: float, levels: np.ndarray, method: str) -> Places:
    """Where quantiles lie among weighted values, as in `sklearn.utils.stats._weighted_percentile`.

    Args:
        mass: sum of the weights in whole units.
        scale: whole units in a weight of 1.
        levels: (quantiles,) between 0 and 1.
        method: one of `WEIGHTED`.

    >>> found = weighted_places(4, 1.0, np.array([0.5]), "averaged_inverted_cdf")
    >>> found.left.tolist(), found.right.tolist(), found.share.tolist()
    ([1], [2], [0.5])
    """
    at = levels * (mass / scale) * scale
    left = np.clip(np.ceil(at) - 1, 0, mass - 1).astype(np.int64)
    right = np.clip(np.floor(at), 0, mass - 1).astype(np.int64)
    averaged = method == "averaged_inverted_cdf"
    return Places(left, right if averaged else left, np.full(len(levels), 0.5 if averaged else 0.0))
