"""Exercises of notebook 05: averages over a grid, a cross-entropy, and where the weights of S are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F

from sdcda_tutorial.networks import SemanticExtractor
from sdcda_tutorial.teaching.exercises import exercise, require

# 5 × 7 does not divide by 3, so cells overlap; 6 × 6 does; no two rows or columns alike.
ODD = np.array([[(7 * row + column) ** 1.5 for column in range(7)] for row in range(5)])
EVEN = np.arange(36.0).reshape(6, 6) ** 1.2


@exercise(
    "5.1",
    "Averages over a grid",
    difficulty=2,
    minutes=10,
    praise="each cell is a mean of what lies in it; where the sides do not divide, neighbours share rows or columns.",
)
def adaptive_pool(answer: Callable[[np.ndarray, int], np.ndarray]) -> None:
    def pooled(array: np.ndarray, grid: int) -> np.ndarray:
        made = np.asarray(answer(array.copy(), grid), dtype=float)
        require(made.shape == (grid, grid), f"a grid of {grid} has the shape ({grid}, {grid}), not {made.shape}.")
        return made

    def truth(array: np.ndarray, grid: int) -> np.ndarray:
        return F.adaptive_avg_pool2d(torch.from_numpy(array)[None], grid)[0].numpy()

    whole = float(pooled(EVEN, 1)[0, 0])
    require(abs(whole - EVEN.sum()) > 1e-6, "one cell holds the whole array, and its *mean*, not its sum.")
    require(abs(whole - EVEN.max()) > 1e-6, "this is the maximum. Average pooling takes the mean.")
    require(
        abs(whole - EVEN.mean()) < 1e-6, f"the grid 1 is the mean of the array, {EVEN.mean():.2f}, not {whole:.2f}."
    )
    halves = pooled(EVEN, 2)
    require(
        not np.allclose(halves, truth(EVEN, 2).T),
        "rows and columns are exchanged: cell [0, 1] is the upper *right* one.",
    )
    require(np.allclose(halves, truth(EVEN, 2)), "the grid 2 cuts a 6 × 6 array into four quarters of 3 × 3.")
    odd = pooled(ODD, 3)
    # Windows as one would cut them without overlap: what is left over is dropped, or goes to the last cell.
    low = [i * 5 // 3 for i in range(4)], [i * 7 // 3 for i in range(4)]
    no_overlap = np.array(
        [[ODD[low[0][i] : low[0][i + 1], low[1][j] : low[1][j + 1]].mean() for j in range(3)] for i in range(3)]
    )
    dropped = np.array([[ODD[i : i + 1, 2 * j : 2 * j + 2].mean() for j in range(3)] for i in range(3)])
    require(
        not np.allclose(odd, dropped),
        "where the sides do not divide, your cells leave rows and columns out: row 4 of 5 is in no cell. "
        "Cell i begins at floor(i · n / grid), not at i times a fixed width.",
    )
    require(
        not np.allclose(odd, no_overlap),
        "the end of a cell is rounded *up*: cell i ends before ceil((i + 1) · n / grid), so neighbours can share.",
    )
    require(
        np.allclose(odd, truth(ODD, 3)), "where the sides do not divide (5 × 7 into 3 × 3) a cell is not right yet."
    )


# 5.2: ẑ = 0.9, 0.2, 0.5 | 0.75, 0.2, 0.1
PROB = np.array([[0.9, 0.2, 0.5], [0.75, 0.2, 0.1]])
LOGITS = np.log(PROB / (1 - PROB))
Z = np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])


@exercise(
    "5.2",
    "Eq. 7 in NumPy",
    difficulty=2,
    minutes=8,
    praise="minus the logarithm of the probability that S gives to the truth, averaged over all pixels.",
)
def source_loss(answer: Callable[[np.ndarray, np.ndarray], float]) -> None:
    with np.errstate(all="ignore"):  # a forgotten sigmoid takes logarithms of negative numbers
        given = np.asarray(answer(LOGITS.copy(), Z.copy()), dtype=float)
        raw = -np.where(Z == 1, np.log(LOGITS), np.log(1 - LOGITS))
    require(given.size == 1, "give one number: the mean over the pixels.")
    loss = float(given.ravel()[0])
    pixels = -(Z * np.log(PROB) + (1 - Z) * np.log(1 - PROB))

    def is_(number: float) -> bool:
        return bool(np.isclose(loss, number, rtol=1e-4))

    require(
        not np.isnan(loss) and not any(is_(float(reduce(raw))) for reduce in (np.nanmean, np.nansum)),
        "the logarithm met a number that is no probability. S gives logits: put them through the sigmoid, "
        "1 / (1 + exp(-x)), first.",
    )
    require(
        not is_(-pixels.mean()), "the sign: logarithms of probabilities are negative, and Eq. 7 begins with a minus."
    )
    require(not is_(pixels.sum()) and not is_(-pixels.sum()), "this is the sum over the pixels: take the mean.")
    require(
        not is_((-Z * np.log(PROB)).mean()),
        "the background is missing: there z = 0 and the term (1 - z) log(1 - ẑ) speaks.",
    )
    require(
        not is_((-(1 - Z) * np.log(1 - PROB)).mean()), "the crowd is missing: there z = 1 and the term z log ẑ speaks."
    )
    require(
        not is_(-(Z * np.log(1 - PROB) + (1 - Z) * np.log(PROB)).mean()),
        "z and 1 - z are exchanged: on the crowd (z = 1) the loss is -log ẑ.",
    )
    require(
        not is_(((PROB - Z) ** 2).mean()), "this is the mean squared distance of ẑ and z; Eq. 7 is a cross-entropy."
    )
    require(not is_(pixels.mean() / np.log(10)) and not is_(pixels.mean() / np.log(2)), "log is the natural logarithm.")
    require(is_(pixels.mean()), f"for the checker's six pixels Eq. 7 gives {pixels.mean():.4f}, not {loss:.4f}.")
    larger = answer(np.tile(LOGITS, (2, 3)), np.tile(Z, (2, 3)))
    require(
        np.isclose(larger, pixels.mean()), "on a larger image of the same pixels the mean stays; is a size fixed in it?"
    )


@exercise(
    "5.3",
    "Where the weights of S are",
    difficulty=3,
    minutes=12,
    praise="most weights are in the 3×3 convolution that fuses; the four levels themselves are cheap.",
)
def count_weights(answer: Callable[[int, tuple[int, ...]], int]) -> None:
    channels = 128
    bins: tuple[int, ...] = (1, 2, 3, 6)
    S = SemanticExtractor(channels, 8, bins)
    true = sum(p.numel() for p in S.parameters())
    given = int(answer(channels, bins))
    part, fused, levels = channels // len(bins), channels // 2, len(bins)
    norms = 2 * part * levels + 2 * fused
    fuse = (channels + part * levels) * fused * 9
    require(
        given != true - norms,
        "the batch norms are missing: each learns a scale and a shift for every channel that it normalises.",
    )
    require(
        given != true - norms // 2, "a batch norm learns two numbers a channel, a scale and a shift; you counted one."
    )
    require(
        given != true + norms,
        "the running mean and variance of a batch norm are measured, not learnt: two numbers a channel, not four.",
    )
    require(
        given not in (true + part * levels, true + part * levels + fused, true + fused),
        "the convolutions before a batch norm have no bias (bias=False): its shift would do the same.",
    )
    require(given != true - 1, "the last 1×1 convolution has a bias: it is followed by no batch norm.")
    require(
        given != true - channels * fused * 9,
        "f itself is concatenated with the levels: the 3×3 convolution reads channels + the levels' channels.",
    )
    require(
        given != true - fuse + fuse // 9,
        "the fusing convolution is 3×3: each pair of an input and an output channel has nine weights.",
    )
    require(
        given != true + 3 * part * channels * levels and given != true + 8 * part * channels * levels,
        "the projections of the levels are 1×1 convolutions: one weight for each pair of channels.",
    )
    squared = sum(b * b for b in bins)
    require(
        given != true - channels * part * levels + channels * part * squared,
        "the projection is the same in every cell of a grid: its weights do not depend on the size of the grid.",
    )
    require(given == true, f"for 128 channels and bins 1, 2, 3, 6 S has {true} weights, and you get {given}.")
    for channels, bins in ((512, (1, 2, 3, 6)), (64, (1, 4))):
        true = sum(p.numel() for p in SemanticExtractor(channels, 8, bins).parameters())
        given = int(answer(channels, bins))
        require(
            given == true,
            f"right for 128 channels; for {channels} channels and bins {bins} it should be {true}, not {given}. "
            "A level has channels / number of bins channels.",
        )
