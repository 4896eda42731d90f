"""Naive Bayes: the five classifiers and their learners."""

from __future__ import annotations

from sklearn.naive_bayes import BernoulliNB, CategoricalNB, ComplementNB, GaussianNB, MultinomialNB

from talkoot.learners.bayes.categorical import CategoricalBayes
from talkoot.learners.bayes.counts import CountBayes
from talkoot.learners.bayes.gaussian import GaussianBayes

FITS = {
    GaussianNB: GaussianBayes,
    MultinomialNB: CountBayes,
    ComplementNB: CountBayes,
    BernoulliNB: CountBayes,
    CategoricalNB: CategoricalBayes,
}
