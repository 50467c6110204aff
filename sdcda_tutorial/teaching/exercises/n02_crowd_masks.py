"""Exercises of notebook 02: rectangles, and what a rough mask may and may not miss."""

from __future__ import annotations

from typing import Any

import numpy as np

from sdcda_tutorial.teaching.exercises import Answer, exercise, expect, require, same

SIZE = (6, 8)  # height, width: unequal, so that a swapped x and y shows


def _block(window: Any, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A mask that is 1 in `window`, np.s_[rows, columns]."""
    mask = np.zeros(size, dtype=np.uint8)
    mask[window] = 1
    return mask


@exercise("2.1", "Boxes to a mask", difficulty=2, minutes=8)
def boxes_to_mask(answer: Answer) -> None:
    """a union of rectangles, and every pixel that a box touches belongs to it."""

    def mask_of(*boxes: list[float]) -> np.ndarray:
        made = np.asarray(answer(np.array(boxes, dtype=float), SIZE)).astype(int)
        require(made.shape == SIZE, f"the mask should have the size of the image, {SIZE}, not {made.shape}.")
        return made

    mistakes = {
        "your rectangle lies on its side: an array is indexed [row, column], that is [y, x].": _block(np.s_[2:5, 1:3]),
        "your rectangle is one row and one column too large: it ends at x1 and y1.": _block(np.s_[1:4, 2:6]),
    }
    closing = "the box 2, 1, 5, 3 covers columns 2-4, rows 1-2."
    expect(mask_of([2, 1, 5, 3]), _block(np.s_[1:3, 2:5]), closing, mistakes)
    two = mask_of([1, 1, 4, 4], [2, 2, 6, 5])
    require(two.max() <= 1, "where two boxes overlap the mask is still 1: set the pixels, do not add to them.")
    union = _block(np.s_[1:4, 1:4]) | _block(np.s_[2:5, 2:6])
    expect(two, union, "with two boxes the mask should show both: all pixels that lie in either of them.")
    closing = "the box 1.5, 2.5, 3.2, 3.5 touches columns 1-3, rows 2-3: round the near edges down, the far edges up."
    expect(mask_of([1.5, 2.5, 3.2, 3.5]), _block(np.s_[2:4, 1:4]), closing)
    closing = "a box may extend beyond the image. Clip it at 0: in Python a negative index counts from the other end."
    expect(mask_of([-3, 2, 2, 9]), _block(np.s_[2:6, 0:2]), closing)


@exercise("2.2", "Heads inside a mask", difficulty=1, minutes=4)
def heads_inside(answer: Answer) -> None:
    """the one figure that says whether a mask does harm: heads outside it are taught as background."""
    mask = _block(np.s_[2:5, 6:9], (12, 14))
    heads = np.array([[6.2, 2.3], [8.7, 4.8], [8.6, 3.2], [3.1, 7.4], [10.5, 10.5], [5.8, 3.0]])
    mistakes = {
        "3 heads are inside, but return their *share*: divide by the number of heads.": 3,
        "you find 1 head of 6, as if with x and y swapped: an array is indexed [row, column].": 1 / 6,
        "you find 2 heads of 6. Is something rounded? x = 8.7 lies in column 8, which covers 8 to 9.": 2 / 6,
    }
    share = float(answer(mask, heads))
    expect(share, 0.5, "3 of the 6 heads lie inside, a share of 0.5, not {found:.3f}.", mistakes)
    everywhere = float(answer(np.ones_like(mask), heads))
    expect(everywhere, 1, "in a mask that is crowd everywhere the share is 1, not {found:.3f}.")


@exercise("2.3", "Grow a mask", difficulty=2, minutes=8)
def grow(answer: Answer) -> None:
    """dilation is the maximum over a window of 2d + 1 pixels a side."""
    size = (9, 11)

    def grown(mask: np.ndarray, d: int) -> np.ndarray:
        return np.asarray(answer(mask, d)).astype(int)

    seed = _block(np.s_[4:5, 5:6], size)
    given = seed.copy()
    made = grown(given, 2)
    require(made.shape == size, f"the size stays {size}; yours is {made.shape}. Was a margin left on?")
    require(same(given, seed), "your function changed the mask it was given. Work on a copy.")
    rows, columns = np.nonzero(made)
    require(len(rows) > 0, "one crowd pixel went in and none came back.")
    top, bottom, left, right = int(rows.min()), int(rows.max()), int(columns.min()), int(columns.max())
    filled = f"d = 2 should fill rows 2-6, columns 3-7; yours fills rows {top}-{bottom}, columns {left}-{right}. "
    inside = top >= 2 and bottom <= 6 and left >= 3 and right <= 7
    require(inside, filled + "Does a pixel look at what has grown already, instead of at the given mask?")
    require((top, bottom, left, right) == (2, 6, 3, 7), filled + "The window is 2d + 1 wide: d pixels to *each* side.")
    require(made.sum() == 25, "the corners are missing: shift rows and columns together.")
    corner = grown(_block(np.s_[0, 0], size), 1)
    wrapped = corner[-1].sum() + corner[:, -1].sum() > 0
    require(not wrapped, "a corner pixel grew into the opposite border: np.roll wraps around. Add a margin of zeros.")
    require(corner.sum() == 4, "a pixel in the corner, grown by 1, fills 4 pixels of the image.")
    two = grown(_block(np.s_[4, 5:7], size), 1)
    require(two.max() <= 1, "a mask holds only 0 and 1: take the maximum of the shifted masks, not their sum.")
    require(two.sum() == 12, f"two adjacent pixels, grown by 1, fill 3 rows and 4 columns, not {two.sum()} pixels.")
    require(same(grown(seed, 0), seed), "with d = 0 the mask should stay as it is.")


@exercise("2.4", "A threshold without target labels", difficulty=3, minutes=10)
def choose_threshold(answer: Answer) -> None:
    """labels of another domain chose the threshold, and no label of the target was read."""
    probability = np.zeros((4, 5))
    probability[0, :4] = 0.9, 0.7, 0.6, 0.4
    heads = np.array([[0.5, 0.5], [1.5, 0.5], [2.5, 0.5], [3.5, 0.5]])
    first = float(answer([probability], [heads], (0.65, 0.5, 0.8, 0.3), 0.5))
    mistakes = {
        "0.3 keeps all four heads, but so does 0, which leaves no background to learn from. Take the *largest* "
        "threshold that keeps enough heads, whatever the order of the candidates.": 0.3,
        "0.65 keeps 2 of 4 heads, the half that was asked for: *at least* means ≥.": 0.5,
        "0.8 keeps 1 head of 4, fewer than wanted.": 0.8,
    }
    expect(first, 0.65, "the answer for four heads at 0.9, 0.7, 0.6 and 0.4 is 0.65, not {found}.", mistakes)
    images = [np.full((4, 5), 0.8), np.full((4, 5), 0.3)]
    heads_of = [np.array([[x + 0.5, y + 0.5] for x in range(4) for y in range(2)]), np.array([[1.5, 1.5], [3.5, 2.5]])]
    second = float(answer(images, heads_of, (0.2, 0.5, 0.9), 0.75))
    mistakes = {"0.5 keeps 8 of 10 heads. You average over images, but every head should count the same.": 0.2}
    expect(second, 0.5, "to keep three quarters of 8 heads at 0.8 and 2 at 0.3, take 0.5, not {found}.", mistakes)
