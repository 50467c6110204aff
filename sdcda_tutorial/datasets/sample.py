"""What a data set yields: an image and the geometry that labels it.

Geometry is the label; maps are rendered last, when crops and resizes (`datasets.transforms`) are done. So no map is
ever stored or resized, and a count cannot drift.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sdcda_tutorial.errors import InputError
from sdcda_tutorial.pixels import checked


@dataclass(frozen=True)
class Sample:
    """One image x with its labels, all in pixel coordinates of this image.

    A point or box corner (0.0, 0.0) is the top left corner of the top left pixel; pixel (row, column) covers
    [column, column + 1) × [row, row + 1). A point counts when 0 <= x < W and 0 <= y < H; the loaders drop the others
    and say how many in `dropped`.
    """

    image: np.ndarray  # (H, W, 3) uint8 RGB
    points: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), np.float32))  # head positions y, as (x, y)
    boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), np.float32))  # (x0, y0, x1, y1), clipped
    mask: np.ndarray | None = None  # z, (H, W) uint8, 1 = crowd, 0 = background; None where the data set has none
    name: str = ""  # identifies the image within its data set
    dropped: int = 0  # how many annotated points lay outside the image
    labelled: bool = True  # False: nobody has looked for heads, which is another thing than no heads
    attributes: dict[str, Any] = field(default_factory=dict)  # what else the format knows, such as hour and weather

    def __post_init__(self) -> None:
        checked(self.image, 3)  # floats would become black where colours change, and nobody would be told
        if self.points.ndim != 2 or self.points.shape[1] != 2:  # one point (2,) would count as two
            raise ValueError(f"points must be (N, 2), not {self.points.shape}")

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.image.shape[0], self.image.shape[1]

    @property
    def count(self) -> int:
        """Number of heads inside the image."""
        return len(self.points)

    def read_only(self) -> Sample:
        """The same arrays, which nobody can write into any more: several share this sample."""
        for array in (self.image, self.points, self.boxes, self.mask):
            if array is not None:
                array.flags.writeable = False
        return self

    def require_sound(self, *, labelled: bool = True) -> None:
        """Raise an InputError for labels that are not of this image: points beyond it, which a resize would move to its
        border and count, or a mask of another size. The loaders give none; a list of one's own may.

        Args:
            labelled: no labels at all are an error too: compared with zeros, every figure would be nonsense.
        """
        if labelled and not self.labelled:
            raise InputError(f"{self.name or 'a sample'} has no labels; `predict_density` counts without them")
        height, width = self.size
        if not ((self.points >= 0) & (self.points < (width, height))).all():
            raise InputError(f"{self.name or 'a sample'}: points lie outside the image; leave them out")
        if self.mask is not None and self.mask.shape != self.size:
            raise InputError(f"{self.name or 'a sample'}: its mask {self.mask.shape} has not the size {self.size}")


def refuse_unlabelled(dataset: Sequence[Sample]) -> None:
    """Raise an InputError for a data set without labels at once, not after the hours when its samples would say so."""
    if not getattr(dataset, "labelled", True):
        name = getattr(dataset, "name", "the target as a training sees it")
        raise InputError(
            f"{name} has no labels to learn from or to measure against; it can be a `target` of a training, and "
            "`predict_density` counts without labels"
        )
