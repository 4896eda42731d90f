from __future__ import annotations

import pickle

import pytest

from talkoot.core import errors
from talkoot.core.errors import DataError, NodeFailed, TalkootError

FAMILY = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, TalkootError)]


@pytest.mark.parametrize("kind", FAMILY)
def test_every_error_is_a_value_error_and_is_in_the_drawn_tree(kind: type[TalkootError]) -> None:
    assert issubclass(kind, ValueError)
    assert kind.__name__ in (errors.__doc__ or "")


def test_the_message_names_place_cause_and_cure() -> None:
    error = DataError("text where numbers are", node="va", step="round 2", column="age", cure="Encode it.")
    assert str(error) == "node 'va', round 2, column 'age': text where numbers are. Encode it."


def test_a_place_is_filled_in_only_where_unknown() -> None:
    error = DataError("bad", node="va").at(node="other", step="round 1")
    assert (error.node, error.step) == ("va", "round 1")


def test_errors_travel_whole() -> None:
    sent = NodeFailed("boom", node="a", step="round 0", cure="Mend it.")
    got = pickle.loads(pickle.dumps(sent))
    assert (type(got), str(got), got.node) == (NodeFailed, str(sent), "a")
