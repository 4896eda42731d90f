"""Markup: nothing that is put into it can break out of it."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from talkoot.watch.markup import Safe, join, tag

xml_text = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn", "Co")))


@given(xml_text, xml_text)
def test_any_text_comes_back_as_it_was(inside: str, value: str) -> None:
    element = ET.fromstring(tag("p", inside, tag("b", "x"), title=value))
    assert (element.text or "") == inside
    assert element.get("title") == value


def test_only_safe_text_is_taken_as_markup() -> None:
    assert tag("p", "<i>", Safe("<br>"), None, 2, 0.5) == "<p>&lt;i&gt;<br>20.5</p>"
    assert join(tag("a", "&"), "&") == "<a>&amp;</a>&amp;"
    assert isinstance(join("x"), Safe)
    assert not isinstance(Safe("a") + Safe("b"), Safe)


def test_attributes() -> None:
    made = tag("rect", x=1.0, width=2.345, class_="a", fill_opacity=0.5, rx=None)
    assert made == '<rect x="1" width="2.35" class="a" fill-opacity="0.5"></rect>'
