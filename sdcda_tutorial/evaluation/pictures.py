"""Pictures in one style, safe for colour-blind readers, and saved with a description."""

import itertools
import math
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Polygon
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor, nn

from sdcda_tutorial.datasets.images import image_size, opened, read_image_at_least
from sdcda_tutorial.datasets.sample import Sample
from sdcda_tutorial.datasets.transforms import resize_image
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.evaluation.colours import DENSITY
from sdcda_tutorial.evaluation.regions import count_in, refuse_beyond
from sdcda_tutorial.files import atomic_path, file_digest, in_utf8
from sdcda_tutorial.guards.locks import one_writer
from sdcda_tutorial.prediction import predict_density

OVERLAY_SIDE = 2000  # pixels of the longer side; drawn at 1200, so no detail is lost
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.dpi": 110,
    "savefig.dpi": 150,
}


def show_pixels(
    axis: Axes, pixels: Any, title: str = "", brightest: float | None = None, cmap: str = DENSITY, **options: Any
) -> AxesImage:
    """Show an image (H, W, 3) uint8 or a map (H, W) on an axis, without ticks.

    The colours of a map run from 0 to `brightest`, by default its maximum. `options` are those of `Axes.imshow`.
    """
    axis.set_title(title)
    axis.set_axis_off()
    return axis.imshow(np.asarray(pixels), cmap=cmap, vmin=0, vmax=brightest, **options)


def row(pictures: Mapping[str, Any], height: float, brightest: float | None = None, **options: Any) -> Figure:
    """Images and maps by title, side by side, in a figure of 10 × `height` inches; arguments as in `show_pixels`."""
    figure = Figure(figsize=(10, height), layout="constrained")
    axes = figure.subplots(1, len(pictures), squeeze=False)
    for axis, (title, pixels) in zip(axes.flat, pictures.items(), strict=True):
        show_pixels(axis, pixels, title, brightest, **options)
    return figure


@matplotlib.rc_context(STYLE)
def panel(samples: Sequence[Sample], truths: Sequence[Tensor], predictions: Mapping[str, Sequence[Tensor]]) -> Figure:
    """Fig. 2 of the paper: a row per image with the image, its true map and one map per method, counts printed.

    All maps of a row share the colour scale of the true map, or of the predictions if the image shows nobody. Truths
    and the predictions of a title hold one (H, W) map per sample.
    """
    columns = ["image", "truth", *predictions]
    height, width = samples[0].size
    figure = Figure(figsize=(2.6 * len(columns), 2.6 * len(samples) * height / width + 0.5), layout="constrained")
    axes = figure.subplots(len(samples), len(columns), squeeze=False)
    for i, sample in enumerate(samples):
        maps = [truths[i], *(of_method[i] for of_method in predictions.values())]
        brightest = float(truths[i].max()) or max(*(float(density.max()) for density in maps), 1e-6)
        counts = ["", f"{sample.count}", *(f"{float(density.sum()):.1f}" for density in maps[1:])]
        for axis, pixels, title, count in zip(axes[i], [sample.image, *maps], columns, counts, strict=True):
            show_pixels(axis, pixels, "" if i else title, brightest)
            if count:
                axis.text(
                    0.97, 0.95, count, transform=axis.transAxes, color="white", ha="right", va="top", fontweight="bold"
                )
    return figure


@matplotlib.rc_context(STYLE)
def overlay(image: np.ndarray, density: Tensor, region: np.ndarray | None = None) -> Figure:
    """A photograph with the predicted density laid over it, the count in the corner, and the outline of a region.

    A large one is reduced by a whole factor to at most `OVERLAY_SIDE` pixels: the mean of colours, the sum of people.
    """
    count, block = float(density.sum(dtype=torch.float64)), math.ceil(max(density.shape) / OVERLAY_SIDE)
    if block > 1:
        image = np.asarray(Image.fromarray(image).reduce(block))
        density = F.avg_pool2d(density[None, None], block, ceil_mode=True, divisor_override=1)[0, 0]
    values = np.asarray(density)
    # Transparent where nobody is; the square root shows single heads beside dense crowds.
    strength = np.sqrt(np.clip(values / max(float(values.max()), 1e-6), 0, 1))
    colours = matplotlib.colormaps[DENSITY](0.25 + 0.75 * strength)
    colours[..., 3] = strength * 0.85
    height, width = values.shape
    inch = max(height, width) / 8  # the longer side is 8 inches
    figure = Figure(figsize=(max(width / inch, 0.1), max(height / inch, 0.1)))
    axis = figure.add_axes((0, 0, 1, 1))
    show_pixels(axis, image)
    show_pixels(axis, colours)
    if region is not None:  # matplotlib's coordinates begin in the middle of the first pixel
        axis.add_patch(Polygon(region / block - 0.5, fill=False, edgecolor="white", linewidth=1.5, linestyle="--"))
    axis.text(
        0.98, 0.97, f"{count:.1f} people", transform=axis.transAxes, ha="right", va="top",
        color="white", fontsize=14, fontweight="bold", bbox={"facecolor": "black", "alpha": 0.6, "linewidth": 0},
    )  # fmt: skip
    return figure


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
    another photograph of that name, or a picture of the user's own) it becomes NAME-2.png and so on.

    Args:
        max_side: a photograph whose longer side exceeds this is shrunk to it first.
        region: (N, 2) corners of a polygon in pixels of the photograph, upright and as large as it is stored.
        with_map: also write the density map beside the overlay, under the same conditions: NAME.npy, and NAME-map.png
            (see `save_map`).
    Returns:
        photo, count, height and width in which it was counted; region_count where there is a `region`; the paths of
        overlay, map and map_png.
    Raises:
        InputError: the photograph cannot be read, the region is not inside it, or the count is not a number.
    """
    size = image_size(photo, upright=True)
    scale = 1.0 if max_side is None else min(1.0, max_side / max(size))
    height, width = (max(1, round(side * scale)) for side in size)
    image = resize_image(read_image_at_least(photo, (height, width), upright=True)[0], (height, width))
    density = predict_density(counter, image)
    count = float(density.sum(dtype=torch.float64))
    if not math.isfinite(count):
        raise InputError(
            f"the count of {photo} is {count}: the weights of the model are broken (or, with --half, too large for it)"
            "; use another checkpoint"
        )
    record: dict[str, Any] = {"photo": str(photo), "count": count, "height": height, "width": width}
    if region is not None:
        refuse_beyond(region, size, photo)
        region = region * (width / size[1], height / size[0])
        record["region_count"] = count_in(density, region)
    figure, digest = overlay(image, density, region), file_digest(photo)
    description = f"{photo.name} with the predicted density: {count:.1f} people"
    with one_writer(out, wait=math.inf):  # not while it counts: several commands may fill one folder
        while "overlay" not in record:
            path, new = _free(out, photo.stem, digest, with_map)
            with suppress(FileExistsError):  # where there are no locks, another process was faster with this name
                save(figure, path, description, digest, new=new)
                record["overlay"] = str(path)
        if with_map:
            record["map"], record["map_png"] = map(str, _map_paths(path))
            save_map(density, *_map_paths(path), f"{photo.name}: people per pixel", _map_origin(digest))
    return record


def _free(out: Path, stem: str, digest: str, with_map: bool) -> tuple[Path, bool]:
    """The first name of an overlay that overwrites no file but those of this photograph, and whether it is new."""
    numbers = itertools.chain([""], (f"-{number}" for number in itertools.count(2)))
    while True:
        path = out / f"{stem}{next(numbers)}.png"
        new = not os.path.lexists(path)
        _, map_png = maps = _map_paths(path)
        maps_free = origin_of(map_png) == _map_origin(digest) or not any(map(os.path.lexists, maps))
        if (new or origin_of(path) == digest) and (maps_free or not with_map):
            return path, new


def _map_paths(overlay: Path) -> tuple[Path, Path]:
    return overlay.with_suffix(".npy"), overlay.with_name(f"{overlay.stem}-map.png")


def _map_origin(digest: str) -> str:
    return f"map of {digest}"


def save_map(density: Tensor, npy: Path, png: Path, description: str, origin: str | None = None) -> None:
    """Write a density map (H, W), never negative, as float32 to `npy` and as 16-bit gray to `png`.

    The PNG has a text "Scale": the sum of its pixels times this is the count, up to half the scale. So each pixel is
    rounded together with those before it, and is right up to one scale.
    """
    values = density.numpy().astype(np.float64)
    scale = float(values.max()) / 65534 or 1.0  # 65534: rounding together may add 1
    pixels = np.diff(np.rint(values.cumsum() / scale), prepend=0).reshape(values.shape).astype(np.uint16)
    texts = PngInfo()
    for key, text in {"Description": in_utf8(description), "Scale": repr(scale), "Source": origin}.items():
        if text is not None:
            texts.add_text(key, text)
    with atomic_path(png) as temporary:  # first: it says of which photograph both are
        Image.fromarray(pixels).save(temporary, format="PNG", pnginfo=texts)
    with atomic_path(npy) as temporary, open(temporary, "wb") as file:
        np.save(file, density.numpy())


def save(figure: Figure, path: str | Path, description: str, origin: str | None = None, *, new: bool = False) -> None:
    """Write a PNG atomically, with a description for readers who cannot see it, and an `origin` for `origin_of`.

    Args:
        new: as in `files.atomic_path`.
    """
    metadata = {"Description": in_utf8(description), "Software": None, "Source": origin}
    with atomic_path(path, new=new) as temporary, matplotlib.rc_context(STYLE):
        figure.savefig(temporary, format="png", metadata=metadata)


def refuse_other_picture(path: str | Path) -> None:
    """Raise an InputError where `save` would replace a picture that it has not written; for the beginning of work."""
    if os.path.lexists(path):
        try:
            with opened(path) as image:
                ours = "Description" in image.info and "Software" not in image.info  # others name themselves
        except InputError:
            ours = False
        if not ours:
            raise InputError(f"{path} is not ours and would be lost; move it away or name another place")


def origin_of(path: str | Path) -> str | None:
    """The `origin` with which `save` wrote a picture; None for every other file."""
    try:
        with opened(path) as image:
            return image.info.get("Source")
    except InputError:
        return None
