"""Exercises of notebook 11: what one works out before and during a training on real data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sdcda_tutorial.datasets.scene_regularization import RULES, SceneDescription
from sdcda_tutorial.teaching.exercises import exercise, require


@exercise(
    "11.1",
    "Which scenes suit Shanghai?",
    difficulty=1,
    minutes=5,
    praise="five conditions on four facts; none of them needs a label of the target.",
)
def suits_shb(answer: Callable[[int, int, int, int], bool]) -> None:
    def said(level: int, hour: int, weather: int, count: int) -> bool:
        return bool(answer(level, hour, weather, count))

    require(said(3, 12, 0, 95), "95 people in a place of level 3 at noon under a clear sky should be admitted.")
    require(
        said(4, 12, 0, 100),
        "at level 4 the capacity is 300 people, so that 100 fill a third. Is it CAPACITY[level], counted from level 0?",
    )
    require(all(said(3, hour, 0, 70) for hour in (6, 20)), "hours 6 and 20 are included, both.")
    require(not any(said(3, hour, 0, 70) for hour in (5, 21)), "before 6 and after 20 it is too dark.")
    require(said(1, 12, 0, 10) and said(5, 12, 0, 599), "levels 1 and 5 are included, and so is a count of 10.")
    require(not said(6, 12, 0, 600), "level 6 is too large for a street, even with 600 people.")
    require(
        all(said(3, 12, weather, 70) for weather in (0, 1, 5, 6)),
        "weather 0, 1, 5 and 6 are admitted; it is a list of codes, not a range.",
    )
    require(not any(said(3, 12, weather, 70) for weather in (2, 3, 4)), "weather 2, 3 and 4 are not in the list.")
    require(not said(3, 12, 0, 12), "12 people where 100 have room are too few: count / capacity must exceed 0.3.")
    require(not said(3, 12, 0, 20), "level 3 has room for 100, so 20 are too few. Is it CAPACITY[level], from level 0?")
    require(not said(3, 12, 0, 30), "30 of 100 is exactly 0.3, which must be *exceeded*.")
    require(not said(1, 12, 0, 9), "9 people are too few: the count is at least 10.")
    require(not said(0, 12, 0, 10) and not said(5, 12, 0, 601), "bounds hold at both ends: level from 1, count to 600.")
    rng = np.random.default_rng(0)
    for values in rng.integers((0, 0, 0, 0), (9, 24, 7, 700), size=(500, 4)).tolist():
        expected = RULES["shb"].admits(SceneDescription(*values))
        named = "level {}, hour {}, weather {}, count {}".format(*values)
        require(said(*values) == expected, f"{named} should be {'admitted' if expected else 'left out'}.")


@exercise(
    "11.2",
    "Heads of GCC",
    difficulty=1,
    minutes=4,
    praise="a point is x, y from the corner of the image; where it came from does not show any more.",
)
def points_of_gcc(answer: Callable[[np.ndarray], Any]) -> None:
    location = np.array([[2, 7], [0, 0], [10, 3]], dtype=np.uint16)
    before = location.copy()
    points = np.asarray(answer(location))
    require(points.shape == (3, 2), f"three heads in, so an array of (3, 2) out, not {points.shape}.")
    require(np.array_equal(location, before), "the array that was given has changed: work on a copy.")
    require(
        not np.allclose(points[0], (2.5, 7.5)) and not np.allclose(points[0], (2, 7)),
        "row and column are still in GCC's order: x is the column, and comes first.",
    )
    require(
        not np.allclose(points, location[:, ::-1]),
        "(row 0, column 0) became (0, 0), the corner of the image: the middle of that pixel is half a pixel away.",
    )
    expected = np.array([[7.5, 2.5], [0.5, 0.5], [3.5, 10.5]])
    require(np.allclose(points, expected), f"(row 2, column 7) should become (7.5, 2.5), not {tuple(points[0])}.")
    require(
        np.asarray(answer(np.zeros((0, 2), dtype=np.uint16))).shape == (0, 2),
        "an empty scene has no heads: an array of shape (0, 2) in, and (0, 2) out.",
    )


@exercise(
    "11.3",
    "When will it be done?",
    difficulty=2,
    minutes=6,
    praise="the slower of device and loading decides, so it is the one worth making faster.",
)
def hours_left(answer: Callable[[int, int, float, float, int], float]) -> None:
    def close(value: float, expected: float) -> bool:
        return abs(value - expected) < 1e-6 * expected

    fast = float(answer(7200, 0, 0.5, 0.4, 4))  # loading takes 0.1 s of the workers: hidden
    require(not close(fast, 3600), "3600 is the number of seconds; an hour has that many.")
    require(not close(fast, 60), "60 is the number of minutes; hours are asked for.")
    require(
        not close(fast, 7200 * 0.9 / 3600) and not close(fast, 7200 * 0.6 / 3600),
        "workers prepare batches while the device computes: a step takes the longer of the two, not the sum.",
    )
    require(close(fast, 1.0), f"7200 steps of 0.5 s, loading hidden behind them, take 1 hour, not {fast:.3f}.")
    slow = float(answer(7200, 0, 0.5, 4.0, 4))
    require(not close(slow, 1.0), "4 workers that need 4 s a batch deliver one a second: the device waits for them.")
    require(not close(slow, 8.0), "4 workers share the loading: each batch takes 4 s, but four are prepared at a time.")
    require(close(slow, 2.0), f"4 s of loading shared by 4 workers is 1 s a step, 2 hours in all, not {slow:.3f}.")
    try:
        alone = float(answer(7200, 0, 0.5, 0.5, 0))
    except ZeroDivisionError:
        alone = 0.0
    require(close(alone, 2.0), "without workers (0) each step waits for its batch, and the two times add up.")
    resumed = float(answer(7200, 5400, 0.5, 0.4, 4))
    require(close(resumed, 0.25), f"5400 of 7200 steps are done: a quarter of an hour is left, not {resumed:.3f} h.")


Layers = Sequence[tuple[str, int]]


def _margin(layers: Layers) -> int:
    pixels = 0
    for kind, size in reversed(layers):
        pixels = {"conv": pixels + size // 2, "pool": 2 * pixels, "up": pixels // 2 + 1}[kind]
    return pixels


@exercise(
    "11.4",
    "How far does a network look?",
    difficulty=3,
    minutes=10,
    praise="every pooling doubles what lies behind it, which is why deep layers look so far.",
)
def margin(answer: Callable[[Layers], int]) -> None:
    def said(*layers: tuple[str, int]) -> int:
        return int(answer(list(layers)))

    conv, pool, up = ("conv", 3), ("pool", 2), ("up", 2)
    require(said(conv) == 1, f"a 3×3 convolution reads one pixel to every side: 1, not {said(conv)}.")
    require(said(("conv", 9)) == 4, f"half of the kernel of 9, less the middle, is 4, not {said(('conv', 9))}.")
    require(said(conv, conv, conv) == 3, "three 3×3 convolutions reach 3 pixels far: each adds its own.")
    after, before = said(pool, conv), said(conv, pool)
    require(
        (after, before) != (1, 2),
        "start at the map and go back to the image: a pooling doubles what the layers *after* it need.",
    )
    require(after == 2, f"a pixel after the pooling stands for two of the image: pool, conv looks 2 far, not {after}.")
    require(before == 1, f"what comes before the pooling is in pixels of the image already: 1, not {before}.")
    require(
        said(up) == 1,
        f"bilinear interpolation reads a neighbour on either side: 1, even where nothing follows, not {said(up)}.",
    )
    doubled = said(up, *[conv] * 5)
    require(
        doubled == 3, f"5 pixels of the doubled image are 5 // 2 = 2 before, and 1 to interpolate: 3, not {doubled}."
    )
    deep = [conv, conv, pool, conv, pool, conv, up, conv, conv, up, ("conv", 5)]
    require(said(*deep) == _margin(deep), f"all together: {deep} looks {_margin(deep)} far, not {said(*deep)}.")
