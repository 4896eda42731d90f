"""Explanations of fitted models: what columns contribute to a prediction, and reasons for a decision.

May import learners and what they may import; `talkoot.explain` shows what users call.
"""
