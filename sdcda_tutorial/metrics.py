"""How good a counter is: Eq. 11 on the counts, GAME, PSNR and SSIM on the maps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

Variant = Literal["standard", "authors"]


def count_errors(truth: Sequence[float] | np.ndarray, pred: Sequence[float] | np.ndarray) -> tuple[float, float]:
    """(MAE, MSE) of the counts of N images, in people, Eq. 11. "MSE" is the *root* of the mean square, as in the paper.

    Raises:
        ValueError: the lengths differ, or there is no image.
    """
    y, y_hat = np.asarray(truth, dtype=np.float64), np.asarray(pred, dtype=np.float64)
    if y.shape != y_hat.shape or y.size == 0:
        raise ValueError(f"need as many predictions as truths, and at least one: {y.shape} and {y_hat.shape}")
    error = y - y_hat
    return float(np.abs(error).mean()), float(np.sqrt(np.square(error).mean()))


def on_background(pred: Tensor, truth: Tensor) -> Tensor:
    """The predicted map (H, W) where the true one is zero, out of reach of every head's kernel; zero elsewhere."""
    return torch.where(truth == 0, pred, 0)


def game(pred: Tensor, truth: Tensor, level: int) -> float:
    """Grid average mean error GAME(L) of one density map, in people; lower is better.

    Guerrero-Gómez-Olmedo et al., "Extremely Overlapping Vehicle Counting", IbPRIA 2015. A grid cuts the image into
    2^L × 2^L cells, and the absolute errors of their counts are added up: people counted in the wrong place do not make
    up for people missed. GAME(0) is the absolute error of the count, and no level is below the one before.

    Args:
        pred, truth: (H, W) maps, people per pixel. A cell's true count is the sum of F(y) in it, as usual, not its
            number of head points: near the edge of a cell part of a head's kernel, true or predicted, lies next door.
        level: L, from 0 up. Cell i begins at row ⌊i H / 2^L⌋; so does it for columns. Cells tile maps of any size, and
            the next level cuts each of them into four.
    """
    pred, truth = _maps(pred, truth)
    error, cuts = pred - truth, 2**level
    rows, columns = ([i * side // cuts for i in range(1, cuts)] for side in error.shape)
    strips = error.tensor_split(rows, dim=0)
    return sum(abs(float(cell.sum())) for strip in strips for cell in strip.tensor_split(columns, dim=1))


def psnr(pred: Tensor, truth: Tensor, variant: Variant = "standard") -> float:
    """Peak signal-to-noise ratio of one density map, in dB; higher is better.

    Args:
        pred, truth: (H, W) maps in the same unit.
        variant: "standard" takes the maximum of the true map as the peak. "authors", after their later code, divides
            truth and prediction each by its *own* maximum first, so a map that is wrong by a factor scores perfectly.
    Returns:
        NaN for "standard" where the true map is empty (there is no peak), infinity where the maps are equal.
    """
    pred, truth = _maps(pred, truth, variant)
    if variant == "authors":
        pred, truth = _to_own_peak(pred), _to_own_peak(truth)
        peak = 255.0
    else:
        peak = float(truth.max())
    if peak <= 0:
        return math.nan
    error = float((pred - truth).square().mean())
    return math.inf if error == 0 else 10 * math.log10(peak * peak / error)


def ssim(pred: Tensor, truth: Tensor, variant: Variant = "standard") -> float:
    """Structural similarity of one density map, 1 for equal maps; higher is better.

    Args:
        pred, truth: (H, W) maps in the same unit.
        variant: "standard" is torchmetrics' SSIM (11 × 11 Gaussian window, σ 1.5, borders reflected) with the maximum
            of the true map as the data range. "authors", after their later code: non-overlapping 11 × 11 blocks, plain
            *sums* over a block where the definition has means (so it can exceed 1), C1 = 0.01² and C2 = 0.03² whatever
            the range.
    Returns:
        NaN for "standard" where the true map is empty, and for both where the maps have a side below 11 pixels.
    """
    pred, truth = _maps(pred, truth, variant)
    if min(truth.shape) < 11:
        return math.nan
    if variant == "authors":
        return _block_ssim(pred, truth)
    peak = float(truth.max())
    if peak <= 0:
        return math.nan
    from torchmetrics.functional.image import structural_similarity_index_measure  # slow to import, so only here

    # On maps divided by the peak: the same value, since SSIM's constants scale with the range, but well conditioned,
    # so that float32 will do; convolving in float64 takes ten times as long.
    with torch.autocast(pred.device.type, enabled=False):  # a user's, for the network, would round here
        similarity = structural_similarity_index_measure(
            (pred / peak).float()[None, None], (truth / peak).float()[None, None], data_range=1.0
        )
    assert isinstance(similarity, Tensor)  # a tuple only where one asks for the full image
    return float(similarity)


def _maps(pred: Tensor, truth: Tensor, variant: Variant = "standard") -> tuple[Tensor, Tensor]:
    if variant not in get_args(Variant):
        raise ValueError(f"variant is {' or '.join(get_args(Variant))}, not {variant!r}")
    if pred.shape != truth.shape or pred.ndim != 2:
        raise ValueError(f"need two maps of one size (H, W), not {tuple(pred.shape)} and {tuple(truth.shape)}")
    return pred.double(), truth.double()


def _to_own_peak(density: Tensor) -> Tensor:
    peak = density.max()
    return density / peak * 255 if peak > 0 else density


def _block_ssim(pred: Tensor, truth: Tensor) -> float:
    rows, columns = (side // 11 for side in truth.shape)  # what does not fill a block is left out

    def block_sums(values: Tensor) -> Tensor:
        return values[: rows * 11, : columns * 11].reshape(rows, 11, columns, 11).sum(dim=(1, 3))

    s1, s2 = block_sums(truth), block_sums(pred)
    variances = block_sums(truth * truth) + block_sums(pred * pred) - s1 * s1 - s2 * s2
    covariance = block_sums(truth * pred) - s1 * s2
    c1, c2 = 0.01**2, 0.03**2
    similarity = (2 * s1 * s2 + c1) * (2 * covariance + c2) / ((s1 * s1 + s2 * s2 + c1) * (variances + c2))
    return float(torch.mean(similarity))
