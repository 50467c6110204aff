"""A photograph with its density laid over it, as `sdcda predict` writes it, and the density map as a file.

Drawn with Pillow, because matplotlib would take as long to import as everything else that a count needs besides torch.
"""

import itertools
import math
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo
from torch import Tensor, nn

from sdcda_tutorial.datasets.images import image_size, opened, read_image_at
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.evaluation.colours import LAID_OVER
from sdcda_tutorial.evaluation.regions import count_in, refuse_beyond
from sdcda_tutorial.files import atomic_path, file_digest, in_utf8
from sdcda_tutorial.guards.locks import one_writer
from sdcda_tutorial.prediction import predict_density

SIDE = 1200  # pixels of the longer side of an overlay
MOST = 2000  # pixels of the longer side that it is drawn from
LEAST = 15  # pixels of the shorter side: that of a panorama would vanish
OPACITY = 0.85  # where most people are


def overlay(image: np.ndarray, density: Tensor, region: np.ndarray | None = None) -> Image.Image:
    """A photograph with the predicted density laid over it, the count in the corner, and the outline of a region.

    A large one is reduced by a whole factor to at most `MOST` pixels first: the mean of colours, the sum of people.

    Args:
        image: (H, W, 3) uint8.
        density: (H, W), people per pixel.
        region: (N, 2) corners of a polygon in pixels of the image.
    """
    count, block = float(density.sum(dtype=torch.float64)), math.ceil(max(density.shape) / MOST)
    if block > 1:
        image = np.asarray(Image.fromarray(image).reduce(block))
        density = F.avg_pool2d(density[None, None], block, ceil_mode=True, divisor_override=1)[0, 0]
    height, width = density.shape
    scale = SIDE / max(height, width)
    size = max(LEAST, round(width * scale)), max(LEAST, round(height * scale))
    picture = Image.fromarray(image).resize(size, Image.Resampling.BICUBIC)
    colours, opacity = _layer(np.asarray(density), size)
    picture.paste(colours, mask=opacity)
    draw = ImageDraw.Draw(picture, "RGBA")
    if region is not None:  # Pillow's coordinates begin in the middle of the first pixel
        corners = [tuple(corner) for corner in region / block * (size[0] / width, size[1] / height) - 0.5]
        for colour, thickness in (("black", 5), ("white", 3)):  # to be seen on any ground
            draw.line([*corners, corners[0]], colour, thickness, joint="curve")
    place, text, font = (0.98 * size[0], 0.03 * size[1]), f"{count:.1f} people", ImageFont.load_default(32)
    left, top, right, bottom = draw.textbbox(place, text, font, anchor="rt")
    draw.rectangle((left - 10, top - 10, right + 10, bottom + 10), (0, 0, 0, 153))
    draw.text(place, text, "white", font, anchor="rt")
    return picture


def _layer(density: np.ndarray, size: tuple[int, int]) -> tuple[Image.Image, Image.Image]:
    """The colours of a density and their opacity, zero where nobody is, as pictures of `size` (width, height)."""
    # The square root shows single heads beside dense crowds.
    strength = np.sqrt(np.clip(density / max(float(density.max()), 1e-6), 0, 1))
    steps = np.linspace(0, 1, len(LAID_OVER))
    colours = np.stack([np.interp(strength, steps, channel) for channel in zip(*LAID_OVER, strict=True)], axis=-1)
    pictures = (
        Image.fromarray(np.rint(values).astype(np.uint8)).resize(size, Image.Resampling.BILINEAR)
        for values in (colours, 255 * OPACITY * strength)
    )
    return next(pictures), next(pictures)


def save_overlay(
    out: Path,
    photo: Path,
    counter: nn.Module,
    max_side: int | None = None,
    *,
    region: np.ndarray | None = None,
    with_map: bool = False,
) -> dict[str, Any]:
    """Count the people in a photograph and write its `overlay` to `out`.

    The overlay has the name of the photograph and replaces only an earlier overlay of the same photograph, also one by
    another model or of another size: it shows the last count, and another folder keeps both. If the name is taken (by
    another photograph of that name, or a picture of the user's own), or a map beside it is not of this photograph, it
    becomes NAME-2.png and so on.

    Args:
        max_side: a photograph whose longer side exceeds this is shrunk to it first.
        region: (N, 2) corners of a polygon in pixels of the photograph, upright and as large as it is stored.
        with_map: also write the density map beside the overlay: NAME.npy, and NAME-map.png (see `save_map`). A map of
            this photograph that lies there is written anew in any case.
    Returns:
        photo, count, height and width in which it was counted; region_count where there is a `region`; the paths of
        overlay, map and map_png.
    Raises:
        InputError: the photograph cannot be read, the region is not inside it, the count is not a number, or a map that
            is to be written has people below zero.
    """
    size = image_size(photo, upright=True)
    scale = 1.0 if max_side is None else min(1.0, max_side / max(size))
    height, width = (max(1, round(side * scale)) for side in size)
    image = read_image_at(photo, (height, width), upright=True)[0]
    density = predict_density(counter, image)
    count = float(density.sum(dtype=torch.float64))
    if not math.isfinite(count):
        raise InputError(
            f"the count of {photo} is {count}: the weights of the model are broken (or too large for `half`)"
            "; use another checkpoint"
        )
    record: dict[str, Any] = {"photo": str(photo), "count": count, "height": height, "width": width}
    if region is not None:
        refuse_beyond(region, size, photo)
        region = region * (width / size[1], height / size[0])
        record["region_count"] = count_in(density, region)
    picture, digest = overlay(image, density, region), file_digest(photo)
    description = f"{photo.name} with the predicted density: {count:.1f} people"
    with one_writer(out, wait=math.inf):  # not while it counts: several commands may fill one folder
        while "overlay" not in record:
            path, new = _free(out, photo.stem, digest)
            maps = _map_paths(path)
            mapped = with_map or any(map(os.path.lexists, maps))  # a map of another count must not stay
            if mapped:
                _refuse_negative(density, maps[1])
            with suppress(FileExistsError):  # where there are no locks, another process was faster with this name
                _save(picture, path, {"Description": description, "Source": digest}, new=new)
                record["overlay"] = str(path)
        if mapped:
            record["map"], record["map_png"] = map(str, maps)
            save_map(density, *maps, f"{photo.name}: people per pixel", _map_origin(digest))
    return record


def _free(out: Path, stem: str, digest: str) -> tuple[Path, bool]:
    """The first name of an overlay that stands beside no file but those of this photograph, and whether it is new."""
    numbers = itertools.chain([""], (f"-{number}" for number in itertools.count(2)))
    while True:
        path = out / f"{stem}{next(numbers)}.png"
        new = not os.path.lexists(path)
        ours = new or (origin_of(path) == digest and os.access(path, os.W_OK))
        _, map_png = maps = _map_paths(path)  # of which photograph both are, only the PNG says
        there = [one for one in maps if os.path.lexists(one)]
        maps_ours = origin_of(map_png) == _map_origin(digest) and all(os.access(one, os.W_OK) for one in there)
        if ours and (maps_ours or not there):
            return path, new


def _map_paths(overlay: Path) -> tuple[Path, Path]:
    return overlay.with_suffix(".npy"), overlay.with_name(f"{overlay.stem}-map.png")


def _map_origin(digest: str) -> str:
    return f"map of {digest}"


def save_map(density: Tensor, npy: Path, png: Path, description: str, origin: str | None = None) -> None:
    """Write a density map (H, W), nowhere negative, as float32 to `npy` and as 16-bit gray to `png`.

    The PNG has a text "Scale": the sum of its pixels times this is the count, up to half the scale. So each pixel is
    rounded together with those before it, and is right up to one scale. A negative one is an InputError.
    """
    _refuse_negative(density, png)
    values = density.numpy().astype(np.float64)
    scale = float(values.max()) / 65534 or 1.0  # 65534: rounding together may add 1
    pixels = np.diff(np.rint(values.cumsum() / scale), prepend=0).reshape(values.shape).astype(np.uint16)
    texts = {"Description": description, "Scale": repr(scale), "Source": origin}
    _save(Image.fromarray(pixels), png, texts)  # first: it says of which photograph both are
    with atomic_path(npy) as temporary, open(temporary, "wb") as file:
        np.save(file, density.numpy())


def _refuse_negative(density: Tensor, png: Path) -> None:
    if bool((density < 0).any()):
        raise InputError(
            f"{png} cannot hold people below zero, as this network gives; end it with a ReLU, or count without a map "
            "(and move an earlier one away)"
        )


def _save(picture: Image.Image, path: Path, texts: Mapping[str, str | None], *, new: bool = False) -> None:
    """Write a PNG with texts atomically; `new` as in `files.atomic_path`."""
    about = PngInfo()
    for key, text in texts.items():
        if text is not None:
            about.add_text(key, in_utf8(text))
    with atomic_path(path, new=new) as temporary:
        picture.save(temporary, format="PNG", pnginfo=about, compress_level=2)


def origin_of(path: str | Path) -> str | None:
    """The "Source" that a picture of ours was saved with; None for every other file."""
    try:
        with opened(path) as image:
            return image.info.get("Source")
    except InputError:
        return None
