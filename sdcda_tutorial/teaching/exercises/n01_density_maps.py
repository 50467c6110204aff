"""Exercises of notebook 01: a density map is something one adds up."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from sdcda_tutorial.density import density_map
from sdcda_tutorial.teaching.exercises import exercise, require

# Three heads: one in the middle, one near the left border, one near the lower right corner.
POINTS = np.array([[20.0, 10.0], [2.0, 20.0], [37.0, 27.0]])
SIZE = (30, 40)  # height, width: unequal, so that a swapped x and y shows


@exercise(
    "1.1",
    "People in a window",
    difficulty=1,
    minutes=3,
    praise="a count over any part of the image is a sum, and parts of heads count as parts.",
)
def count_in_window(answer: Callable[..., float]) -> None:
    F = density_map(POINTS, SIZE)
    whole = float(answer(F, 0, 0, 40, 30))
    require(
        abs(whole - 3) < 1e-3,
        f"the window 0, 0, 40, 30 is the whole image and holds 3 people, not {whole:.3f}. "
        "Rows come first in a tensor: F[y, x]. And is it a sum, not a mean?",
    )
    window = float(answer(F, 12, 4, 20, 18))
    expected = float(F[4:18, 12:20].sum())
    inclusive = float(F[4:19, 12:21].sum())
    require(abs(window - inclusive) > 1e-6, "x1 and y1 are the first column and row that do not belong to the window.")
    require(abs(window - expected) < 1e-5, f"the window 12, 4, 20, 18 holds {expected:.3f} people, not {window:.3f}.")


@exercise(
    "1.2",
    "One head near the border",
    difficulty=2,
    minutes=8,
    praise="every head weighs 1, wherever it stands: that is why the sum is the count.",
)
def head_kernel(answer: Callable[..., Tensor]) -> None:
    def kernel(x: float, y: float, sigma: float) -> np.ndarray:
        made = np.asarray(answer(x, y, SIZE, sigma), dtype=float)
        require(made.shape == SIZE, f"the kernel should have the size of the image, {SIZE}, not {made.shape}.")
        return made

    middle = kernel(20, 15, 2.0)
    row, column = np.unravel_index(middle.argmax(), SIZE)
    require((row, column) != (14, 19), "a pixel off: here the middle of pixel 20 is at 20, not at 20.5.")
    require((row, column) == (15, 20), f"the peak belongs at row 15, column 20, not at {row}, {column}: x is a column.")
    require(abs(middle.max() - 1) > 1e-6, "its peak is 1, but its *sum* should be: divide by the sum, not the maximum.")
    require(abs(middle.sum() - 1) < 1e-3, f"in the middle the kernel should sum to 1, not {middle.sum():.3f}.")
    ratio = middle[15, 22] / middle[15, 20]
    require(
        abs(ratio - np.exp(-0.5)) < 1e-6,
        f"one σ from the head the Gaussian is exp(-1/2) = 0.607 of its peak; yours is {ratio:.3f}. "
        "Is it the squared distance over 2σ²?",
    )
    corner = kernel(0, 0, 2.0).sum()
    require(
        abs(corner - 1) < 1e-6,
        f"a head in the corner weighs {corner:.3f}: the border cuts its kernel. Normalise what is left, by dividing by "
        "its own sum, instead of by 2πσ².",
    )


@exercise(
    "1.3",
    "Shrink a map without losing anyone",
    difficulty=2,
    minutes=5,
    praise="interpolation averages, so the sum falls with the area; we draw maps after resizing and never meet this.",
)
def resize_map(answer: Callable[..., Tensor]) -> None:
    F = density_map(POINTS, SIZE)
    half, quarter = answer(F, (15, 20)), answer(F, (15, 10))
    require(isinstance(half, Tensor) and half.shape == (15, 20), "give a tensor (height, width) of the new size.")
    total = float(half.sum())
    require(
        abs(total - 0.75) > 0.1,
        "a quarter of the people are left: interpolation keeps the density at each pixel, and there are 4 times fewer.",
    )
    require(
        abs(total - 1.5) > 0.1 and (abs(float(quarter.sum()) - 1.5) > 0.2 or abs(total - 3) > 0.1),
        "the factor is that of the *area*, height times width, and not that of one side.",
    )
    require(
        abs(total - 3) < 0.1 and abs(float(quarter.sum()) - 3) < 0.1,
        f"3 people should be left, not {total:.2f} and {float(quarter.sum()):.2f}.",
    )
    require(float((half - torch.full_like(half, 3 / 300)).abs().max()) > 1e-3, "people should stay where they were.")
