"""Models that learn while data arrive, row by row, in compiled loops.

>>> import talkoot as tk
>>> tk.online.Logistic().task
'binary'
"""

from __future__ import annotations

from talkoot.learners.online.linear import Linear, Logistic, Softmax
from talkoot.learners.online.optimisers import FTRL, SGD, AdaGrad, DecayedAdaGrad

__all__ = ["FTRL", "SGD", "AdaGrad", "DecayedAdaGrad", "Linear", "Logistic", "Softmax"]
