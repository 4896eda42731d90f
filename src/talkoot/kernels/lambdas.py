"""Gradients of rankings: LambdaMART, as XGBoost computes it in single precision.

Source: https://www.microsoft.com/en-us/research/publication/from-ranknet-to-lambdarank-to-lambdamart-an-overview/
"""

from __future__ import annotations

from typing import Any

import numpy as np

from talkoot.kernels.compiled import inlined, kernel

PAIRWISE, NDCG, MAP = 0, 1, 2  # what an exchange of rows changes: nothing counts, NDCG, average precision
LARGEST = np.float32(88.7)  # exponent of a float
FLAT = 1e-16  # least slope of the logistic function
NEAR = 0.01  # added to differences of scores


@inlined
def gain(relevance: Any, exponential: Any) -> Any:
    """What a relevance adds to the discounted gain."""
    return 2.0 ** np.floor(relevance) - 1.0 if exponential else np.float64(relevance)


@inlined
def best_gain(relevances: Any, most: Any, exponential: Any) -> Any:
    """The discounted gain of the first rows where the most relevant come first."""
    ranked = np.sort(relevances)[::-1]
    found = 0.0
    for i in range(min(len(ranked), most)):
        found += gain(ranked[i], exponential) / np.log2(i + 2.0)
    return found


@inlined
def change_of_ndcg(first: Any, second: Any, gains: Any, best: Any) -> Any:
    """How much NDCG changes where the rows at places `first` < `second` change places.

    Args:
        first: the place above.
        second: the place below.
        gains: the difference of what their relevances gain.
        best: the greatest DCG of the query.
    """
    return abs(gains * (1.0 / np.log2(first + 2.0) - 1.0 / np.log2(second + 2.0))) / best


@inlined
def change_of_map(first: Any, second: Any, relevant: Any, precisions: Any, above: Any) -> Any:
    """How much the average precision changes where the rows at places `first` < `second` change places.

    Args:
        first: the place above.
        second: the place below.
        relevant: (rows,) relevant rows up to a place.
        precisions: (rows,) the sum of relevance / place up to a place.
        above: whether the row at `first` is the relevant one.
    """
    between = precisions[second - 1] - precisions[first]
    if above:
        change = relevant[first] / (first + 1.0) - relevant[second] / (second + 1.0) + between
    else:
        change = relevant[second] / (second + 1.0) - (relevant[first] + 1.0) / (first + 1.0) - between
    return change / relevant[-1]


@inlined
def count_relevant(relevances: Any, ranked: Any, relevant: Any, precisions: Any) -> None:
    """Write what `change_of_map` reads, for rows that are `ranked`."""
    hits, precision = 0.0, 0.0
    for i in range(len(ranked)):
        hits += relevances[ranked[i]]
        precision += relevances[ranked[i]] / (i + 1.0)
        relevant[i], precisions[i] = hits, precision


@inlined
def slopes(difference: Any, change: Any, spread: Any) -> Any:
    """Gradient and Hessian of a pair of rows.

    Args:
        difference: float32, of the scores of the more and of the less relevant row.
        change: of the measure, where they change places.
        spread: whether it counts less the more scores differ.
    """
    if spread:
        change /= np.float64(abs(difference)) + NEAR
    exponent = np.exp(min(np.float32(-difference), LARGEST))
    sigmoid = np.float64(np.float32(1) / np.float32(exponent + np.float32(1)))
    curvature = max(sigmoid * (1.0 - sigmoid), FLAT) * change * 2.0
    return np.float32((sigmoid - 1.0) * change), np.float32(curvature)


@inlined
def shrink(rows: Any, total: Any, gradients: Any, hessians: Any) -> None:
    """Make the gradients of a query smaller, the larger they are together."""
    factor = np.float32(np.log2(1.0 + total) / total)
    for row in rows:
        gradients[row] *= factor
        hessians[row] *= factor


@kernel
def lambdas(
    scores: Any,
    relevances: Any,
    order: Any,
    ends: Any,
    measure: Any,
    pairs: Any,
    normalized: Any,
    by_difference: Any,
    exponential: Any,
    gradients: Any,
    hessians: Any,
) -> None:
    """The gradients and Hessians of rows, of the pairs of each query with one row among its best.

    Args:
        scores: (rows,) float32 what is predicted.
        relevances: (rows,) float32.
        order: (rows,) the numbers of the rows, query by query.
        ends: (queries + 1,) from where to where in it a query has them.
        measure: PAIRWISE, NDCG or MAP.
        pairs: how many rows of the greatest scores are compared with all below them.
        normalized: whether the gradients of a query are made smaller the larger they are together.
        by_difference: whether changes count less the more scores differ.
        exponential: whether a relevance gains 2^relevance - 1.
        gradients: (rows,) float32, changed in place.
        hessians: (rows,) float32, changed in place.
    """
    gradients[:], hessians[:] = 0, 0
    for query in range(len(ends) - 1):
        rows = order[ends[query] : ends[query + 1]]
        own = relevances[rows]
        ranked = rows[np.argsort(-scores[rows], kind="mergesort")]
        spread = by_difference and scores[ranked[0]] != scores[ranked[-1]]
        relevant, precisions = np.zeros(len(rows)), np.zeros(len(rows))
        best, total = 0.0, 0.0
        if measure == NDCG:
            best = best_gain(own, pairs, exponential)
        if measure == MAP:
            count_relevant(relevances, ranked, relevant, precisions)
        for i in range(min(len(rows), pairs)):
            for j in range(i + 1, len(rows)):
                above = relevances[ranked[i]] > relevances[ranked[j]]
                if relevances[ranked[i]] == relevances[ranked[j]]:
                    continue
                high, low = (ranked[i], ranked[j]) if above else (ranked[j], ranked[i])
                change = 1.0
                if measure == NDCG:
                    gains = gain(relevances[high], exponential) - gain(relevances[low], exponential)
                    change = change_of_ndcg(i, j, gains, best)
                elif measure == MAP:
                    change = abs(change_of_map(i, j, relevant, precisions, above))
                difference = np.float32(scores[high] - scores[low])
                lost, curvature = slopes(difference, change, spread)
                gradients[high] += lost
                gradients[low] -= lost
                hessians[high] += curvature
                hessians[low] += curvature
                total -= 2.0 * np.float64(lost)
        if normalized and total > 0:
            shrink(rows, total, gradients, hessians)
