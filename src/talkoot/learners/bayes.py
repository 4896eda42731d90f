"""Naive Bayes: the five classifiers and who learns them."""

from __future__ import annotations

from sklearn.naive_bayes import BernoulliNB, CategoricalNB, ComplementNB, GaussianNB, MultinomialNB

from talkoot.learners.categorical import CategoricalBayes
from talkoot.learners.counts import CountBayes
from talkoot.learners.gaussian import GaussianBayes

FITS = {
    GaussianNB: GaussianBayes,
    MultinomialNB: CountBayes,
    ComplementNB: CountBayes,
    BernoulliNB: CountBayes,
    CategoricalNB: CategoricalBayes,
}
