"""The five laws as Hypothesis property tests, for our parts and for yours. Needs ``talkoot[test]``."""

from talkoot.testing.engines import check_engine
from talkoot.testing.learners import check_learner
from talkoot.testing.parts import check_merge, check_transform

__all__ = ["check_engine", "check_learner", "check_merge", "check_transform"]
