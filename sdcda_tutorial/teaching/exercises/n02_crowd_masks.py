"""Exercises of notebook 02: rectangles, and what a rough mask may and may not miss."""

from __future__ import annotations

from typing import Any

import numpy as np

from sdcda_tutorial.teaching.exercises import Answer, exercise, expect, number, pair, require, same

SIZE = (6, 8)  # height, width: unequal, so that a swapped x and y shows


def _block(window: Any, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A mask that is 1 in `window`, np.s_[rows, columns]."""
    mask = np.zeros(size, dtype=np.uint8)
    mask[window] = 1
    return mask


@exercise("2.1", "Boxes to a mask", difficulty=2, minutes=10, replaces="masks.from_boxes")
def from_boxes(answer: Answer) -> None:
    """a union of rectangles, and every pixel that a box touches belongs to it."""

    def mask_of(*boxes: list[float]) -> np.ndarray:
        given = np.array(boxes, dtype=float)
        returned = answer(given, SIZE)
        require(isinstance(returned, np.ndarray), f"return a NumPy array, not {type(returned).__name__}.")
        require(np.array_equal(given, boxes), "your function changed the boxes it was given. Work on a copy.")
        made = returned.astype(int)
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
    closing = "the box 6.2, 1, 12, 3 covers columns 6 and 7, rows 1-2: columns end at the width, rows at the height."
    expect(mask_of([6.2, 1, 12, 3]), _block(np.s_[1:3, 6:8]), closing)
    closing = "a box that lies beyond the left or the upper border covers nothing. Is its *far* edge clipped at 0, too?"
    expect(mask_of([-5, 1, -2, 4], [1, -6, 4, -3]), _block(np.s_[0:0, 0:0]), closing)
    closing = "a box that lies beyond the right or the lower border covers nothing."
    expect(mask_of([9, 1, 12, 3], [1, 7, 4, 9]), _block(np.s_[0:0, 0:0]), closing)
    closing = "a box without an area, such as 4.5, 1, 4.5, 3 or 5, 1, 2, 3, covers nothing."
    expect(mask_of([4.5, 1, 4.5, 3], [5, 1, 2, 3], [2, 3, 4, 1]), _block(np.s_[0:0, 0:0]), closing)
    none = np.asarray(answer(np.zeros((0, 4)), SIZE))
    require(same(none, np.zeros(SIZE)), "an image without boxes, an array of shape (0, 4), has a mask of zeros.")
    kind = np.asarray(answer(np.array([[2.0, 1.0, 5.0, 3.0]]), SIZE)).dtype
    require(kind == np.uint8, f"the values are right. Make the mask np.uint8, as the package's are; yours is {kind}.")


@exercise("2.2", "What a mask costs", difficulty=1, minutes=5, optional=True)
def mask_cost(answer: Answer) -> None:
    """a lost head is taught as background; the share of background is what is taught."""
    mask = _block(np.s_[2:5, 6:9], (12, 14))
    heads = np.array([[6.2, 2.3], [8.7, 4.8], [3.1, 9.4], [10.5, 10.5], [5.2, 3.0], [11.4, 1.1]])
    lost, taught = pair(answer(mask, heads), "share of heads lost, share of background")
    mistakes = {
        "4 heads lie outside, but return their *share*: divide by the number of heads.": 4,
        "2 of the 6 heads lie inside. Heads *lost* are the others.": 2 / 6,
        "you lose all 6 heads, as if with x and y swapped: an array is indexed [row, column].": 1,
        "you lose 5 heads of 6. Is something rounded? x = 8.7 lies in column 8, which covers 8 to 9.": 5 / 6,
    }
    expect(lost, 4 / 6, "4 of the 6 heads lie outside, a share of 0.667, not {found:.3f}.", mistakes)
    background = 1 - 9 / (12 * 14)
    mistakes = {
        "the second number is the share of crowd. What teaches is the *background*.": 1 - background,
        "the second number counts pixels: divide by all pixels of the mask.": 12 * 14 - 9,
    }
    expect(taught, background, "159 of 168 pixels are background, a share of {right:.3f}, not {found:.3f}.", mistakes)
    everywhere = answer(np.ones_like(mask), heads)
    expect(everywhere, (0, 0), "where all is crowd no head is lost and nothing is taught: (0, 0), not {found}.")


@exercise("2.3", "A threshold without target labels", difficulty=3, minutes=10, optional=True)
def choose_threshold(answer: Answer) -> None:
    """labels of another domain choose the threshold, and no label of the target is read."""
    probability = np.zeros((4, 5))
    probability[0, :4] = 0.9, 0.7, 0.6, 0.4
    heads = np.array([[0.5, 0.5], [1.5, 0.5], [2.5, 0.5], [3.5, 0.5]])
    first = number(answer([probability], [heads], (0.65, 0.5, 0.8, 0.3), 0.5))
    mistakes = {
        "0.3 keeps all four heads, but so does 0, which leaves no background to learn from. Take the *largest* "
        "threshold that keeps enough heads, whatever the order of the candidates.": 0.3,
        "0.65 keeps 2 of 4 heads, the half that was asked for: *at least* means ≥, and a head at x = 1.5 lies in "
        "column 1.": 0.5,
        "0.8 keeps 1 head of 4, fewer than wanted.": 0.8,
    }
    expect(first, 0.65, "the answer for four heads at 0.9, 0.7, 0.6 and 0.4 is 0.65, not {found}.", mistakes)
    images = [np.full((4, 5), 0.8), np.full((4, 5), 0.3)]
    heads_of = [np.array([[x + 0.5, y + 0.5] for x in range(4) for y in range(2)]), np.array([[1.5, 1.5], [3.5, 2.5]])]
    second = number(answer(images, heads_of, (0.2, 0.5, 0.9), 0.75))
    mistakes = {"0.5 keeps 8 of 10 heads. You average over images, but every head should count the same.": 0.2}
    closing = (
        "a head with exactly the threshold's probability is not above it: for one head at 0.5 it is 0.2, not {found}."
    )
    expect(number(answer([np.full((1, 1), 0.5)], [np.array([[0.5, 0.5]])], (0.5, 0.2), 1)), 0.2, closing)
    expect(second, 0.5, "to keep three quarters of 8 heads at 0.8 and 2 at 0.3, take 0.5, not {found}.", mistakes)
