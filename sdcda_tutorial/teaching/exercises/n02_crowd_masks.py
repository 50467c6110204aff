"""Exercises of notebook 02: rectangles, and what a rough mask may and may not miss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sdcda_tutorial.teaching.exercises import exercise, require

SIZE = (6, 8)  # height, width: unequal, so that a swapped x and y shows


def _block(rows: slice, columns: slice, size: tuple[int, int] = SIZE) -> np.ndarray:
    mask = np.zeros(size, dtype=int)
    mask[rows, columns] = 1
    return mask


@exercise(
    "2.1",
    "Boxes to a mask",
    difficulty=2,
    minutes=8,
    praise="a union of rectangles, and every pixel that a box touches belongs to it.",
)
def boxes_to_mask(answer: Callable[..., Any]) -> None:
    def mask_of(*boxes: list[float]) -> np.ndarray:
        made = np.asarray(answer(np.array(boxes, dtype=float), SIZE)).astype(int)
        require(made.shape == SIZE, f"the mask should have the size of the image, {SIZE}, not {made.shape}.")
        return made

    one = mask_of([2, 1, 5, 3])
    require(
        not np.array_equal(one, _block(slice(2, 5), slice(1, 3))),
        "x is a column and y a row, and an array is indexed [row, column]: your rectangle lies on its side.",
    )
    require(
        not np.array_equal(one, _block(slice(1, 4), slice(2, 6))),
        "your rectangle is one row and one column too large: x1 and y1 are edges, and the box ends there.",
    )
    require(np.array_equal(one, _block(slice(1, 3), slice(2, 5))), "the box 2, 1, 5, 3 covers columns 2-4, rows 1-2.")
    two = mask_of([1, 1, 4, 4], [2, 2, 6, 5])
    require(two.max() <= 1, "where two boxes overlap the mask is still 1: set the pixels, do not add to them.")
    union = _block(slice(1, 4), slice(1, 4)) | _block(slice(2, 5), slice(2, 6))
    require(np.array_equal(two, union), "of two boxes the mask should show both: all pixels that lie in either.")
    part = mask_of([1.5, 2.5, 3.2, 3.5])
    require(
        np.array_equal(part, _block(slice(2, 4), slice(1, 4))),
        "the box 1.5, 2.5, 3.2, 3.5 touches columns 1-3 and rows 2-3. A pixel that is touched counts: round the near "
        "edges down and the far edges up.",
    )
    cut = mask_of([-3, 2, 2, 9])
    require(
        np.array_equal(cut, _block(slice(2, 6), slice(0, 2))),
        "a box may reach over the border of the image. In Python a negative index counts from the other end: cut the "
        "box at 0 first.",
    )


@exercise(
    "2.2",
    "Heads inside a mask",
    difficulty=1,
    minutes=4,
    praise="the one figure that says whether a mask does harm: heads outside it are taught as background.",
)
def heads_inside(answer: Callable[..., float]) -> None:
    mask = _block(slice(2, 5), slice(6, 9), (12, 14)).astype(np.uint8)
    heads = np.array([[6.2, 2.3], [8.7, 4.8], [8.6, 3.2], [3.1, 7.4], [10.5, 10.5], [5.8, 3.0]])
    share = float(answer(mask, heads))
    require(abs(share - 3) > 1e-6, "3 heads are inside, but the *share* is asked for: divide by the number of heads.")
    require(
        abs(share - 1 / 6) > 1e-6,
        "you find 1 head of 6, which is what comes out with x and y swapped: an array is indexed [row, column].",
    )
    require(
        abs(share - 2 / 6) > 1e-6,
        "you find 2 heads of 6: is something rounded? The head x = 8.7 lies in column 8, which covers 8 to 9.",
    )
    require(abs(share - 0.5) < 1e-6, f"3 of the 6 heads lie inside, a share of 0.5, not {share:.3f}.")
    everywhere = float(answer(np.ones((12, 14), dtype=np.uint8), heads))
    require(abs(everywhere - 1) < 1e-6, f"in a mask that is crowd everywhere the share is 1, not {everywhere:.3f}.")


@exercise(
    "2.3",
    "Grow a mask",
    difficulty=2,
    minutes=8,
    praise="dilation is the maximum over a window of 2d + 1 pixels a side.",
)
def grow(answer: Callable[..., Any]) -> None:
    size = (9, 11)
    seed = _block(slice(4, 5), slice(5, 6), size).astype(np.uint8)
    given = seed.copy()
    made = np.asarray(answer(given, 2)).astype(int)
    require(made.shape == size, f"the size stays {size}; yours is {made.shape}. Was a margin left on?")
    require(np.array_equal(given, seed), "your function changed the mask that it was given: work on a copy.")
    rows, columns = np.nonzero(made)
    require(len(rows) > 0, "one crowd pixel was given and none came back.")
    extent = (int(rows.min()), int(rows.max()), int(columns.min()), int(columns.max()))
    require(
        extent[0] >= 2 and extent[1] <= 6 and extent[2] >= 3 and extent[3] <= 7,
        f"d = 2 should reach from row 2 to 6 and from column 3 to 7; yours fills rows {extent[0]}-{extent[1]}, columns "
        f"{extent[2]}-{extent[3]}. Does a pixel look at what has grown already, instead of at the given mask?",
    )
    require(
        extent == (2, 6, 3, 7),
        f"d = 2 should reach 2 pixels to *either* side, rows 2-6 and columns 3-7; yours fills rows {extent[0]}-"
        f"{extent[1]}, columns {extent[2]}-{extent[3]}. The window is 2d + 1 wide.",
    )
    require(
        made.sum() == 25,
        "the corners are missing: a rectangle should grow into a larger rectangle, so shift rows and columns together.",
    )
    corner = np.asarray(answer(_block(slice(0, 1), slice(0, 1), size).astype(np.uint8), 1)).astype(int)
    require(
        corner[-1].sum() + corner[:, -1].sum() == 0,
        "a pixel in the upper left corner grew into the opposite border: np.roll goes round the image. Add a margin of "
        "zeros first.",
    )
    require(corner.sum() == 4, "a pixel in the corner, grown by 1, fills 4 pixels of the image.")
    pair = np.asarray(answer(_block(slice(4, 5), slice(5, 7), size).astype(np.uint8), 1)).astype(int)
    require(pair.max() <= 1, "a mask holds 0 and 1 only: take the maximum of the shifted masks, not their sum.")
    require(
        pair.sum() == 12,
        f"two pixels side by side, grown by 1, are a block of 3 rows and 4 columns, not {pair.sum()} pixels.",
    )
    still = np.asarray(answer(seed, 0)).astype(int)
    require(np.array_equal(still, seed), "with d = 0 the mask should stay as it is.")


@exercise(
    "2.4",
    "A threshold without target labels",
    difficulty=3,
    minutes=10,
    praise="labels of another domain chose the threshold, and no label of the target was read.",
)
def choose_threshold(answer: Callable[..., float]) -> None:
    probability = np.zeros((4, 5))
    probability[0, :4] = 0.9, 0.7, 0.6, 0.4
    heads = np.array([[0.5, 0.5], [1.5, 0.5], [2.5, 0.5], [3.5, 0.5]])
    first = float(answer([probability], [heads], (0.65, 0.5, 0.8, 0.3), 0.5))
    require(
        first != 0.3,
        "0.3 keeps all four heads, but so does 0, and then everything is crowd and nothing is left to learn from: take "
        "the *largest* threshold that keeps enough heads, whatever the order of the candidates.",
    )
    require(first != 0.5, "0.65 keeps 2 of 4 heads, and a half was wanted: *at least* as many means ≥.")
    require(first != 0.8, "0.8 keeps 1 head of 4, fewer than wanted.")
    require(first == 0.65, f"the answer for four heads at 0.9, 0.7, 0.6 and 0.4 is 0.65, not {first}.")
    crowded, empty = np.full((4, 5), 0.8), np.full((4, 5), 0.3)
    many, few = np.array([[x + 0.5, y + 0.5] for x in range(4) for y in range(2)]), np.array([[1.5, 1.5], [3.5, 2.5]])
    second = float(answer([crowded, empty], [many, few], (0.2, 0.5, 0.9), 0.75))
    require(
        second != 0.2,
        "of 10 heads in two images 0.5 keeps 8, which is enough. Yours looks like a mean of the images' shares (8 of 8 "
        "and 0 of 2): every head should count the same.",
    )
    require(second == 0.5, f"of 10 heads, 8 at 0.8 and 2 at 0.3, three quarters should be kept: 0.5, not {second}.")
