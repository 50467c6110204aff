"""Exercises of notebook 11: what to work out before and during a training on real data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sdcda_tutorial.datasets.scene_regularization import RULES, SceneDescription
from sdcda_tutorial.teaching.exercises import exercise, expect, require, rule_out

Record = tuple[int, int, int, int]  # level, hour, weather, count
SUITABLE, UNSUITABLE = True, False


@exercise("11.1", "Which scenes suit Shanghai?", difficulty=1, minutes=5)
def suits_shb(answer: Callable[[int, int, int, int], bool]) -> None:
    """five conditions on four facts; none of them needs a label of the target."""
    cases: dict[str, tuple[bool, list[Record]]] = {
        "95 people in a place of level 3 at noon under a clear sky should be admitted.": (SUITABLE, [(3, 12, 0, 95)]),
        "at level 4 the capacity is 300 people, so 100 fill a third. Is it CAPACITY[level], counted from level 0?": (
            SUITABLE,
            [(4, 12, 0, 100)],
        ),
        "hours 6 and 20 are included, both.": (SUITABLE, [(3, 6, 0, 70), (3, 20, 0, 70)]),
        "before 6 and after 20 it is too dark.": (UNSUITABLE, [(3, 5, 0, 70), (3, 21, 0, 70)]),
        "levels 1 and 5 are included, and so is a count of 10.": (SUITABLE, [(1, 12, 0, 10), (5, 12, 0, 599)]),
        "level 6 is too large for a street, even with 600 people.": (UNSUITABLE, [(6, 12, 0, 600)]),
        "weather 0, 1, 5 and 6 are admitted; it is a list of codes, not a range.": (
            SUITABLE,
            [(3, 12, weather, 70) for weather in (0, 1, 5, 6)],
        ),
        "weather 2, 3 and 4 are not in the list.": (UNSUITABLE, [(3, 12, weather, 70) for weather in (2, 3, 4)]),
        "12 people where 100 have room are too few: count / capacity must exceed 0.3.": (UNSUITABLE, [(3, 12, 0, 12)]),
        "level 3 has room for 100, so 20 are too few. Is it CAPACITY[level], from level 0?": (
            UNSUITABLE,
            [(3, 12, 0, 20)],
        ),
        "30 of 100 is exactly 0.3, which must be *exceeded*.": (UNSUITABLE, [(3, 12, 0, 30)]),
        "9 people are too few: the count is at least 10.": (UNSUITABLE, [(1, 12, 0, 9)]),
        "bounds hold at both ends: level from 1, count to 600.": (UNSUITABLE, [(0, 12, 0, 10), (5, 12, 0, 601)]),
    }
    for hint, (suitable, records) in cases.items():
        require(all(bool(answer(*record)) == suitable for record in records), hint)
    rng = np.random.default_rng(0)
    for values in rng.integers((0, 0, 0, 0), (9, 24, 7, 700), size=(500, 4)).tolist():
        expected = RULES["shb"].admits(SceneDescription(*values))
        named = "level {}, hour {}, weather {}, count {}".format(*values)
        require(bool(answer(*values)) == expected, f"{named} should be {'admitted' if expected else 'left out'}.")


@exercise("11.2", "Heads of GCC", difficulty=1, minutes=4)
def points_of_gcc(answer: Callable[[np.ndarray], Any]) -> None:
    """a point is x, y from the corner of the image; where it came from does not show any more."""
    location = np.array([[2, 7], [0, 0], [10, 3]], dtype=np.uint16)
    before = location.copy()
    points = np.asarray(answer(location))
    require(points.shape == (3, 2), f"three heads in, so an array of (3, 2) out, not {points.shape}.")
    require(np.array_equal(location, before), "your function changed the array it was given: work on a copy.")
    swapped = "row and column are still in GCC's order: x is the column, and comes first."
    rule_out(points[0], {swapped: [(2.5, 7.5), (2, 7)]})
    corner = "(row 0, column 0) became (0, 0), the corner of the image: the centre of that pixel is half a pixel away."
    closing = f"(row 2, column 7) should become (7.5, 2.5), not {tuple(points[0])}."
    expect(points, [[7.5, 2.5], [0.5, 0.5], [3.5, 10.5]], closing, {corner: location[:, ::-1]})
    empty = np.asarray(answer(np.zeros((0, 2), dtype=np.uint16)))
    require(empty.shape == (0, 2), "an empty scene has no heads: an array of shape (0, 2) in, and (0, 2) out.")


@exercise("11.3", "When will it be done?", difficulty=2, minutes=6)
def hours_left(answer: Callable[[int, int, float, float, int], float]) -> None:
    """the slower of device and loading decides, so it is the one worth making faster."""
    fast = float(answer(7200, 0, 0.5, 0.4, 4))  # loading takes 0.1 s of the workers: hidden
    mistakes: dict[str, Any] = {
        "3600 is the number of seconds; divide by 3600 to get hours.": 3600,
        "60 is the number of minutes; return hours.": 60,
        "workers prepare batches while the device computes: a step takes the longer of the two, not the sum.": [
            7200 * 0.9 / 3600,
            7200 * 0.6 / 3600,
        ],
    }
    expect(fast, 1, f"7200 steps of 0.5 s, with loading hidden behind them, take 1 hour, not {fast:.3f}.", mistakes)
    slow = float(answer(7200, 0, 0.5, 4.0, 4))
    mistakes = {
        "4 workers that need 4 s per batch deliver one a second: the device waits for them.": 1,
        "4 workers share the loading: each batch takes 4 s, but four are prepared at a time.": 8,
    }
    expect(slow, 2, f"4 s of loading shared by 4 workers is 1 s per step, 2 hours in all, not {slow:.3f}.", mistakes)
    try:
        alone = float(answer(7200, 0, 0.5, 0.5, 0))
    except ZeroDivisionError:
        alone = 0.0
    expect(alone, 2, "without workers (0) each step waits for its batch, and the two times add up.")
    resumed = float(answer(7200, 5400, 0.5, 0.4, 4))
    expect(resumed, 0.25, f"5400 of 7200 steps are done: a quarter of an hour is left, not {resumed:.3f} h.")


Layers = Sequence[tuple[str, int]]


def _margin(layers: Layers) -> int:
    pixels = 0
    for kind, size in reversed(layers):
        pixels = {"conv": pixels + size // 2, "pool": 2 * pixels, "up": pixels // 2 + 1}[kind]
    return pixels


@exercise("11.4", "How far does a network look?", difficulty=3, minutes=10)
def margin(answer: Callable[[Layers], int]) -> None:
    """every pooling doubles what lies behind it, which is why deep layers look so far."""

    def said(*layers: tuple[str, int]) -> int:
        return int(answer(list(layers)))

    conv, pool, up = ("conv", 3), ("pool", 2), ("up", 2)
    require(said(conv) == 1, f"a 3×3 convolution reads one pixel to every side: 1, not {said(conv)}.")
    require(said(("conv", 9)) == 4, f"half of the kernel of 9, less the middle, is 4, not {said(('conv', 9))}.")
    require(said(conv, conv, conv) == 3, "three 3×3 convolutions reach 3 pixels far: each adds its own.")
    after, before = said(pool, conv), said(conv, pool)
    hint = "start at the map and go back to the image: a pooling doubles what the layers *after* it need."
    rule_out((after, before), {hint: (1, 2)})
    require(after == 2, f"a pixel after the pooling stands for two of the image: pool, conv looks 2 far, not {after}.")
    require(before == 1, f"what comes before the pooling is in pixels of the image already: 1, not {before}.")
    hint = "bilinear interpolation reads a neighbour on either side: 1, even where nothing follows, not "
    require(said(up) == 1, f"{hint}{said(up)}.")
    doubled = said(up, *[conv] * 5)
    require(
        doubled == 3,
        f"5 pixels of the doubled image are 5 // 2 = 2 before it, plus 1 to interpolate: 3, not {doubled}.",
    )
    deep = [conv, conv, pool, conv, pool, conv, up, conv, conv, up, ("conv", 5)]
    require(said(*deep) == _margin(deep), f"all together: {deep} looks {_margin(deep)} far, not {said(*deep)}.")
