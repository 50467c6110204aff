"""Exercises of notebook 01: a kernel has a width, a head has a window, and a map is something to add up."""

from __future__ import annotations

import numpy as np
import torch.nn.functional as nnF
from torch import Tensor

from sdcda_tutorial.density import density_map
from sdcda_tutorial.teaching.exercises import Answer, Hint, exercise, expect, number, require, rule_out, same

# Three heads: one in the middle, one near the left border, one near the lower right corner.
POINTS = np.array([[20.0, 10.0], [2.0, 20.0], [37.0, 27.0]])
SIZE = (30, 40)  # height, width: unequal, so that a swapped x and y shows


@exercise("1.1", "How wide must the kernel be?", difficulty=2, minutes=6, optional=True)
def kernel_width(answer: Answer) -> None:
    """the width follows from σ. With σ = 4, 15 pixels end at 22 % of the peak."""
    found = number(answer(4.0, 0.01))
    mistakes = {
        "12 pixels is the reach to one side. The kernel has two sides and a centre.": 12,
        "24 pixels is even: the centre pixel counts too.": 24,
        "27 is one pixel too wide on either side: 13 pixels from the centre the Gaussian is below 1 % of its peak.": 27,
        "17 forgets the 2 in 2σ²: solve exp(-d² / (2σ²)) = share for the distance d.": 17,
        "solve for the distance d, which is squared in the formula: do not forget the root.": [147, 148, 149, 295],
    }
    rule_out(found, mistakes)
    require(found == int(found), f"a width in pixels is a whole, odd number, not {found:g}. Round the distance down.")
    closing = "with σ = 4, 12 pixels from the centre are above 1 % of the peak and 13 below: 25 pixels, not {found:g}."
    expect(found, 25, closing)
    closing = "with σ = 2 and half of the peak the kernel reaches 2 pixels to each side: 5 pixels, not {found:g}."
    expect(number(answer(2.0, 0.5)), 5, closing)
    closing = (
        "with σ = 4 and 5 % of the peak the distance is 9.79: pixel 9 belongs to it, pixel 10 does not. Round down."
    )
    expect(number(answer(4.0, 0.05)), 19, closing)


# Around the window of columns 12 ... 19 and rows 4 ... 17: in its corner, in its last column and row, on the line that
# is already outside, and further away to every side.
AROUND = np.array([[12, 4], [19.5, 10], [20, 10], [15, 17.9], [15, 18], [5, 10], [13, 20], [14, 1]])
WINDOW = (12, 4, 20, 18)


@exercise("1.2", "A crop with two bugs", difficulty=2, minutes=7)
def crop_heads(answer: Answer) -> None:
    """each head is in exactly one of two neighbouring windows, and moves with it."""
    given = AROUND.copy()
    made = np.asarray(answer(given, *WINDOW), dtype=float)
    require(same(given, AROUND), "your function changed the heads that it was given. Work on a copy.")
    require(made.ndim == 2 and made.shape[1] == 2, f"return an array (N, 2) of positions, not one of {made.shape}.")
    corner = AROUND[0]
    closed, inside, cut = AROUND[[0, 1, 2, 3, 4]], AROUND[[0, 1, 3]], AROUND[[0]]
    twice = "a head at x = x1 lies in column x1, which belongs to the next window: it is counted in both."
    still = "the right heads, but the positions are still those of the whole image. The window starts at (x0, y0)."
    lost = "the head at x = 19.5 lies in column 19, the window's last one: compare with x1, not with x1 - 1."
    edge = "the head at exactly (x0, y0) lies in the window's first pixel. The near edges belong to it."
    mistakes = {
        "both bugs are still there: heads on the far edges, and positions of the whole image.": closed,
        still: inside,
        twice: closed - corner,
        lost: [cut, cut - corner],
        edge: [inside[1:], inside[1:] - corner],
        "the head at y = 1 lies above the window and is kept: compare with y0, too.": [
            AROUND[[0, 1, 3, 7]],
            AROUND[[0, 1, 3, 7]] - corner,
        ],
        "the head at x = 5 lies left of the window and is kept: compare with x0, too.": [
            AROUND[[0, 1, 3, 5]],
            AROUND[[0, 1, 3, 5]] - corner,
        ],
        "x and y are mixed up in the shift: subtract x0 from x and y0 from y.": [
            inside - corner[::-1],
            inside - corner[0],
            inside - corner[1],
        ],
        "no head is left. Once moved, the window runs from 0 to x1 - x0 and y1 - y0.": np.zeros((0, 2)),
    }
    right = inside - corner
    closing = "3 of the 8 heads lie in the window 12, 4, 20, 18, at (0, 0), (7.5, 6) and (3, 13.9) from its corner."
    expect(made, right, closing, mistakes)
    none = np.asarray(answer(AROUND, 30, 0, 40, 30), dtype=float)
    require(none.shape == (0, 2), f"a window without heads has an array of shape (0, 2), not {none.shape}.")


@exercise("1.3", "Shrink a map without losing anyone", difficulty=2, minutes=5, optional=True)
def resize_map(answer: Answer) -> None:
    """interpolation averages, so the sum falls with the area. Drawn last, a map never does."""
    F = density_map(POINTS, SIZE)
    try:
        half, quarter = answer(F, (15, 20)), answer(F, (15, 10))
    except ValueError as error:
        shape = "interpolate wants a batch with channels, (N, C, H, W): F[None, None]. Take [0, 0] of what it returns."
        raise (Hint(shape) if "spatial dimensions" in str(error) else error) from error
    require(isinstance(half, Tensor) and half.shape == (15, 20), "return a tensor (height, width) of the new size.")
    area = "the factor is that of the *area*, height times width, not of one side."
    kept = "a quarter of the people are left: interpolation keeps each pixel's density, with 4 times fewer pixels."
    closing = f"3 people should be left, not {float(half.sum()):.2f} and {float(quarter.sum()):.2f}."
    skips = 'mode="nearest" skips pixels, so the areas do not give the factor. Divide by the sum of the resized map.'
    rule_out(half, {skips: 4 * nnF.interpolate(F[None, None], size=(15, 20))[0, 0]})
    expect(float(half.sum()), 3, closing, {kept: 0.75, area: 1.5}, atol=0.1)
    rule_out(float(quarter.sum()), {area: 1.5}, atol=0.2)
    expect(float(quarter.sum()), 3, closing, atol=0.1)
    where, stayed = (map_.reshape(3, len(map_) // 3, 2, -1).sum((1, 3)) for map_ in (F, half))  # in six parts
    expect(stayed, where, "people should stay where they were.", atol=0.2)
    fewer, name = answer(density_map(POINTS[:2], SIZE), (7, 9)), "7 × 9, which do not divide 30 × 40,"
    closing = (
        f"of 2 people on {name} 2 should be left, not {float(fewer.sum()):.2f}. Does it hold for every map and size?"
    )
    expect(float(fewer.sum()), 2, closing, atol=0.1)
