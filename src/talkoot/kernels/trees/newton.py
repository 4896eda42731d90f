"""The best split of a leaf by XGBoost's rule: one Newton step for each side, with its penalties.

Source: Chen and Guestrin, XGBoost, KDD 2016, equation 7; its documentation on alpha, max_delta_step,
gamma, min_child_weight and monotone constraints. Weights and gains are in single precision, as XGBoost's
are, so that ties are ties.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from talkoot.kernels.compiled import inlined, kernel


@inlined
def _shrunk(gradient: Any, alpha: Any) -> Any:
    if gradient > alpha:
        return gradient - alpha
    if gradient < -alpha:
        return gradient + alpha
    return 0.0


@inlined
def _weight(gradient: Any, hessian: Any, rule: Any, low: Any, high: Any) -> Any:
    lambda_, alpha, step, least = rule
    if hessian < least or hessian <= 0.0:
        found = 0.0
    else:
        found = -_shrunk(gradient, alpha) / (hessian + lambda_)
        if step > 0.0:
            found = min(max(found, -step), step)
    return np.float32(min(max(found, low), high))


@inlined
def _gain(gradient: Any, hessian: Any, weight: Any, rule: Any, bounded: Any) -> Any:
    lambda_, alpha, step, _ = rule
    if hessian <= 0.0:
        return np.float32(0.0)
    if step > 0.0 or bounded:
        w = np.float64(weight)
        return np.float32(-(2.0 * gradient * w + (hessian + lambda_) * w * w))
    return np.float32(_shrunk(gradient, alpha) ** 2 / (hessian + lambda_))


@kernel
def newton_weight(gradient: Any, hessian: Any, rule: Any, low: Any, high: Any) -> Any:
    """What a leaf adds to the prediction, before the learning rate.

    Args:
        gradient: the sum of its rows.
        hessian: the sum of its rows.
        rule: (lambda, alpha, greatest step or 0, least Hessian of a leaf).
        low: the least that it may be.
        high: the most.
    """
    return _weight(gradient, hessian, rule, low, high)


@kernel
def best_split(
    histograms: Any, filled: Any, columns: Any, total: Any, rule: Any, monotonic: Any, low: Any, high: Any
) -> Any:
    """(gain, column, last bin on the left, whether missing values go there, sums of the left, of the right).

    The first of equal ones; a gain of 0 means that there is none, and inf that one is beyond single
    precision. The last bin on the left is -1 where only missing values go there.

    Args:
        histograms: (3, features, bins) sums of gradients and Hessians, and numbers of rows; the last bin
            holds missing values.
        filled: (features,) how many bins hold values that are not missing.
        columns: (some,) which may be divided, ascending.
        total: (3,) of the leaf.
        rule: see `newton_weight`.
        monotonic: (features,) 1 where predictions may not fall with a column, -1 where they may not rise.
        low: the least that a side may add to the prediction.
        high: the most.
    """
    missing, bounded, least = histograms.shape[2] - 1, bool(np.any(monotonic != 0)), rule[3]
    own = _gain(total[0], total[1], _weight(total[0], total[1], rule, low, high), rule, bounded)
    best, column, last, missing_left = np.float32(0.0), -1, -1, False
    left, right = np.zeros(3), np.zeros(3)
    for at in range(len(columns)):
        j = columns[at]
        for forward in (True, False):
            if not forward and histograms[2, j, missing] == 0:
                continue
            g, h, n = 0.0, 0.0, 0.0
            for i in range(filled[j]):
                b = i if forward else filled[j] - 1 - i
                g, h, n = g + histograms[0, j, b], h + histograms[1, j, b], n + histograms[2, j, b]
                rest_g, rest_h, rest_n = total[0] - g, total[1] - h, total[2] - n
                if n == 0.0 or rest_n == 0.0 or min(h, rest_h) < least or min(h, rest_h) <= 0.0:
                    continue
                w = _weight(g, h, rule, low, high)
                rest_w = _weight(rest_g, rest_h, rule, low, high)
                rise = rest_w - w if forward else w - rest_w
                if rise * monotonic[j] < 0:
                    continue
                gain = _gain(g, h, w, rule, bounded) + _gain(rest_g, rest_h, rest_w, rule, bounded) - own
                if not np.isfinite(gain):
                    return np.float32(np.inf), j, b, not forward, left, right
                if gain > best:
                    best, column, last, missing_left = gain, j, b if forward else b - 1, not forward
                    one, other = (left, right) if forward else (right, left)
                    one[0], one[1], one[2] = g, h, n
                    other[0], other[1], other[2] = rest_g, rest_h, rest_n
    return best, column, last, missing_left, left, right
