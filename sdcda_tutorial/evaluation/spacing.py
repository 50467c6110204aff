"""Where a density map errs: far from all heads, or in the crowd, by how closely the heads stand.

A mean error does not say what to fix. People predicted far from everybody are background; too many or too few where
heads stand apart, or closely, are scale.
"""

from __future__ import annotations

import numpy as np
import scipy
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from sdcda_tutorial.density import neighbour_distance
from sdcda_tutorial.pixels import coordinates

BOUNDS = (10.0, 20.0)  # pixels between neighbours
CLASSES = ("under 10 pixels", "10 to 20 pixels", "over 20 pixels", "far from all")
FAR = 2.0  # spacings from the nearest head
SPACING_RANGE = 4.0, 48.0  # pixels; heads that stand alone have no neighbours to go by


def people_by_spacing(density: Tensor, points: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """True and predicted people of one image, each (4,) in the order of `CLASSES`; their sums are the two counts.

    The *spacing* of a head is the mean distance to its 3 nearest, kept within `SPACING_RANGE`. A pixel belongs to the
    nearest head, and to "far from all" beyond `FAR` spacings of it.

    Args:
        density: (H, W), people per pixel.
        points: (N, 2) heads (x, y) in pixels; nobody is true far from all.
    """
    predicted, heads = torch.as_tensor(density).detach().cpu().numpy(), coordinates(points, 2, "points")
    if not len(heads):
        return np.zeros(4), np.array([0, 0, 0, predicted.sum()], dtype=float)
    spacing = np.clip(neighbour_distance(heads), *SPACING_RANGE)
    class_of_head = np.digitize(spacing, BOUNDS)
    y, x = np.indices(predicted.shape) + 0.5
    distance, nearest = scipy.spatial.cKDTree(heads).query(np.stack([x.ravel(), y.ravel()], axis=1))
    class_of_pixel = np.where(distance > FAR * spacing[nearest], 3, class_of_head[nearest])
    true = np.bincount(class_of_head, minlength=4).astype(float)
    return true, np.bincount(class_of_pixel, predicted.ravel(), minlength=4)
