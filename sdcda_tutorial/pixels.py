"""What pixels mean: a picture of any kind as (H, W, 3) uint8 RGB, or one line that says why it cannot be known.

A value means something only beside the one that is white. Where neither the file nor its type says which that is, a
guess could make a photograph black or white, in which nobody is counted: such pictures are refused. So are points and
boxes of another shape than theirs.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from sdcda_tutorial.errors import InputError

_KIND, _BITS, _PHOTOMETRIC, _SAMPLE_FORMAT = 254, 258, 262, 339  # tags of a TIFF
_REDUCED, _WHITE_IS_ZERO, _SIGNED = 1, 0, 2  # values of the first and of the last two
ORIENTATION = 0x0112  # tag of the EXIF; of its values 5 to 8 swap the sides
_T = Image.Transpose
_TURNS = {
    2: _T.FLIP_LEFT_RIGHT, 3: _T.ROTATE_180, 4: _T.FLIP_TOP_BOTTOM, 5: _T.TRANSPOSE, 6: _T.ROTATE_270,
    7: _T.TRANSVERSE, 8: _T.ROTATE_90,
}  # fmt: skip
_ROUNDING = 1e-3  # by which floats may leave their range
_DARK = 64  # of 255: 16 bits that stay below are more likely 14 or 12, whose white is 63 or 15
_VISIBLE = 8  # of 255: nobody sees what is less opaque, and everywhere so it is a mistake of who made the file
_DEEP_TILES = r";16|'SGI16'|'ppm(_plain)?'.*, (?!255\))\d{3,}\)"  # a decoder's mode, its name, or the white of a PPM
_FIX = "save it with 8 bits per colour, so that other programs show it right"


def is_deep(image: Image.Image) -> bool:
    """Whether a picture that is not decoded yet has more than 8 bits per colour; of colours, only its file knows."""
    tile = str(getattr(image, "tile", ""))
    return image.mode == "F" or image.mode.startswith("I") or bool(re.search(_DEEP_TILES, tile))


def is_reduced(image: Image.Image) -> bool:
    """Whether the current page of a TIFF is a small copy of another."""
    return bool(getattr(image, "tag_v2", {}).get(_KIND, 0) & _REDUCED)


def orientation(image: Image.Image) -> int:
    """Its EXIF orientation: 1 upright, else 2 to 8, turned or mirrored. Damaged tags are ignored, as by viewers."""
    tag = 1
    with suppress(Exception):  # Pillow stumbles over them in many ways
        tag = image.getexif().get(ORIENTATION, 1)
    return tag if tag in _TURNS else 1


def to_rgb(image: Image.Image, name: str, *, upright: bool = False) -> np.ndarray:
    """The pixels of a picture in any of Pillow's modes.

    Gray, palette, CMYK, YCbCr and Lab are converted. Of 16 bits per colour the upper 8 are kept. Floats run from 0,
    black, to 1, white. What is transparent becomes white, as on paper: nobody sees the colours that a file hides there.
    Of several frames it takes the current one, which is the first of a file.

    Args:
        name: what to call the picture in a message.
        upright: turn it as its EXIF orientation says. (Pillow turns a TIFF in any case.)
    Returns:
        (H, W, 3) uint8 RGB, writable and contiguous.
    Raises:
        InputError: which value is white is not known (other floats, other integers, or 16 bits that look black), or
            nothing of the picture can be seen.
    """
    tags = getattr(image, "tag_v2", {})
    deep = bool(image.info.get("deep")) or is_deep(image)
    if (image.mode == "I" and image.format != "PPM") or _SIGNED in tags.get(_SAMPLE_FORMAT, ()):
        raise InputError(f"{name} holds signed or 32-bit integers, and no one knows which is white; {_FIX}")
    if is_reduced(image):
        raise InputError(f"{name} begins with a small copy of its picture, as raw photographs do; save it as JPEG")
    image.load()  # all of it, here: a truncated file fails now, with its path, not later in a training loop
    turn = _TURNS.get(orientation(image)) if upright else None
    if turn is not None:  # Pillow's `exif_transpose` would write the EXIF anew too, and fails where that is damaged
        image = image.transpose(turn)
    if deep:
        image = _to_8_bits(image, name, tags.get(_BITS, (16,))[0], tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO)
    if image.has_transparency_data:
        seen = image.convert("LA" if image.mode == "La" else "RGBA").convert("RGBA")
        if np.asarray(seen.getchannel("A")).max() < _VISIBLE:
            raise InputError(f"{name} is wholly transparent; save it without its alpha channel")
        image = Image.new("RGB", image.size, "white")
        image.paste(seen, mask=seen)
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def _to_8_bits(image: Image.Image, name: str, bits: int, negative: bool) -> Image.Image:
    """Gray floats and integers of `bits` bits as 8-bit gray; colours, which Pillow has cut to 8 bits, as they are."""
    gray = len(image.getbands()) == 1
    values = np.asarray(image if gray else image.convert("RGB"))
    scaled = False
    if image.mode == "F":
        if not -_ROUNDING <= values.min() <= values.max() <= 1 + _ROUNDING:  # a NaN is neither
            found = f"{name} holds floats from {values.min():.9g} to {values.max():.9g}"
            raise InputError(f"{found}, and only 0 for black to 1 for white are known; scale them, or {_FIX}")
        values = (255 * values.clip(0, 1)).round()
    elif gray and values.dtype != np.uint8:  # Pillow's own conversion would clip everything above 255 to white
        scaled = bits == 16 and not ((values % 257).any() and (values % 256).any())  # from 8 bits, however dark
        values = values >> (bits - 8)
    if not scaled and (bright := np.percentile(values, 99.9)) < _DARK:  # a few hot pixels prove nothing
        found = f"{name} is almost black (brightest {bright:.0f} of 255)"
        raise InputError(f"{found}: are its values 12 or 14 bits in 16? Scale them to the full range, or {_FIX}")
    if "transparency" in image.info:  # Pillow would compare the 16 bits of that colour with 8
        raise InputError(f"{name} has a transparent colour of 16 bits; {_FIX}")
    values = values.astype(np.uint8)
    return Image.fromarray(255 - values if negative else values) if gray else image


def as_rgb(image: Any) -> np.ndarray:
    """A picture that somebody gives, as (H, W, 3) uint8 RGB.

    Args:
        image: an array or tensor of uint8, (H, W, 3) RGB, (H, W, 4) RGBA or (H, W) gray; or a PIL image, which is not
            turned by its EXIF orientation.
    Raises:
        InputError: anything else: its range or the order of its axes would be a guess.
    """
    if isinstance(image, Image.Image):
        return to_rgb(image, "the image")
    pixels = image.detach().cpu().numpy() if hasattr(image, "detach") else np.asarray(image)
    if pixels.dtype == np.uint8 and pixels.size and (pixels.ndim == 2 or pixels.shape[2:] == (4,)):
        return to_rgb(Image.fromarray(pixels), "the image")
    return np.require(checked(pixels, 3), requirements=["C", "W"])  # torch refuses negative strides


def checked(images: np.ndarray, ndim: int) -> np.ndarray:
    """`images`, if they are uint8 RGB: one, (H, W, 3), or with `ndim` = 4 several, (B, H, W, 3).

    Raises:
        InputError: they are not.
    """
    if images.dtype == np.uint8 and images.ndim == ndim and images.shape[-1] == 3 and images.size:
        return images
    raise InputError(
        f"pixels are {'(B, H, W, 3)' if ndim == 4 else '(H, W, 3)'} uint8 RGB, not {images.shape} {images.dtype}: read "
        "a file with read_image, give floats in 0..1 as (255 * image).round().astype('uint8'), and put the colours "
        "last with image.transpose(1, 2, 0)"
    )


def coordinates(given: ArrayLike, columns: int, what: str, *, finite: bool = True) -> np.ndarray:
    """(N, `columns`) float64; an empty array of any shape is none.

    Raises:
        ValueError: another shape, such as points with a third column, or, unless `finite` is False, a NaN or an
            infinity.
    """
    found = np.asarray(given, dtype=np.float64)
    if found.size == 0:
        return np.zeros((0, columns))
    if found.ndim != 2 or found.shape[1] != columns:
        raise ValueError(f"{what} must be (N, {columns}), not {found.shape}")
    if finite and not np.isfinite(found).all():
        raise ValueError(f"{what} must be finite; there is a NaN or an infinity among them")
    return found
