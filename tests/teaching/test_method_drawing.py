"""The drawing of the method: valid, deterministic, lit part by part, and readable without seeing it."""

import base64
import re
import xml.etree.ElementTree as ElementTree
from itertools import pairwise

import pytest

from sdcda_tutorial import paper
from sdcda_tutorial.teaching import method_drawing as architecture

SVG = "{http://www.w3.org/2000/svg}"


def opacities(text):
    return {g.get("data-part"): float(g.get("opacity")) for g in ElementTree.fromstring(text).findall(f"{SVG}g")}


@pytest.mark.slow
def test_all_parts_are_lit_by_default():
    assert opacities(architecture.drawing()) == dict.fromkeys(architecture.PARTS, 1.0)
    assert architecture.drawing() == architecture.drawing(*architecture.PARTS)


@pytest.mark.parametrize("part", architecture.PARTS)
def test_what_is_not_lit_is_pale(part):
    drawn = opacities(architecture.drawing(part))
    assert drawn.pop(part) == 1
    assert len(drawn) == len(architecture.PARTS) - 1 and set(drawn.values()) == {architecture.PALE}


def test_order_of_names_does_not_matter():
    assert architecture.drawing("S", "E") == architecture.drawing("E", "S")


def test_unknown_part_is_told():
    with pytest.raises(ValueError, match=r"no part 'F'.*E, C, S, D"):
        architecture.drawing("E", "F")


def test_everything_lies_on_the_white_page():
    root = ElementTree.fromstring(architecture.drawing())
    page = root.find(f"{SVG}rect")
    assert (page.get("width"), page.get("height"), page.get("fill")) == ("900", "560", "#FFFFFF")
    assert (root.get("width"), root.get("height"), root.get("viewBox")) == ("900", "560", "0 0 900 560")
    for line in root.iter(f"{SVG}polyline"):
        for point in line.get("points").split():
            x, y = map(float, point.split(","))
            assert 0 < x < 900 and 0 < y < 560


def test_lines_run_along_the_axes():
    for line in ElementTree.fromstring(architecture.drawing()).iter(f"{SVG}polyline"):
        points = [tuple(map(float, point.split(","))) for point in line.get("points").split()]
        assert all(a[0] == b[0] or a[1] == b[1] for a, b in pairwise(points))


def test_every_equation_of_the_training_is_in_it():
    text = "".join(ElementTree.fromstring(architecture.drawing()).itertext())
    found = {int(n) for n in re.findall(r"Eqs?\. (\d+)", text)} | {9}
    assert {n for n in paper.EQUATIONS if n <= 10} <= found
    assert "Eq. 8–9" in text


def test_show_gives_picture_title_and_words(monkeypatch):
    shown = []
    monkeypatch.setattr(architecture, "display", lambda item, **_: shown.append(item))
    architecture.show("D", "adversarial")
    picture, caption = shown
    svg, text = picture["image/svg+xml"], picture["text/plain"]
    assert svg == architecture.drawing("D", "adversarial")
    assert base64.b64decode(picture["text/html"].split("base64,")[1].rstrip('">')).decode() == svg
    assert "Eq. 10" in text and "Eq. 7" not in text
    assert text in caption.data
    root = ElementTree.fromstring(svg)
    labels = [root.find(f"{SVG}title"), root.find(f"{SVG}desc")]
    assert root.get("aria-labelledby").split() == [label.get("id") for label in labels]
    assert all(label.text for label in labels)


def test_titles_of_two_drawings_have_names_of_their_own():
    first, second = (ElementTree.fromstring(architecture.drawing(part)) for part in "ED")
    assert first.get("aria-labelledby") != second.get("aria-labelledby")
