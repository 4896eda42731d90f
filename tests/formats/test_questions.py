"""Questions and answers come back as they were; what strangers write is refused with the reason."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from sklearn.preprocessing import FunctionTransformer, RobustScaler

import talkoot as tk
from examples import examples
from talkoot.core import errors
from talkoot.core.context import Ctx, LocalWork
from talkoot.core.errors import TalkootError
from talkoot.core.round import Meeting, Round
from talkoot.core.update import Leaf, Update
from talkoot.formats.answers import answer_from_bytes, answer_to_bytes
from talkoot.formats.frames import to_bytes
from talkoot.formats.plans import plan_digest, plan_to_bytes
from talkoot.formats.questions import question_from_bytes, question_to_bytes
from talkoot.testing.compare import assert_same
from talkoot.testing.toys import Walk

PLAN = tk.Plan(Walk(), chain=[tk.weigh("rows")], sync=tk.rounds(3))


def test_a_round_comes_back_with_what_its_phases_have_brought() -> None:
    rnd = Round(
        index=4,
        phase="shares",
        cohort=("a", "b"),
        dropped=(3,),
        meeting=Meeting(quorum=2, deadline=9.5),
        work=LocalWork(steps=5, fragments=2),
        board={"keys": {"a": {"public": np.arange(3, dtype=np.uint8)}}},
    )
    found, question = question_from_bytes(question_to_bytes(rnd, None, PLAN), PLAN)
    assert question is None
    np.testing.assert_array_equal(found.board["keys"]["a"]["public"], np.arange(3))
    assert [getattr(found, n) for n in ("index", "phase", "cohort", "dropped", "meeting", "work")] == [
        getattr(rnd, n) for n in ("index", "phase", "cohort", "dropped", "meeting", "work")
    ]


def test_a_question_holds_only_what_the_plan_can_ask() -> None:
    robust = tk.Plan(tk.learner_for(RobustScaler()))
    question = robust.learner.question(tk.fit(RobustScaler(), np.eye(4), on=tk.Inline()).run.point)
    frame = question_to_bytes(Round(index=0), question, robust)
    with pytest.raises(tk.DataError, match="'Search' is no type that may travel"):
        question_from_bytes(frame, PLAN)
    with pytest.raises(tk.PlanError, match="a Search cannot travel.*question_types"):
        question_to_bytes(Round(index=0), question, PLAN)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64, torch.bool], ids=str)
@pytest.mark.parametrize("shape", [(2, 3), (), (0, 4)], ids=str)
def test_tensors_come_back(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    value = torch.ones(shape, dtype=dtype)
    found = answer_from_bytes(answer_to_bytes(Update(values={"w": value})))
    assert isinstance(found, Update)
    assert torch.equal(found.values["w"], value)
    assert found.values["w"].dtype == dtype


def encoded(link: Any) -> Update:
    update = Update(values={"w": np.linspace(-1, 1, 999).reshape(27, 37)}, weight=2.0)
    packed: Update = link.encode(update, None, Ctx())[0]
    return packed


LINKS = pytest.mark.parametrize("link", [tk.quantize(bits=8), tk.quantize(bits=4), tk.topk(0.1)], ids=str)


@LINKS
def test_packed_leaves_come_back_packed(link: Any) -> None:
    update = encoded(link)
    frame = answer_to_bytes(update)
    found = answer_from_bytes(frame)
    assert isinstance(found, Update)
    assert type(found.values["w"]) is type(update.values["w"])
    assert_same(found.values["w"].dense(), update.values["w"].dense(), rtol=0)
    assert len(frame) < 27 * 37 * 4


PIECES = {
    tk.quantize(bits=8): ("shape", "scales", "codes", "bits"),
    tk.topk(0.1): ("shape", "scales", "indices", "values"),
}


@pytest.mark.parametrize(
    ("link", "field"), [(link, field) for link, fields in PIECES.items() for field in fields], ids=str
)
def test_packed_leaves_whose_pieces_do_not_fit_are_refused(link: Any, field: str) -> None:
    leaf = encoded(link).values["w"]
    value = getattr(leaf, field)
    wrong = {"shape": (3,), "bits": 7}.get(field)
    wrong = value[:-1] if wrong is None else wrong
    fields = {name: getattr(leaf, name) for name in type(leaf).__dataclass_fields__}
    broken = type(leaf)(**{**fields, field: wrong})
    with pytest.raises(tk.DataError, match="leaf 'w' is no array, or its pieces do not fit"):
        answer_from_bytes(answer_to_bytes(Update(values={"w": broken})))


@pytest.mark.parametrize(
    "kind", [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, TalkootError)]
)
def test_errors_come_back(kind: type[TalkootError]) -> None:
    error = kind("too few rows", node="oslo", step="round 2", column="age", cure="Bring more.")
    found = answer_from_bytes(answer_to_bytes(error))
    assert type(found) is kind
    assert str(found) == str(error)


def test_shapes_bound_what_a_sum_takes() -> None:
    model = {"w": np.zeros((1000, 1)), "seen": np.zeros(1)}
    wide = Update(values={"w": np.zeros((1, 1000))})
    with pytest.raises(tk.DataError, match=r"leaf 'w' has shape \(1, 1000\), and \(1000, 1\) is right"):
        answer_from_bytes(answer_to_bytes(wide), like=model)
    union = Update(values={"seen": np.zeros(7)}, kinds={"seen": Leaf.UNION})
    assert isinstance(answer_from_bytes(answer_to_bytes(union), like=model), Update)


@pytest.mark.parametrize("value", [np.array([1.0, np.nan]), torch.tensor([math.inf])], ids=str)
def test_numbers_that_are_not_finite_are_refused_where_that_is_wanted(value: Any) -> None:
    frame = answer_to_bytes(Update(values={"w": value}, weight=1.0))
    assert isinstance(answer_from_bytes(frame), Update)
    with pytest.raises(tk.DataError, match="leaf 'w' has numbers that are infinite or missing"):
        answer_from_bytes(frame, finite=True)


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (None, "no answer"),
        ({"version": 2, "values": {}, "weight": 0.0, "kinds": {}}, "no answer"),
        ({"version": 1, "error": "SystemExit", "cause": "x"}, "no answer"),
        ({"version": 1, "values": {}, "weight": math.nan, "kinds": {}}, "weight nan"),
        ({"version": 1, "values": {}, "weight": -1.0, "kinds": {}}, "weight -1"),
        ({"version": 1, "values": {}, "weight": 0.0, "kinds": {"a": "most"}}, "unknown kinds"),
        ({"version": 1, "values": {"a": "text"}, "weight": 0.0, "kinds": {}}, "'a' is no array"),
        (
            {
                "version": 1,
                "values": {"a": {"$": "type", "name": "Popen", "fields": {}}},
                "weight": 0.0,
                "kinds": {},
            },
            "'Popen' is no type",
        ),
    ],
    ids=str,
)
def test_answers_of_strangers_are_refused_with_the_reason(data: Any, cause: str) -> None:
    with pytest.raises(tk.DataError, match=cause):
        answer_from_bytes(to_bytes(data))


@examples(300)
@given(st.integers(0, 10_000), st.integers(0, 255), st.booleans())
def test_a_changed_byte_ends_in_an_error_of_ours_or_in_a_value(place: int, byte: int, question: bool) -> None:
    frame = bytearray(
        question_to_bytes(Round(index=0), {"at": np.ones(3)}, PLAN)
        if question
        else answer_to_bytes(encoded(tk.topk(0.1)))
    )
    frame[place % len(frame)] = byte
    with contextlib.suppress(tk.TalkootError):
        question_from_bytes(frame, PLAN) if question else answer_from_bytes(frame)


def digest_of(function: Any) -> str:
    return plan_digest(tk.Plan(tk.learner_for(FunctionTransformer(function))))


def test_a_digest_tells_apart_what_a_text_cannot() -> None:
    def power(by: float) -> Any:
        return lambda X: X**by

    long, other = np.linspace(0, 1, 5000), np.linspace(0, 1, 5000)
    other[2500] += 1e-12
    assert digest_of(power(2.0)) == digest_of(power(2.0)) != digest_of(power(3.0))
    assert digest_of(lambda X: X + 1) != digest_of(lambda X: X + 2)
    assert digest_of(np.log1p) != digest_of(np.expm1)
    alphas = [
        plan_digest(tk.Plan(tk.learner_for(Ridge(alpha=alpha)))) for alpha in (long, long.copy(), other)
    ]
    assert alphas[0] == alphas[1] != alphas[2]
    with pytest.raises(tk.PlanError, match="cannot be imported by a name"):
        plan_to_bytes(tk.Plan(tk.learner_for(FunctionTransformer(power(2.0)))))


def test_a_digest_covers_every_part_of_a_plan_and_learners_of_ones_own() -> None:
    parts: list[dict[str, Any]] = [
        {},
        {"seed": 1},
        {"sync": tk.rounds(4)},
        {"chain": [tk.weigh("nodes")]},
        {"merge": tk.Median()},
        {"outer": tk.Adam()},
    ]
    plans = [tk.Plan(Walk(), **{"chain": [tk.weigh("rows")], "sync": tk.rounds(3), **part}) for part in parts]
    assert len({plan_digest(plan) for plan in plans}) == len(parts)
    assert plan_digest(PLAN) == plan_digest(plans[0])


def test_a_digest_covers_what_no_plan_can_send() -> None:
    odd = [np.array([b"a"]), np.array(["2026-01-01"], "M8[D]"), {1, 2}, 1j, [np.str_("a")], {np.str_("a"): 1}]
    plans = [tk.Plan(tk.learner_for(FunctionTransformer(np.clip, kw_args={"a_min": value}))) for value in odd]
    assert len({plan_digest(plan) for plan in plans}) == len(odd)
    with pytest.raises(tk.PlanError, match="a ndarray cannot travel"):
        plan_to_bytes(plans[0])
