"""Reading images: every file becomes (H, W, 3) uint8 RGB, or one line that says why it cannot.

Data sets are read in *stored* pixel coordinates: the annotators' points refer to the pixels of the file, so an EXIF
orientation tag is applied only with `upright=True`, for the reader's own photographs.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import numpy as np
from PIL import Image, ImageOps

from sdcda_tutorial.errors import InputError

_ORIENTATION = 0x0112  # EXIF tag; values 5 to 8 swap the sides
# What Pillow raises on damaged files, depending on the format and on where the damage is.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)


def read_image(path: str | os.PathLike[str], *, upright: bool = False) -> np.ndarray:
    """Decode a whole image file.

    Args:
        path: any format Pillow knows; gray, palette, CMYK, 16-bit and alpha images are converted (alpha is ignored).
        upright: turn the picture as its EXIF orientation says.
    Returns:
        (H, W, 3) uint8 RGB, writable and contiguous.
    Raises:
        InputError: no such file, not an image, or damaged (a truncated JPEG is never returned half gray).
    """
    with _opened(path) as image:
        return _to_rgb(image, upright)


def read_image_at_least(
    path: str | os.PathLike[str], size: tuple[int, int], *, upright: bool = False
) -> tuple[np.ndarray, tuple[int, int]]:
    """As `read_image`, perhaps at a reduced scale that is still at least `size` (height, width).

    A JPEG can be decoded at 1/2, 1/4 or 1/8 straight from its DCT coefficients, several times faster than in full and
    already low-pass filtered. Other formats come in full. The caller scales the geometry from the original size.

    Returns:
        (h, w, 3) uint8 RGB, and the (H, W) of the file, turned upright like the picture.
    """
    with _opened(path) as image:
        original = _oriented_size(image, upright)
        height, width = size if original == (image.height, image.width) else size[::-1]
        image.draft(None, (width, height))  # does nothing to formats without a reduced decoding
        return _to_rgb(image, upright), original


def image_size(path: str | os.PathLike[str], *, upright: bool = False) -> tuple[int, int]:
    """(height, width) from the header alone; the pixels are not decoded, so damage further on is not seen."""
    with _opened(path) as image:
        return _oriented_size(image, upright)


def stored_size(path: str | os.PathLike[str]) -> tuple[tuple[int, int], int]:
    """(height, width) of the stored pixels, and the EXIF orientation: 1 upright, else 2 to 8, turned or mirrored.

    From the header alone: a PNG that has its tag behind the pixels counts as upright.
    """
    with _opened(path) as image:
        size, tag = (image.height, image.width), 1
        if image.format != "PNG" or image.info.keys() & {"exif", "Raw profile type exif"}:
            with suppress(Exception):  # damaged tags, over which Pillow stumbles: viewers ignore them
                tag = image.getexif().get(_ORIENTATION, 1)
        return size, tag if tag in range(2, 9) else 1


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[Image.Image]:
    try:
        with Image.open(path) as image:
            yield image
    except FileNotFoundError:
        raise InputError(f"{os.fspath(path)} does not exist; check the path") from None
    except _DAMAGE as error:
        if os.path.isdir(path):  # not by its exception, which differs between systems
            raise InputError(f"{os.fspath(path)} is a folder; name the photographs") from None
        reason = " ".join(str(error).split())  # one line, whatever the decoder wrote
        raise InputError(
            f"{os.fspath(path)} cannot be decoded as an image ({reason}); fetch the file again or remove it"
        ) from error


def _oriented_size(image: Image.Image, upright: bool) -> tuple[int, int]:
    sideways = upright and image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
    return (image.width, image.height) if sideways else (image.height, image.width)


def _to_rgb(image: Image.Image, upright: bool) -> np.ndarray:
    image.load()  # all of it, here: a truncated file fails now, with its path, not later in a training loop
    if upright:
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16"):  # Pillow's own conversion would clip everything above 255 to white
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return np.array(image.convert("RGB"))
