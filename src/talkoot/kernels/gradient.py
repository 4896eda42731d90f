"""One gradient step a row, in the order of the rows: linear models and factorisation machines.

Weights of one output stand in one line: numbers first, then the table of hashed categories, at last the
intercept. `optimiser` is (which, rate, decay or beta, l1, l2 of FTRL); moments are count, mean and sum of
squared differences.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from talkoot.kernels.compiled import inlined, kernel

ADAGRAD, DECAYED, FTRL, SGD = 0, 1, 2, 3
LOGISTIC, SQUARED, SOFTMAX = 0, 1, 2
TINY = 1e-8
HUGE = 1e150  # the square of a larger number overflows, so it counts as missing


@inlined
def _step(optimiser: Any, w: float, s: float, lead: float, g: float) -> tuple[float, float, float]:
    """A weight, its sum of squared gradients and FTRL's lead after one gradient."""
    which, rate = optimiser[0], optimiser[1]
    if which == ADAGRAD:
        s = s + g * g
        return w - rate / np.sqrt(s + TINY) * g, s, lead
    if which == DECAYED:
        s = optimiser[2] * s + g * g
        return w - rate / np.sqrt(s + TINY) * g, s, lead
    if which == SGD:
        return w - rate * g, s, lead
    grown = s + g * g
    lead = lead + g - (np.sqrt(grown) - np.sqrt(s)) / rate * w
    over = abs(lead) - optimiser[3]
    w = -np.sign(lead) * over / ((optimiser[2] + np.sqrt(grown)) / rate + optimiser[4]) if over > 0 else 0.0
    return w, grown, lead


@inlined
def _read(numbers: Any, i: int, moments: Any, scaled: bool, z: Any, there: Any) -> None:
    """Numbers of row i, scaled by the moments of all rows up to itself; 0 where missing."""
    for j in range(z.shape[0]):
        there[j] = abs(numbers[i, j]) < HUGE
    if not scaled:
        for j in range(z.shape[0]):
            z[j] = numbers[i, j] if there[j] else 0.0
        return
    for j in range(z.shape[0]):
        x = numbers[i, j]
        n = moments[0, j] + 1.0
        mean = moments[1, j] + (x - moments[1, j]) / n
        spread = moments[2, j] + (x - moments[1, j]) * (x - mean)
        scaled_x = (x - mean) * np.sqrt(n / spread)
        z[j] = scaled_x if there[j] and spread > 0.0 else 0.0


@inlined
def _count(numbers: Any, i: int, moments: Any, there: Any) -> None:
    """Take the numbers of row i into the moments."""
    for j in range(there.shape[0]):
        x = numbers[i, j]
        n = moments[0, j] + 1.0
        mean = moments[1, j] + (x - moments[1, j]) / n
        spread = moments[2, j] + (x - moments[1, j]) * (x - mean)
        moments[0, j] = n if there[j] else moments[0, j]
        moments[1, j] = mean if there[j] else moments[1, j]
        moments[2, j] = spread if there[j] else moments[2, j]


@inlined
def _slots(categories: Any, i: int, first: int, size: int, at: Any) -> None:
    """Where the weights of the categories of row i stand; -1 where missing."""
    mask = np.uint64(size - 1)
    for j in range(at.shape[0]):
        h = categories[i, j]
        at[j] = first + np.int64(h & mask) if h != np.uint64(0) else -1


@inlined
def _margin(w: Any, k: int, z: Any, at: Any) -> Any:
    """The sum of the weights that a row has; the intercept is the last of them."""
    m = w[k, w.shape[1] - 1]
    for j in range(z.shape[0]):
        m += w[k, j] * z[j]
    for j in range(at.shape[0]):
        m += w[k, at[j]] if at[j] >= 0 else 0.0
    return m


@inlined
def _respond(loss: int, margins: Any, target: Any, out: Any, i: int) -> None:
    """Predictions of row i from its margins."""
    if loss == LOGISTIC:
        out[i, 0] = 1.0 / (1.0 + np.exp(-margins[0]))
    elif loss == SQUARED:
        deviation = np.sqrt(target[2] / target[0]) if target[2] > 0.0 else 1.0
        out[i, 0] = target[1] + deviation * margins[0]
    else:
        top = margins.max()
        total = 0.0
        for k in range(margins.shape[0]):
            out[i, k] = np.exp(margins[k] - top)
            total += out[i, k]
        for k in range(margins.shape[0]):
            out[i, k] /= total


@inlined
def _slopes(
    loss: int, margins: Any, y: float, target: Any, scaled: bool, out: Any, i: int, slopes: Any
) -> None:
    """Derivatives of the loss of row i by its margins; the moments of a scaled target take the row in."""
    if loss == SQUARED:
        if scaled:
            target[0] += 1.0
            away = y - target[1]
            target[1] += away / target[0]
            target[2] += away * (y - target[1])
            y = (y - target[1]) * np.sqrt(target[0] / target[2]) if target[2] > 0.0 else 0.0
        slopes[0] = 2.0 * (margins[0] - y)
    elif loss == LOGISTIC:
        slopes[0] = out[i, 0] - y
    else:
        for k in range(slopes.shape[0]):
            slopes[k] = out[i, k] - (1.0 if k == int(y) else 0.0)


@inlined
def _learn_numbers(
    z: Any, slope: float, l2: float, optimiser: Any, k: int, w: Any, s: Any, leads: Any
) -> None:
    """One step of the weights of the numbers; the loops are simple, so that they become vector code."""
    which, rate = optimiser[0], optimiser[1]
    if which in (ADAGRAD, DECAYED):
        decay = optimiser[2] if which == DECAYED else 1.0
        for j in range(z.shape[0]):
            g = slope * z[j] + (l2 * w[k, j] if z[j] != 0.0 else 0.0)
            grown = decay * s[k, j] + g * g
            s[k, j] = grown
            w[k, j] -= rate / np.sqrt(grown + TINY) * g
    elif which == SGD:
        for j in range(z.shape[0]):
            w[k, j] -= rate * (slope * z[j] + (l2 * w[k, j] if z[j] != 0.0 else 0.0))
    else:
        for j in range(z.shape[0]):
            g = slope * z[j] + (l2 * w[k, j] if z[j] != 0.0 else 0.0)
            w[k, j], s[k, j], leads[k, j] = _step(optimiser, w[k, j], s[k, j], leads[k, j], g)


@inlined
def _learn_others(
    at: Any, slope: float, l2: float, intercept: float, optimiser: Any, k: int, w: Any, s: Any, leads: Any
) -> None:
    """One step of the weights of the categories of a row and of the intercept."""
    for j in range(at.shape[0]):
        a = at[j]
        if a >= 0:
            w[k, a], s[k, a], leads[k, a] = _step(
                optimiser, w[k, a], s[k, a], leads[k, a], slope + l2 * w[k, a]
            )
    last = w.shape[1] - 1
    if intercept >= 0.0:
        w[k, last] -= intercept * slope
    else:
        w[k, last], s[k, last], leads[k, last] = _step(
            optimiser, w[k, last], s[k, last], leads[k, last], slope
        )


@kernel
def linear(
    numbers: Any,
    categories: Any,
    y: Any,
    weigh: Any,
    weights: Any,
    sums: Any,
    leads: Any,
    moments: Any,
    target: Any,
    loss: int,
    scaled: bool,
    l2: float,
    intercept: float,
    optimiser: Any,
) -> Any:
    """Predict each row, then learn it where its label is not nan and its weight not 0; (rows, outputs).

    An `intercept` of 0 or more is its own rate, below 0 it is a weight as others are.
    """
    rows, d = numbers.shape
    outputs, last = weights.shape[0], weights.shape[1] - 1
    z, there, at = np.empty(d), np.empty(d, np.bool_), np.empty(categories.shape[1], np.int64)
    margins, slopes, out = np.empty(outputs), np.empty(outputs), np.empty((rows, outputs))
    for i in range(rows):
        _read(numbers, i, moments, scaled, z, there)
        _slots(categories, i, d, last - d, at)
        for k in range(outputs):
            margins[k] = _margin(weights, k, z, at)
        _respond(loss, margins, target, out, i)
        if y[i] == y[i] and weigh[i] != 0.0:
            if scaled:
                _count(numbers, i, moments, there)
            _slopes(loss, margins, y[i], target, scaled, out, i, slopes)
            for k in range(outputs):
                slope = slopes[k] * weigh[i]
                _learn_numbers(z, slope, l2, optimiser, k, weights, sums, leads)
                _learn_others(at, slope, l2, intercept, optimiser, k, weights, sums, leads)
    return out


@inlined
def _interact(z: Any, at: Any, factors: Any, mixed: Any) -> Any:
    """The sum over pairs of a row's features of the products of their factors; `mixed` are sums by factor."""
    total = 0.0
    for f in range(mixed.shape[0]):
        one, squares = 0.0, 0.0
        for j in range(z.shape[0]):
            one += z[j] * factors[j, f]
            squares += (z[j] * factors[j, f]) ** 2
        for j in range(at.shape[0]):
            one += factors[at[j], f] if at[j] >= 0 else 0.0
            squares += factors[at[j], f] ** 2 if at[j] >= 0 else 0.0
        mixed[f] = one
        total += one * one - squares
    return total / 2.0


@inlined
def _learn_factors(
    z: Any, at: Any, slope: float, l2: float, optimiser: Any, mixed: Any, factors: Any, sums: Any
) -> None:
    """One step of the factors of the features that the row has."""
    d = z.shape[0]
    for j in range(d + at.shape[0]):
        a = j if j < d else at[j - d]
        x = z[j] if j < d else 1.0
        if a >= 0 and x != 0.0:
            for f in range(mixed.shape[0]):
                v = factors[a, f]
                g = slope * x * (mixed[f] - v * x) + l2 * v
                factors[a, f], sums[a, f], _ = _step(optimiser, v, sums[a, f], 0.0, g)


@kernel
def factorisation(
    numbers: Any,
    categories: Any,
    y: Any,
    weigh: Any,
    weights: Any,
    sums: Any,
    factors: Any,
    factor_sums: Any,
    moments: Any,
    target: Any,
    loss: int,
    scaled: bool,
    l2: float,
    intercept: float,
    optimiser: Any,
) -> Any:
    """As `linear` for one output, with factors (features, factors) of pairs of features; not for FTRL."""
    rows, d = numbers.shape
    last = weights.shape[1] - 1
    z, there, at = np.empty(d), np.empty(d, np.bool_), np.empty(categories.shape[1], np.int64)
    margins, slopes, out, leads = np.empty(1), np.empty(1), np.empty((rows, 1)), np.empty((1, 0))
    mixed = np.empty(factors.shape[1])
    for i in range(rows):
        _read(numbers, i, moments, scaled, z, there)
        _slots(categories, i, d, last - d, at)
        margins[0] = _margin(weights, 0, z, at) + _interact(z, at, factors, mixed)
        _respond(loss, margins, target, out, i)
        if y[i] == y[i] and weigh[i] != 0.0:
            if scaled:
                _count(numbers, i, moments, there)
            _slopes(loss, margins, y[i], target, scaled, out, i, slopes)
            slope = slopes[0] * weigh[i]
            _learn_numbers(z, slope, l2, optimiser, 0, weights, sums, leads)
            _learn_others(at, slope, l2, intercept, optimiser, 0, weights, sums, leads)
            _learn_factors(z, at, slope, l2, optimiser, mixed, factors, factor_sums)
    return out
