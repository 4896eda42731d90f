"""The split of a leaf whose sides are purest, of those that scikit-learn looks at."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from talkoot.kernels.compiled import inlined, kernel

GINI, ENTROPY, SQUARED, POISSON = range(4)
NEAR = np.float32(1e-7)  # values no further apart are equal to scikit-learn
ROUNDING = 2.0**-49  # of the terms of an impurity: below it the rest of their difference is rounding
TINY = 10 * 2.0**-52  # a sum of counts up to it is none


@inlined
def _weighed(measure: Any, sums: Any, found: Any) -> Any:
    """What rows with whole `sums` weigh, with the quantities that these stand for in `found`.

    That is all classes together, or the third quantity where there is one, or the number of rows.
    """
    criterion, units, of = measure
    found[:] = 0.0
    for c in range(len(of)):
        found[of[c]] += sums[c] * units[c]
    if criterion in (GINI, ENTROPY):
        weight = 0.0
        for k in range(len(found)):
            weight += found[k]
        return weight
    return found[2] if len(found) > 2 else np.float64(sums[-1])


@inlined
def _bits(x: Any) -> Any:
    """The logarithm to the base 2, as scikit-learn takes it."""
    return math.log(x) / math.log(2.0)


@inlined
def _impurity(criterion: Any, found: Any, weight: Any) -> Any:
    if criterion == GINI:
        squares = 0.0
        for k in range(len(found)):
            squares += found[k] * found[k]
        return 1.0 - squares / (weight * weight)
    if criterion == ENTROPY:
        entropy = 0.0
        for k in range(len(found)):
            if found[k] > 0.0:
                share = found[k] / weight
                entropy -= share * _bits(share)
        return entropy
    mean = found[0] / weight
    if criterion == POISSON:
        if found[0] <= TINY:
            return np.inf
        one, other = found[1] / weight, mean * math.log(mean)
    else:
        one, other = found[1] / weight, mean * mean
    rest = one - other
    return 0.0 if abs(rest) <= ROUNDING * (abs(one) + abs(other)) else rest


@inlined
def _proxy(criterion: Any, left: Any, right: Any, weights: Any) -> Any:
    """What is greatest where the impurity falls most."""
    lighter, other = weights
    if criterion == SQUARED:
        return left[0] * left[0] / lighter + right[0] * right[0] / other
    if criterion == POISSON:
        if left[0] <= TINY or right[0] <= TINY:
            return -np.inf
        return left[0] * _bits(left[0] / lighter) + right[0] * _bits(right[0] / other)
    return -other * _impurity(criterion, right, other) - lighter * _impurity(criterion, left, lighter)


@inlined
def _apart(values: Any, one: Any, other: Any) -> Any:
    """Whether the values of two bins differ for scikit-learn, as those do that are not known."""
    return not values[other] <= values[one] + NEAR


@inlined
def _monotonic(direction: Any, low: Any, high: Any, left: Any, right: Any) -> Any:
    """Whether the values of two sides follow a constraint."""
    inside = left >= low and right >= low and left <= high and right <= high
    return inside and (left - right) * direction <= 0


@inlined
def _worth(measure: Any, least: Any, rule: Any, sums: Any, total: Any, work: Any) -> Any:
    """The proxy of a split with these `sums` on the left of a leaf's `total`; -inf where it is not allowed.

    `rule` is (direction, low, high) of a constraint; `work` is written to: (own, rest, other).
    """
    own, rest, other = work
    if sums[-1] < least[0] or total[-1] - sums[-1] < least[0]:
        return -np.inf
    other[:] = total - sums
    weights = (_weighed(measure, sums, own), _weighed(measure, other, rest))
    if weights[0] < least[1] or weights[1] < least[1]:
        return -np.inf
    if rule[0] != 0 and not _monotonic(rule[0], rule[1], rule[2], own[0] / weights[0], rest[0] / weights[1]):
        return -np.inf
    return _proxy(measure[0], own, rest, weights)


@kernel
def facts(measure: Any, sums: Any, found: Any) -> Any:
    """(weight, impurity) of rows with whole `sums`, whose quantities are left in `found`."""
    weight = _weighed(measure, sums, found)
    return weight, _impurity(measure[0], found, weight)


@kernel
def best_split(
    measure: Any,
    least: Any,
    sums: Any,
    bins: Any,
    spans: Any,
    values: Any,
    missing: Any,
    monotonic: Any,
    bounds: Any,
    total: Any,
    left: Any,
) -> Any:
    """The split of a leaf that lowers its impurity most; of equal ones the first.

    Columns come in their order, and in each of them ascending thresholds: with missing values on the right,
    then missing values alone there, then with them on the left.

    Args:
        measure: (criterion, units, of): `GINI`, `ENTROPY`, `SQUARED` or `POISSON`; (sums,) what a unit of
            each whole sum is, but for the last one, the number of rows; (sums,) which quantity each adds to.
            Quantities are the weights of classes; or the weighted target, its weighted square (or the target
            times logarithm), and the weight where rows have one.
        least: (rows, weight) of each side.
        sums: (entries, sums + 1) int64, the whole sums of bins, one column after the other.
        bins: (entries,) which bins these are, ascending in each column.
        spans: (features + 1,) where the entries of each column begin.
        values: (features, bins) float32 the value of each bin; NaN where it holds several.
        missing: the bin of missing values.
        monotonic: (features,) 1, -1 or 0 for a column without a constraint.
        bounds: (low, high) between what values must lie.
        total: (sums + 1,) of the leaf.
        left: (sums + 1,) written to: of the left side.

    Returns:
        (feature, bin, next, missing_left): bins up to `bin` go to the left, `next` is the first one with rows
        behind it, -1 where missing values are alone on the right. The feature is -1 where there is no split.
    """
    count = measure[2].max() + 1
    work = (np.zeros(count), np.zeros(count), np.zeros_like(total))
    begun, nothing = np.zeros_like(total), np.zeros_like(total)
    best = -np.inf
    chosen: Any = (-1, -1, -1, False)
    for j in range(len(spans) - 1):
        first, stop = spans[j], spans[j + 1]
        holes = False
        if stop > first and bins[stop - 1] == missing:
            stop -= 1
            holes = sums[stop, -1] > 0
        rule = (monotonic[j], bounds[0], bounds[1])
        for way in range(2 if holes else 1):
            begun[:] = sums[stop] if way else nothing
            before = -1
            for at in range(first, stop + 1):
                last = at == stop
                if not last and sums[at, -1] == 0:
                    continue
                if last:
                    candidate = holes and not way
                else:
                    candidate = before < 0 or _apart(values[j], bins[before], bins[at])
                if before >= 0 and candidate:
                    proxy = _worth(measure, least, rule, begun, total, work)
                    if proxy > best:
                        best = proxy
                        left[:] = begun
                        aside = way == 1 if holes else begun[-1] > total[-1] - begun[-1]
                        chosen = (j, np.int64(bins[before]), -1 if last else np.int64(bins[at]), aside)
                if not last:
                    begun += sums[at]
                    before = at
    return chosen
