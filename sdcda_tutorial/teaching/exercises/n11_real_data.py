"""Exercises of notebook 11: what to work out before and during a training on real data."""

from __future__ import annotations

import numpy as np

from sdcda_tutorial.teaching.exercises import Answer, Mistakes, exercise, expect, number, require, rule_out


@exercise("11.1", "The annotation that the check cannot see", difficulty=2, minutes=8)
def repeated(answer: Answer) -> None:
    """each file is well formed; only a look at two of them together shows that one is wrong."""
    rng = np.random.default_rng(0)
    a, b, c = (rng.uniform(0, 200, (n, 2)) for n in (5, 5, 8))
    empty = np.zeros((0, 2))

    def names(**heads: np.ndarray) -> list[str]:
        found = answer({name: points.copy() for name, points in heads.items()})
        require(not isinstance(found, str | bytes), "return a list of names.")
        return list(found)

    require(names(a=a, b=b) != ["a", "b"], "the same *number* of heads is no fault: compare where they are.")
    require(names(a=a, b=b, c=c) == [], "no two of these images have the same points: return an empty list.")
    found = names(c=c, b=a, a=a)
    require(found != ["a"] and found != ["b"], "which of the two is wrong nobody knows: name both.")
    require(found != ["b", "a"], "in alphabetical order, please.")
    require(found == ["a", "b"], f"images a and b have the same points, so ['a', 'b'] was expected, not {found}.")
    require(names(a=a, b=c, d=a) == ["a", "d"], "two images need not be neighbours in the list: compare all of them.")
    empties = "two empty scenes have the same points, none, and no fault: leave them out."
    require(names(a=empty, b=empty, c=c) == [], empties)
    order = "the same heads in another order are the same heads: sort the points, or compare sets of them."
    require(names(a=a, b=a[::-1]) == ["a", "b"], order)
    column = np.array([[1.0, 5.0], [1.0, 2.0], [3.0, 4.0]])
    ties = "heads that stand above each other have one x: sort by x and then y, or compare sets of points."
    require(names(a=column, b=column[[1, 0, 2]]) == ["a", "b"], ties)
    mixed = "x and y of a point belong together: sort points, not the two columns each by itself."
    swapped = np.column_stack([a[:, 0], np.roll(a[:, 1], 1)])
    require(names(a=a, b=swapped) == [], mixed)
    require(names(a=a, b=a, c=a) == ["a", "b", "c"], "of three that are alike all three are named, once.")
    require(names(a=a, b=a, c=c, d=c, e=b) == ["a", "b", "c", "d"], "there may be more than one pair.")
    require(names(a=a, b=a[:-1]) == [], "an image that lacks one head has other points: compare all of them.")


@exercise("11.2", "Heads of GCC", difficulty=1, minutes=4, optional=True)
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


@exercise("11.3", "When will it be done?", difficulty=2, minutes=6, optional=True)
def hours_left(answer: Answer) -> None:
    """the slower of device and loading decides, so it is the one worth making faster."""
    mistakes: Mistakes = {
        "3600 is the number of seconds; an hour has that many.": 3600,
        "60 is the number of minutes; return hours.": 60,
        "workers prepare batches during the step: it takes the longer of the two times, not the sum.": [1.8, 1.2],
    }
    closing = "7200 steps of 0.5 s, with loading hidden behind them, take 1 hour, not {found:.3f}."
    expect(number(answer(7200, 0, 0.5, 0.4, 4)), 1, closing, mistakes)  # loading takes 0.1 s of the workers: hidden
    mistakes = {
        "4 workers that need 4 s per batch deliver one a second: the device waits for them.": 1,
        "4 workers share the loading: each batch takes 4 s, but four are prepared at a time.": 8,
    }
    closing = "4 s of loading shared by 4 workers is 1 s per step, 2 hours in all, not {found:.3f}."
    expect(number(answer(7200, 0, 0.5, 4.0, 4)), 2, closing, mistakes)
    try:
        alone = number(answer(7200, 0, 0.5, 0.5, 0))
    except ZeroDivisionError:
        alone = 0.0
    expect(alone, 2, "without workers (0) each step waits for its batch, and the two times add up.")
    resumed = number(answer(7200, 5400, 0.5, 0.4, 4))
    expect(resumed, 0.25, "5400 of 7200 steps are done: a quarter of an hour is left, not {found:.3f} h.")
    rest = "half of the steps are done, so half of the 2 hours is left: 1, not {found:.3f}."
    expect(number(answer(7200, 3600, 0.5, 4.0, 4)), 1, rest)
    expect(number(answer(7200, 3600, 0.5, 0.5, 0)), 1, rest)
