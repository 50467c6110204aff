"""What a data set yields: an image and the geometry that labels it.

Geometry is the label; maps are rendered last. Crops, flips and resizes act on points, boxes and masks
(`datasets.transforms`), and the density map is rendered only when the final resolution is known. So no map is ever
stored or resized, and a count cannot drift.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np


def _empty(columns: int) -> np.ndarray:
    return np.zeros((0, columns), dtype=np.float32)


@dataclass(frozen=True)
class Sample:
    """One image x with its labels, all in pixel coordinates of this image.

    A point or box corner (0.0, 0.0) is the top left corner of the top left pixel; pixel (row, column) covers
    [column, column + 1) × [row, row + 1). A point counts when 0 <= x < W and 0 <= y < H; the loaders drop the others
    and say how many in `dropped`.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        points: (N, 2) float32 head positions y of the paper, as (x, y).
        boxes: (M, 4) float32 (x0, y0, x1, y1), clipped to the image.
        mask: (H, W) uint8, 1 = crowd, 0 = background (z of the paper), or None where the data set has none.
        name: what identifies the image within its data set.
        dropped: how many annotated points lay outside the image.
        attributes: whatever else the format knows, such as GCC's level, hour and weather.
    """

    image: np.ndarray
    points: np.ndarray = field(default_factory=lambda: _empty(2))
    boxes: np.ndarray = field(default_factory=lambda: _empty(4))
    mask: np.ndarray | None = None
    name: str = ""
    dropped: int = 0
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.image.shape[0], self.image.shape[1]

    @property
    def count(self) -> int:
        """Number of heads inside the image."""
        return len(self.points)
