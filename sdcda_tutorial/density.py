"""F(y) of Eq. 6: from head points to a density map whose sum is the number of heads.

Every head becomes a small Gaussian of weight 1. A Gaussian is a product of one along the rows and one along the
columns, so the whole map is a product of two sparse matrices,

    F(y) = Kyᵀ Kx,    Ky: (N, H) and Kx: (N, W), one row a head,

and no loop over heads is needed. Where the border cuts a kernel, the part that is left is scaled up to sum to 1: each
row of Ky and Kx sums to 1, hence the map sums to N.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import scipy
import torch
from torch import Tensor

from sdcda_tutorial.pixels import coordinates

Kernel = Literal["fixed", "adaptive"]

# Geometry-adaptive kernels as in MCNN: σ is 0.3 times the mean distance to the 3 nearest heads.
NEIGHBOURS = 3
BETA = 0.3
SIGMA_RANGE = (1.0, 15.0)  # ours: below 1 px a kernel is a spike, a lonely head's would cover half the image


def inside(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Which of the (N, 2) points (x, y) lie in an image of (height, width): 0 <= x < W and 0 <= y < H. (N,) bool."""
    height, width = size
    return (points[:, 0] >= 0) & (points[:, 0] < width) & (points[:, 1] >= 0) & (points[:, 1] < height)


def neighbour_distance(points: np.ndarray) -> np.ndarray:
    """(N,) mean distance in pixels of each of (N, 2) points to its 3 nearest; infinite for a point that is alone."""
    if len(points) < 2:
        return np.full(len(points), np.inf)
    neighbours = min(NEIGHBOURS, len(points) - 1)
    distance, _ = scipy.spatial.cKDTree(points).query(points, k=neighbours + 1)  # the nearest is the point itself
    return np.asarray(distance[:, 1:].mean(axis=1))


def adaptive_sigma(points: np.ndarray, *, alone: float = 4.0) -> np.ndarray:
    """(N,) σ in pixels: 0.3 × the mean distance to the 3 nearest heads, kept within 1 to 15; `alone` for one head."""
    sigma = BETA * neighbour_distance(points)
    return np.where(np.isinf(sigma), alone, np.clip(sigma, *SIGMA_RANGE))


def density_map(
    points: np.ndarray | Tensor,
    size: tuple[int, int],
    *,
    kernel: Kernel = "fixed",
    sigma: float = 4.0,
    kernel_size: int = 15,
) -> Tensor:
    """Draw F(y).

    Args:
        points: (N, 2) head positions (x, y) in pixels; those outside the image are not drawn.
        size: (height, width) of the map in pixels.
        kernel: "fixed" is one kernel for all heads, `kernel_size` pixels wide, centred on the head's pixel (the
            authors' later code: 15 × 15, σ 4); "adaptive" takes σ from the distance to the neighbours and reaches 3 σ.
        sigma: σ of the fixed kernel in pixels, and of a head without neighbours.
        kernel_size: odd width of the fixed kernel in pixels.

    Returns:
        (height, width) float32, people per pixel; its sum is the number of points inside to 1e-4 relative.

    Raises:
        ValueError: the points are not (N, 2) or not finite, sigma is not positive, or kernel_size is not odd.
    """
    if not 1e-3 <= sigma < np.inf or kernel_size < 1 or kernel_size % 2 != 1:
        raise ValueError(f"sigma must be from 0.001 up and kernel_size odd, not {sigma} and {kernel_size}")
    if kernel not in ("fixed", "adaptive"):
        raise ValueError(f'kernel is "fixed" or "adaptive", not {kernel!r}')
    heads = coordinates(points, 2, "points")
    heads = heads[inside(heads, size)]
    if kernel == "fixed":
        sigmas = np.full(len(heads), sigma)
        radius = np.full(len(heads), kernel_size // 2)
    else:
        sigmas = adaptive_sigma(heads, alone=sigma)
        radius = np.ceil(3 * sigmas).astype(np.int64)
    height, width = size
    along_x = _kernels(heads[:, 0], width, sigmas, radius)
    along_y = _kernels(heads[:, 1], height, sigmas, radius)
    # The transpose of a CSR matrix is CSC; converting it back gives a map that lies in memory row after row.
    return torch.from_numpy((along_y.T.tocsr() @ along_x).toarray())


def _kernels(position: np.ndarray, length: int, sigma: np.ndarray, radius: np.ndarray) -> scipy.sparse.csr_array:
    """(N, length) matrix whose row n is the 1-D Gaussian of head n, cut at the borders and normalised there."""
    centre = position.astype(np.int32)
    first = np.maximum(centre - radius.astype(np.int32), 0)
    last = np.minimum(centre + radius.astype(np.int32), length - 1)
    taps = last - first + 1  # how many pixels of each kernel lie inside
    row_starts = np.concatenate([[0], np.cumsum(taps)]).astype(np.int32)
    # Pixel index of every tap of every head, all in one flat array: within head n it runs from first[n] to last[n].
    pixel = np.arange(row_starts[-1], dtype=np.int32) + np.repeat(first - row_starts[:-1], taps)
    z = (pixel - np.repeat(centre, taps)) * np.repeat((1 / sigma).astype(np.float32), taps)
    weight = np.exp(-0.5 * z * z, dtype=np.float32)
    if len(weight):
        weight /= np.repeat(np.add.reduceat(weight, row_starts[:-1]), taps)
    return scipy.sparse.csr_array((weight, pixel, row_starts), shape=(len(position), length))
