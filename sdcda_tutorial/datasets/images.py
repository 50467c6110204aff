"""Reading images: every file becomes (H, W, 3) uint8 RGB, or one line that says why it cannot.

Data sets are read in *stored* pixel coordinates: the annotators' points refer to the pixels of the file, so an EXIF
orientation tag is applied only with `upright=True`, for the reader's own photographs.
"""

from __future__ import annotations

import logging
import math
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

import numpy as np
from PIL import Image, JpegImagePlugin, UnidentifiedImageError

from sdcda_tutorial.datasets.transforms import resize_image
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.files import in_one_line, regular_file
from sdcda_tutorial.pixels import is_deep, is_reduced, orientation, to_rgb

# What a file begins with that Pillow does not know, or not in every version and of every kind.
_BEGINNINGS = {
    "AVIF": rb"....ftyp.*avi[fs]", "HEIC": rb"....ftyp.*(?:hei|hev|mif1|msf1)", "JPEG XL": rb"\xff\n|....JXL ",
    "a PDF": rb"%PDF", "PostScript": rb"%!PS|\xc5\xd0\xd3\xc6", "such a TIFF": rb"II[*+]\0|MM\0[*+]",
}  # fmt: skip

_ORIENTED = {"exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp"}  # where an orientation may be in a PNG

logging.getLogger("PIL").addHandler(logging.NullHandler())  # what it logs on stderr, it also raises


def read_image(path: str | os.PathLike[str], *, upright: bool = False) -> np.ndarray:
    """Decode a whole image file.

    Args:
        path: any format that Pillow knows; `pixels.to_rgb` says what becomes of its modes.
        upright: turn the picture as its EXIF orientation says.
    Returns:
        (H, W, 3) uint8 RGB, writable and contiguous.
    Raises:
        InputError: no such file, not an image, damaged (a truncated JPEG is never returned half gray), of more than
            179 million pixels, or of values of which nobody knows how bright they are.
    """
    with opened(path) as image:
        return _decoded(image, path, upright)


def read_image_at(
    path: str | os.PathLike[str], size: tuple[int, int], *, upright: bool = False
) -> tuple[np.ndarray, tuple[int, int]]:
    """As `read_image`, resized to `size` (height, width).

    A JPEG can be decoded at 1/2, 1/4 or 1/8 straight from its DCT coefficients, several times faster than in full and
    already low-pass filtered. Its last row and column may then be partly padding, which is cut off: else all of the
    picture would be shifted against its labels. Other formats come in full.

    Returns:
        (h, w, 3) uint8 RGB, and the (H, W) of the file, turned upright like the picture.
    """
    with opened(path) as image:
        original, box = _oriented_size(image, upright), None
        height, width = size if original == (image.height, image.width) else size[::-1]
        turned = upright and orientation(image) != 1
        whole = image.width % 8 == 0 and image.height % 8 == 0
        if not turned or whole or image.width * image.height > _most_pixels():
            drafted = image.draft(None, (width, height))  # None for formats without a reduced decoding
            box = None if drafted is None or turned else drafted[1]
        return resize_image(_decoded(image, path, upright), size, box), original


def image_size(path: str | os.PathLike[str], *, upright: bool = False) -> tuple[int, int]:
    """(height, width) from the header alone; the pixels are not decoded, so damage further on is not seen."""
    with opened(path) as image:
        return _oriented_size(image, upright)


def stored_size(path: str | os.PathLike[str]) -> tuple[tuple[int, int], int]:
    """(height, width) of the stored pixels, and the EXIF orientation: 1 upright, else 2 to 8, turned or mirrored.

    From the header alone: a PNG that has its tag behind the pixels counts as upright.
    """
    with opened(path) as image:
        size = image.height, image.width
        known = image.format != "PNG" or bool(image.info.keys() & _ORIENTED)
        return size, orientation(image) if known else 1


def drawn_by_predict(path: str | os.PathLike[str]) -> bool:
    """Whether a PNG is an overlay or a density map of ours, which no one wants to count or to learn from."""
    try:
        with opened(path) as image:
            source, about = (str(image.info.get(key, "")) for key in ("Source", "Description"))
    except InputError:
        return False
    return bool(
        re.fullmatch("(map of )?[0-9a-f]{16}", source) and re.search("predicted density|people per pixel", about)
    )


def pictures_in(path: str | os.PathLike[str]) -> int:
    """How many pictures a file holds, as pages or as an animation; small copies, layers and depth maps are none."""
    with opened(path) as image:
        if image.format not in ("GIF", "PNG", "TIFF", "WEBP"):
            return 1
        pictures = 1
        with suppress(Exception):  # what is damaged behind the first picture is no matter of that
            for frame in range(1, getattr(image, "n_frames", 1)):
                if image.format == "TIFF":  # of the others each frame would have to be decoded
                    image.seek(frame)
                pictures += not is_reduced(image)
        return pictures


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[Image.Image]:
    """A file as a Pillow image that is not decoded yet; whatever goes wrong inside becomes an `InputError`.

    It warns of nothing: what Pillow has to say of odd tags and large sizes comes with a path of the package.
    """
    name = in_one_line(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # By a file: what Pillow maps into memory by a path it gives scrambled, where a TIFF says that it is turned.
            with open(regular_file(path), "rb") as file, _open(file) as image:
                if image.format == "EPS":  # a program, which Pillow would have Ghostscript run
                    raise UnidentifiedImageError
                image.info["deep"] = is_deep(image)  # now: to look for its EXIF decodes a PNG, which forgets this
                yield image
    except InputError:
        raise
    except IsADirectoryError:
        raise InputError(f"{name} is a folder; name the photographs") from None
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{name} does not exist; check the path") from None
    except PermissionError:
        raise InputError(f"{name} cannot be read: no permission; change its permissions") from None
    except UnidentifiedImageError:
        raise InputError(_unknown(path, name)) from None
    except Image.DecompressionBombError:
        raise InputError(
            f"{name} has more than {_most_pixels() / 1e6:.0f} million pixels; shrink it, or (of a JPEG that is not "
            "progressive) have it shrunk while it is read, by `max_side`"
        ) from None
    except Exception as error:  # on damaged files Pillow raises OSError, SyntaxError, ValueError, IndexError and more
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        reason = " ".join(reason.split())  # one line, whatever the decoder wrote
        raise InputError(
            f"{name} cannot be decoded as an image ({reason}); fetch the file again or remove it"
        ) from error


def _open(file: BinaryIO) -> Image.Image:
    try:
        return Image.open(file)
    except Image.DecompressionBombError:
        file.seek(0)
        with suppress(SyntaxError):  # it is no JPEG
            image = JpegImagePlugin.JpegImageFile(file)  # does not look at the size: it may be decoded at a reduced one
            if "progressive" not in image.info:  # of those the decoder keeps all coefficients
                return image
        raise


def _most_pixels() -> float:
    """Twice the size of which Pillow warns: a file that is made to take all memory says that it is larger."""
    return 2 * (Image.MAX_IMAGE_PIXELS or math.inf)


def _unknown(path: str | os.PathLike[str], name: str) -> str:
    """What to do with a file whose format Pillow does not know."""
    with open(path, "rb") as file:
        beginning = file.read(64)
    if not beginning:
        return f"{name} is empty; fetch the file again or remove it"
    for kind, pattern in _BEGINNINGS.items():
        if re.match(pattern, beginning, re.DOTALL):
            return f"{name}: {kind} cannot be read; save it as JPEG, or fetch the file again if nothing opens it"
    return f"{name} cannot be decoded as an image (no known format); fetch the file again or remove it"


def _oriented_size(image: Image.Image, upright: bool) -> tuple[int, int]:
    turned = upright and image.format != "TIFF"  # whose size is that after Pillow has turned it
    sideways = turned and orientation(image) in (5, 6, 7, 8)
    return (image.width, image.height) if sideways else (image.height, image.width)


def _decoded(image: Image.Image, path: str | os.PathLike[str], upright: bool) -> np.ndarray:
    if image.width * image.height > _most_pixels():
        raise Image.DecompressionBombError
    return to_rgb(image, in_one_line(path), upright=upright)
