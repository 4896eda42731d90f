"""The estimator that a fit with warm_start=True goes on from, and what has to be as in its own fit."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, final

import numpy as np

from talkoot.core.digest import digest
from talkoot.core.errors import DataError
from talkoot.core.shard import Schema
from talkoot.learners.common.estimator import refuse
from talkoot.learners.trees.boosting import sklearn_private as private
from talkoot.learners.trees.boosting.categories import Coding
from talkoot.learners.trees.boosting.stopping import Stopping
from talkoot.learners.trees.boosting.warm_start.trees import Trees

GOES_ON = "warm_start=True goes on from an earlier fit"
FROM_START = "sklearn.base.clone(estimator) begins with the first tree."
CLOSE = 1e-6  # of two scores of the same rows, which differ by rounding


@final
@dataclass(frozen=True, slots=True, eq=False)
class EarlierFit:
    """What an estimator learned in an earlier fit, over nodes or by scikit-learn alone.

    Args:
        fitted: the estimator.
    """

    fitted: Any

    @classmethod
    def of(cls, estimator: Any) -> EarlierFit | None:
        """That of an estimator that goes on from its trees; None where it begins with the first one.

        Raises:
            NotDistributable: it has more trees than it may have, or they minimise another loss.
        """
        if not (estimator.warm_start and private.is_fitted(estimator)):
            return None
        fitted = copy(estimator)
        fitted._predictors = [*fitted._predictors]  # scikit-learn would append to the estimator's own
        found = cls(fitted)
        if estimator.max_iter < found.iterations:
            why = f"{GOES_ON}, which has {found.iterations} iterations"
            refuse(estimator, "max_iter", why, f"Take max_iter={found.iterations} or more. {FROM_START}")
        if not private.has_its_loss(fitted):
            why = f"{GOES_ON}, whose trees minimise another loss"
            refuse(estimator, "loss", why, f"Take the loss of that fit. {FROM_START}")
        return found

    @property
    def iterations(self) -> int:
        """How many there are."""
        return len(self.fitted._predictors)

    @property
    def baseline(self) -> np.ndarray:
        """(outputs,) the prediction before the first tree."""
        return np.asarray(self.fitted._baseline_prediction).reshape(-1)

    @property
    def scores(self) -> Stopping:
        """The scores so far."""
        scores = self.fitted.train_score_, self.fitted.validation_score_
        return Stopping(*(tuple(np.asarray(each).tolist()) for each in scores))

    @property
    def trees(self) -> Trees:
        """The trees, as nodes read them."""
        return Trees.of(self.fitted._predictors)

    def digest(self) -> np.ndarray:
        """32 bytes that tell it from other fits that one may go on from."""
        found = digest((self.trees, self.baseline, self.scores))
        return np.frombuffer(bytes.fromhex(found), np.uint8)

    def require_same_columns(self, made: Any, schema: Schema) -> None:
        """Refuse columns or classes that are not those of the earlier fit; `made` has those of the rows.

        Raises:
            DataError: some differ.
        """
        for at, (was, now) in enumerate(zip_longest(_columns(self.fitted), _columns(made))):
            if was != now:
                raise DataError(
                    f"{GOES_ON}: column {at + 1} was {was or 'not there'}, and is {now or 'not there'}",
                    cure=f"Give it the columns of that fit, in their order. {FROM_START}",
                )
        if schema.classes is None:
            return
        was, now = self.fitted.classes_.tolist(), schema.classes.tolist()
        if was != now:
            raise DataError(
                f"{GOES_ON}, whose classes were {was}: they are {now}",
                column=schema.target,
                cure=f"Give it rows of the same classes. {FROM_START}",
            )

    def require_same_categories(self, coding: Coding, schema: Schema) -> None:
        """Refuse categories that are not those of the earlier fit, whose trees know them by their place.

        Raises:
            DataError: some column has others.
        """
        for column, now, was in zip(
            coding.columns, coding.values, private.categories_of(self.fitted), strict=True
        ):
            other = sorted({*now} ^ {*was.tolist()}, key=str)
            if other:
                which = "new" if other[0] in now else "missing"
                raise DataError(
                    f"{GOES_ON}, which had other categories: {other[0]!r} is {which}",
                    column=schema.column(column),
                    cure=f"Give it rows of the same categories. {FROM_START}",
                )

    def require_unseen(self, estimator: Any, *, held_out: bool) -> None:
        """Refuse early stopping by rows that the earlier trees have seen.

        Raises:
            NotDistributable: they have.
        """
        if held_out and not private.held_rows_out(self.fitted):
            refuse(
                estimator,
                "early_stopping",
                f"{GOES_ON} that did not hold out the rows that nodes would, so its trees have seen some",
                "Take early_stopping=False, or validation_fraction=None, which scores the training rows.",
            )
        if self.scores.validation and not held_out:
            refuse(
                estimator,
                "validation_fraction",
                f"{GOES_ON}, whose scores are of rows that were held out",
                "Take early_stopping=False, or the validation_fraction= of that fit.",
            )

    def require_same_scores(self, found: Stopping) -> None:
        """Refuse rows that the earlier trees score otherwise than in their own fit, which scored its own.

        Raises:
            DataError: the last scores differ.
        """
        if not self.fitted.do_early_stopping_:
            return
        was, now = ([*part.training[-1:], *part.validation[-1:]] for part in (self.scores, found))
        if not np.allclose(was, now, rtol=CLOSE, atol=0):
            raise DataError(
                f"{GOES_ON}, whose last scores were {was}, and its trees score {now} now: rows, weights, "
                "scoring= or the rows that are held out differ, and early stopping would compare the two",
                cure="Give it the rows of that fit, in their order, or take early_stopping=False. "
                f"{FROM_START}",
            )


def _columns(fitted: Any) -> list[str]:
    """What a fitted estimator knows of each column, in words."""
    count, categories = fitted.n_features_in_, fitted.is_categorical_
    names = getattr(fitted, "feature_names_in_", None)
    kinds = ["categories" if categories is not None and categories[j] else "numbers" for j in range(count)]
    named = ["that have no name"] * count if names is None else [f"named {str(name)!r}" for name in names]
    return [f"{kind} {name}" for kind, name in zip(kinds, named, strict=True)]
