"""How many people of a density map are in a region: a polygon, by the area that it covers of each pixel."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from sdcda_tutorial.errors import InputError

_ROUNDING = 1e-6  # pixels: corners on the border of a photograph may leave it by so much when it is shrunk


def parse_region(text: str) -> np.ndarray:
    """The (N, 2) corners (x, y) in pixels of a box "x0,y0,x1,y1" or of a polygon "x,y x,y x,y ..."."""
    words = [word.split(",") for word in re.sub(r"\s*,\s*", ",", text.strip()).split()]
    try:
        numbers = np.array([[word.replace("_", "?") for word in pair] for pair in words], dtype=np.float64)  # no 1_0
    except ValueError:
        numbers = np.empty((0, 2))
    return _corners(numbers, repr(text))


def _corners(region: ArrayLike, text: str) -> np.ndarray:
    """The (N, 2) corners of a box of four numbers or of a polygon, which `text` calls so in a message."""
    numbers = np.asarray(region, dtype=np.float64)
    if numbers.shape in ((4,), (1, 4)):
        x0, y0, x1, y1 = numbers.ravel()
        numbers = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)] if x0 < x1 and y0 < y1 else [(x0, y0)])
    if numbers.ndim != 2 or numbers.shape[1] != 2 or len(numbers) < 3 or not np.isfinite(numbers).all():
        raise InputError(
            f"`region` is a box x0,y0,x1,y1 with x0 < x1 and y0 < y1, or three and more corners 'x,y x,y x,y', "
            f"not {text}"
        )
    if (numbers[0] == numbers[-1]).all():  # closed by its first corner
        numbers = numbers[:-1]
    if _sides_cross(numbers):
        raise InputError(f"`region`: sides of {text} cross or touch; give the corners in their order around it")
    (x, y), (next_x, next_y) = numbers.T, np.roll(numbers, -1, axis=0).T
    if len(np.unique(numbers, axis=0)) < len(numbers) or np.sum(x * next_y - next_x * y) == 0:
        raise InputError(f"`region`: {text} has a corner twice or encloses nothing; give each corner around it once")
    return numbers


def _sides_cross(corners: np.ndarray) -> bool:
    a, b = corners, np.roll(corners, -1, axis=0)

    def side_of(points: np.ndarray) -> np.ndarray:
        """On which side of each line ab (rows) each point (columns) lies: -1, 0 or 1."""
        ab, ap = (b - a)[:, None], points[None] - a[:, None]
        return np.sign(ab[..., 0] * ap[..., 1] - ab[..., 1] * ap[..., 0])

    parted = side_of(a) * side_of(b) < 0  # line i passes between the ends of side j
    on_line = side_of(a) == 0
    between = ((a[None] - a[:, None]) * (a[None] - b[:, None])).sum(axis=2) < 0  # corner j and the ends of side i
    return bool((parted & parted.T).any() or (on_line & between).any())


def refuse_beyond(corners: ArrayLike, size: Sequence[int], what: object) -> None:
    """Raise an InputError for a region that is not inside an image of `size` (height, width), called `what`."""
    corners, (height, width) = np.asarray(corners, dtype=np.float64), size
    if (corners < -_ROUNDING).any() or (corners > np.array([width, height]) + _ROUNDING).any():
        x, y = next(corner for corner in corners if not (0 <= corner[0] <= width and 0 <= corner[1] <= height))
        raise InputError(f"the corner {x:g},{y:g} of `region` is not in {what}, which is {width}x{height} pixels")


def count_in(density: Tensor, corners: ArrayLike) -> float:
    """The people of a density map inside a polygon, such as `count_in(density, [(0, 0), (100, 0), (100, 50)])`.

    A box is `count_in(density, (x0, y0, x1, y1))`.
    Exact, where the people of a pixel are spread evenly over its square: a pixel counts by the share of its area.

    Args:
        density: (H, W), people per pixel.
        corners: (N, 2), x to the right and y down, in pixels from the corner of the map; its first ends at (1, 1).
    Raises:
        InputError: these are no corners around a region, or one is not in the map.
    """
    people, polygon = torch.as_tensor(density).detach().cpu().numpy(), _corners(corners, str(corners))
    refuse_beyond(polygon, people.shape, "the map")
    polygon = np.clip(polygon, 0, people.shape[::-1])
    x0, y0 = np.floor(polygon.min(axis=0)).astype(int)
    x1, y1 = np.ceil(polygon.max(axis=0)).astype(int)
    shares = coverage(polygon - (x0, y0), (y1 - y0, x1 - x0))
    return float(np.einsum("ij,ij->", shares, people[y0:y1, x0:x1]))


def coverage(corners: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Share of each pixel's area that lies in a polygon, (H, W) float64.

    Each piece of a side covers, with the sign of its direction, all that lies to its right: a part of its own pixel
    and the whole of those after it, which a running sum along the row fills in.
    """
    height, width = size
    signed = np.zeros((height, width + 2))
    for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        way = end - start
        cuts = [np.array([0.0, 1.0])]  # a side is cut where it passes from pixel to pixel
        for axis in (0, 1):
            low, high = sorted((start[axis], end[axis]))
            lines = np.arange(np.floor(low) + 1, high)
            cuts.append((lines - start[axis]) / way[axis] if len(lines) else lines)
        points = start + np.unique(np.concatenate(cuts))[:, None] * way
        (x, y), dy = ((points[1:] + points[:-1]) / 2).T, np.diff(points[:, 1])
        column, row = x.astype(int), np.minimum(y.astype(int), height - 1)
        np.add.at(signed, (row, column), dy * (1 - (x - column)))
        np.add.at(signed, (row, column + 1), dy * (x - column))
    np.cumsum(signed, axis=1, out=signed)
    return np.minimum(np.abs(signed[:, :width]), 1.0)
