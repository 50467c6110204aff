"""Exercises of notebook 01: a density map is something to add up."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from sdcda_tutorial.density import density_map
from sdcda_tutorial.teaching.exercises import Answer, exercise, expect, require, rule_out

# Three heads: one in the middle, one near the left border, one near the lower right corner.
POINTS = np.array([[20.0, 10.0], [2.0, 20.0], [37.0, 27.0]])
SIZE = (30, 40)  # height, width: unequal, so that a swapped x and y shows


@exercise("1.1", "People in a window", difficulty=1, minutes=3)
def count_in_window(answer: Answer) -> None:
    """a count over any part of the image is a sum, and parts of heads count as parts."""
    F = density_map(POINTS, SIZE)
    closing = "the whole image holds 3 people, not {found:.3f}. Rows come first: F[y, x]. And is it a sum, not a mean?"
    expect(float(answer(F, 0, 0, 40, 30)), 3, closing, atol=1e-3)
    right, inclusive = float(F[4:18, 12:20].sum()), float(F[4:19, 12:21].sum())
    mistakes = {"x1 and y1 are the first column and row that do not belong to the window.": inclusive}
    closing = "the window 12, 4, 20, 18 holds {right:.3f} people, not {found:.3f}."
    expect(float(answer(F, 12, 4, 20, 18)), right, closing, mistakes, atol=1e-5)


@exercise("1.2", "One head near the border", difficulty=2, minutes=8)
def head_kernel(answer: Answer) -> None:
    """every head weighs 1, wherever it stands: that is why the sum is the count."""

    def kernel(x: float, y: float, sigma: float) -> np.ndarray:
        made = np.asarray(answer(x, y, SIZE, sigma), dtype=float)
        require(made.shape == SIZE, f"the kernel should have the size of the image, {SIZE}, not {made.shape}.")
        return made

    middle = kernel(20, 15, 2.0)
    mistakes = {"you are one pixel off. In this exercise the centre of pixel 20 is at 20, not at 20.5.": (14, 19)}
    closing = "the peak belongs at row 15, column 20, not at {found[0]}, {found[1]}: x is a column."
    expect(np.unravel_index(middle.argmax(), SIZE), (15, 20), closing, mistakes)
    require(abs(middle.max() - 1) > 1e-6, "its peak is 1, but its *sum* should be: do not divide by the maximum.")
    expect(middle.sum(), 1, "in the middle the kernel should sum to 1, not {found:.3f}.", atol=1e-3)
    closing = "one σ away it is exp(-1/2) = 0.607 of the peak, not {found:.3f}. Is it the squared distance over 2σ²?"
    expect(middle[15, 22] / middle[15, 20], np.exp(-0.5), closing, atol=1e-6)
    closing = "the border cuts its kernel: a head in the corner weighs {found:.3f}. Divide by its own sum, not by 2πσ²."
    expect(kernel(0, 0, 2.0).sum(), 1, closing, atol=1e-6)


@exercise("1.3", "Shrink a map without losing anyone", difficulty=2, minutes=5)
def resize_map(answer: Answer) -> None:
    """interpolation averages, so the sum falls with the area; we draw maps after resizing and never meet this."""
    F = density_map(POINTS, SIZE)
    half, quarter = answer(F, (15, 20)), answer(F, (15, 10))
    require(isinstance(half, Tensor) and half.shape == (15, 20), "return a tensor (height, width) of the new size.")
    area = "the factor is that of the *area*, height times width, not of one side."
    kept = "a quarter of the people are left: interpolation keeps each pixel's density, with 4 times fewer pixels."
    closing = f"3 people should be left, not {float(half.sum()):.2f} and {float(quarter.sum()):.2f}."
    expect(float(half.sum()), 3, closing, {kept: 0.75, area: 1.5}, atol=0.1)
    rule_out(float(quarter.sum()), {area: 1.5}, atol=0.2)
    expect(float(quarter.sum()), 3, closing, atol=0.1)
    require(float((half - torch.full_like(half, 3 / 300)).abs().max()) > 1e-3, "people should stay where they were.")
