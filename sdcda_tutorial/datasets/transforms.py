"""Crops, flips, resizes and colour: functions from a sample to a new sample.

Image, points, boxes and mask move together; the density map is rendered later, at the final size
(`density.density_map`). Every random transform takes its `np.random.Generator`. No function writes into its input; a
result may share memory with it. Points that a crop cuts off are no annotation errors, so `dropped` leaves them out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image

from sdcda_tutorial.datasets.sample import Sample
from sdcda_tutorial.errors import InputError

Size = tuple[int, int]  # (height, width) in pixels
MOST_PIXELS = 100_000_000  # of a size to resize to: memory would hold hardly one image of more
_BOX_ATTRIBUTES = ("ignored",)  # entries of Sample.attributes that are boxes and must move with the image
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601, what Pillow's "L" uses


def crop(sample: Sample, top: int, left: int, size: Size) -> Sample:
    """Cut the window [left, left + w) × [top, top + h) out of the sample.

    Half-open, like pixels: windows that tile the image share out its points without loss or doubles. Boxes are cut
    at the window, and those that end up empty are dropped.

    Raises:
        ValueError: the window does not lie inside the image.
    """
    (height, width), (full_height, full_width) = size, sample.size
    if min(top, left) < 0 or not (0 < height <= full_height - top and 0 < width <= full_width - left):
        raise ValueError(f"window {height}×{width} at ({top}, {left}) does not fit in {full_height}×{full_width}")
    window = np.s_[top : top + height, left : left + width]
    # Exact in float32: a difference that is no larger than its minuend, on the same grid of binary digits.
    points = sample.points - _float32(left, top)
    inside = ((points >= 0) & (points < _float32(width, height))).all(axis=1)
    return replace(
        sample,
        image=np.ascontiguousarray(sample.image[window]),
        mask=None if sample.mask is None else np.ascontiguousarray(sample.mask[window]),
        points=points[inside],
        **_move_boxes(sample, lambda boxes: clip_boxes(boxes - _float32(left, top, left, top), size)),
    )


def flip(sample: Sample) -> Sample:
    """Mirror left and right: x becomes W - x.

    Pixel column c covers [c, c + 1), and its mirror image [W - c - 1, W - c): a half-open interval turns into one that
    is open at the other end. A point at a whole x notices: it would land in the next pixel, or outside. Its mirror
    image is the mirrored pixel's whole number, so every head stays in its pixel.
    """
    width = float(sample.size[1])
    points = sample.points.astype(np.promote_types(sample.points.dtype, np.float32))  # uint8 would wrap around
    x = width - points[:, 0]
    points[:, 0] = np.where(x == np.floor(x), x - 1, x)

    def mirror(boxes: np.ndarray) -> np.ndarray:
        x0, y0, x1, y1 = boxes.T
        return np.stack([width - x1, y0, width - x0, y1], axis=1)

    return replace(
        sample,
        image=np.ascontiguousarray(sample.image[:, ::-1]),  # torch refuses negative strides
        mask=None if sample.mask is None else np.ascontiguousarray(sample.mask[:, ::-1]),
        points=keep_inside(points, sample.size),
        **_move_boxes(sample, mirror),
    )


def resize(sample: Sample, size: Size) -> Sample:
    """Resize to `size`: bilinear with antialiasing for the image, nearest for the mask, exact for the geometry.

    The number of points stays: points are scaled, never re-tested.
    """
    if sample.size == size:
        return sample
    return replace(sample, image=resize_image(sample.image, size), **resize_labels(sample, sample.size, size))


def resize_image(image: np.ndarray, size: Size, box: tuple[float, float, float, float] | None = None) -> np.ndarray:
    """(H, W, 3) uint8 to (h, w, 3). Pillow's bilinear filter widens when it shrinks, which is the antialiasing.

    Args:
        box: of the image, x0, y0, x1, y1, which is to fill the new one; by default all of it.
    """
    if image.shape[:2] == size and box in (None, (0, 0, *size[::-1])):
        return image
    return np.array(Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR, box))


def resize_labels(sample: Sample, old: Size, new: Size) -> dict[str, Any]:
    """The fields of `sample` that hold geometry, carried from an image of size `old` to one of size `new`."""
    scale = _float32(new[1] / old[1], new[0] / old[0])  # x, y
    mask = sample.mask
    if mask is not None and mask.shape != new:
        mask = np.array(Image.fromarray(mask).resize(new[::-1], Image.Resampling.NEAREST))

    def stretch(boxes: np.ndarray) -> np.ndarray:
        edge = _float32(*(2 * old[::-1])), _float32(*(2 * new[::-1]))  # right, bottom, right, bottom
        scaled = boxes * np.tile(scale, 2)
        inside = np.minimum(scaled, edge[1])  # rounding must not leave the image
        return np.asarray(np.where(boxes <= edge[0], inside, scaled))

    return {"points": keep_inside(sample.points * scale, new), "mask": mask, **_move_boxes(sample, stretch)}


def resize_to_fit(sample: Sample, at_least: Size) -> Sample:
    """Enlarge a sample, keeping its aspect, until a window of size `at_least` fits; larger samples come back as is.

    Raises:
        InputError: it is so long and narrow that memory would not hold it then.
    """
    (height, width), (full_height, full_width) = at_least, sample.size
    scale = max(height / full_height, width / full_width)
    if scale <= 1:
        return sample
    enlarged = max(height, round(full_height * scale)), max(width, round(full_width * scale))
    if math.prod(enlarged) > MOST_PIXELS:
        long = f"{sample.name} is {full_width}×{full_height} pixels, too narrow to cut {width}×{height} out of it"
        raise InputError(f"{long}; remove it from its set or cut it")
    return resize(sample, enlarged)


def random_crop(sample: Sample, size: Size, rng: np.random.Generator) -> Sample:
    """A window of `size` anywhere in the image, all positions equally likely; a small image is enlarged first."""
    sample = resize_to_fit(sample, size)
    top, left = (int(rng.integers(full - side + 1)) for full, side in zip(sample.size, size, strict=True))
    return crop(sample, top, left, size)


def random_flip(sample: Sample, rng: np.random.Generator) -> Sample:
    """`flip` or not, with equal chances."""
    return flip(sample) if rng.random() < 0.5 else sample


def random_scaled_crop(sample: Sample, size: Size, low: float, high: float, rng: np.random.Generator) -> Sample:
    """A random window of the image resized by a factor from [low, high], log-uniform: halving is as likely as doubling.

    The window that becomes `size` is cut out first and resized then, so that a large photograph is not resized whole.
    An image that would become smaller than `size` is shrunk only until it fits.
    """
    if not 0 < low <= high:
        raise ValueError(f"need 0 < low <= high, got {low} and {high}")
    factor = math.exp(rng.uniform(math.log(low), math.log(high)))
    fits = max(side / full for full, side in zip(sample.size, size, strict=True))  # the factor at which it just fits
    factor = max(factor, min(1.0, fits))
    height, width = (max(1, round(side / factor)) for side in size)
    if fits <= 1:  # rounding must not make the window larger than the image
        height, width = min(height, sample.size[0]), min(width, sample.size[1])
    return resize(random_crop(sample, (height, width), rng), size)


def color_jitter(
    sample: Sample, rng: np.random.Generator, *, brightness: float, contrast: float, saturation: float, channel: float
) -> Sample:
    """Change the colours, never the geometry.

    Each argument is a half-width: `brightness=0.2` draws a factor from [0.8, 1.2]. Saturation scales the distance to
    the gray of the same pixel, contrast the distance to the mean gray of the picture, brightness everything,
    `channel` each of R, G, B on its own (a colour cast). All four are affine in the pixel's colour, so together they
    are one 3×3 matrix and an offset, rounded and clipped once.
    """
    draws = rng.uniform(-1, 1, size=6)  # always all six: switching one kind off leaves the others' numbers as they were
    b, c, s = 1 + draws[:3] * (brightness, contrast, saturation)
    gains = (b * (1 + channel * draws[3:])).astype(np.float32)
    mean_gray = float(sample.image[::4, ::4].mean(axis=(0, 1)) @ _LUMA)  # one pixel in sixteen is enough
    matrix = c * (s * np.eye(3) + (1 - s) * np.outer(_LUMA, np.ones(3))) * gains  # column j makes output channel j
    height, width = sample.size
    pixels = sample.image.reshape(-1, 3).astype(np.float32) @ matrix.astype(np.float32)
    rows = pixels.reshape(height, width * 3)  # numpy adds a long row much faster than three numbers at a time
    rows += np.tile((1 - c) * mean_gray * gains + np.float32(0.5), width)  # the half: astype cuts off, this rounds
    np.clip(rows, 0, 255, out=rows)
    return replace(sample, image=rows.astype(np.uint8).reshape(sample.image.shape))


def keep_inside(points: np.ndarray, size: Size) -> np.ndarray:
    """Undo what rounding to float32 may do at the far border: points, as (x, y) float32, stay in [0, W) × [0, H)."""
    limit = np.nextafter(_float32(*size[::-1]), np.float32(0))
    return np.clip(points.astype(np.float32), np.float32(0), limit)


def clip_boxes(boxes: np.ndarray, size: Size) -> np.ndarray:
    """Cut (M, 4) boxes (x0, y0, x1, y1) at the borders of the image; boxes without area are left out."""
    height, width = size
    boxes = np.clip(boxes.astype(np.float32), 0, _float32(width, height, width, height))
    return boxes[(boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])]


def _float32(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def _move_boxes(sample: Sample, move: Callable[[np.ndarray], np.ndarray]) -> dict[str, Any]:
    moved = {key: move(sample.attributes[key]) for key in _BOX_ATTRIBUTES if key in sample.attributes}
    return {"boxes": move(sample.boxes), "attributes": {**sample.attributes, **moved}}
