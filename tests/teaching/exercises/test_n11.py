"""Exercises and demo of notebook 11: solutions pass, typical mistakes get their own hint."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import datetime, timezone
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor, nn

from sdcda_tutorial.errors import InputError
from sdcda_tutorial.teaching.demos.own_photo import (
    LONGEST,
    MOST_BYTES,
    own_photo,
    photograph,
    render_own_photo,
    uploaded,
)
from sdcda_tutorial.teaching.exercises import verdict
from sdcda_tutorial.teaching.notebook import picture

Heads = dict[str, np.ndarray]


def as_set(points: np.ndarray) -> Any:
    return frozenset(map(tuple, points.tolist()))


def repeated(heads: Heads, key: Callable[[np.ndarray], Any] = as_set, empty: bool = False) -> list[str]:
    keys = [key(points) for points in heads.values() if empty or len(points)]
    return sorted(n for n, points in heads.items() if (empty or len(points)) and keys.count(key(points)) > 1)


def later(heads: Heads) -> list[str]:
    """Only the second of two."""
    seen: set[Any] = set()
    found = []
    for name, points in heads.items():
        if len(points) and as_set(points) in seen:
            found.append(name)
        seen.add(as_set(points))
    return found


def neighbours(heads: Heads) -> list[str]:
    names = list(heads)
    pairs = [(a, b) for a, b in pairwise(names) if as_set(heads[a]) == as_set(heads[b])]
    return sorted({name for pair in pairs for name in pair})


def within(heads: Heads) -> list[str]:
    """Takes a part for the whole."""
    sets = {name: as_set(points) for name, points in heads.items() if len(points)}
    return sorted(a for a in sets for b in sets if a != b and (sets[a] <= sets[b] or sets[a] >= sets[b]))


def columns_apart(points: np.ndarray) -> Any:
    return tuple(np.sort(points, axis=0).flatten().tolist())


def points_of_gcc(location: np.ndarray) -> np.ndarray:
    return location[:, ::-1] + 0.5


def in_place(location: np.ndarray) -> np.ndarray:
    location[:] = location[:, ::-1].copy()
    return location + 0.5


def hours_left(steps: int, done: int, step: float, loading: float, workers: int) -> float:
    return (steps - done) * (max(step, loading / workers) if workers else step + loading) / 3600


def every(step: Callable[[float, float, int], float]) -> Callable[..., float]:
    """Hours left, with this as the time of a step from `step`, `loading`, `workers`."""
    return lambda n, done, s, loading, workers: (n - done) * step(s, loading, workers) / 3600


RIGHT = {"11.1": repeated, "11.2": points_of_gcc, "11.3": hours_left}

WRONG: list[tuple[str, Any, str]] = [
    ("11.1", lambda heads: [], "was expected, not []"),
    ("11.1", lambda heads: sorted(heads), "the same *number* of heads"),
    ("11.1", lambda heads: repeated(heads, len), "the same *number* of heads"),
    ("11.1", lambda heads: sorted(heads)[:1], "return an empty list"),
    ("11.1", later, "name both"),
    ("11.1", lambda heads: [name for name in heads if name in repeated(heads)], "alphabetical"),
    ("11.1", neighbours, "need not be neighbours"),
    ("11.1", lambda heads: repeated(heads, empty=True), "two empty scenes"),
    ("11.1", lambda heads: repeated(heads, lambda points: points.tobytes()), "in another order"),
    ("11.1", lambda heads: repeated(heads, columns_apart), "x and y of a point belong together"),
    ("11.1", lambda heads: repeated(heads)[:2], "all three"),
    ("11.1", lambda heads: repeated(heads)[:3], "more than one pair"),
    ("11.1", lambda heads: sorted({*within(heads)}), "lacks one head"),
    ("11.1", lambda heads: "a, b", "a list of names"),
    ("11.2", lambda a: a + 0.5, "x is the column"),
    ("11.2", lambda a: a.astype(float), "x is the column"),
    ("11.2", lambda a: a[:, ::-1], "half a pixel away"),
    ("11.2", lambda a: a[::-1] + 0.5, "should become (7.5, 2.5)"),
    ("11.2", lambda a: a[:, ::-1] - 0.5, "should become (7.5, 2.5)"),
    ("11.2", lambda a: points_of_gcc(a).T, "three heads in"),
    ("11.2", in_place, "work on a copy"),
    ("11.2", lambda a: np.array([(c + 0.5, r + 0.5) for r, c in a.tolist()]), "empty scene"),
    ("11.3", lambda *a: hours_left(*a) * 3600, "number of seconds"),
    ("11.3", lambda *a: hours_left(*a) * 60, "number of minutes"),
    ("11.3", every(lambda step, loading, workers: step + loading), "the longer of the two"),
    ("11.3", every(lambda step, loading, workers: step + loading / max(workers, 1)), "the longer of the two"),
    ("11.3", every(lambda step, loading, workers: step if workers else step + loading), "the device waits for them"),
    ("11.3", every(lambda step, loading, workers: max(step, loading)), "workers share the loading"),
    ("11.3", every(lambda step, loading, workers: max(step, loading / max(workers, 1))), "the two times add up"),
    ("11.3", every(lambda step, loading, workers: max(step, loading / workers)), "the two times add up"),
    ("11.3", lambda n, done, *a: hours_left(n, 0, *a), "quarter of an hour is left"),
    ("11.3", lambda n, done, *a: hours_left(done, 0, *a), "take 1 hour"),
    ("11.3", every(lambda step, loading, workers: max(step, workers * loading)), "take 1 hour"),
]


def stub(*_: Any) -> None:
    raise NotImplementedError


@pytest.mark.parametrize("number", RIGHT)
def test_solution_passes_and_stub_is_not_attempted(number: str) -> None:
    assert verdict(number, RIGHT[number])[0] == "right"
    assert verdict(number, stub)[0] == "not attempted"


@pytest.mark.parametrize(("number", "answer", "fragment"), WRONG)
def test_each_mistake_has_its_hint(number: str, answer: Any, fragment: str) -> None:
    said, hint = verdict(number, answer)
    assert said == "wrong" and fragment in hint, hint


class Bright(nn.Module):
    """A counter of one person on each bright pixel, which counts how often it is asked."""

    def __init__(self, people: float = 1.0) -> None:
        super().__init__()
        self.people, self.asked = people, 0

    def forward(self, x: Tensor) -> Tensor:
        self.asked += 1
        return self.people * (x.mean(1, keepdim=True) > 0.5).float()


def half_bright(height: int, width: int) -> np.ndarray:
    image = np.zeros((height, width, 3), dtype=np.uint8)
    image[:, : width // 2] = 255
    return image


def a_file(image: np.ndarray, orientation: int = 1, kind: str = "JPEG") -> bytes:
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(image).save(file, kind, exif=exif)
    return file.getvalue()


@pytest.mark.slow
def test_render_own_photo_counts_at_the_side_that_is_chosen() -> None:
    image, counters = half_bright(60, 120), {"one": Bright(), "ten": Bright(10)}
    shown = [("one", 120, 0.8), ("one", 240, 0.8), ("ten", 120, 0.8), ("one", 120, 0.0)]
    figures = [render_own_photo(image, counters, *values) for values in shown]
    assert all(isinstance(figure, Figure) for figure in figures)
    titles = [[axis.get_title() for axis in figure.axes] for figure in figures]
    assert titles[0] == ["seen at 120 × 60 pixels", "one: 3600.0 people"]
    assert titles[1] == ["seen at 240 × 120 pixels", "one: 14400.0 people"]
    assert titles[2][1] == "ten: 36000.0 people" and titles[3] == titles[0]
    assert len({picture(figure) for figure in figures}) == 4
    assert counters["one"].asked == 2 and counters["ten"].asked == 1  # opacity asks nobody


@pytest.mark.parametrize(("height", "width"), [(1, 400), (400, 1), (2, 2)])
def test_render_own_photo_at_the_extremes(height: int, width: int) -> None:
    image = np.full((height, width, 3), 255, dtype=np.uint8)
    for people, side, opacity in ((0.0, 128, 0.0), (-1.0, LONGEST, 1.0), (1e-9, 128, 1.0)):
        figure = render_own_photo(image, {"a": Bright(people)}, "a", side, opacity)
        assert str(side) in figure.axes[0].get_title()
    assert picture(figure)


def test_an_upload_of_either_ipywidgets_is_read() -> None:
    assert uploaded(()) is None and uploaded({}) is None
    file = {"name": "a.jpg", "type": "image/jpeg", "content": memoryview(b"abc")}
    assert uploaded((file,)) == ("a.jpg", b"abc") == uploaded({"a.jpg": {"content": b"abc"}})


def test_a_photograph_is_turned_upright_and_shrunk() -> None:
    assert np.abs(photograph("a", a_file(half_bright(40, 60))).astype(int) - half_bright(40, 60)).max() < 30
    turned = photograph("b", a_file(half_bright(40, 60), orientation=6))  # a quarter turn clockwise: left goes up
    assert turned.shape == (60, 40, 3) and turned[:25].mean() > 240 and turned[35:].mean() < 15
    assert photograph("c", a_file(half_bright(600, 3 * LONGEST))).shape == (200, LONGEST, 3)
    assert photograph("d", a_file(half_bright(1, 4 * LONGEST), kind="PNG")).shape == (1, LONGEST, 3)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "a.jpg cannot be read as a picture"),
        (b"%PDF-1.7", "a.jpg cannot be read as a picture"),
        (b"\0\0\0\x18ftypheic" + bytes(90), "a.jpg cannot be read as a picture .*HEIC cannot be read; save it as JPEG"),
        (a_file(half_bright(40, 60))[:500], "a.jpg cannot be read as a picture"),
        (b"0" * (MOST_BYTES + 1), "a.jpg has more than 10 MB"),
    ],
)
def test_a_file_that_is_no_photograph_is_one_line_without_a_path(content: bytes, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        photograph("a.jpg", content)
    assert "/" not in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.slow
def test_own_photo_shows_the_stand_in_until_a_file_is_chosen_and_says_what_is_wrong_with_it() -> None:
    box = own_photo({"one": Bright(), "ten": Bright(10)}, half_bright(60, 120))
    upload, counter, side, opacity, image, problem = box.children
    assert "at most 10 MB" in upload.description
    seen = [image.value]

    def choose(name: str, content: bytes) -> None:
        about = {"name": name, "type": "", "size": len(content), "last_modified": datetime.now(timezone.utc)}
        if upload.has_trait("data"):  # ipywidgets 7: the front end sends the two lists, then counts
            upload.metadata, upload.data = [about], [content]
            upload._counter += 1
        else:
            upload.value = [{**about, "content": content}]
        seen.append(image.value)

    choose("mine.jpg", a_file(np.full((50, 50, 3), 255, dtype=np.uint8)))
    assert problem.value == "" and seen[-1] != seen[0]
    choose("<b>no</b>.txt", b"words")
    assert seen[-1] == seen[-2]  # the last picture stays
    assert problem.value.startswith("&lt;b&gt;no&lt;/b&gt;.txt cannot be read")  # a name is no markup
    choose("another.png", a_file(half_bright(50, 50), kind="PNG"))
    assert problem.value == "" and seen[-1] != seen[-2]
    for control, value in ((counter, "ten"), (side, 128), (opacity, 0.1)):
        control.value = value
        seen.append(image.value)
        assert problem.value == ""
    assert len(set(seen)) == len(seen) - 1  # all but the one that could not be read
