"""Pictures: sizes say what they should, and nothing is drawn outside."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talkoot.watch import svg
from talkoot.watch.charts import MAX_NODES, Mark, NodeBand, curve, flow, flow_on_phone
from talkoot.watch.scores import dots, matrix, transfer

SVG = "{http://www.w3.org/2000/svg}"
finite = st.floats(-1e9, 1e9, allow_subnormal=False)


def parse(drawn: svg.Picture) -> ET.Element:
    return ET.fromstring(drawn.draw())


def inside(root: ET.Element) -> bool:
    _, _, width, height = map(float, (root.get("viewBox") or "").split())
    spots = [
        (float(e.get(x, 0)), float(e.get(y, 0)))
        for e in root.iter()
        for x, y in (("x", "y"), ("cx", "cy"), ("x1", "y1"), ("x2", "y2"))
        if e.get(x) is not None
    ]
    return all(-1 <= x <= width + 1 and -1 <= y <= height + 1 for x, y in spots)


def texts(root: ET.Element) -> list[str]:
    return [(e.text or "") + "".join(child.tail or "" for child in e) for e in root.iter(f"{SVG}text")]


@given(finite, finite, st.integers(2, 10))
def test_ticks_are_round_within_bounds_and_not_too_many(a: float, b: float, about: int) -> None:
    low, high = sorted((a, b))
    found = svg.ticks(low, high, about)
    slack = 1e-9 * max(abs(low), abs(high))
    assert all(low - slack <= tick <= high + slack for tick in found)
    assert len(found) <= 2.5 * about + 1
    assert found == sorted(found)


@given(finite, finite, finite, finite)
def test_a_scale_maps_ends_to_ends_and_keeps_the_order(a: float, b: float, c: float, d: float) -> None:
    low, high = sorted((a, b))
    if high - low > 1e-3:
        scale = svg.linear(low, high, 10, 20)
        assert (scale(low), scale(high)) == (10, 20)
        less, more = sorted((c, d))
        assert scale(less) <= scale(more)


def test_bands_are_as_thick_as_their_rows_are_many() -> None:
    root = parse(
        flow([NodeBand(name="a", rows=300, seconds=1.0), NodeBand(name="b", rows=100, seconds=None)], "m", [])
    )
    numbers = [list(map(float, re.findall(r"[\d.]+", path.get("d", "")))) for path in root.iter(f"{SVG}path")]
    thick = [found[8] - found[7] for found in numbers]  # M x y C x y x y x y V y
    assert thick[0] == pytest.approx(3 * thick[1], rel=1e-2)


@pytest.mark.parametrize("count", [1, 2, 16, 17, MAX_NODES, MAX_NODES + 1, 3000])
def test_any_number_of_nodes_fits(count: int) -> None:
    bands = [NodeBand(name=f"n{i}", rows=i % 7, seconds=0.1 * i) for i in range(count - 1)]
    bands.append(NodeBand(name="last", rows=0, seconds=None, trouble="did not arrive in 2 rounds"))
    root = parse(flow(bands, "one model", ["5 rows", "1 round"]))
    assert inside(root)
    paths = list(root.iter(f"{SVG}path"))
    assert len(paths) == min(count, MAX_NODES)
    assert sum(p.get("class") == "flow trouble" for p in paths) == 1
    if count > MAX_NODES:
        assert f"{count - MAX_NODES + 1:,} more nodes" in texts(root)


@pytest.mark.parametrize("count", [1, 4, MAX_NODES + 1])
def test_on_a_phone_the_nodes_and_the_model_fit_without_being_made_smaller(count: int) -> None:
    bands = [NodeBand(name=f"{'a long name ' * 4}{i}", rows=i % 7, seconds=0.1 * i) for i in range(count - 1)]
    bands.append(NodeBand(name="last", rows=None, seconds=None, trouble="did not arrive in 2 rounds"))
    root = parse(flow_on_phone(bands, "one model", ["5 rows", "1 round"]))
    assert inside(root)
    assert float((root.get("viewBox") or "").split()[2]) <= 360
    assert {"one model", "5 rows", "1 round"} <= set(texts(root))
    assert len(list(root.iter(f"{SVG}path"))) == min(count, MAX_NODES)


def test_a_node_without_known_rows_is_drawn() -> None:
    root = parse(flow([NodeBand(name="<a>", rows=None, seconds=None)], "one model", []))
    assert "?" in texts(root)
    assert "<a>" in " ".join(texts(root))


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=60))
def test_curves_stay_inside(values: list[float]) -> None:
    assert inside(parse(curve("loss", dict(enumerate(values)))))


def test_a_curve_through_orders_of_magnitude_is_drawn_on_a_logarithmic_scale() -> None:
    steep = parse(curve("gradient", {i: 10.0**-i for i in range(6)}))
    flat = parse(curve("loss", {i: 2.0 - 0.1 * i for i in range(6)}))
    assert "logarithmic scale" in texts(steep)
    assert "logarithmic scale" not in texts(flat)
    heights = [float(e.get("cy", 0)) for e in steep.iter(f"{SVG}circle")]
    steps = [b - a for a, b in pairwise(heights)]
    assert steps == pytest.approx([steps[0]] * 5, abs=0.05)


def test_a_long_curve_has_no_dots() -> None:
    root = parse(curve("loss", {i: 1.0 / (i + 1) for i in range(400)}))
    assert not list(root.iter(f"{SVG}circle"))


def test_a_curve_from_zero_shows_zero_and_numbers_of_five_digits_whole() -> None:
    root = parse(curve("samples/s", {0.5: 16000.0, 9.5: 16337.2}, say="{:g} s".format, scale="from zero"))
    assert {"0", "16,337", "0.5 s", "9.5 s"} <= set(texts(root))
    assert inside(root)


def test_marks_lie_where_they_happened_and_those_outside_are_left_out() -> None:
    marks = [Mark(at=at, text=f"at {at}", bad=at == 5) for at in (-1, 5, 7, 11)]
    root = parse(curve("loss", {i: 1.0 - i / 20 for i in range(11)}, marks=marks))
    lines = {
        e.get("class"): float(e.get("x1", 0))
        for e in root.iter(f"{SVG}line")
        if "event" in e.get("class", "")
    }
    assert lines == pytest.approx({"event trouble": (58 + 360) / 2, "event": 58 + 0.7 * 302})
    assert inside(root)


def test_dots_say_scores_and_intervals() -> None:
    ways = {"alone": (0.5, 0.4, 0.6), "together": (0.7, 0.65, 0.75)}
    root = parse(dots({"north": ways, "south": {"alone": (0.2, 0.1, 0.3)}}, "accuracy"))
    assert inside(root)
    assert {"50.0 %", "70.0 %", "20.0 %", "65.0 to 75.0 %", "alone", "together"} <= set(texts(root))
    assert "pooled" not in texts(root)


def test_scores_that_could_not_be_computed_are_left_out() -> None:
    root = parse(dots({"north": {"alone": (None, None, None)}}, "f1"))
    assert inside(root)
    assert "north" in " ".join(texts(root))


def test_scores_that_are_no_shares_are_plain_numbers() -> None:
    root = parse(dots({"north": {"alone": (-3.0, -3.0, -3.0)}}, "R2"))
    assert "-3.000" in texts(root)
    assert inside(root)


def test_the_matrix_has_a_cell_for_every_pair() -> None:
    scores = {m: {"a": 0.1, "b": 0.9} for m in ("a", "b", "together")}
    root = parse(transfer(scores, "accuracy"))
    assert inside(root)
    assert texts(root).count("90.0 %") == 3
    opacities = {float(e.get("fill-opacity", 0)) for e in root.iter(f"{SVG}rect")}
    assert opacities == {0.04, 0.5}


def test_cells_that_are_missing_stay_empty_and_great_ones_are_as_dark_as_can_be() -> None:
    root = parse(matrix({"x": {"a": 0.5, "b": 7.0}, "y": {"b": 1.0}}, ("r", "c"), "{:.1f}".format, full=1.0))
    shades = [float(e.get("fill-opacity", 0)) for e in root.iter(f"{SVG}rect")]
    assert shades == pytest.approx([0.27, 0.5, 0.5])
    assert inside(root)
