"""Exercises of notebook 05: averages over a grid, a cross-entropy, and where the weights of S are."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from sdcda_tutorial.networks import SemanticExtractor
from sdcda_tutorial.teaching.exercises import Answer, Mistakes, exercise, expect, number, require

# 5 × 7 does not divide by 3, so cells overlap; 6 × 6 does; no two rows or columns alike.
ODD = np.array([[(7 * row + column) ** 1.5 for column in range(7)] for row in range(5)])
EVEN = np.arange(36.0).reshape(6, 6) ** 1.2


def _cells(rows: list[int], columns: list[int]) -> np.ndarray:
    """Means of `ODD` over cells that end at these rows and columns, without overlap."""
    strips = np.split(ODD, rows)[:-1]
    return np.array([[cell.mean() for cell in np.split(strip, columns, axis=1)[:-1]] for strip in strips])


@exercise("5.1", "Averages over a grid", difficulty=2, minutes=10)
def adaptive_pool(answer: Answer) -> None:
    """each cell is a mean of what lies in it; where the sides do not divide, neighbours share rows or columns."""

    def pooled(array: np.ndarray, grid: int) -> np.ndarray:
        made = np.asarray(answer(array.copy(), grid), dtype=float)
        require(made.shape == (grid, grid), f"a grid of {grid} has the shape ({grid}, {grid}), not {made.shape}.")
        return made

    def right(array: np.ndarray, grid: int) -> np.ndarray:
        return F.adaptive_avg_pool2d(torch.from_numpy(array)[None], grid)[0].numpy()

    mistakes: Mistakes = {
        "one cell holds the whole array: give its *mean*, not its sum.": EVEN.sum(),
        "this is the maximum. Average pooling takes the mean.": EVEN.max(),
    }
    expect(pooled(EVEN, 1)[0, 0], EVEN.mean(), "a grid of 1 is the mean of the array, not {found:.2f}.", mistakes)
    mistakes = {"rows and columns are swapped: cell [0, 1] is the upper *right* one.": right(EVEN, 2).T}
    expect(pooled(EVEN, 2), right(EVEN, 2), "a grid of 2 cuts a 6 × 6 array into four quarters of 3 × 3.", mistakes)
    mistakes = {
        "where the sides do not divide, your cells leave rows and columns out: row 4 of 5 is in no cell. "
        "Cell i begins at floor(i · n / grid), not at i times a fixed width.": _cells([1, 2, 3], [2, 4, 6]),
        "the end of a cell is rounded *up*: cell i ends before ceil((i + 1) · n / grid), so neighbours can "
        "share rows and columns.": _cells([1, 3, 5], [2, 4, 7]),
    }
    expect(
        pooled(ODD, 3), right(ODD, 3), "for 5 × 7 into 3 × 3, which does not divide, a cell is not right yet.", mistakes
    )


# 5.2: ẑ = 0.9, 0.2, 0.5 | 0.75, 0.2, 0.1
PROB = np.array([[0.9, 0.2, 0.5], [0.75, 0.2, 0.1]])
LOGITS = np.log(PROB / (1 - PROB))
Z = np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])


@exercise("5.2", "Eq. 7 in NumPy", difficulty=2, minutes=8)
def source_loss(answer: Answer) -> None:
    """minus the logarithm of the probability that S gives to the truth, averaged over all pixels."""
    with np.errstate(all="ignore"):  # without the sigmoid, logarithms of negative numbers are taken
        found, raw = number(answer(LOGITS.copy(), Z.copy())), -np.where(Z == 1, np.log(LOGITS), np.log(1 - LOGITS))
    crowd, background = -Z * np.log(PROB), -(1 - Z) * np.log(1 - PROB)
    exchanged = -Z * np.log(1 - PROB) - (1 - Z) * np.log(PROB)
    total, right = (crowd + background).sum(), (crowd + background).mean()
    mistakes = {
        "the logarithm was given a number that is no probability. S gives logits: first apply the sigmoid, "
        "1 / (1 + exp(-x)).": [np.nan, np.nanmean(raw), np.nansum(raw)],
        "check the sign: logarithms of probabilities are negative, and Eq. 7 begins with a minus.": -right,
        "this is the sum over the pixels: take the mean.": [total, -total],
        "the background is missing: where z = 0 the term (1 - z) log(1 - ẑ) counts.": crowd.mean(),
        "the crowd is missing: where z = 1 the term z log ẑ counts.": background.mean(),
        "z and 1 - z are exchanged: on the crowd (z = 1) the loss is -log ẑ.": exchanged.mean(),
        "this is the mean squared distance of ẑ and z; Eq. 7 is a cross-entropy.": ((PROB - Z) ** 2).mean(),
        "log is the natural logarithm.": [right / np.log(10), right / np.log(2)],
    }
    expect(found, right, "for the checker's six pixels Eq. 7 gives {right:.4f}, not {found:.4f}.", mistakes)
    larger = number(answer(np.tile(LOGITS, (2, 3)), np.tile(Z, (2, 3))))
    expect(larger, right, "on a larger image of the same pixels the mean stays the same; is a size fixed in your code?")


@exercise("5.3", "Where the weights of S are", difficulty=3, minutes=12)
def count_weights(answer: Answer) -> None:
    """most weights are in the 3×3 convolution that fuses; the four levels themselves are cheap."""

    def weights(channels: int, bins: tuple[int, ...]) -> int:
        return sum(p.numel() for p in SemanticExtractor(channels, 8, bins).parameters())

    # 4 levels of 32 channels have 128 together, like f; 64 are left after the fusion.
    n, part, fused, right = 128, 32, 64, weights(128, (1, 2, 3, 6))
    biased, wide = [right + n, right + n + fused, right + fused], [right + 3 * n * n, right + 8 * n * n]
    norms, per_cell, fuse = 2 * (n + fused), right + n * part * (1 + 4 + 9 + 36 - 4), (n + n) * fused * 9
    mistakes = {
        "the batch norms are missing: each learns a scale and a shift for every channel.": right - norms,
        "a batch norm learns two numbers per channel, a scale and a shift; you counted one.": right - norms // 2,
        "the running mean and variance of a batch norm are measured, not learnt: count two, not four.": right + norms,
        "the convolutions before a batch norm have no bias (bias=False): its shift would do the same.": biased,
        "the last 1×1 convolution has a bias: no batch norm follows it.": right - 1,
        "f itself is concatenated with the levels: the 3×3 convolution reads both.": right - n * fused * 9,
        "the fusing convolution is 3×3: each pair of channels has nine weights.": right - fuse + fuse // 9,
        "the projections of the levels are 1×1 convolutions: one weight for each pair of channels.": wide,
        "the projection is the same in every cell: its weights do not depend on the size of the grid.": per_cell,
    }
    closing = "for 128 channels and bins 1, 2, 3, 6 S has {right} weights; you get {found}."
    expect(int(answer(128, (1, 2, 3, 6))), right, closing, mistakes)
    for channels, bins in [(512, (1, 2, 3, 6)), (64, (1, 4))]:
        right = weights(channels, bins)
        closing = f"right for 128; for {channels} and bins {bins} it is {right}: a level has channels / number of bins."
        expect(int(answer(channels, bins)), right, closing)
