"""Crowd masks z: 1 = crowd, 0 = background, uint8 arrays of (height, width).

Sources of masks: silhouettes that come with a data set (GCC), rectangles around boxes (what a detector's labels give:
rough, and the reason for Eq. 8), rectangles around head points (where there is nothing better), and the prediction of
a segmentation model (the pseudo-masks of the target).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import scipy
from PIL import Image

from sdcda_tutorial.density import inside, neighbour_distance
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.files import atomic_path, path_inside, regular_file
from sdcda_tutorial.pixels import coordinates


def from_boxes(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The union of (M, 4) boxes (x0, y0, x1, y1) in pixels; every pixel that a box touches is crowd.

    A box without an area (x1 <= x0 or y1 <= y0) covers nothing. No loop over boxes: each one adds +1 and -1 at its
    corners, and the double running sum counts the boxes that cover each pixel.
    """
    height, width = size
    boxes = coordinates(boxes, 4, "boxes", finite=False)
    boxes = boxes[(boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])]
    x0, x1 = (np.clip(edge, 0, width).astype(int) for edge in (np.floor(boxes[:, 0]), np.ceil(boxes[:, 2])))
    y0, y1 = (np.clip(edge, 0, height).astype(int) for edge in (np.floor(boxes[:, 1]), np.ceil(boxes[:, 3])))
    corners = np.zeros((height + 1, width + 1), dtype=np.int32)
    for rows, columns, sign in ((y0, x0, 1), (y0, x1, -1), (y1, x0, -1), (y1, x1, 1)):
        np.add.at(corners, (rows, columns), sign)
    covered = corners.cumsum(axis=0).cumsum(axis=1)[:height, :width]
    return (covered > 0).astype(np.uint8)


def from_points(points: np.ndarray, size: tuple[int, int], *, radius: float | None = None) -> np.ndarray:
    """Rectangles around (N, 2) head points (x, y) in pixels: the mask of a data set that has points only.

    A rectangle reaches one radius above the head and two below it.

    Args:
        points: heads; those outside the image are left out.
        size: (height, width).
        radius: half the width of a rectangle in pixels. By default half the mean distance to the 3 nearest heads,
            between 4 and 24 pixels: this follows the perspective where the crowd is dense.
    """
    if radius is not None and not 0 < radius < np.inf:
        raise ValueError(f"radius must be positive, not {radius}")
    points = coordinates(points, 2, "points")
    points = points[inside(points, size)]
    r = np.clip(neighbour_distance(points) / 2, 4.0, 24.0) if radius is None else np.full(len(points), radius)
    x, y = points.T
    return from_boxes(np.stack([x - r, y - r, x + r, y + 2 * r], axis=1), size)


def from_probability(probability: np.ndarray, threshold: float = 0.5, *, dilate: int = 0) -> np.ndarray:
    """Crowd where the (H, W) probability is above `threshold`, grown by `dilate` pixels to every side."""
    if not 0 <= threshold <= 1 or dilate < 0 or dilate % 1:  # 30 % is 0.3: above 30 nothing is
        raise InputError(f"threshold is 0 to 1, dilate whole and from 0 up; not {threshold}, {dilate}")
    mask = (np.asarray(probability) > threshold).astype(np.uint8)
    return scipy.ndimage.maximum_filter(mask, size=2 * int(dilate) + 1) if dilate else mask


def path_of(folder: str | Path, name: str) -> Path:
    """Where the mask of the image called `name` lies. Names may hold slashes (GCC), which stay folders."""
    return path_inside(folder, f"{name}.png")


def write_png(path: str | Path, mask: np.ndarray) -> None:
    """Write a mask of 0 and 1 as a PNG of 0 and 255, so that an image viewer shows it, atomically."""
    if not np.isin(mask, (0, 1)).all():  # probabilities would all become background
        raise ValueError("a mask holds 0 and 1; make one of probabilities with `from_probability`")
    with atomic_path(path) as temporary:
        Image.fromarray(mask.astype(np.uint8) * 255).save(temporary, format="PNG")


def read_png(path: str | Path, size: tuple[int, int] | None = None) -> np.ndarray:
    """Read a mask; anything is crowd but 0, black, and what is wholly transparent.

    An InputError says what is wrong: it is missing, no whole PNG, or not of `size` (height, width).
    """
    with _opened(path, size) as image:
        return _crowd(image).astype(np.uint8)


def refuse_unreadable(path: str | Path, size: tuple[int, int]) -> None:
    """As `read_png`, in a fraction of the time: the checksums of the file are compared, and nothing is decoded."""
    with _opened(path, size) as image:
        image.verify()


@contextmanager
def _opened(path: str | Path, size: tuple[int, int] | None) -> Iterator[Image.Image]:
    try:
        with Image.open(regular_file(path)) as image:
            if image.format != "PNG":  # a JPEG has no sharp edges
                raise ValueError(f"it is a {image.format}, not a PNG")
            yield image
            found = image.height, image.width
    except FileNotFoundError:
        raise InputError(f"mask {path} does not exist; make the masks with `write_pseudo_masks`") from None
    except Exception as error:  # on damaged files Pillow raises SyntaxError, ValueError, IndexError and more
        raise InputError(f"mask {path} cannot be read ({error}); make it again with `write_pseudo_masks`") from None
    if size is not None and found != tuple(size):
        sizes = f"is {found[1]}x{found[0]} but its image is {size[1]}x{size[0]}"
        raise InputError(f"mask {path} {sizes}; make it again with `write_pseudo_masks`")


def _crowd(image: Image.Image) -> np.ndarray:
    """(H, W) bool, of a picture of any mode; gray would round the darkest colours to black, as class 1 of many is."""
    if image.has_transparency_data:
        pixels = np.asarray(image.convert("RGBA"))
        return pixels[..., :3].any(axis=-1) & (pixels[..., 3] > 0)
    pixels = np.asarray(image.convert("RGB") if image.mode == "P" else image)
    return np.asarray(pixels.any(axis=-1) if pixels.ndim == 3 else pixels != 0)
