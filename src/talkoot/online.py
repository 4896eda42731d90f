"""Models that learn while data arrive, row by row, in compiled loops.

>>> import talkoot as tk
>>> tk.online.Logistic().task
'binary'
"""

from __future__ import annotations

from talkoot.learners.online.bayes import NaiveBayes
from talkoot.learners.online.best import Best
from talkoot.learners.online.clusters import KMeans
from talkoot.learners.online.factorisation import FactorisationMachine
from talkoot.learners.online.lagged import Lagged
from talkoot.learners.online.linear import Linear, Logistic, Softmax
from talkoot.learners.online.optimisers import FTRL, SGD, AdaGrad, DecayedAdaGrad
from talkoot.learners.online.river import River
from talkoot.learners.online.trees.adaptive import HoeffdingAdaptiveTree
from talkoot.learners.online.trees.boosted import BoostedTrees
from talkoot.learners.online.trees.forest import AdaptiveRandomForest, StreamingRandomPatches
from talkoot.learners.online.trees.hoeffding import HoeffdingTree

__all__ = [
    "FTRL",
    "SGD",
    "AdaGrad",
    "AdaptiveRandomForest",
    "Best",
    "BoostedTrees",
    "DecayedAdaGrad",
    "FactorisationMachine",
    "HoeffdingAdaptiveTree",
    "HoeffdingTree",
    "KMeans",
    "Lagged",
    "Linear",
    "Logistic",
    "NaiveBayes",
    "River",
    "Softmax",
    "StreamingRandomPatches",
]
