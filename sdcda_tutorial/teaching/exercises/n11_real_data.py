"""Exercises of notebook 11: what to work out before and during a training on real data."""

from __future__ import annotations

import numpy as np

from sdcda_tutorial.datasets.scene_regularization import RULES, SceneDescription
from sdcda_tutorial.teaching.exercises import Answer, Mistakes, exercise, expect, require, rule_out


@exercise("11.1", "Which scenes suit Shanghai?", difficulty=1, minutes=5)
def suits_shb(answer: Answer) -> None:
    """five conditions on four facts; none of them needs a label of the target."""
    cases = {  # hint -> the scenes that show the mistake: level, hour, weather, count
        "95 people in a place of level 3 at noon under a clear sky should be admitted.": [(3, 12, 0, 95)],
        "level 4 has room for 300, so 100 are enough. Is it CAPACITY[level], counted from level 0?": [(4, 12, 0, 100)],
        "hours 6 and 20 are included, both.": [(3, 6, 0, 70), (3, 20, 0, 70)],
        "before 6 and after 20 it is too dark.": [(3, 5, 0, 70), (3, 21, 0, 70)],
        "levels 1 and 5 are included, and so is a count of 10.": [(1, 12, 0, 10), (5, 12, 0, 599)],
        "level 6 is too large for a street, even with 600 people.": [(6, 12, 0, 600)],
        "weather 0, 1, 5 and 6 are admitted; it is a list of codes, not a range.": [
            (3, 12, w, 70) for w in (0, 1, 5, 6)
        ],
        "weather 2, 3 and 4 are not in the list.": [(3, 12, w, 70) for w in (2, 3, 4)],
        "12 people where 100 have room are too few: count / capacity must exceed 0.3.": [(3, 12, 0, 12)],
        "level 3 has room for 100, so 20 are too few. Is it CAPACITY[level], from level 0?": [(3, 12, 0, 20)],
        "30 of 100 is exactly 0.3, which must be *exceeded*.": [(3, 12, 0, 30)],
        "9 people are too few: the count is at least 10.": [(1, 12, 0, 9)],
        "bounds hold at both ends: level from 1, count to 600.": [(0, 12, 0, 10), (5, 12, 0, 601)],
    }
    for hint, scenes in cases.items():
        require(all(bool(answer(*scene)) == RULES["shb"].admits(SceneDescription(*scene)) for scene in scenes), hint)
    rng = np.random.default_rng(0)
    for values in rng.integers((0, 0, 0, 0), (9, 24, 7, 700), size=(500, 4)).tolist():
        right = RULES["shb"].admits(SceneDescription(*values))
        named = "level {}, hour {}, weather {}, count {}".format(*values)
        require(bool(answer(*values)) == right, f"{named} should be {'admitted' if right else 'left out'}.")


@exercise("11.2", "Heads of GCC", difficulty=1, minutes=4)
def points_of_gcc(answer: Answer) -> None:
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
def hours_left(answer: Answer) -> None:
    """the slower of device and loading decides, so it is the one worth making faster."""
    mistakes: Mistakes = {
        "3600 is the number of seconds; an hour has that many.": 3600,
        "60 is the number of minutes; return hours.": 60,
        "workers prepare batches during the step: it takes the longer of the two times, not the sum.": [1.8, 1.2],
    }
    closing = "7200 steps of 0.5 s, with loading hidden behind them, take 1 hour, not {found:.3f}."
    expect(float(answer(7200, 0, 0.5, 0.4, 4)), 1, closing, mistakes)  # loading takes 0.1 s of the workers: hidden
    mistakes = {
        "4 workers that need 4 s per batch deliver one a second: the device waits for them.": 1,
        "4 workers share the loading: each batch takes 4 s, but four are prepared at a time.": 8,
    }
    closing = "4 s of loading shared by 4 workers is 1 s per step, 2 hours in all, not {found:.3f}."
    expect(float(answer(7200, 0, 0.5, 4.0, 4)), 2, closing, mistakes)
    try:
        alone = float(answer(7200, 0, 0.5, 0.5, 0))
    except ZeroDivisionError:
        alone = 0.0
    expect(alone, 2, "without workers (0) each step waits for its batch, and the two times add up.")
    resumed = float(answer(7200, 5400, 0.5, 0.4, 4))
    expect(resumed, 0.25, "5400 of 7200 steps are done: a quarter of an hour is left, not {found:.3f} h.")


@exercise("11.4", "How far does a network look?", difficulty=3, minutes=10)
def margin(answer: Answer) -> None:
    """every pooling doubles what lies behind it, which is why deep layers look so far."""

    def said(*layers: tuple[str, int]) -> int:
        return int(answer(list(layers)))

    conv, pool, up = ("conv", 3), ("pool", 2), ("up", 2)
    expect(said(conv), 1, "a 3×3 convolution reads one pixel to every side: 1, not {found}.")
    expect(said(("conv", 9)), 4, "half of the kernel of 9, less the middle, is 4, not {found}.")
    expect(said(conv, conv, conv), 3, "three 3×3 convolutions reach 3 pixels far: each adds its own.")
    after, before = said(pool, conv), said(conv, pool)
    hint = "start at the map and go back to the image: a pooling doubles what the layers *after* it need."
    rule_out((after, before), {hint: (1, 2)})
    expect(after, 2, "a pixel after the pooling stands for two of the image: pool, conv looks 2 far, not {found}.")
    expect(before, 1, "what comes before the pooling is in pixels of the image already: 1, not {found}.")
    expect(said(up), 1, "bilinear interpolation reads a neighbour on either side: 1 even at the end, not {found}.")
    doubled = said(up, *[conv] * 5)
    expect(doubled, 3, "5 pixels of the doubled image are 5 // 2 = 2 before, and 1 to interpolate: 3, not {found}.")
    deep = [conv, conv, pool, conv, pool, conv, up, conv, conv, up, ("conv", 5)]
    expect(said(*deep), 20, f"all together: {deep} looks {{right}} far, not {{found}}.")
