"""Talkoot: machine learning where the data and the computers are in many places."""

from talkoot.engines.inline import Inline

__all__ = ["Inline"]
