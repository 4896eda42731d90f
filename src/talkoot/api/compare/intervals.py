"""95% intervals of scores and of their differences that stay within the range of the score."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import t as student

from talkoot.api.compare.comparison import Interval

Bounds = tuple[float, float]  # the range of a score
UNIT = {"accuracy", "balanced_accuracy", "top_k_accuracy", "average_precision", "v_measure", "completeness"}
UNIT_FAMILIES = ("f1", "precision", "recall", "jaccard", "roc_auc", "homogeneity")
EXPLAINED = ("r2", "explained_variance", "d2_")


def bounds_of(scoring: Any) -> Bounds:
    """The range of a scorer, by its name or that of its function; infinite where it is not known.

    >>> bounds_of("f1_macro"), bounds_of("neg_log_loss"), bounds_of("r2")
    ((0.0, 1.0), (-inf, 0.0), (-inf, 1.0))
    """
    function = getattr(scoring, "_score_func", None)
    name = str(scoring) if function is None else function.__name__.removesuffix("_score")
    if name in UNIT or name.startswith(UNIT_FAMILIES):
        return 0.0, 1.0
    if name in ("matthews_corrcoef", "matthews_corr_coef"):
        return -1.0, 1.0
    if name.startswith("neg_"):
        return -np.inf, 0.0
    return -np.inf, 1.0 if name.startswith(EXPLAINED) else np.inf


def t_quantile(groups: int) -> float:
    """Student's 97.5% quantile for a jackknife of so many groups."""
    return float(student.ppf(0.975, max(1, groups - 1)))


def score_interval(value: float, variance: float, *, groups: int, bounds: Bounds, rows: int) -> Interval:
    """The interval of a score whose variance is the jackknife's.

    A score with two bounds gets Wilson's interval of a share of an effective number of rows, the one that
    gives its variance: it stays within the bounds, and its width is not 0 at a bound.
    Sources: Wilson 1927, J. Am. Stat. Assoc. 22; with an effective number, Dean & Pagano 2015, J. Survey
    Statistics and Methodology 3. Other scores get Student's interval, clipped to the bounds.

    Args:
        value: the score.
        variance: its variance; NaN where it is not known.
        groups: of the jackknife.
        bounds: the score's range.
        rows: the effective number where the variance is 0, as for a score at its bound.

    >>> print(score_interval(1.0, 0.0, groups=20, bounds=(0.0, 1.0), rows=12))
    1.000 [.73, 1.00]
    """
    low, high = bounds
    if not np.isfinite(variance):
        return Interval(value, low, high)
    z = t_quantile(groups)
    if not (np.isfinite(low) and np.isfinite(high)):
        half = z * float(np.sqrt(max(0.0, variance)))
        return Interval(value, max(low, value - half), min(high, value + half))
    share, variance = (value - low) / (high - low), variance / (high - low) ** 2
    spread = share * (1 - share)
    count = spread / variance if variance > 0 and spread > 0 else float(max(1, rows))
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z * np.sqrt(spread / count + z**2 / (4 * count**2)) / (1 + z**2 / count)
    ends = low + (high - low) * np.clip([middle - half, middle + half], 0.0, 1.0)
    return Interval(value, min(value, float(ends[0])), max(value, float(ends[1])))


def difference_interval(
    first: Interval, second: Interval, covariance: np.ndarray, *, groups: int, bounds: Bounds
) -> Interval:
    """The interval of the paired difference first - second.

    For scores with two bounds it follows from the intervals of both and their correlation, so that it stays
    within the range of differences, and its width is not 0 where both are at a bound. Sources: Newcombe 1998,
    Statistics in Medicine 17 (page 2635, method 10); Zou & Donner 2008, Statistics in Medicine 27. For other
    scores it is Student's.

    Args:
        first: a score.
        second: another, of the same rows.
        covariance: (2, 2) of both; NaN where it is not known.
        groups: of the jackknife.
        bounds: the score's range.

    >>> one, two = Interval(0.8, 0.7, 0.9), Interval(0.7, 0.6, 0.8)
    >>> known = np.array([[0.0025, 0.002], [0.002, 0.0025]])
    >>> print(difference_interval(one, two, known, groups=20, bounds=(0.0, 1.0)))
    .100 [.04, .16]
    """
    value, width = first.value - second.value, bounds[1] - bounds[0]
    if not np.isfinite(covariance).all():
        return Interval(value, -width, width)
    (one, shared), (_, two) = covariance
    if not np.isfinite(width):
        half = t_quantile(groups) * float(np.sqrt(max(0.0, one + two - 2 * shared)))
        return Interval(value, value - half, value + half)
    correlation = float(np.clip(shared / np.sqrt(one * two), -1.0, 1.0)) if one > 0 and two > 0 else 0.0
    down = _combine(first.value - first.low, second.high - second.value, correlation)
    up = _combine(first.high - first.value, second.value - second.low, correlation)
    return Interval(value, max(-width, value - down), min(width, value + up))


def _combine(a: float, b: float, correlation: float) -> float:
    """The half width of a difference from those of both scores."""
    return float(np.sqrt(max(0.0, a * a - 2 * correlation * a * b + b * b)))
